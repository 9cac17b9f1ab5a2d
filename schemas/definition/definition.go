// SPDX-License-Identifier: Apache-2.0

// Package definition is the definition file: its format, read from YAML with the
// place of every value, and all that can be said against it before its conditions
// are understood (those are compiled by stream/lifecycle).
package definition

import (
	"time"

	"lapwing/schemas/instant"
)

// Pos is a place in the file; both count from 1, columns in characters.
type Pos struct{ Line, Column int }

// Definition is one parsed file. A nil or zero field was left out and has no
// default unless its comment names one. It is immutable once parsed.
type Definition struct {
	File   string // as given, for messages
	Source []byte // the file's bytes
	Hash   string // lower hex SHA-256 of Source

	Name     Text
	Version  int64
	Zone     *time.Location // timezone; UTC by default
	Currency string
	Dedupe   time.Duration // 7d by default
	// DedupePos is the place of the key `dedupe`; zero if it was left out.
	DedupePos Pos
	Lateness  time.Duration
	// SessionGap is sessions.gap, the silence after which a session has ended; 30m by default.
	SessionGap time.Duration
	// AnonymousRetention is retain.anonymous; 90d by default.
	AnonymousRetention time.Duration
	Limits             Limits          // of a customer's state; DefaultLimits by default
	LimitsPos          Pos             // of the key `limits`; zero if it was left out
	PublishFrom        instant.Instant // None: the moment of activation
	Aggregates         Aggregates
	Params             []Param
	Traits             []Trait // types of traits; any other trait is what its JSON is

	Events       []Event
	Models       []Model
	Segments     []Segment
	Campaigns    []Campaign
	CampaignsPos Pos // of the key `campaigns`; zero if it was left out
	// GlobalHoldout is the share of customers kept out of every campaign, in hundredths
	// of a percent.
	GlobalHoldout    int
	GlobalHoldoutPos Pos // of the key `global_holdout`; zero if it was left out
	Messages         []Message
}

// Message tells which messages are exposures: that something was sent to a
// customer, or that the customer opened or clicked it.
type Message struct {
	Match    []Match
	Channel  Text
	Step     Text
	Campaign Text // CEL path or expression over the message
	Machine  Text // CEL over the message: true if a machine did it, not a person; zero: none is known to
}

// Param is a named constant that conditions read as params.NAME.
type Param struct {
	Name  Text
	Value Text // a number, a quoted string, a duration or a boolean, as written
	// IsString tells a YAML string (also a plain duration such as 90d) from a number or boolean.
	IsString bool
}

// Match is one pattern a message can fit: all fields that are not empty must be equal.
type Match struct {
	Type  string // message type; "track" where a bare event name was written
	Event string // the field "event"
	Name  string // the field "name"
}

// Event names something a customer does.
type Event struct {
	Name  Text
	Match []Match // any of them; empty for a derived event
	Where Text    // CEL over the message
	Value Text    // CEL path or expression over the message, numeric
	Key   Text    // CEL path: deduplication key

	Refund *Refund

	// From names the source of a derived event.
	From  Text
	Gap   time.Duration
	First bool // whether the source's first occurrence counts; true by default

	Resolution time.Duration // 0 or 1h
}

// Refund takes money off the occurrence that has the same key.
type Refund struct {
	Match []Match
	Value Text // zero: all of it
	Key   Text
}

// Model is an ordered set of stages; a customer is in exactly one.
type Model struct {
	Name   Text
	Stages []Stage
	// Order is worst to best, for flows and KPIs; the file order of the stages by default.
	Order   []Text
	Churned []Text
	AtRisk  []Text
}

// Stage is one stage; the first whose condition holds is the customer's.
type Stage struct {
	Name Text
	When Text
}

// Segment is a named condition (When) or one segment per value of By.
type Segment struct {
	Name Text
	When Text
	By   Text
}
