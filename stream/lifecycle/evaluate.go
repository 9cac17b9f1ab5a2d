// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"strings"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// lookAhead bounds how far next_stage is looked for: 3,660 days.
const lookAhead = 3660 * dayMillis

// maxByValue is the longest value of a `by:` segment, in bytes.
const maxByValue = 256

// evaluate looks at the rules that read what is dirty or whose deadline has come,
// in order, and publishes what changed. The frontier moves to now if it did.
func (st *step) evaluate(now int64, why cause, dirty bitset) {
	s, m, out := st.s, st.m, st.out
	if s.deadline > now && dirty == (bitset{}) {
		return // nothing that any rule reads
	}
	firstStage := len(out.Records)
	segments := out.scratch.segments[:0]
	ev := &out.scratch.eval
	*ev = eval{s: s, rules: s.rules, now: now, locals: ev.locals[:0], texts: &out.scratch.texts}
	out.scratch.beyond.customer = st.customer
	moved := false // in campaigns, without a record
	for _, i := range m.evaluation {
		r, mb := &m.rules[i], &s.rules[i]
		if mb.deadline > now && !r.reads.meets(&dirty) {
			continue
		}
		if c := r.campaign; c != nil {
			if mb.sequence == 0 && mb.deadline > now && !c.reads.meets(&dirty) {
				continue // only its goals read what is dirty, and no round is open
			}
			changed, turned := st.campaign(ev, r, mb, why, &dirty)
			if moved = moved || turned; changed {
				dirty.set(r.bit)
				out.Changed = true
			}
			out.Changed = out.Changed || r.campaign.shown
			continue
		}
		out.Changed = true // at least the next deadline may have moved
		ev.deadline = never
		switch {
		case r.model:
			if stage := r.stage(ev); stage != mb.stage {
				dirty.set(r.bit)
				st.stageChange(ev, r, mb, stage, now, why)
			}
		case r.by:
			if st.byChange(ev, r, mb, now, why, &segments) {
				dirty.set(r.bit)
			}
		default:
			entered := r.when(ev) == yes
			if entered != (mb.stage == inSegment) {
				dirty.set(r.bit)
				st.segmentChange(r, mb, entered, now, why, &segments)
			}
		}
		mb.deadline = ev.deadline
	}
	s.deadline = never
	for i := range s.rules {
		s.deadline = min(s.deadline, s.rules[i].deadline)
	}
	sc := &out.scratch
	if len(out.Records) == firstStage && len(segments) == 0 && len(sc.conversions) == 0 && len(sc.assignments) == 0 {
		if moved { // or what comes late could bring the customer into an audience again that it has left since
			s.frontier = max(s.frontier, now)
		}
		return
	}
	s.frontier = max(s.frontier, now)
	for i := firstStage; i < len(out.Records); i++ {
		rec := &out.Records[i]
		rec.NextStage, rec.NextDeadline = m.next(s, m.modelIndex(rec.Model), now, &out.scratch)
	}
	out.Records = append(out.Records, segments...)
	sc.segments = segments
	if len(sc.conversions) > 0 || len(sc.assignments) > 0 {
		st.tellCampaigns()
	}
}

// campaign evaluates a campaign.
func (st *step) campaign(ev *eval, r *rule, mb *membership, why cause, dirty *bitset) (changed, moved bool) {
	t := turn{
		m: st.m, out: st.out, detected: st.detected, ev: ev, r: r, c: r.campaign, mb: mb, dirty: *dirty, why: why,
		news: &st.out.scratch.news, customer: st.customer,
	}
	changed = t.play()
	return changed, t.moved
}

// tellCampaigns publishes what came of campaigns, now that all is evaluated.
func (st *step) tellCampaigns() {
	sc := &st.out.scratch
	st.out.Records = append(st.out.Records, sc.conversions...)
	if len(sc.assignments) > 0 {
		where := st.m.place(st.s)
		for i := range sc.assignments {
			rec := &sc.assignments[i]
			rec.Stages, rec.Segments = where.stages, where.segments
			if n := len(sc.enrolled[i].rounds); n > 0 && sc.enrolled[i].rounds[n-1].number == rec.Round {
				sc.enrolled[i].rounds[n-1].place = where
			}
		}
		st.out.Records = append(st.out.Records, sc.assignments...)
	}
	clear(sc.enrolled)
	sc.conversions, sc.assignments, sc.enrolled = sc.conversions[:0], sc.assignments[:0], sc.enrolled[:0]
}

// stage is the first stage whose condition holds; the last one's always does.
func (r *rule) stage(ev *eval) int32 {
	last := len(r.stages) - 1
	for i := range r.stages[:last] {
		if r.stages[i].when(ev) == yes {
			return int32(i)
		}
	}
	return int32(last)
}

func (st *step) stageChange(ev *eval, r *rule, mb *membership, stage int32, now int64, why cause) {
	rec := st.record(&st.out.Records, record.StageChange, now, why)
	rec.Model, rec.To = r.name, r.stages[stage].name
	rec.Cause.Condition = r.stages[stage].text
	if mb.stage != noStage {
		from := &r.stages[mb.stage]
		rec.From, rec.Since = from.name, instant.Instant(mb.since)
		deadline := ev.deadline
		if from.when(ev) != yes {
			rec.Cause.Left = from.text
		}
		ev.deadline = deadline // asked for the record only
	} else if from, was := st.former[r]; was {
		rec.From, rec.Since = from, instant.Instant(mb.since)
	}
	mb.sequence++
	mb.stage, mb.since = stage, now
	rec.Sequence = mb.sequence
	rec.SetID()
}

