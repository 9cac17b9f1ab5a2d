// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math"

	"lapwing/schemas/decimal"
)

// Format 1 was the first. It has no flags: every list begins with its
// length, every instant is a varint, and a series that holds anything is whole.
//
//	uvarint  definition version
//	byte     flags: 1 begun, 2 known
//	varint   clock, newest, frontier - each after the first as a difference
//	list     remembered messageIds: 8-byte hash, varint clock - at
//	varint   forgotten
//	list     traits: text name, text raw, varint clock - at
//	list     series, one per event of the definition
//	list     rules, one per model and segment of the definition
//	list     held inputs

// decodeFormat1 reads what follows the definition version.
func (m *Model) decodeFormat1(d *decoder, s *State) error {
	flags := d.byte()
	s.begun, s.known = flags&1 != 0, flags&2 != 0
	s.clock = d.int()
	s.newest = s.clock - d.int()
	s.frontier = s.clock - d.int()
	s.deadline = never
	d.clock = s.clock
	if n := d.len(9); n > 0 {
		s.remembered = make([]messageMark, n)
		for i := range s.remembered {
			s.remembered[i] = messageMark{hash: d.hash(), at: s.clock - d.int()}
		}
	}
	s.forgotten = uint32(min(max(d.int(), 0), math.MaxUint32))
	if n := d.len(3); n > 0 {
		s.traits = make([]trait, n)
		for i := range s.traits {
			s.traits[i] = trait{name: d.text(), raw: d.text(), at: s.clock - d.int()}
			if i > 0 && s.traits[i].name <= s.traits[i-1].name {
				d.fail()
			}
		}
	}
	if n := d.len(1); n > 0 {
		if n != len(m.events) {
			return fmt.Errorf("%w: it has %d events, the definition %d", ErrState, n, len(m.events))
		}
		s.series = make([]*series, n)
		for i, e := range m.events {
			s.series[i] = decodeSeriesFormat1(d, e)
		}
	}
	if n := d.len(6); n > 0 {
		if n != len(m.rules) {
			return fmt.Errorf("%w: it has %d models and segments, the definition %d", ErrState, n, len(m.rules))
		}
		s.rules = make([]membership, n)
		for i := range s.rules {
			decodeRuleFormat1(d, &m.rules[i], &s.rules[i])
			s.deadline = min(s.deadline, s.rules[i].deadline)
		}
	}
	if n := d.len(11); n > 0 {
		s.held = make([]input, n)
		for i := range s.held {
			m.decodeInputFormat1(d, &s.held[i])
		}
	}
	return d.err
}

// decodeSeriesFormat1 leaves out what the rows tell; nil if nothing is left.
func decodeSeriesFormat1(d *decoder, e *eventDef) *series {
	t := tally{total: d.int()}
	if t.total == 0 && !d.bool() {
		return nil // else keys and refunds stand without an occurrence
	}
	s := new(series)
	t.first, t.last, t.dropped, t.edge = d.int(), d.int(), d.int(), d.int()
	s.rows = decodeRowsFormat1(d, e)
	if len(e.residues) > 0 {
		t.hours = make([]hours, len(e.residues))
		for i := range t.hours {
			if n := d.len(2); n > 0 {
				t.hours[i] = make(hours, n)
				for j := range t.hours[i] {
					t.hours[i][j] = hourCount{hour: d.int(), count: d.int()}
				}
			}
		}
	}
	known, early := decodeKeysFormat1(d), decodeKeysFormat1(d)
	switch {
	case d.err != nil:
		return nil
	case t.total == 0:
		t.first, t.last, t.edge = 0, 0, math.MinInt64 // they meant nothing
	}
	whole := int64(len(s.rows)/e.width) == t.total && t.edge == math.MinInt64 && t.dropped == 0 && len(e.residues) == 0
	if !whole || t.total > 0 && (t.first != s.first() || t.last != s.last(e)) {
		s.tally = &t
	}
	if len(known) > 0 && e.refund == nil {
		k := s.ownKeys()
		k.read = make([]int64, len(known))
		for i := range known {
			k.read[i] = int64(known[i].hash)
		}
	} else if len(known) > 0 {
		s.ownKeys().ownRefunds().orders = known
	}
	if len(early) > 0 {
		for i := range early {
			early[i] = keyEntry{hash: early[i].hash, refunded: early[i].refunded, full: early[i].full}
		}
		s.ownKeys().ownRefunds().early = early
	}
	return s
}

// decodeRowsFormat1 makes rows of the columns.
func decodeRowsFormat1(d *decoder, e *eventDef) []int64 {
	n := d.len(1)
	if n == 0 || n > len(d.b)/(1+8*(e.hashesEnd()-e.keyAt)) {
		if n > 0 {
			d.fail()
		}
		return nil
	}
	rows := make([]int64, n*e.width)
	before := int64(0)
	for i := 0; i < len(rows); i += e.width {
		step := d.int()
		if before += step; i > 0 && step < 0 {
			d.fail()
			return nil
		}
		rows[i] = before
	}
	if e.needsValues {
		for i := 1; i < len(rows); i += e.width {
			rows[i] = d.int()
		}
	}
	if e.needsKeys {
		for i := e.keyAt; i < len(rows); i += e.width {
			rows[i] = int64(d.hash())
		}
	}
	for i := e.propsAt; i < len(rows); i += e.width {
		for k := range e.props {
			rows[i+k] = int64(d.hash())
		}
	}
	return rows
}

func decodeKeysFormat1(d *decoder) []keyEntry {
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

func decodeRuleFormat1(d *decoder, def *rule, r *membership) {
	stage := d.int()
	if stage < int64(noStage) || stage >= int64(max(1, len(def.stages))) {
		d.fail()
		return
	}
	*r = membership{stage: int32(stage), since: d.int(), sequence: d.int(), deadline: d.int()}
	value := d.text()
	n := d.len(2)
	if n > 0 {
		r.by = &byValue{sequences: make([]valueSequence, n)}
		for j := range r.by.sequences {
			r.by.sequences[j] = valueSequence{value: d.text(), sequence: d.int()}
		}
	}
	i, found := r.by.find(value)
	switch {
	case r.by != nil && !r.by.inOrder(), def.by && r.stage == inSegment && !found:
		d.fail()
	case r.by != nil && r.stage == inSegment && found:
		r.by.value = r.by.sequences[i].value
	case r.by != nil && r.stage == inSegment:
		r.by = nil // of a rule without values
	}
}

func (m *Model) decodeInputFormat1(d *decoder, in *input) {
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
	}
	for i := range in.counted {
		c := &in.counted[i]
		c.event = m.decodeEvent(d)
		c.value = decimal.Decimal(d.int())
		m.decodeKeyAndProps(d, c)
	}
	if n := d.len(4); n > 0 {
		in.refunds = make([]refundInput, n)
	}
	for i := range in.refunds {
		r := &in.refunds[i]
		r.event = m.decodeEvent(d)
		r.key = d.text()
		r.keyHash = hashOf(r.key)
		r.value, r.full = decimal.Decimal(d.int()), d.bool()
	}
}
