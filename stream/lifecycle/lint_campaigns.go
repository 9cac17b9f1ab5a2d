// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"

	"lapwing/schemas/definition"
)

// lintCampaigns names what a campaign cannot do, or would not tell.
func (c *compiler) lintCampaigns() {
	for i := range c.def.Campaigns {
		campaign := &c.def.Campaigns[i]
		name := campaign.Name.Value
		if len(campaign.Goals) == 0 {
			c.warnText(campaign.Name, "campaign %q has no goals: nothing would tell what it changed", name)
		} else if campaign.Audience.Value != "" && campaign.Holdout == 0 && len(campaign.Variants) == 1 {
			c.warnText(campaign.Name, "campaign %q has neither a holdout nor a second variant: nothing to compare its conversions with", name)
		}
		c.lintAudience(campaign)
		c.lintConsent(campaign)
		c.lintCost(campaign.Cost)
		for k := range campaign.Variants {
			c.lintCost(campaign.Variants[k].Cost)
		}
		for k := range campaign.Goals {
			g := &campaign.Goals[k]
			e := c.eventByName[g.Event.Value]
			if e != nil && g.Value != definition.NoValue && c.def.Events[e.index].Value.IsZero() {
				c.warnText(g.Event, "event %q has no `value`, so that goal %q is worth nothing: give it one, or take the goal's `value` out", e.name, g.Name.Value)
			}
		}
	}
}

// lintAudience names audiences that nobody is ever in.
func (c *compiler) lintAudience(campaign *definition.Campaign) {
	ast := c.ast(campaign.Audience)
	if ast == nil || campaign.Audience.IsZero() {
		return
	}
	f := c.newFormulas()
	if when := f.of(ast.Expr()); f.settle() && !f.possible([]*formula{when}, nil) {
		c.warnText(campaign.Audience, "nobody can ever be in the audience of campaign %q: its parts exclude one another", campaign.Name.Value)
	}
}

// lintCost names a step that costs something, and that no message is.
func (c *compiler) lintCost(cost *definition.Cost) {
	if cost == nil || cost.Per.IsZero() {
		return
	}
	var steps []string
	for i := range c.def.Messages {
		steps = append(steps, c.def.Messages[i].Step.Value)
	}
	if per := cost.Per.Value; !slices.Contains(steps, per) {
		c.warnText(cost.Per, "no entry of `messages` has the step %q, so that the campaign's messages cost nothing%s", per, definition.Suggest(per, steps))
	}
}

// lintConsent names a consent that is declared to be something else than true or false.
func (c *compiler) lintConsent(campaign *definition.Campaign) {
	if campaign.Consent.IsZero() {
		return
	}
	trait := "consent_" + campaign.Consent.Value
	if t, declared := c.traitTypes[trait]; declared && t != definition.TraitBool {
		c.warnText(campaign.Consent, "trait %q is declared as %s, and only true is consent: nobody would be assigned", trait, t)
	}
}
