// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"lapwing/schemas/definition"
)

// FuzzConditions: whatever a condition is, what is said of it stands on its line, inside
// the file, in one line of readable length.
func FuzzConditions(f *testing.F) {
	for _, condition := range []string{
		"", "never('purchase')", "nevr('x') && and", "idle('purchase', 90d)", "'", "((", "))", "a.b.c", "trait('é😀').x", "count('purchase') = 1", "1 / 0 > 0u", "{'a': 1}", "b'x'", "!!!",
		"never('purchase') ||\n  seen('visit', '1d')", "known('a') ? : 1", "params.quiet", "params", "[1, 2][0]", "trait('a').map(x, x)", "x'\\", "\"\\u12\"", "a ? b", "in in in", "//", "😀",
		"count('purchase', '0d') > 9999999999999999999", "has(trait('a').b)", "has(a)", "'a'.matches('(')", "-'a'", "- - 1", "1..2", "0x", "1e999 > 0", "null == null", "idle('purchase',\t'90d')",
	} {
		f.Add(condition)
	}
	f.Fuzz(func(t *testing.T, condition string) {
		if len(condition) > 2000 || !utf8.ValidString(condition) {
			t.Skip()
		}
		source := segmentDefinition(strconv.Quote(condition))
		if strings.ContainsAny(source, "\x00") {
			t.Skip()
		}
		_, problems := Check(definition.ParsePartial("test.yaml", []byte(source)))
		lines := strings.Split(source, "\n")
		for _, p := range problems {
			if p.Pos.Line < 1 || p.Pos.Line > len(lines) || p.Pos.Column < 1 || p.Pos.Column > utf8.RuneCountInString(lines[p.Pos.Line-1])+1 {
				t.Fatalf("%q: a place outside of the file: %+v", condition, p)
			}
			if room := utf8.RuneCountInString(lines[p.Pos.Line-1]) - (p.Pos.Column - 1); p.Width < 0 || p.Width > max(1, room) {
				t.Fatalf("%q: %d characters of %d: %+v", condition, p.Width, room, p)
			}
			if p.Message == "" || strings.Contains(p.Message, "\n") || len(p.Message) > 10_000 {
				t.Fatalf("%q: the message %q", condition, p.Message)
			}
		}
	})
}
