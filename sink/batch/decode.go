// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	ours "lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

// Topics are the names, without prefix, of all topics the sink reads.
func Topics() []string {
	return []string{
		topics.Definitions, topics.StageChanges, topics.SegmentChanges, topics.Assignments, topics.Conversions, topics.History,
		topics.Profiles, topics.Activity, topics.Aggregates,
	}
}

// decode adds the rows of one record.
func (b *Batch) decode(r *Record) error {
	switch r.Name {
	case topics.StageChanges, topics.SegmentChanges, topics.Assignments, topics.Conversions, topics.History:
		return b.change(r)
	case topics.Profiles:
		return b.profile(r)
	case topics.Activity:
		return b.activity(r)
	case topics.Aggregates:
		if record.IsSettings(r.Value) {
			return b.settings(r)
		}
		return b.aggregate(r)
	case topics.Definitions:
		return b.definition(r)
	}
	return fmt.Errorf("topic %q is not one the sink knows", r.Name)
}

func (b *Batch) change(r *Record) error {
	c, err := record.DecodeRecord(r.Value)
	if err != nil {
		return err
	}
	cause := []any{
		string(c.Cause.Type), null(c.Cause.Condition), null(c.Cause.Left), null(c.Cause.Event), null(c.Cause.MessageID), nullTime(c.Cause.EventTime),
	}
	switch c.Kind {
	case record.StageChange:
		b.add(StageChanges, r, append(Row{
			c.ID.String(), c.CustomerID, c.Definition, uint32(c.DefinitionVersion), c.Model, uint64(c.Sequence),
			null(c.From), null(c.To), c.EffectiveAt.Time(), c.DetectedAt.Time(),
			nullTime(c.Since), null(c.NextStage), nullTime(c.NextDeadline), null(c.MergedInto), c.Backfill,
		}, cause...))
	case record.SegmentChange:
		b.add(SegmentChanges, r, append(Row{
			c.ID.String(), c.CustomerID, c.Definition, uint32(c.DefinitionVersion), c.Segment, uint64(c.Sequence),
			c.Entered, c.EffectiveAt.Time(), c.DetectedAt.Time(), c.Backfill,
		}, cause...))
	case record.Assignment:
		b.add(Assignments, r, append(Row{
			c.ID.String(), c.CustomerID, c.Definition, uint32(c.DefinitionVersion), c.Campaign, null(c.Variant), c.Holdout, uint32(c.Round),
			uint64(c.Sequence), c.EffectiveAt.Time(), c.DetectedAt.Time(), c.Backfill, stages(c.Stages), list(c.Segments),
		}, cause...))
	case record.Conversion:
		var value, occurrences any
		if c.HasValue {
			value, occurrences = money(c.Value), uint32(c.Occurrences)
		}
		b.add(Conversions, r, append(Row{
			c.ID.String(), c.CustomerID, c.Definition, uint32(c.DefinitionVersion), c.Campaign, c.Goal, null(c.Variant), c.Holdout, uint32(c.Round),
			c.AssignedAt.Time(), value, null(c.Currency), occurrences, uint32(c.Unpriced),
			uint64(c.Sequence), c.EffectiveAt.Time(), c.DetectedAt.Time(), c.Backfill, stages(c.Stages), list(c.Segments),
		}, cause...))
	default:
		return fmt.Errorf("record of kind %q has no table", c.Kind)
	}
	return nil
}

func (b *Batch) profile(r *Record) error {
	if r.Value == nil {
		if len(r.Key) == 0 {
			return fmt.Errorf("tombstone of a profile without a key")
		}
		b.add(Profiles, r, Row{uint8(1), string(r.Key), map[string]map[string]any{}, []string{}, "{}"})
		return nil
	}
	p, err := record.DecodeProfile(r.Value)
	if err != nil {
		return err
	}
	stages := make(map[string]map[string]any, len(p.Stages))
	for _, s := range p.Stages {
		stages[s.Model] = map[string]any{
			"stage": s.Stage, "since": s.Since.Time(), "sequence": uint64(s.Sequence), "next_stage": null(s.NextStage), "next_deadline": nullTime(s.NextDeadline),
		}
	}
	traits := "{}"
	if len(p.Traits) > 0 {
		traits = string(p.Traits)
	}
	b.add(Profiles, r, Row{uint8(0), p.CustomerID, stages, list(p.Segments), traits})
	return nil
}

func (b *Batch) aggregate(r *Record) error {
	a, err := record.DecodeAggregate(r.Value)
	if err != nil {
		return err
	}
	b.add(Aggregates, r, Row{
		a.Definition, uint32(a.Lane), string(a.Measure), string(a.Grain), a.Period.Time(),
		a.Event, a.Model, a.Stage, a.From, a.To, string(a.Cause), a.Segment, a.Platform, a.Count, money(a.Sum), squares(a.SumSquares),
	})
	return nil
}

func (b *Batch) settings(r *Record) error {
	s, err := record.DecodeSettings(r.Value)
	if err != nil {
		return err
	}
	since := s.Since
	if since.IsNone() {
		since = 0
	}
	b.add(Settings, r, Row{uint32(s.Lane), since.Time(), s.Activity, s.Aggregates, s.SessionGap.Milliseconds(), s.CloseAfter.Milliseconds()})
	return nil
}

// definitionRecord is a record of the topic definitions.
type definitionRecord struct {
	Name        string          `json:"name"`
	Version     int64           `json:"version"`
	Hash        string          `json:"hash"`
	Timezone    string          `json:"timezone"`
	Currency    string          `json:"currency"`
	ActivatedAt string          `json:"activated_at"`
	Models      json.RawMessage `json:"models"`
	Segments    json.RawMessage `json:"segments"`
	Campaigns   json.RawMessage `json:"campaigns"`
	Holdout     float64         `json:"global_holdout"`
	Source      string          `json:"source"`
}

func (b *Batch) definition(r *Record) error {
	if r.Value == nil {
		return nil // nobody deletes one; a cleaned-up topic says nothing about the past
	}
	var d definitionRecord
	if err := json.Unmarshal(r.Value, &d); err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	at, ok := instant.Parse(d.ActivatedAt)
	if !ok || d.Name == "" || d.Version < 1 {
		return fmt.Errorf("definition %q version %d activated at %q: name, version or time is missing", d.Name, d.Version, d.ActivatedAt)
	}
	if d.Timezone == "" {
		d.Timezone = "UTC"
	}
	if _, err := time.LoadLocation(d.Timezone); err != nil {
		return fmt.Errorf("definition %q: time zone: %w", d.Name, err)
	}
	b.add(Definitions, r, Row{
		d.Name, uint32(d.Version), d.Hash, d.Timezone, null(d.Currency), at.Time(), jsonList(d.Models), jsonList(d.Segments), jsonList(d.Campaigns), d.Holdout, d.Source,
	})
	return nil
}

func jsonList(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "[]"
	}
	return string(raw)
}

// null is s, or NULL if it is empty.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// nullTime is i, or NULL if there is none.
func nullTime(i instant.Instant) any {
	if i.IsNone() {
		return nil
	}
	return i.Time()
}

func list(all []string) []string {
	if all == nil {
		return []string{}
	}
	return all
}

func squares(d ours.Squares) decimal.Decimal { return decimal.NewFromBigInt(d.Big(), -8) }

func money(d ours.Decimal) decimal.Decimal { return decimal.New(int64(d), -4) }
