// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"encoding/binary"
	"errors"
	"fmt"

	"lapwing/schemas/decimal"
)

// The encoding of a State, as it stands in the changelog and the local store:
//
//	byte     format (1)
//	uvarint  definition version
//	byte     flags: 1 begun, 2 known
//	varint   clock, newest, frontier - each after the first as a difference
//	list     remembered messageIds: 8-byte hash, varint clock - at
//	uvarint  forgotten
//	list     traits: text name, text raw, varint clock - at
//	list     series, one per event of the definition
//	list     rules, one per model and segment of the definition
//	list     held inputs
//
// Lists and texts begin with their length as a uvarint. Deadlines are written as
// they are, so that nothing has to be evaluated to find them again.
const stateFormat = 1

// ErrState is what every error of DecodeState wraps.
var ErrState = errors.New("state cannot be read")

type encoder struct{ b []byte }

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) len(n int)     { e.uint(uint64(n)) }
func (e *encoder) hash(h uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, h) }

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func encodeText[T string | []byte](e *encoder, s T) {
	e.len(len(s))
	e.b = append(e.b, s...)
}

// AppendState appends the encoding of s.
func (m *Model) AppendState(dst []byte, s *State) []byte {
	e := &encoder{b: append(dst, stateFormat)}
	e.uint(uint64(m.def.Version))
	flags := byte(0)
	if s.begun {
		flags |= 1
	}
	if s.known {
		flags |= 2
	}
	e.b = append(e.b, flags)
	e.int(s.clock)
	e.int(s.clock - s.newest)
	e.int(s.clock - s.frontier)
	e.len(len(s.remembered))
	for _, r := range s.remembered {
		e.hash(r.hash)
		e.int(s.clock - r.at)
	}
	e.int(s.forgotten)
	e.len(len(s.traits))
	for i := range s.traits {
		t := &s.traits[i]
		encodeText(e, t.name)
		encodeText(e, t.raw)
		e.int(s.clock - t.at)
	}
	e.len(len(s.series))
	for i := range s.series {
		m.encodeSeries(e, m.events[i], &s.series[i])
	}
	e.len(len(s.rules))
	for i := range s.rules {
		r := &s.rules[i]
		e.int(int64(r.stage))
		e.int(r.since)
		e.int(r.sequence)
		e.int(r.deadline)
		encodeText(e, r.by.value)
		e.len(len(r.by.sequences))
		for _, v := range r.by.sequences {
			encodeText(e, v.value)
			e.int(v.sequence)
		}
	}
	e.len(len(s.held))
	for i := range s.held {
		encodeInput(e, &s.held[i])
	}
	return e.b
}

func (m *Model) encodeSeries(e *encoder, def *eventDef, s *series) {
	e.int(s.total)
	if s.total == 0 {
		rest := len(s.known) > 0 || len(s.early) > 0 || s.edge != 0
		e.bool(rest)
		if !rest {
			return
		}
	}
	e.int(s.first)
	e.int(s.last)
	e.int(s.dropped)
	e.int(s.edge)
	e.len(len(s.at))
	previous := int64(0)
	for _, at := range s.at {
		e.int(at - previous)
		previous = at
	}
	for _, v := range s.values {
		e.int(int64(v))
	}
	for _, k := range s.keys {
		e.hash(k)
	}
	for _, p := range s.props {
		e.hash(p)
	}
	for i := range def.residues {
		h := &s.hours[i]
		e.len(len(h.hour))
		for j := range h.hour {
			e.int(h.hour[j])
			e.int(h.count[j])
		}
	}
	encodeKeys(e, s.known)
	encodeKeys(e, s.early)
}

func encodeKeys(e *encoder, keys []keyEntry) {
	e.len(len(keys))
	for _, k := range keys {
		e.hash(k.hash)
		e.int(k.at)
		e.int(int64(k.value))
		e.int(int64(k.refunded))
		e.bool(k.full)
		e.bool(k.applied)
	}
}

