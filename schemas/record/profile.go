// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"strconv"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

// Profile is the current record of one customer, on the compacted topic
// lapwing.profiles. Read it, then apply changes with a higher sequence.
type Profile struct {
	CustomerID string
	Stages     []ProfileStage  // in the order of the definition
	Segments   []string        // sorted by bytes
	Traits     json.RawMessage // an object; keys sorted by bytes
}

// ProfileStage is a customer's place in one stage model.
type ProfileStage struct {
	Model        string
	Stage        string
	Since        instant.Instant
	Sequence     int64
	NextStage    string
	NextDeadline instant.Instant
}

// AppendJSON appends the profile as one JSON object, without a newline.
func (p *Profile) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"kind":"profile","customer_id":`...)
	dst = AppendString(dst, p.CustomerID)
	dst = append(dst, `,"stages":{`...)
	for i, s := range p.Stages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s.Model)
		dst = append(dst, `:{"stage":`...)
		dst = AppendString(dst, s.Stage)
		dst = append(dst, `,"since":`...)
		dst = AppendInstant(dst, s.Since)
		dst = append(dst, `,"sequence":`...)
		dst = strconv.AppendInt(dst, s.Sequence, 10)
		dst = append(dst, `,"next_stage":`...)
		dst = appendNullable(dst, s.NextStage)
		dst = append(dst, `,"next_deadline":`...)
		dst = AppendInstant(dst, s.NextDeadline)
		dst = append(dst, '}')
	}
	dst = append(dst, `},"segments":[`...)
	for i, s := range p.Segments {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s)
	}
	dst = append(dst, `],"traits":`...)
	if len(p.Traits) == 0 {
		dst = append(dst, `{}`...)
	} else {
		dst = append(dst, p.Traits...)
	}
	return append(dst, '}')
}

// Grain is the length of a period of the definition's time zone.
type Grain string

// The grains aggregates are kept at. Weeks begin on Monday.
const (
	Hour  Grain = "hour"
	Day   Grain = "day"
	Week  Grain = "week"
	Month Grain = "month"
)

// Measure says what an aggregate counts.
type Measure string

// The measures kept by the stream.
const (
	// MeasureEvent counts counted occurrences of Event by the stage held just
	// before them, and sums their values.
	MeasureEvent Measure = "event"
	// MeasureTransition counts stage changes From -> To of Model by Cause.
	MeasureTransition Measure = "transition"
	// MeasureSession counts sessions begun, by the stage held just before their first
	// message and its platform.
	MeasureSession Measure = "session"
	// MeasureSessionEvent counts occurrences of Event by the stage held just before
	// their session and by the message's platform.
	MeasureSessionEvent Measure = "session_event"
	// MeasureTooLate counts what came after its period had closed: occurrences of
	// Event, or, without one, stage changes of Model. No other measure has them.
	MeasureTooLate Measure = "too_late"
)

// MeasureCustomers counts distinct customers. The sink computes it from activity; the
// stream does not.
const MeasureCustomers Measure = "customers"

// Aggregate is an absolute count and sum of one lane, key and period. A later
// record of the same lane and key replaces an earlier one; a query sums over
// lanes.
type Aggregate struct {
	Definition string
	Lane       int32
	Measure    Measure
	Grain      Grain
	Period     instant.Instant // start of the period
	Event      string          // the event's name in the definition
	Model      string          // empty: all customers, whatever their stage
	Stage      string          // stage before the event (session); empty before the first evaluation
	From, To   string          // MeasureTransition
	Cause      CauseType       // MeasureTransition
	Segment    string          // of those that the definition asks for; empty: all customers
	Platform   string          // MeasureSession, MeasureSessionEvent: app, site or empty
	Count      int64
	Sum        decimal.Decimal // of the values, refunds taken off
	SumSquares decimal.Squares // of the occurrences' values, refunds taken off each
}

// AppendJSON appends the aggregate as one JSON object, without a newline.
func (a *Aggregate) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"kind":"aggregate","definition":`...)
	dst = AppendString(dst, a.Definition)
	dst = append(dst, `,"lane":`...)
	dst = strconv.AppendInt(dst, int64(a.Lane), 10)
	dst = append(dst, `,"measure":"`...)
	dst = append(dst, a.Measure...)
	dst = append(dst, `","grain":"`...)
	dst = append(dst, a.Grain...)
	dst = append(dst, `","period":`...)
	dst = AppendInstant(dst, a.Period)
	for _, f := range [...]struct{ name, value string }{
		{"event", a.Event},
		{"model", a.Model},
		{"stage", a.Stage},
		{"from", a.From},
		{"to", a.To},
		{"cause", string(a.Cause)},
	} {
		dst = append(dst, ',', '"')
		dst = append(dst, f.name...)
		dst = append(dst, '"', ':')
		dst = appendNullable(dst, f.value)
	}
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, a.Count, 10)
	dst = append(dst, `,"sum":`...)
	dst = a.Sum.AppendJSON(dst)
	if a.Segment != "" {
		dst = append(dst, `,"segment":`...)
		dst = AppendString(dst, a.Segment)
	}
	if a.Platform != "" {
		dst = append(dst, `,"platform":`...)
		dst = AppendString(dst, a.Platform)
	}
	if !a.SumSquares.IsZero() {
		dst = append(dst, `,"sum_squares":`...)
		dst = a.SumSquares.AppendJSON(dst)
	}
	return append(dst, '}')
}

