// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
)

// Conditions are CEL: cel-go parses and type-checks them. The evaluation is ours,
// since the contract's numbers are decimals, its logic has a third value, and each
// function also yields the earliest instant at which its value could change.

// scope says what an expression may read.
type scope uint8

const (
	scopeCondition scope = iota // when, by: the customer
	scopeMessage                // where, value, key: the message
)

// checker is the type-checking environment of a scope: declarations only. Building
// one costs milliseconds, so a compiler keeps it.
func (c *compiler) checker(s scope) *cel.Env {
	if env, ok := c.checkers[s]; ok {
		return env
	}
	env, err := cel.NewCustomEnv(declarations(s)...)
	if err != nil {
		panic(fmt.Sprintf("lifecycle: the table of functions is inconsistent: %v", err))
	}
	c.checkers[s] = env
	return env
}

func declarations(s scope) []cel.EnvOption {
	b, n, t, dyn, ts := cel.BoolType, cel.DoubleType, cel.StringType, cel.DynType, cel.TimestampType
	a := cel.TypeParamType("A")
	fn := func(name string, result *cel.Type, args ...*cel.Type) cel.EnvOption {
		return cel.Function(name, cel.Overload(overloadID(name, args), args, result))
	}
	method := func(name string, result *cel.Type, args ...*cel.Type) cel.EnvOption {
		return cel.Function(name, cel.MemberOverload("m_"+overloadID(name, args), args, result))
	}
	opts := []cel.EnvOption{
		cel.Macros(cel.StandardMacros...),
		fn(operators.LogicalAnd, b, b, b),
		fn(operators.LogicalOr, b, b, b),
		fn(operators.LogicalNot, b, b),
		fn(operators.NotStrictlyFalse, b, b),
		fn(operators.Equals, b, dyn, dyn),
		fn(operators.NotEquals, b, dyn, dyn),
		fn(operators.Less, b, dyn, dyn),
		fn(operators.LessEquals, b, dyn, dyn),
		fn(operators.Greater, b, dyn, dyn),
		fn(operators.GreaterEquals, b, dyn, dyn),
		fn(operators.In, b, dyn, dyn),
		fn(operators.Add, n, n, n),
		fn(operators.Add, t, t, t),
		fn(operators.Add, cel.ListType(a), cel.ListType(a), cel.ListType(a)),
		fn(operators.Subtract, n, n, n),
		fn(operators.Multiply, n, n, n),
		fn(operators.Divide, n, n, n),
		fn(operators.Negate, n, n),
		fn(operators.Conditional, a, b, a, a),
		fn(operators.Index, dyn, dyn, dyn),
		fn("size", n, dyn),
		fn("timestamp", ts, t),
		method("size", n, dyn),
		method("contains", b, t, t),
		method("startsWith", b, t, t),
		method("endsWith", b, t, t),
		method("matches", b, t, t),
	}
	for name := range timeParts {
		opts = append(opts, method(name, n, ts))
	}
	switch s {
	case scopeMessage:
		for _, name := range []string{"event", "name", "userId", "anonymousId"} {
			opts = append(opts, cel.Variable(name, t))
		}
		for _, name := range []string{"properties", "traits", "context"} {
			opts = append(opts, cel.Variable(name, cel.MapType(t, dyn)))
		}
		opts = append(opts, cel.Variable("at", ts), cel.Variable("local", ts))
	case scopeCondition:
		span := cel.DurationType
		opts = append(opts, fn(operators.Multiply, span, n, span), fn(operators.Multiply, span, span, n))
		results := map[result]*cel.Type{resultBool: b, resultNumber: n, resultAny: dyn, resultSpan: span, resultText: t}
		for _, f := range functions {
			args := make([]*cel.Type, 0, len(f.args))
			for i, a := range f.args {
				if a == argSpan {
					opts = append(opts, fn(f.name, results[f.result], append(slices.Clone(args), span)...))
				}
				args = append(args, t)
				if i+1 >= f.required {
					opts = append(opts, fn(f.name, results[f.result], slices.Clone(args)...))
				}
			}
			if len(f.args) == 0 {
				opts = append(opts, fn(f.name, results[f.result]))
			}
		}
	}
	return opts
}

func overloadID(name string, args []*cel.Type) string {
	id := name
	for _, a := range args {
		id += "_" + a.String()
	}
	return id
}

