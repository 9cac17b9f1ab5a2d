// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"lapwing/schemas/instant"
)

// StateKind tells what a record of the state topic holds.
type StateKind byte

// The kinds of state records.
const (
	StateCustomer  StateKind = 'c'
	StateAggregate StateKind = 'a'
	StateLane      StateKind = 'm'
	StateTakeover  StateKind = 't' // how far a lane has taken over from another generation
	StateSettings  StateKind = 's' // the record of the settings that a lane has told of last

	// StateDefinition is the file of a definition that customers of the lane were made by,
	// or that follows the live one; its id is the version.
	StateDefinition StateKind = 'v'
)

const stateKeyPrefix = 1 + 4

// AppendStateKey appends the key of a state record; id is a customer, the key of an
// aggregate, or nothing.
func AppendStateKey(dst []byte, kind StateKind, generation uint32, id string) []byte {
	dst = append(dst, byte(kind))
	dst = binary.BigEndian.AppendUint32(dst, generation)
	return append(dst, id...)
}

// DecodeStateKey reads what AppendStateKey wrote. id is a view of b.
func DecodeStateKey(b []byte) (kind StateKind, generation uint32, id []byte, err error) {
	if len(b) < stateKeyPrefix {
		return 0, 0, nil, fmt.Errorf("decode state key of %d bytes: %w", len(b), ErrFormat)
	}
	kind, generation, id = StateKind(b[0]), binary.BigEndian.Uint32(b[1:]), b[stateKeyPrefix:]
	switch kind {
	case StateCustomer, StateAggregate, StateDefinition:
		if len(id) == 0 {
			return 0, 0, nil, fmt.Errorf("decode state key without an id: %w", ErrFormat)
		}
	case StateLane, StateTakeover, StateSettings:
		if len(id) > 0 {
			return 0, 0, nil, fmt.Errorf("decode state key of a lane with an id: %w", ErrFormat)
		}
	default:
		return 0, 0, nil, fmt.Errorf("decode state key of kind %q: %w", b[0], ErrFormat)
	}
	return kind, generation, id, nil
}

// AppendCustomer appends the value of a customer's state record: version, the least
// clock at which the customer is due (varint milliseconds; so a restore need not
// decode every state), then the state, whose encoding belongs to stream/lifecycle
// and which the caller appends.
func AppendCustomer(dst []byte, due instant.Instant) []byte {
	return appendVarint(append(dst, version), int64(due))
}

// DecodeCustomer reads what AppendCustomer wrote and returns the state behind it,
// as a view of b.
func DecodeCustomer(b []byte) (due instant.Instant, state []byte, err error) {
	r := reader{b: b}
	r.version()
	due = instant.Instant(r.varint())
	if r.err != nil {
		return instant.None, nil, fmt.Errorf("decode a customer's state record: %w", r.err)
	}
	return due, r.b, nil
}

// AppendDefinition appends the value of a definition's state record: version, then its
// file, byte for byte.
func AppendDefinition(dst, source []byte) []byte { return append(append(dst, version), source...) }

// DecodeDefinition reads what AppendDefinition wrote. source is a view of b.
func DecodeDefinition(b []byte) (source []byte, err error) {
	r := reader{b: b}
	r.version()
	if r.err != nil {
		return nil, fmt.Errorf("decode a definition's state record: %w", r.err)
	}
	return r.b, nil
}

// SourceState is what a lane knows of one source that can reach it.
type SourceState struct {
	Source Source
	// Clock is where the source's clock stands; instant.None before it was heard from.
	Clock instant.Instant
	// Position is the source's next offset: everything below it is in this lane's
	// state (a keyed input) or in its mailbox (a routed one).
	Position int64
	// Ended: the source has ended and holds back no clock.
	Ended bool
	// EndAt and EndPosition are an end that was announced and waits until Position
	// has reached EndPosition; EndAt is instant.None if there is none.
	EndAt       instant.Instant
	EndPosition int64
}

// Position is how far a lane has read one of its partitions.
type Position struct {
	Topic      string
	NextOffset int64
}

// Lane is the value of a lane's own state record: all that a lane knows beside its
// customers and aggregates, as of the transaction that wrote it.
type Lane struct {
	// Definition, Version and Hash name the definition its states were made by.
	Definition string
	Version    int64
	Hash       string
	// PublishFrom: changes effective before it are history; instant.None: nothing is.
	PublishFrom instant.Instant
	Watermark   instant.Instant
	// ClosedUntil is 35 days before the clock up to which all deadlines have been fired, by
	// which aggregates close, however far behind it they do.
	ClosedUntil instant.Instant
	TooLate     int64 // occurrences and changes that came after their period had closed
	// Customers is how many the lane has; -1: not known, as in records of version 1.
	Customers int64
	// Since is the clock from which the definition is live; meant only while Former has any.
	Since instant.Instant
	// Former are the definitions before, oldest first, by which some customers' states may
	// still be made. Empty: all have been brought over.
	Former []Succession
	// Waiting are definitions that will follow, in this order, at their instants.
	Waiting []Succession
	// Left is how many customers have still to be brought over; SweptTo the last one of
	// them that was looked for, in the order of the ids.
	Left    int64
	SweptTo string

	Sources   []SourceState // sorted by topic, then partition
	Positions []Position    // of the partitions the lane reads, sorted by topic
}

// Succession is a definition with the clock from which it is, or was, live; instant.None:
// from the beginning on, or at once.
type Succession struct {
	Version int64
	Hash    string
	Since   instant.Instant
}

