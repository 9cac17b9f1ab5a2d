// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/stream/lifecycle"
)

// said is all that `lapwing check` says of a definition.
func said(t *testing.T, source string) string {
	t.Helper()
	def, problems := definition.ParsePartial("shop.yaml", []byte(source))
	_, problems = lifecycle.Check(def, problems)
	var out bytes.Buffer
	if err := definition.Render(&out, "shop.yaml", []byte(source), problems); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestProblemsAsTheyAreShown compares what is said of the definitions in
// testdata/problems with what stands below each. UPDATE_PROBLEMS=1 writes it anew; the
// difference is to be read.
func TestProblemsAsTheyAreShown(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.txt")
	if err != nil || len(files) < 4 {
		t.Fatalf("files %v: %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var now strings.Builder
			for i, c := range strings.Split(string(text), "====\n") {
				source, want, ok := strings.Cut(c, "----\n")
				if !ok || !strings.HasPrefix(source, "# ") {
					t.Fatalf("case %d begins with no # line, or has no line ----:\n%s", i+1, c)
				}
				got := said(t, source)
				if got != want && os.Getenv("UPDATE_PROBLEMS") == "" {
					t.Errorf("said of\n%s----\n%swant:\n%s", source, got, want)
				}
				if i > 0 {
					now.WriteString("====\n")
				}
				now.WriteString(source + "----\n" + got)
			}
			if os.Getenv("UPDATE_PROBLEMS") != "" {
				if err := os.WriteFile(file, []byte(now.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
