// SPDX-License-Identifier: Apache-2.0

package generate

// tallyKey is one arm of one goal, of the customers of one cell in one targeted segment.
type tallyKey struct {
	segment        string // empty for everyone; a segment, or model=stage
	campaign, goal int16
	cell, variant  int16 // variant -1: the holdout
}

// tallied is how many customers were assigned whose window has closed, and of how many the
// goal was promised.
type tallied struct{ assigned, reached int64 }

// tally counts customers. Whole numbers alone, so that the order in which customers are
// counted makes no difference.
type tally map[tallyKey]tallied

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
