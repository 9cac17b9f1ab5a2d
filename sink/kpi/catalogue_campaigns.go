// SPDX-License-Identifier: Apache-2.0

package kpi

// campaignParams narrow a KPI of campaigns.
var campaignParams = []Param{{Name: "campaign", Default: "", Meaning: "only this campaign; empty: all"}}

// goalParams narrow it to a goal, too.
var goalParams = []Param{campaignParams[0], {Name: "goal", Default: "", Meaning: "only this goal; empty: all"}}

var byParam = Param{Name: "by", Default: "everyone", Among: []string{"everyone", "stage", "segment"}, Meaning: "everyone assigned; stage or segment: by the stage or the segments held at the assignment, which overlap and do not add up"}

// targetParams narrow it to a kind of targeted segment, too.
var targetParams = []Param{
	goalParams[0], goalParams[1],
	byParam,
}

const (
	whereCampaign = ` WHERE (@campaign = '' OR campaign = @campaign)`
	whereTarget   = whereCampaign + ` AND (@goal = '' OR goal = @goal) AND by = @by AND (@by != 'stage' OR @model = '' OR model = @model)`
	closedWindows = "by assignment; only customers whose window has closed"
)

// campaignKPIs are what campaigns changed.
func campaignKPIs() []KPI {
	const group = "campaigns"
	interval := [3]string{"difference_low", "difference", "difference_high"}
	anytime := [3]string{"always_valid_low", "difference", "always_valid_high"} // as the verdict
	return []KPI{
		{
			Name: "campaign-conversion", Title: "Conversion of campaigns", Group: group, View: "kpi_campaign_conversion",
			Meaning:   "Customers assigned with at least one conversion / customers assigned, whatever reached them. Only those whose window has closed; the others are open. With the 95 % interval of the rate (Wilson), and those reached, who opened and who clicked. Leaked are customers of the holdout with an exposure all the same.",
			Numerator: "of those, customers with at least one conversion", Denominator: "customers assigned whose window has closed", Time: closedWindows, Unit: "share of customers",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_conversion` + whereTarget + ` ORDER BY campaign, goal, model, target, holdout, variant`,
			Params: targetParams,
			layout: layout{split: "campaign", hide: []string{"journey", "step", "by", "holdout", "machine_opened"}, interval: [3]string{"rate_low", "conversion_rate", "rate_high"}, holdout: true},
		},
		{
			Name: "campaign-lift", Title: "Lift over the holdout", Group: group, View: "kpi_campaign_lift",
			Meaning:   "Conversion rate of each variant less that of the holdout, with the 95 % interval that holds however often one looks, and all variants together. The columns difference_low and difference_high have that of one look (Newcombe). The sample-ratio test comes first: if chance would spread customers over the arms so unevenly less than once in 1,000 times, the assignment is broken and no lift is told. The verdict stays right however often one looks, and is corrected by Holm for the variants and segments.",
			Numerator: "conversion rate of the customers given the variant", Denominator: "less that of the customers held out", Time: closedWindows, Unit: "difference of two shares",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_lift` + whereTarget + ` ORDER BY campaign, goal, model, target, variant NULLS LAST`,
			Params: targetParams,
			layout: layout{
				split: "campaign", interval: anytime, points: []string{"difference", "minimum_detectable_effect"}, together: true,
				hide: []string{"by", "converted", "holdout_converted", "ratio", "ratio_low", "ratio_high", "always_valid_p", "always_valid_p_holm", "difference_low", "difference_high", "p_value", "p_value_holm", "sample_ratio_p"},
			},
		},
		{
			Name: "campaign-revenue", Title: "Revenue per assigned customer", Group: group, View: "kpi_campaign_revenue",
			Meaning:   "Values of the conversions / customers assigned, zeros included, of each variant and of the holdout, with the 95 % interval of the difference that holds however often one looks. The columns difference_low and difference_high have that of one look (Welch). Money of another currency counts at the rate of the event's day; without a rate it has no value, and is counted as such.",
			Numerator: "sum of the conversions' values", Denominator: "customers assigned whose window has closed", Time: closedWindows, Unit: "money per customer",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_revenue` + whereTarget + ` ORDER BY campaign, goal, model, target, variant NULLS LAST`,
			Params: targetParams,
			layout: layout{
				split: "campaign", interval: anytime, together: true,
				hide: []string{"by", "buyers", "revenue", "revenue_per_buyer", "orders", "holdout_buyers", "holdout_revenue", "minimum_detectable_effect", "without_rate", "always_valid_p", "always_valid_p_holm", "difference_low", "difference_high", "p_value", "p_value_holm", "sample_ratio_p"},
			},
		},
		{
			Name: "campaign-return", Title: "Cost and return of campaigns", Group: group, View: "kpi_campaign_return", Activity: "referenced",
			Meaning:   "Of each variant and of the campaign as a whole: ROAS = revenue lift over the holdout, scaled to the treated / cost. ROI = (that x margin - cost) / cost. Attributed ROAS is what a last touch takes for itself, and no effect.",
			Numerator: "revenue per assigned customer less that of the holdout, times the treated", Denominator: "fixed cost and cost of the messages", Time: closedWindows + "; cost to date", Unit: "money per money",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_return` + whereCampaign + ` ORDER BY campaign, goal, variant NULLS LAST`,
			Params: campaignParams,
			layout: layout{split: "campaign", together: true, hide: []string{"buyers", "orders", "revenue_lift_low", "revenue_lift_high", "messages", "margin", "attributed_cost"}},
		},
		{
			Name: "campaign-factors", Title: "Effect per factor", Group: group, View: "kpi_campaign_factors",
			Meaning:   "Multivariate tests: conversion rate of the customers whose variant has a level of a factor (tone, length, …) less that of those with its other levels, over all other factors.",
			Numerator: "conversion rate with the level", Denominator: "less that with the factor's other levels", Time: closedWindows, Unit: "difference of two shares",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_factors` + whereCampaign + ` ORDER BY campaign, goal, factor, level`,
			Params: campaignParams,
			layout: layout{
				split: "campaign", interval: interval, points: []string{"difference", "minimum_detectable_effect"},
				hide: []string{"converted", "others_converted", "ratio", "ratio_low", "ratio_high", "always_valid_p", "always_valid_p_holm", "p_value", "sample_ratio_p"},
			},
		},
		{
			Name: "campaign-rise", Title: "Rise against before", Group: group, View: "kpi_campaign_rise", Needs: keyBaseline,
			Meaning:   "Goals with a baseline, such as the rise in sessions: what happened in the window less what happened in one as long before the assignment, per assigned customer, of each variant and of the holdout, with the 95 % interval of the difference that holds however often one looks.",
			Numerator: "sum of the rises, falls taken off", Denominator: "customers assigned whose window has closed", Time: closedWindows, Unit: "occurrences (or value) per customer",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_rise` + whereTarget + ` ORDER BY campaign, goal, model, target, variant NULLS LAST`,
			Params: targetParams,
			layout: layout{
				split: "campaign", interval: anytime, together: true,
				hide: []string{"by", "rise", "holdout_rise", "always_valid_p", "always_valid_p_holm", "difference_low", "difference_high", "p_value", "p_value_holm", "sample_ratio_p"},
			},
		},
		{
			Name: "campaign-funnel", Title: "From targeted to converted", Group: group, View: "kpi_campaign_funnel", Activity: "referenced",
			Meaning:   "Customers targeted, reached, who opened, clicked, converted. A person may convert without the steps before.",
			Numerator: "of those, customers who came to the step", Denominator: "customers assigned whose window has closed", Time: closedWindows, Unit: "share of customers",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_funnel` + whereCampaign + ` ORDER BY campaign, goal, holdout DESC, variant, position`,
			Params: campaignParams,
			layout: layout{split: "campaign", hide: []string{"holdout", "position"}, bars: []string{"share"}, holdout: true},
		},
		{
			Name: "campaign-journeys", Title: "Journeys", Group: group, View: "kpi_campaign_journey", Needs: keyJourney, Activity: "referenced",
			Meaning:   "For each step of a journey, which is a campaign: customers targeted, reached, who opened, clicked and converted, all variants together, beside the holdout's rate.",
			Numerator: "of those, customers with at least one conversion", Denominator: "customers assigned to the step whose window has closed", Time: closedWindows, Unit: "share of customers",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_journey` + whereCampaign + ` ORDER BY journey, position, goal`,
			Params: campaignParams,
			layout: layout{split: "journey", hide: []string{"position"}, bars: []string{"conversion_rate"}},
		},
		{
			Name: "campaign-observed", Title: "Observed rates per channel", Group: group, View: "kpi_campaign_observed", Activity: "referenced",
			Meaning:   "Of the customers to whom a message was delivered, or who opened it or clicked, those who converted within the goal's window from then. Not randomised: who opens is not like who does not, and a holdout opens nothing. So there is no lift and no p.",
			Numerator: "of those, customers who converted within the window after it", Denominator: "customers with the exposure, whose window from it has closed", Time: "from the customer's first exposure of that step", Unit: "share of customers",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_observed` + whereCampaign + ` ORDER BY campaign, goal, channel, indexOf(['delivered', 'opened', 'clicked'], from_step)`,
			Params: campaignParams,
			layout: layout{split: "campaign", hide: []string{"lift", "p_value"}, bars: []string{"observed_rate"}},
		},
		{
			Name: "campaign-time", Title: "Time to convert", Group: group, View: "kpi_campaign_time_to_convert",
			Meaning:   "Days from the assignment to the conversion, of those who converted: median, quartiles, and when nine tenths had.",
			Numerator: "time from assignment to conversion, median", Time: closedWindows, Unit: "days of 24 hours",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_time_to_convert` + whereCampaign + ` ORDER BY campaign, goal, holdout, variant`,
			Params: campaignParams,
			layout: layout{split: "campaign", hide: []string{"holdout"}, holdout: true},
		},
		{
			Name: "campaign-periods", Title: "Conversion by date of assignment", Group: group, View: "kpi_campaign_by_period",
			Meaning:   "Conversion rate of the customers assigned in each period. Only those whose window has closed.",
			Numerator: "of those, customers with at least one conversion", Denominator: "customers assigned in the period whose window has closed", Time: "by the period of the assignment", Unit: "share of customers",
			Query:  `SELECT *` + closedPeriod + ` FROM {{db}}.kpi_campaign_by_period` + whereCampaign + ` AND grain = @grain ORDER BY campaign, goal, period, holdout, variant`,
			Params: campaignParams,
			layout: layout{split: "campaign", hide: []string{"grain", "holdout"}, interval: [3]string{"rate_low", "conversion_rate", "rate_high"}, holdout: true},
		},
		{
			Name: "campaign-trust", Title: "Can the campaigns be trusted", Group: group, View: "kpi_campaign_trust",
			Meaning:   "Customers per arm against the planned shares (chi-square); leaked: held out, with an exposure all the same; crossed: also in another campaign with the same goal, while both windows were open; merged: a customer of another arm turned out to be the same person.",
			Numerator: "customers assigned to the arm", Denominator: "customers the arm should have by its share", Time: "to date", Unit: "customers",
			Query:  `SELECT * FROM {{db}}.kpi_campaign_trust` + whereCampaign + ` ORDER BY campaign, holdout, variant`,
			Params: campaignParams,
			layout: layout{split: "campaign", hide: []string{"holdout"}, bars: []string{"assigned"}, holdout: true},
		},
		{
			Name: "attributed-revenue", Title: "Revenue by last and first touch", Group: group, View: "kpi_attributed_revenue", Activity: "referenced",
			Meaning:   "Each order's revenue under the campaign whose message touched the customer last, or first, before it and within the window of the campaign's goals on that event. It shares out revenue, and says nothing about effects: its sum is the revenue, never more.",
			Numerator: "sum of the orders' values, refunds taken off", Time: "by the period of the order", Unit: "money",
			Query:  `SELECT *` + closedPeriod + ` FROM {{db}}.kpi_attributed_revenue` + whereCampaign + ` AND grain = @grain ORDER BY attribution, event, period, campaign NULLS LAST, channel`,
			Params: campaignParams,
			layout: layout{split: "attribution", hide: []string{"grain", "without_rate"}, bars: []string{"revenue"}},
		},
	}
}
