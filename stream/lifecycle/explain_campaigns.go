// SPDX-License-Identifier: Apache-2.0

package lifecycle

import "lapwing/schemas/explanation"

// campaign explains the customer's part in a campaign: the arm, since when, what is open
// and until when, and the conditions of its audience and goals.
func (x *explainer) campaign(rule int, customer string) explanation.Campaign {
	r := &x.m.rules[rule]
	c := r.campaign
	out := *x.part(rule)
	out.KeptOut = x.m.globalHoldout > 0 && bucketOf(globalSalt, customer) < x.m.globalHoldout
	out.Goals = make([]explanation.CampaignGoal, len(c.goals))
	if c.written != nil {
		audience := x.whole(c.written, r.text)
		out.Audience = &audience
	}
	mine := (&eval{s: x.s}).enrolled(c)
	for i := range c.goals {
		g := &c.goals[i]
		goal := explanation.CampaignGoal{Goal: g.name, Open: []explanation.Open{}}
		switch {
		case g.event != nil:
			goal.Event = g.event.name
		case g.written != nil:
			when := x.whole(g.written, g.text)
			goal.When = &when
		}
		if mine != nil {
			goal.Records = mine.goals[i].sequence
			for k := range mine.rounds {
				rd := &mine.rounds[k]
				if p := &rd.goals[i]; !p.done && x.now <= rd.at+g.within {
					open := explanation.Open{Round: rd.number, AssignedAt: explanation.Time(rd.at), Until: explanation.Time(rd.at + g.within)}
					if p.outcome != nil {
						open.Times = p.outcome.n
					}
					goal.Open = append(goal.Open, open)
				}
			}
		}
		out.Goals[i] = goal
	}
	return out
}

// part is what the state holds of a campaign, without its goals.
func (x *explainer) part(rule int) *explanation.Campaign {
	r, mb := &x.m.rules[rule], &x.s.rules[rule]
	out := &explanation.Campaign{
		Campaign: r.name, InAudience: mb.stage == inSegment, Rounds: mb.sequence, Since: explanation.None, AgainFrom: explanation.None,
		Goals: []explanation.CampaignGoal{},
	}
	mine := (&eval{s: x.s}).enrolled(r.campaign)
	if mine == nil {
		return out
	}
	out.Variant, out.Holdout, out.Since = mine.variant, mine.holdout, explanation.Time(mine.last)
	if at := mine.last + r.campaign.every; r.campaign.again(mb) && at < r.campaign.end {
		out.AgainFrom = explanation.Time(at)
	}
	return out
}
