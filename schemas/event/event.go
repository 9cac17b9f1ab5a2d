// SPDX-License-Identifier: Apache-2.0

// Package event is the input event: one JSON message of the Segment spec, as its
// SDKs and RudderStack's write them, and its strict, fast decoder.
//
// The decoder validates a message fully and extracts only what a Projection asks
// for. encoding/json is the oracle in its tests. The package has no clock.
package event

import (
	"time"

	"lapwing/schemas/instant"
)

// Cause says why a message cannot be used: the cause of its dead letter. With
// several causes the first in the order below counts.
type Cause string

// The causes of dead letters, in the order in which they are reported.
const (
	InvalidJSON     Cause = "invalid_json"
	TooLarge        Cause = "too_large"
	TooDeep         Cause = "too_deep"
	InvalidUTF8     Cause = "invalid_utf8"
	MissingType     Cause = "missing_type"
	MissingCustomer Cause = "missing_customer"
	InvalidID       Cause = "invalid_id"
	InvalidTime     Cause = "invalid_time"
	FutureTime      Cause = "future_time"
)

// Causes lists every cause in the order in which they are reported.
var Causes = []Cause{InvalidJSON, TooLarge, TooDeep, InvalidUTF8, MissingType, MissingCustomer, InvalidID, InvalidTime, FutureTime}

// Limits bound what a message may be. Zero means zero: start from DefaultLimits.
type Limits struct {
	MaxBytes  int           // of the whole message; default 1 MiB
	MaxDepth  int           // levels of objects and lists, the message being the first; default 64
	MaxFuture time.Duration // how far an event may be ahead of its record; default 24 h
}

// DefaultLimits are the contract's.
func DefaultLimits() Limits {
	return Limits{MaxBytes: 1 << 20, MaxDepth: 64, MaxFuture: 24 * time.Hour}
}

// Message is one decoded message. Its byte slices are views into the decoded
// bytes or into the Decoder's scratch space: they are valid until the next call
// of Decode, and whoever keeps one copies it. Strings are decoded (no escapes).
//
// A field of a wrong JSON type is as if missing, and so is null.
type Message struct {
	Type        []byte // track, identify, alias, page, screen, group or any other
	Event       []byte // the field "event"; nil if missing or no string
	Name        []byte // the field "name" (page, screen); nil if missing or no string
	MessageID   []byte // a string or a number's JSON text; nil if missing or empty
	UserID      []byte // likewise
	AnonymousID []byte // likewise
	PreviousID  []byte // likewise
	GroupID     []byte // likewise
	Customer    []byte // UserID, else AnonymousID; never empty after a successful Decode
	Time        instant.Instant
	Zone        []byte // context.timezone; nil if missing or no string
	// Traits is what the message says of the person, a raw JSON object: the traits
	// of an identify, the context.traits of any other type; nil if none. (The traits
	// of a group message are the group's and are not looked at.)
	Traits []byte

	values [][]byte
}

// Raw is the raw JSON text at path i of the Decoder's Projection, or nil if the
// message has nothing there or null.
func (m *Message) Raw(i int) []byte { return m.values[i] }
