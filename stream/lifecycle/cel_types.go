// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"

	"lapwing/schemas/definition"
)

// typeIssues turns what the type-checker says into problems at their place in the file.
func (c *compiler) typeIssues(text definition.Text, s scope, ast *celast.AST, issues *cel.Issues) {
	nodes, named := map[int64]celast.Expr{}, map[int64]bool{} // named: stands where a text must
	celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		nodes[e.ID()] = e
		if f, args := tableCall(e); f != nil {
			for _, arg := range args {
				named[arg.ID()] = true
			}
		}
	}))
	for _, e := range issues.Errors() {
		message := strings.SplitN(e.Message, "\n", 2)[0]
		if name, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
			name, _, _ = strings.Cut(name, "'")
			node := nodes[e.ExprID]
			switch _, param := c.params[name]; {
			case named[e.ExprID] && s == scopeCondition && !param:
				message = fmt.Sprintf("%s is not known here; if it is meant by its name, it stands in quotes: '%s'", name, name)
			case node != nil && node.Kind() == celast.CallKind && node.AsCall().IsMemberFunction():
				message = fmt.Sprintf("there is nothing that is called .%s(): of texts there are contains, startsWith, endsWith, matches and size, of lists exists, all, filter, map and size", name)
			default:
				message = c.undeclared(name, s, node != nil && node.Kind() == celast.IdentKind)
			}
		} else if rest, ok := strings.CutPrefix(message, "found no matching overload for '"); ok {
			name, applied, _ := strings.Cut(rest, "'")
			applied = strings.TrimSuffix(strings.TrimPrefix(applied, " applied to '"), "'")
			message = c.explainOverload(name, kindsIn(applied), nodes[e.ExprID])
		} else {
			message = explainType(message)
		}
		c.problem(position(text, e.Location.Line(), e.Location.Column()), "%s", message)
	}
}

// checkNames names what a condition that cannot be checked calls by names that do not exist.
func (c *compiler) checkNames(text definition.Text, s scope, ast *celast.AST) {
	if s != scopeCondition {
		return
	}
	x := &exprCompiler{compiler: c, text: text, scope: s, ast: ast, reads: &bitset{}, deps: map[int]bool{}}
	celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		f, args := tableCall(e)
		if f == nil || len(args) < f.required || len(args) > len(f.args) {
			return
		}
		a := resolved{window: never}
		for i, arg := range args {
			if name, ok := textLiteral(arg); ok {
				x.resolve(&a, f.args[i], name, x.place(text, ast, arg))
			} else if f.args[i] == argModel {
				a.model = -1
			} else if f.args[i] == argCampaign {
				a.campaign = -1
			}
		}
	}))
}

// undeclared says what may be meant by a name that is not known in the scope: by one that
// stands alone, or by one that is called.
func (c *compiler) undeclared(name string, s scope, alone bool) string {
	if name == "params" {
		return "params is read as params.NAME"
	}
	if operator, ok := operators.FindReverse(name); ok && operator != "" {
		return fmt.Sprintf("the operator %s does not exist here: there are + - * /, the comparisons, in, && || ! and ? :", operator)
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
		return fmt.Sprintf("%s is not known here; the name of an event stands in quotes: '%s', in a function such as count('%s')", name, name, name)
	}
	if _, ok := c.params[name]; ok {
		return fmt.Sprintf("%s is not known here; a param is read as params.%s", name, name)
	}
	if _, ok := c.segmentByName[name]; ok {
		return fmt.Sprintf("%s is not known here; a segment is read as in_segment('%s')", name, name)
	}
	if !alone {
		return fmt.Sprintf("there is no function %s()%s", name, didYouMean(name, names))
	}
	if s == scopeCondition {
		if lower := strings.ToLower(name); lower == "true" || lower == "false" {
			return fmt.Sprintf("%s is not known here; did you mean `%s`?", name, lower)
		}
		return fmt.Sprintf("%s is not known here: a trait is trait('%s'), a text is '%s'", name, name, name)
	}
	if hint := definition.Suggest(name, messageNames); hint != "" {
		return fmt.Sprintf("%s is not known here%s", name, hint)
	}
	return fmt.Sprintf("%s is not known here: a property is read as properties.%s", name, name)
}

