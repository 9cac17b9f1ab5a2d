// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"

	celast "github.com/google/cel-go/common/ast"

	"lapwing/schemas/explanation"
)

func noneCame() explanation.Came {
	return explanation.Came{Events: []string{}, Traits: []string{}, Time: []string{}}
}

// came is what the state still shows of the instant at which the customer came to where
// it stands: of what the conditions that were looked at then read.
func (x *explainer) came(rule int) explanation.Came {
	out := noneCame()
	x.addCame(&out, rule, x.s.rules[rule].since)
	return out
}

func (x *explainer) addCame(out *explanation.Came, rule int, at int64) {
	r, mb := &x.m.rules[rule], &x.s.rules[rule]
	if !r.by && (mb.since != at || mb.sequence == 0) {
		return // of one per value the state does not know when it was left
	}
	for _, w := range r.lookedAt(mb) {
		w.eachCall(func(e celast.Expr, c *call) {
			for _, read := range c.args.events {
				if x.happened(read, at) {
					add(&out.Events, read.name)
				}
			}
			if t := c.args.trait; t != "" && x.trait(t).Set == explanation.Time(at) {
				add(&out.Traits, t)
			}
			for _, of := range []int{c.args.model, c.args.segment} {
				if of >= 0 {
					x.addCame(out, of, at)
				}
			}
			before, _ := x.value(w, e, at-1)
			then, _ := x.value(w, e, at)
			if string(before.json()) != string(then.json()) {
				add(&out.Time, w.source(e))
			}
		})
	}
}

func add(to *[]string, name string) {
	if !slices.Contains(*to, name) {
		*to = append(*to, name)
	}
}

// lookedAt are the conditions that say where a customer stands: those of a model up to
// its stage.
func (r *rule) lookedAt(mb *membership) []*written {
	switch {
	case r.campaign != nil:
		return r.conditions()
	case !r.model:
		return []*written{r.written}
	}
	return r.conditions()[:mb.stage+1]
}

func (r *rule) conditions() []*written {
	if c := r.campaign; c != nil {
		var all []*written
		if c.written != nil {
			all = append(all, c.written)
		}
		for i := range c.goals {
			if w := c.goals[i].written; w != nil {
				all = append(all, w)
			}
		}
		return all
	}
	if !r.model {
		return []*written{r.written}
	}
	all := make([]*written, len(r.stages))
	for i := range r.stages {
		all[i] = r.stages[i].written
	}
	return all
}

// eachCall calls fn with the calls of the language's functions, in the order of the text.
func (w *written) eachCall(fn func(celast.Expr, *call)) {
	celast.PreOrderVisit(w.ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		if c, ok := w.calls[e.ID()]; ok {
			fn(e, &c)
		}
	}))
}

// happened reports whether an event is known to have happened at an instant.
func (x *explainer) happened(e *eventDef, at int64) bool {
	s := x.s.of(e)
	if s.total(e) == 0 {
		return false
	}
	_, kept := s.find(e, at)
	return kept || s.first() == at || s.last(e) == at
}

// next is the first change of a rule if nothing comes, and what would keep it from coming.
func (x *explainer) next(rule int) *explanation.Next {
	at := x.m.upcoming(x.s, rule, x.s.frontier, &x.ahead)
	if at == never {
		return nil
	}
	r, then := &x.m.rules[rule], x.ahead.rules[rule]
	out := &explanation.Next{At: explanation.Time(at), Unless: []string{}, UnlessTraits: []string{}, PreventedBy: []string{}}
	if r.model {
		out.Stage = r.stages[then.stage].name
	} else {
		out.In = then.stage == inSegment
		if r.by && out.In {
			out.Value = then.by.value
		}
	}
	reads := x.m.readBy(r)
	out.UnlessTraits = append(out.UnlessTraits, reads.traits...)
	out.UnlessKnown = reads.anonymous && !x.s.known
	for i, e := range x.m.events {
		if !reads.events[i] {
			continue
		}
		out.Unless = append(out.Unless, e.name)
		if !reads.values[i] && x.prevents(rule, e, at, &then) {
			out.PreventedBy = append(out.PreventedBy, e.name)
		}
	}
	return out
}

// reads is what a rule and those that it reads look at.
type reads struct {
	events    map[int]bool // by index; never derived ones
	values    map[int]bool // those of which more than their instants is read
	traits    []string
	anonymous bool
}

// instantsOnly are the functions that read nothing of an occurrence but its instant.
var instantsOnly = map[string]bool{
	"never": true, "seen": true, "idle": true, "first": true, "after": true, "count": true,
	"count_since": true, "days": true, "count_from": true, "rhythm": true,
}

func (m *Model) readBy(r *rule) reads {
	out := reads{events: map[int]bool{}, values: map[int]bool{}}
	for _, i := range r.closure {
		if c := m.rules[i].campaign; c != nil {
			for k := range c.goals {
				if e := c.goals[k].event; e != nil {
					out.events[e.origin().index] = true
					out.values[e.origin().index] = true // a goal asks for more than that it is there
				}
			}
		}
		for _, w := range m.rules[i].conditions() {
			w.eachCall(func(_ celast.Expr, c *call) {
				for _, e := range c.args.events {
					origin := e.origin().index
					out.events[origin] = true
					out.values[origin] = out.values[origin] || !instantsOnly[c.name]
				}
				if c.args.trait != "" {
					add(&out.traits, c.args.trait)
				}
				out.anonymous = out.anonymous || c.name == "anonymous"
			})
		}
	}
	return out
}

// origin is the event that messages count as, of a derived one.
func (e *eventDef) origin() *eventDef {
	for e.source != nil {
		e = e.source
	}
	return e
}

// prevents reports whether the change of a rule at an instant does not come if the event
// happens a millisecond before it.
func (x *explainer) prevents(rule int, e *eventDef, at int64, change *membership) bool {
	m, s := x.m, *x.s
	s.series = slices.Clone(s.series)
	for i, f := range m.events {
		if f.origin() == e && s.series[i] != nil {
			s.series[i] = s.series[i].clone()
		}
	}
	ev := &eval{s: &s, rules: slices.Clone(s.rules), ahead: &ahead{campaigns: slices.Clone(s.campaigns), customer: x.ahead.beyond.customer}}
	r := &m.rules[rule]
	playTo := func(limit int64) {
		for t := int64(-1); ; {
			due := r.nextDeadline(ev.rules)
			if due > limit || due <= t {
				return
			}
			t = due
			m.playOn(ev, r.closure, due, bitset{})
		}
	}
	playTo(at - 1)
	s.frontier = at - 1
	st, dirty := step{m: m, s: &s, out: new(Output)}, bitset{}
	st.add(e, occurrence{at: at - 1, value: noNumber, props: make([]uint64, len(e.props))}, &dirty)
	m.playOn(ev, r.closure, at-1, dirty)
	playTo(at)
	return !ev.rules[rule].same(change)
}

// clone is a copy to which occurrences can be added.
func (s *series) clone() *series {
	out := *s
	out.rows = slices.Clone(s.rows)
	if s.tally != nil {
		t := *s.tally
		t.hours = slices.Clone(t.hours)
		for i := range t.hours {
			t.hours[i] = slices.Clone(t.hours[i])
		}
		out.tally = &t
	}
	return &out
}
