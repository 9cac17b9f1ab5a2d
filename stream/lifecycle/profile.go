// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"strings"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// openSegment is a segment the customer is in.
type openSegment struct {
	name     string
	sequence int64
}

// openSegments are the segments the customer is in, by name.
func (m *Model) openSegments(s *State) []openSegment {
	var open []openSegment
	for i := range m.rules {
		r, mb := &m.rules[i], &s.rules[i]
		if r.model || r.campaign != nil || mb.stage != inSegment {
			continue
		}
		if !r.by {
			open = append(open, openSegment{r.name, mb.sequence})
			continue
		}
		for _, v := range mb.by.sequences { // in a segment, so there are some
			if v.value == mb.by.value {
				open = append(open, openSegment{r.name + "=" + v.value, v.sequence})
			}
		}
	}
	slices.SortFunc(open, func(a, b openSegment) int { return strings.Compare(a.name, b.name) })
	return open
}

// Dropped is how many instants of an event fell out of the newest 4,096 that sum, rhythm,
// avg, min, max, unique and days read; 0 for an event that the definition lacks.
func (m *Model) Dropped(s *State, event string) int64 {
	for _, e := range m.events {
		if e.name == event && s.series != nil {
			return s.of(e).dropped()
		}
	}
	return 0
}

// Profile is the customer's public profile now. It costs a look ahead per model.
// The customer must have begun.
func (m *Model) Profile(s *State, customer string) record.Profile {
	return *m.ProfileIn(new(ProfileBuffer), s, customer)
}

// ProfileBuffer is memory for profiles that are used one after the other.
type ProfileBuffer struct {
	profile record.Profile
	ahead   scratch
}

// ProfileIn is Profile in the memory of b: it holds until the next one.
func (m *Model) ProfileIn(b *ProfileBuffer, s *State, customer string) *record.Profile {
	p := &b.profile
	*p = record.Profile{CustomerID: customer, Stages: p.Stages[:0], Segments: p.Segments[:0], Traits: p.Traits[:0]}
	if s.rules == nil {
		return p
	}
	b.ahead.beyond.customer = customer
	for _, i := range m.modelRules {
		r, mb := &m.rules[i], &s.rules[i]
		if mb.stage == noStage {
			continue // all its messages are still held
		}
		ps := record.ProfileStage{Model: r.name, Stage: r.stages[mb.stage].name, Since: instant.Instant(mb.since), Sequence: mb.sequence}
		ps.NextStage, ps.NextDeadline = m.next(s, i, s.frontier, &b.ahead)
		p.Stages = append(p.Stages, ps)
	}
	for _, o := range m.openSegments(s) {
		p.Segments = append(p.Segments, o.name)
	}
	traits := append(p.Traits, '{')
	for _, t := range s.traits {
		if t.raw == "null" {
			continue
		}
		if len(traits) > 1 {
			traits = append(traits, ',')
		}
		traits = append(record.AppendString(traits, t.name), ':')
		traits = append(traits, t.raw...)
	}
	p.Traits = append(traits, '}')
	return p
}

