// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math"

	"lapwing/schemas/decimal"
)

// sharedWords are the words that decoding s takes from the shared memory. Each is at
// least a byte of the encoding, but for the spare ones.
func (m *Model) sharedWords(s *State) int {
	n := 0
	for i, x := range s.series {
		if x == nil {
			continue
		}
		if len(x.rows) > 0 && len(x.rows) <= shared {
			n += len(x.rows) + m.events[i].width
		}
		if x.keys != nil && len(x.keys.read) > 0 && len(x.keys.read) <= shared {
			n += len(x.keys.read) + 1
		}
	}
	return n
}

// DecodeState reads what AppendState wrote, in this or an earlier version of Lapwing;
// s must be the zero State. b is not kept.
func (m *Model) DecodeState(b []byte, s *State) error {
	d := &decoder{b: b}
	format := d.byte()
	d.format = format
	switch {
	case d.err != nil:
		return d.err
	case format == 0 || format > stateFormat:
		return fmt.Errorf("%w: its format is %d, this version reads 1 to %d", ErrState, format, stateFormat)
	}
	if v := d.uint(); d.err == nil && v != uint64(m.def.Version) {
		return fmt.Errorf("%w: it was written under version %d of the definition, this is version %d", ErrState, v, m.def.Version)
	}
	var err error
	if format == 1 {
		err = m.decodeFormat1(d, s)
	} else {
		err = m.decode(d, s)
	}
	switch {
	case err != nil:
		return err
	case d.err == nil && len(d.b) > 0:
		return fmt.Errorf("%w: %d bytes follow its end", ErrState, len(d.b))
	default:
		return d.err
	}
}

func (m *Model) decode(d *decoder, s *State) error {
	flags := d.byte()
	s.begun, s.known = flags&flagBegun != 0, flags&flagKnown != 0
	s.clock = d.int()
	s.newest = s.clock - d.int()
	s.frontier = s.clock - d.int()
	s.deadline = never
	d.clock = s.clock
	if flags&flagForgotten != 0 {
		s.forgotten = uint32(min(d.uint(), math.MaxUint32))
	}
	if flags&flagRemembered != 0 {
		n := d.len(9)
		s.remembered = make([]messageMark, n, n+2) // a message is about to come
		before := s.clock
		for i := range s.remembered {
			hash := d.hash()
			before += d.int()
			s.remembered[i] = messageMark{hash: hash, at: before}
		}
	}
	if flags&flagTraits != 0 {
		s.traits = d.traits()
	}
	if flags&flagSeries != 0 {
		if err := m.decodeAllSeries(d, s); err != nil {
			return err
		}
	}
	if flags&flagRules != 0 {
		if err := m.decodeRules(d, s); err != nil {
			return err
		}
	}
	if d.format >= 4 {
		m.decodeVisits(d, s)
	}
	if d.format >= 4 && len(m.campaigns) > 0 {
		m.decodeEnrolments(d, s)
	}
	if flags&flagHeld != 0 {
		s.held = make([]input, d.len(4))
		for i := range s.held {
			m.decodeInput(d, &s.held[i])
			if d.format >= 4 && m.assignedBy {
				m.decodeAssigned(d, &s.held[i])
			}
		}
	}
	if d.format >= 3 {
		s.retired = d.retired()
	}
	return d.err
}

// traits makes one string of all names and texts: few of them change.
func (d *decoder) traits() []trait {
	traits := make([]trait, d.len(3))
	sizes := d.b // read again once the texts are found
	all := uint64(0)
	for i := range traits {
		all += min(d.uint(), uint64(len(sizes))) // what is larger fails below
		all += min(d.uint(), uint64(len(sizes)))
		traits[i].at = d.clock - d.int()
	}
	if all > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	texts := string(d.take(int(all)))
	again := decoder{b: sizes}
	for i := range traits {
		name := again.uint()
		raw := again.uint()
		again.int()
		if d.err != nil || name+raw > uint64(len(texts)) {
			d.fail()
			return nil
		}
		traits[i].name, traits[i].raw = texts[:name], texts[name:name+raw]
		texts = texts[name+raw:]
		if i > 0 && traits[i].name <= traits[i-1].name {
			d.fail()
			return nil
		}
	}
	return traits
}

