// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// The encoding of a State, as it stands in the changelog and the local store:
//
//	byte     format (4)
//	uvarint  definition version
//	byte     flags: what of the following is there
//	varint   clock; newest and frontier as differences from it
//	uvarint  forgotten
//	list     remembered messageIds: 8-byte hash, instant after the one before
//	list     traits: lengths of name and raw text, instant; then all the texts
//	series   number of events, words of the short lists together, a bit for each event
//	         that has a series, and those
//	list     rules, one per model, segment and campaign of the definition
//	sessions flags: what of the following is there
//	list     parts in campaigns, if the definition has any (codec_campaigns.go)
//	list     held inputs
//	list     sequences of models and segments that are no more; left out if empty
//
// Lists and texts begin with their length as a uvarint. Instants are differences,
// from the customer's clock or from the instant before them, so that most take
// three to five bytes; what is absent or zero for most customers costs a bit.
// Deadlines are written as they are, so that nothing has to be evaluated to find
// them again. Integers that are never negative are uvarints.
//
// A format, once released, is read for ever (see codec_format1.go); only the
// newest is written. Format 3 is format 4 without sessions and campaigns, without exposures,
// platform and assignments in what is held, and without how late the occurrences with a key
// were; format 2 is format 3 without the texts of favourites and what is no more.
const stateFormat = 4

// ErrState is what every error of DecodeState wraps.
var ErrState = errors.New("state cannot be read")

// Flags of a state.
const (
	flagBegun = 1 << iota
	flagKnown
	flagForgotten
	flagRemembered
	flagTraits
	flagSeries
	flagRules
	flagHeld
)

// Flags of a series.
const (
	flagRows = 1 << iota
	flagTally
	flagEdge // of the tally, as are the hours
	flagHours
	flagRead
	flagOrders
	flagEarly
	flagTexts
)

// Flags of a rule, below its stage in one uvarint.
const (
	flagSince = 1 << iota
	flagDeadline
	flagDue // it has a deadline, but is due at once
	flagBy
	ruleFlags = iota
)

// Flags of a key.
const (
	flagFull = 1 << iota
	flagApplied
	flagRefunded
	flagLate
	flagForeign
	flagLost
)

// The append functions take and give the bytes, as append does, so that a state is
// encoded without an allocation if dst has room.

func appendUint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendInt(b []byte, v int64) []byte { return appendUint(b, zigzag(v)) }

// putInt writes v to b at i and returns the index after it.
func putInt(b []byte, i int, v int64) int {
	u := zigzag(v)
	for ; u >= 0x80; u >>= 7 {
		b[i] = byte(u) | 0x80
		i++
	}
	b[i] = byte(u)
	return i + 1
}

func appendHash(b []byte, h uint64) []byte { return binary.LittleEndian.AppendUint64(b, h) }

// zigzag makes small numbers of small ones of either sign.
func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

// optional is v for a uvarint in which 0 is math.MinInt64, as noNumber is and the
// edge of nothing dropped.
func optional(v int64) uint64 { return zigzag(v) + 1 }

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(appendUint(b, uint64(len(s))), s...)
}

// flag is bit if set.
func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// AppendState appends the encoding of s.
func (m *Model) AppendState(dst []byte, s *State) []byte {
	b := appendUint(append(dst, stateFormat), uint64(m.def.Version))
	b = append(b, flag(s.begun, flagBegun)|flag(s.known, flagKnown)|flag(s.forgotten > 0, flagForgotten)|
		flag(len(s.remembered) > 0, flagRemembered)|flag(len(s.traits) > 0, flagTraits)|
		flag(len(s.series) > 0, flagSeries)|flag(len(s.rules) > 0, flagRules)|flag(len(s.held) > 0, flagHeld))
	b = appendInt(b, s.clock)
	b = appendInt(b, s.clock-s.newest)
	b = appendInt(b, s.clock-s.frontier)
	if s.forgotten > 0 {
		b = appendUint(b, uint64(s.forgotten))
	}
	if len(s.remembered) > 0 {
		b = appendMarks(b, s.remembered, s.clock)
	}
	if len(s.traits) > 0 {
		b = appendTraits(b, s)
	}
	if len(s.series) > 0 {
		b = m.appendAllSeries(b, s)
	}
	if len(s.rules) > 0 {
		b = appendUint(b, uint64(len(s.rules)))
		for i := range s.rules {
			b = appendRule(b, &s.rules[i], s.clock)
		}
	}
	b = m.appendVisits(b, s)
	if len(m.campaigns) > 0 {
		b = m.appendEnrolments(b, s)
	}
	if len(s.held) > 0 {
		b = appendUint(b, uint64(len(s.held)))
		for i := range s.held {
			b = appendInput(b, &s.held[i], s.clock)
			if m.assignedBy {
				b = appendAssigned(b, s.held[i].assigned)
			}
		}
	}
	return appendRetired(b, s.retired)
}

