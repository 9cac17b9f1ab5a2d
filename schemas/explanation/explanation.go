// SPDX-License-Identifier: Apache-2.0

// Package explanation is what a running worker and `lapwing replay --explain` answer to
// the question where a customer stands, why, and until when. As JSON it is the body of
// GET /v1/customers/{id}/explain:
//
//	{"customer_id":"u1","at":"1997-06-01T00:00:00Z","models":[{"model":"value","stage":"at_risk",
//	 "since":"1997-04-02T10:30:00Z","next":{"stage":"lost","at":"1998-01-02T10:30:00Z","unless":["purchase"]}, …}], …}
//
// Fields are only added. Times are RFC 3339 in UTC, or null where there is none.
package explanation

import (
	"encoding/json"
	"fmt"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Time is an instant that is null in JSON if it is instant.None.
type Time instant.Instant

// None is a time that is not there.
const None = Time(instant.None)

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return record.AppendInstant(nil, instant.Instant(t)), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("read a time: %w", err)
	}
	if text == nil {
		*t = None
		return nil
	}
	at, ok := instant.Parse(*text)
	if !ok {
		return fmt.Errorf("read a time: %q is none between 1970 and 2200", *text)
	}
	*t = Time(at)
	return nil
}

// Instant is t as the rest of the code knows it.
func (t Time) Instant() instant.Instant { return instant.Instant(t) }

// Explanation says where one customer stands. Values are those at At; nothing of it
// changes before the next event or the earliest of the next changes.
type Explanation struct {
	CustomerID        string `json:"customer_id"`
	Definition        string `json:"definition"`
	DefinitionVersion int64  `json:"definition_version"`
	TimeZone          string `json:"timezone"` // the definition's
	// At is the instant explained, in event time.
	At Time `json:"at"`
	// Waiting messages were accepted and have not been applied: `lateness` holds them.
	Waiting int `json:"waiting"`
	// ForgottenAt is when an anonymous visitor is forgotten if it stays silent.
	ForgottenAt Time `json:"forgotten_at"`
	// Unremembered messageIds were dropped because more came than are remembered: such a
	// message counts once more if it is sent again.
	Unremembered int64      `json:"unremembered_message_ids"`
	Models       []Model    `json:"models"`              // in the order of the definition
	Segments     []Segment  `json:"segments"`            // likewise
	Campaigns    []Campaign `json:"campaigns,omitempty"` // likewise
	Events       []Event    `json:"events"`              // those that have happened, likewise
	Traits       []Trait    `json:"traits"`              // those with a value, by name
}

// Model is the customer's place in one stage model.
type Model struct {
	Model  string  `json:"model"`
	Stage  string  `json:"stage"`
	Since  Time    `json:"since"`
	Came   Came    `json:"came"`
	Stages []Stage `json:"stages"` // those looked at, in order: the last one is the customer's
	Next   *Next   `json:"next"`   // null: none within 3,660 days, if nothing comes
}

// Stage is one stage that was looked at. The first whose condition holds is the customer's.
type Stage struct {
	Stage     string    `json:"stage"`
	Condition Condition `json:"condition"`
}

// Segment is whether the customer is in one segment.
type Segment struct {
	Segment string `json:"segment"` // of a segment per value: with the value, country=FR, if it is in one
	In      bool   `json:"in"`
	// Since is the last change; null if there was none, and for one per value outside it.
	Since     Time      `json:"since"`
	Came      Came      `json:"came"`
	Condition Condition `json:"condition"`
	Next      *Next     `json:"next"`
}

// Campaign is the customer's part in one campaign.
type Campaign struct {
	Campaign string `json:"campaign"`
	// InAudience: the audience holds; of campaigns that another system assigns, false.
	InAudience bool `json:"in_audience"`
	// Audience is its condition; null if another system assigns.
	Audience *Condition `json:"audience"`
	// KeptOut: the customer is in the global holdout, and is in no campaign.
	KeptOut bool   `json:"kept_out,omitempty"`
	Rounds  int64  `json:"rounds"`  // how often it was assigned
	Variant string `json:"variant"` // empty in the holdout, and before
	Holdout bool   `json:"holdout"`
	Since   Time   `json:"since"` // the last assignment; null: never
	// AgainFrom is from when on it can be assigned again; null: never, or it never was.
	AgainFrom Time           `json:"again_from"`
	Goals     []CampaignGoal `json:"goals"` // in the order of the file
}

// CampaignGoal is one goal of a campaign.
type CampaignGoal struct {
	Goal string `json:"goal"`
	// Records of conversions there have been, corrections included.
	Records int64  `json:"records"`
	Open    []Open `json:"open"` // rounds that can still convert, the oldest first
	// When is the goal's condition; null if it is an event.
	When  *Condition `json:"when,omitempty"`
	Event string     `json:"event,omitempty"`
}

// Open is a round that a goal is open for.
type Open struct {
	Round      int64 `json:"round"`
	AssignedAt Time  `json:"assigned_at"`
	Until      Time  `json:"until"` // the last instant at which it counts
	// Times is how often the event has come so far, of a goal that is told when the window
	// closes.
	Times int64 `json:"times,omitempty"`
}

