// SPDX-License-Identifier: Apache-2.0

package lifecycle

import "unsafe"

// Size is about how many bytes of memory s holds, itself included, as the allocator
// counts them: for whoever bounds how many states are kept. It takes a step per list,
// none per element, but for traits, values of `by:` segments and held messages.
func (s *State) Size() int {
	n := block(int(unsafe.Sizeof(*s)))
	n += list(s.remembered) + list(s.series) + list(s.rules) + list(s.traits) + list(s.held) + list(s.retired)
	for _, x := range s.series {
		if x != nil {
			n += x.sizeInMemory()
		}
	}
	for i := range s.traits {
		n += len(s.traits[i].name) + len(s.traits[i].raw) + stringOverhead
	}
	for i := range s.rules {
		if by := s.rules[i].by; by != nil {
			n += block(int(unsafe.Sizeof(*by))) + list(by.sequences)
			for k := range by.sequences {
				n += block(len(by.sequences[k].value))
			}
		}
	}
	if s.past != nil {
		n += block(int(unsafe.Sizeof(*s.past))) + list(s.past.stages)
	}
	n += list(s.campaigns)
	for _, e := range s.campaigns {
		if e != nil {
			n += e.sizeInMemory()
		}
	}
	for i := range s.retired {
		n += block(len(s.retired[i].name)) + block(len(s.retired[i].variant))
	}
	for i := range s.held {
		n += s.held[i].sizeInMemory()
	}
	return n
}

// sizeInMemory leaves out the names that the definition knows, which are shared with it.
func (e *enrolment) sizeInMemory() int {
	n := block(int(unsafe.Sizeof(*e))) + list(e.goals) + list(e.rounds)
	for i := range e.rounds {
		rd := &e.rounds[i]
		n += list(rd.goals)
		if rd.place != nil {
			n += block(int(unsafe.Sizeof(*rd.place))) + list(rd.place.stages) + list(rd.place.segments)
		}
		for k := range rd.goals {
			if o := rd.goals[k].outcome; o != nil {
				n += block(int(unsafe.Sizeof(*o)))
			}
		}
	}
	return n
}

func (s *series) sizeInMemory() int {
	n := block(int(unsafe.Sizeof(*s))) + list(s.rows)
	if t := s.tally; t != nil {
		n += block(int(unsafe.Sizeof(*t))) + list(t.hours)
		for i := range t.hours {
			n += list(t.hours[i])
		}
	}
	if s.texts != nil {
		n += block(int(unsafe.Sizeof(*s.texts))) + list(*s.texts)
		for _, known := range *s.texts {
			n += list(known)
			for i := range known {
				n += len(known[i].text) + stringOverhead
			}
		}
	}
	if k := s.keys; k != nil {
		n += int(unsafe.Sizeof(*k)) + list(k.read)
		if r := k.refunds; r != nil {
			n += block(int(unsafe.Sizeof(*r))) + list(r.orders) + list(r.early)
		}
	}
	return n
}

func (in *input) sizeInMemory() int {
	n := list(in.counted) + list(in.refunds) + list(in.exposures) + list(in.assigned)
	for i := range in.exposures {
		n += block(len(in.exposures[i].Campaign))
	}
	for _, b := range [...][]byte{in.messageID, in.kind, in.event, in.traits, in.group, in.currency, in.products} {
		n += list(b)
	}
	for i := range in.counted {
		n += block(len(in.counted[i].key)) + list(in.counted[i].props) + list(in.counted[i].texts)
		for k := range in.counted[i].texts {
			n += block(len(in.counted[i].texts[k].text))
		}
	}
	for i := range in.refunds {
		n += block(len(in.refunds[i].key))
	}
	return n
}

// stringOverhead is what two short strings cost beyond their length, in part: those
// that were decoded together share one block, those set since have one each.
const stringOverhead = 8

// list is the memory behind a slice.
func list[T any](l []T) int {
	var element T
	return block(cap(l) * int(unsafe.Sizeof(element)))
}

// block is what the allocator gives for n bytes: its classes are 8 bytes apart to
// begin with, 16 up to 256, and an eighth of the size or less beyond.
func block(n int) int {
	switch {
	case n <= 8:
		return (n + 7) &^ 7
	case n <= 256:
		return (n + 15) &^ 15
	default:
		return n + n/32
	}
}
