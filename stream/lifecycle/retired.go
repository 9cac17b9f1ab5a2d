// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// retired is where the sequence of a model or segment stands that the definition does not
// have any more: should it come back, it goes on from there.
type retired struct {
	model    bool
	name     string // of a segment with one segment per value: with the value
	sequence int64
}

// maxRetired is the bytes that all of them may take, encoded; of those beyond it a sequence
// would begin anew.
const maxRetired = 3 << 10

func (a retired) compare(b retired) int {
	if a.model != b.model {
		if a.model {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.name, b.name)
}

// size is what one takes at most.
func (a retired) size() int { return 1 + 2 + len(a.name) + numberBytes }

func (s *State) retire(model bool, name string, sequence int64) {
	if sequence == 0 {
		return
	}
	r := retired{model: model, name: name, sequence: sequence}
	i, found := slices.BinarySearchFunc(s.retired, r, retired.compare)
	if found {
		s.retired[i].sequence = max(s.retired[i].sequence, sequence)
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

// takeRetired takes a sequence back; 0 if there is none.
func (s *State) takeRetired(model bool, name string) (sequence int64) {
	i, found := slices.BinarySearchFunc(s.retired, retired{model: model, name: name}, retired.compare)
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
		if r.model || !ofIt || !mb.by.admits(value, limit) {
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
// then of each whether it is a model, its name and its sequence.

func appendRetired(b []byte, all []retired) []byte {
	if len(all) == 0 {
		return b
	}
	b = appendUint(b, uint64(len(all)))
	for i := range all {
		b = append(b, flag(all[i].model, 1))
		b = appendText(b, all[i].name)
		b = appendUint(b, uint64(all[i].sequence))
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
		kind := d.byte()
		all[i] = retired{model: kind == 1, name: d.text(), sequence: int64(d.uint())}
		if kind > 1 || all[i].sequence <= 0 || i > 0 && all[i-1].compare(all[i]) >= 0 {
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
