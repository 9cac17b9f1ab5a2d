// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// scanner checks JSON text by its grammar (RFC 8259), byte by byte, and notes what
// is grammatical but still not wanted. Its methods take the index at which
// something begins and return the index after it, or bad if the grammar is broken.
// Nesting costs a bit a level, never a stack frame.
type scanner struct {
	maxDepth int      // levels allowed
	deep     bool     // more levels than that were seen
	notText  bool     // seen: invalid UTF-8, NUL or a lone surrogate
	escapes  int      // backslashes met by str since the message's beginning
	spill    []uint64 // levels beyond the innermost 64, one bit each: 1 for an object
}

// bad is the index after broken grammar.
const bad = -1

// space is the index of the first byte at or after i that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// value checks the value that begins at i, which lies below depth open levels.
func (s *scanner) value(b []byte, i, depth int) int {
	var (
		open   uint64 // the innermost levels, the lowest bit being the last one opened
		levels int    // opened here and not closed yet
	)
	s.spill = s.spill[:0]
	for {
		// A value begins at i.
		if i >= len(b) {
			return bad
		}
		switch c := b[i]; c {
		case '{', '[':
			if levels > 0 && levels&63 == 0 {
				s.spill = append(s.spill, open)
			}
			levels++
			if depth+levels > s.maxDepth {
				s.deep = true
			}
			open <<= 1
			i = space(b, i+1)
			if c == '[' {
				if i < len(b) && b[i] == ']' {
					break
				}
				continue
			}
			open |= 1
			if i < len(b) && b[i] == '}' {
				break
			}
			if i = s.key(b, i); i < 0 {
				return bad
			}
			continue
		default:
			if i = s.scalar(b, i); i < 0 {
				return bad
			}
		}
		// A value ended before i, or an empty object or list ends at i: close what
		// ends here, then go on to the next member.
		for {
			if levels == 0 {
				return i
			}
			i = space(b, i)
			if i >= len(b) {
				return bad
			}
			object := open&1 == 1
			c := b[i]
			i++
			if c == ',' {
				i = space(b, i)
				if object {
					if i = s.key(b, i); i < 0 {
						return bad
					}
				}
				break
			}
			if object && c != '}' || !object && c != ']' {
				return bad
			}
			levels--
			open >>= 1
			if levels > 0 && levels&63 == 0 {
				last := len(s.spill) - 1
				open, s.spill = s.spill[last], s.spill[:last]
			}
		}
	}
}

// key checks an object's key and the colon behind it, and returns where the value begins.
func (s *scanner) key(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return bad
	}
	if i = s.str(b, i); i < 0 {
		return bad
	}
	return colon(b, i)
}

// colon checks the colon behind a key and returns where the value begins.
func colon(b []byte, i int) int {
	if i = space(b, i); i < len(b) && b[i] == ':' {
		return space(b, i+1)
	}
	return bad
}

// scalar checks the string, number or literal that begins at i < len(b).
func (s *scanner) scalar(b []byte, i int) int {
	switch c := b[i]; {
	case c == '"':
		return s.str(b, i)
	case c == '-' || c >= '0' && c <= '9':
		return number(b, i)
	case c == 't':
		return literal(b, i, "true")
	case c == 'f':
		return literal(b, i, "false")
	case c == 'n':
		return literal(b, i, "null")
	default:
		return bad
	}
}

func literal(b []byte, i int, word string) int {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end
	}
	return bad
}

func number(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	first := i
	if i = digits(b, i); i == first || b[first] == '0' && i > first+1 {
		return bad
	}
	if i >= len(b) || b[i] == ',' || b[i] == '}' {
		return i
	}
	if b[i] == '.' {
		first = i + 1
		if i = digits(b, first); i == first {
			return bad
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first = i
		if i = digits(b, first); i == first {
			return bad
		}
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// unplain has a high bit set if one of the eight bytes of w is not plain: a control
// character, the quote, the backslash or no ASCII. The lowest such bit marks the first
// such byte; those above it may be borrowed, and are not read.
func unplain(w uint64) uint64 {
	quote, backslash := w^everyByte*'"', w^everyByte*'\\'
	return (w | (w - everyByte*' ') | (quote - everyByte) | (backslash - everyByte)) & highBits
}

// str checks the string whose opening quote is at i, eight bytes at a time. This much
// is what nearly every string needs; the rest is apart so that it costs them nothing.
func (s *scanner) str(b []byte, i int) int {
	for i++; i+8 <= len(b); i += 8 {
		if found := unplain(binary.LittleEndian.Uint64(b[i:])); found != 0 {
			i += bits.TrailingZeros64(found) / 8
			if b[i] == '"' {
				return i + 1
			}
			break
		}
	}
	return s.rest(b, i)
}

// rest checks a string from i on: a byte that is not plain, or the last seven of b.
func (s *scanner) rest(b []byte, i int) int {
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			s.escapes++
			if i = s.escape(b, i+1); i < 0 {
				return bad
			}
		case c < ' ':
			return bad
		case c < utf8.RuneSelf:
			i++
			for i+8 <= len(b) {
				found := unplain(binary.LittleEndian.Uint64(b[i:]))
				if found != 0 {
					i += bits.TrailingZeros64(found) / 8
					break
				}
				i += 8
			}
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				s.notText = true
			}
			i += size
		}
	}
	return bad
}

// escape checks an escape; i is the index after the backslash. Half a pair of
// surrogates is grammatical, but no text; nor is NUL.
func (s *scanner) escape(b []byte, i int) int {
	if i >= len(b) {
		return bad
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
	default:
		return bad
	}
	unit, ok := hex4(b, i+1)
	if !ok {
		return bad
	}
	i += 5
	switch {
	case unit == 0, unit >= lowSurrogate && unit < pastSurrogates:
		s.notText = true
	case unit >= highSurrogate && unit < lowSurrogate:
		if _, isLow := lowHalf(b, i); !isLow {
			s.notText = true // what follows is read for itself
			return i
		}
		i += 6
	}
	return i
}

// UTF-16 writes what is beyond U+FFFF as a high and a low surrogate.
const (
	highSurrogate  = 0xD800
	lowSurrogate   = 0xDC00
	pastSurrogates = 0xE000
)

// lowHalf reads an escaped low surrogate at i.
func lowHalf(b []byte, i int) (unit rune, ok bool) {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return 0, false
	}
	unit, ok = hex4(b, i+2)
	return unit, ok && unit >= lowSurrogate && unit < pastSurrogates
}

// hex4 reads four hex digits at i.
func hex4(b []byte, i int) (unit rune, ok bool) {
	if i+4 > len(b) {
		return 0, false
	}
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}