// plainKinds are what people call the types of the checker.
var plainKinds = map[string]string{
	"double": "a number", "string": "a text", "bool": "a condition", "timestamp": "a time", "google.protobuf.Timestamp": "a time", "duration": "a duration", "google.protobuf.Duration": "a duration", "null": "nothing",
}

// kindsIn are the types of "a.(b, c)" or "(a, b)", the target of a method first.
func kindsIn(signature string) []string {
	target, list, method := strings.Cut(signature, ".(")
	var out []string
	if method {
		out = append(out, plainKind(target))
	} else {
		list = strings.TrimPrefix(signature, "(")
	}
	depth, from := 0, 0
	list = strings.TrimSuffix(list, ")")
	for i := 0; i <= len(list); i++ {
		switch {
		case i == len(list) || list[i] == ',' && depth == 0:
			if arg := strings.TrimSpace(list[from:i]); arg != "" {
				out = append(out, plainKind(arg))
			}
			from = i + 1
		case list[i] == '(':
			depth++
		case list[i] == ')':
			depth--
		}
	}
	return out
}

func plainKind(name string) string {
	if kind, ok := plainKinds[name]; ok {
		return kind
	}
	switch {
	case strings.HasPrefix(name, "list"):
		return "a list"
	case strings.HasPrefix(name, "map"):
		return "an object"
	default:
		return "any value"
	}
}

// explainType says in plain words what else the checker may find.
func explainType(message string) string {
	switch {
	case strings.Contains(message, "does not support field selection"):
		kind := strings.TrimPrefix(message, "type '")
		kind, _, _ = strings.Cut(kind, "'")
		return fmt.Sprintf("%s has no fields: only properties, traits and context have", plainKind(kind))
	case strings.HasPrefix(message, "expected type 'bool' but found '"):
		kind := strings.TrimSuffix(strings.TrimPrefix(message, "expected type 'bool' but found '"), "'")
		return fmt.Sprintf("a condition is expected here, and this is %s%s", plainKind(kind), compareIt(plainKind(kind), "a condition"))
	case strings.Contains(message, "cannot be range of a comprehension"):
		return "only a list can be searched"
	default:
		return message
	}
}

// explainOverload says that an operator or function got the wrong arguments, and what
// it takes. call may be nil.
func (c *compiler) explainOverload(name string, kinds []string, call celast.Expr) string {
	if f := functionNamed(name); f != nil {
		return c.explainArguments(f, kinds)
	}
	side := func(i int, wanted string) string {
		if len(kinds) == 2 {
			return fmt.Sprintf("%s of it is %s%s", [...]string{"what stands left", "what stands right"}[i], kinds[i], compareIt(kinds[i], wanted))
		}
		return fmt.Sprintf("this is %s%s", kinds[i], compareIt(kinds[i], wanted))
	}
	switch name {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
		operator, _ := operators.FindReverse(name)
		if name == operators.LogicalNot {
			operator = "!"
		}
		for i, kind := range kinds {
			if kind != "a condition" && kind != "any value" {
				return fmt.Sprintf("%s takes conditions, and %s", operator, side(i, "a condition"))
			}
		}
	case operators.Subtract, operators.Multiply, operators.Divide, operators.Negate:
		operator, _ := operators.FindReverse(name)
		if name == operators.Negate {
			operator = "-"
		}
		for i, kind := range kinds {
			if kind != "a number" && kind != "any value" {
				return fmt.Sprintf("%s takes numbers, and %s", operator, side(i, "a number"))
			}
		}
	case operators.Add:
		return fmt.Sprintf("+ adds two numbers or joins two texts, and these are %s", strings.Join(kinds, " and "))
	case operators.Conditional:
		if len(kinds) == 3 && kinds[0] != "a condition" && kinds[0] != "any value" {
			return fmt.Sprintf("before ? stands a condition, and this is %s%s", kinds[0], compareIt(kinds[0], "a condition"))
		}
		if len(kinds) == 3 {
			return fmt.Sprintf("what stands before : and behind it must be of one kind, and these are %s and %s", kinds[1], kinds[2])
		}
	}
	shown := strings.Trim(strings.ReplaceAll(name, "_", " "), " ")
	if operator, ok := operators.FindReverse(name); ok && operator != "" {
		shown = operator
	}
	if takes, ok := methods[name]; ok {
		return fmt.Sprintf("%s, and here it is given %s", takes, strings.Join(kinds, " and "))
	}
	return fmt.Sprintf("%s cannot be applied to %s", shown, strings.Join(kinds, " and "))
}

