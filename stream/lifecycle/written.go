// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// written is a condition as it was read: its text, its expressions, and what each was
// compiled to. It is immutable.
type written struct {
	text  []rune
	ast   *celast.AST
	nodes map[int64]node // by the expression's id
	calls map[int64]call // of the language's functions
}

// call is one call of a function of the language.
type call struct {
	name string
	args resolved
	// windowed: it has a window, and what it reads are the occurrences in it.
	windowed bool
}

// newWritten keeps what x has compiled; nil for an expression over a message.
func newWritten(x *exprCompiler) *written {
	if x.nodes == nil {
		return nil
	}
	w := &written{text: []rune(x.text.Value), ast: x.ast, nodes: x.nodes, calls: map[int64]call{}}
	celast.PostOrderVisit(x.ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		if f := functionOf(e); f != nil {
			w.calls[e.ID()] = x.callOf(f, e)
		}
	}))
	return w
}

// functionOf is the function of the language that an expression calls; nil if none.
func functionOf(e celast.Expr) *function {
	if e.Kind() != celast.CallKind || e.AsCall().IsMemberFunction() {
		return nil
	}
	for i := range functions {
		if functions[i].name == e.AsCall().FunctionName() {
			return &functions[i]
		}
	}
	return nil
}

// callOf reads the arguments of a call once more. What is wrong with them has been said.
func (x *exprCompiler) callOf(f *function, e celast.Expr) call {
	c := call{name: f.name, args: resolved{window: never, model: -1, segment: -1, campaign: -1}}
	said := len(x.problems)
	for i, arg := range e.AsCall().Args() {
		if i >= len(f.args) {
			continue
		}
		if n := x.nodes[arg.ID()]; n.span != nil && f.args[i] == argSpan {
			c.args.span = n.span.asWindow()
		}
		if arg.Kind() != celast.LiteralKind {
			continue
		}
		if text, ok := arg.AsLiteral().(types.String); ok {
			x.resolve(&c.args, f.args[i], string(text), x.place(x.text, x.ast, arg))
			c.windowed = c.windowed || f.args[i] == argWindow
		}
	}
	x.problems = x.problems[:said]
	return c
}

// source is an expression as it is written.
func (w *written) source(e celast.Expr) string {
	lo, hi := w.span(e)
	if lo < 0 || hi > len(w.text) || lo >= hi {
		return strings.TrimSpace(string(w.text))
	}
	return strings.TrimSpace(string(w.text[lo:hi]))
}

// span is where an expression stands in the text, in runes, without the parentheses
// around it. CEL knows of each only one place: an operator's, a parenthesis's, a name's.
func (w *written) span(e celast.Expr) (lo, hi int) {
	offsets, ok := w.ast.SourceInfo().GetOffsetRange(e.ID())
	if !ok {
		return 0, len(w.text)
	}
	at := min(int(offsets.Start), max(0, len(w.text)-1))
	switch e.Kind() {
	case celast.CallKind:
		return w.spanOfCall(e.AsCall(), at)
	case celast.ListKind:
		return at, w.closing(at)
	case celast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return w.nameBefore(at), w.closing(at)
		}
		lo, _ = w.outer(e.AsSelect().Operand())
		return lo, w.nameAfter(at + 1)
	case celast.LiteralKind:
		switch w.text[at] {
		case '.': // of params.NAME
			return w.nameBefore(at), w.nameAfter(at + 1)
		case '\'', '"':
			return at, w.unquoted(at)
		default:
			return at, min(max(int(offsets.Stop), at+1), len(w.text))
		}
	default:
		return at, w.nameAfter(at)
	}
}

func (w *written) spanOfCall(c celast.CallExpr, at int) (lo, hi int) {
	args := c.Args()
	switch name := c.FunctionName(); {
	case c.IsMemberFunction():
		lo, _ = w.outer(c.Target())
		return lo, w.closing(at)
	case name == operators.Index:
		lo, _ = w.outer(args[0])
		return lo, w.closing(at)
	case name == operators.LogicalNot || name == operators.Negate:
		_, hi = w.outer(args[0])
		return at, hi
	case w.text[at] == '(':
		return w.nameBefore(at), w.closing(at)
	case len(args) >= 2: // an operator between
		lo, _ = w.outer(args[0])
		_, hi = w.outer(args[len(args)-1])
		return lo, hi
	default:
		return at, len(w.text)
	}
}

// outer is the span of an expression with the parentheses around it.
func (w *written) outer(e celast.Expr) (lo, hi int) {
	lo, hi = w.span(e)
	for {
		before, after := lo-1, hi
		for before >= 0 && isSpace(w.text[before]) {
			before--
		}
		for after < len(w.text) && isSpace(w.text[after]) {
			after++
		}
		if before < 0 || after >= len(w.text) || w.text[before] != '(' || w.text[after] != ')' ||
			w.isOfCall(before) { // a function's own
			return lo, hi
		}
		lo, hi = before, after+1
	}
}

// isOfCall reports whether a parenthesis belongs to the name before it.
func (w *written) isOfCall(paren int) bool {
	lo := w.nameBefore(paren)
	name := strings.TrimSpace(string(w.text[lo:paren]))
	return name != "" && name != "in"
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// nameBefore is where the name begins that ends at i, or before the space there; i if
// there is none.
func (w *written) nameBefore(i int) int {
	end := i
	for i > 0 && isSpace(w.text[i-1]) {
		i--
	}
	if i == 0 || !isNameRune(w.text[i-1]) {
		return end
	}
	for i > 0 && isNameRune(w.text[i-1]) {
		i--
	}
	return i
}

func (w *written) nameAfter(i int) int {
	for i < len(w.text) && isSpace(w.text[i]) {
		i++
	}
	for i < len(w.text) && isNameRune(w.text[i]) {
		i++
	}
	return i
}

// closing is behind the bracket that closes the first one at or after i.
func (w *written) closing(i int) int {
	depth := 0
	for i < len(w.text) {
		switch w.text[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth <= 0 {
				return i + 1
			}
		case '\'', '"':
			i = w.unquoted(i)
			continue
		}
		i++
	}
	return len(w.text)
}

// unquoted is behind the quoted text that begins at i.
func (w *written) unquoted(i int) int {
	quote, raw := w.text[i], i > 0 && (w.text[i-1] == 'r' || w.text[i-1] == 'R')
	n := 1
	if i+2 < len(w.text) && w.text[i+1] == quote && w.text[i+2] == quote {
		n = 3
	}
	for i += n; i < len(w.text); i++ {
		if w.text[i] == '\\' && !raw {
			i++
			continue
		}
		run := 0
		for run < n && i+run < len(w.text) && w.text[i+run] == quote {
			run++
		}
		if run == n {
			return i + n
		}
	}
	return len(w.text)
}
