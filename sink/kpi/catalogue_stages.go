// SPDX-License-Identifier: Apache-2.0

package kpi

const everyModel = "every model"

// stageKPIs are of stages and segments, whatever the definition.
func stageKPIs() []KPI {
	return []KPI{
		{
			Name: "population", Title: "Customers per stage", Group: everyModel, View: "kpi_stage_population",
			Meaning:   "Customers in each stage at the end of each period; in the running period, at the clock.",
			Numerator: "customers in the stage", Time: "at the end of the period", Unit: "customers",
			Query:  `SELECT model, period, stage, position, customers, share, entered, left, closed FROM {{db}}.kpi_stage_population` + whereGrain + ` ORDER BY model, period, position, stage`,
			layout: layout{split: "model", down: "period", across: "stage", value: "customers", order: "position", bars: []string{"customers"}},
		},
		{
			Name: "flow", Title: "Flow between stages", Group: everyModel, View: "kpi_flow",
			Meaning:   "Stage changes from one stage to another per period, of cause event and deadline. Corrections by late events, merges and new definitions have columns of their own.",
			Numerator: "changes from one stage to another by an event or a deadline", Time: "in the period", Unit: "changes",
			Query: `SELECT model, period, from_stage, to_stage, direction, changes, by_event, by_deadline, by_late_event, by_identity, by_definition, by_end, closed FROM {{db}}.kpi_flow` +
				whereGrain + ` ORDER BY model, from_stage NULLS FIRST, to_stage NULLS LAST, period`,
			layout: layout{split: "model", group: []string{"from_stage", "to_stage", "direction"}, down: "period", value: "changes"},
		},
		{
			Name: "stage-moves", Title: "From stage at the start to stage at the end", Group: everyModel, View: "kpi_stage_moves",
			Meaning:   "Customers by the stage they were in at the start of the period and at its end, those who stayed included: the links of a flow diagram. Every customer is in one row of a period.",
			Numerator: "customers with these two stages", Time: "from the start of the period to its end", Unit: "customers",
			Query: `SELECT m.model AS model, m.period AS period, m.from_stage AS from_stage, m.to_stage AS to_stage, m.customers AS customers` + closedPeriod + ` FROM {{db}}.kpi_stage_moves AS m` +
				` WHERE m.grain = @grain AND (@model = '' OR m.model = @model) ORDER BY model, from_stage NULLS FIRST, to_stage NULLS LAST, period`,
			layout: layout{split: "model", group: []string{"from_stage", "to_stage"}, down: "period", value: "customers"},
		},
		{
			Name: "churn", Title: "Churn", Group: everyModel, View: "kpi_churn",
			Meaning:     "Customers who were in a stage neither churned nor first at the period's start and in a churned one at its end, by an event or a deadline / all who were in such a stage at its start.",
			Numerator:   "of those, customers in a churned stage at the end, by an event or a deadline",
			Denominator: "customers in a stage neither churned nor first at the start", Time: "from the start of the period to its end", Unit: "share of customers",
			Query:  `SELECT model, period, at_start, churned, churn_rate, by_late_event, by_identity, by_definition, closed FROM {{db}}.kpi_churn` + whereGrain + ` ORDER BY model, period`,
			layout: layout{split: "model", bars: []string{"churn_rate"}, hide: []string{"by_late_event", "by_identity", "by_definition"}},
		},
		{
			Name: "reactivation", Title: "Reactivation", Group: everyModel, View: "kpi_reactivation",
			Meaning:     "Customers in churned or at-risk stages at the period's start who left these upward by an event in the period / all in such stages at its start.",
			Numerator:   "of those, customers who left these stages upward by an event",
			Denominator: "customers in churned or at-risk stages at the start", Time: "in the period", Unit: "share of customers",
			Query:  `SELECT model, period, at_start, reactivated, reactivation_rate, by_late_event, by_identity, by_definition, closed FROM {{db}}.kpi_reactivation` + whereGrain + ` ORDER BY model, period`,
			layout: layout{split: "model", bars: []string{"reactivation_rate"}, hide: []string{"by_late_event", "by_identity", "by_definition"}},
		},
		{
			Name: "time-in-stage", Title: "Median time in stage", Group: everyModel, View: "kpi_time_in_stage",
			Meaning:   "Kaplan-Meier median of the stays that began in the period by an event or a deadline, in days of 24 hours; stays that last are censored at the clock.",
			Numerator: "median length of the stays", Time: "stays that began in the period", Unit: "days of 24 hours",
			Query: `SELECT t.model AS model, t.period AS period, t.stage AS stage, s.position AS position, spells, ended, open, cut, median_days, median, begun_by_late_event, begun_by_identity, begun_by_definition` + closedPeriod +
				` FROM {{db}}.kpi_time_in_stage AS t LEFT JOIN {{db}}.model_stages AS s ON s.model = t.model AND s.stage = t.stage` +
				` WHERE grain = @grain AND (@model = '' OR t.model = @model) ORDER BY model, period, position, stage`,
			layout: layout{split: "model", down: "period", across: "stage", value: "median", order: "position"},
		},
		{
			Name: "stage-retention", Title: "Retention by cohort and stage", Group: everyModel, View: "kpi_stage_retention",
			Meaning:     "Customers who, n months after the month in which they first entered a stage that is neither churned nor the first, are in such a stage at the end of the month / customers who first entered one in that month. By the week, too.",
			Numerator:   "of those, customers in a stage neither churned nor first",
			Denominator: "customers who first entered such a stage in the cohort's period", Time: "at the end of the n-th period after it", Unit: "share of customers",
			Query: `SELECT model, cohort, n, customers, retained, retention_rate, closed FROM {{db}}.kpi_stage_retention` +
				` WHERE grain = if(@grain = 'week', 'week', 'month') AND (@model = '' OR model = @model) ORDER BY model, cohort, n`,
			layout: layout{split: "model", down: "cohort", across: "n", value: "retention_rate", order: "n"},
		},
		{
			Name: "segments", Title: "Customers per segment", Group: everyModel, View: "kpi_segment_population",
			Meaning:   "Customers in each segment at the end of each period. Segments overlap: they do not add up.",
			Numerator: "customers in the segment", Time: "at the end of the period", Unit: "customers",
			Query:  `SELECT segment, period, customers, entered, left, closed FROM {{db}}.kpi_segment_population WHERE grain = @grain AND (@model = '' OR segment = @model) ORDER BY segment, period`,
			layout: layout{split: "segment", bars: []string{"customers"}},
		},
	}
}