// methods are what the functions of texts and times take.
var methods = map[string]string{
	"contains":   "contains is asked of a text about a text, such as event.contains('Order')",
	"startsWith": "startsWith is asked of a text about a text, such as event.startsWith('Order')",
	"endsWith":   "endsWith is asked of a text about a text, such as event.endsWith('ed')",
	"matches":    "matches is asked of a text about a pattern in quotes, such as event.matches('^Order')",
	"size":       "size takes one text, list or object",
	"timestamp":  "timestamp takes a text in quotes, such as timestamp('2026-03-01T00:00:00Z')",
}

// compareIt is advice for who wrote a number where a condition is wanted.
func compareIt(kind, wanted string) string {
	switch {
	case wanted == "a condition" && kind == "a number":
		return ": compare it, such as … >= 1"
	case wanted == "a condition" && kind == "a text":
		return ": compare it, such as … == 'FR'"
	default:
		return ""
	}
}

// explainArguments says what a function of the language misses, has too much, or takes.
func (c *compiler) explainArguments(f *function, kinds []string) string {
	if slices.Contains(kinds, "a duration") && slices.Contains(f.args, argWindow) {
		return fmt.Sprintf("the window of %s is written out, such as '90d': %s; a rhythm can be the window of idle and seen", f.name, f.fixed())
	}
	switch n := len(kinds); {
	case f.bound != "" && n == len(f.args)-1:
		return fmt.Sprintf("%s is written %s: %s", f.name, f.signature, f.bound)
	case n < f.required:
		return fmt.Sprintf("%s is written %s: the %s is missing, such as %s", f.name, f.signature, argumentNames[f.args[n]], c.example(f.args[n]))
	case n > len(f.args) && len(f.args) == 0:
		return fmt.Sprintf("%s is written %s: it takes nothing in its parentheses", f.name, f.signature)
	case n > len(f.args):
		return fmt.Sprintf("%s is written %s: it is given %d arguments, and takes at most %d", f.name, f.signature, n, len(f.args))
	}
	for i, kind := range kinds {
		if kind != "a text" && kind != "any value" && (kind != "a duration" || f.args[i] != argSpan) {
			return fmt.Sprintf("%s is written %s: its %s is a text in quotes, such as %s, and this is %s", f.name, f.signature, argumentNames[f.args[i]], c.example(f.args[i]), kind)
		}
	}
	return fmt.Sprintf("%s is written %s", f.name, f.signature)
}

// fixed is why the function's window must be known beforehand.
func (f *function) fixed() string {
	if f.name == "first" || f.name == "stage_for" {
		return "with one that moves with every event it would come and go"
	}
	return "what it keeps of a customer is settled by it before any event comes"
}

// example is what an argument can be in this definition.
func (c *compiler) example(a argument) string {
	first := func(names []string, otherwise string) string {
		if len(names) > 0 {
			return "'" + names[0] + "'"
		}
		return otherwise
	}
	switch a {
	case argEvent:
		var names []string
		for _, e := range c.events {
			names = append(names, e.name)
		}
		return first(names, "'purchase'")
	case argWindow, argSpan:
		return "'90d'"
	case argHalfLife:
		return "'30d'"
	case argOffset:
		return "'-3d'"
	case argProperty:
		return "'category'"
	case argTrait:
		return "'country'"
	case argModel:
		return first(sortedKeys(c.modelByName), "'value'")
	case argStage:
		if len(c.def.Models) > 0 && len(c.def.Models[0].Stages) > 0 {
			return "'" + c.def.Models[0].Stages[0].Name.Value + "'"
		}
		return "'lost'"
	case argCampaign:
		return first(sortedKeys(c.campaignByName), "'winback'")
	case argVariant:
		return "'short'"
	case argGoal:
		return "'bought'"
	default:
		return first(sortedKeys(c.segmentByName), "'big_spenders'")
	}
}
