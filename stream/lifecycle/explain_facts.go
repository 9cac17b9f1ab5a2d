// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"encoding/json"
	"math"
	"sort"

	"lapwing/schemas/decimal"
	"lapwing/schemas/explanation"
	"lapwing/schemas/instant"
)

// facts are what a function has read to come to its value. Of one that is not named here
// they are what is known of its arguments.
func (x *explainer) facts(c *call, v value, until int64) *explanation.Facts {
	f := &explanation.Facts{Function: c.name, Due: explanation.None}
	for _, e := range c.args.events {
		f.Events = append(f.Events, x.event(e))
	}
	if c.args.trait != "" {
		t := x.trait(c.args.trait)
		f.Trait = &t
	}
	if c.args.model >= 0 {
		f.Place = x.place(c.args.model, c.args.stage, "")
	}
	if c.args.segment >= 0 {
		f.Place = x.place(c.args.segment, inSegment, c.args.byValue)
	}
	if c.args.campaign >= 0 {
		f.Campaign = x.part(c.args.campaign)
	}
	switch c.name {
	case "first", "never":
		f.Decided = x.occurrence(c.args.events[0], (*series).firstOf)
	case "seen", "idle", "count", "sum", "avg", "min", "max", "days", "unique", "rhythm", "favourite":
		f.Decided = x.occurrence(c.args.events[0], (*series).last)
	case "after", "count_since":
		f.Decided = x.decidesAfter(c)
	case "count_from":
		f.Decided = x.occurrence(c.args.events[0], (*series).firstOf)
		f.Window = x.windowFrom(c, v)
	case "due":
		if at, ok := instant.Parse(x.s.trait(c.args.trait).s); ok {
			f.Due = explanation.Time(int64(at) + c.args.offset)
		}
	case "stage_for":
		if f.Place.In {
			f.Due = explanation.Time(x.s.rules[c.args.model].since + c.args.window)
		}
	default:
	}
	switch c.name {
	case "first", "seen", "idle":
		if f.Decided != nil {
			if w, ok := x.windowOf(c); ok {
				f.Due = f.Decided.At + explanation.Time(w)
			}
		}
	case "count", "sum", "avg", "min", "max", "days", "unique":
		if c.windowed {
			f.Window = x.window(c, v, until)
		}
	default:
	}
	return f
}

// windowOf is how long the window of a call is, in milliseconds; not ok if it is a rhythm
// that is not known yet.
func (x *explainer) windowOf(c *call) (w int64, ok bool) {
	if c.args.span == nil {
		return c.args.window, true
	}
	return c.args.span(&eval{s: x.s, rules: x.s.rules, now: x.now, deadline: never})
}

// event is what is known of an event.
func (x *explainer) event(e *eventDef) explanation.Event {
	s := x.s.of(e)
	out := explanation.Event{Event: e.name, Times: s.total(e), First: explanation.None, Last: explanation.None, Dropped: s.dropped()}
	if out.Times > 0 {
		out.First, out.Last = explanation.Time(s.first()), explanation.Time(s.last(e))
	}
	return out
}

// firstOf is first, with the event that last wants.
func (s *series) firstOf(*eventDef) int64 { return s.first() }

func (x *explainer) occurrence(e *eventDef, at func(*series, *eventDef) int64) *explanation.Occurrence {
	s := x.s.of(e)
	if s.total(e) == 0 {
		return nil
	}
	return &explanation.Occurrence{Event: e.name, At: explanation.Time(at(s, e))}
}

// decidesAfter is the later of the lasts of a and b: a's makes after(a, b) true, b's false;
// of count_since(a, b) it is the last that counted, or that began the count anew.
func (x *explainer) decidesAfter(c *call) *explanation.Occurrence {
	a, b := x.occurrence(c.args.events[0], (*series).last), x.occurrence(c.args.events[1], (*series).last)
	if a == nil || b != nil && b.At >= a.At {
		return b
	}
	return a
}

// window is what lies in (now - w, now].
func (x *explainer) window(c *call, v value, until int64) *explanation.Window {
	e, w := c.args.events[0], c.args.window
	s := x.s.of(e)
	out := &explanation.Window{After: explanation.Time(x.now - w), To: explanation.Time(x.now), Oldest: explanation.None, Leaves: explanation.None}
	if c.name == "count" && e.resolution != 0 { // hours are counted, not occurrences kept
		out.Times, out.Leaves = int64(v.n/decimal.Scale), timeOrNone(until)
		return out
	}
	i, n := s.window(e, x.now, w), s.size(e)
	out.Times = int64(n - i)
	if i < n {
		out.Oldest, out.Leaves = explanation.Time(s.at(e, i)), explanation.Time(e.leaves(s.at(e, i), w))
	}
	edge := s.edge()
	out.AtLeast = edge != math.MinInt64 && e.leaves(edge, w) > x.now
	return out
}

// windowFrom is the window of count_from, which does not move.
func (x *explainer) windowFrom(c *call, v value) *explanation.Window {
	anchor, e := x.s.of(c.args.events[0]), c.args.events[1]
	if anchor.total(c.args.events[0]) == 0 {
		return nil
	}
	from := anchor.first()
	s := x.s.of(e)
	return &explanation.Window{
		After: explanation.Time(from), To: explanation.Time(from + c.args.window), Times: int64(v.n / decimal.Scale),
		AtLeast: s.edge() > from, Oldest: explanation.None, Leaves: explanation.None,
	}
}

func (x *explainer) trait(name string) explanation.Trait {
	t := explanation.Trait{Trait: name, Value: json.RawMessage("null"), Set: explanation.None}
	i := sort.Search(len(x.s.traits), func(i int) bool { return x.s.traits[i].name >= name })
	if i < len(x.s.traits) && x.s.traits[i].name == name {
		t.Value, t.Set = json.RawMessage(bytes.TrimSpace([]byte(x.s.traits[i].raw))), explanation.Time(x.s.traits[i].at)
	}
	return t
}

// place is whether the customer is in a stage or segment, and since when it is where it is.
func (x *explainer) place(rule int, stage int32, byValue string) *explanation.Place {
	r, mb := &x.m.rules[rule], &x.s.rules[rule]
	p := &explanation.Place{In: mb.stage == stage, Since: explanation.None}
	switch {
	case r.model:
		p.Model, p.Stage = r.name, r.stages[stage].name
	case r.by:
		p.Segment = r.name + "=" + byValue
		p.In = p.In && mb.by.value == byValue
	default:
		p.Segment = r.name
	}
	if r.model || p.In || !r.by && mb.sequence > 0 {
		p.Since = explanation.Time(mb.since)
	}
	return p
}

func integer(n int64) value { return number(decimal.FromInt(n)) }
