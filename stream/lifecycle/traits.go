// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"time"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

// A trait that the definition declares is of its type or unknown, so that a condition
// which takes it for something else is found before anybody meets it.

// declaredKinds are the kinds of values that the types of traits stand for.
var declaredKinds = map[definition.TraitType]kind{
	definition.TraitNumber: isNumber, definition.TraitText: isText, definition.TraitBool: isBool,
	definition.TraitTime: isTime, definition.TraitList: isList,
}

// traitNode reads a trait.
func (x *exprCompiler) traitNode(name string) node {
	of, ok := x.traitTypes[name]
	if !ok {
		return node{v: func(ev *eval) value { return ev.s.trait(name) }}
	}
	want, zone := declaredKinds[of], x.def.Zone
	read := func(ev *eval) value { return ev.s.trait(name).as(want, zone) }
	var n node
	switch want {
	case isNumber:
		n = numberNode(func(ev *eval) (decimal.Decimal, bool) { v := read(ev); return v.n, v.kind == isNumber })
	case isBool:
		n = boolNode(func(ev *eval) tri { return read(ev).tri() })
	default:
	}
	n.v, n.kind, n.declared = read, want, fmt.Sprintf("trait %q is declared as %s", name, of)
	return n
}

// as is v as a value of the kind, else unknown: a number may be a numeric string, a
// time is a text.
func (v value) as(want kind, zone *time.Location) value {
	switch {
	case v.kind == want:
		return v
	case v.kind != isText:
		return value{}
	case want == isNumber:
		if n, ok := decimal.Parse(v.s); ok {
			return value{kind: isNumber, n: n, raw: []byte(v.s)}
		}
	case want == isTime:
		if at, ok := instant.Parse(v.s); ok {
			return value{kind: isTime, at: at, zone: zone}
		}
	default:
	}
	return value{}
}

// kindsTaken are the kinds of values that an operator or function takes, and how many
// of its operands must be of them, from the first on.
func kindsTaken(name string) (kinds []kind, operands int) {
	const all = 1 << 10
	switch name {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
		return []kind{isBool}, all
	case operators.Conditional:
		return []kind{isBool}, 1
	case operators.Subtract, operators.Multiply, operators.Divide, operators.Negate:
		return []kind{isNumber}, all
	case operators.Add:
		return []kind{isNumber, isText, isList}, all
	case operators.Index:
		return []kind{isList}, 1
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return []kind{isNumber, isText, isTime}, all
	case "contains", "startsWith", "endsWith", "matches", "timestamp":
		return []kind{isText}, all
	case "size":
		return []kind{isText, isList}, all
	}
	if _, ok := timeParts[name]; ok {
		return []kind{isTime}, all
	}
	return nil, 0
}

// checkDeclared reports every operand that is declared as what the operator or
// function does not take.
func (x *exprCompiler) checkDeclared(name string, operands []celast.Expr, args []node) {
	kinds, n := kindsTaken(name)
	for i := range min(n, len(args)) {
		if a := args[i]; a.declared != "" && !slices.Contains(kinds, a.kind) {
			x.problem(x.place(x.text, x.ast, operands[i]), "%s, and %s takes a %s", a.declared, shownOperator(name), kindList(kinds))
		}
	}
	switch name {
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.Add:
		x.checkPair(operands, args)
	case operators.In:
		x.checkIn(operands, args)
	}
}

// checkPair reports two operands of different kinds, if one of them is declared.
func (x *exprCompiler) checkPair(operands []celast.Expr, args []node) {
	for i, a := range args {
		other := args[1-i]
		if k := other.staticKind(); a.declared != "" && k != isUnknown && k != a.kind {
			hint := ""
			if a.kind == isTime && other.lit != nil && k == isText {
				hint = fmt.Sprintf(": write timestamp('%s')", other.lit.s)
			}
			x.problem(x.place(x.text, x.ast, operands[i]), "%s, and what stands beside it is a %s%s", a.declared, kindNames[k], hint)
			return
		}
	}
}

// checkIn reports an `in` that looks into what is no list, or for what its list cannot hold.
func (x *exprCompiler) checkIn(operands []celast.Expr, args []node) {
	if list := args[1]; list.declared != "" && list.kind != isList {
		x.problem(x.place(x.text, x.ast, operands[1]), "%s, and in looks into a list", list.declared)
	}
	if args[0].declared == "" {
		return
	}
	for i := range args[1].items {
		if k := args[1].items[i].staticKind(); k != isUnknown && k != args[0].kind {
			x.problem(x.place(x.text, x.ast, operands[0]), "%s, and the list has a %s", args[0].declared, kindNames[k])
			return
		}
	}
}

// checkTruth reports a condition that is declared as something else.
func (x *exprCompiler) checkTruth(e celast.Expr, n node) {
	if n.declared != "" && n.kind != isBool {
		x.problem(x.place(x.text, x.ast, e), "%s, and a condition is true or false", n.declared)
	}
}

// kindList are kinds as a message lists them.
func kindList(kinds []kind) string {
	text := kindNames[kinds[0]]
	for i, k := range kinds[1:] {
		if i == len(kinds)-2 {
			text += " or " + kindNames[k]
		} else {
			text += ", " + kindNames[k]
		}
	}
	return text
}

// shownOperator is an operator, or a function, as it is written.
func shownOperator(name string) string {
	if shown, ok := operators.FindReverse(name); ok && shown != "" {
		return shown
	}
	switch name {
	case operators.Conditional:
		return "? :"
	case operators.Index:
		return "[ ]"
	}
	return name + "()"
}
