// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"slices"
	"sort"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// write appends the records of one evaluation: stage changes, segment changes,
// conversions, assignments, each in the order of evaluation.
func (l *life) write(before standing, all []told, now instant.Instant, cause record.Cause, detected instant.Instant) {
	o := l.oracle
	next := o.next(l.history, l.standing, now)
	for _, it := range o.items {
		if it.model == nil || before.stage[it.name] == l.standing.stage[it.name] {
			continue
		}
		r := l.record(record.StageChange, now, cause, detected)
		r.Model, r.From, r.To = it.name, before.stage[it.name], l.standing.stage[it.name]
		r.Since, r.NextDeadline = instant.None, instant.None
		if r.From != "" {
			r.Since = before.since[it.name]
			if !o.stillHolds(l.history, l.standing, now, it, r.From) {
				r.Cause.Left = it.when(r.From)
			}
		}
		r.Cause.Condition = it.when(r.To)
		if c, ok := next[it.name]; ok {
			r.NextStage, r.NextDeadline = c.stage, c.at
		}
		l.emit(r)
	}
	for _, it := range o.items {
		was, is := before.in[it.name], l.standing.in[it.name]
		if it.segment == nil || was == is {
			continue
		}
		condition := it.segment.When.Value + it.segment.By.Value // one of them is empty
		if was != "" {
			r := l.record(record.SegmentChange, now, cause, detected)
			r.Segment, r.Cause.Left = was, condition
			l.emit(r)
		}
		if is != "" {
			r := l.record(record.SegmentChange, now, cause, detected)
			r.Segment, r.Entered, r.Cause.Condition = is, true, condition
			l.emit(r)
		}
	}
	for _, t := range all {
		if t.goal >= 0 {
			l.emit(l.ofCampaign(t, now, cause, detected))
		}
	}
	for _, t := range all {
		if t.goal < 0 {
			l.emit(l.ofCampaign(t, now, cause, detected))
		}
	}
}

// ofCampaign is a conversion or an assignment.
func (l *life) ofCampaign(t told, now instant.Instant, cause record.Cause, detected instant.Instant) record.Record {
	r := l.record(record.Assignment, now, cause, detected)
	in := l.standing.campaigns[t.campaign.def.Name.Value].rounds[t.round]
	r.Campaign, r.Variant, r.Holdout, r.Round = t.campaign.def.Name.Value, in.arm.variant, in.arm.holdout, int64(t.round+1)
	r.Stages, r.Segments = in.stages, in.segments
	r.Cause.Condition = t.campaign.def.Audience.Value
	if t.goal >= 0 {
		g, p := t.campaign.def.Goals[t.goal], in.goals[t.goal]
		r.Kind, r.Goal, r.AssignedAt, r.Currency = record.Conversion, g.Name.Value, in.at, p.currency
		r.Cause.Condition = g.When.Value
		r.Unpriced = p.unpriced
		if p.value != nil {
			r.Value, r.HasValue, r.Occurrences = ofDecimal(p.value), true, int64(p.worthOf)
		}
	}
	return r
}

// when is the condition of a stage of the model.
func (it item) when(stage string) string {
	for _, s := range it.model.Stages {
		if s.Name.Value == stage {
			return s.When.Value
		}
	}
	return ""
}

// expire writes the closing records and forgets the customer, but for what is known
// of the messages that still wait: they are of who begins anew.
func (l *life) expire(now, detected instant.Instant) {
	cause := record.Cause{Type: record.CauseExpired, EventTime: instant.None}
	for _, m := range l.oracle.def.Models {
		r := l.record(record.StageChange, now, cause, detected)
		r.Model, r.From = m.Name.Value, l.standing.stage[m.Name.Value]
		r.Since, r.NextDeadline = l.standing.since[m.Name.Value], instant.None
		l.emit(r)
	}
	for _, name := range l.standing.segments() {
		r := l.record(record.SegmentChange, now, cause, detected)
		r.Segment = name
		l.emit(r)
	}
	ids, keys := l.ids, l.keys
	l.begin()
	for _, r := range ids {
		if slices.ContainsFunc(l.held, func(a applied) bool { return a.message.messageID == r.id }) {
			l.ids = append(l.ids, r)
		}
	}
	for event, read := range keys {
		for _, key := range read {
			if slices.ContainsFunc(l.held, func(a applied) bool { occ := a.occurrences[event]; return occ.hasKey && occ.key == key }) {
				l.keys[event] = append(l.keys[event], key)
			}
		}
	}
}

// segments are those the customer is in, by name.
func (s standing) segments() []string {
	var names []string
	for _, name := range s.in {
		if name != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func (l *life) record(kind record.Kind, now instant.Instant, cause record.Cause, detected instant.Instant) record.Record {
	def := l.oracle.def
	return record.Record{
		Kind: kind, CustomerID: l.id, Definition: def.Name.Value, DefinitionVersion: def.Version,
		EffectiveAt: now, DetectedAt: detected, Cause: cause,
		Backfill: def.PublishFrom != instant.None && now < def.PublishFrom,
	}
}

// emit numbers the record and gives it its id.
func (l *life) emit(r record.Record) {
	switch r.Kind {
	case record.StageChange:
		l.stageSeq[r.Model]++
		r.Sequence = l.stageSeq[r.Model]
	case record.SegmentChange:
		l.segSeq[r.Segment]++
		r.Sequence = l.segSeq[r.Segment]
	default:
		l.campaignSeq[r.Campaign+"/"+r.Goal]++
		r.Sequence = l.campaignSeq[r.Campaign+"/"+r.Goal]
	}
	r.SetID()
	l.out = append(l.out, r)
}

// profile is the customer's public profile; nil if it has not begun or has ended.
func (l *life) profile() *record.Profile {
	if l.frontier == instant.None {
		return nil
	}
	p := &record.Profile{CustomerID: l.id, Segments: l.standing.segments()}
	next := l.oracle.next(l.history, l.standing, l.frontier)
	for _, m := range l.oracle.def.Models {
		name := m.Name.Value
		s := record.ProfileStage{
			Model: name, Stage: l.standing.stage[name], Since: l.standing.since[name],
			Sequence: l.stageSeq[name], NextDeadline: instant.None,
		}
		if c, ok := next[name]; ok {
			s.NextStage, s.NextDeadline = c.stage, c.at
		}
		p.Stages = append(p.Stages, s)
	}
	traits := map[string]any{}
	for name, t := range l.history.traits {
		if t.value != nil {
			traits[name] = t.value
		}
	}
	p.Traits, _ = json.Marshal(traits) // decoded JSON always encodes
	return p
}
