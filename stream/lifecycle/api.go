// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// STUB: signatures others build against; the bodies are being written.

type Model struct{}

// State is everything Lapwing knows of one customer. The zero State is a customer who has not begun.
type State struct{}

// Output receives what one or more steps produced, in order. The caller empties it with Reset and reuses it.
type Output struct {
	Records  []record.Record   // stage changes, then segment changes, evaluation by evaluation
	Activity []record.Activity // accepted messages that counted as an occurrence or refund
	// Changed reports that the profile may have changed (stages, segments, traits, next deadlines, or the end of the customer).
	Changed bool
	Ended   bool // the customer expired: its profile becomes a tombstone
}

func (o *Output) Reset() { *o = Output{Records: o.Records[:0], Activity: o.Activity[:0]} }

// Verdict is what became of a message.
type Verdict uint8

const (
	Applied   Verdict = iota + 1 // folded in now
	Held                         // accepted, waits for the clock (lateness above 0)
	Duplicate                    // same messageId as one remembered: nothing happened
)

// Compile checks every condition and returns all problems; the model is nil if one of them is an error.
func Compile(d *definition.Definition) (*Model, []definition.Problem) { panic("stub") }

func (m *Model) Definition() *definition.Definition { panic("stub") }

// Projection is what the decoder must extract for Accept.
func (m *Model) Projection() *event.Projection { panic("stub") }

// PublishingFrom is m with publish_from set: changes effective before it are marked backfill. instant.None: nothing is history.
func (m *Model) PublishingFrom(at instant.Instant) *Model { panic("stub") }

// Accept takes one decoded message of the customer. detected is the clock for detected_at.
// With lateness 0 it first fires every deadline up to the message's time, then applies it; above 0 the message is held until Advance.
func (m *Model) Accept(s *State, customer string, msg *event.Message, detected instant.Instant, out *Output) Verdict {
	panic("stub")
}

// Advance tells that the clock stands at clock: held messages and deadlines up to clock - lateness are applied, in order.
func (m *Model) Advance(s *State, customer string, clock, detected instant.Instant, out *Output) {
	panic("stub")
}

// Finish ends a replay: all held messages are applied, deadlines up to and including until fire, each detected at its own effective time.
func (m *Model) Finish(s *State, customer string, until instant.Instant, out *Output) { panic("stub") }

// Due is the least clock at which Advance has something to do; None if never. O(1).
func (m *Model) Due(s *State) instant.Instant { panic("stub") }

// Begun reports whether the customer has had an accepted message (and has not ended).
func (s *State) Begun() bool { panic("stub") }

// Clock is the greatest event time accepted; None before the first.
func (s *State) Clock() instant.Instant { panic("stub") }

// Profile is the customer's public profile now. Costs a look ahead per model.
func (m *Model) Profile(s *State, customer string) record.Profile { panic("stub") }

// AppendState appends the encoding of s (versioned binary).
func (m *Model) AppendState(dst []byte, s *State) []byte { panic("stub") }

// DecodeState reads what AppendState wrote.
func (m *Model) DecodeState(b []byte, s *State) error { panic("stub") }
