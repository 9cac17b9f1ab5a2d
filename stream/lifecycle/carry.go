// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"math"
	"slices"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Carrier brings customers from one definition to another. What a customer has done counts
// on for every event that means the same in both, as far as the state holds it; an event
// that is new, or means something else, starts empty. Models and segments go on by their
// names: stages by theirs, with since and sequence. Traits, messageIds, keys, messages that
// wait and clocks stay. It is immutable and safe for concurrent use.
type Carrier struct {
	from, to *Model
	events   []carriedEvent // by event of to
	order    []int          // events of to, sources before what is derived from them
	into     []int          // by event of from: the event of to that goes on with it; -1: none
	rules    []carriedRule  // by rule of to
	gone     []int          // rules of from that to lacks
	missing  []Missing
}

type carriedEvent struct {
	old   *eventDef // nil: it starts empty
	props []int     // by property: its place in old; -1: not there
	hours []int     // by residue: its place in old; -1: to be counted from the rows
	texts []int     // by slot of its texts: the slot in old; -1: none are held
	same  bool      // a row is what it was
}

type carriedRule struct {
	old    int     // -1: none
	stages []int32 // by stage of old; noStage: it is no more
}

// NewCarrier compares the definitions of both models.
func NewCarrier(from, to *Model) *Carrier {
	c := &Carrier{from: from, to: to, events: make([]carriedEvent, len(to.events)), rules: make([]carriedRule, len(to.rules))}
	c.into = make([]int, len(from.events))
	for i := range c.into {
		c.into[i] = -1
	}
	for i, e := range to.events {
		j := slices.IndexFunc(from.events, func(o *eventDef) bool { return o.name == e.name && o.meaning.equal(e.meaning) })
		if j >= 0 {
			c.into[j] = i
			c.events[i] = carriedFrom(from.events[j], e)
		}
	}
	for len(c.order) < len(to.events) {
		for i, e := range to.events {
			if !slices.Contains(c.order, i) && (e.source == nil || slices.Contains(c.order, e.source.index)) {
				c.order = append(c.order, i)
			}
		}
	}
	for i := range from.rules {
		if to.ruleLike(&from.rules[i]) < 0 {
			c.gone = append(c.gone, i)
		}
	}
	for i := range to.rules {
		c.rules[i] = from.carriedRule(&to.rules[i])
	}
	c.missing = c.findMissing()
	return c
}

func carriedFrom(old, e *eventDef) carriedEvent {
	ce := carriedEvent{old: old, texts: slices.Repeat([]int{-1}, e.slots)}
	for _, p := range e.props {
		if j := slices.IndexFunc(old.props, func(o prop) bool { return o.name == p.name && o.slot >= 0 }); p.slot >= 0 && j >= 0 {
			ce.texts[p.slot] = old.props[j].slot
		}
		ce.props = append(ce.props, slices.IndexFunc(old.props, func(o prop) bool { return o.name == p.name }))
	}
	for _, r := range e.residues {
		at := slices.Index(old.residues, r)
		if e.source != nil && old.longest < e.longest {
			at = -1 // all rows are there
		}
		ce.hours = append(ce.hours, at)
	}
	ce.same = old.width == e.width && old.moneyAt == e.moneyAt && old.needsValues == e.needsValues && old.needsKeys == e.needsKeys
	for i, at := range ce.props {
		ce.same = ce.same && at == i
	}
	return ce
}

// ruleLike is the rule of the same name and kind; -1 if there is none.
func (m *Model) ruleLike(r *rule) int {
	return slices.IndexFunc(m.rules, func(o rule) bool {
		return o.name == r.name && o.model == r.model && o.by == r.by && (o.campaign == nil) == (r.campaign == nil)
	})
}

func (m *Model) carriedRule(r *rule) carriedRule {
	cr := carriedRule{old: m.ruleLike(r)}
	if cr.old < 0 || !r.model {
		return cr
	}
	for _, was := range m.rules[cr.old].stages {
		cr.stages = append(cr.stages, int32(slices.IndexFunc(r.stages, func(s stageDef) bool { return s.name == was.name })))
	}
	return cr
}

