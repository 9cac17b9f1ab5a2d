// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// happening is an occurrence of an event that a goal reads, as the message brought it, or
// took it away.
type happening struct {
	event   int
	at      int64
	value   decimal.Decimal // noNumber if none
	removed bool            // of a derived event: it is none any more
	foreign bool            // the value is money of another currency
}

// correction is what a refund took off an occurrence that had been applied.
type correction struct {
	event         int
	at            int64 // of the occurrence
	applied       int64 // the greatest instant applied when it was
	lost          int64 // of its key
	before, after decimal.Decimal
}

// news are what a message has changed that goals look at.
type news struct {
	occurrences []happening
	corrections []correction
}

func (h *news) reset() {
	h.occurrences, h.corrections = h.occurrences[:0], h.corrections[:0]
}

// turn is one evaluation of a campaign for a customer: its goals first, then who is
// assigned. In a look-ahead out is nil: nothing is told, and what it changes is a copy.
// It has no pointer into the step, which would move to the heap with it.
type turn struct {
	m        *Model
	out      *Output
	detected instant.Instant
	ev       *eval
	r        *rule
	c        *campaignDef
	mb       *membership
	dirty    bitset
	why      cause
	news     *news
	customer string
	moved    bool // the customer came into the audience or left it, or a goal's condition turned
}

// play evaluates the campaign and reports whether the customer was assigned or converted.
// mb.deadline becomes the next instant at which it must be looked at.
func (t *turn) play() (changed bool) {
	ev, c := t.ev, t.c
	mine := ev.enrolled(c)
	audience, goals := t.mb.deadline, never
	if mine != nil {
		audience = mine.due
		if len(mine.rounds) > 0 {
			changed, goals = t.pursue(mine)
		}
	}
	comes, by := false, (*assignedInput)(nil)
	if c.assigned != nil {
		audience, t.mb.stage = never, noStage // nobody is in an audience, whatever the definition before had
		by = t.assignment()
		comes = by != nil
	} else if audience <= ev.now || c.reads.meets(&t.dirty) {
		in := false
		in, audience = t.audience()
		comes = in && t.mb.stage != inSegment
		t.moved = t.moved || in != (t.mb.stage == inSegment)
		if t.mb.stage = noStage; in {
			t.mb.stage = inSegment
		}
	}
	if comes && t.assigns(mine) {
		var opened int64
		mine, opened = t.assign(mine, by)
		goals = min(goals, opened)
		changed = true
	}
	if mine != nil {
		mine.due = audience
		if c.audience != nil && !c.again(t.mb) {
			mine.due = never // nothing more comes of it
		}
		audience = mine.due
	}
	t.mb.deadline = min(audience, goals)
	return changed
}

// again reports whether a customer may be assigned once more, whenever that is.
func (c *campaignDef) again(mb *membership) bool {
	return mb.sequence == 0 || c.every > 0 && (c.most == 0 || mb.sequence < c.most)
}

// audience reports whether the customer is in the audience, and when that must be looked
// at again.
func (t *turn) audience() (in bool, due int64) {
	ev, c := t.ev, t.c
	if ev.now >= c.end || !c.again(t.mb) {
		return false, never
	}
	if begins := max(c.start, t.m.activation); ev.now < begins {
		return false, begins
	}
	ev.deadline = never
	in = c.audience(ev) == yes
	due = ev.deadline
	for _, x := range c.excluded {
		in = in && ev.rules[x].sequence == 0
	}
	if c.consent != nil && in {
		v := c.consent(ev)
		in = v.kind == isBool && v.b
	}
	return in, due
}

// assignment is what the message says of the campaign; nil if there is none.
func (t *turn) assignment() *assignedInput {
	if t.why.in == nil {
		return nil
	}
	for i := range t.why.in.assigned {
		if a := &t.why.in.assigned[i]; a.campaign == t.c.index {
			return a
		}
	}
	return nil
}

// assigns reports whether who comes now is assigned.
func (t *turn) assigns(mine *enrolment) bool {
	c, now := t.c, t.ev.now
	switch {
	case now < c.start, now < t.m.activation, now >= c.end, !c.again(t.mb):
		return false
	case t.m.publishFrom != instant.None && now < int64(t.m.publishFrom): // nobody is, out of the past
		return false
	case mine != nil && now-mine.last < c.every:
		return false
	case c.audience != nil && t.late():
		t.out.Delayed++
		return false
	case t.m.globalHoldout > 0 && bucketOf(globalSalt, t.customer) < t.m.globalHoldout:
		if t.out != nil {
			t.out.KeptOut++
		}
		return false
	}
	return true
}

