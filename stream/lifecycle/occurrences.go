// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"slices"

	"lapwing/schemas/decimal"
)

// count puts one occurrence into its series.
func (st *step) count(c *counted, at int64, dirty *bitset) {
	e := st.m.events[c.event]
	o := occurrence{at: at, value: c.value, key: c.keyHash, props: c.props}
	if c.keyHash != 0 {
		if entry := findKey(st.s.series[e.index].known, c.keyHash); entry != nil {
			entry.applied = true
			o.value = entry.net()
		}
	}
	st.add(e, o, dirty)
}

// add inserts an occurrence and brings the events derived from it up to date.
func (st *step) add(e *eventDef, o occurrence, dirty *bitset) {
	s := &st.s.series[e.index]
	oldest := int64(math.MinInt64)
	if e.horizon != never {
		oldest = st.s.frontier - e.horizon
	}
	i := s.insert(e, o, oldest)
	st.pruneHours(e, s)
	dirty.set(e.bit)
	if i < 0 {
		return
	}
	for _, child := range e.children {
		before, hasBefore := s.predecessor(i)
		if child.occurs(o.at, before, hasBefore) {
			st.add(child, st.derived(child, s, e, i), dirty)
		}
		if i+1 < len(s.at) {
			after := s.at[i+1]
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
	s := &st.s.series[e.index]
	i, found := slices.BinarySearch(s.at, at)
	if !found {
		return
	}
	dirty.set(e.bit)
	before, hasBefore := s.predecessor(i)
	hasAfter := i+1 < len(s.at)
	var after int64
	if hasAfter {
		after = s.at[i+1]
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

// predecessor is the instant before index i, also if it is no longer kept.
func (s *series) predecessor(i int) (at int64, ok bool) {
	switch {
	case i > 0:
		return s.at[i-1], true
	case s.edge != math.MinInt64:
		return s.edge, true
	default:
		return 0, false
	}
}

// occurs reports whether a derived event occurs at an instant of its source.
func (e *eventDef) occurs(at, before int64, hasBefore bool) bool {
	if !hasBefore {
		return e.first
	}
	return at-before >= e.gap
}

// derived is the occurrence of child at index i of its source's series.
func (st *step) derived(child *eventDef, s *series, source *eventDef, i int) occurrence {
	o := occurrence{at: s.at[i], value: noNumber}
	if len(child.props) > 0 {
		o.props = make([]uint64, len(child.props))
		for k, p := range child.props {
			o.props[k] = s.props[i*len(source.props)+p.source]
		}
	}
	return o
}

// pruneHours drops the hours that no window reaches any more.
func (st *step) pruneHours(e *eventDef, s *series) {
	for j := range s.hours {
		h := &s.hours[j]
		n := 0
		for n < len(h.hour) && h.hour[n]+e.longest <= st.s.frontier {
			n++
		}
		h.hour, h.count = slices.Delete(h.hour, 0, n), slices.Delete(h.count, 0, n)
	}
}

// refund takes money off the occurrence that has the key, at its own time. One
// that comes before its order waits for it.
func (st *step) refund(r *refundInput, dirty *bitset) {
	e := st.m.events[r.event]
	s := &st.s.series[e.index]
	entry := findKey(s.known, r.keyHash)
	if entry == nil {
		if entry = findKey(s.early, r.keyHash); entry == nil {
			if len(s.early) >= maxKept {
				s.early = append(s.early[:0], s.early[1:]...)
			}
			s.early = append(s.early, keyEntry{hash: r.keyHash})
			entry = &s.early[len(s.early)-1]
		}
		entry.takeOff(r)
		return
	}
	entry.takeOff(r)
	if !entry.applied || !e.needsValues {
		return
	}
	for i := len(s.at) - 1; i >= 0 && s.at[i] >= entry.at; i-- {
		if s.keys[i] == r.keyHash {
			s.values[i] = entry.net()
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
	if sum, ok := decimal.Add(k.refunded, r.value); ok {
		k.refunded = sum
	}
}
