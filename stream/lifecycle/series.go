// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"math/big"
	"math/bits"
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

// series is what is remembered of one customer's occurrences of one event.
// Instants are in order of time, then of arrival; the slices beside them are
// either nil (not needed by the definition) or of the same length.
type series struct {
	total   int64 // occurrences ever
	first   int64 // instant of the first ever; meaningless if total is 0
	last    int64
	dropped int64 // instants that fell out because more than maxKept came
	edge    int64 // the newest instant dropped, by count or by age; math.MinInt64 if none

	at     []int64
	values []decimal.Decimal // net of refunds; noNumber if none
	keys   []uint64          // hash of the deduplication key; 0 if none
	props  []uint64          // hashes of the properties `unique` reads, width per instant; 0 = null

	hours []hourCounts // one per residue, of events with resolution 1h
	known []keyEntry   // of events with a key, in order of first reading
	early []keyEntry   // refunds whose order has not been read yet
}

// hourCounts counts occurrences by the full hour at which they leave a window of
// whole hours plus the residue.
type hourCounts struct {
	hour  []int64 // ascending, instants of full hours
	count []int64
}

// keyEntry is one key seen, or awaited by a refund.
type keyEntry struct {
	hash     uint64
	at       int64           // the occurrence's instant
	value    decimal.Decimal // as received; noNumber if none
	refunded decimal.Decimal // taken off so far
	full     bool            // refunded as a whole
	applied  bool            // the occurrence has been folded in (not merely held)
}