// appendMarks writes where room has been made, since this is the longest list of most
// states: asking before each byte would take longer than writing it.
func appendMarks(b []byte, marks []messageMark, clock int64) []byte {
	b = slices.Grow(appendUint(b, uint64(len(marks))), len(marks)*(8+binary.MaxVarintLen64))
	at := len(b)
	b = b[:cap(b)]
	for i := range marks {
		mark := &marks[i]
		binary.LittleEndian.PutUint64(b[at:], mark.hash)
		at = putInt(b, at+8, mark.at-clock)
		clock = mark.at
	}
	return b[:at]
}

// appendTraits puts the texts behind all else, so that a reader can make one string
// of them.
func appendTraits(b []byte, s *State) []byte {
	b = appendUint(b, uint64(len(s.traits)))
	for i := range s.traits {
		t := &s.traits[i]
		b = appendUint(b, uint64(len(t.name)))
		b = appendUint(b, uint64(len(t.raw)))
		b = appendInt(b, s.clock-t.at)
	}
	for i := range s.traits {
		b = append(append(b, s.traits[i].name...), s.traits[i].raw...)
	}
	return b
}

func (m *Model) appendAllSeries(b []byte, s *State) []byte {
	b = appendUint(b, uint64(len(s.series)))
	b = appendUint(b, uint64(m.sharedWords(s)))
	bits := len(b)
	for range (len(s.series) + 7) / 8 {
		b = append(b, 0)
	}
	for i, x := range s.series {
		if x != nil {
			b[bits+i/8] |= 1 << (i % 8)
			b = appendSeries(b, m.events[i], x, s.clock)
		}
	}
	return b
}

func appendSeries(b []byte, e *eventDef, s *series, clock int64) []byte {
	at := len(b)
	b = append(b, 0)
	var flags byte
	if len(s.rows) > 0 {
		flags |= flagRows
		b = appendUint(b, uint64(s.size(e)))
		b = appendRows(b, e, s.rows, clock)
	}
	if t := s.tally; t != nil {
		flags |= flagTally
		b = appendUint(b, uint64(t.total))
		b = appendInt(b, clock-t.first)
		b = appendInt(b, clock-t.last)
		b = appendUint(b, uint64(t.dropped))
		if t.edge != math.MinInt64 {
			flags |= flagEdge
			b = appendInt(b, clock-t.edge)
		}
		var anyHour bool
		for _, h := range t.hours {
			anyHour = anyHour || len(h) > 0
		}
		if anyHour {
			flags |= flagHours
			b = appendHours(b, t.hours, clock)
		}
	}
	if k := s.keys; k != nil {
		if len(k.read) > 0 {
			flags |= flagRead
			b = appendUint(b, uint64(len(k.read)))
			for _, hash := range k.read {
				b = appendHash(b, uint64(hash))
			}
		}
		if r := k.refunds; r != nil && len(r.orders) > 0 {
			flags |= flagOrders
			b = appendOrders(b, r.orders, clock)
		}
		if r := k.refunds; r != nil && len(r.early) > 0 {
			flags |= flagEarly
			b = appendEarly(b, r.early)
		}
	}
	if s.texts != nil {
		flags |= flagTexts
		for _, known := range *s.texts {
			b = appendTexts(b, known, clock)
		}
	}
	b[at] = flags
	return b
}

// foreignMoney stands before a value that is money of another currency; no value is
// written so.
const foreignMoney = math.MaxUint64

// hashesEnd is the place in a row behind key and properties.
func (e *eventDef) hashesEnd() int { return e.propsAt + len(e.props) }

func appendRows(b []byte, e *eventDef, rows []int64, before int64) []byte {
	if e.width == 1 {
		b = slices.Grow(b, len(rows)*binary.MaxVarintLen64)
		at := len(b)
		b = b[:cap(b)]
		for _, instant := range rows {
			at = putInt(b, at, instant-before)
			before = instant
		}
		return b[:at]
	}
	for i := 0; i < len(rows); i += e.width {
		row := rows[i : i+e.width]
		b = appendInt(b, row[0]-before)
		before = row[0]
		if e.moneyAt > 0 && row[e.moneyAt] != 0 {
			b = appendUint(b, foreignMoney)
		}
		if e.needsValues {
			b = appendUint(b, optional(row[1]))
		}
		for _, hash := range row[e.keyAt:e.hashesEnd()] {
			b = appendHash(b, uint64(hash))
		}
	}
	return b
}

