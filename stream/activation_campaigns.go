// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

// activationCampaign is a campaign as the definitions topic keeps it, for ClickHouse's
// views campaigns, campaign_variants and campaign_goals. What was left out is empty or 0;
// shares are from 0 to 1, amounts texts.
type activationCampaign struct {
	Name     string              `json:"name"`
	Audience string              `json:"audience"` // empty: another system assigns
	Salt     string              `json:"salt"`
	Holdout  float64             `json:"holdout"`
	Variants []activationVariant `json:"variants"`
	Goals    []activationGoal    `json:"goals"`
	EveryMs  int64               `json:"every_ms"`
	Start    string              `json:"start"`
	End      string              `json:"end"`
	Exclude  []string            `json:"exclude"`
	Consent  string              `json:"consent"`
	Max      int64               `json:"max"`
	Journey  string              `json:"journey"`
	Step     string              `json:"step"`
	Cost     activationCost      `json:"cost"`
	Margin   string              `json:"margin"`
}

type activationVariant struct {
	Name       string               `json:"name"`
	Share      float64              `json:"share"`
	Properties []activationProperty `json:"properties"`
	Cost       *activationCost      `json:"cost,omitempty"` // its own
}

type activationProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type activationGoal struct {
	Name     string `json:"name"`
	Event    string `json:"event"`
	When     string `json:"when"`
	WithinMs int64  `json:"within_ms"`
	Value    string `json:"value"`
	Baseline bool   `json:"baseline"`
}

type activationCost struct {
	Per      string `json:"per"`
	Amount   string `json:"amount"`
	Fixed    string `json:"fixed"`
	Currency string `json:"currency"`
}

func activationCampaigns(d *definition.Definition) []activationCampaign {
	all := []activationCampaign{}
	for i := range d.Campaigns {
		c := &d.Campaigns[i]
		a := activationCampaign{
			Name: c.Name.Value, Audience: c.Audience.Value, Salt: c.Salt.Value, Holdout: share(c.Holdout),
			Variants: []activationVariant{}, Goals: []activationGoal{}, EveryMs: c.Every.Milliseconds(),
			Start: moment(c.Start), End: moment(c.End), Exclude: values(c.Exclude), Consent: c.Consent.Value, Max: c.Max,
			Journey: c.Journey.Value, Step: c.Step.Value,
		}
		for _, v := range c.Variants {
			one := activationVariant{Name: v.Name.Value, Share: share(v.Share), Properties: []activationProperty{}}
			for _, p := range v.Properties {
				one.Properties = append(one.Properties, activationProperty{p.Name.Value, p.Value.Value})
			}
			one.Cost = costOf(v.Cost)
			a.Variants = append(a.Variants, one)
		}
		for j := range c.Goals {
			g := &c.Goals[j]
			a.Goals = append(a.Goals, activationGoal{g.Name.Value, g.Event.Value, g.When.Value, g.Within.Milliseconds(), string(g.Value), g.Baseline})
		}
		if cost := costOf(c.Cost); cost != nil {
			a.Cost = *cost
		}
		if c.HasMargin {
			a.Margin = c.Margin.String()
		}
		all = append(all, a)
	}
	return all
}

func costOf(c *definition.Cost) *activationCost {
	if c == nil {
		return nil
	}
	return &activationCost{c.Per.Value, amount(c.Amount), amount(c.Fixed), c.Currency}
}

// share is a share in hundredths of a percent, from 0 to 1.
func share(n int) float64 { return float64(n) / 10_000 }

func amount(d decimal.Decimal) string { return d.String() }

func moment(at instant.Instant) string {
	if at.IsNone() {
		return ""
	}
	return at.String()
}