// keyedSeries are a series and its keys in one piece of memory.
type keyedSeries struct {
	series
	keys keys
}

func (m *Model) decodeAllSeries(d *decoder, s *State) error {
	n := int(min(d.uint(), math.MaxInt32))
	if d.err == nil && n != len(m.events) {
		return fmt.Errorf("%w: it has %d events, the definition %d", ErrState, n, len(m.events))
	}
	words := d.len(1)
	present := d.take((n + 7) / 8)
	if d.err != nil {
		return d.err
	}
	d.slab = make([]int64, words)
	s.series = make([]*series, n)
	for i, e := range m.events {
		if present[i/8]>>(i%8)&1 == 1 {
			s.series[i] = decodeSeries(d, e)
		}
	}
	return d.err
}

func decodeSeries(d *decoder, e *eventDef) *series {
	flags := d.byte()
	var s *series
	if flags&(flagRead|flagOrders|flagEarly) == 0 {
		s = new(series)
	} else {
		both := new(keyedSeries)
		s = &both.series
		s.keys = &both.keys
	}
	if flags&flagRows != 0 {
		s.rows = decodeRows(d, e)
	}
	if flags&flagTally != 0 {
		t := &tally{total: int64(d.uint()), first: d.clock - d.int(), last: d.clock - d.int(), dropped: int64(d.uint()), edge: math.MinInt64}
		if len(e.residues) > 0 {
			t.hours = make([]hours, len(e.residues))
		}
		if flags&flagEdge != 0 {
			t.edge = d.clock - d.int()
		}
		if flags&flagHours != 0 {
			d.hours(t.hours)
		}
		s.tally = t
	}
	if flags&flagRead != 0 {
		n := d.len(8)
		s.keys.read = d.words(n, 1)
		for i := range s.keys.read {
			s.keys.read[i] = int64(d.hash())
		}
	}
	if flags&flagOrders != 0 {
		s.keys.ownRefunds().orders = d.orders()
	}
	if flags&flagEarly != 0 {
		s.keys.ownRefunds().early = d.early()
	}
	if flags&flagTexts != 0 {
		texts := make([]knownTexts, e.slots)
		for i := range texts {
			texts[i] = d.knownTexts()
		}
		s.texts = &texts
	}
	return s
}

// foreignValue is foreignMoney as it is read.
const foreignValue = math.MaxInt64

func decodeRows(d *decoder, e *eventDef) []int64 {
	hashes := e.hashesEnd() - e.keyAt
	size := 1 + 8*hashes
	if e.needsValues {
		size++
	}
	rows := d.words(d.len(size)*e.width, e.width)
	before := d.clock
	for i := 0; i < len(rows); i += e.width {
		row := rows[i : i+e.width]
		step := d.int()
		if before += step; i > 0 && step < 0 {
			d.fail()
			return nil
		}
		row[0] = before
		if e.needsValues {
			row[1] = d.optional()
		}
		if e.moneyAt > 0 && row[1] == foreignValue {
			row[1], row[e.moneyAt] = d.optional(), 1
			if row[1] == foreignValue {
				d.fail()
				return nil
			}
		}
		for k := e.keyAt; k < e.hashesEnd(); k++ {
			row[k] = int64(d.hash())
		}
	}
	return rows
}

func (d *decoder) hours(all []hours) {
	for i := range all {
		n := d.len(2)
		if n == 0 {
			continue
		}
		h := make(hours, n)
		before := d.clock
		for j := range h {
			before += d.int()
			h[j] = hourCount{hour: before, count: d.int()}
		}
		all[i] = h
	}
}

func (d *decoder) orders() []keyEntry {
	orders := make([]keyEntry, d.len(11))
	for i := range orders {
		k := &orders[i]
		k.hash = d.hash()
		flags := d.byte()
		k.full, k.applied, k.foreign = flags&flagFull != 0, flags&flagApplied != 0, flags&flagForeign != 0
		k.at = d.clock - d.int()
		k.value = decimal.Decimal(d.optional())
		if flags&flagRefunded != 0 {
			k.refunded = decimal.Decimal(d.int())
		}
		if flags&flagLate != 0 {
			k.late = int64(d.uint())
		}
		if flags&flagLost != 0 {
			k.lost = d.clock - d.int()
		}
	}
	return orders
}