// maxListed bounds how many sources or positions one lane may have: far above any
// deployment, far below what would exhaust memory.
const maxListed = 1 << 16

// Sort brings the lists into the order in which they are encoded.
func (l *Lane) Sort() {
	slices.SortFunc(l.Sources, func(a, b SourceState) int {
		return cmp.Or(cmp.Compare(a.Source.Topic, b.Source.Topic), cmp.Compare(a.Source.Partition, b.Source.Partition))
	})
	slices.SortFunc(l.Positions, func(a, b Position) int { return cmp.Compare(a.Topic, b.Topic) })
}

// The versions of a lane's record: the second has the number of customers, the third, which
// is written only while there are any, other definitions than the live one.
const (
	laneCounted = 2
	laneSweeps  = 3
)

// Append appends l's encoding: version, then the fields in their order, texts and
// lists with their length in front, instants and counts as varints. Where the number
// of customers is not known, it is version 1.
func (l *Lane) Append(dst []byte) []byte {
	sweeps := len(l.Former)+len(l.Waiting) > 0
	switch {
	case l.Customers < 0:
		dst = append(dst, version)
	case sweeps:
		dst = append(dst, laneSweeps)
	default:
		dst = append(dst, laneCounted)
	}
	dst = appendString(dst, l.Definition)
	dst = appendVarint(dst, l.Version)
	dst = appendString(dst, l.Hash)
	dst = appendVarint(dst, int64(l.PublishFrom))
	dst = appendVarint(dst, int64(l.Watermark))
	dst = appendVarint(dst, int64(l.ClosedUntil))
	dst = appendVarint(dst, l.TooLate)
	if l.Customers >= 0 {
		dst = appendUvarint(dst, uint64(l.Customers))
	}
	if sweeps && l.Customers >= 0 {
		dst = appendVarint(dst, int64(l.Since))
		dst = appendSuccessions(dst, l.Former)
		dst = appendSuccessions(dst, l.Waiting)
		dst = appendUvarint(dst, uint64(l.Left))
		dst = appendString(dst, l.SweptTo)
	}
	dst = appendUvarint(dst, uint64(len(l.Sources)))
	for i := range l.Sources {
		s := &l.Sources[i]
		dst = appendSource(dst, s.Source)
		dst = appendVarint(dst, int64(s.Clock))
		dst = appendUvarint(dst, uint64(s.Position))
		var flags byte
		if s.Ended {
			flags |= flagEnded
		}
		dst = append(dst, flags)
		dst = appendVarint(dst, int64(s.EndAt))
		dst = appendUvarint(dst, uint64(s.EndPosition))
	}
	dst = appendUvarint(dst, uint64(len(l.Positions)))
	for _, p := range l.Positions {
		dst = appendString(dst, p.Topic)
		dst = appendUvarint(dst, uint64(p.NextOffset))
	}
	return dst
}

func appendSuccessions(dst []byte, all []Succession) []byte {
	dst = appendUvarint(dst, uint64(len(all)))
	for _, s := range all {
		dst = appendVarint(dst, s.Version)
		dst = appendString(dst, s.Hash)
		dst = appendVarint(dst, int64(s.Since))
	}
	return dst
}

func (r *reader) successions() (all []Succession) {
	for range r.count() {
		s := Succession{Version: r.varint(), Hash: r.string(maxHashBytes), Since: instant.Instant(r.varint())}
		if r.err != nil {
			break
		}
		all = append(all, s)
	}
	return all
}

const (
	maxHashBytes = 128
	maxIDBytes   = 256 // of a customer
)

// DecodeLane reads what Append wrote. b is not kept.
func DecodeLane(b []byte) (Lane, error) {
	r := reader{b: b}
	v := r.versionUpTo(laneSweeps)
	l := Lane{
		Definition:  r.string(64),
		Version:     r.varint(),
		Hash:        r.string(maxHashBytes),
		PublishFrom: instant.Instant(r.varint()),
		Watermark:   instant.Instant(r.varint()),
		ClosedUntil: instant.Instant(r.varint()),
		TooLate:     r.varint(),
		Customers:   -1,
	}
	if v >= laneCounted {
		l.Customers = r.offset()
	}
	if v == laneSweeps {
		l.Since = instant.Instant(r.varint())
		l.Former, l.Waiting = r.successions(), r.successions()
		l.Left, l.SweptTo = r.offset(), r.string(maxIDBytes)
		if r.err == nil && len(l.Former)+len(l.Waiting) == 0 {
			r.fail("no other definition")
		}
	}
	for range r.count() {
		s := SourceState{Source: r.source(), Clock: instant.Instant(r.varint()), Position: r.offset()}
		flags := r.byte()
		if flags > flagEnded {
			r.fail("flags %#x", flags)
		}
		s.Ended = flags&flagEnded != 0
		s.EndAt = instant.Instant(r.varint())
		s.EndPosition = r.offset()
		if r.err != nil {
			break
		}
		l.Sources = append(l.Sources, s)
	}
	for range r.count() {
		p := Position{Topic: r.string(maxTopicBytes), NextOffset: r.offset()}
		if r.err != nil {
			break
		}
		l.Positions = append(l.Positions, p)
	}
	r.end()
	if r.err != nil {
		return Lane{}, fmt.Errorf("decode a lane's state record: %w", r.err)
	}
	return l, nil
}

func (r *reader) count() int {
	n := r.uvarint()
	if n > maxListed {
		r.fail("a list of %d", n)
		return 0
	}
	return int(n)
}
