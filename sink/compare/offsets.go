// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Range is a run of offsets, both inclusive.
type Range struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// Offsets is a set of offsets, as runs in order: a million in a row are one.
type Offsets []Range

// Add puts an offset in. It is quick if offsets come in order.
func (o *Offsets) Add(offset int64) {
	s := *o
	i := sort.Search(len(s), func(i int) bool { return s[i].Last >= offset-1 })
	switch {
	case i == len(s):
		s = append(s, Range{offset, offset})
	case s[i].Last == offset-1:
		s[i].Last = offset
		if i+1 < len(s) && s[i+1].First == offset+1 {
			s[i].Last = s[i+1].Last
			s = slices.Delete(s, i+1, i+2)
		}
	case s[i].First <= offset: // it is in
	case s[i].First == offset+1:
		s[i].First = offset
	default:
		s = slices.Insert(s, i, Range{offset, offset})
	}
	*o = s
}

// Has reports whether the offset is in.
func (o Offsets) Has(offset int64) bool {
	i := sort.Search(len(o), func(i int) bool { return o[i].Last >= offset })
	return i < len(o) && o[i].First <= offset
}

// Len is how many offsets are in.
func (o Offsets) Len() int64 {
	n := int64(0)
	for _, r := range o {
		n += r.Last - r.First + 1
	}
	return n
}

// Text is the set for people: 3, 5-9, with at most so many runs.
func (o Offsets) Text(runs int) string {
	var parts []string
	for i, r := range o {
		if i == runs {
			parts = append(parts, fmt.Sprintf("and %d more", o[i:].Len()))
			break
		}
		if r.First == r.Last {
			parts = append(parts, fmt.Sprint(r.First))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
	}
	return strings.Join(parts, ", ")
}
