// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"

	"lapwing/schemas/explanation"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Explain says where the customer stands at an instant, why, and until when. clock is the
// event time up to which all deadlines are to have been played: the state tells nothing
// of instants before its frontier, and not yet of those after its next deadline, so that
// the instant explained is the one nearest to clock that it does tell of. instant.None is
// the frontier. The customer must have begun; nothing is changed.
//
// What a message was is not in a state: message ids are for the caller to fill in.
func (m *Model) Explain(s *State, customer string, clock instant.Instant) *explanation.Explanation {
	out := &explanation.Explanation{
		CustomerID: customer, Definition: m.def.Name.Value, DefinitionVersion: m.def.Version, TimeZone: m.def.Zone.String(),
		At: explanation.Time(s.Clock()), Waiting: len(s.held), ForgottenAt: explanation.None, Unremembered: int64(s.forgotten),
		Models: []explanation.Model{}, Segments: []explanation.Segment{}, Events: []explanation.Event{}, Traits: []explanation.Trait{},
	}
	if !s.begun {
		return out
	}
	x := &explainer{m: m, s: s, ahead: scratch{beyond: ahead{customer: customer}}, now: max(s.frontier, min(int64(clock), s.deadline-1))}
	out.At = explanation.Time(x.now)
	if at := m.expiry(s); at != never {
		out.ForgottenAt = explanation.Time(at)
	}
	for i := range m.rules {
		switch {
		case m.rules[i].model:
			out.Models = append(out.Models, x.model(i))
		case m.rules[i].campaign != nil:
			out.Campaigns = append(out.Campaigns, x.campaign(i, customer))
		default:
			out.Segments = append(out.Segments, x.segment(i))
		}
	}
	for _, e := range m.events {
		if s.of(e).total(e) > 0 {
			out.Events = append(out.Events, x.event(e))
		}
	}
	for i := range s.traits {
		if s.traits[i].raw != "null" {
			out.Traits = append(out.Traits, x.trait(s.traits[i].name))
		}
	}
	return out
}

// explainer explains one state at one instant.
type explainer struct {
	m     *Model
	s     *State
	now   int64
	ahead scratch
}

func (x *explainer) model(rule int) explanation.Model {
	r, mb := &x.m.rules[rule], &x.s.rules[rule]
	out := explanation.Model{
		Model: r.name, Stage: r.stages[mb.stage].name, Since: explanation.Time(mb.since),
		Came: x.came(rule), Next: x.next(rule),
	}
	for i := range r.stages[:mb.stage+1] {
		s := &r.stages[i]
		out.Stages = append(out.Stages, explanation.Stage{Stage: s.name, Condition: x.whole(s.written, s.text)})
	}
	return out
}

func (x *explainer) segment(rule int) explanation.Segment {
	r, mb := &x.m.rules[rule], &x.s.rules[rule]
	in := mb.stage == inSegment
	out := explanation.Segment{
		Segment: r.name, In: in, Since: explanation.None, Came: noneCame(),
		Condition: x.whole(r.written, r.text), Next: x.next(rule),
	}
	if r.by && in {
		out.Segment += "=" + mb.by.value
	}
	if in || !r.by && mb.sequence > 0 {
		out.Since, out.Came = explanation.Time(mb.since), x.came(rule)
	}
	return out
}

// whole explains a condition.
func (x *explainer) whole(w *written, text string) explanation.Condition {
	c := x.condition(w, w.ast.Expr())
	c.Text = text // with the parentheses around it
	return c
}

// condition explains an expression and its parts.
func (x *explainer) condition(w *written, e celast.Expr) explanation.Condition {
	v, until := x.value(w, e, x.now)
	c := explanation.Condition{Text: w.source(e), Value: v.json(), Until: timeOrNone(until)}
	if call, ok := w.calls[e.ID()]; ok {
		c.Facts = x.facts(&call, v, until)
		for _, arg := range e.AsCall().Args() {
			if w.nodes[arg.ID()].span != nil { // a window that is the customer's own
				c.Parts = append(c.Parts, x.condition(w, arg))
			}
		}
		return c
	}
	var parts []celast.Expr
	switch e.Kind() {
	case celast.CallKind:
		c.Operator = operatorName(e.AsCall().FunctionName())
		parts = operandsOf(e, e.AsCall().FunctionName(), nil)
	case celast.ListKind:
		c.Operator, parts = "[]", e.AsList().Elements()
	case celast.SelectKind:
		c.Operator, parts = ".", []celast.Expr{e.AsSelect().Operand()}
	default:
	}
	for _, p := range parts {
		if p.Kind() == celast.LiteralKind && !w.isParam(p) {
			continue // it says itself
		}
		c.Parts = append(c.Parts, x.condition(w, p))
	}
	return c
}

