// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Standing is where a customer stands, as others have been told: what another
// generation, or another definition, can be compared with and go on from.
type Standing struct {
	Models   []ModelStanding   // in the order of the definition, then those that are no more
	Segments []SegmentStanding // those it is in or has been in, no more included, in no order
	// Campaigns are those the customer has to do with, no more included.
	Campaigns []CampaignStanding
	Frontier  instant.Instant // the greatest instant applied
}

// ModelStanding is a customer's stage in a model.
type ModelStanding struct {
	Model    string
	Stage    string // "": the definition does not have the model any more
	Since    instant.Instant
	Sequence int64 // of the change into it
}

// SegmentStanding is whether a customer is in a segment.
type SegmentStanding struct {
	Segment  string
	In       bool
	Sequence int64 // of its last change
}

// Standing is where the customer stands.
func (m *Model) Standing(s *State) Standing {
	out := Standing{Frontier: instant.None}
	if s.rules == nil || !s.begun {
		return out
	}
	out.Frontier = instant.Instant(s.frontier)
	for _, i := range m.modelRules {
		if mb := &s.rules[i]; mb.stage != noStage {
			out.Models = append(out.Models, ModelStanding{
				Model: m.rules[i].name, Stage: m.rules[i].stages[mb.stage].name, Since: instant.Instant(mb.since), Sequence: mb.sequence,
			})
		}
	}
	for i := range m.rules {
		r, mb := &m.rules[i], &s.rules[i]
		switch {
		case r.model, r.campaign != nil:
		case !r.by:
			if mb.sequence > 0 {
				out.Segments = append(out.Segments, SegmentStanding{Segment: r.name, In: mb.stage == inSegment, Sequence: mb.sequence})
			}
		case mb.by != nil:
			for _, v := range mb.by.sequences {
				out.Segments = append(out.Segments, SegmentStanding{
					Segment: r.name + "=" + v.value, In: mb.stage == inSegment && v.value == mb.by.value, Sequence: v.sequence,
				})
			}
		}
	}
	out.Campaigns = m.standingCampaigns(s)
	for _, r := range s.retired {
		switch r.kind {
		case retiredModel:
			out.Models = append(out.Models, ModelStanding{Model: r.name, Since: instant.None, Sequence: r.sequence})
		case retiredSegment:
			out.Segments = append(out.Segments, SegmentStanding{Segment: r.name, Sequence: r.sequence})
		default: // of campaigns
		}
	}
	return out
}

// Succeed lets the customer go on in public from where another computation of it has
// stood. Where both agree only the sequences go on, from the greater one; where they
// do not, a change with cause definition tells of it, effective at the greatest
// instant applied in either. Assignments are those of the other. s may be a customer that has not begun: then all that
// before says ends.
func (m *Model) Succeed(s *State, customer string, before *Standing, detected instant.Instant, out *Output) {
	st := step{m: m, s: s, customer: customer, detected: detected, out: out}
	out.scratch.beyond.customer = customer
	at := int64(before.Frontier)
	if s.begun {
		s.frontier = max(s.frontier, at)
		at = s.frontier
	}
	stages := m.succeedModels(&st, before.Models, at)
	segments := m.succeedSegments(&st, before.Segments, at)
	for i := stages; i < segments; i++ {
		if rec := &out.Records[i]; s.begun && rec.To != "" {
			rec.NextStage, rec.NextDeadline = m.next(s, m.modelIndex(rec.Model), at, &out.scratch)
		}
	}
	m.succeedCampaigns(&st, before.Campaigns, at)
	out.Changed = true
	out.Ended = out.Ended || !s.Begun()
}