func encodeInput(e *encoder, in *input) {
	e.int(in.at)
	for _, b := range [...][]byte{in.messageID, in.kind, in.event, in.traits, in.group, in.currency, in.products} {
		e.bool(b != nil)
		encodeText(e, b)
	}
	e.bool(in.known)
	e.len(len(in.counted))
	for i := range in.counted {
		c := &in.counted[i]
		e.len(c.event)
		e.int(int64(c.value))
		e.bool(c.keyHash != 0)
		encodeText(e, c.key)
		e.len(len(c.props))
		for _, p := range c.props {
			e.hash(p)
		}
	}
	e.len(len(in.refunds))
	for i := range in.refunds {
		r := &in.refunds[i]
		e.len(r.event)
		encodeText(e, r.key)
		e.int(int64(r.value))
		e.bool(r.full)
	}
}

// decoder reads what an encoder wrote; the first error sticks and all later reads give zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("%w: it ends or goes wrong %d bytes before its end", ErrState, len(d.b))
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// len is the length of a list whose elements take at least size bytes each, so
// that a broken length cannot ask for more memory than the input is long.
func (d *decoder) len(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) hash() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bool() bool { return d.byte() == 1 }

func (d *decoder) bytes() []byte {
	n := d.len(1)
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) text() string { return string(d.bytes()) }

// DecodeState reads what AppendState wrote; s must be the zero State. b is not kept.
func (m *Model) DecodeState(b []byte, s *State) error {
	d := &decoder{b: b}
	if f := d.byte(); d.err == nil && f != stateFormat {
		return fmt.Errorf("%w: its format is %d, this version reads %d", ErrState, f, stateFormat)
	}
	if v := d.uint(); d.err == nil && v != uint64(m.def.Version) {
		return fmt.Errorf("%w: it was written under version %d of the definition, this is version %d: a new version needs a new generation", ErrState, v, m.def.Version)
	}
	flags := d.byte()
	s.begun, s.known = flags&1 != 0, flags&2 != 0
	s.clock = d.int()
	s.newest = s.clock - d.int()
	s.frontier = s.clock - d.int()
	if n := d.len(9); n > 0 {
		s.remembered = make([]messageMark, n)
		for i := range s.remembered {
			s.remembered[i] = messageMark{hash: d.hash(), at: s.clock - d.int()}
		}
	}
	s.forgotten = d.int()
	if n := d.len(3); n > 0 {
		s.traits = make([]trait, n)
		for i := range s.traits {
			s.traits[i] = trait{name: d.text(), raw: d.text(), at: s.clock - d.int()}
		}
	}
	if n := d.len(1); n > 0 {
		if n != len(m.events) {
			return fmt.Errorf("%w: it has %d events, the definition %d", ErrState, n, len(m.events))
		}
		s.series = make([]series, n)
		for i := range s.series {
			m.decodeSeries(d, m.events[i], &s.series[i])
		}
	}
	if err := m.decodeRules(d, s); err != nil {
		return err
	}
	if n := d.len(1); n > 0 {
		s.held = make([]input, n)
		for i := range s.held {
			m.decodeInput(d, &s.held[i])
		}
	}
	if d.err == nil && len(d.b) > 0 {
		return fmt.Errorf("%w: %d bytes follow its end", ErrState, len(d.b))
	}
	return d.err
}

func (m *Model) decodeRules(d *decoder, s *State) error {
	s.deadline = never
	n := d.len(6)
	if n == 0 {
		return nil
	}
	if n != len(m.rules) {
		return fmt.Errorf("%w: it has %d models and segments, the definition %d", ErrState, n, len(m.rules))
	}
	s.rules = make([]membership, n)
	for i := range s.rules {
		r := &s.rules[i]
		stage := d.int()
		if stage < int64(noStage) || stage >= int64(max(1, len(m.rules[i].stages))) {
			d.fail()
			return d.err
		}
		*r = membership{stage: int32(stage), since: d.int(), sequence: d.int(), deadline: d.int()}
		r.by.value = d.text()
		if k := d.len(2); k > 0 {
			r.by.sequences = make([]valueSequence, k)
			for j := range r.by.sequences {
				r.by.sequences[j] = valueSequence{value: d.text(), sequence: d.int()}
			}
		}
		s.deadline = min(s.deadline, r.deadline)
	}
	return nil
}