// noteActivity records what the message counts as, with the stages and segments
// held just before it, and its session; v is nil if it is in none.
func (st *step) noteActivity(in *input, v *visit, begins bool) {
	out, s, m := st.out, st.s, st.m
	counts := begins || len(in.counted) > 0 || len(in.refunds) > 0 || len(in.exposures) > 0
	if out.WantActivity == WantNone || out.WantActivity == WantCounted && !counts {
		return
	}
	n := len(out.Activity)
	if n < cap(out.Activity) {
		out.Activity = out.Activity[:n+1]
	} else {
		out.Activity = append(out.Activity, record.Activity{})
	}
	a := &out.Activity[n]
	*a = record.Activity{
		CustomerID: st.customer, EventTime: instant.Instant(in.at), MessageID: string(in.messageID),
		Type: m.eventName(in.kind), Event: m.eventName(in.event), Currency: m.def.Currency,
		Occurrence: a.Occurrence[:0], Stages: a.Stages[:0], Segments: a.Segments[:0],
		Exposures: append(a.Exposures[:0], in.exposures...), SessionStages: a.SessionStages[:0],
		SessionStart: instant.Instant(in.at), SessionBegins: begins, Platform: in.platform.String(),
	}
	if v != nil {
		a.SessionStart = instant.Instant(v.start)
		a.SessionStages = st.appendVisitStages(a.SessionStages, v)
	}
	for i := range a.Exposures {
		a.Exposures[i].Campaign = strings.Clone(a.Exposures[i].Campaign)
	}
	a.Currency = m.currencyOf(in)
	for i := range in.counted {
		c := &in.counted[i]
		o := record.Occurrence{Event: m.events[c.event].name, At: instant.Instant(in.at), Key: strings.Clone(c.key), HasValue: c.value != noNumber}
		if o.HasValue {
			o.Value = c.value
		}
		a.Occurrence = append(a.Occurrence, o)
		if c.keyHash != 0 {
			a.Products = slices.Clone(oneLine(in.products))
			if entry := s.of(m.events[c.event]).order(c.keyHash); entry != nil && o.HasValue {
				st.noteRefund(a, o.Event, c.key, entry, decimal.Decimal(0), entry.at)
			}
		}
	}
	for i := range in.refunds {
		st.noteLaterRefund(a, &in.refunds[i])
	}
	for _, i := range m.modelRules {
		if mb := &s.rules[i]; mb.stage != noStage {
			a.Stages = append(a.Stages, record.StageAt{Model: m.rules[i].name, Stage: m.rules[i].stages[mb.stage].name})
		}
	}
	if v == nil {
		a.SessionStages = append(a.SessionStages, a.Stages...)
	}
	for _, o := range m.openSegments(s) {
		a.Segments = append(a.Segments, o.name)
	}
}

// currencyText is a message's currency, or nothing if it is too long for one, however it
// is escaped.
func currencyText(raw []byte) []byte {
	if len(raw) > 6*maxCurrencyBytes+2 {
		return nil
	}
	return raw
}

// foreign reports whether a message with this currency has money of another one than the
// definition's. Without one in the definition values are plain numbers.
func (m *Model) foreign(currency []byte) bool {
	if m.def.Currency == "" || len(currency) == 0 {
		return false
	}
	return m.currencyOf(&input{currency: currencyText(currency)}) != m.def.Currency
}

// currencyOf is the message's own currency, else the definition's.
func (m *Model) currencyOf(in *input) string {
	if v := fromJSON(in.currency); v.kind == isText && v.s != "" && len(v.s) <= maxCurrencyBytes {
		return strings.Clone(v.s)
	}
	return m.def.Currency
}

// noteRefund adds what an entry's refunds took off beyond what had been taken off before.
func (st *step) noteRefund(a *record.Activity, name, key string, entry *keyEntry, before decimal.Decimal, at int64) {
	taken, ok := decimal.Add(entry.value, -entry.net())
	if !ok || taken == before {
		return
	}
	a.Occurrence = append(a.Occurrence, record.Occurrence{
		Event: name, At: instant.Instant(at), Value: before - taken, HasValue: true, Key: strings.Clone(key), Refund: true,
		Before: entry.value - before, // both are numbers, and so is what was left
	})
}

// noteLaterRefund adds what a refund takes off an order that has been applied.
func (st *step) noteLaterRefund(a *record.Activity, r *refundInput) {
	entry := st.s.of(st.m.events[r.event]).order(r.keyHash)
	if entry == nil || !entry.applied || entry.value == noNumber {
		return
	}
	before, ok := decimal.Add(entry.value, -entry.net())
	if !ok {
		return
	}
	then := *entry
	then.takeOff(r)
	st.noteRefund(a, st.m.events[r.event].name, r.key, &then, before, entry.at)
}
