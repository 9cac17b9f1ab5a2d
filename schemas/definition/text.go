// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"strings"
	"unicode/utf8"
)

// Text is a scalar with the place where its content begins: for a quoted one
// after the quote, for a block one (| or >) on its first line that is not blank.
type Text struct {
	Value string
	Pos   Pos

	// raw is the file from rawPos on, where Value begins as it was written; At
	// walks both side by side. It shares the file's memory.
	raw    string
	rawPos Pos
	style  style
}

// style is how a scalar was written.
type style uint8

const (
	plain style = iota
	singleQuoted
	doubleQuoted
	block
)

// IsZero reports whether the value was left out.
func (t Text) IsZero() bool { return t.Pos == Pos{} }

// At is the place in the file of the character at offset in Value (counted in
// characters, from 0), with escapes, folded lines and indentation taken into
// account. An offset beyond the end is the place just after the last character.
func (t Text) At(offset int) Pos {
	if t.rawPos == (Pos{}) { // made by hand, not read from a file
		return Pos{Line: t.Pos.Line, Column: t.Pos.Column + max(0, min(offset, utf8.RuneCountInString(t.Value)))}
	}
	return t.cursorAt(offset).pos
}

// Span is the place of the characters from (included) to to (not) of Value, and how
// many characters of the file they take there: of what goes on in another line, those
// in the first.
func (t Text) Span(from, to int) (pos Pos, width int) {
	if t.rawPos == (Pos{}) {
		return t.At(from), max(0, min(to, utf8.RuneCountInString(t.Value))-from)
	}
	begin, end := t.cursorAt(from), t.cursorAt(to)
	if end.pos.Line == begin.pos.Line {
		return begin.pos, max(0, end.pos.Column-begin.pos.Column)
	}
	line, _, _ := strings.Cut(begin.rest, "\n")
	return begin.pos, utf8.RuneCountInString(strings.TrimRight(line, " \t"))
}

// Width is how many characters of the file Value takes from Pos on, in its first line.
func (t Text) Width() int {
	_, width := t.Span(0, utf8.RuneCountInString(t.Value))
	return width
}

// trimmed is t without white space around it, still knowing its place.
func (t Text) trimmed() Text {
	left := strings.TrimLeft(t.Value, " \t\n")
	c := t.cursorAt(utf8.RuneCountInString(t.Value) - utf8.RuneCountInString(left))
	t.Value = strings.TrimRight(left, " \t\n")
	t.Pos, t.rawPos, t.raw = c.pos, c.pos, c.rest
	return t
}

// cursor is a place in the file and the file from there on.
type cursor struct {
	rest string
	pos  Pos
}

// step moves over n bytes, which end on the boundary of a character.
func (c *cursor) step(n int) {
	for _, r := range c.rest[:n] {
		if r == '\n' {
			c.pos = Pos{Line: c.pos.Line + 1, Column: 1}
		} else {
			c.pos.Column++
		}
	}
	c.rest = c.rest[n:]
}

func (c *cursor) skipSpace() {
	c.step(len(c.rest) - len(strings.TrimLeft(c.rest, " \t\n")))
}

// cursorAt walks value and file side by side up to the character at offset. Where
// the two differ the file has an escape, a fold (several blanks that count as one
// blank or line end) or indentation (blanks that count as nothing).
func (t Text) cursorAt(offset int) cursor {
	c, _ := t.walk(func(n int, _ Pos) bool { return n >= offset })
	return c
}

// Offset is the character of Value that begins at pos in the file; ok is false if none
// does. It is the inverse of At.
func (t Text) Offset(pos Pos) (offset int, ok bool) {
	if t.rawPos == (Pos{}) {
		offset = pos.Column - t.Pos.Column
		return offset, pos.Line == t.Pos.Line && offset >= 0 && offset < utf8.RuneCountInString(t.Value)
	}
	c, offset := t.walk(func(_ int, at Pos) bool {
		return at.Line > pos.Line || at.Line == pos.Line && at.Column >= pos.Column
	})
	return offset, c.pos == pos && offset < utf8.RuneCountInString(t.Value)
}

// walk goes through the characters of Value until stop holds for one (n, from 0, at pos),
// and returns where it stands.
func (t Text) walk(stop func(n int, pos Pos) bool) (cursor, int) {
	c := cursor{t.raw, t.rawPos}
	n := 0
	for _, r := range t.Value {
		length := 0 // bytes of the file that stand for r
		for length == 0 {
			raw, size := utf8.DecodeRuneInString(c.rest)
			blank := raw == ' ' || raw == '\t' || raw == '\n'
			switch {
			case size == 0:
				return c, n
			case t.style == doubleQuoted && raw == '\\':
				length = escapeLength(c.rest)
				if strings.HasPrefix(c.rest, "\\\n") { // joins two lines, stands for nothing
					c.step(length)
					c.skipSpace()
					length = 0
				}
			case raw == r && t.style == singleQuoted && r == '\'':
				length = 2
			case raw == r:
				length = size
			case blank && (r == ' ' || r == '\n'):
				length = len(c.rest) - len(strings.TrimLeft(c.rest, " \t\n"))
			case blank:
				c.skipSpace()
			default:
				return c, n // cannot be: this is as far as is known
			}
		}
		if stop(n, c.pos) {
			return c, n
		}
		c.step(min(length, len(c.rest)))
		n++
	}
	return c, n
}

// escapeLength is the number of bytes of the escape at the start of s.
func escapeLength(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	_, size := utf8.DecodeRuneInString(s[1:])
	switch s[1] {
	case 'x':
		size = 3
	case 'u':
		size = 5
		// A surrogate pair is two escapes for one character.
		if len(s) >= 12 && (s[2] == 'd' || s[2] == 'D') && strings.ContainsRune("89abAB", rune(s[3])) && s[6] == '\\' {
			size = 11
		}
	case 'U':
		size = 9
	}
	return min(1+size, len(s))
}
