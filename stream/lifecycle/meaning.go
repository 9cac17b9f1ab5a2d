// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"strings"

	celast "github.com/google/cel-go/common/ast"

	"lapwing/schemas/definition"
)

// meaning is all by which an event is told from another of its name: two definitions that
// give it the same count the same. Its parts are by name, for whoever says what changed.
type meaning []meant

type meant struct{ part, text string }

func (a meaning) equal(b meaning) bool { return slices.Equal(a, b) }

// changed names the parts that differ.
func (a meaning) changed(b meaning) (parts []string) {
	find := func(m meaning, part string) string {
		for _, p := range m {
			if p.part == part {
				return p.text
			}
		}
		return ""
	}
	for _, p := range slices.Concat(a, b) {
		if find(a, p.part) != find(b, p.part) && !slices.Contains(parts, p.part) {
			parts = append(parts, p.part)
		}
	}
	return parts
}

// findMeanings settles what the events mean, sources before what is derived from them.
func (c *compiler) findMeanings() {
	done := map[int]bool{}
	for range c.events { // a chain is at most as long as there are events
		for i, e := range c.events {
			if done[i] || e.source != nil && !done[e.source.index] {
				continue
			}
			e.meaning, done[i] = c.meaningOf(&c.def.Events[i], e), true
		}
	}
}

func (c *compiler) meaningOf(src *definition.Event, e *eventDef) meaning {
	var m meaning
	add := func(part, text string) {
		if text != "" {
			m = append(m, meant{part, text})
		}
	}
	patterns := func(all []definition.Match) string {
		var texts []string
		for _, p := range all {
			texts = append(texts, fmt.Sprintf("%q %q %q", p.Type, p.Event, p.Name))
		}
		slices.Sort(texts) // any of them: their order means nothing
		return strings.Join(slices.Compact(texts), ", ")
	}
	if e.source != nil {
		add("from", fmt.Sprintf("%s %q", e.source.name, e.source.meaning))
		add("gap", src.Gap.String())
		add("first", fmt.Sprint(src.First))
	}
	add("match", patterns(src.Match))
	add("where", c.expressionMeaning(src.Where))
	add("value", c.expressionMeaning(src.Value))
	add("key", c.expressionMeaning(src.Key))
	if src.Refund != nil {
		add("refund", patterns(src.Refund.Match)+"; "+c.expressionMeaning(src.Refund.Value)+"; "+c.expressionMeaning(src.Refund.Key))
	}
	if src.Resolution > 0 {
		add("resolution", src.Resolution.String())
	}
	return m
}

// expressionMeaning is what an expression over a message comes to once params are filled in,
// however it is written, with what else it depends on.
func (c *compiler) expressionMeaning(t definition.Text) string {
	if strings.TrimSpace(t.Value) == "" {
		return ""
	}
	said := len(c.problems)
	ast, ok := c.parseCEL(t, scopeMessage)
	c.problems = c.problems[:said] // they have been said before
	if !ok {
		return t.Value // nothing is compiled
	}
	text, zoned := structure(ast.Expr()), false
	celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		zoned = zoned || e.Kind() == celast.IdentKind && e.AsIdent() == "at"
	}))
	if zoned && c.def.Zone != nil {
		text += "; timezone: " + c.def.Zone.String()
	}
	return text
}

// structure is a text of an expression's tree: the same for two that differ in white space,
// comments and quotes alone.
func structure(e celast.Expr) string {
	all := func(list []celast.Expr) string {
		texts := make([]string, len(list))
		for i, x := range list {
			texts[i] = structure(x)
		}
		return strings.Join(texts, ", ")
	}
	switch e.Kind() {
	case celast.LiteralKind:
		return canonicalLiteral(e)
	case celast.IdentKind:
		return e.AsIdent()
	case celast.SelectKind:
		s := e.AsSelect()
		return fmt.Sprintf("%s.%q %v", structure(s.Operand()), s.FieldName(), s.IsTestOnly())
	case celast.ListKind:
		return "[" + all(e.AsList().Elements()) + "]"
	case celast.CallKind:
		call := e.AsCall()
		text := call.FunctionName() + "(" + all(call.Args()) + ")"
		if call.IsMemberFunction() {
			text = structure(call.Target()) + "." + text
		}
		return text
	case celast.ComprehensionKind:
		x := e.AsComprehension()
		return fmt.Sprintf("for(%s, %s, %s)", x.IterVar(), x.AccuVar(),
			all([]celast.Expr{x.IterRange(), x.AccuInit(), x.LoopCondition(), x.LoopStep(), x.Result()}))
	default: // maps and messages, which are refused
		return fmt.Sprint(e.Kind())
	}
}
