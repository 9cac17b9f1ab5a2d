// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// The functions below read raw JSON as Message.Raw and Message.Traits give it: one
// value, valid by the Decoder, white space around it allowed. Given anything else
// they do not panic, and stop where the grammar breaks.

// Unquote is the text of the JSON string literal raw; ok is false if raw is none.
// The text is a view of raw if that has no escapes, else it is written over
// scratch from its beginning, which is grown if it is too small.
func Unquote(raw, scratch []byte) (text []byte, ok bool) {
	raw = trim(raw)
	if !isString(raw) {
		return nil, false
	}
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw, true
	}
	return appendUnescaped(scratch[:0], raw), true
}

// Text is the "JSON text" by which ids, keys, traits and the values of a property
// are compared and named: a string's content, a number or boolean as written, an
// object or list raw. ok is false for null and for nil.
func Text(raw []byte) (text string, ok bool) {
	var scratch [64]byte
	b, ok := AppendText(scratch[:0], raw)
	return string(b), ok
}

// AppendText appends what Text returns.
func AppendText(dst, raw []byte) (text []byte, ok bool) {
	raw = trim(raw)
	switch {
	case len(raw) == 0 || raw[0] == 'n':
		return dst, false
	case isString(raw):
		return appendUnescaped(dst, raw[1:len(raw)-1]), true
	default:
		return append(dst, raw...), true
	}
}

// Fields calls fn with each key of the raw object and its raw value, in the order
// of the text, until fn returns false. Equal keys come one by one: the last
// counts. If raw is no object, fn is not called.
func Fields(raw []byte, fn func(key string, value []byte) bool) {
	s := scanner{maxDepth: math.MaxInt}
	raw = trim(raw)
	if len(raw) == 0 || raw[0] != '{' {
		return
	}
	i := space(raw, 1)
	for i < len(raw) && raw[i] == '"' {
		end := s.str(raw, i)
		if end < 0 {
			return
		}
		key := string(unescaped(raw[i+1 : end-1]))
		start := colon(raw, end)
		if start < 0 {
			return
		}
		if end = s.value(raw, start, 0); end < 0 || !fn(key, raw[start:end:end]) {
			return
		}
		i = next(raw, end)
	}
}

// Elements calls fn with each raw element of the raw list, in order, until fn
// returns false. If raw is no list, fn is not called.
func Elements(raw []byte, fn func(value []byte) bool) {
	s := scanner{maxDepth: math.MaxInt}
	raw = trim(raw)
	if len(raw) == 0 || raw[0] != '[' {
		return
	}
	for i := space(raw, 1); i < len(raw); {
		end := s.value(raw, i, 0)
		if end < 0 || !fn(raw[i:end:end]) {
			return
		}
		i = next(raw, end)
	}
}

// next is where the member after a comma at i begins; the end of b without one.
func next(b []byte, i int) int {
	if i = space(b, i); i < len(b) && b[i] == ',' {
		return space(b, i+1)
	}
	return len(b)
}

func trim(raw []byte) []byte {
	raw = raw[space(raw, 0):]
	for len(raw) > 0 && raw[len(raw)-1] <= ' ' {
		raw = raw[:len(raw)-1]
	}
	return raw
}

func isString(raw []byte) bool {
	return len(raw) >= 2 && raw[0] == '"' && raw[len(raw)-1] == '"'
}

func unescaped(inner []byte) []byte {
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	return appendUnescaped(nil, inner)
}

// appendUnescaped appends the text between a string's quotes. Half a pair of
// surrogates becomes U+FFFD; the Decoder refuses messages that have one.
func appendUnescaped(dst, inner []byte) []byte {
	for {
		k := bytes.IndexByte(inner, '\\')
		if k < 0 || k+1 == len(inner) {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:k]...)
		c := inner[k+1]
		inner = inner[k+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			unit, ok := hex4(inner, 0)
			if !ok {
				return dst
			}
			inner = inner[4:]
			if unit >= highSurrogate && unit < lowSurrogate {
				if low, isLow := lowHalf(inner, 0); isLow {
					unit = 0x10000 + (unit-highSurrogate)<<10 + (low - lowSurrogate)
					inner = inner[6:]
				}
			}
			dst = utf8.AppendRune(dst, unit) // U+FFFD for a surrogate that stands alone
		default: // the quote, the backslash and the slash stand for themselves
			dst = append(dst, c)
		}
	}
}
