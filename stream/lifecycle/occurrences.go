// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"slices"

	"lapwing/schemas/decimal"
)

// count puts one occurrence into its series.
func (st *step) count(c *counted, in *input, dirty *bitset) {
	e, at := st.m.events[c.event], in.at
	foreign := e.priced && c.value != noNumber && st.m.foreign(in.currency)
	o := occurrence{at: at, value: c.value, key: c.keyHash, props: c.props}
	if c.keyHash != 0 {
		if entry := st.s.of(e).order(c.keyHash); entry != nil {
			entry.applied, entry.late, entry.foreign = true, st.now-at, foreign
			o.value = entry.net()
		}
	}
	if c.texts != nil {
		st.noteTexts(e, c, at)
	}
	o.foreign = foreign
	st.add(e, o, dirty)
}

// add inserts an occurrence and brings the events derived from it up to date.
func (st *step) add(e *eventDef, o occurrence, dirty *bitset) {
	s := st.s.own(e)
	oldest := int64(math.MinInt64)
	if e.horizon != never {
		oldest = st.s.frontier - e.horizon
	}
	dropped := s.dropped()
	i := s.insert(e, o, oldest)
	st.out.Overflow[LimitInstants] += s.dropped() - dropped
	st.pruneHours(e, s)
	dirty.set(e.bit)
	if e.pursued {
		news := &st.out.scratch.news
		news.occurrences = append(news.occurrences, happening{event: e.index, at: o.at, value: o.value, foreign: o.foreign})
	}
	if i < 0 {
		return
	}
	for _, child := range e.children {
		before, hasBefore := s.predecessor(e, i)
		if child.occurs(o.at, before, hasBefore) {
			st.add(child, st.derived(child, s, e, i), dirty)
		}
		if i+1 < s.size(e) {
			after := s.at(e, i+1)
			was, is := child.occurs(after, before, hasBefore), child.occurs(after, o.at, true)
			if was && !is {
				st.drop(child, after, dirty)
			} else if !was && is {
				st.add(child, st.derived(child, s, e, i+1), dirty)
			}
		}
	}
}

// drop removes an occurrence of a derived event and brings those derived from it
// up to date.
func (st *step) drop(e *eventDef, at int64, dirty *bitset) {
	s := st.s.of(e)
	i, found := s.find(e, at)
	if !found {
		return
	}
	dirty.set(e.bit)
	if e.pursued {
		news := &st.out.scratch.news
		news.occurrences = append(news.occurrences, happening{event: e.index, at: at, value: noNumber, removed: true})
	}
	before, hasBefore := s.predecessor(e, i)
	hasAfter := i+1 < s.size(e)
	var after int64
	if hasAfter {
		after = s.at(e, i+1)
	}
	s.remove(e, at)
	for _, child := range e.children {
		if child.occurs(at, before, hasBefore) {
			st.drop(child, at, dirty)
		}
		if hasAfter {
			was, is := child.occurs(after, at, true), child.occurs(after, before, hasBefore)
			if was && !is {
				st.drop(child, after, dirty)
			} else if !was && is {
				st.add(child, st.derived(child, s, e, i), dirty)
			}
		}
	}
}

// predecessor is the instant before row i, also if it is no longer kept.
func (s *series) predecessor(e *eventDef, i int) (at int64, ok bool) {
	if i > 0 {
		return s.at(e, i-1), true
	}
	edge := s.edge()
	return edge, edge != math.MinInt64
}

// occurs reports whether a derived event occurs at an instant of its source.
func (e *eventDef) occurs(at, before int64, hasBefore bool) bool {
	if !hasBefore {
		return e.first
	}
	return at-before >= e.gap
}

// derived is the occurrence of child at row i of its source's series.
func (st *step) derived(child *eventDef, s *series, source *eventDef, i int) occurrence {
	row := s.rows[i*source.width : (i+1)*source.width]
	o := occurrence{at: row[0], value: noNumber}
	if len(child.props) > 0 {
		o.props = make([]uint64, len(child.props))
		for k, p := range child.props {
			o.props[k] = uint64(row[source.propsAt+p.source])
		}
	}
	return o
}

// pruneHours drops the hours that no window reaches any more.
func (st *step) pruneHours(e *eventDef, s *series) {
	if s.tally == nil {
		return
	}
	for j, h := range s.tally.hours {
		n := 0
		for n < len(h) && h[n].hour+e.longest <= st.s.frontier {
			n++
		}
		s.tally.hours[j] = slices.Delete(h, 0, n)
	}
}

// refund takes money off the occurrence that has the key, at its own time. One
// that comes before its order waits for it.
func (st *step) refund(r *refundInput, dirty *bitset) {
	e := st.m.events[r.event]
	s := st.s.own(e)
	entry := s.order(r.keyHash)
	if entry == nil {
		k := s.ownKeys().ownRefunds()
		if entry = findKey(k.early, r.keyHash); entry == nil {
			if len(k.early) >= maxKept {
				k.early = slices.Delete(k.early, 0, 1)
				st.out.Overflow[LimitRefunds]++
			}
			k.early = append(room(k.early, 1, 1), keyEntry{hash: r.keyHash})
			entry = &k.early[len(k.early)-1]
		}
		entry.takeOff(r)
		return
	}
	before := entry.net()
	entry.takeOff(r)
	if after := entry.net(); e.pursued && entry.applied && !entry.foreign && before != noNumber && after != noNumber && before != after {
		dirty.set(e.bit)
		news := &st.out.scratch.news
		news.corrections = append(news.corrections, correction{event: e.index, at: entry.at, applied: entry.at + entry.late, lost: entry.lost, before: before, after: after})
	}
	if !entry.applied || !e.needsValues {
		return
	}
	for i := s.size(e) - 1; i >= 0 && s.at(e, i) >= entry.at; i-- {
		row := s.rows[i*e.width:]
		if uint64(row[e.keyAt]) == r.keyHash {
			row[1] = int64(entry.net())
			dirty.set(e.bit)
			return
		}
	}
}

func (k *keyEntry) takeOff(r *refundInput) {
	if r.full {
		k.full = true
		return
	}
	sum, ok := decimal.Add(k.refunded, r.value)
	if k.refunded == noNumber || !ok {
		sum = noNumber // too much to be a number, and so is what it leaves
	}
	k.refunded = sum
}
