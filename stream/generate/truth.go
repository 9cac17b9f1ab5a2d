// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"cmp"
	"slices"

	"lapwing/schemas/instant"
)

// Truth is what a base was made with: what an analysis of it should find.
type Truth struct {
	Preset    string    `json:"preset"`
	Customers int       `json:"customers"`
	Days      int       `json:"days"`
	Seed      uint64    `json:"seed"`
	Start     string    `json:"start"`
	End       string    `json:"end"`
	Lateness  string    `json:"lateness"`
	Strength  float64   `json:"strength"`
	Lines     int64     `json:"lines"`
	Note      string    `json:"note"`
	Goals     []GoalSet `json:"goals"`
}

// GoalSet is one goal of one campaign whose outcome was set.
type GoalSet struct {
	Campaign string `json:"campaign"`
	Goal     string `json:"goal"`
	Within   string `json:"within"`
	// By are the targeted segments that the effect was made to differ by: of several that
	// a customer was in the first counts. In all others it is a mean over these.
	By       []string     `json:"by"`
	Segments []SegmentSet `json:"segments"`
}

// SegmentSet is the truth for one targeted segment: the stage (as model=stage) or segment a
// customer was in at the assignment; "" for all. Probabilities are the means over all
// customers that were assigned in it.
type SegmentSet struct {
	Segment  string   `json:"segment"`
	Assigned int64    `json:"assigned"`
	Arms     []ArmSet `json:"arms"`
}

// ArmSet is one arm: the holdout first, then the variants as in the file.
type ArmSet struct {
	Variant     *string `json:"variant"` // null: the holdout
	Probability float64 `json:"probability"`
	Effect      float64 `json:"effect"` // the probability less that of the holdout
	Assigned    int64   `json:"assigned"`
	Converted   int64   `json:"converted"`
}

const truthNote = "Customers, of whom at least one window closed before the end. Probabilities are the means over all customers assigned in the segment; converted is what chance made of them."

// truth puts what was counted into words.
func (w *World) truth(total tally, lines int64) *Truth {
	s := &w.settings
	t := &Truth{
		Preset: s.Preset, Customers: s.Customers, Days: s.Days, Seed: s.Seed, Lines: lines, Note: truthNote,
		Start: s.Start.String(), End: instant.Instant(w.end).String(), Lateness: duration(s.Lateness), Strength: s.Strength,
	}
	for n := range w.campaigns {
		ca := &w.campaigns[n]
		for i := range ca.goals {
			g := &ca.goals[i]
			if g.effect == nil {
				continue
			}
			set := GoalSet{Campaign: ca.name, Goal: g.name, Within: duration(g.within), By: []string{}, Segments: []SegmentSet{}}
			for _, c := range ca.effect.cells {
				set.By = append(set.By, c.segment)
			}
			for _, segment := range total.segments(n, i) {
				set.Segments = append(set.Segments, w.segmentSet(total, n, i, segment))
			}
			t.Goals = append(t.Goals, set)
		}
	}
	return t
}

// segments are those that somebody was assigned in, sorted.
func (t tally) segments(campaign, goal int) []string {
	var names []string
	for k := range t {
		if int(k.campaign) == campaign && int(k.goal) == goal {
			names = append(names, k.segment)
		}
	}
	slices.SortFunc(names, cmp.Compare[string])
	return slices.Compact(names)
}

func (w *World) segmentSet(total tally, campaign, goal int, segment string) SegmentSet {
	ca := &w.campaigns[campaign]
	g := &ca.goals[goal]
	set := SegmentSet{Segment: segment}
	key := tallyKey{segment: segment, campaign: int16(campaign), goal: int16(goal)}
	cells := make([]int64, len(ca.effect.cells)+1)
	for variant := -1; variant < len(ca.variants); variant++ {
		arm := ArmSet{}
		if variant >= 0 {
			arm.Variant = &ca.variants[variant].name
		}
		for of := range cells {
			key.cell, key.variant = int16(of), int16(variant)
			n := total[key]
			cells[of] += n.assigned
			arm.Assigned += n.assigned
			arm.Converted += n.reached
		}
		set.Assigned += arm.Assigned
		set.Arms = append(set.Arms, arm)
	}
	for i := range set.Arms {
		arm := &set.Arms[i]
		name := ""
		if arm.Variant != nil {
			name = *arm.Variant
		}
		for of, n := range cells {
			arm.Probability += float64(n) / float64(max(set.Assigned, 1)) * w.probability(ca, g, of, name)
		}
		arm.Effect = arm.Probability - set.Arms[0].Probability
	}
	return set
}

// Varied is, of the goals whose effect differs by targeted segment, the one of which most
// customers are known; nil if there is none.
func (t *Truth) Varied() *GoalSet {
	var varied *GoalSet
	most := int64(0)
	for i := range t.Goals {
		g := &t.Goals[i]
		known := int64(0)
		for _, s := range g.Segments {
			if slices.Contains(g.By, s.Segment) {
				known += s.Assigned
			}
		}
		if known > most {
			varied, most = g, known
		}
	}
	return varied
}

// Find is the truth of one arm in one targeted segment; ok is false if nobody was assigned
// there or nothing was set.
func (t *Truth) Find(campaign, goal, segment, variant string) (arm ArmSet, ok bool) {
	for _, g := range t.Goals {
		if g.Campaign != campaign || g.Goal != goal {
			continue
		}
		for _, s := range g.Segments {
			if s.Segment != segment {
				continue
			}
			for _, a := range s.Arms {
				if a.Variant == nil && variant == "" || a.Variant != nil && *a.Variant == variant {
					return a, true
				}
			}
		}
	}
	return ArmSet{}, false
}
