// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"slices"
	"strings"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/record"
)

// A customer's parts in campaigns stand behind its rules, if the definition has
// campaigns: their number, and of each which campaign it is and what follows. Names
// that the definition knows are written as their place in it, from 1; others, which a
// definition before may have had, as 0 and their text.

// Flags of an enrolment.
const (
	flagHoldout = 1 << iota
	flagLooked  // it has a deadline of its audience
	flagAtOnce  // which is due at once
)

// Flags of a round's progress to a goal.
const (
	flagDone = 1 << iota
	flagOutcome
	flagTold
	flagUnpriced
)

func (m *Model) appendEnrolments(b []byte, s *State) []byte {
	n := 0
	for _, e := range s.campaigns {
		if e != nil {
			n++
		}
	}
	b = appendUint(b, uint64(n))
	for i, e := range s.campaigns {
		if e != nil {
			b = appendUint(b, uint64(i))
			b = m.appendEnrolment(b, m.rules[m.campaigns[i]].campaign, e, s.clock)
		}
	}
	return b
}

func (m *Model) appendEnrolment(b []byte, c *campaignDef, e *enrolment, clock int64) []byte {
	b = append(b, flag(e.holdout, flagHoldout)|flag(e.due != never, flagLooked)|flag(e.due == math.MinInt64, flagAtOnce))
	if !e.holdout {
		b = appendName(b, e.variant, 1+slices.IndexFunc(c.variants, c.isVariant(e.variant)))
	}
	b = appendInt(b, clock-e.last)
	if e.due != never && e.due != math.MinInt64 {
		b = appendInt(b, e.due-clock)
	}
	for i := range e.goals {
		b = appendUint(b, uint64(e.goals[i].sequence)<<1|uint64(flag(e.goals[i].holds, 1)))
	}
	b = appendUint(b, uint64(len(e.rounds)))
	for i := range e.rounds {
		rd := &e.rounds[i]
		b = appendUint(b, uint64(rd.number))
		b = appendInt(b, clock-rd.at)
		b = m.appendPlace(b, rd.place)
		for k := range rd.goals {
			b = appendProgress(b, &rd.goals[k])
		}
	}
	return b
}

func appendProgress(b []byte, p *progress) []byte {
	o := p.outcome
	b = append(b, flag(p.done, flagDone)|flag(o != nil, flagOutcome)|flag(o != nil && o.told, flagTold)|flag(o != nil && o.unpriced != 0, flagUnpriced))
	if o == nil {
		return b
	}
	b = appendInt(b, o.n)
	b = appendInt(b, int64(o.net.lo))
	b = appendInt(b, int64(o.net.hi)-int64(o.net.lo)>>63) // 0 for all that fits a word
	b = appendUint(b, optional(int64(o.value)))
	if o.unpriced != 0 {
		b = appendInt(b, o.unpriced)
	}
	return b
}

// appendName writes a name as its place, from 1, or as 0 and its text.
func appendName(b []byte, name string, place int) []byte {
	b = appendUint(b, uint64(place))
	if place == 0 {
		b = appendText(b, name)
	}
	return b
}

func (m *Model) appendPlace(b []byte, p *place) []byte {
	if p == nil {
		return append(b, 0, 0)
	}
	b = appendUint(b, uint64(len(p.stages)))
	for _, s := range p.stages {
		model := m.modelRule(s.Model)
		b = appendName(b, s.Model, model+1)
		stage := -1
		if model >= 0 {
			stage = slices.IndexFunc(m.rules[model].stages, func(d stageDef) bool { return d.name == s.Stage })
		}
		b = appendName(b, s.Stage, stage+1)
	}
	b = appendUint(b, uint64(len(p.segments)))
	for _, s := range p.segments {
		name, value, by := strings.Cut(s, "=")
		rule := m.segmentRule(name, by)
		if b = appendName(b, s, rule+1); rule >= 0 && by {
			b = appendText(b, value)
		}
	}
	return b
}

// modelRule is the rule of a model; -1 if there is none of that name.
func (m *Model) modelRule(name string) int {
	for _, i := range m.modelRules {
		if m.rules[i].name == name {
			return i
		}
	}
	return -1
}

// segmentRule is the rule of a segment; -1 if there is none.
func (m *Model) segmentRule(name string, by bool) int {
	return slices.IndexFunc(m.rules, func(r rule) bool { return !r.model && r.campaign == nil && r.by == by && r.name == name })
}

func (c *campaignDef) isVariant(name string) func(definition.Variant) bool {
	return func(v definition.Variant) bool { return v.Name.Value == name }
}

