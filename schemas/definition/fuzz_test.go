// SPDX-License-Identifier: Apache-2.0

package definition_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
)

// FuzzParse: whatever the file, there is no panic; there is a definition or an
// error, never both; every problem and text lies inside the file; a second reading
// says the same.
func FuzzParse(f *testing.F) {
	f.Add(contract(f))
	f.Add([]byte(everything))
	for _, name := range presets.Names() {
		source, _ := presets.Get(name)
		f.Add(source)
	}
	for _, c := range refusals {
		f.Add([]byte(whole(c.source)))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		d, problems := definition.Parse("f.yaml", source)
		if (d == nil) != definition.HasErrors(problems) {
			t.Fatalf("definition %v, problems:\n%s", d != nil, report(problems))
		}
		text := strings.ReplaceAll(strings.ReplaceAll(string(bytes.TrimPrefix(source, []byte("\ufeff"))), "\r\n", "\n"), "\r", "\n")
		lines := strings.Split(text, "\n")
		inside := func(what string, p definition.Pos) {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 {
				t.Fatalf("%s at %v lies outside the file", what, p)
			}
		}
		for i, p := range problems {
			inside(p.Message, p.Pos)
			if p.Message == "" || strings.ContainsAny(p.Message, "\n\r") {
				t.Fatalf("a message of no or several lines: %q", p.Message)
			}
			if i > 0 && (p.Pos.Line < problems[i-1].Pos.Line || p.Pos.Line == problems[i-1].Pos.Line && p.Pos.Column < problems[i-1].Pos.Column) {
				t.Fatalf("problems out of order:\n%s", report(problems))
			}
		}
		if err := definition.Render(io.Discard, "f.yaml", source, problems); err != nil {
			t.Fatal(err)
		}
		if _, again := definition.Parse("f.yaml", source); report(again) != report(problems) {
			t.Fatalf("first:\n%ssecond:\n%s", report(problems), report(again))
		}
		part, _ := definition.ParsePartial("f.yaml", source)
		if part == nil {
			return
		}
		condition := func(text definition.Text) {
			if text.IsZero() {
				return
			}
			inside(text.Value, text.Pos)
			inside(text.Value, text.At(len(text.Value)))
			// Where a text begins, its first character stands, or an escape for it.
			first, _ := utf8.DecodeRuneInString(text.Value)
			if rest := []rune(lines[text.Pos.Line-1])[text.Pos.Column-1:]; len(rest) == 0 || rest[0] != first && rest[0] != '\\' {
				t.Fatalf("%q does not stand at %v", text.Value, text.Pos)
			}
		}
		for _, m := range part.Models {
			for _, s := range m.Stages {
				condition(s.When)
			}
		}
		for _, s := range part.Segments {
			condition(s.When)
			condition(s.By)
		}
		for _, e := range part.Events {
			condition(e.Where)
		}
	})
}