func (st *step) segmentChange(r *rule, mb *membership, entered bool, now int64, why cause, to *[]record.Record) {
	rec := st.record(to, record.SegmentChange, now, why)
	rec.Segment, rec.Entered = r.name, entered
	mb.stage = noStage
	if entered {
		mb.stage = inSegment
		rec.Cause.Condition = r.text
	} else {
		rec.Cause.Left = r.text
	}
	mb.sequence++
	mb.since = now
	rec.Sequence = mb.sequence
	rec.SetID()
}

// byChange moves a customer between the segments of one `by:` rule: the old one is
// left before the new one is entered.
func (st *step) byChange(ev *eval, r *rule, mb *membership, now int64, why cause, to *[]record.Record) bool {
	value, in := byText(r.byExpr(ev))
	if in && !mb.by.admits(value, st.m.def.Limits.ByValues) {
		st.out.Overflow[LimitByValues]++
		value, in = "", false
	}
	if in == (mb.stage == inSegment) && (!in || value == mb.by.value) {
		return false
	}
	change := func(value string, entered bool) {
		rec := st.record(to, record.SegmentChange, now, why)
		rec.Segment, rec.Entered = r.name+"="+value, entered
		if entered {
			rec.Cause.Condition = r.text
		} else {
			rec.Cause.Left = r.text
		}
		if mb.by == nil {
			mb.by = new(byValue)
		}
		rec.Sequence = mb.by.nextSequence(value)
		rec.SetID()
	}
	if mb.stage == inSegment {
		change(mb.by.value, false)
	}
	mb.stage = noStage
	if in {
		mb.stage, mb.since = inSegment, now
		change(value, true)
		mb.by.value = value
	}
	return true
}

// byText is the value that names a segment; lists, objects, null and long texts name none.
func byText(v value) (string, bool) {
	if v.kind == isList || v.kind == isObject {
		return "", false
	}
	text, ok := v.text()
	return strings.Clone(text), ok && len(text) <= maxByValue
}

func (b *byValue) nextSequence(value string) int64 {
	i, found := b.find(value)
	if !found {
		b.sequences = slices.Insert(room(b.sequences, 1, 1), i, valueSequence{value: value})
	}
	b.sequences[i].sequence++
	return b.sequences[i].sequence
}

func (m *Model) modelIndex(name string) int {
	for _, i := range m.modelRules {
		if m.rules[i].name == name {
			return i
		}
	}
	panic("lifecycle: a record of an unknown model")
}

// next plays on without events until the model's stage changes.
func (m *Model) next(s *State, model int, now int64, sc *scratch) (string, instant.Instant) {
	at := m.upcoming(s, model, now, sc)
	if at == never {
		return "", instant.None
	}
	return m.rules[model].stages[sc.rules[model].stage].name, instant.Instant(at)
}

// upcoming is when a customer's place in a model or segment changes if no event comes;
// sc.rules are then the memberships of that instant. It plays on only the rules that this
// one reads, on a copy of their memberships. never: not within the look-ahead.
func (m *Model) upcoming(s *State, rule int, now int64, sc *scratch) int64 {
	r := &m.rules[rule]
	sc.rules = append(sc.rules[:0], s.rules...)
	sc.beyond.campaigns = append(sc.beyond.campaigns[:0], s.campaigns...)
	ev := &sc.ahead
	*ev = eval{s: s, rules: sc.rules, ahead: &sc.beyond, texts: &sc.texts}
	for t := now; ; {
		at := r.nextDeadline(sc.rules)
		if at == never || at > now+lookAhead || at <= t {
			return never
		}
		t = at
		m.playOn(ev, r.closure, at, bitset{})
		if !sc.rules[rule].same(&s.rules[rule]) {
			return at
		}
	}
}

// nextDeadline is the least deadline of the rule and of those that it reads.
func (r *rule) nextDeadline(rules []membership) int64 {
	at := never
	for _, i := range r.closure {
		at = min(at, rules[i].deadline)
	}
	return at
}

// same reports whether two memberships of a rule are the same place.
func (mb *membership) same(o *membership) bool {
	if mb.stage != o.stage || mb.by == nil || o.by == nil {
		return mb.stage == o.stage
	}
	return mb.stage != inSegment || mb.by.value == o.by.value
}

// playOn evaluates the rules of a look-ahead at one of their deadlines, or where what
// they read is dirty.
func (m *Model) playOn(ev *eval, closure []int, at int64, dirty bitset) {
	ev.now = at
	for _, i := range closure {
		r, mb := &m.rules[i], &ev.rules[i]
		if mb.deadline > at && !r.reads.meets(&dirty) {
			continue
		}
		if r.campaign != nil {
			if mine := ev.enrolled(r.campaign).clone(); mine != nil {
				ev.enrol(m, r.campaign, mine)
			}
			t := turn{m: m, ev: ev, r: r, c: r.campaign, mb: mb, dirty: dirty, customer: ev.ahead.customer}
			if t.play() {
				dirty.set(r.bit)
			}
			continue
		}
		ev.deadline = never
		var stage int32
		switch {
		case r.model:
			stage = r.stage(ev)
		case r.by:
			value, in := byText(r.byExpr(ev))
			stage = noStage
			if in = in && mb.by.admits(value, m.def.Limits.ByValues); in {
				stage = inSegment
			}
			if stage != mb.stage || in && value != mb.by.value {
				mb.by = mb.by.ahead(value, in)
				dirty.set(r.bit)
			}
		default:
			stage = noStage
			if r.when(ev) == yes {
				stage = inSegment
			}
		}
		if stage != mb.stage {
			mb.stage, mb.since = stage, at
			dirty.set(r.bit)
		}
		mb.deadline = ev.deadline
	}
}