// Carry is the customer under the other definition, which follows when the lane's clock
// stands at since (instant.None: it has none yet). Up to there, less the lateness, the
// definition before holds: its deadlines must have been fired. At that instant, or at the
// greatest applied if that is later, stages and segments are evaluated; what differs is
// told by changes with cause definition, effective there: those of models and segments that
// are no more, too. It counts as applied, whatever differs: what comes of an instant before
// it is late. s is used up.
func (c *Carrier) Carry(s *State, customer string, since, detected instant.Instant, out *Output) *State {
	next := &State{
		begun: s.begun, known: s.known, clock: s.clock, newest: s.newest, frontier: s.frontier,
		remembered: s.remembered, forgotten: s.forgotten, traits: s.traits, retired: s.retired,
	}
	if s.rules == nil {
		return next
	}
	// Nor does it matter when messageIds would have been forgotten.
	next.remembered = slices.DeleteFunc(next.remembered, func(r messageMark) bool { return r.at+c.from.dedupe <= s.clock })
	m := c.to
	m.prepare(next)
	st := step{m: m, s: next, customer: customer, detected: detected, out: out}
	c.carryEvents(&st, s)
	former := c.carryRules(next, s)
	c.carryVisits(next, s)
	c.carryCampaigns(next, s)
	for i := range s.held {
		next.held = append(next.held, c.input(&s.held[i]))
	}
	if next.begun {
		why := cause{kind: record.CauseDefinition}
		if since != instant.None {
			next.frontier = max(next.frontier, int64(since)-c.from.lateness)
		}
		segments := c.leave(&st, s, why)
		st.former = former
		out.scratch.news.reset()
		st.evaluate(next.frontier, why, bitset{})
		st.former = nil
		out.Records = append(out.Records, segments...)
	}
	out.Changed = out.Changed || next.begun
	if m.lateness == 0 {
		st.release(math.MaxInt64)
	}
	return next
}

// carryEvents fills the series, sources first.
func (c *Carrier) carryEvents(st *step, s *State) {
	next := st.s
	for _, i := range c.order {
		e, ce := c.to.events[i], &c.events[i]
		switch {
		case ce.old != nil:
			if x := s.series[ce.old.index]; x != nil {
				next.series[i] = ce.series(e, x, next)
				st.out.Overflow[LimitFavouriteValues] += ce.carryTexts(next.series[i], x, c.to.def.Limits.FavouriteValues)
			}
		case e.source != nil && c.events[e.source.index].old != nil && next.series[e.source.index] != nil:
			// A derived event that is new is found in what its source still has. What is
			// derived from it follows by itself.
			source := next.series[e.source.index]
			var dirty bitset
			for row := range source.size(e.source) {
				before, hasBefore := source.predecessor(e.source, row)
				if e.occurs(source.at(e.source, row), before, hasBefore) {
					st.add(e, st.derived(e, source, e.source, row), &dirty)
				}
			}
		}
	}
}

// series is x as the event now keeps it. What the event before need not have kept is let
// go of first, so that it does not matter when it would have been.
func (ce *carriedEvent) series(e *eventDef, x *series, next *State) *series {
	old := ce.old
	out := &series{tally: x.tally, keys: x.keys}
	held := x.cut(old, next.frontier)
	if out.tally != nil || held > 0 || len(e.residues) > 0 {
		out.tally = x.ownTally(old)
		ce.countHours(e, out.tally, x, held, next.frontier)
		if held > 0 {
			out.tally.edge = max(out.tally.edge, x.at(old, held-1))
		}
		if old.keep == 0 && e.keep > 0 && out.tally.total > 0 {
			out.tally.edge = out.tally.last // none was kept
		}
	}
	rows := x.rows[held*old.width:]
	ce.loseOrders(e, x, rows, next.frontier)
	if ce.same {
		out.rows = rows
	} else {
		out.rows = make([]int64, 0, len(rows)/old.width*e.width)
		for i := 0; i < len(rows); i += old.width {
			out.rows = ce.appendRow(out.rows, e, rows[i:i+old.width])
		}
	}
	if e.source != nil {
		ce.fillProps(e, out, next)
	}
	if cut := out.cut(e, next.frontier); cut > 0 {
		t := out.ownTally(e)
		t.edge = max(t.edge, out.at(e, cut-1))
		out.rows = slices.Clone(out.rows[cut*e.width:])
	}
	return out
}