func appendHours(b []byte, all []hours, clock int64) []byte {
	for _, h := range all {
		b = appendUint(b, uint64(len(h)))
		before := clock
		for _, c := range h {
			b = appendInt(b, c.hour-before)
			b = appendInt(b, c.count)
			before = c.hour
		}
	}
	return b
}

func appendOrders(b []byte, orders []keyEntry, clock int64) []byte {
	b = appendUint(b, uint64(len(orders)))
	for i := range orders {
		k := &orders[i]
		b = appendHash(b, k.hash)
		b = append(b, flag(k.full, flagFull)|flag(k.applied, flagApplied)|flag(k.refunded != 0, flagRefunded)|flag(k.late > 0, flagLate)|flag(k.foreign, flagForeign)|flag(k.lost != 0, flagLost))
		b = appendInt(b, clock-k.at)
		b = appendUint(b, optional(int64(k.value)))
		if k.refunded != 0 {
			b = appendInt(b, int64(k.refunded))
		}
		if k.late > 0 {
			b = appendUint(b, uint64(k.late))
		}
		if k.lost != 0 {
			b = appendInt(b, clock-k.lost)
		}
	}
	return b
}

// appendEarly leaves out what a refund does not know of its order.
func appendEarly(b []byte, early []keyEntry) []byte {
	b = appendUint(b, uint64(len(early)))
	for i := range early {
		k := &early[i]
		b = append(appendHash(b, k.hash), flag(k.full, flagFull)|flag(k.refunded != 0, flagRefunded))
		if k.refunded != 0 {
			b = appendInt(b, int64(k.refunded))
		}
	}
	return b
}

func appendRule(b []byte, r *membership, clock int64) []byte {
	flags := flag(r.since != 0, flagSince) | flag(r.deadline != never, flagDeadline) |
		flag(r.deadline == math.MinInt64, flagDue) | flag(r.by != nil, flagBy)
	b = appendUint(b, uint64(r.stage-noStage)<<ruleFlags|uint64(flags))
	b = appendUint(b, uint64(r.sequence))
	if r.since != 0 {
		b = appendInt(b, clock-r.since)
	}
	if r.deadline != never && r.deadline != math.MinInt64 {
		b = appendInt(b, r.deadline-clock)
	}
	if r.by == nil {
		return b
	}
	current := 0 // the place of the current value, from 1
	if r.stage == inSegment {
		current, _ = r.by.find(r.by.value)
		current++
	}
	b = appendUint(b, uint64(current))
	b = appendUint(b, uint64(len(r.by.sequences)))
	for i := range r.by.sequences {
		b = appendText(b, r.by.sequences[i].value)
		b = appendUint(b, uint64(r.by.sequences[i].sequence))
	}
	return b
}

func appendInput(b []byte, in *input, clock int64) []byte {
	b = appendInt(b, clock-in.at)
	at := len(b)
	b = append(b, flag(in.known, 1))
	for i, text := range [...][]byte{in.messageID, in.kind, in.event, in.traits, in.group, in.currency, in.products} {
		if text != nil {
			b[at] |= 2 << i
			b = appendText(b, text)
		}
	}
	b = appendUint(b, uint64(len(in.counted)))
	for i := range in.counted {
		c := &in.counted[i]
		b = appendUint(b, uint64(c.event))
		b = appendUint(b, optional(int64(c.value)))
		b = append(b, flag(c.keyHash != 0, 1))
		b = appendText(b, c.key)
		b = appendUint(b, uint64(len(c.props)))
		for _, p := range c.props {
			b = appendHash(b, p)
		}
		for _, t := range c.texts { // as many as the definition says
			b = append(b, flag(t.given, 1))
			if t.given {
				b = appendText(b, t.text)
			}
		}
	}
	b = appendUint(b, uint64(len(in.refunds)))
	for i := range in.refunds {
		r := &in.refunds[i]
		b = appendUint(b, uint64(r.event))
		b = appendText(b, r.key)
		b = append(b, flag(r.full, flagFull))
		b = appendInt(b, int64(r.value))
	}
	return appendExposures(b, in)
}
