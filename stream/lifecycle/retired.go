// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// retired is where the sequence of a model, segment, campaign or goal stands that the
// definition does not have any more: should it come back, it goes on from there.
type retired struct {
	kind     retiredKind
	name     string // of a segment with one segment per value: with the value; campaign/goal
	sequence int64

	// Of a campaign: who was assigned stays so.
	last    int64
	variant string
	holdout bool
}

// retiredKind is what is no more; its numbers are written.
type retiredKind byte

const (
	retiredSegment retiredKind = iota
	retiredModel
	retiredCampaign
	retiredGoal
)

// maxRetired is the bytes that all of them may take, encoded; of those beyond it a sequence
// would begin anew.
const maxRetired = 3 << 10

func (a retired) compare(b retired) int {
	order := [...]int{retiredModel: 0, retiredSegment: 1, retiredCampaign: 2, retiredGoal: 3}
	return cmp.Or(cmp.Compare(order[a.kind], order[b.kind]), cmp.Compare(a.name, b.name))
}

// size is what one takes at most.
func (a retired) size() int {
	n := 1 + 2 + len(a.name) + numberBytes
	if a.kind == retiredCampaign {
		n += numberBytes + 1 + 2 + len(a.variant)
	}
	return n
}

func (s *State) retire(r retired) {
	if r.sequence == 0 {
		return
	}
	i, found := slices.BinarySearchFunc(s.retired, r, retired.compare)
	if found {
		if r.sequence > s.retired[i].sequence {
			s.retired[i] = r
		}
		return
	}
	size := r.size()
	for _, other := range s.retired {
		size += other.size()
	}
	if size <= maxRetired {
		s.retired = slices.Insert(s.retired, i, r)
	}
}

// retiredOf is what is kept of something that is no more.
func (s *State) retiredOf(kind retiredKind, name string) (r retired, found bool) {
	i, found := slices.BinarySearchFunc(s.retired, retired{kind: kind, name: name}, retired.compare)
	if found {
		r = s.retired[i]
	}
	return r, found
}

// takeRetired takes a sequence back; 0 if there is none.
func (s *State) takeRetired(kind retiredKind, name string) (sequence int64) {
	i, found := slices.BinarySearchFunc(s.retired, retired{kind: kind, name: name}, retired.compare)
	if !found {
		return 0
	}
	sequence = s.retired[i].sequence
	s.retired = slices.Delete(s.retired, i, i+1)
	return sequence
}

// takeValues takes back the sequences of the values of a `by:` segment, as many as it may have.
func (s *State) takeValues(name string, mb *membership, limit int) {
	for i := 0; i < len(s.retired); {
		r := s.retired[i]
		value, ofIt := strings.CutPrefix(r.name, name+"=")
		if r.kind != retiredSegment || !ofIt || !mb.by.admits(value, limit) {
			i++
			continue
		}
		if mb.by == nil {
			mb.by = new(byValue)
		}
		at, found := mb.by.find(value)
		if !found {
			mb.by.sequences = slices.Insert(mb.by.sequences, at, valueSequence{value: value})
		}
		mb.by.sequences[at].sequence = max(mb.by.sequences[at].sequence, r.sequence)
		s.retired = slices.Delete(s.retired, i, i+1)
	}
}

// The retired stand behind all else of an encoded state, if there are any: their number,
// then of each what it is, its name and its sequence; of a campaign when the customer was
// assigned last, and its arm.

func appendRetired(b []byte, all []retired) []byte {
	if len(all) == 0 {
		return b
	}
	b = appendUint(b, uint64(len(all)))
	for i := range all {
		r := &all[i]
		b = append(b, byte(r.kind))
		b = appendText(b, r.name)
		b = appendUint(b, uint64(r.sequence))
		if r.kind == retiredCampaign {
			b = appendInt(b, r.last)
			b = append(b, flag(r.holdout, flagHoldout))
			b = appendText(b, r.variant)
		}
	}
	return b
}

func (d *decoder) retired() []retired {
	if d.err != nil || len(d.b) == 0 {
		return nil
	}
	n := d.len(3)
	if n == 0 {
		d.fail()
		return nil
	}
	all := make([]retired, n)
	for i := range all {
		all[i] = retired{kind: retiredKind(d.byte()), name: d.text(), sequence: int64(d.uint())}
		if all[i].kind == retiredCampaign {
			all[i].last, all[i].holdout, all[i].variant = d.int(), d.byte() == flagHoldout, d.text()
		}
		if all[i].kind > retiredGoal || all[i].sequence <= 0 || i > 0 && all[i-1].compare(all[i]) >= 0 {
			d.fail()
			return nil
		}
	}
	return all
}

// VersionOf is the version of the definition under which a state was encoded: that of the
// model by which it can be decoded.
func VersionOf(state []byte) (int64, error) {
	d := &decoder{b: state}
	d.byte()
	v := d.uint()
	if d.err != nil {
		return 0, fmt.Errorf("find the definition of a state: %w", d.err)
	}
	return int64(v), nil
}
