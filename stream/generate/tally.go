// SPDX-License-Identifier: Apache-2.0

package generate

import "lapwing/schemas/record"

// tallyKey is one arm of one goal, of the customers of one cell in one targeted segment.
type tallyKey struct {
	segment        string // empty for everyone; a segment, or model=stage
	campaign, goal int16
	cell, variant  int16 // variant -1: the holdout
}

// tallied is how many were assigned whose window has closed, and of how many the goal
// was promised.
type tallied struct{ assigned, reached int64 }

// tally counts assignments. Whole numbers alone, so that the order in which customers are
// counted makes no difference.
type tally map[tallyKey]tallied

func (t tally) add(r *record.Record, campaign, goal, cell, variant int, reached bool) {
	k := tallyKey{campaign: int16(campaign), goal: int16(goal), cell: int16(cell), variant: int16(variant)}
	t.count(k, reached)
	for _, k.segment = range r.Segments {
		t.count(k, reached)
	}
	for _, s := range r.Stages {
		k.segment = s.Model + "=" + s.Stage
		t.count(k, reached)
	}
}

func (t tally) count(k tallyKey, reached bool) {
	n := t[k]
	n.assigned++
	if reached {
		n.reached++
	}
	t[k] = n
}

// merge adds another one to t.
func (t tally) merge(other tally) {
	for k, n := range other {
		sum := t[k]
		t[k] = tallied{sum.assigned + n.assigned, sum.reached + n.reached}
	}
}