// value is what an expression is at an instant, as far as the present state tells, and
// how long it stays at least.
func (x *explainer) value(w *written, e celast.Expr, at int64) (v value, until int64) {
	ev := &eval{s: x.s, rules: x.s.rules, now: at, deadline: never}
	n := w.nodes[e.ID()]
	if n.span != nil {
		ms, ok := n.span(ev)
		if !ok {
			return value{}, never
		}
		return value{kind: isText, s: durationText(ms)}, never
	}
	if n.windowed == nil {
		return n.v(ev), ev.deadline
	}
	// A count looks no further than its comparison asks; here it tells all that is kept.
	c := w.calls[e.ID()]
	counted := c.args.events[0]
	if c.name == "count_since" {
		return integer(x.s.since(counted, c.args.events[1])), never
	}
	k, until := x.s.of(counted).countWindow(counted, at, c.args.window, maxKept)
	return integer(k), until
}

// durationText is a duration as definitions write one, of several units if need be: 30d,
// 10d12h, 1m30s, 250ms.
func durationText(ms int64) string {
	days, rest := ms/dayMillis, (time.Duration(ms%dayMillis) * time.Millisecond).String()
	if strings.HasSuffix(rest, "m0s") {
		rest = strings.TrimSuffix(rest, "0s")
	}
	if strings.HasSuffix(rest, "h0m") {
		rest = strings.TrimSuffix(rest, "0m")
	}
	switch {
	case days == 0:
		return rest
	case ms%dayMillis == 0:
		return strconv.FormatInt(days, 10) + "d"
	default:
		return strconv.FormatInt(days, 10) + "d" + rest
	}
}

// operandsOf are what an operator stands between; a && b && c has three.
func operandsOf(e celast.Expr, name string, to []celast.Expr) []celast.Expr {
	c := e.AsCall()
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]celast.Expr{c.Target()}, args...)
	}
	for _, arg := range args {
		chained := name == operators.LogicalAnd || name == operators.LogicalOr
		if chained && arg.Kind() == celast.CallKind && arg.AsCall().FunctionName() == name {
			to = operandsOf(arg, name, to)
		} else {
			to = append(to, arg)
		}
	}
	return to
}

// operatorName is how an operator is written; a method by its name.
func operatorName(name string) string {
	switch name {
	case operators.Conditional:
		return "?:"
	case operators.Index:
		return "[]"
	}
	if operator, ok := operators.FindReverse(name); ok && operator != "" {
		return operator
	}
	return name
}

// isParam reports whether a literal stands for a param.
func (w *written) isParam(e celast.Expr) bool {
	offsets, ok := w.ast.SourceInfo().GetOffsetRange(e.ID())
	return ok && int(offsets.Start) < len(w.text) && w.text[offsets.Start] == '.'
}

// json is the value as JSON; null if it is unknown.
func (v value) json() json.RawMessage {
	switch v.kind {
	case isText:
		return record.AppendString(nil, v.s)
	case isTime:
		return record.AppendInstant(nil, v.at)
	case isList:
		if v.raw == nil {
			out := json.RawMessage("[")
			for i, item := range v.list {
				if i > 0 {
					out = append(out, ',')
				}
				out = append(out, item.json()...)
			}
			return append(out, ']')
		}
		return json.RawMessage(oneLine(v.raw))
	case isObject:
		return json.RawMessage(oneLine(v.raw))
	case isNumber:
		return json.RawMessage(v.n.String())
	default:
		if text, ok := v.text(); ok {
			return json.RawMessage(text)
		}
		return json.RawMessage("null")
	}
}

// timeOrNone is an instant of the fold; never is none.
func timeOrNone(at int64) explanation.Time {
	if at == never {
		return explanation.None
	}
	return explanation.Time(at)
}
