// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"slices"
	"sort"
	"time"

	"lapwing/schemas/decimal"
)

const (
	// maxKept is how many instants, and how many keys, are kept per customer and event.
	maxKept = 4096
	// never is the deadline of what does not change by itself.
	never = int64(math.MaxInt64)
	// noNumber is the value of an occurrence without a numeric one.
	noNumber = decimal.Decimal(math.MinInt64)

	hourMillis = int64(time.Hour / time.Millisecond)
	dayMillis  = 24 * hourMillis
)

// series is what is remembered of one customer's occurrences of one event. Most
// customers' are small, so what few need stands behind a pointer.
type series struct {
	// rows are the occurrences kept, in order of time, then of arrival: of each its
	// instant, then what the definition needs of it (eventDef.width words in all).
	rows  []int64
	tally *tally        // nil: the rows are all that ever came
	keys  *keys         // nil: no key has been read, no refund waits
	texts *[]knownTexts // of the properties that favourite reads; nil before the first
}

// tally is what rows do not tell: of events of which no rows, or no longer all, are kept.
type tally struct {
	total   int64 // occurrences ever
	first   int64 // instant of the first ever; meaningless if total is 0
	last    int64
	dropped int64 // rows that fell out because more than maxKept came
	edge    int64 // the newest instant dropped, by count or by age; math.MinInt64 if none

	hours []hours // one per residue, of events with resolution 1h
}

// hours counts occurrences by the full hour at which they leave a window of whole
// hours plus the residue; ascending.
type hours []hourCount

type hourCount struct {
	hour  int64 // its instant
	count int64
}

// keys are the keys of an event's occurrences.
type keys struct {
	read    []int64  // hashes, in order of first reading; of an event without refunds
	refunds *refunds // nil without one, and before the first key
}

// refunds are the keys of an event whose occurrences can be refunded.
type refunds struct {
	orders []keyEntry // read, in order of first reading
	early  []keyEntry // refunds whose order has not been read yet
}

// keyEntry is one key that can be refunded, or is awaited by a refund.
type keyEntry struct {
	hash     uint64
	at       int64           // the occurrence's instant
	value    decimal.Decimal // as received; noNumber if none
	refunded decimal.Decimal // taken off so far; noNumber if too much to be a number
	full     bool            // refunded as a whole
	applied  bool            // the occurrence has been folded in (not merely held)
	foreign  bool            // money of another currency: no total has it
	late     int64           // how far behind the greatest instant applied it was then
	// lost is a millisecond after the instant at which a definition followed that reads
	// values further back than this one's was held: rounds that begin from then on do not
	// have it in the window before them. 0: it is held.
	lost int64
}

// net is the entry's value less its refunds.
func (k *keyEntry) net() decimal.Decimal {
	switch {
	case k.value == noNumber:
		return noNumber
	case k.full:
		return 0
	case k.refunded == noNumber:
		return noNumber
	}
	net, ok := decimal.Add(k.value, -k.refunded)
	if !ok {
		return noNumber
	}
	return net
}

func findKey(entries []keyEntry, hash uint64) *keyEntry {
	for i := len(entries) - 1; i >= 0; i-- { // the newest are asked for most
		if entries[i].hash == hash {
			return &entries[i]
		}
	}
	return nil
}

// order is the entry of a key that has been read; nil without, and of events without
// refunds.
func (s *series) order(hash uint64) *keyEntry {
	if s.keys == nil || s.keys.refunds == nil {
		return nil
	}
	return findKey(s.keys.refunds.orders, hash)
}

// ownKeys are the series' keys, made if there are none.
func (s *series) ownKeys() *keys {
	if s.keys == nil {
		s.keys = new(keys)
	}
	return s.keys
}

func (k *keys) ownRefunds() *refunds {
	if k.refunds == nil {
		k.refunds = new(refunds)
	}
	return k.refunds
}

// room is list with room for n elements more. It grows by a quarter, not by the
// double, since 200,000 customers pay for what is never used; least is what pays
// for the copying of short lists.
func room[T any](list []T, n, least int) []T {
	if cap(list)-len(list) >= n {
		return list
	}
	return append(slices.Grow([]T(nil), len(list)+max(n, least, len(list)/4)), list...)
}

// place makes a row before row i; its words are to be set.
func (s *series) place(e *eventDef, i int) []int64 {
	w := e.width
	rows := room(s.rows, w, 2*w)
	rows = rows[:len(rows)+w]
	copy(rows[(i+1)*w:], rows[i*w:])
	s.rows = rows
	return rows[i*w : (i+1)*w]
}

// size is the number of rows.
func (s *series) size(e *eventDef) int { return len(s.rows) / e.width }

// at is the instant of row i.
func (s *series) at(e *eventDef, i int) int64 { return s.rows[i*e.width] }

// total is the number of occurrences ever.
func (s *series) total(e *eventDef) int64 {
	if s.tally != nil {
		return s.tally.total
	}
	return int64(s.size(e))
}