// late reports whether what is true now was found too late for an assignment.
func (t *turn) late() bool {
	return t.out != nil && t.out.MaxDelay > 0 && t.detected != instant.None && int64(t.detected)-t.ev.now > t.out.MaxDelay.Milliseconds()
}

// assign begins a round, and returns when its goals must first be looked at.
func (t *turn) assign(mine *enrolment, by *assignedInput) (is *enrolment, due int64) {
	ev, c := t.ev, t.c
	if mine == nil {
		mine = newEnrolment(len(c.goals))
		switch {
		case by == nil:
			mine.variant, mine.holdout = c.arm(bucketOf(c.salt, t.customer))
		case by.holdout:
			mine.holdout = true
		default:
			mine.variant = by.variant
		}
		ev.enrol(t.m, c, mine)
	}
	mine.last = ev.now
	t.mb.sequence++
	due = never
	if len(c.goals) > 0 {
		rd := mine.begin(t.mb.sequence, ev.now)
		for i := range c.goals {
			g := &c.goals[i]
			switch {
			case g.when != nil:
				ev.deadline = never
				mine.goals[i].holds = g.when(ev) == yes
				if ev.deadline <= rd.at+g.within {
					due = min(due, ev.deadline)
				}
			case g.settles():
				due = min(due, rd.at+g.within)
				if g.baseline {
					rd.goals[i].own().net = wide{}.minus(t.before(g, rd.at))
				}
			default:
			}
		}
		t.bound(mine)
	}
	if t.out != nil {
		t.tellAssignment(mine)
	}
	return mine, due
}

// before is what the event came to in the window of the same length that ends at at.
func (t *turn) before(g *goalDef, at int64) (sum wide) {
	e := g.event
	s := t.ev.s.of(e)
	for i := s.size(e) - 1; i >= 0 && s.at(e, i) > at-g.within; i-- {
		if s.at(e, i) > at {
			continue
		}
		value := noNumber
		if e.needsValues {
			value = decimal.Decimal(s.rows[i*e.width+1])
		}
		foreign := e.moneyAt > 0 && s.rows[i*e.width+e.moneyAt] != 0
		sum.add(g.worth(value, foreign))
	}
	return sum
}

// worth is what one occurrence counts for. Money of another currency has no value: what it
// is worth that day stands in no event.
func (g *goalDef) worth(value decimal.Decimal, foreign bool) decimal.Decimal {
	switch {
	case g.value != definition.TotalValue:
		return decimal.Scale
	case value == noNumber, foreign:
		return 0
	default:
		return value
	}
}

// bound keeps as many rounds as may be.
func (t *turn) bound(mine *enrolment) {
	if n := len(mine.rounds) - t.c.open - maxCorrected; n > 0 {
		mine.rounds = slices.Delete(mine.rounds, 0, n)
		if t.out != nil {
			t.out.Overflow[LimitRounds] += int64(n)
		}
	}
}

// tellAssignment appends the record; where the customer is comes once all is evaluated.
func (t *turn) tellAssignment(mine *enrolment) {
	why := t.why
	if why.kind == record.CauseDeadline && t.ev.now == t.m.activation && t.c.start < t.m.activation {
		why.kind = record.CauseDefinition // in the audience when the definition became active
	}
	sc := &t.out.scratch
	rec := t.record(&sc.assignments, record.Assignment, why)
	rec.Campaign, rec.Sequence, rec.Round = t.r.name, t.mb.sequence, t.mb.sequence
	rec.Variant, rec.Holdout = mine.variant, mine.holdout
	rec.Cause.Condition = t.r.text
	rec.SetID()
	sc.enrolled = append(sc.enrolled, mine)
}

// record appends a new record of a campaign.
func (t *turn) record(to *[]record.Record, kind record.Kind, why cause) *record.Record {
	st := step{m: t.m, customer: t.customer, detected: t.detected, out: t.out}
	return st.record(to, kind, t.ev.now, why)
}
