// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"lapwing/schemas/definition"
)

// canonical is one text for all conditions that are the same but for white space,
// quotes, the way numbers and durations are written, params, the order and repetition
// of what && and || join, and the side on which a comparison's operands stand. Two
// conditions of one canonical text hold for the same customers at the same instants;
// two of different ones may.
func canonical(e celast.Expr) string {
	switch e.Kind() {
	case celast.LiteralKind:
		return canonicalLiteral(e)
	case celast.IdentKind:
		return e.AsIdent()
	case celast.SelectKind:
		s := e.AsSelect()
		path := canonical(s.Operand()) + "." + s.FieldName()
		if s.IsTestOnly() {
			return "has(" + path + ")"
		}
		return path
	case celast.ListKind:
		return "[" + strings.Join(canonicalAll(e.AsList().Elements()), ", ") + "]"
	case celast.CallKind:
		return canonicalCall(e)
	default: // searching lists, which conditions cannot
		return fmt.Sprintf("expression %d at %p", e.ID(), e)
	}
}

func canonicalLiteral(e celast.Expr) string {
	switch lit := e.AsLiteral().(type) {
	case types.Double:
		if d, ok := literalDecimal(float64(lit)); ok {
			return d.String()
		}
	case types.String:
		return strconv.Quote(string(lit))
	case types.Bool:
		return strconv.FormatBool(bool(lit))
	}
	return "null"
}

func canonicalAll(list []celast.Expr) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = canonical(e)
	}
	return out
}

func canonicalCall(e celast.Expr) string {
	call := e.AsCall()
	name, args := call.FunctionName(), call.Args()
	switch name {
	case operators.LogicalAnd, operators.LogicalOr:
		var parts []string
		for _, part := range flatten(e, name) {
			parts = append(parts, canonical(part))
		}
		slices.Sort(parts)
		parts = slices.Compact(parts)
		if len(parts) == 1 {
			return parts[0]
		}
		return "(" + strings.Join(parts, " "+name+" ") + ")"
	case operators.Equals, operators.NotEquals:
		sides := canonicalAll(args)
		slices.Sort(sides)
		return "(" + strings.Join(sides, " "+name+" ") + ")"
	case operators.Greater:
		return "(" + canonical(args[1]) + " < " + canonical(args[0]) + ")"
	case operators.GreaterEquals:
		return "(" + canonical(args[1]) + " <= " + canonical(args[0]) + ")"
	case operators.Less:
		return "(" + canonical(args[0]) + " < " + canonical(args[1]) + ")"
	case operators.LessEquals:
		return "(" + canonical(args[0]) + " <= " + canonical(args[1]) + ")"
	}
	parts := canonicalAll(args)
	if f := functionNamed(name); f != nil && !call.IsMemberFunction() {
		for i, arg := range args {
			if ms, ok := durationArgument(f, i, arg); ok {
				parts[i] = strconv.FormatInt(ms, 10) + "ms"
			}
		}
	}
	text := name + "(" + strings.Join(parts, ", ") + ")"
	if call.IsMemberFunction() {
		text = canonical(call.Target()) + "." + text
	}
	return text
}

// flatten is what a chain of && (or of ||) joins.
func flatten(e celast.Expr, operator string) []celast.Expr {
	if e.Kind() == celast.CallKind && e.AsCall().FunctionName() == operator {
		args := e.AsCall().Args()
		return append(flatten(args[0], operator), flatten(args[1], operator)...)
	}
	return []celast.Expr{e}
}

// functionNamed is a function of the condition language; nil if there is none.
func functionNamed(name string) *function {
	for i := range functions {
		if functions[i].name == name {
			return &functions[i]
		}
	}
	return nil
}

// durationArgument is the i-th argument of f in milliseconds, if it is a window or an
// offset that is written out.
func durationArgument(f *function, i int, arg celast.Expr) (ms int64, ok bool) {
	if i >= len(f.args) {
		return 0, false
	}
	text, written := textLiteral(arg)
	if !written {
		return 0, false
	}
	switch f.args[i] {
	case argWindow, argSpan, argHalfLife:
		d, err := definition.ParseWindow(text)
		return d.Milliseconds(), err == nil
	case argOffset:
		d, err := definition.ParseOffset(text)
		return d.Milliseconds(), err == nil
	default:
		return 0, false
	}
}

// textLiteral is a text that is written out.
func textLiteral(e celast.Expr) (string, bool) {
	if e.Kind() != celast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}
