// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"time"

	celast "github.com/google/cel-go/common/ast"

	"lapwing/schemas/definition"
)

// maxLinted is the most stages of a model that are compared with each other: the work
// grows with their square.
const maxLinted = 100

// lintStages names stages that can never be reached, of the same condition, and those
// whose `idle` forgets who never did it.
func (c *compiler) lintStages(m *definition.Model) {
	if len(m.Stages) > maxLinted {
		return
	}
	f := c.newFormulas()
	var conditions []*formula
	for _, s := range m.Stages {
		ast := c.ast(s.When)
		if ast == nil {
			return
		}
		conditions = append(conditions, f.of(ast.Expr()))
		if s.When.Value == "true" {
			break // the parser has said that nothing behind it can hold
		}
	}
	never := c.idleEvents(m, &f)
	if !f.settle() {
		return
	}
	for j := range conditions {
		if f.possible(conditions[j:j+1], conditions[:j]) {
			c.lintForgotten(m.Stages[j].When, c.ast(m.Stages[j].When), f, conditions[j], conditions[:j])
			continue
		}
		c.warnText(m.Stages[j].When, "%s", c.unreachable(m, &f, conditions, j))
	}
	if last := len(conditions) - 1; last == len(m.Stages)-1 {
		for _, idle := range never {
			c.lintNever(m, &f, idle, conditions[:last])
		}
	}
}

// unreachable says why nobody is ever in the j-th stage.
func (c *compiler) unreachable(m *definition.Model, f *formulas, conditions []*formula, j int) string {
	name := m.Stages[j].Name.Value
	text := canonical(c.ast(m.Stages[j].When).Expr())
	for i := range j {
		if canonical(c.ast(m.Stages[i].When).Expr()) == text {
			return fmt.Sprintf("stage %q can never be reached: %q on line %d has the same condition, and comes first", name, m.Stages[i].Name.Value, m.Stages[i].Name.Pos.Line)
		}
	}
	if !f.possible(conditions[j:j+1], nil) {
		return fmt.Sprintf("stage %q can never be reached: the parts of its condition exclude one another", name)
	}
	for i := range j {
		if f.possible(conditions[j:j+1], conditions[i:i+1]) {
			continue
		}
		other := m.Stages[i].Name
		message := fmt.Sprintf("stage %q can never be reached: where its condition holds, that of %q on line %d does too, and comes first", name, other.Value, other.Pos.Line)
		if f.possible(conditions[i:i+1], conditions[j:j+1]) {
			message += fmt.Sprintf("; put %q before it", name)
		}
		return message
	}
	if j == len(m.Stages)-1 {
		before := m.Stages[j-1].Name
		return fmt.Sprintf("stage %q can never be reached: the stages before it leave nobody; take it out, and give %q on line %d the condition true", name, before.Value, before.Pos.Line)
	}
	return fmt.Sprintf("stage %q can never be reached: whoever its condition holds for is in a stage before it", name)
}

// idleStage is a stage that somebody is in for an idle() alone.
type idleStage struct {
	when   definition.Text
	call   celast.Expr
	event  string
	never  *formula // never(event)
	lately *formula // not never, and not idle
}

// idleEvents are the events that a stage's idle() is about, each once.
func (c *compiler) idleEvents(m *definition.Model, f *formulas) []idleStage {
	var out []idleStage
	known := map[string]bool{}
	for _, s := range m.Stages {
		ast := c.ast(s.When)
		if ast == nil {
			continue
		}
		for _, part := range unguarded(ast.Expr()) {
			fn, args := tableCall(part)
			if fn == nil || fn.name != "idle" || len(args) < 2 {
				continue
			}
			event, ok := textLiteral(args[0])
			if w, written := durationArgument(fn, 1, args[1]); ok && written && !known[event] {
				known[event] = true
				out = append(out, idleStage{s.When, part, event, f.never(event), f.age(event, false, w)})
			}
		}
	}
	return out
}

// lintNever says of a model that moves customers who are idle, and keeps those who never
// did it among those who lately did: earlier are the conditions of all stages but the last.
func (c *compiler) lintNever(m *definition.Model, f *formulas, idle idleStage, earlier []*formula) {
	if !f.possible([]*formula{idle.never}, earlier) || !f.possible([]*formula{idle.lately}, earlier) {
		return
	}
	last := m.Stages[len(m.Stages)-1].Name.Value
	c.warnNode(idle.when, c.ast(idle.when), idle.call,
		"idle('%s', …) is false for who never did it: they come to stage %q, beside those who did it lately; if that is not meant, give them a stage of their own, such as {stage: prospect, when: never('%s')}",
		idle.event, last, idle.event)
}

// lintForgotten names windows that are longer than anonymous customers are remembered,
// in a condition that holds for anonymous customers alone. Behind earlier, its stage is
// looked for.
func (c *compiler) lintForgotten(t definition.Text, ast *celast.AST, f formulas, when *formula, earlier []*formula) {
	anonymous := f.byKey["anonymous()"]
	if anonymous == nil {
		return
	}
	known := negated(f.named("anonymous()", formBool))
	if f.possible([]*formula{when, known}, earlier) {
		return
	}
	keep := c.def.AnonymousRetention
	celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		fn, args := tableCall(e)
		if fn == nil {
			return
		}
		for i, arg := range args {
			ms, ok := durationArgument(fn, i, arg)
			if w := time.Duration(ms) * time.Millisecond; ok && (fn.args[i] == argWindow || fn.args[i] == argSpan) && w > keep {
				c.warnNode(t, ast, arg, "a window of %s for anonymous customers, who are forgotten with all they did after %s of silence (`retain: {anonymous: …}`): what lies before such a silence does not count",
					shortDuration(w), shortDuration(keep))
			}
		}
	}))
}
