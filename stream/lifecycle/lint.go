// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"strconv"
	"time"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"

	"lapwing/schemas/definition"
)

// Lints are warnings about definitions that mean something, but most likely not what
// was wanted. What one of them claims is so: who doubts it finds the reasons in space.go,
// and TestUnreachableStagesAreNeverReached compares it with the oracle.

// Check is Compile for whoever shows problems to the author of a definition. parsed are
// those that definition.ParsePartial found; what is returned has them too, in the order
// of the file. A definition without errors is looked at for what was most likely not meant, which takes
// some milliseconds more. d may be nil.
func Check(d *definition.Definition, parsed []definition.Problem) (*Model, []definition.Problem) {
	if d == nil {
		return nil, parsed
	}
	c := newCompiler(d)
	if !definition.HasErrors(parsed) {
		c.parsed, c.paramsRead, c.lintBudget = map[placed]*celast.AST{}, map[string]bool{}, totalBudget
	}
	model, problems := c.compile()
	return model, definition.Shown(slices.Concat(parsed, problems))
}

// placed is a condition by its place in the file.
type placed struct {
	pos   definition.Pos
	value string
}

// ast is a condition's tree; nil if it has none.
func (c *compiler) ast(t definition.Text) *celast.AST { return c.parsed[placed{t.Pos, t.Value}] }

// lint says what is odd about a definition without errors.
func (c *compiler) lint() {
	for i := range c.def.Models {
		c.lintStages(&c.def.Models[i])
	}
	c.lintSegments()
	c.lintCampaigns()
	c.lintParams()
	c.lintDedupe()
	c.noteUnread()
	c.eachCondition(c.lintResolution)
	c.eachCondition(c.lintArguments)
}

// lintArguments names statistics of an event without values, and traits that are spelt
// almost as a declared one.
func (c *compiler) lintArguments(t definition.Text, ast *celast.AST) {
	declared := make([]string, 0, len(c.def.Traits))
	for _, d := range c.def.Traits {
		declared = append(declared, d.Name.Value)
	}
	celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		f, args := tableCall(e)
		if f == nil || len(args) == 0 {
			return
		}
		name, _ := textLiteral(args[0])
		switch f.name {
		case "sum", "avg", "min", "max":
			ev := c.eventByName[name]
			if ev == nil || !c.def.Events[ev.index].Value.IsZero() {
				return
			}
			is := "unknown"
			if f.name == "sum" {
				is = "0"
			}
			c.warnNode(t, ast, args[0], "event %q has no `value`, so that this %s is always %s: give it one, or count its occurrences", name, f.name, is)
		case "trait", "known", "due":
			if hint := definition.Suggest(name, declared); hint != "" && !slices.Contains(declared, name) {
				c.warnNode(t, ast, args[0], "trait %q is not among `traits`%s", name, hint)
			}
		}
	}))
}

// warnText is a warning about a whole condition or name.
func (c *compiler) warnText(t definition.Text, format string, args ...any) {
	c.warn(t.Pos, format, args...)
	c.problems[len(c.problems)-1].Width = t.Width()
}

// warnNode is a warning about a part of a condition.
func (c *compiler) warnNode(t definition.Text, ast *celast.AST, e celast.Expr, format string, args ...any) {
	c.warn(definition.Pos{}, format, args...)
	p := &c.problems[len(c.problems)-1]
	p.Pos, p.Width = c.span(t, ast, e)
}

// eachCondition calls fn with every condition over customers, in the order of the file.
func (c *compiler) eachCondition(fn func(t definition.Text, ast *celast.AST)) {
	call := func(t definition.Text) {
		if ast := c.ast(t); ast != nil && !t.IsZero() {
			fn(t, ast)
		}
	}
	for _, m := range c.def.Models {
		for _, s := range m.Stages {
			call(s.When)
		}
	}
	for _, s := range c.def.Segments {
		call(s.When)
		call(s.By)
	}
	for _, campaign := range c.def.Campaigns {
		call(campaign.Audience)
		for _, g := range campaign.Goals {
			call(g.When)
		}
	}
}

// lintSegments names segments of the same condition, and those that nobody is ever in.
func (c *compiler) lintSegments() {
	first := map[string]definition.Text{}
	for _, s := range c.def.Segments {
		text := s.When
		if text.IsZero() {
			text = s.By
		}
		ast := c.ast(text)
		if ast == nil {
			continue
		}
		key := canonical(ast.Expr())
		if !s.By.IsZero() {
			key = "by " + key
		}
		if other, twice := first[key]; twice {
			c.warnText(text, "segment %q has the same condition as %q on line %d: one of them is enough", s.Name.Value, other.Value, other.Pos.Line)
			continue
		}
		first[key] = s.Name
		if s.By.IsZero() {
			f := c.newFormulas()
			when := f.of(ast.Expr())
			if !f.settle() {
				continue
			}
			if !f.possible([]*formula{when}, nil) {
				c.warnText(text, "nobody can ever be in segment %q: its parts exclude one another", s.Name.Value)
			} else {
				c.lintForgotten(text, ast, f, when, nil)
			}
		}
	}
}

