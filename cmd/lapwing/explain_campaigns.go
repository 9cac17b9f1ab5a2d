// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"lapwing/schemas/explanation"
)

// campaign tells of a customer's part in a campaign.
func (t *teller) campaign(c *explanation.Campaign) {
	t.line(0, "\ncampaign %s: %s", c.Campaign, t.arm(c))
	if c.KeptOut {
		t.line(1, "in the global holdout: assigned in no campaign")
	}
	if c.AgainFrom != explanation.None && c.Rounds > 0 {
		t.line(1, "assigned again when the audience turns true from %s on", t.on(c.AgainFrom))
	}
	if c.Audience != nil {
		in := "not in the audience"
		if c.InAudience {
			in = "in the audience"
		}
		t.line(1, "%s", in)
		t.condition(2, "", c.Audience)
	}
	for i := range c.Goals {
		g := &c.Goals[i]
		reached := "not reached"
		if g.Records > 0 {
			reached = "reached: " + times(int(g.Records), "record")
		}
		t.line(1, "goal %s: %s", g.Goal, reached)
		for _, o := range g.Open {
			so := ""
			if o.Times > 0 {
				so = fmt.Sprintf("; %s %s so far", g.Event, times(int(o.Times), "time"))
			}
			t.line(2, "open until %s for round %d, assigned on %s%s", t.on(o.Until), o.Round, t.on(o.AssignedAt), so)
		}
		if g.When != nil {
			t.condition(2, "", g.When)
		}
	}
}

// arm is where the customer is in a campaign.
func (t *teller) arm(c *explanation.Campaign) string {
	switch {
	case c.Rounds == 0:
		return "not assigned"
	case c.Holdout:
		return fmt.Sprintf("in the holdout since %s, round %d", t.on(c.Since), c.Rounds)
	default:
		return fmt.Sprintf("%s since %s, round %d", or(c.Variant, "no variant"), t.on(c.Since), c.Rounds)
	}
}
