// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"errors"
	"fmt"

	"lapwing/schemas/instant"
)

// Header is the name of the record header that holds an Envelope.
const Header = "lapwing-mailbox"

// ErrFormat is what every error of this package's decoders wraps.
var ErrFormat = errors.New("not of Lapwing's wire format")

// version is the first byte of every encoding here.
const version = 1

// maxTopicBytes is Kafka's limit for a topic's name.
const maxTopicBytes = 249

// Kind tells what a mailbox record is.
type Kind byte

// The kinds of mailbox records.
const (
	Event      Kind = 'e' // the record's value is an input message
	Clock      Kind = 'c' // the clock of one source
	Definition Kind = 'd' // the record's value is a definition that follows the live one
)

// Source is one partition of one input.
type Source struct {
	Topic     string
	Partition int32
}

// Envelope says where a mailbox record comes from.
type Envelope struct {
	Kind   Kind
	Source Source
	// Position is, of an event, its offset in the source; of a clock, the source's
	// next offset: everything below it has been forwarded, or, with Ended, must have
	// been read before the source may count as ended; of a definition, its version.
	Position int64
	// At is, of an event, its record's timestamp; of a clock, where it stands; of a
	// definition, the lane's clock from which it is live, instant.None: from here on.
	At instant.Instant
	// Ended tells that nothing will follow in the source.
	Ended bool
}

const flagEnded = 1

// Append appends e's encoding.
func (e *Envelope) Append(dst []byte) []byte {
	dst = append(dst, version, byte(e.Kind))
	dst = appendSource(dst, e.Source)
	dst = appendUvarint(dst, uint64(e.Position))
	dst = appendVarint(dst, int64(e.At))
	var flags byte
	if e.Ended {
		flags |= flagEnded
	}
	return append(dst, flags)
}

// DecodeEnvelope reads what Append wrote. b is not kept.
func DecodeEnvelope(b []byte) (Envelope, error) {
	r := reader{b: b}
	r.version()
	e := Envelope{Kind: Kind(r.byte())}
	if r.err == nil && e.Kind != Event && e.Kind != Clock && e.Kind != Definition {
		r.fail("kind %q", byte(e.Kind))
	}
	e.Source = r.source()
	e.Position = r.offset()
	e.At = instant.Instant(r.varint())
	flags := r.byte()
	if flags > flagEnded || flags == flagEnded && e.Kind != Clock {
		r.fail("flags %#x", flags)
	}
	e.Ended = flags&flagEnded != 0
	r.end()
	if r.err != nil {
		return Envelope{}, fmt.Errorf("decode mailbox envelope: %w", r.err)
	}
	return e, nil
}
