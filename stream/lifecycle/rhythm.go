// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math/bits"

	celast "github.com/google/cel-go/common/ast"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
)

// A customer's own rhythm is the median gap between its occurrences of an event. It
// is a duration: the window of idle and seen, or compared with one.

// span yields a duration in milliseconds; ok is false if it is unknown.
type span func(ev *eval) (ms int64, ok bool)

// maxWindow is the longest window, in milliseconds.
const maxWindow = int64(definition.MaxWindow / 1e6)

const rhythmUse = "a rhythm is a duration: it stands as the window of idle and seen, alone or times a number, or is compared with one: rhythm('purchase') <= '30d'"

// spanNode is an expression that yields a duration. As a value it is nothing, so
// something must take the duration.
func (x *exprCompiler) spanNode(e celast.Expr, s span) node {
	n := node{v: func(*eval) value { return value{} }, span: s, taken: new(bool)}
	at := x.place(x.text, x.ast, e)
	x.atEnd = append(x.atEnd, func() {
		if !*n.taken {
			x.problem(at, "%s", rhythmUse)
		}
	})
	return n
}

// rhythmOf is the customer's median gap between the newest instants of e.
func (x *exprCompiler) rhythmOf(e *eventDef, call celast.Expr) node {
	e.retain(maxKept, never)
	return x.spanNode(call, func(ev *eval) (int64, bool) { return ev.s.of(e).medianGap(e) })
}

// times is a duration times a positive number that is written out.
func (x *exprCompiler) times(e celast.Expr, a, b node) node {
	if a.span == nil {
		a, b = b, a
	}
	*a.taken = true
	if b.lit == nil || b.lit.kind != isNumber || b.lit.n <= 0 {
		x.problem(x.place(x.text, x.ast, e), "the factor of a rhythm is a number above 0, written out: 2 * rhythm('purchase')")
		return constant(value{})
	}
	of, factor := a.span, b.lit.n
	return x.spanNode(e, func(ev *eval) (int64, bool) {
		ms, ok := of(ev)
		return scale(ms, factor), ok
	})
}

// endless is a duration beyond any that is meant: some 146 million years.
const endless = 1 << 62

// scale is ms times a factor above 0, cut to the millisecond; at most endless.
func scale(ms int64, factor decimal.Decimal) int64 {
	hi, lo := bits.Mul64(uint64(ms), uint64(factor))
	if hi >= decimal.Scale {
		return endless
	}
	quo, _ := bits.Div64(hi, lo, decimal.Scale)
	return int64(min(quo, endless))
}

// asWindow is a duration as the window of a function: 1 ms to 3,660 days.
func (s span) asWindow() span {
	return func(ev *eval) (int64, bool) {
		ms, ok := s(ev)
		return min(max(ms, 1), maxWindow), ok
	}
}

// windowArgument is the window of idle or seen that is no text: a rhythm.
func (x *exprCompiler) windowArgument(arg celast.Expr) (span, bool) {
	n := x.compile(arg)
	if n.span == nil {
		return nil, false
	}
	*n.taken = true
	return n.span.asWindow(), true
}

// ownWindow is idle or seen with a window that is a rhythm.
func (x *exprCompiler) ownWindow(f *function, e *eventDef, w span) node {
	test := within
	if f.name == "idle" {
		test = func(ev *eval, happened bool, at, w int64) tri { return reached(ev, happened, at+w) }
	}
	return boolNode(func(ev *eval) tri {
		ms, ok := w(ev)
		if !ok {
			return unknown
		}
		s := ev.s.of(e)
		return test(ev, s.total(e) > 0, s.last(e), ms)
	})
}

// spans compares two durations, of which one may be written out.
func (x *exprCompiler) spans(e celast.Expr, a, b node, holds func(sign int) bool) node {
	left, ok := x.spanOf(e, a)
	right, also := x.spanOf(e, b)
	if !ok || !also {
		return constant(value{})
	}
	return boolNode(func(ev *eval) tri {
		l, lok := left(ev)
		r, rok := right(ev)
		if !lok || !rok {
			return unknown
		}
		return truth(holds(sign3(l, r)))
	})
}

func (x *exprCompiler) spanOf(e celast.Expr, n node) (span, bool) {
	if n.span != nil {
		*n.taken = true
		return n.span, true
	}
	if n.lit == nil || n.lit.kind != isText {
		x.problem(x.place(x.text, x.ast, e), "a rhythm is compared with a duration in quotes, such as '30d', or with another rhythm")
		return nil, false
	}
	d, err := definition.ParseDuration(n.lit.s)
	if err != nil {
		x.problem(x.place(x.text, x.ast, e), "%v", err)
		return nil, false
	}
	ms := d.Milliseconds()
	return func(*eval) (int64, bool) { return ms, true }, true
}

// medianGap is the median of the gaps between successive rows, instants that are equal
// being a gap of 0; of an even number of gaps the mean of the middle two, cut to the
// millisecond. ok is false with fewer than two gaps. It looks at the gaps at most five
// times and allocates nothing.
func (s *series) medianGap(e *eventDef) (ms int64, ok bool) {
	n := s.size(e) - 1
	if n < 2 {
		return 0, false
	}
	middle, more := s.gapOfRank(e, n, (n-1)/2)
	if n%2 == 1 {
		return middle, true
	}
	next := middle
	if !more {
		next = never
		for i := range n {
			if g := s.gap(e, i); g > middle {
				next = min(next, g)
			}
		}
	}
	return middle + (next-middle)/2, true
}

// gap is what lies between row i and the one after it.
func (s *series) gap(e *eventDef, i int) int64 { return s.at(e, i+1) - s.at(e, i) }

const (
	gapDigit  = 11 // bits looked at at once
	gapDigits = 4  // of them: gaps take 43 bits, from 1970 to 2200
	fewGaps   = 24 // so many are sorted instead
)

// gapOfRank is the gap before which rank others come by length; more tells whether
// the one after it is as long. It finds it digit by digit, from the highest: as quick
// for whatever order the gaps are in.
func (s *series) gapOfRank(e *eventDef, n, rank int) (gap int64, more bool) {
	if n <= fewGaps {
		var sorted [fewGaps]int64
		for i := range n {
			g, j := s.gap(e, i), i
			for ; j > 0 && sorted[j-1] > g; j-- {
				sorted[j] = sorted[j-1]
			}
			sorted[j] = g
		}
		return sorted[rank], rank+1 < n && sorted[rank+1] == sorted[rank]
	}
	for shift := gapDigit * (gapDigits - 1); shift >= 0; shift -= gapDigit {
		var counts [1 << gapDigit]uint16
		for i := range n {
			if g := s.gap(e, i) >> shift; g>>gapDigit == gap {
				counts[g&(1<<gapDigit-1)]++
			}
		}
		for digit, count := range &counts {
			if rank < int(count) {
				gap, more = gap<<gapDigit|int64(digit), rank+1 < int(count)
				break
			}
			rank -= int(count)
		}
	}
	return gap, more
}