// Activity is one accepted event as the customer's fold saw it, on the internal
// topic lapwing.activity: the source of activity, exposures and order_items.
type Activity struct {
	CustomerID string
	EventTime  instant.Instant
	MessageID  string
	Type       string
	Event      string // the message's event, else its type
	Occurrence []Occurrence
	Stages     []StageAt       // just before the event, in the order of the definition
	Segments   []string        // just before the event, sorted by bytes
	Currency   string          // properties.currency, else the definition's
	Products   json.RawMessage // properties.products as received, of events with a key; or nil

	// The customer's session, as known when the message was applied. None in a record
	// of before there were sessions, which has none of what follows either. What a
	// customer only received is in no session: it has its own time and stages here.
	SessionStart  instant.Instant
	SessionStages []StageAt // just before the session's first message
	SessionBegins bool      // whether this is its first message; not written
	Exposures     []Exposure
	Platform      string // app, site or empty
	TooLate       bool   // its period had closed: no total has it
}

// Referenced reports whether the message counts as something of the definition.
func (a *Activity) Referenced() bool { return len(a.Occurrence) > 0 || len(a.Exposures) > 0 }

// StepClicked is the step of an exposure that leads to app or site.
const StepClicked = "clicked"

// Exposure tells that something was sent to the customer, or what became of it.
type Exposure struct {
	Campaign string // empty if the message names none
	Channel  string
	Step     string
	Machine  bool // a machine did it, such as a mail scanner, and no person
}

// Occurrence is one event of the definition that a message counted as, or took a refund from.
type Occurrence struct {
	Event    string          // name in the definition
	At       instant.Instant // the occurrence's own time: for a refund, the refunded one's
	Value    decimal.Decimal // negative for a refund
	HasValue bool
	Key      string // the deduplication key (an order id); empty if none
	Refund   bool
	// Before is, of a refund, the value that the refunded occurrence had until then;
	// not written.
	Before decimal.Decimal
}

// StageAt is a stage held in one model.
type StageAt struct{ Model, Stage string }

// AppendJSON appends the activity as one JSON object, without a newline.
func (a *Activity) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"kind":"activity","customer_id":`...)
	dst = AppendString(dst, a.CustomerID)
	dst = append(dst, `,"event_time":`...)
	dst = AppendInstant(dst, a.EventTime)
	dst = append(dst, `,"message_id":`...)
	dst = appendNullable(dst, a.MessageID)
	dst = append(dst, `,"type":`...)
	dst = AppendString(dst, a.Type)
	dst = append(dst, `,"event":`...)
	dst = AppendString(dst, a.Event)
	dst = append(dst, `,"occurrences":[`...)
	for i := range a.Occurrence {
		if i > 0 {
			dst = append(dst, ',')
		}
		o := &a.Occurrence[i]
		dst = append(dst, `{"event":`...)
		dst = AppendString(dst, o.Event)
		dst = append(dst, `,"at":`...)
		dst = AppendInstant(dst, o.At)
		dst = append(dst, `,"value":`...)
		if o.HasValue {
			dst = o.Value.AppendJSON(dst)
		} else {
			dst = append(dst, "null"...)
		}
		dst = append(dst, `,"key":`...)
		dst = appendNullable(dst, o.Key)
		dst = append(dst, `,"refund":`...)
		dst = strconv.AppendBool(dst, o.Refund)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"stages":`...)
	dst = appendStages(dst, a.Stages)
	dst = append(dst, `,"segments":`...)
	dst = appendStrings(dst, a.Segments)
	dst = append(dst, `,"currency":`...)
	dst = appendNullable(dst, a.Currency)
	dst = append(dst, `,"products":`...)
	if len(a.Products) == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, a.Products...)
	}
	if !a.SessionStart.IsNone() {
		dst = a.appendSession(dst)
	}
	return append(dst, '}')
}

// appendSession appends the fields that records of before lack.
func (a *Activity) appendSession(dst []byte) []byte {
	dst = append(dst, `,"exposures":[`...)
	for i, e := range a.Exposures {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"campaign":`...)
		dst = AppendString(dst, e.Campaign)
		dst = append(dst, `,"channel":`...)
		dst = AppendString(dst, e.Channel)
		dst = append(dst, `,"step":`...)
		dst = AppendString(dst, e.Step)
		dst = append(dst, `,"machine":`...)
		dst = strconv.AppendBool(dst, e.Machine)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"session_start":`...)
	dst = AppendInstant(dst, a.SessionStart)
	dst = append(dst, `,"session_stages":{`...)
	for i, s := range a.SessionStages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s.Model)
		dst = append(dst, ':')
		dst = AppendString(dst, s.Stage)
	}
	dst = append(dst, `},"platform":`...)
	dst = appendNullable(dst, a.Platform)
	if a.TooLate {
		dst = append(dst, `,"too_late":true`...)
	}
	return dst
}
