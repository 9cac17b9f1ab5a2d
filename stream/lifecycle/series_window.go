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

// window is the first row that lies in the window at now.
func (s *series) window(e *eventDef, now, w int64) int {
	if w == never {
		return 0
	}
	n := s.size(e)
	if n == 0 || e.leaves(s.at(e, 0), w) > now {
		return 0
	}
	if e.leaves(s.at(e, n-1), w) <= now {
		return n
	}
	return sort.Search(n, func(i int) bool { return e.leaves(s.at(e, i), w) > now })
}

// countWindow is the number of occurrences in the window and the instant at which it
// falls next; it counts no further than limit, and then only what matters to it.
func (s *series) countWindow(e *eventDef, now, w int64, limit int) (n, next int64) {
	if e.resolution != 0 {
		return s.countHours(e, now, w)
	}
	size := s.size(e)
	i := max(s.window(e, now, w), size-limit)
	if i == size {
		return 0, never
	}
	return int64(size - i), e.leaves(s.at(e, i), w)
}

func (s *series) countHours(e *eventDef, now, w int64) (n, next int64) {
	if s.tally == nil {
		return 0, never
	}
	h := s.tally.hours[slices.Index(e.residues, w%hourMillis)]
	whole := w - w%hourMillis
	next = never
	for i := len(h) - 1; i >= 0 && h[i].hour+whole > now; i-- {
		n += h[i].count
		next = h[i].hour + whole
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
	size := s.size(e)
	i := max(s.window(e, now, w), size-maxKept)
	next = never
	if i < size {
		next = e.leaves(s.at(e, i), w)
	}
	var sum wide
	n := int64(0)
	var least, most decimal.Decimal
	for k := i*e.width + 1; k < len(s.rows); k += e.width {
		v := decimal.Decimal(s.rows[k])
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
	size := s.size(e)
	i := max(s.window(e, now, w), size-maxKept)
	next = never
	current := int64(math.MinInt64)
	for ; i < size; i++ {
		day := dayOf(s.at(e, i), zone)
		if day > current { // local dates do not fall as time goes on
			n++
			current = day
		}
		if n == 1 {
			next = e.leaves(s.at(e, i), w)
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
	size := s.size(e)
	i := max(s.window(e, now, w), size-maxKept)
	next = never
	if i == size {
		return 0, never
	}
	newest := make(map[int64]int64, size-i) // by the text's hash
	for ; i < size; i++ {
		if h := s.rows[i*e.width+e.propsAt+prop]; h != 0 {
			newest[h] = s.at(e, i)
		}
	}
	for _, at := range newest { // a minimum: the order does not matter
		next = min(next, e.leaves(at, w))
	}
	return int64(len(newest)), next
}

// countBetween counts the rows in (from, to].
func (s *series) countBetween(e *eventDef, from, to int64) int64 {
	n := s.size(e)
	lo := sort.Search(n, func(i int) bool { return s.at(e, i) > from })
	hi := sort.Search(n, func(i int) bool { return s.at(e, i) > to })
	return int64(hi - lo)
}
