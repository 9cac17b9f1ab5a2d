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

func (ps *problems) append(p Problem) {
	if len(ps.list) < 100*maxProblems {
		ps.list = append(ps.list, p)
	}
}

// sorted is what is reported.
func (ps *problems) sorted() []Problem {
	Sort(ps.list)
	if len(ps.list) <= maxProblems {
		return ps.list
	}
	cut := slices.Clone(ps.list[:maxProblems+1])
	cut[maxProblems] = Problem{Pos: cut[maxProblems].Pos, Message: fmt.Sprintf("more than %d problems: the rest is not shown", maxProblems)}
	return cut
}

// Format is the problem as a person reads it: "file:line:column: message", the
// line of the file, and a line with a caret under the column. No line end follows.
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
	line, under := excerpt(lines[p.Pos.Line-1], p.Pos.Column)
	return head + "\n" + line + "\n" + under
}

// What is shown of a wide line, in characters: at most excerptWidth, and of them
// at most excerptBefore before the caret.
const (
	excerptWidth  = 120
	excerptBefore = 80
)

// excerpt is the line, cut if it is wide, and the caret below it. Tabs stay in
// both, so that the caret stands right whatever a tab's width is; what no
// terminal should be sent is shown as the replacement character.
func excerpt(line string, column int) (shown, under string) {
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
	b.WriteByte('^')
	return before + string(runes[from:to]) + after, b.String()
}