func (m *Model) decodeEnrolments(d *decoder, s *State) {
	n := d.len(4)
	if n == 0 {
		return
	}
	s.campaigns = make([]*enrolment, len(m.campaigns))
	for range n {
		i := d.uint()
		if i >= uint64(len(m.campaigns)) || s.campaigns[i] != nil || d.err != nil {
			d.fail()
			return
		}
		s.campaigns[i] = m.decodeEnrolment(d, m.rules[m.campaigns[i]].campaign)
	}
}

func (m *Model) decodeEnrolment(d *decoder, c *campaignDef) *enrolment {
	flags := d.byte()
	e := &enrolment{holdout: flags&flagHoldout != 0, due: never}
	if !e.holdout {
		at, text := d.name(len(c.variants))
		if e.variant = text; at > 0 {
			e.variant = c.variants[at-1].Name.Value
		}
	}
	e.last = d.clock - d.int()
	switch {
	case flags&flagLooked == 0:
	case flags&flagAtOnce != 0:
		e.due = math.MinInt64
	default:
		e.due = d.clock + d.int()
	}
	if len(c.goals) > 0 {
		e.goals = make([]goalState, len(c.goals))
	}
	for i := range e.goals {
		v := d.uint()
		e.goals[i] = goalState{sequence: int64(v >> 1), holds: v&1 == 1}
	}
	if n := d.len(4 + len(c.goals)); n > 0 {
		e.rounds = make([]round, n)
	}
	for i := range e.rounds {
		rd := &e.rounds[i]
		rd.number, rd.at = int64(d.uint()), d.clock-d.int()
		rd.place = m.decodePlace(d)
		rd.goals = make([]progress, len(c.goals))
		for k := range rd.goals {
			d.progress(&rd.goals[k])
		}
	}
	return e
}

func (d *decoder) progress(p *progress) {
	flags := d.byte()
	p.done = flags&flagDone != 0
	if flags&flagOutcome == 0 {
		return
	}
	o := &outcome{n: d.int(), told: flags&flagTold != 0}
	lo := d.int()
	o.net = wide{lo: uint64(lo), hi: uint64(d.int() + lo>>63)}
	o.value = decimal.Decimal(d.optional())
	if flags&flagUnpriced != 0 {
		o.unpriced = d.int()
	}
	p.outcome = o
}

// name reads what appendName wrote; at is the place, from 1, in a list of n.
func (d *decoder) name(n int) (at int, text string) {
	v := d.uint()
	if v > uint64(n) {
		d.fail()
		return 0, ""
	}
	if v == 0 {
		text = d.text()
	}
	return int(v), text
}

func (m *Model) decodePlace(d *decoder) *place {
	p := &place{}
	if n := d.len(2); n > 0 {
		p.stages = make([]record.StageAt, n)
	}
	for i := range p.stages {
		s := &p.stages[i]
		at, model := d.name(len(m.rules))
		var stages []stageDef
		if s.Model = model; at > 0 {
			s.Model, stages = m.rules[at-1].name, m.rules[at-1].stages
		}
		at, stage := d.name(len(stages))
		if s.Stage = stage; at > 0 {
			s.Stage = stages[at-1].name
		}
	}
	if n := d.len(1); n > 0 {
		p.segments = make([]string, n)
	}
	for i := range p.segments {
		at, text := d.name(len(m.rules))
		if p.segments[i] = text; at > 0 {
			r := &m.rules[at-1]
			if p.segments[i] = r.name; r.by {
				p.segments[i] += "=" + d.text()
			}
		}
	}
	return p
}

func appendAssigned(b []byte, all []assignedInput) []byte {
	b = appendUint(b, uint64(len(all)))
	for i := range all {
		b = appendUint(b, uint64(all[i].campaign))
		b = append(b, flag(all[i].holdout, flagHoldout))
		b = appendText(b, all[i].variant)
	}
	return b
}

func (m *Model) decodeAssigned(d *decoder, in *input) {
	if n := d.len(3); n > 0 {
		in.assigned = make([]assignedInput, n)
	}
	for i := range in.assigned {
		a := &in.assigned[i]
		a.campaign = int(min(d.uint(), math.MaxInt32))
		a.holdout = d.byte() == flagHoldout
		a.variant = d.text()
		if d.err == nil && (a.campaign >= len(m.campaigns) || m.rules[m.campaigns[a.campaign]].campaign.assigned == nil) {
			d.fail()
			return
		}
	}
}