func (d *decoder) early() []keyEntry {
	early := make([]keyEntry, d.len(9))
	for i := range early {
		k := &early[i]
		k.hash = d.hash()
		flags := d.byte()
		k.full = flags&flagFull != 0
		if flags&flagRefunded != 0 {
			k.refunded = decimal.Decimal(d.int())
		}
	}
	return early
}

func (m *Model) decodeRules(d *decoder, s *State) error {
	n := d.len(2)
	if n != len(m.rules) {
		return fmt.Errorf("%w: it has %d models, segments and campaigns, the definition %d", ErrState, n, len(m.rules))
	}
	s.rules = make([]membership, n)
	for i := range s.rules {
		m.decodeRule(d, &m.rules[i], &s.rules[i])
		s.deadline = min(s.deadline, s.rules[i].deadline)
	}
	return d.err
}

func (m *Model) decodeRule(d *decoder, def *rule, r *membership) {
	word := d.uint()
	stage := word >> ruleFlags
	if stage > uint64(max(1, len(def.stages))) {
		d.fail()
		return
	}
	r.stage = int32(stage) + noStage
	r.sequence = int64(d.uint())
	if word&flagSince != 0 {
		r.since = d.clock - d.int()
	}
	switch {
	case word&flagDeadline == 0:
		r.deadline = never
	case word&flagDue != 0:
		r.deadline = math.MinInt64
	default:
		r.deadline = d.clock + d.int()
	}
	if word&flagBy != 0 {
		r.by = d.byValue(r.stage == inSegment)
	} else if def.by && r.stage == inSegment {
		d.fail()
	}
}

// byValue reads the values of a `by:` rule; in tells that the customer is in one of
// its segments, so that one of the values must be the current one.
func (d *decoder) byValue(in bool) *byValue {
	current := d.uint()
	by := &byValue{sequences: make([]valueSequence, d.len(2))}
	for i := range by.sequences {
		by.sequences[i] = valueSequence{value: d.text(), sequence: int64(d.uint())}
	}
	if current > uint64(len(by.sequences)) || current > 0 != in || !by.inOrder() {
		d.fail()
		return nil
	}
	if in {
		by.value = by.sequences[current-1].value
	}
	return by
}

// inOrder reports whether the values are in the order by which they are found.
func (b *byValue) inOrder() bool {
	for i := 1; i < len(b.sequences); i++ {
		if b.sequences[i-1].value >= b.sequences[i].value {
			return false
		}
	}
	return true
}

func (m *Model) decodeInput(d *decoder, in *input) {
	in.at = d.clock - d.int()
	flags := d.byte()
	in.known = flags&1 != 0
	for i, b := range [...]*[]byte{&in.messageID, &in.kind, &in.event, &in.traits, &in.group, &in.currency, &in.products} {
		if flags&(2<<i) != 0 {
			*b = append([]byte{}, d.bytes()...)
		}
	}
	if len(in.messageID) > 0 {
		in.messageHash = hashOf(in.messageID)
	}
	if n := d.len(5); n > 0 {
		in.counted = make([]counted, n)
	}
	for i := range in.counted {
		c := &in.counted[i]
		c.event = m.decodeEvent(d)
		c.value = decimal.Decimal(d.optional())
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
		r.full = d.byte() == flagFull
		r.value = decimal.Decimal(d.int())
	}
	if d.format >= 4 {
		d.exposures(in)
	}
}

func (m *Model) decodeKeyAndProps(d *decoder, c *counted) {
	hasKey := d.bool()
	c.key = d.text()
	if hasKey {
		c.keyHash = hashOf(c.key)
	}
	n := d.len(8)
	if d.err == nil && n != len(m.events[c.event].props) {
		d.fail() // the series is written to by their number
		return
	}
	if n > 0 {
		c.props = make([]uint64, n)
	}
	for j := range c.props {
		c.props[j] = d.hash()
	}
	slots := m.events[c.event].slots
	if slots == 0 || d.err != nil {
		return
	}
	c.texts = make([]propText, slots) // of formats before 3 none is given
	for j := range c.texts {
		if d.format >= 3 && d.bool() {
			c.texts[j] = propText{text: d.text(), given: true}
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
