// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"slices"
	"strings"

	"lapwing/schemas/record"
)

// A campaign goes on by its name: who was assigned stays so, in the same arm. A goal goes
// on by its name as far as the number of its records goes; rounds that are open go on with
// the goals that mean the same, and do not take up those that are new.

// carryCampaigns brings the customer's parts in campaigns over.
func (c *Carrier) carryCampaigns(next, s *State) {
	for i := range c.to.campaigns {
		rule := c.to.campaigns[i]
		to, old := &c.to.rules[rule], c.rules[rule].old
		if old < 0 {
			next.takeCampaign(c.to, rule)
			continue
		}
		from := &c.from.rules[old]
		if at := from.campaign.index; at < len(s.campaigns) && s.campaigns[at] != nil {
			next.enrol(c.to, to.campaign, s.campaigns[at].under(from, to, next))
		}
	}
}

// enrol notes a part in a campaign.
func (s *State) enrol(m *Model, c *campaignDef, e *enrolment) {
	if s.campaigns == nil {
		s.campaigns = make([]*enrolment, len(m.campaigns))
	}
	s.campaigns[c.index] = e
}

// under is a part in a campaign as another definition of the campaign has it. What is no
// more of its goals is kept in next.
func (e *enrolment) under(from, to *rule, next *State) *enrolment {
	was, is := from.campaign, to.campaign
	out := &enrolment{variant: e.variant, holdout: e.holdout, last: e.last, due: math.MinInt64, goals: make([]goalState, len(is.goals))}
	goals := make([]int, len(is.goals)) // by goal: which of the former means the same; -1: none
	for i := range is.goals {
		goals[i] = -1
		if at := was.goal(is.goals[i].name); at >= 0 {
			out.goals[i].sequence = e.goals[at].sequence
			if was.goals[at].meaning == is.goals[i].meaning {
				goals[i] = at
				out.goals[i].holds = e.goals[at].holds
			}
		} else {
			out.goals[i].sequence = next.takeRetired(retiredGoal, to.name+"/"+is.goals[i].name)
		}
	}
	for i := range was.goals {
		if is.goal(was.goals[i].name) < 0 {
			next.retire(retired{kind: retiredGoal, name: to.name + "/" + was.goals[i].name, sequence: e.goals[i].sequence})
		}
	}
	for i := range e.rounds {
		rd := e.rounds[i]
		rd.goals = make([]progress, len(is.goals))
		open := false
		for k, at := range goals {
			rd.goals[k].done = at < 0
			if at >= 0 {
				rd.goals[k] = e.rounds[i].goals[at]
				open = open || !rd.goals[k].done
			}
		}
		if open {
			out.rounds = append(out.rounds, rd)
		}
	}
	if n := len(out.rounds) - is.open - maxCorrected; n > 0 {
		out.rounds = slices.Delete(out.rounds, 0, n)
	}
	return out
}

// leaveCampaign keeps that the customer was assigned in a campaign that is no more, and
// where its goals' sequences stand. Open goals end silently.
func (s *State) leaveCampaign(r *rule, e *enrolment, sequence int64) {
	if e == nil {
		return
	}
	s.retire(retired{kind: retiredCampaign, name: r.name, sequence: sequence, last: e.last, variant: e.variant, holdout: e.holdout})
	for i := range e.goals {
		s.retire(retired{kind: retiredGoal, name: r.name + "/" + r.campaign.goals[i].name, sequence: e.goals[i].sequence})
	}
}

// takeCampaign takes back what was kept of a campaign.
func (s *State) takeCampaign(m *Model, rule int) {
	r := &m.rules[rule]
	was, found := s.retiredOf(retiredCampaign, r.name)
	if !found {
		return
	}
	s.rules[rule].sequence = s.takeRetired(retiredCampaign, r.name)
	e := &enrolment{variant: was.variant, holdout: was.holdout, last: was.last, due: math.MinInt64, goals: make([]goalState, len(r.campaign.goals))}
	for i := range e.goals {
		e.goals[i].sequence = s.takeRetired(retiredGoal, r.name+"/"+r.campaign.goals[i].name)
	}
	s.enrol(m, r.campaign, e)
}

// CampaignStanding is a customer's part in a campaign.
type CampaignStanding struct {
	Campaign string
	Goal     string // of a goal that is no more; empty: the campaign's own
	In       bool   // in its audience
	Sequence int64  // how often the customer was assigned

	rule      *rule // nil: the definition does not have the campaign any more
	enrolment *enrolment
	retired   retired
}

// standingCampaigns are the campaigns that the customer has to do with.
func (m *Model) standingCampaigns(s *State) []CampaignStanding {
	var out []CampaignStanding
	for k, i := range m.campaigns {
		mb := &s.rules[i]
		is := CampaignStanding{Campaign: m.rules[i].name, In: mb.stage == inSegment && m.rules[i].campaign.again(mb), Sequence: mb.sequence, rule: &m.rules[i]}
		if k < len(s.campaigns) {
			is.enrolment = s.campaigns[k].clone()
		}
		out = append(out, is)
	}
	for _, r := range s.retired {
		if r.kind == retiredCampaign || r.kind == retiredGoal {
			is := CampaignStanding{Campaign: r.name, Sequence: r.sequence, retired: r}
			if r.kind == retiredGoal {
				is.Campaign, is.Goal, _ = strings.Cut(r.name, "/")
			}
			out = append(out, is)
		}
	}
	return out
}

// succeedCampaigns lets the customer go on in campaigns as another computation has
// assigned it: nobody is told of an assignment twice, or is given another arm. Who is in
// an audience now and was not is assigned.
func (m *Model) succeedCampaigns(st *step, before []CampaignStanding, at int64) {
	s := st.s
	if !s.begun || len(m.campaigns)+len(before) == 0 {
		return
	}
	ours := func(name string) int {
		for _, i := range m.campaigns {
			if m.rules[i].name == name {
				return i
			}
		}
		return -1
	}
	for i := range before {
		if b := &before[i]; b.rule == nil {
			s.retire(b.retired)
		}
	}
	for i := range before {
		b := &before[i]
		switch rule := ours(b.Campaign); {
		case b.rule == nil:
		case rule < 0:
			s.leaveCampaign(b.rule, b.enrolment, b.Sequence)
		default:
			mb := &s.rules[rule]
			if mb.stage = noStage; b.In {
				mb.stage = inSegment
			}
			if mb.sequence = b.Sequence; b.enrolment != nil {
				s.enrol(m, m.rules[rule].campaign, b.enrolment.under(b.rule, &m.rules[rule], s))
			}
		}
	}
	for k, i := range m.campaigns {
		if k >= len(s.campaigns) || s.campaigns[k] == nil {
			s.takeCampaign(m, i)
		}
		s.rules[i].deadline = math.MinInt64
		if k < len(s.campaigns) && s.campaigns[k] != nil {
			s.campaigns[k].due = math.MinInt64
		}
	}
	s.deadline = math.MinInt64
	st.out.scratch.news.reset()
	st.evaluate(at, cause{kind: record.CauseDefinition}, bitset{})
}