// net is the entry's value less its refunds.
func (k *keyEntry) net() decimal.Decimal {
	switch {
	case k.value == noNumber:
		return noNumber
	case k.full:
		return 0
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

// occurrence is one instant to be put into a series.
type occurrence struct {
	at    int64
	value decimal.Decimal
	key   uint64
	props []uint64
}

// insert adds o, then drops what the event need not keep: more than e.keep
// instants, and those at or before oldest, which no window reaches any more. It
// returns o's index, or a negative number if o itself was not kept.
func (s *series) insert(e *eventDef, o occurrence, oldest int64) int {
	if s.total == 0 {
		s.first, s.last, s.edge = o.at, o.at, math.MinInt64
	}
	s.total++
	s.first, s.last = min(s.first, o.at), max(s.last, o.at)
	for i, r := range e.residues {
		s.hours[i].add(ceilHour(o.at+r), 1)
	}
	if e.keep == 0 {
		return -1
	}
	if o.at <= oldest {
		s.edge = max(s.edge, o.at)
		return -1
	}
	i := len(s.at)
	for i > 0 && s.at[i-1] > o.at {
		i--
	}
	s.at = slices.Insert(s.at, i, o.at)
	if e.needsValues {
		s.values = slices.Insert(s.values, i, o.value)
	}
	if e.needsKeys {
		s.keys = slices.Insert(s.keys, i, o.key)
	}
	if len(e.props) > 0 {
		s.props = slices.Insert(s.props, i*len(e.props), o.props...)
	}
	cut := 0
	if len(s.at) > e.keep {
		cut = len(s.at) - e.keep
		if e.keep >= maxKept {
			s.dropped += int64(cut)
		}
	}
	for cut < len(s.at) && s.at[cut] <= oldest {
		cut++
	}
	if cut > 0 {
		s.edge = max(s.edge, s.at[cut-1])
		s.cut(e, cut)
	}
	return i - cut
}

// cut drops the n oldest instants.
func (s *series) cut(e *eventDef, n int) {
	s.at = slices.Delete(s.at, 0, n)
	if e.needsValues {
		s.values = slices.Delete(s.values, 0, n)
	}
	if e.needsKeys {
		s.keys = slices.Delete(s.keys, 0, n)
	}
	if w := len(e.props); w > 0 {
		s.props = slices.Delete(s.props, 0, n*w)
	}
}

// remove takes out one occurrence of a derived event, which keeps all it can.
func (s *series) remove(e *eventDef, at int64) bool {
	i, found := slices.BinarySearch(s.at, at)
	if !found {
		return false
	}
	s.at = slices.Delete(s.at, i, i+1)
	if w := len(e.props); w > 0 {
		s.props = slices.Delete(s.props, i*w, (i+1)*w)
	}
	s.total--
	for j, r := range e.residues {
		s.hours[j].add(ceilHour(at+r), -1)
	}
	if len(s.at) > 0 {
		s.last = s.at[len(s.at)-1]
		if at == s.first && s.edge == math.MinInt64 {
			s.first = s.at[0]
		}
	}
	return true
}

// addHour moves the count of one leaving hour by d.
func (h *hourCounts) add(hour, d int64) {
	i, found := slices.BinarySearch(h.hour, hour)
	if !found {
		h.hour = slices.Insert(h.hour, i, hour)
		h.count = slices.Insert(h.count, i, 0)
	}
	h.count[i] += d
	if h.count[i] == 0 {
		h.hour = slices.Delete(h.hour, i, i+1)
		h.count = slices.Delete(h.count, i, i+1)
	}
}

func ceilHour(t int64) int64 {
	r := t % hourMillis
	if r < 0 {
		r += hourMillis
	}
	if r == 0 {
		return t
	}
	return t + hourMillis - r
}

// leaves is the instant at which an occurrence at t leaves a window of length w.
func (e *eventDef) leaves(t, w int64) int64 {
	if w == never {
		return never
	}
	if e.resolution != 0 {
		return ceilHour(t + w)
	}
	return t + w
}

// window is the index of the first kept instant that lies in the window at now.
func (s *series) window(e *eventDef, now, w int64) int {
	if w == never {
		return 0
	}
	n := len(s.at)
	if n == 0 || e.leaves(s.at[0], w) > now {
		return 0
	}
	if e.leaves(s.at[n-1], w) <= now {
		return n
	}
	return sort.Search(n, func(i int) bool { return e.leaves(s.at[i], w) > now })
}

// count is the number of occurrences in the window and the instant at which it
// falls next; it counts no further than limit, and then only what matters to it.
func (s *series) countWindow(e *eventDef, now, w int64, limit int) (n, next int64) {
	if e.resolution != 0 {
		return s.countHours(e, now, w)
	}
	i := s.window(e, now, w)
	i = max(i, len(s.at)-limit)
	if i == len(s.at) {
		return 0, never
	}
	return int64(len(s.at) - i), e.leaves(s.at[i], w)
}

func (s *series) countHours(e *eventDef, now, w int64) (n, next int64) {
	h := &s.hours[slices.Index(e.residues, w%hourMillis)]
	whole := w - w%hourMillis
	next = never
	for i := len(h.hour) - 1; i >= 0 && h.hour[i]+whole > now; i-- {
		n += h.count[i]
		next = h.hour[i] + whole
	}
	return n, next
}

// wide is a sum of up to 4,096 decimals: more than 64 bits.
type wide struct{ hi, lo uint64 }

func (x *wide) add(d decimal.Decimal) {
	var carry uint64
	x.lo, carry = bits.Add64(x.lo, uint64(d), 0)
	x.hi, _ = bits.Add64(x.hi, uint64(int64(d)>>63), carry)
}

func (x wide) big() *big.Int {
	b := new(big.Int).SetInt64(int64(x.hi))
	return b.Lsh(b, 64).Add(b, new(big.Int).SetUint64(x.lo))
}

func (x wide) decimal() (decimal.Decimal, bool) {
	if int64(x.hi) != int64(x.lo)>>63 {
		return 0, false
	}
	d := decimal.Decimal(x.lo)
	return d, d < decimal.Limit && d > -decimal.Limit
}

// mean is x / n, rounded half to even.
func (x wide) mean(n int64) (decimal.Decimal, bool) {
	num, den := x.big(), big.NewInt(n)
	negative := num.Sign() < 0
	num.Abs(num)
	quo, rem := new(big.Int).QuoRem(num, den, new(big.Int))
	switch rem.Lsh(rem, 1).Cmp(den) {
	case 1:
		quo.Add(quo, big.NewInt(1))
	case 0:
		if quo.Bit(0) == 1 {
			quo.Add(quo, big.NewInt(1))
		}
	}
	if !quo.IsInt64() || quo.Int64() >= decimal.Limit {
		return 0, false
	}
	d := decimal.Decimal(quo.Int64())
	if negative {
		d = -d
	}
	return d, true
}

// statistic is one of sum, avg, min, max over the numbers in the window.
type statistic uint8

const (
	statSum statistic = iota
	statAvg
	statMin
	statMax
)

// stat computes a statistic and the instant at which the window next loses an occurrence.
func (s *series) stat(e *eventDef, which statistic, now, w int64) (d decimal.Decimal, ok bool, next int64) {
	i := max(s.window(e, now, w), len(s.at)-maxKept)
	next = never
	if i < len(s.at) {
		next = e.leaves(s.at[i], w)
	}
	var sum wide
	n := int64(0)
	var least, most decimal.Decimal
	for _, v := range s.values[i:] {
		if v == noNumber {
			continue
		}
		if n == 0 {
			least, most = v, v
		}
		n++
		least, most = min(least, v), max(most, v)
		sum.add(v)
	}
	switch {
	case which == statSum:
		d, ok = sum.decimal()
	case n == 0:
	case which == statAvg:
		d, ok = sum.mean(n)
	case which == statMin:
		d, ok = least, true
	default:
		d, ok = most, true
	}
	return d, ok, next
}

// distinctDays counts the days of zone that hold an instant of the window, and
// when the oldest of them leaves it.
func (s *series) distinctDays(e *eventDef, zone *time.Location, now, w int64) (n, next int64) {
	i := max(s.window(e, now, w), len(s.at)-maxKept)
	next = never
	current := int64(math.MinInt64)
	for ; i < len(s.at); i++ {
		day := dayOf(s.at[i], zone)
		if day > current { // local dates do not fall as time goes on
			n++
			current = day
		}
		if n == 1 {
			next = e.leaves(s.at[i], w)
		}
	}
	return n, next
}

// dayOf numbers the days of zone.
func dayOf(t int64, zone *time.Location) int64 {
	if zone != time.UTC {
		_, offset := time.UnixMilli(t).In(zone).Zone()
		t += int64(offset) * 1000
	}
	day := t / dayMillis
	if t%dayMillis < 0 {
		day--
	}
	return day
}

// distinctProps counts the distinct texts of one property in the window.
func (s *series) distinctProps(e *eventDef, prop int, now, w int64) (n, next int64) {
	i := max(s.window(e, now, w), len(s.at)-maxKept)
	next = never
	if i == len(s.at) {
		return 0, never
	}
	width := len(e.props)
	newest := make(map[uint64]int64, len(s.at)-i)
	for ; i < len(s.at); i++ {
		if h := s.props[i*width+prop]; h != 0 {
			newest[h] = s.at[i]
		}
	}
	for _, at := range newest { // a minimum: the order does not matter
		next = min(next, e.leaves(at, w))
	}
	return int64(len(newest)), next
}

// countBetween counts the kept instants in (from, to].
func (s *series) countBetween(from, to int64) int64 {
	lo := sort.Search(len(s.at), func(i int) bool { return s.at[i] > from })
	hi := sort.Search(len(s.at), func(i int) bool { return s.at[i] > to })
	return int64(hi - lo)
}