// parseCEL parses and type-checks one expression; integer literals become numbers
// and params.NAME the constant it stands for.
func (c *compiler) parseCEL(text definition.Text, s scope) (*celast.AST, bool) {
	env := c.checker(s)
	parsed, issues := env.Parse(text.Value)
	if issues != nil && issues.Err() != nil {
		c.syntaxIssues(text, issues)
		return nil, false
	}
	ast := parsed.NativeRep()
	before := len(c.problems)
	celast.PostOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) { c.normalise(text, ast, e) }))
	if len(c.problems) > before {
		c.checkNames(text, s, ast)
		return nil, false
	}
	checked, issues := env.Check(parsed)
	if issues != nil && issues.Err() != nil {
		c.typeIssues(text, s, ast, issues)
		c.checkNames(text, s, ast)
		return nil, false
	}
	if c.parsed != nil {
		c.parsed[placed{text.Pos, text.Value}] = checked.NativeRep()
	}
	return checked.NativeRep(), true
}

// normalise replaces, in place, literals and params of one expression node.
func (c *compiler) normalise(text definition.Text, ast *celast.AST, e celast.Expr) {
	if e.Kind() == celast.LiteralKind {
		c.normaliseLiteral(text, ast, e)
		return
	}
	if e.Kind() != celast.SelectKind {
		return
	}
	sel, fac := e.AsSelect(), celast.NewExprFactory()
	if sel.Operand().Kind() != celast.IdentKind || sel.Operand().AsIdent() != "params" || sel.IsTestOnly() {
		return
	}
	p, ok := c.params[sel.FieldName()]
	if c.paramsRead != nil {
		c.paramsRead[sel.FieldName()] = true
	}
	switch {
	case !ok:
		c.problem(c.place(text, ast, e), "there is no param %q%s", sel.FieldName(), didYouMean(sel.FieldName(), sortedKeys(c.params)))
	case p.IsString:
		e.SetKindCase(fac.NewLiteral(e.ID(), types.String(p.Value.Value)))
	case p.Value.Value == "true", p.Value.Value == "false":
		e.SetKindCase(fac.NewLiteral(e.ID(), types.Bool(p.Value.Value == "true")))
	default:
		f, err := strconv.ParseFloat(p.Value.Value, 64)
		if _, ok := decimal.Parse(p.Value.Value); err != nil || !ok {
			c.problem(p.Value.Pos, "param %s is no number", sel.FieldName())
			return
		}
		e.SetKindCase(fac.NewLiteral(e.ID(), types.Double(f)))
	}
}

func (c *compiler) normaliseLiteral(text definition.Text, ast *celast.AST, e celast.Expr) {
	switch lit := e.AsLiteral().(type) {
	case types.Int:
		if _, ok := decimal.FromInt(int64(lit)); !ok {
			c.problem(c.place(text, ast, e), "%d is too large: numbers are below 10^14; an id is a text, and stands in quotes", int64(lit))
			return
		}
		e.SetKindCase(celast.NewExprFactory().NewLiteral(e.ID(), types.Double(float64(lit))))
	case types.Double:
		if d, ok := literalDecimal(float64(lit)); !ok || len(strings.Trim(strings.Map(digitsOnly, d.String()), "0")) > 15 {
			c.problem(c.place(text, ast, e), "this is no number here: numbers have at most 15 digits and are below 10^14")
		}
	case types.Uint, types.Bytes:
		c.problem(c.place(text, ast, e), "numbers are written plainly, such as 5, and texts in quotes, such as 'a': no letter stands before or behind them")
	}
}

func digitsOnly(r rune) rune {
	if r >= '0' && r <= '9' {
		return r
	}
	return -1
}

// literalDecimal is the literal as written: a float64 holds 15 digits exactly, in
// that its shortest form is what was typed.
func literalDecimal(f float64) (decimal.Decimal, bool) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false
	}
	return decimal.Parse(strconv.FormatFloat(f, 'g', -1, 64))
}

// place is where an expression node begins in the file.
func (c *compiler) place(text definition.Text, ast *celast.AST, e celast.Expr) definition.Pos {
	loc := ast.SourceInfo().GetStartLocation(e.ID())
	return position(text, loc.Line(), loc.Column())
}