// loseOrders marks the orders whose values the windows of rounds to come reach and are not
// held: a refund takes nothing off where nothing was counted. Rounds that are open had them:
// the goals they go on with reach no further than the event before was kept.
func (ce *carriedEvent) loseOrders(e *eventDef, x *series, rows []int64, frontier int64) {
	if !e.needsKeys || x.keys == nil || x.keys.refunds == nil {
		return
	}
	first := never // the instant from which values are held
	if ce.old.needsValues && len(rows) > 0 {
		first = rows[0]
	}
	orders := x.keys.refunds.orders
	for i := range orders {
		k := &orders[i]
		reached := e.horizon == never || k.at > frontier-e.horizon
		if k.applied && k.lost == 0 && reached && k.at < first {
			k.lost = frontier + 1
		}
	}
}

// carryTexts gives x the texts that was knows, those seen last if it may have fewer; dropped
// is how many it could not take.
func (ce *carriedEvent) carryTexts(x, was *series, limit int) (dropped int64) {
	if was.texts == nil {
		return 0
	}
	for slot, at := range ce.texts {
		if at < 0 {
			continue
		}
		known := slices.Clone(was.textsOf(at))
		if n := len(known) - limit; n > 0 {
			slices.SortFunc(known, func(a, b knownText) int {
				if a.outlasts(&b) {
					return -1
				}
				return 1
			})
			known, dropped = known[:limit], dropped+int64(n)
			slices.SortFunc(known, func(a, b knownText) int { return cmp.Compare(a.hash, b.hash) })
		}
		if x.texts == nil {
			texts := make([]knownTexts, len(ce.texts))
			x.texts = &texts
		}
		(*x.texts)[slot] = known
	}
	return dropped
}

// cut is the number of rows, from the first, that the event need not keep.
func (s *series) cut(e *eventDef, frontier int64) int {
	n := s.size(e)
	cut := max(0, n-e.keep)
	if e.horizon == never {
		return cut
	}
	for cut < n && s.at(e, cut) <= frontier-e.horizon {
		cut++
	}
	return cut
}

func (ce *carriedEvent) appendRow(rows []int64, e *eventDef, was []int64) []int64 {
	old := ce.old
	rows = append(rows, was[0])
	if e.needsValues {
		value := int64(noNumber)
		if old.needsValues {
			value = was[1]
		}
		rows = append(rows, value)
	}
	if e.needsKeys {
		key := int64(0)
		if old.needsKeys {
			key = was[old.keyAt]
		}
		rows = append(rows, key)
	}
	for _, at := range ce.props {
		hash := int64(0)
		if at >= 0 {
			hash = was[old.propsAt+at]
		}
		rows = append(rows, hash)
	}
	if e.moneyAt > 0 {
		foreign := int64(0) // what was not kept is taken for the definition's own
		if old.moneyAt > 0 {
			foreign = was[old.moneyAt]
		}
		rows = append(rows, foreign)
	}
	return rows
}

// fillProps gives a derived event the properties that its source has.
func (ce *carriedEvent) fillProps(e *eventDef, x *series, next *State) {
	source := next.series[e.source.index]
	if source == nil || len(e.props) == 0 {
		return
	}
	for i := range x.size(e) {
		row := x.rows[i*e.width : (i+1)*e.width]
		j, found := source.find(e.source, row[0])
		if !found {
			continue
		}
		for k, p := range e.props {
			row[e.propsAt+k] = source.rows[j*e.source.width+e.source.propsAt+p.source]
		}
	}
}

// countHours makes the tally's hours those of the event: as they were counted before, or
// else from the rows behind the first held ones.
func (ce *carriedEvent) countHours(e *eventDef, t *tally, x *series, held int, frontier int64) {
	was := t.hours
	t.hours = nil
	if len(e.residues) > 0 {
		t.hours = make([]hours, len(e.residues))
	}
	for i, r := range e.residues {
		if at := ce.hours[i]; at >= 0 {
			for _, h := range was[at] {
				if h.hour+ce.old.longest > frontier && h.hour+e.longest > frontier {
					t.hours[i] = append(t.hours[i], h)
				}
			}
			continue
		}
		for row := held; row < x.size(ce.old); row++ {
			if hour := ceilHour(x.at(ce.old, row) + r); hour+e.longest > frontier {
				t.hours[i].add(hour, 1)
			}
		}
	}
}

