// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"sort"
	"strings"
	"unicode"

	"lapwing/schemas/definition"
)

// position maps a line (from 1) and column (from 0) inside text to the file.
func position(text definition.Text, line, column int) definition.Pos {
	return text.At(offsetOf([]rune(text.Value), line, column))
}

// offsetOf is the character at a line (from 1) and column (from 0). Of a call CEL names
// the parenthesis, of a path its last point; what people look at is the function's name
// and the path from its beginning.
func offsetOf(runes []rune, line, column int) int {
	offset := 0
	for ; line > 1 && offset < len(runes); offset++ {
		if runes[offset] == '\n' {
			line--
		}
	}
	offset = min(offset+max(column, 0), len(runes))
	if offset == len(runes) {
		return offset
	}
	switch runes[offset] {
	case '(':
		for offset > 0 && isNameRune(runes[offset-1]) {
			offset--
		}
	case '.':
		for offset > 0 && (isNameRune(runes[offset-1]) || runes[offset-1] == '.') {
			offset--
		}
	default:
	}
	return offset
}

func isNameRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// tokenEnd is the end of the token that begins at from: a name, a number, a quoted text
// or an operator. With calls, the parentheses that follow a name belong to it.
func tokenEnd(runes []rune, from int, calls bool) int {
	if from >= len(runes) {
		return from
	}
	to := from + 1
	switch r := runes[from]; {
	case r == '\'' || r == '"':
		return quoteEnd(runes, from)
	case isNameRune(r):
		for to < len(runes) && (isNameRune(runes[to]) || runes[to] == '.' && to+1 < len(runes) && isNameRune(runes[to+1])) {
			to++
		}
		if calls && to < len(runes) && runes[to] == '(' {
			return closing(runes, to)
		}
	case strings.ContainsRune("=<>!&|+-*/%?:", r):
		for to < len(runes) && strings.ContainsRune("=<>&|", runes[to]) {
			to++
		}
	default:
	}
	return to
}

// quoteEnd is behind the quote that ends what is opened at from, or the end of the text.
func quoteEnd(runes []rune, from int) int {
	for i := from + 1; i < len(runes); i++ {
		switch runes[i] {
		case '\\':
			i++
		case runes[from]:
			return i + 1
		}
	}
	return len(runes)
}

// closing is behind the parenthesis that closes the one at from, or the end of the text.
func closing(runes []rune, from int) int {
	depth := 0
	for i := from; i < len(runes); {
		switch runes[i] {
		case '\'', '"':
			i = quoteEnd(runes, i)
			continue
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(runes)
}

// maxWidened is how many problems are given a width: more are not shown.
const maxWidened = 200

// widen gives problems inside conditions the width of the token that they name.
func (c *compiler) widen() {
	var texts []definition.Text
	add := func(list ...definition.Text) {
		for _, t := range list {
			if !t.IsZero() {
				texts = append(texts, t)
			}
		}
	}
	for i := range c.def.Events {
		e := &c.def.Events[i]
		add(e.Where, e.Value, e.Key)
		if e.Refund != nil {
			add(e.Refund.Value, e.Refund.Key)
		}
	}
	for _, m := range c.def.Models {
		for _, s := range m.Stages {
			add(s.When)
		}
	}
	for _, s := range c.def.Segments {
		add(s.When, s.By)
	}
	before := func(a, b definition.Pos) bool { return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column }
	sort.SliceStable(texts, func(i, j int) bool { return before(texts[i].Pos, texts[j].Pos) })
	for i := range min(len(c.problems), maxWidened) {
		p := &c.problems[i]
		n := sort.Search(len(texts), func(i int) bool { return before(p.Pos, texts[i].Pos) })
		if p.Width != 0 || n == 0 {
			continue
		}
		t := texts[n-1]
		if from, ok := t.Offset(p.Pos); ok {
			_, p.Width = t.Span(from, tokenEnd([]rune(t.Value), from, false))
		}
	}
}

// blank reports whether nothing but white space is left.
func blank(runes []rune) bool {
	for _, r := range runes {
		if !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}
