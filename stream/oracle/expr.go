// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/parser"
)

// parse reads an expression; has() and the comprehensions stay calls.
func parse(source string) (ast.Expr, error) {
	p, err := parser.NewParser()
	if err != nil {
		return nil, fmt.Errorf("make parser: %w", err)
	}
	tree, problems := p.Parse(common.NewTextSource(source))
	if len(problems.GetErrors()) > 0 {
		return nil, fmt.Errorf("parse %q: %s", source, problems.ToDisplayString())
	}
	return tree.Expr(), nil
}

// scope is what an expression is evaluated in.
type scope struct {
	params map[string]value
	vars   map[string]value // of a message, or of comprehensions
	// value says that this is a `value`: numeric strings are numbers.
	value bool
	// call is a function of the contract; nil in expressions over a message.
	call func(name string, args []value) (value, bool)
}

// with is s with one more variable.
func (s scope) with(name string, v value) scope {
	vars := map[string]value{name: v}
	for k, old := range s.vars {
		if k != name {
			vars[k] = old
		}
	}
	s.vars = vars
	return s
}

func (s scope) eval(x ast.Expr) value {
	switch x.Kind() {
	case ast.LiteralKind:
		return ofLiteral(x)
	case ast.IdentKind:
		return s.vars[x.AsIdent()]
	case ast.SelectKind:
		field := x.AsSelect().FieldName()
		if base := x.AsSelect().Operand(); base.Kind() == ast.IdentKind && base.AsIdent() == "params" {
			return s.params[field]
		}
		return ofJSON(s.eval(x.AsSelect().Operand()).object[field])
	case ast.ListKind:
		v := value{kind: list}
		for _, element := range x.AsList().Elements() {
			v.list = append(v.list, s.eval(element))
		}
		return v
	case ast.CallKind:
		return s.evalCall(x.AsCall())
	default:
		return value{}
	}
}

func ofLiteral(x ast.Expr) value {
	switch v := x.AsLiteral().(type) {
	case types.Bool:
		return ofBool(bool(v))
	case types.String:
		return ofText(string(v))
	case types.Int:
		return ofNumber(new(big.Rat).SetInt64(int64(v)))
	case types.Uint:
		return ofNumber(new(big.Rat).SetInt(new(big.Int).SetUint64(uint64(v))))
	case types.Double: // at most 15 digits, so the shortest text is the one that was written
		r, _ := new(big.Rat).SetString(strconv.FormatFloat(float64(v), 'f', -1, 64))
		return ofNumber(r)
	default:
		return value{}
	}
}

func (s scope) evalCall(c ast.CallExpr) value {
	args := c.Args()
	if c.IsMemberFunction() {
		return s.evalMember(c)
	}
	switch c.FunctionName() {
	case operators.LogicalAnd:
		return and(s.eval(args[0]), s.eval(args[1]))
	case operators.LogicalOr:
		return or(s.eval(args[0]), s.eval(args[1]))
	case operators.LogicalNot:
		return not(s.eval(args[0]))
	case operators.Conditional:
		switch c := s.eval(args[0]); {
		case c.kind != boolean:
			return value{}
		case c.truth:
			return s.eval(args[1])
		default:
			return s.eval(args[2])
		}
	case operators.Equals:
		return equal(s.eval(args[0]), s.eval(args[1]))
	case operators.NotEquals:
		return not(equal(s.eval(args[0]), s.eval(args[1])))
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return s.ordered(c.FunctionName(), s.eval(args[0]), s.eval(args[1]))
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide:
		return s.arithmetic(c.FunctionName(), s.eval(args[0]), s.eval(args[1]))
	case operators.Negate:
		return s.arithmetic(operators.Subtract, ofInt(0), s.eval(args[0]))
	case operators.In:
		return in(s.eval(args[0]), s.eval(args[1]))
	case operators.Index:
		return index(s.eval(args[0]), s.eval(args[1]))
	case "has":
		return ofBool(s.present(args[0]))
	case "size":
		return size(s.eval(args[0]))
	case "timestamp":
		at, ok := parseTime(s.eval(args[0]).text)
		if !ok {
			return value{}
		}
		return value{kind: moment, moment: at.Time()}
	}
	if s.call == nil {
		return value{}
	}
	given := make([]value, len(args))
	for i, a := range args {
		given[i] = s.eval(a)
	}
	v, _ := s.call(c.FunctionName(), given)
	return v
}

// present is has(): there is something, and it is not null.
func (s scope) present(x ast.Expr) bool {
	if x.Kind() != ast.SelectKind {
		return false
	}
	v := s.eval(x.AsSelect().Operand())
	return v.kind == object && v.object[x.AsSelect().FieldName()] != nil
}

func and(a, b value) value {
	switch {
	case a.kind == boolean && !a.truth, b.kind == boolean && !b.truth:
		return ofBool(false)
	case a.holds() && b.holds():
		return ofBool(true)
	default:
		return value{}
	}
}

func or(a, b value) value { return not(and(not(a), not(b))) }

func not(a value) value {
	if a.kind != boolean {
		return value{}
	}
	return ofBool(!a.truth)
}

func (s scope) ordered(op string, a, b value) value {
	if s.value {
		if x, y := a.numeric(), b.numeric(); x != nil && y != nil {
			a, b = ofNumber(x), ofNumber(y)
		}
	}
	order, ok := compare(a, b)
	if !ok {
		return value{}
	}
	switch op {
	case operators.Less:
		return ofBool(order < 0)
	case operators.LessEquals:
		return ofBool(order <= 0)
	case operators.Greater:
		return ofBool(order > 0)
	default:
		return ofBool(order >= 0)
	}
}

func (s scope) arithmetic(op string, a, b value) value {
	if op == operators.Multiply && (a.kind == span || b.kind == span) {
		return times(a, b)
	}
	x, y := a.number, b.number
	if s.value {
		x, y = a.numeric(), b.numeric()
	}
	if x == nil || y == nil {
		if op == operators.Add && a.kind == text && b.kind == text {
			return ofText(a.text + b.text)
		}
		return value{}
	}
	switch op {
	case operators.Add:
		return ofNumber(new(big.Rat).Add(x, y))
	case operators.Subtract:
		return ofNumber(new(big.Rat).Sub(x, y))
	case operators.Multiply:
		return ofNumber(new(big.Rat).Mul(x, y))
	default:
		if y.Sign() == 0 {
			return value{}
		}
		return ofNumber(new(big.Rat).Quo(x, y))
	}
}

// in is membership: of a list, or of an object's keys.
func in(element, container value) value {
	if element.kind == unknown {
		return value{}
	}
	switch container.kind {
	case list:
		found := ofBool(false)
		for _, v := range container.list {
			found = or(found, equal(element, ofJSON(v)))
		}
		return found
	case object:
		return ofBool(element.kind == text && container.object[element.text] != nil)
	default:
		return value{}
	}
}

func index(container, at value) value {
	switch {
	case container.kind == object && at.kind == text:
		return ofJSON(container.object[at.text])
	case container.kind == list && at.kind == number && at.number.IsInt():
		i := at.number.Num()
		if i.Sign() < 0 || i.Cmp(big.NewInt(int64(len(container.list)))) >= 0 {
			return value{}
		}
		return ofJSON(container.list[i.Int64()])
	default:
		return value{}
	}
}
