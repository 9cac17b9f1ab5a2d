// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

// The decoders read what the appenders write, and what later versions may: a field
// they do not know is ignored, one that is absent is as if null. null becomes the
// empty string or instant.None. They are for the sink, tools and tests, so
// encoding/json is fast enough.

// ErrKind is the error of a record that is not of the kind asked for.
var ErrKind = errors.New("another kind of record")

// activityKind is not public: activity stays on an internal topic.
const activityKind Kind = "activity"

// unmarshal reads b into w if it is a record of one of the kinds. The kind is looked
// at first: what is wrong with the fields of another kind is of no interest.
func unmarshal(b []byte, w any, kinds ...Kind) error {
	var head struct {
		Kind Kind `json:"kind"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return err // the caller says what it was decoding
	}
	if !slices.Contains(kinds, head.Kind) {
		return fmt.Errorf("kind %q: %w", head.Kind, ErrKind)
	}
	return json.Unmarshal(b, w)
}

// moment is an instant in JSON: an RFC 3339 string or null.
type moment struct {
	value instant.Instant
	ok    bool // there, and not null
}

func (m *moment) UnmarshalJSON(b []byte) error {
	*m = moment{}
	if string(b) == "null" {
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("read a time: %w", err)
	}
	if m.value, m.ok = instant.ParseAny(text); !m.ok {
		return fmt.Errorf("read a time: %q is not of RFC 3339", text)
	}
	return nil
}

func (m moment) instant() instant.Instant {
	if !m.ok {
		return instant.None
	}
	return m.value
}

// amount is a decimal in JSON: a number or null.
type amount struct {
	value decimal.Decimal
	ok    bool // not null
}

func (a *amount) UnmarshalJSON(b []byte) error {
	*a = amount{}
	if string(b) == "null" {
		return nil
	}
	if a.value, a.ok = decimal.Parse(b); !a.ok {
		return fmt.Errorf("read a number: %s is no decimal below 10^14", b)
	}
	return nil
}

// squares is a sum of squares in JSON: a number.
type squares struct{ value decimal.Squares }

func (s *squares) UnmarshalJSON(b []byte) (err error) {
	*s = squares{}
	if string(b) == "null" {
		return nil
	}
	ok := false
	if s.value, ok = decimal.ParseSquares(string(b)); !ok {
		return fmt.Errorf("read a sum of squares: %s is no decimal below 10^30 with 8 places", b)
	}
	return nil
}

// recordJSON is a Record of any kind on the wire.
type recordJSON struct {
	Kind              Kind    `json:"kind"`
	ID                string  `json:"id"`
	CustomerID        string  `json:"customer_id"`
	Definition        string  `json:"definition"`
	DefinitionVersion int64   `json:"definition_version"`
	Model             string  `json:"model"`
	Segment           string  `json:"segment"`
	Sequence          int64   `json:"sequence"`
	From              *string `json:"from"`
	To                *string `json:"to"`
	Entered           bool    `json:"entered"`
	EffectiveAt       moment  `json:"effective_at"`
	DetectedAt        moment  `json:"detected_at"`
	Since             moment  `json:"since"`
	NextStage         *string `json:"next_stage"`
	NextDeadline      moment  `json:"next_deadline"`
	MergedInto        *string `json:"merged_into"`
	Backfill          bool    `json:"backfill"`

	Campaign   string          `json:"campaign"`
	Goal       string          `json:"goal"`
	Variant    *string         `json:"variant"`
	Holdout    bool            `json:"holdout"`
	Round      int64           `json:"round"`
	AssignedAt moment          `json:"assigned_at"`
	Value      amount          `json:"value"`
	Currency   *string         `json:"currency"`
	Unpriced   int64           `json:"unpriced"`
	Occurred   int64           `json:"occurrences"` // missing: 0
	Stages     members[string] `json:"stages"`
	Segments   []string        `json:"segments"`

	Cause struct {
		Type      CauseType `json:"type"`
		Condition *string   `json:"condition"`
		Left      *string   `json:"left"`
		Event     *string   `json:"event"`
		MessageID *string   `json:"message_id"`
		EventTime moment    `json:"event_time"`
	} `json:"cause"`
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// DecodeRecord reads a stage change, segment change, assignment or conversion. Any
// other kind is ErrKind; a record without an id, a customer, a name, an effective_at or a detected_at is
// an error as well.
func DecodeRecord(b []byte) (Record, error) {
	var w recordJSON
	if err := unmarshal(b, &w, StageChange, SegmentChange, Assignment, Conversion); err != nil {
		return Record{}, fmt.Errorf("decode record: %w", err)
	}
	r := Record{
		Kind:              w.Kind,
		CustomerID:        w.CustomerID,
		Definition:        w.Definition,
		DefinitionVersion: w.DefinitionVersion,
		Sequence:          w.Sequence,
		EffectiveAt:       w.EffectiveAt.instant(),
		DetectedAt:        w.DetectedAt.instant(),
		Backfill:          w.Backfill,
		Cause: Cause{
			Type:      w.Cause.Type,
			Condition: orEmpty(w.Cause.Condition),
			Left:      orEmpty(w.Cause.Left),
			Event:     orEmpty(w.Cause.Event),
			MessageID: orEmpty(w.Cause.MessageID),
			EventTime: w.Cause.EventTime.instant(),
		},
	}
	switch r.Kind {
	case StageChange:
		r.Model, r.From, r.To = w.Model, orEmpty(w.From), orEmpty(w.To)
		r.Since, r.NextDeadline = w.Since.instant(), w.NextDeadline.instant()
		r.NextStage, r.MergedInto = orEmpty(w.NextStage), orEmpty(w.MergedInto)
	case Assignment, Conversion:
		r.Campaign, r.Variant, r.Holdout, r.Round = w.Campaign, orEmpty(w.Variant), w.Holdout, w.Round
		for _, s := range w.Stages {
			r.Stages = append(r.Stages, StageAt{Model: s.name, Stage: s.value})
		}
		if len(w.Segments) > 0 {
			r.Segments = w.Segments
		}
		if r.Kind == Conversion {
			r.Goal, r.AssignedAt = w.Goal, w.AssignedAt.instant()
			r.Value, r.HasValue, r.Currency, r.Occurrences = w.Value.value, w.Value.ok, orEmpty(w.Currency), w.Occurred
			r.Unpriced = w.Unpriced
		}
	default:
		r.Segment, r.Entered = w.Segment, w.Entered
	}
	if n, err := hex.Decode(r.ID[:], []byte(w.ID[:min(len(w.ID), 2*len(r.ID))])); err != nil || n != len(r.ID) || len(w.ID) != 2*n {
		return Record{}, fmt.Errorf("decode record: id %q is no %d hex digits", w.ID, 2*len(r.ID))
	}
	named := r.Name() != ""
	if r.Kind == Conversion {
		named = r.Campaign != "" && r.Goal != "" && !r.AssignedAt.IsNone()
	}
	if r.CustomerID == "" || !named || r.EffectiveAt.IsNone() || r.DetectedAt.IsNone() {
		return Record{}, fmt.Errorf("decode record %s: customer_id, %s, effective_at and detected_at must be there", r.ID, nameField(r.Kind))
	}
	return r, nil
}

func nameField(k Kind) string {
	switch k {
	case StageChange:
		return "model"
	case Assignment:
		return "campaign"
	case Conversion:
		return "campaign, goal, assigned_at"
	default:
		return "segment"
	}
}

// DecodeProfile reads a profile. Its stages keep the order they are written in; an
// empty object of traits and an empty list become nil.
func DecodeProfile(b []byte) (Profile, error) {
	var w struct {
		CustomerID string                `json:"customer_id"`
		Stages     members[profileStage] `json:"stages"`
		Segments   []string              `json:"segments"`
		Traits     json.RawMessage       `json:"traits"`
	}
	if err := unmarshal(b, &w, ProfileKind); err != nil {
		return Profile{}, fmt.Errorf("decode profile: %w", err)
	}
	if w.CustomerID == "" {
		return Profile{}, errors.New("decode profile: customer_id must be there")
	}
	p := Profile{CustomerID: w.CustomerID}
	for _, s := range w.Stages {
		p.Stages = append(p.Stages, ProfileStage{
			Model:        s.name,
			Stage:        s.value.Stage,
			Since:        s.value.Since.instant(),
			Sequence:     s.value.Sequence,
			NextStage:    orEmpty(s.value.NextStage),
			NextDeadline: s.value.NextDeadline.instant(),
		})
	}
	if len(w.Segments) > 0 {
		p.Segments = w.Segments
	}
	switch traits := string(w.Traits); {
	case traits == "", traits == "null", traits == "{}":
	case traits[0] == '{':
		p.Traits = w.Traits
	default:
		return Profile{}, fmt.Errorf("decode profile: traits %.20q are no object", traits)
	}
	return p, nil
}

type profileStage struct {
	Stage        string  `json:"stage"`
	Since        moment  `json:"since"`
	Sequence     int64   `json:"sequence"`
	NextStage    *string `json:"next_stage"`
	NextDeadline moment  `json:"next_deadline"`
}

// members are an object's members in the order of the text, which a map would lose.
type members[T any] []member[T]

type member[T any] struct {
	name  string
	value T
}

// UnmarshalJSON reads an object, or null as none.
func (m *members[T]) UnmarshalJSON(b []byte) error {
	*m = nil
	if string(b) == "null" {
		return nil
	}
	tokens := json.NewDecoder(bytes.NewReader(b))
	if open, err := tokens.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("read an object: %.20s is none", b)
	}
	for tokens.More() {
		key, err := tokens.Token()
		if err != nil {
			return fmt.Errorf("read a key: %w", err)
		}
		var next member[T]
		next.name, _ = key.(string) // a key is always a string
		if err := tokens.Decode(&next.value); err != nil {
			return fmt.Errorf("read %q: %w", next.name, err)
		}
		*m = append(*m, next)
	}
	return nil
}

// DecodeAggregate reads an aggregate.
func DecodeAggregate(b []byte) (Aggregate, error) {
	var w struct {
		Definition string     `json:"definition"`
		Lane       int32      `json:"lane"`
		Measure    Measure    `json:"measure"`
		Grain      Grain      `json:"grain"`
		Period     moment     `json:"period"`
		Event      *string    `json:"event"`
		Model      *string    `json:"model"`
		Stage      *string    `json:"stage"`
		From       *string    `json:"from"`
		To         *string    `json:"to"`
		Cause      *CauseType `json:"cause"`
		Segment    string     `json:"segment"`
		Platform   string     `json:"platform"`
		Count      int64      `json:"count"`
		Sum        amount     `json:"sum"`
		SumSquares squares    `json:"sum_squares"`
	}
	if err := unmarshal(b, &w, AggregateKind); err != nil {
		return Aggregate{}, fmt.Errorf("decode aggregate: %w", err)
	}
	if w.Period.instant().IsNone() {
		return Aggregate{}, errors.New("decode aggregate: period must be there")
	}
	a := Aggregate{
		Definition: w.Definition,
		Lane:       w.Lane,
		Measure:    w.Measure,
		Grain:      w.Grain,
		Period:     w.Period.instant(),
		Event:      orEmpty(w.Event),
		Model:      orEmpty(w.Model),
		Stage:      orEmpty(w.Stage),
		From:       orEmpty(w.From),
		To:         orEmpty(w.To),
		Segment:    w.Segment,
		Platform:   w.Platform,
		Count:      w.Count,
		Sum:        w.Sum.value,
		SumSquares: w.SumSquares.value,
	}
	if w.Cause != nil {
		a.Cause = *w.Cause
	}
	return a, nil
}

// DecodeActivity reads an activity record. Its stages keep the order they are
// written in; empty lists become nil.
func DecodeActivity(b []byte) (Activity, error) {
	if a, ok := fastActivity(b); ok {
		return a, nil
	}
	return slowActivity(b)
}

func slowActivity(b []byte) (Activity, error) {
	var w struct {
		CustomerID  string  `json:"customer_id"`
		EventTime   moment  `json:"event_time"`
		MessageID   *string `json:"message_id"`
		Type        string  `json:"type"`
		Event       string  `json:"event"`
		Occurrences []struct {
			Event  string  `json:"event"`
			At     moment  `json:"at"`
			Value  amount  `json:"value"`
			Key    *string `json:"key"`
			Refund bool    `json:"refund"`
		} `json:"occurrences"`
		Stages   members[string] `json:"stages"`
		Segments []string        `json:"segments"`
		Currency *string         `json:"currency"`
		Products json.RawMessage `json:"products"`

		Exposures []struct {
			Campaign string `json:"campaign"`
			Channel  string `json:"channel"`
			Step     string `json:"step"`
			Machine  bool   `json:"machine"`
		} `json:"exposures"`
		SessionStart  moment          `json:"session_start"`
		SessionStages members[string] `json:"session_stages"`
		Platform      *string         `json:"platform"`
		TooLate       bool            `json:"too_late"`
	}
	if err := unmarshal(b, &w, activityKind); err != nil {
		return Activity{}, fmt.Errorf("decode activity: %w", err)
	}
	if w.CustomerID == "" || w.EventTime.instant().IsNone() {
		return Activity{}, errors.New("decode activity: customer_id and event_time must be there")
	}
	a := Activity{
		CustomerID: w.CustomerID,
		EventTime:  w.EventTime.instant(),
		MessageID:  orEmpty(w.MessageID),
		Type:       w.Type,
		Event:      w.Event,
		Currency:   orEmpty(w.Currency),

		SessionStart: w.SessionStart.instant(),
	}
	if !a.SessionStart.IsNone() {
		a.Platform, a.TooLate = orEmpty(w.Platform), w.TooLate
		for _, e := range w.Exposures {
			a.Exposures = append(a.Exposures, Exposure(e))
		}
		for _, s := range w.SessionStages {
			a.SessionStages = append(a.SessionStages, StageAt{Model: s.name, Stage: s.value})
		}
	}
	for _, o := range w.Occurrences {
		a.Occurrence = append(a.Occurrence, Occurrence{
			Event:    o.Event,
			At:       o.At.instant(),
			Value:    o.Value.value,
			HasValue: o.Value.ok,
			Key:      orEmpty(o.Key),
			Refund:   o.Refund,
		})
	}
	for _, s := range w.Stages {
		a.Stages = append(a.Stages, StageAt{Model: s.name, Stage: s.value})
	}
	if len(w.Segments) > 0 {
		a.Segments = w.Segments
	}
	if len(w.Products) > 0 && string(w.Products) != "null" {
		a.Products = w.Products
	}
	return a, nil
}
