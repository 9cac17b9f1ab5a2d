// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"math/big"
	"slices"
	"sort"
	"strings"
)

// The favourite value of a property is the one whose occurrences weigh most, each
// half as much for every half-life that it lies before the newest. All weights fall
// alike as time goes on, so the favourite changes with events alone.
//
// Rows hold hashes of values. Their texts are kept once, beside the series of the
// event that reads messages: of those that were seen last, as many as the definition
// allows. Which these are does not depend on the order in which messages arrive: a
// value that others have pushed out comes back only by being seen later than they.

const (
	// weightBits is the precision of a weight: that of the newest instant is 1<<weightBits,
	// and so many half-lives back it is 1, then 0. 4,096 of them fit an int64.
	weightBits = 50
	// halfSteps is into how many steps a half-life is divided.
	halfSteps = 1024
	// defaultHalfLife is 30 days.
	defaultHalfLife = 30 * dayMillis
	// maxValueBytes is the longest value that can be a favourite.
	maxValueBytes = maxByValue
)

// knownText is the text of a property's value, with the instant at which it was seen last.
type knownText struct {
	hash uint64
	last int64
	text string
}

// knownTexts are those of one property, by hash.
type knownTexts []knownText

func (k knownTexts) find(hash uint64) (i int, found bool) {
	i = sort.Search(len(k), func(i int) bool { return k[i].hash >= hash })
	return i, i < len(k) && k[i].hash == hash
}

// outlasts reports whether a is to be kept rather than b.
func (a *knownText) outlasts(b *knownText) bool {
	return a.last > b.last || a.last == b.last && a.text < b.text
}

// note keeps the text of a value that was seen, in place of the one that outlasts no
// other if there are as many as may be; dropped tells that one was not kept.
func (k *knownTexts) note(seen knownText, limit int) (dropped bool) {
	list := *k
	i, found := list.find(seen.hash)
	if found {
		list[i].last = max(list[i].last, seen.last)
		return false
	}
	if len(list) >= limit {
		weakest := 0
		for j := range list {
			if list[weakest].outlasts(&list[j]) {
				weakest = j
			}
		}
		if !seen.outlasts(&list[weakest]) {
			return true
		}
		list = slices.Delete(list, weakest, weakest+1)
		if weakest < i {
			i--
		}
		dropped = true
	}
	seen.text = strings.Clone(seen.text) // it may be a view of the message
	*k = slices.Insert(room(list, 1, 2), i, seen)
	return dropped
}

// propText is the value of one property of an occurrence.
type propText struct {
	text  string
	given bool // it can be a favourite
}

// textsOf is what the event's series knows of a property's values.
func (s *series) textsOf(slot int) knownTexts {
	if s.texts == nil {
		return nil
	}
	return (*s.texts)[slot]
}

// noteTexts keeps the texts of an occurrence.
func (st *step) noteTexts(e *eventDef, c *counted, at int64) {
	s := st.s.own(e)
	for i := range e.props {
		p := &e.props[i]
		if p.slot < 0 || !c.texts[p.slot].given {
			continue
		}
		if s.texts == nil {
			texts := make([]knownTexts, e.slots)
			s.texts = &texts
		}
		if (*s.texts)[p.slot].note(knownText{hash: c.props[i], last: at, text: c.texts[p.slot].text}, st.m.def.Limits.FavouriteValues) {
			st.out.Overflow[LimitFavouriteValues]++
		}
	}
}

// favourite is the text of the value that weighs most among the rows; ok is false if
// there is none. sc is memory for it.
func (s *series) favourite(e *eventDef, prop int, texts knownTexts, halfLife int64, weights *[halfSteps]uint64, sc *tallyOfTexts) (text string, ok bool) {
	n := s.size(e)
	if n == 0 || len(texts) == 0 {
		return "", false
	}
	if sc == nil {
		sc = new(tallyOfTexts)
	}
	sc.reset(len(texts))
	newest := s.at(e, n-1)
	for i := n - 1; i >= 0; i-- {
		hash := uint64(s.rows[i*e.width+e.propsAt+prop])
		if hash == 0 {
			continue
		}
		j, found := texts.find(hash)
		if !found {
			continue
		}
		at := s.at(e, i)
		sc.sums[j] += weight(newest-at, halfLife, weights)
		sc.seen[j] = max(sc.seen[j], at)
	}
	best := -1
	for j := range texts {
		switch {
		case sc.seen[j] == math.MinInt64:
		case best < 0, sc.sums[j] > sc.sums[best],
			sc.sums[j] == sc.sums[best] && sc.seen[j] > sc.seen[best],
			sc.sums[j] == sc.sums[best] && sc.seen[j] == sc.seen[best] && texts[j].text < texts[best].text:
			best = j
		}
	}
	if best < 0 {
		return "", false
	}
	return texts[best].text, true
}

// tallyOfTexts is what the known texts weigh, and when a row last had each.
type tallyOfTexts struct {
	sums []uint64
	seen []int64
}

func (t *tallyOfTexts) reset(n int) {
	t.sums, t.seen = slices.Grow(t.sums[:0], n)[:n], slices.Grow(t.seen[:0], n)[:n]
	clear(t.sums)
	for i := range t.seen {
		t.seen[i] = math.MinInt64
	}
}

// weight is 2^(weightBits - k/halfSteps), cut to a whole number, where k is the age in
// steps of the half-life, cut.
func weight(age, halfLife int64, weights *[halfSteps]uint64) uint64 {
	k := uint64(age) * halfSteps / uint64(halfLife)
	return weights[k%halfSteps] >> min(k/halfSteps, 63)
}

// makeWeights are the weights within the first half-life, exactly: 2^(weightBits - i/halfSteps),
// cut. They are powers of the halfSteps-th root of a half, which ten square roots give to
// 192 places: enough for the first weightBits of its thousandth power.
func makeWeights() *[halfSteps]uint64 {
	const places = 192
	root := new(big.Int).Lsh(big.NewInt(1), places-1)
	for n := halfSteps; n > 1; n /= 2 {
		root.Sqrt(root.Lsh(root, places))
	}
	power := new(big.Int).Lsh(big.NewInt(1), places)
	product, cut := new(big.Int), new(big.Int)
	var out [halfSteps]uint64
	for i := range out {
		out[i] = cut.Rsh(power, places-weightBits).Uint64()
		power.Rsh(product.Mul(power, root), places)
	}
	return &out
}

// favourite compiles favourite(event, property[, half_life]).
func (x *exprCompiler) favourite(e *eventDef, a resolved) node {
	e.retain(maxKept, never)
	if x.weights == nil {
		x.weights = makeWeights()
	}
	prop, weights, halfLife := x.property(e, a.property), x.weights, a.window
	if halfLife == never {
		halfLife = defaultHalfLife
	}
	root, i := e, prop
	for root.source != nil {
		root, i = root.source, root.props[i].source
	}
	x.reads.set(root.bit) // what it knows may push a text out
	if root.props[i].slot < 0 {
		root.props[i].slot = root.slots
		root.slots++
	}
	slot := root.props[i].slot
	return node{kind: isText, v: func(ev *eval) value {
		text, ok := ev.s.of(e).favourite(e, prop, ev.s.of(root).textsOf(slot), halfLife, weights, ev.texts)
		if !ok {
			return value{}
		}
		return value{kind: isText, s: text}
	}}
}