func (m *Model) decodeSeries(d *decoder, def *eventDef, s *series) {
	if len(def.residues) > 0 {
		s.hours = make([]hourCounts, len(def.residues))
	}
	s.total = d.int()
	if s.total == 0 {
		// either never happened, or keys and refunds stand without an occurrence
		if !d.bool() {
			return
		}
	}
	s.first, s.last, s.dropped, s.edge = d.int(), d.int(), d.int(), d.int()
	if n := d.len(1); n > 0 {
		s.at = make([]int64, n)
		previous := int64(0)
		for i := range s.at {
			previous += d.int()
			s.at[i] = previous
		}
		if def.needsValues {
			s.values = make([]decimal.Decimal, n)
			for i := range s.values {
				s.values[i] = decimal.Decimal(d.int())
			}
		}
		if def.needsKeys {
			s.keys = make([]uint64, n)
			for i := range s.keys {
				s.keys[i] = d.hash()
			}
		}
		if w := len(def.props); w > 0 && d.err == nil {
			s.props = make([]uint64, n*w)
			for i := range s.props {
				s.props[i] = d.hash()
			}
		}
	}
	for i := range def.residues {
		h := &s.hours[i]
		if n := d.len(2); n > 0 {
			h.hour, h.count = make([]int64, n), make([]int64, n)
			for j := range h.hour {
				h.hour[j], h.count[j] = d.int(), d.int()
			}
		}
	}
	s.known, s.early = decodeKeys(d), decodeKeys(d)
}

func decodeKeys(d *decoder) []keyEntry {
	n := d.len(13)
	if n == 0 {
		return nil
	}
	keys := make([]keyEntry, n)
	for i := range keys {
		keys[i] = keyEntry{
			hash: d.hash(), at: d.int(), value: decimal.Decimal(d.int()), refunded: decimal.Decimal(d.int()),
			full: d.bool(), applied: d.bool(),
		}
	}
	return keys
}

func (m *Model) decodeInput(d *decoder, in *input) {
	in.at = d.int()
	for _, b := range [...]*[]byte{&in.messageID, &in.kind, &in.event, &in.traits, &in.group, &in.currency, &in.products} {
		present, text := d.bool(), d.bytes()
		if present {
			*b = append([]byte{}, text...)
		}
	}
	if len(in.messageID) > 0 {
		in.messageHash = hashOf(in.messageID)
	}
	in.known = d.bool()
	if n := d.len(5); n > 0 {
		in.counted = make([]counted, n)
		for i := range in.counted {
			c := &in.counted[i]
			c.event = m.decodeEvent(d)
			c.value = decimal.Decimal(d.int())
			hasKey := d.bool()
			c.key = d.text()
			if hasKey {
				c.keyHash = hashOf(c.key)
			}
			if k := d.len(8); k > 0 {
				c.props = make([]uint64, k)
				for j := range c.props {
					c.props[j] = d.hash()
				}
			}
		}
	}
	if n := d.len(4); n > 0 {
		in.refunds = make([]refundInput, n)
		for i := range in.refunds {
			r := &in.refunds[i]
			r.event = m.decodeEvent(d)
			r.key = d.text()
			r.keyHash = hashOf(r.key)
			r.value, r.full = decimal.Decimal(d.int()), d.bool()
		}
	}
}

func (m *Model) decodeEvent(d *decoder) int {
	i := d.uint()
	if i >= uint64(len(m.events)) {
		d.fail()
		return 0
	}
	return int(i)
}