// succeedModels returns how many records there were before.
func (m *Model) succeedModels(st *step, before []ModelStanding, at int64) (first int) {
	first = len(st.out.Records)
	why := cause{kind: record.CauseDefinition}
	known := map[string]bool{}
	if st.s.begun {
		for _, i := range m.modelRules {
			r, mb := &m.rules[i], &st.s.rules[i]
			if mb.stage == noStage {
				continue
			}
			known[r.name] = true
			then := ModelStanding{Since: instant.None}
			if j := slices.IndexFunc(before, func(b ModelStanding) bool { return b.Model == r.name }); j >= 0 {
				then = before[j]
			}
			mb.sequence = max(mb.sequence, then.Sequence)
			now := &r.stages[mb.stage]
			if now.name == then.Stage {
				continue
			}
			mb.sequence++
			rec := st.record(&st.out.Records, record.StageChange, at, why)
			rec.Model, rec.From, rec.To, rec.Since, rec.Sequence = r.name, then.Stage, now.name, then.Since, mb.sequence
			rec.Cause.Condition = now.text
			ev := eval{s: st.s, rules: st.s.rules, now: at}
			for k := range r.stages {
				if from := &r.stages[k]; from.name == then.Stage && from.when(&ev) != yes {
					rec.Cause.Left = from.text
				}
			}
			rec.SetID()
		}
	}
	for _, then := range before {
		if known[then.Model] {
			continue
		}
		if then.Stage != "" {
			then.Sequence++
			rec := st.record(&st.out.Records, record.StageChange, at, why)
			rec.Model, rec.From, rec.Since, rec.Sequence = then.Model, then.Stage, then.Since, then.Sequence
			rec.SetID()
		}
		if st.s.begun {
			st.s.retire(retired{kind: retiredModel, name: then.Model, sequence: then.Sequence})
		}
	}
	return first
}

// succeedSegments returns how many records there were before.
func (m *Model) succeedSegments(st *step, before []SegmentStanding, at int64) (first int) {
	first = len(st.out.Records)
	then := map[string]SegmentStanding{}
	for _, b := range before {
		then[b.Segment] = b
	}
	tell := func(name string, entered bool, sequence int64, text string) {
		rec := st.record(&st.out.Records, record.SegmentChange, at, cause{kind: record.CauseDefinition})
		rec.Segment, rec.Entered, rec.Sequence = name, entered, sequence
		if entered {
			rec.Cause.Condition = text
		} else {
			rec.Cause.Left = text
		}
		rec.SetID()
	}
	// one brings a segment to where both generations agree.
	one := func(name string, in bool, sequence *int64, text string) {
		b := then[name]
		delete(then, name)
		*sequence = max(*sequence, b.Sequence)
		if b.In != in {
			*sequence++
			tell(name, in, *sequence, text)
		}
	}
	if st.s.begun {
		for i := range m.rules {
			r, mb := &m.rules[i], &st.s.rules[i]
			switch {
			case r.model, r.campaign != nil:
			case !r.by:
				one(r.name, mb.stage == inSegment, &mb.sequence, r.text)
			default:
				m.succeedValues(r, mb, then)
				if mb.by == nil {
					continue
				}
				// Those that are left before the one that is entered.
				for _, entered := range []bool{false, true} {
					for k := range mb.by.sequences {
						v := &mb.by.sequences[k]
						if in := mb.stage == inSegment && v.value == mb.by.value; in == entered {
							one(r.name+"="+v.value, in, &v.sequence, r.text)
						}
					}
				}
			}
		}
	}
	for _, b := range before {
		left, waits := then[b.Segment]
		if !waits {
			continue
		}
		if left.In {
			left.Sequence++
			tell(b.Segment, false, left.Sequence, "")
		}
		if st.s.begun {
			st.s.retire(retired{name: b.Segment, sequence: left.Sequence})
		}
	}
	return first
}

// succeedValues makes room for the values of a `by:` segment that only the other
// generation knows, so that their sequences go on; within the definition's limit.
func (m *Model) succeedValues(r *rule, mb *membership, then map[string]SegmentStanding) {
	var names []string
	for name := range then {
		if len(name) > len(r.name) && name[:len(r.name)+1] == r.name+"=" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		value := name[len(r.name)+1:]
		i, found := mb.by.find(value)
		if found || !mb.by.admits(value, m.def.Limits.ByValues) {
			continue
		}
		if mb.by == nil {
			mb.by = new(byValue)
		}
		mb.by.sequences = slices.Insert(mb.by.sequences, i, valueSequence{value: value})
	}
}