// carryRules puts the customer where it was, and gives, by rule, the names of stages that
// are no more.
func (c *Carrier) carryRules(next, s *State) map[*rule]string {
	var former map[*rule]string
	for i := range c.rules {
		r, cr, mb := &c.to.rules[i], &c.rules[i], &next.rules[i]
		if cr.old < 0 {
			switch {
			case r.model:
				mb.sequence = next.takeRetired(retiredModel, r.name)
			case r.campaign == nil:
				mb.sequence = next.takeRetired(retiredSegment, r.name)
			}
		} else {
			was := &s.rules[cr.old]
			mb.stage, mb.since, mb.sequence, mb.by = was.stage, was.since, was.sequence, was.by
			if old := c.from.rules[cr.old].campaign; old != nil && !old.again(was) {
				mb.stage = noStage // nobody has looked since whether the audience holds
			}
			if r.model && was.stage != noStage {
				if mb.stage = cr.stages[was.stage]; mb.stage == noStage {
					if former == nil {
						former = map[*rule]string{}
					}
					former[r] = c.from.rules[cr.old].stages[was.stage].name
				}
			}
		}
		if r.by {
			next.takeValues(r.name, mb, c.to.def.Limits.ByValues)
		}
	}
	return former
}

// leave takes the customer out of the models and segments that are no more, and keeps
// where their sequences stand. The records of segments are for after the evaluation.
func (c *Carrier) leave(st *step, s *State, why cause) (segments []record.Record) {
	next := st.s
	left := func(r *rule, name string, sequence int64) int64 {
		rec := st.record(&segments, record.SegmentChange, next.frontier, why)
		rec.Segment, rec.Sequence, rec.Cause.Left = name, sequence+1, r.text
		rec.SetID()
		return sequence + 1
	}
	for _, i := range c.gone {
		r, mb := &c.from.rules[i], &s.rules[i]
		switch {
		case r.model && mb.stage != noStage:
			rec := st.record(&st.out.Records, record.StageChange, next.frontier, why)
			mb.sequence++
			rec.Model, rec.From, rec.Since, rec.Sequence = r.name, r.stages[mb.stage].name, instant.Instant(mb.since), mb.sequence
			rec.SetID()
			next.retire(retired{kind: retiredModel, name: r.name, sequence: mb.sequence})
		case r.model:
		case r.campaign != nil:
			if at := r.campaign.index; at < len(s.campaigns) {
				next.leaveCampaign(r, s.campaigns[at], mb.sequence)
			}
		case !r.by:
			if mb.stage == inSegment {
				mb.sequence = left(r, r.name, mb.sequence)
			}
			next.retire(retired{name: r.name, sequence: mb.sequence})
		case mb.by != nil:
			for _, v := range mb.by.sequences {
				if mb.stage == inSegment && v.value == mb.by.value {
					v.sequence = left(r, r.name+"="+v.value, v.sequence)
				}
				next.retire(retired{name: r.name + "=" + v.value, sequence: v.sequence})
			}
		}
	}
	return segments
}

// input is a message that waits, as the events it counts as are numbered now.
func (c *Carrier) input(in *input) input {
	out := *in
	out.counted, out.refunds, out.assigned = nil, nil, nil
	for _, a := range in.assigned {
		if i := c.to.ruleLike(&c.from.rules[c.from.campaigns[a.campaign]]); i >= 0 && c.to.rules[i].campaign.assigned != nil {
			a.campaign = c.to.rules[i].campaign.index
			out.assigned = append(out.assigned, a)
		}
	}
	for _, was := range in.counted {
		i := c.into[was.event]
		if i < 0 {
			continue
		}
		now := was
		now.event, now.props, now.texts = i, nil, nil
		for _, at := range c.events[i].texts {
			text := propText{}
			if at >= 0 {
				text = was.texts[at]
			}
			now.texts = append(now.texts, text)
		}
		for _, at := range c.events[i].props {
			hash := uint64(0)
			if at >= 0 {
				hash = was.props[at]
			}
			now.props = append(now.props, hash)
		}
		out.counted = append(out.counted, now)
	}
	slices.SortFunc(out.counted, func(a, b counted) int { return a.event - b.event })
	for _, r := range in.refunds {
		if i := c.into[r.event]; i >= 0 {
			r.event = i
			out.refunds = append(out.refunds, r)
		}
	}
	slices.SortFunc(out.refunds, func(a, b refundInput) int { return a.event - b.event })
	return out
}