// lintParams names params that no condition reads.
func (c *compiler) lintParams() {
	names := sortedKeys(c.paramsRead)
	for _, p := range c.def.Params {
		if !c.paramsRead[p.Name.Value] {
			c.warnText(p.Name, "nothing reads param %q: changing it changes nothing%s", p.Name.Value, definition.Suggest(p.Name.Value, names))
		}
	}
}

// noteUnread finds the events that no condition and no goal reads. That is no fault: they are
// counted, as all events are, in activity and aggregates.
func (c *compiler) noteUnread() {
	read := map[*eventDef]bool{}
	c.eachCondition(func(_ definition.Text, ast *celast.AST) {
		celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
			f, args := tableCall(e)
			if f == nil {
				return
			}
			for i, arg := range args[:min(len(args), len(f.args))] {
				name, _ := textLiteral(arg)
				for event := c.eventByName[name]; f.args[i] == argEvent && event != nil; event = event.source {
					read[event] = true
				}
			}
		}))
	})
	for _, e := range c.events {
		for source := e; e.pursued && source != nil; source = source.source {
			read[source] = true
		}
	}
	for _, e := range c.events {
		if !read[e] {
			c.unread = append(c.unread, e.name)
		}
	}
}

// Unread are the events that no condition and no goal reads, in the order of the file; nil of a
// Model that Check has not made.
func (m *Model) Unread() []string { return m.unread }

// lintDedupe says that messageIds are forgotten with the customer.
func (c *compiler) lintDedupe() {
	d := c.def
	if d.DedupePos == (definition.Pos{}) || d.Dedupe <= d.AnonymousRetention {
		return
	}
	c.warn(d.DedupePos, "`dedupe` is longer than the %s after which silent anonymous customers are forgotten (`retain: {anonymous: …}`): their messageIds are forgotten with them, and what is sent again later counts again",
		shortDuration(d.AnonymousRetention))
	c.problems[len(c.problems)-1].Width = len("dedupe")
}

// coarse are the functions whose windows `resolution: 1h` makes coarse.
var coarse = []string{"count", "sum", "avg", "min", "max", "days", "unique"}

// leastCoarse is the window from which an hour more matters little.
const leastCoarse = 6 * time.Hour

// lintResolution names windows that an hour's resolution changes much.
func (c *compiler) lintResolution(t definition.Text, ast *celast.AST) {
	celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		f, args := tableCall(e)
		if f == nil || !slices.Contains(coarse, f.name) {
			return
		}
		name, _ := textLiteral(args[0])
		event := c.eventByName[name]
		if event == nil || event.resolution == 0 {
			return
		}
		for i, arg := range args {
			ms, ok := durationArgument(f, i, arg)
			if !ok {
				continue
			}
			w := time.Duration(ms) * time.Millisecond
			switch {
			case w%time.Hour != 0:
				c.warnNode(t, ast, arg, "event %q has `resolution: 1h`, so that what happens counts until the first full hour after %s: write whole hours, or take the resolution away",
					name, shortDuration(w))
			case w < leastCoarse:
				c.warnNode(t, ast, arg, "event %q has `resolution: 1h`, so that this window is %s to %s long: take the resolution away if that matters",
					name, shortDuration(w), shortDuration(w+time.Hour))
			}
		}
	}))
}

// tableCall is the function of the language that e calls, and the arguments; nil if it
// calls none.
func tableCall(e celast.Expr) (*function, []celast.Expr) {
	if e.Kind() != celast.CallKind || e.AsCall().IsMemberFunction() {
		return nil, nil
	}
	return functionNamed(e.AsCall().FunctionName()), e.AsCall().Args()
}

// unguarded are the parts of a condition each of which alone makes it hold.
func unguarded(e celast.Expr) []celast.Expr { return flatten(e, operators.LogicalOr) }

// shortDuration is a duration as a definition has it, in the largest unit that is whole.
func shortDuration(d time.Duration) string {
	for _, u := range []struct {
		unit   time.Duration
		suffix string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// span is where a part of a condition begins, and how many characters of that line it takes.
func (c *compiler) span(t definition.Text, ast *celast.AST, e celast.Expr) (definition.Pos, int) {
	loc := ast.SourceInfo().GetStartLocation(e.ID())
	runes := []rune(t.Value)
	from := offsetOf(runes, loc.Line(), loc.Column())
	return t.Span(from, tokenEnd(runes, from, true))
}
