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
	c := cursor{t.raw, t.rawPos}
	for n, r := range []rune(t.Value) {
		length := 0 // bytes of the file that stand for r
		for length == 0 {
			raw, size := utf8.DecodeRuneInString(c.rest)
			blank := raw == ' ' || raw == '\t' || raw == '\n'
			switch {
			case size == 0:
				return c
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
				return c // cannot be: this is as far as is known
			}
		}
		if n >= offset {
			return c
		}
		c.step(min(length, len(c.rest)))
	}
	return c
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
