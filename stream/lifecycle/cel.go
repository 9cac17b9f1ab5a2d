// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math"
	"regexp"
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
		c.celIssues(text, issues)
		return nil, false
	}
	ast := parsed.NativeRep()
	before := len(c.problems)
	celast.PostOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) { c.normalise(text, ast, e) }))
	if len(c.problems) > before {
		return nil, false
	}
	checked, issues := env.Check(parsed)
	if issues != nil && issues.Err() != nil {
		c.celIssues(text, issues)
		return nil, false
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
			c.problem(c.place(text, ast, e), "%d is no number here: numbers are below 10^14", int64(lit))
			return
		}
		e.SetKindCase(celast.NewExprFactory().NewLiteral(e.ID(), types.Double(float64(lit))))
	case types.Double:
		if d, ok := literalDecimal(float64(lit)); !ok || len(strings.Trim(strings.Map(digitsOnly, d.String()), "0")) > 15 {
			c.problem(c.place(text, ast, e), "this is no number here: numbers have at most 15 digits and are below 10^14")
		}
	case types.Uint, types.Bytes:
		c.problem(c.place(text, ast, e), "numbers are written plainly and text in quotes")
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

// celIssues turns cel-go's issues into problems at their place in the file.
func (c *compiler) celIssues(text definition.Text, issues *cel.Issues) {
	for _, e := range issues.Errors() {
		message := strings.SplitN(e.Message, "\n", 2)[0]
		if name, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
			name, _, _ = strings.Cut(name, "'")
			message = c.undeclared(name)
		} else if strings.HasPrefix(message, "found no matching overload for '") {
			message = explainOverload(message)
		} else {
			message = explainSyntax(text.Value, message)
		}
		c.problem(position(text, e.Location.Line(), e.Location.Column()), "%s", message)
	}
}

func (c *compiler) undeclared(name string) string {
	if name == "params" {
		return "params is read as params.NAME"
	}
	if name == "assigned" || name == "converted" {
		return name + "() belongs to campaigns, which this version does not understand yet"
	}
	var names []string
	for _, f := range functions {
		if f.name == name {
			return name + "() belongs to conditions: where, value and key read the message alone"
		}
		names = append(names, f.name)
	}
	if slices.Contains(messageNames, name) {
		return name + " belongs to the where, value and key of an event: a condition reads the customer, for example trait('country')"
	}
	if _, ok := c.eventByName[name]; ok {
		return fmt.Sprintf("%s is not known here; the name of an event stands in quotes: '%s'", name, name)
	}
	if operator, ok := operators.FindReverse(name); ok && operator != "" {
		return fmt.Sprintf("the operator %s does not exist here", operator)
	}
	return fmt.Sprintf("%s is not known here%s", name, didYouMean(name, append(names, messageNames...)))
}

// typeNames are what people call CEL's types.
var typeNames = strings.NewReplacer("double", "number", "string", "text", "bool", "condition", "google.protobuf.Duration", "duration", "dyn", "any value")

// explainOverload says in plain words that an operator or function got the wrong arguments.
func explainOverload(message string) string {
	rest := strings.TrimPrefix(message, "found no matching overload for '")
	name, applied, _ := strings.Cut(rest, "'")
	applied = strings.TrimSuffix(strings.TrimPrefix(applied, " applied to '("), ")'")
	applied = typeNames.Replace(applied)
	for _, f := range functions {
		if f.name == name {
			if strings.Contains(applied, "duration") && slices.Contains(f.args, argWindow) {
				return fmt.Sprintf("the window of %s is written out, such as '90d': %s; a rhythm can be the window of idle and seen", name, f.fixed())
			}
			if f.bound != "" && strings.Count(applied, ",")+1 == len(f.args)-1 {
				return fmt.Sprintf("%s(%s) is written %s: %s", name, applied, f.signature, f.bound)
			}
			return fmt.Sprintf("%s(%s) is written %s", name, applied, f.signature)
		}
	}
	shown := strings.Trim(strings.ReplaceAll(name, "_", " "), " ")
	if operator, ok := operators.FindReverse(name); ok && operator != "" {
		shown = operator
	}
	return fmt.Sprintf("%s cannot be applied to (%s)", shown, applied)
}

// fixed is why the function's window must be known beforehand.
func (f function) fixed() string {
	if f.name == "first" || f.name == "stage_for" {
		return "with one that moves with every event it would come and go"
	}
	return "what it keeps of a customer is settled by it before any event comes"
}

// slips are what people coming from other languages write, by what the parser says of it.
var slips = []struct{ said, advice string }{
	{"<EOF>", "the expression ends too early"},
	{"token recognition error at: '=", "to compare, write =="},
	{"token recognition error at: '‘", "write straight quotes: '"},
	{"token recognition error at: '’", "write straight quotes: '"},
	{"token recognition error at: '“", "write straight quotes: '"},
	{"token recognition error at: '”", "write straight quotes: '"},
	{"token recognition error at: '&", "write && for and"},
	{"token recognition error at: '|", "write || for or"},
	{"input 'and'", "write && for and"},
	{"input 'AND'", "write && for and"},
	{"input 'or'", "write || for or"},
	{"input 'OR'", "write || for or"},
	{"input 'not'", "write ! for not"},
	{"input 'NOT'", "write ! for not"},
}

// duration is one that was written without quotes, such as 90d.
var duration = regexp.MustCompile(`(?:^|[^'\w])-?\d+[smhdw]\b`)

// explainSyntax says what to write instead, where the slip is a known one, and else
// leaves out the parser's list of all that could have come.
func explainSyntax(text, message string) string {
	for _, s := range slips {
		if strings.Contains(message, s.said) {
			return s.advice
		}
	}
	if d := duration.FindString(text); d != "" {
		d = strings.TrimLeft(d, " ,(")
		return fmt.Sprintf("a duration stands in quotes: '%s'", d)
	}
	message, _, _ = strings.Cut(strings.TrimPrefix(message, "Syntax error: "), " expecting ")
	for _, prefix := range []string{"mismatched input ", "extraneous input ", "no viable alternative at input "} {
		if what, ok := strings.CutPrefix(message, prefix); ok {
			return what + " is not expected here: is an operator, a comma or a quote missing before it?"
		}
	}
	return message
}

// place is where an expression node begins in the file.
func (c *compiler) place(text definition.Text, ast *celast.AST, e celast.Expr) definition.Pos {
	loc := ast.SourceInfo().GetStartLocation(e.ID())
	return position(text, loc.Line(), loc.Column())
}

// position maps a line (from 1) and column (from 0) inside text to the file. Of a
// call CEL names the parenthesis; what people look at is the function's name.
func position(text definition.Text, line, column int) definition.Pos {
	runes := []rune(text.Value)
	offset := 0
	for ; line > 1 && offset < len(runes); offset++ {
		if runes[offset] == '\n' {
			line--
		}
	}
	offset = min(offset+max(column, 0), len(runes))
	if offset < len(runes) && runes[offset] == '(' {
		for offset > 0 && isNameRune(runes[offset-1]) {
			offset--
		}
	}
	return text.At(offset)
}

func isNameRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
