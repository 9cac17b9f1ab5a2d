// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math/bits"
	"slices"

	"lapwing/schemas/decimal"
	"lapwing/schemas/record"
)

// enrolment is a customer's part in a campaign, from the first assignment on. How often
// it was assigned, and whether the audience holds, is in the membership.
type enrolment struct {
	variant string // the arm, for ever; empty in the holdout
	holdout bool
	last    int64       // when assigned last
	due     int64       // when the audience must be looked at again; never for what does not change by itself
	goals   []goalState // by goal of the campaign
	rounds  []round     // those that may still convert, or that a refund may correct; the oldest first
}

// goalState is what all rounds of a goal share.
type goalState struct {
	sequence int64 // of its conversions
	holds    bool  // the goal's `when` as last looked at, while a round is open
}

// round is one assignment of the customer.
type round struct {
	number int64
	at     int64
	place  *place
	goals  []progress // by goal of the campaign
}

// place is where a customer was at an assignment. It is never changed, and shared with
// the records that tell of it.
type place struct {
	stages   []record.StageAt // in the order of the definition
	segments []string         // sorted
}

// progress is how far a round has come to a goal.
type progress struct {
	done    bool     // converted, or none of this round's goals
	outcome *outcome // of goals that settle; nil before anything counted
}

// outcome is what counts for a goal that settles when its window closes.
type outcome struct {
	n   int64 // occurrences in the window
	net wide  // their values, or how many there are, less those of the baseline's window
	// unpriced are occurrences in the window with money of another currency than the
	// definition's. Here nobody knows what that is worth: net has nothing of it.
	unpriced int64
	told     bool
	value    decimal.Decimal // the last that was told; noNumber if none
}

// own is the outcome, made if there is none.
func (p *progress) own() *outcome {
	if p.outcome == nil {
		p.outcome = &outcome{value: noNumber}
	}
	return p.outcome
}

// sub takes d off.
func (x *wide) sub(d decimal.Decimal) { x.add(-d) }

// minus is x - y.
func (x wide) minus(y wide) wide {
	lo, borrow := bits.Sub64(x.lo, y.lo, 0)
	hi, _ := bits.Sub64(x.hi, y.hi, borrow)
	return wide{hi: hi, lo: lo}
}

// clone is a copy that a look-ahead may change; e may be nil.
func (e *enrolment) clone() *enrolment {
	if e == nil {
		return nil
	}
	out := *e
	out.goals = slices.Clone(e.goals)
	out.rounds = slices.Clone(e.rounds)
	for i := range out.rounds {
		out.rounds[i].goals = slices.Clone(e.rounds[i].goals)
		for k := range out.rounds[i].goals {
			if o := out.rounds[i].goals[k].outcome; o != nil {
				copied := *o
				out.rounds[i].goals[k].outcome = &copied
			}
		}
	}
	return &out
}

// few is how many goals, and stages of a place, stand in one piece of memory with what
// they belong to.
const few = 4

// firstRound is a part in a campaign and its first round in one piece of memory.
type firstRound struct {
	part     enrolment
	goals    [few]goalState
	rounds   [1]round
	progress [few]progress
}

// newEnrolment makes room for so many goals, and for the first round.
func newEnrolment(goals int) *enrolment {
	if goals == 0 || goals > few {
		return &enrolment{due: never, goals: make([]goalState, goals)}
	}
	f := new(firstRound)
	f.rounds[0].goals = f.progress[:goals:goals]
	f.part = enrolment{due: never, goals: f.goals[:goals:goals], rounds: f.rounds[:0]}
	return &f.part
}

// begin begins a round.
func (e *enrolment) begin(number, at int64) *round {
	goals := []progress(nil)
	if n := len(e.rounds); n < cap(e.rounds) {
		if spare := e.rounds[:n+1][n]; len(spare.goals) == len(e.goals) && spare.number == 0 {
			goals = spare.goals // of the first round
		}
	}
	if goals == nil {
		goals = make([]progress, len(e.goals))
	}
	e.rounds = append(e.rounds, round{number: number, at: at, goals: goals})
	return &e.rounds[len(e.rounds)-1]
}

// ahead are a look-ahead's parts in campaigns: copies, where it changes them.
type ahead struct {
	campaigns []*enrolment
	customer  string
}

// parts are the customer's parts in campaigns; a look-ahead's if it is one.
func (ev *eval) parts() []*enrolment {
	if ev.ahead != nil {
		return ev.ahead.campaigns
	}
	return ev.s.campaigns
}

// enrolled is the customer's part in a campaign; nil before the first assignment.
func (ev *eval) enrolled(c *campaignDef) *enrolment {
	all := ev.parts()
	if c.index >= len(all) {
		return nil
	}
	return all[c.index]
}

// enrol notes a part in a campaign.
func (ev *eval) enrol(m *Model, c *campaignDef, e *enrolment) {
	to := &ev.s.campaigns
	if ev.ahead != nil {
		to = &ev.ahead.campaigns
	}
	if len(*to) == 0 {
		*to = make([]*enrolment, len(m.campaigns))
	}
	(*to)[c.index] = e
}

// place is where the customer is now.
func (m *Model) place(s *State) *place {
	var p *place
	if len(m.modelRules) <= few {
		both := new(struct {
			place
			stages [few]record.StageAt
		})
		p = &both.place
		p.stages = both.stages[:0]
	} else {
		p = &place{stages: make([]record.StageAt, 0, len(m.modelRules))}
	}
	for _, i := range m.modelRules {
		if mb := &s.rules[i]; mb.stage != noStage {
			p.stages = append(p.stages, record.StageAt{Model: m.rules[i].name, Stage: m.rules[i].stages[mb.stage].name})
		}
	}
	for _, o := range m.openSegments(s) {
		p.segments = append(p.segments, o.name)
	}
	return p
}
