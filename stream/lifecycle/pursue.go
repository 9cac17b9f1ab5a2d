// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// look is a goal's condition as looked at in this evaluation, once for all rounds.
type look struct {
	looked, holds bool
	due, closes   int64 // the last close of a round that it is open for
}

// pursue looks at the goals of the rounds that are kept, and returns when they must be
// looked at again.
func (t *turn) pursue(mine *enrolment) (converted bool, due int64) {
	var room [4]look
	looks := room[:]
	if len(t.c.goals) > len(room) {
		looks = make([]look, len(t.c.goals))
	}
	due = never
	for k := range mine.rounds {
		rd := &mine.rounds[k]
		for i := range t.c.goals {
			g, p := &t.c.goals[i], &rd.goals[i]
			if p.done {
				continue
			}
			now, next := false, never
			switch {
			case g.when != nil:
				now = t.pursueWhen(mine, rd, i, &looks[i])
			case g.settles():
				now, next = t.pursueOutcome(mine, rd, i)
			default:
				now = t.pursueEvent(mine, rd, i)
			}
			converted, due = converted || now, min(due, next)
		}
	}
	for i := range t.c.goals {
		if l := &looks[i]; l.looked {
			t.moved = t.moved || l.holds != mine.goals[i].holds
			mine.goals[i].holds = l.holds
			if l.due <= l.closes {
				due = min(due, l.due)
			}
		}
	}
	mine.rounds = slices.DeleteFunc(mine.rounds, func(rd round) bool { return t.c.over(&rd, t.ev.now) })
	if len(mine.rounds) == 0 {
		mine.rounds = nil
	}
	return converted, due
}

// over reports whether nothing can come of a round any more.
func (c *campaignDef) over(rd *round, now int64) bool {
	for i := range c.goals {
		g, p := &c.goals[i], &rd.goals[i]
		switch {
		case p.done:
		case now <= rd.at+g.within:
			return false
		case g.corrected() && p.outcome != nil && p.outcome.told:
			return false
		}
	}
	return true
}

// inside reports whether an instant lies in the round's window.
func (g *goalDef) inside(rd *round, at int64) bool { return rd.at < at && at <= rd.at+g.within }

// pursueWhen converts where the goal's condition has just become true.
func (t *turn) pursueWhen(mine *enrolment, rd *round, i int, l *look) (converted bool) {
	ev, g, p := t.ev, &t.c.goals[i], &rd.goals[i]
	if ev.now > rd.at+g.within {
		return false
	}
	if !l.looked {
		ev.deadline = never
		l.looked, l.holds = true, g.when(ev) == yes
		l.due = ev.deadline
	}
	comes := t.why.in == nil || g.inside(rd, t.why.in.at)
	if l.holds && !mine.goals[i].holds && comes && g.inside(rd, ev.now) {
		p.done = true
		t.tellConversion(mine, rd, i, worth{value: noNumber})
		return true
	}
	l.closes = max(l.closes, rd.at+g.within)
	return false
}

// pursueEvent converts by the first occurrence in the window.
func (t *turn) pursueEvent(mine *enrolment, rd *round, i int) (converted bool) {
	g := &t.c.goals[i]
	if t.news == nil || !g.inside(rd, t.ev.now) {
		return false
	}
	at, value := never, noNumber
	for _, h := range t.news.occurrences {
		if h.event == g.event.index && !h.removed && g.inside(rd, h.at) && h.at < at {
			at, value = h.at, h.value
		}
	}
	if at == never {
		return false
	}
	rd.goals[i].done = true
	currency := ""
	if g.value != definition.FirstValue {
		value = noNumber
	} else if value != noNumber {
		currency = t.m.currencyOf(t.why.in)
	}
	t.tellConversion(mine, rd, i, worth{value, currency, 1})
	return true
}

// pursueOutcome counts until the window closes; what it came to is told then, for each
// occurrence at that very instant again, and later where a refund corrects it.
func (t *turn) pursueOutcome(mine *enrolment, rd *round, i int) (converted bool, due int64) {
	g, p := &t.c.goals[i], &rd.goals[i]
	closes := rd.at + g.within
	grew := t.countOccurrences(rd, p, g)
	t.countCorrections(rd, p, g)
	o := p.outcome
	told := o != nil && o.told
	switch {
	case t.ev.now < closes:
		return false, closes
	case told:
	case t.ev.now > closes, !g.baseline && (o == nil || o.n == 0): // no occurrence, no record
		return false, never
	default:
		o = p.own()
	}
	value, ok := o.net.decimal()
	if !ok {
		value = noNumber
	}
	if told && !grew && value == o.value {
		return false, never
	}
	o.told, o.value = true, value
	currency := ""
	if g.value == definition.TotalValue {
		currency = t.m.def.Currency
	}
	t.tellConversion(mine, rd, i, worth{value, currency, o.n - o.unpriced})
	return true, never
}

// countOccurrences counts what the message brought, while the window is open.
func (t *turn) countOccurrences(rd *round, p *progress, g *goalDef) (grew bool) {
	if t.news == nil || t.ev.now > rd.at+g.within {
		return false
	}
	for _, h := range t.news.occurrences {
		after := g.inside(rd, h.at)
		if h.event != g.event.index || !after && (!g.baseline || h.at <= rd.at-g.within || h.at > rd.at) {
			continue
		}
		o, n, worth := p.own(), int64(1), g.worth(h.value, h.foreign)
		if h.removed {
			n, worth = -1, -worth
		} else {
			grew = true
		}
		if after {
			o.n += n
			o.net.add(worth)
			if g.value == definition.TotalValue && h.foreign {
				o.unpriced++
			}
		} else {
			o.net.sub(worth)
		}
	}
	return grew
}

// countCorrections takes off what refunds took off the occurrences that count.
func (t *turn) countCorrections(rd *round, p *progress, g *goalDef) {
	if t.news == nil || p.outcome == nil || !g.corrected() {
		return
	}
	for _, x := range t.news.corrections {
		if x.event != g.event.index || x.applied > rd.at+g.within {
			continue
		}
		switch {
		case g.inside(rd, x.at):
			p.outcome.net.add(x.after)
			p.outcome.net.sub(x.before)
		case x.lost != 0 && rd.at >= x.lost-1: // the window before had nothing of it
		case g.baseline && x.at > rd.at-g.within && x.at <= rd.at:
			p.outcome.net.sub(x.after)
			p.outcome.net.add(x.before)
		}
	}
}

// worth is what a conversion is worth.
type worth struct {
	value       decimal.Decimal // noNumber: nothing
	currency    string
	occurrences int64 // in the value
}

// tellConversion counts a conversion, and appends its record.
func (t *turn) tellConversion(mine *enrolment, rd *round, i int, is worth) {
	g := &t.c.goals[i]
	mine.goals[i].sequence++
	if t.out == nil {
		return
	}
	rec := t.record(&t.out.scratch.conversions, record.Conversion, t.why)
	rec.Campaign, rec.Goal, rec.Sequence, rec.Round = t.r.name, g.name, mine.goals[i].sequence, rd.number
	rec.Variant, rec.Holdout, rec.AssignedAt = mine.variant, mine.holdout, instant.Instant(rd.at)
	if rd.place != nil {
		rec.Stages, rec.Segments = rd.place.stages, rd.place.segments
	}
	if is.value != noNumber {
		rec.Value, rec.HasValue, rec.Currency, rec.Occurrences = is.value, true, is.currency, is.occurrences
	}
	if o := rd.goals[i].outcome; o != nil {
		rec.Unpriced = o.unpriced
	}
	rec.Cause.Condition = g.text
	rec.SetID()
}
