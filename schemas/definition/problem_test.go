// SPDX-License-Identifier: Apache-2.0

package definition_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"lapwing/schemas/definition"
)

func problem(line, column int, message string) definition.Problem {
	return definition.Problem{Pos: definition.Pos{Line: line, Column: column}, Message: message}
}

func TestFormat(t *testing.T) {
	long := strings.Repeat("é", 100) + "X" + strings.Repeat("z", 100)
	for _, c := range []struct {
		name, source string
		p            definition.Problem
		want         string
	}{
		{"plain", "a: 1\nbc: 2\n", problem(2, 2, "wrong"), "f.yaml:2:2: wrong\nbc: 2\n ^"},
		{"warning", "a: 1", definition.Problem{Pos: definition.Pos{Line: 1, Column: 4}, Message: "odd", Warning: true}, "f.yaml:1:4: warning: odd\na: 1\n   ^"},
		{"tabs are kept", "\ta:\t1", problem(1, 5, "wrong"), "f.yaml:1:5: wrong\n\ta:\t1\n\t  \t^"},
		{"characters, not bytes", "é: ü", problem(1, 4, "wrong"), "f.yaml:1:4: wrong\né: ü\n   ^"},
		{"BOM and CRLF", "\ufeffa: 1\r\nb: 2\r\n", problem(1, 1, "wrong"), "f.yaml:1:1: wrong\na: 1\n^"},
		{"after the last character", "a:", problem(1, 3, "wrong"), "f.yaml:1:3: wrong\na:\n  ^"},
		{"empty file", "", problem(1, 1, "empty"), "f.yaml:1:1: empty\n\n^"},
		{"what no terminal should be sent", "a: \x1b[2J\x00\xff", problem(1, 4, "wrong"), "f.yaml:1:4: wrong\na: \ufffd[2J\ufffd\ufffd\n   ^"},
		{"a message that no terminal should be sent", "a: 1", problem(1, 4, "'\x1b[2J\u009b1m\u202e\x07\xff' is – ü\u00a0not\tfine"), "f.yaml:1:4: '\ufffd[2J\ufffd1m\ufffd\ufffd\ufffd' is – ü\u00a0not\ufffdfine\na: 1\n   ^"},
		{"wide line", long, problem(1, 101, "wrong"), "f.yaml:1:101: wrong\n… " + strings.Repeat("é", 80) + "X" + strings.Repeat("z", 39) + " …\n" + strings.Repeat(" ", 82) + "^"},
		{"start of a wide line", long, problem(1, 1, "wrong"), "f.yaml:1:1: wrong\n" + strings.Repeat("é", 100) + "X" + strings.Repeat("z", 19) + " …\n^"},
		{"beyond the file", "a: 1", problem(7, 1, "wrong"), "f.yaml:7:1: wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.Format("f.yaml", []byte(c.source)); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestRenderSortsByPlace(t *testing.T) {
	source := []byte("a: 1\nb: 2\n")
	problems := []definition.Problem{problem(2, 4, "third"), problem(1, 4, "second"), problem(1, 1, "first"), problem(2, 4, "fourth")}
	var out bytes.Buffer
	if err := definition.Render(&out, "f.yaml", source, problems); err != nil {
		t.Fatal(err)
	}
	const want = "f.yaml:1:1: first\na: 1\n^\nf.yaml:1:4: second\na: 1\n   ^\nf.yaml:2:4: third\nb: 2\n   ^\nf.yaml:2:4: fourth\nb: 2\n   ^\n"
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
	if problems[0].Message != "third" {
		t.Error("the caller's problems were reordered")
	}
}

type broken struct{}

var errBroken = errors.New("broken pipe")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestRenderReportsTheWriter(t *testing.T) {
	if err := definition.Render(broken{}, "f.yaml", nil, nil); !errors.Is(err, errBroken) {
		t.Errorf("err = %v", err)
	}
}

// Of too many problems the first are shown, errors before warnings; that some are not
// shown fails a check only if one of them does.
func TestShown(t *testing.T) {
	many := func(n int, warning bool) []definition.Problem {
		out := make([]definition.Problem, n)
		for i := range out {
			out[i] = definition.Problem{Pos: definition.Pos{Line: n - i, Column: 1}, Warning: warning}
		}
		return out
	}
	if got := definition.Shown(many(100, false)); len(got) != 100 || got[0].Pos.Line != 1 {
		t.Errorf("%d problems from line %d: want all 100, from line 1", len(got), got[0].Pos.Line)
	}
	if got := definition.Shown(many(101, true)); len(got) != 101 || definition.HasErrors(got) || !strings.HasPrefix(got[100].Message, "more than 100") || got[100].Pos.Line != 101 {
		t.Errorf("of 101 warnings: %v", got)
	}
	if got := definition.Shown(append(many(500, true), many(3, false)...)); len(got) != 3 || got[0].Warning {
		t.Errorf("of 3 errors behind 500 warnings: %v", got)
	}
	if got := definition.Shown(many(500, false)); len(got) != 101 || !definition.HasErrors(got) || got[99].Pos.Line != 100 {
		t.Errorf("of 500 errors: %d", len(got))
	}
}

func TestHasErrors(t *testing.T) {
	warning := definition.Problem{Warning: true}
	for _, c := range []struct {
		problems []definition.Problem
		want     bool
	}{{nil, false}, {[]definition.Problem{warning}, false}, {[]definition.Problem{warning, {}}, true}} {
		if got := definition.HasErrors(c.problems); got != c.want {
			t.Errorf("HasErrors(%v) = %t", c.problems, got)
		}
	}
}

func TestFormatUnderlines(t *testing.T) {
	for _, c := range []struct {
		name, source string
		pos          definition.Pos
		width        int
		want         string
	}{
		{"a token", "a: seen('x')", definition.Pos{Line: 1, Column: 4}, 4, "a: seen('x')\n   ^^^^"},
		{"no further than the line", "a: 1", definition.Pos{Line: 1, Column: 4}, 9, "a: 1\n   ^"},
		{"characters, not bytes", "é: üü!", definition.Pos{Line: 1, Column: 4}, 2, "é: üü!\n   ^^"},
		{"behind the line", "a:", definition.Pos{Line: 1, Column: 3}, 3, "a:\n  ^"},
		{"no further than what is shown", strings.Repeat("x", 200), definition.Pos{Line: 1, Column: 111}, 80, "… " + strings.Repeat("x", 120) + " …\n" + strings.Repeat(" ", 82) + strings.Repeat("^", 40)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := definition.Problem{Pos: c.pos, Width: c.width, Message: "wrong"}
			_, got, _ := strings.Cut(p.Format("f.yaml", []byte(c.source)), "\n")
			if got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}
