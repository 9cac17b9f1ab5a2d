// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Problem is one thing wrong with a definition.
type Problem struct {
	Pos     Pos
	Width   int    // characters from Pos on, in its line, that are meant; below 2: the one at Pos
	Message string // what is wrong and what would be right, one line, no full stop
	Warning bool   // said, but does not fail the check
}

// HasErrors reports whether one of the problems is more than a warning.
func HasErrors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// Sort puts problems in the order of the file; those of one place stay in theirs.
func Sort(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
}

// maxProblems is how many are reported: who has more repairs these first.
const maxProblems = 100

// problems collects; the bound keeps a hostile file from filling memory.
type problems struct{ list []Problem }

func (ps *problems) add(pos Pos, format string, args ...any) {
	ps.append(Problem{Pos: pos, Message: fmt.Sprintf(format, args...)})
}

func (ps *problems) warn(pos Pos, format string, args ...any) {
	ps.append(Problem{Pos: pos, Message: fmt.Sprintf(format, args...), Warning: true})
}

// point gives problems that name the beginning of a key or value the width of it.
func (ps *problems) point(root *node) {
	at := map[Pos][]int{} // problems without a width, by place
	for i, p := range ps.list {
		if p.Width == 0 {
			at[p.Pos] = append(at[p.Pos], i)
		}
	}
	take := func(pos Pos, width int) {
		for _, i := range at[pos] {
			ps.list[i].Width = width
		}
	}
	var walk func(n *node)
	walk = func(n *node) {
		if n.kind == scalar {
			if _, meant := at[n.pos]; meant && n.text.Pos.Line == n.pos.Line {
				quotes := 2 * (n.text.Pos.Column - n.pos.Column)
				take(n.pos, n.text.Width()+quotes)
			}
			if _, meant := at[n.text.Pos]; meant && n.text.Pos != n.pos {
				take(n.text.Pos, n.text.Width())
			}
		}
		for _, e := range n.entries {
			if _, meant := at[e.key.Pos]; meant {
				take(e.key.Pos, e.key.Width())
			}
			walk(e.value)
		}
		for _, item := range n.items {
			walk(item)
		}
	}
	walk(root)
}

func (ps *problems) append(p Problem) {
	if len(ps.list) < 100*maxProblems {
		ps.list = append(ps.list, p)
	}
}

// sorted is what is reported.
func (ps *problems) sorted() []Problem { return Shown(ps.list) }

// Shown are problems in the order of the file, and no more of them than help: beyond
// that, warnings go first.
func Shown(problems []Problem) []Problem {
	problems = slices.Clone(problems)
	Sort(problems)
	failed := HasErrors(problems)
	if len(problems) > maxProblems && failed {
		problems = slices.DeleteFunc(problems, func(p Problem) bool { return p.Warning })
	}
	if len(problems) <= maxProblems {
		return problems
	}
	at := problems[maxProblems].Pos
	message := fmt.Sprintf("more than %d problems: the rest is not shown", maxProblems)
	return append(problems[:maxProblems], Problem{Pos: at, Width: 1, Message: message, Warning: !failed})
}

// Format is the problem as a person reads it: "file:line:column: message", the
// line of the file, and a line with carets under what is meant, the first of them
// under the column. No line end follows.
// What no terminal should be sent is replaced, wherever it comes from.
func (p Problem) Format(file string, source []byte) string {
	return p.format(file, strings.Split(normalize(source), "\n"))
}

// Render writes all problems in the order of the file, each as Format gives it.
func Render(w io.Writer, file string, source []byte, problems []Problem) error {
	problems = slices.Clone(problems)
	Sort(problems)
	lines := strings.Split(normalize(source), "\n")
	var b bytes.Buffer
	for _, p := range problems {
		b.WriteString(p.format(file, lines))
		b.WriteByte('\n')
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write problems of %s: %w", file, err)
	}
	return nil
}

func (p Problem) format(file string, lines []string) string {
	kind := ""
	if p.Warning {
		kind = "warning: "
	}
	// A message may quote what the file has, or an escape in it stands for.
	head := strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, fmt.Sprintf("%s:%d:%d: %s%s", file, p.Pos.Line, p.Pos.Column, kind, p.Message))
	if p.Pos.Line < 1 || p.Pos.Line > len(lines) {
		return head
	}
	line, under := excerpt(lines[p.Pos.Line-1], p.Pos.Column, p.Width)
	return head + "\n" + line + "\n" + under
}

// What is shown of a wide line, in characters: at most excerptWidth, and of them
// at most excerptBefore before the caret.
const (
	excerptWidth  = 120
	excerptBefore = 80
)

// excerpt is the line, cut if it is wide, and the carets below it. Tabs stay in
// both, so that the first caret stands right whatever a tab's width is; what no
// terminal should be sent is shown as the replacement character.
func excerpt(line string, column, width int) (shown, under string) {
	// Invalid bytes become one character each, as they count in columns.
	runes := []rune(line)
	for i, r := range runes {
		if r != '\t' && !unicode.IsPrint(r) {
			runes[i] = unicode.ReplacementChar
		}
	}
	at := min(max(column-1, 0), len(runes))
	from, to := 0, len(runes)
	before, after := "", ""
	if len(runes) > excerptWidth {
		if at > excerptBefore {
			from, before = at-excerptBefore, "… "
		}
		if from+excerptWidth < len(runes) {
			to, after = from+excerptWidth, " …"
		}
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", len([]rune(before))))
	for _, r := range runes[from:at] {
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString(strings.Repeat("^", max(1, min(width, to-at))))
	return before + string(runes[from:to]) + after, b.String()
}
