// SPDX-License-Identifier: Apache-2.0

// Package record holds Lapwing's public records: what subscribers read from the
// public topics, what `lapwing replay` prints, and what the sink writes.
//
// The JSON is written by hand-made appenders (a record is on the hot path of the
// stream) and read by encoding/json; golden bytes under testdata must decode for
// ever. Everything here is a value; nothing is safe to share while it is changed.
package record

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

// Kind is the kind of a public record, as printed in its field "kind".
type Kind string

// The kinds of records.
const (
	StageChange   Kind = "stage_change"
	SegmentChange Kind = "segment_change"
	Assignment    Kind = "assignment"
	Conversion    Kind = "conversion"
	ProfileKind   Kind = "profile"
	AggregateKind Kind = "aggregate"
)

// CauseType says why a change became true.
type CauseType string

// The causes of a change, in the words of the record's field cause.type.
const (
	CauseEvent      CauseType = "event"
	CauseDeadline   CauseType = "deadline"
	CauseLateEvent  CauseType = "late_event"
	CauseIdentity   CauseType = "identity"
	CauseDefinition CauseType = "definition"
	CauseErasure    CauseType = "erasure"
	CauseExpired    CauseType = "expired"
)

// Cause is why a change became true. Empty strings and instant.None are null.
type Cause struct {
	Type      CauseType
	Condition string // the whole `when` of what was entered
	Left      string // the `when` of what was left, if it no longer holds
	Event     string // the message's event, else its type
	MessageID string
	EventTime instant.Instant
}

// ID identifies a change: the same change has the same id on every replay.
type ID [16]byte

// String is the id in lower hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Record is one change of one customer. Which of the fields below the common
// ones are meant depends on Kind; the others are zero. Empty strings and
// instant.None are null.
type Record struct {
	Kind              Kind
	ID                ID
	CustomerID        string
	Definition        string
	DefinitionVersion int64
	Sequence          int64 // from 1, per customer and model (segment; campaign; campaign and goal)
	EffectiveAt       instant.Instant
	DetectedAt        instant.Instant
	Backfill          bool
	Cause             Cause

	// stage_change
	Model        string
	From, To     string
	Since        instant.Instant // when From was entered
	NextStage    string
	NextDeadline instant.Instant
	MergedInto   string // only with cause identity and To null

	// segment_change
	Segment string
	Entered bool

	// assignment and conversion
	Campaign string
	Variant  string // empty (null) in the holdout
	Holdout  bool
	Round    int64     // from 1, per customer and campaign
	Stages   []StageAt // at the assignment, in the order of the definition
	Segments []string  // at the assignment, sorted by bytes

	// conversion
	Goal       string
	AssignedAt instant.Instant
	Value      decimal.Decimal // if HasValue, else null
	HasValue   bool
	Currency   string // of Value; empty (null) if it is no money
	// Unpriced is, of a total, how many occurrences in the window have money of another
	// currency, of which Value has nothing.
	Unpriced int64
	// Occurrences is how many of the goal's event are in the value, such as orders: those in
	// the window, or the one that converted; 0 without a value.
	Occurrences int64
}

// Name is what the sequence counts within: the model, the segment, the campaign, or
// campaign and goal with a slash between them.
func (r *Record) Name() string {
	switch r.Kind {
	case StageChange:
		return r.Model
	case Assignment:
		return r.Campaign
	case Conversion:
		return r.Campaign + "/" + r.Goal
	default:
		return r.Segment
	}
}

// SetID computes the record's id from its other fields: the first 16 bytes of
// SHA-256 over definition, kind, name, customer, sequence, from, to and
// effective_at as printed, each followed by a zero byte. For segment changes
// from is empty and to is "in" or "out"; for assignments and conversions both are
// empty.
func (r *Record) SetID() {
	from, to := "", ""
	switch {
	case r.Kind == StageChange:
		from, to = r.From, r.To
	case r.Kind == SegmentChange && r.Entered:
		to = "in"
	case r.Kind == SegmentChange:
		to = "out"
	}
	var scratch [256]byte
	b := scratch[:0]
	for _, s := range [...]string{r.Definition, string(r.Kind), r.Name(), r.CustomerID} {
		b = append(append(b, s...), 0)
	}
	b = append(strconv.AppendInt(b, r.Sequence, 10), 0)
	b = append(append(b, from...), 0)
	b = append(append(b, to...), 0)
	b = append(r.EffectiveAt.AppendRFC3339(b), 0)
	sum := sha256.Sum256(b)
	copy(r.ID[:], sum[:16])
}