// first is the instant of the first occurrence ever, last that of the last; both
// are meaningless if there has been none.
func (s *series) first() int64 {
	switch {
	case s.tally != nil:
		return s.tally.first
	case len(s.rows) > 0:
		return s.rows[0]
	default:
		return 0
	}
}

func (s *series) last(e *eventDef) int64 {
	switch {
	case s.tally != nil:
		return s.tally.last
	case len(s.rows) > 0:
		return s.rows[len(s.rows)-e.width]
	default:
		return 0
	}
}

// edge is the newest instant dropped; math.MinInt64 if none.
func (s *series) edge() int64 {
	if s.tally != nil {
		return s.tally.edge
	}
	return math.MinInt64
}

// dropped is how many rows fell out because more than maxKept came.
func (s *series) dropped() int64 {
	if s.tally != nil {
		return s.tally.dropped
	}
	return 0
}

// ownTally is the series' tally, made of the rows if there is none.
func (s *series) ownTally(e *eventDef) *tally {
	if s.tally == nil {
		s.tally = &tally{total: s.total(e), first: s.first(), last: s.last(e), edge: math.MinInt64}
		if len(e.residues) > 0 {
			s.tally.hours = make([]hours, len(e.residues))
		}
	}
	return s.tally
}

// occurrence is one instant to be put into a series.
type occurrence struct {
	at    int64
	value decimal.Decimal
	key   uint64
	props []uint64
	// foreign says that value is money of another currency than the definition's.
	foreign bool
}

// insert adds o, then drops what the event need not keep: more than e.keep
// rows, and those at or before oldest, which no window reaches any more. It
// returns o's row, or a negative number if o itself was not kept.
func (s *series) insert(e *eventDef, o occurrence, oldest int64) int {
	keep := e.keep > 0 && o.at > oldest
	t := s.tally
	if t == nil && (!keep || len(e.residues) > 0) {
		t = s.ownTally(e)
	}
	if t != nil {
		t.add(e, o.at)
	}
	if !keep {
		if e.keep > 0 {
			t.edge = max(t.edge, o.at)
		}
		return -1
	}
	i := s.size(e)
	for i > 0 && s.at(e, i-1) > o.at {
		i--
	}
	row := s.place(e, i)
	row[0] = o.at
	if e.needsValues {
		row[1] = int64(o.value)
	}
	if e.needsKeys {
		row[e.keyAt] = int64(o.key)
	}
	for k := range e.props {
		row[e.propsAt+k] = int64(o.props[k])
	}
	if e.moneyAt > 0 {
		row[e.moneyAt] = int64(flag(o.foreign, 1))
	}
	n := s.size(e)
	cut := max(0, n-e.keep)
	capped := cut
	for cut < n && s.at(e, cut) <= oldest {
		cut++
	}
	if cut > 0 {
		t = s.ownTally(e)
		if e.keep >= maxKept {
			t.dropped += int64(capped)
		}
		t.edge = max(t.edge, s.at(e, cut-1))
		s.rows = slices.Delete(s.rows, 0, cut*e.width)
	}
	return i - cut
}

// add counts an occurrence.
func (t *tally) add(e *eventDef, at int64) {
	if t.total == 0 {
		t.first, t.last, t.edge = at, at, math.MinInt64
	}
	t.total++
	t.first, t.last = min(t.first, at), max(t.last, at)
	for i, r := range e.residues {
		t.hours[i].add(ceilHour(at+r), 1)
	}
}

// remove takes out one occurrence of a derived event, which keeps all it can.
func (s *series) remove(e *eventDef, at int64) bool {
	i, found := s.find(e, at)
	if !found {
		return false
	}
	s.rows = slices.Delete(s.rows, i*e.width, (i+1)*e.width)
	t := s.tally
	if t == nil {
		return true
	}
	t.total--
	for j, r := range e.residues {
		t.hours[j].add(ceilHour(at+r), -1)
	}
	if n := s.size(e); n > 0 {
		t.last = s.at(e, n-1)
		if at == t.first && t.edge == math.MinInt64 {
			t.first = s.at(e, 0)
		}
	}
	return true
}

// find is the first row at an instant, or the row before which it belongs.
func (s *series) find(e *eventDef, at int64) (i int, found bool) {
	n := s.size(e)
	i = sort.Search(n, func(i int) bool { return s.at(e, i) >= at })
	return i, i < n && s.at(e, i) == at
}

// add moves the count of one leaving hour by d.
func (h *hours) add(hour, d int64) {
	i := len(*h)
	for i > 0 && (*h)[i-1].hour >= hour { // the newest are added to most
		i--
	}
	if i == len(*h) || (*h)[i].hour != hour {
		*h = slices.Insert(room(*h, 1, 2), i, hourCount{hour: hour})
	}
	if (*h)[i].count += d; (*h)[i].count == 0 {
		*h = slices.Delete(*h, i, i+1)
	}
}