// Came says what brought the customer where it stands. Cause is exact, and known to
// those only who have seen the change. A state knows what it still holds of that
// instant: the events that came then, the traits that were set, the functions whose
// value changes then as time goes by. All may be empty: it was a message that came late, or
// one of which nothing is kept.
type Came struct {
	Cause  *Cause   `json:"cause,omitempty"`
	Events []string `json:"events"`
	Traits []string `json:"traits"`
	Time   []string `json:"time"`
}

// Cause is the cause of the change's record.
type Cause struct {
	Type      record.CauseType `json:"type"`
	Condition string           `json:"condition"`
	Left      string           `json:"left,omitempty"`
	Event     string           `json:"event,omitempty"`
	MessageID string           `json:"message_id,omitempty"`
	EventTime Time             `json:"event_time"`
}

// Next is the first change if nothing comes that its conditions read.
type Next struct {
	Stage string `json:"stage,omitempty"` // of a model
	In    bool   `json:"in"`              // of a segment
	// Value is that of a segment per value.
	Value string `json:"value,omitempty"`
	At    Time   `json:"at"`
	// Unless are the events that the conditions read: if none comes and no trait of
	// UnlessTraits changes, the change comes at At. Derived events stand as what they
	// are derived from.
	Unless       []string `json:"unless"`
	UnlessTraits []string `json:"unless_traits"`
	// UnlessKnown: the conditions read that the customer is anonymous; so far it is.
	UnlessKnown bool `json:"unless_known,omitempty"`
	// PreventedBy are those of Unless of which any one, just before At, prevents the
	// change. Of events whose values or properties the conditions read that is not known.
	PreventedBy []string `json:"prevented_by"`
}

// Condition is an expression as it is written, with its value.
type Condition struct {
	Text string `json:"text"`
	// Operator joins the parts: &&, ||, !, ==, >=, …; empty: a function, or a constant.
	Operator string `json:"operator,omitempty"`
	// Value is true, false, a number, a text, a list or an object; null: unknown.
	Value json.RawMessage `json:"value"`
	// Until: the value stays to this instant at least if nothing comes; null: for ever.
	Until Time `json:"until"`
	// Facts are what a function has read.
	Facts *Facts      `json:"facts,omitempty"`
	Parts []Condition `json:"parts,omitempty"`
}

// Holds reports whether the condition is true.
func (c *Condition) Holds() bool { return string(c.Value) == "true" }

// Unknown reports whether the value is unknown.
func (c *Condition) Unknown() bool { return string(c.Value) == "null" || len(c.Value) == 0 }

// Facts are what one function has read.
type Facts struct {
	Function string  `json:"function"`
	Events   []Event `json:"events,omitempty"`
	// Window is what lies in the function's window; null without one.
	Window *Window `json:"window,omitempty"`
	Trait  *Trait  `json:"trait,omitempty"`
	Place  *Place  `json:"place,omitempty"`
	// Campaign is the one that assigned or converted has read; without Goals' rounds.
	Campaign *Campaign `json:"campaign,omitempty"`
	// Due is the instant that decides: the trait's time plus the offset of due, and the
	// last, first or entering plus the window of idle, seen, first and stage_for.
	Due Time `json:"due"`
	// Decided is the occurrence that decided the value; null if none did.
	Decided *Occurrence `json:"decided,omitempty"`
}

// Event is what is known of one event of the definition.
type Event struct {
	Event string `json:"event"`
	Times int64  `json:"times"` // ever
	First Time   `json:"first"`
	Last  Time   `json:"last"`
	// LastMessageID is known to those only who have seen the message.
	LastMessageID string `json:"last_message_id,omitempty"`
	// Dropped instants are older than the newest 4,096: functions that look at each
	// occurrence no longer read them.
	Dropped int64 `json:"dropped"`
}

// Window is the occurrences in (After, To].
type Window struct {
	After Time `json:"after"` // null: from the beginning
	To    Time `json:"to"`
	// Times is how many lie in it; with AtLeast older ones may do so too: no more are
	// kept than the conditions need.
	Times   int64 `json:"times"`
	AtLeast bool  `json:"at_least,omitempty"`
	Oldest  Time  `json:"oldest"`
	Leaves  Time  `json:"leaves"` // when the oldest leaves the window
}

// Occurrence is one time that an event happened.
type Occurrence struct {
	Event string `json:"event"`
	At    Time   `json:"at"`
	// MessageID is known to those only who have seen the message.
	MessageID string `json:"message_id,omitempty"`
}

// Trait is a trait's value and the event time that set it.
type Trait struct {
	Trait string          `json:"trait"`
	Value json.RawMessage `json:"value"` // null: unknown
	Set   Time            `json:"set"`   // null: never
}

// Place is where the customer stands in a model or segment that a condition reads.
type Place struct {
	Model   string `json:"model,omitempty"`
	Stage   string `json:"stage,omitempty"`
	Segment string `json:"segment,omitempty"`
	In      bool   `json:"in"`
	Since   Time   `json:"since"`
}
