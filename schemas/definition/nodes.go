// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// node is one value of the file. The tree holds what a definition may hold:
// neither tags nor aliases.
type node struct {
	kind    kind
	pos     Pos  // where it begins, a quote or bracket included
	text    Text // of a scalar
	refused bool // of null: what stood here was refused already
	entries []entry
	items   []*node
}

type kind uint8

const (
	null kind = iota
	scalar
	mapping
	list
)

func (k kind) String() string {
	return [...]string{"nothing", "a text", "a mapping", "a list"}[k]
}

type entry struct {
	key   Text
	value *node
}

// node turns what the library read into ours.
func (y *yamlReader) node(n ast.Node) *node {
	switch n := n.(type) {
	case nil:
		return &node{pos: Pos{1, 1}}
	case *ast.NullNode:
		return &node{pos: y.at(n.GetToken())}
	case *ast.MappingNode:
		out := &node{kind: mapping, pos: y.at(n.GetToken())}
		for _, v := range n.Values {
			if tk := v.Start; tk != nil && tk.Type != token.MappingValueType {
				key := y.scalar(tk) // in braces: what stands between two commas
				y.add(key.Pos, "%s has no value; in braces, quote a text that contains a comma", quote(key.Value))
				continue
			}
			if _, merge := v.Key.(*ast.MergeKeyNode); !merge { // refused already
				out.entries = append(out.entries, y.entry(v))
			}
		}
		if !n.IsFlowStyle && len(out.entries) > 0 {
			out.pos = y.at(n.Values[0].Key.GetToken())
		}
		return out
	case *ast.MappingValueNode:
		return &node{kind: mapping, pos: y.at(n.Key.GetToken()), entries: []entry{y.entry(n)}}
	case *ast.SequenceNode:
		out := &node{kind: list, pos: y.at(n.GetToken())}
		for _, v := range n.Values {
			out.items = append(out.items, y.node(v))
		}
		return out
	case *ast.AliasNode:
		return &node{pos: y.at(n.GetToken()), refused: true}
	case *ast.TagNode: // refused already; what follows is read all the same
		out := y.node(n.Value)
		out.refused = out.kind == null // most likely a text that began with !
		return out
	case *ast.AnchorNode:
		return y.node(n.Value)
	case *ast.LiteralNode:
		return y.block(n)
	default:
		text := y.scalar(n.GetToken())
		return &node{kind: scalar, pos: y.at(n.GetToken()), text: text}
	}
}

func (y *yamlReader) entry(v *ast.MappingValueNode) entry {
	var key Text
	if inner, ok := v.Key.(*ast.MappingKeyNode); ok && inner.Value != nil {
		key = y.scalar(inner.Value.GetToken()) // refused already
	} else {
		key = y.scalar(v.Key.GetToken())
	}
	return entry{key, y.node(v.Value)}
}

// scalar is the text of a token that is one plain or quoted value.
func (y *yamlReader) scalar(tk *token.Token) Text {
	if tk == nil {
		return Text{Pos: Pos{1, 1}}
	}
	pos := y.at(tk)
	offset := y.offset(pos)
	t := Text{Value: tk.Value}
	switch tk.Type {
	case token.SingleQuoteType:
		t.style = singleQuoted
	case token.DoubleQuoteType:
		t.style = doubleQuoted
	default:
	}
	if t.style != plain && offset < len(y.text) {
		offset++
		pos.Column++
	}
	t.Pos, t.rawPos, t.raw = pos, pos, y.text[offset:]
	y.checkText(t)
	return t
}

// block is the text of a | or > value.
func (y *yamlReader) block(n *ast.LiteralNode) *node {
	pos := y.at(n.Start)
	out := &node{kind: scalar, pos: pos}
	first := pos.Line // the header's line; its index is the number of the next line
	if first >= len(y.lines) {
		out.text = Text{Pos: pos, rawPos: pos, style: block}
		return out
	}
	c := cursor{y.text[y.lines[first]:], Pos{first + 1, 1}}
	t := Text{raw: c.rest, rawPos: c.pos, style: block}
	if n.Value != nil {
		t.Value = n.Value.Value
	}
	if t.Value != "" {
		c.skipSpace()
	}
	if t.Pos = c.pos; c.rest == "" || t.Value == "" {
		t.Pos = pos
	}
	out.text = t
	y.checkText(t)
	return out
}

// checkText refuses what escapes can smuggle into a text.
func (y *yamlReader) checkText(t Text) {
	for n, r := range []rune(t.Value) {
		if r == 0 || r == utf8.RuneError {
			y.add(t.At(n), "the text holds a character that is not allowed (NUL, or no character at all)")
			return
		}
	}
}
