// SPDX-License-Identifier: Apache-2.0

// Package kpi is the catalogue of KPIs: what each means in words, the query that
// shows it, and how it is printed for people (aligned tables with small bars) or
// for programs (JSON, CSV). The figures themselves are views in ClickHouse
// (schemas/clickhouse), so any client of ClickHouse gets the same ones.
package kpi

import "strings"

// KPI is one entry of the catalogue.
type KPI struct {
	Name  string // as typed: lapwing kpi NAME
	Title string
	// Meaning says in full sentences what is counted and what is divided by what.
	Meaning string
	View    string // the view behind it
	// Query is the default query; {{db}} stands for the database, @grain and @model
	// for the options of that name (@model is empty for all models).
	Query string
	// layout is how the table format shows the rows.
	layout layout
}

// layout says how rows become a table for people. The zero layout prints them as
// they are.
type layout struct {
	// bars are columns that get a bar beside the figure, scaled to the column's
	// greatest value, or to 1 for rates.
	bars []string
	// cross makes a table of rows (down) and columns (across) from three columns;
	// order names a column that sorts those across, worst to best, or "".
	down, across, value, order string
	// series adds up value per group of columns and draws it over down.
	group []string
	// hide leaves out columns that the title or another column already tells.
	hide []string
	// split prints a table of its own for each value of this column.
	split string
}

const whereGrain = ` WHERE grain = @grain AND (@model = '' OR model = @model)`

// Catalogue is every KPI, in the order in which they are read best.
func Catalogue() []KPI {
	return []KPI{
		{
			Name: "totals", Title: "Orders and revenue to date", View: "kpi_totals",
			Meaning: "Orders, distinct customers who ordered, and revenue. Revenue is the sum of the orders' values with refunds taken off; the average order value is revenue / orders.",
			Query:   `SELECT * FROM {{db}}.kpi_totals ORDER BY event, currency`,
		},
		{
			Name: "population", Title: "Customers per stage", View: "kpi_stage_population",
			Meaning: "Customers in each stage at the end of each period; in the running period, at the clock.",
			Query:   `SELECT model, period, stage, position, customers, share, entered, left, closed FROM {{db}}.kpi_stage_population` + whereGrain + ` ORDER BY model, period, position, stage`,
			layout:  layout{split: "model", down: "period", across: "stage", value: "customers", order: "position", bars: []string{"customers"}},
		},
		{
			Name: "flow", Title: "Flow between stages", View: "kpi_flow",
			Meaning: "Stage changes from one stage to another per period, of cause event and deadline. Corrections by late events, merges and new definitions have columns of their own.",
			Query: `SELECT model, period, from_stage, to_stage, direction, changes, customers, by_event, by_deadline, by_late_event, by_identity, by_definition, by_end, closed FROM {{db}}.kpi_flow` +
				whereGrain + ` ORDER BY model, from_stage NULLS FIRST, to_stage NULLS LAST, period`,
			layout: layout{split: "model", group: []string{"from_stage", "to_stage", "direction"}, down: "period", value: "changes"},
		},
		{
			Name: "churn", Title: "Churn", View: "kpi_churn",
			Meaning: "Customers who were in a stage neither churned nor first at the period's start and in a churned one at its end, by an event or a deadline / all who were in such a stage at its start.",
			Query:   `SELECT model, period, at_start, churned, churn_rate, by_late_event, by_identity, by_definition, closed FROM {{db}}.kpi_churn` + whereGrain + ` ORDER BY model, period`,
			layout:  layout{split: "model", bars: []string{"churn_rate"}, hide: []string{"by_late_event", "by_identity", "by_definition"}},
		},
		{
			Name: "reactivation", Title: "Reactivation", View: "kpi_reactivation",
			Meaning: "Customers in churned or at-risk stages at the period's start who left these upward by an event in the period / all in such stages at its start.",
			Query:   `SELECT model, period, at_start, reactivated, reactivation_rate, by_late_event, by_identity, by_definition, closed FROM {{db}}.kpi_reactivation` + whereGrain + ` ORDER BY model, period`,
			layout:  layout{split: "model", bars: []string{"reactivation_rate"}, hide: []string{"by_late_event", "by_identity", "by_definition"}},
		},
		{
			Name: "time-in-stage", Title: "Median time in stage", View: "kpi_time_in_stage",
			Meaning: "Kaplan-Meier median of the stays that began in the period by an event or a deadline, in days of 24 hours; stays that last are censored at the clock.",
			Query: `SELECT t.model AS model, t.period AS period, t.stage AS stage, s.position AS position, spells, ended, open, cut, median_days, median, begun_by_late_event, begun_by_identity, begun_by_definition` +
				` FROM {{db}}.kpi_time_in_stage AS t LEFT JOIN {{db}}.model_stages AS s ON s.model = t.model AND s.stage = t.stage` +
				` WHERE grain = @grain AND (@model = '' OR t.model = @model) ORDER BY model, period, position, stage`,
			layout: layout{split: "model", down: "period", across: "stage", value: "median", order: "position"},
		},
		{
			Name: "repeat-rate", Title: "Repeat purchase", View: "kpi_repeat_rate",
			Meaning: "Customers with at least two orders / customers with at least one, to date.",
			Query:   `SELECT * FROM {{db}}.kpi_repeat_rate ORDER BY event`,
			layout:  layout{bars: []string{"repeat_rate"}},
		},
		{
			Name: "new-to-second", Title: "New to second purchase", View: "kpi_new_to_second",
			Meaning: "First buyers of the month with a second order within 30, 60, 90, 180, 365 days / first buyers of the month. Only closed cohorts: all of the month's windows have ended.",
			Query:   `SELECT * FROM {{db}}.kpi_new_to_second ORDER BY event, cohort`,
			layout:  layout{split: "event", hide: []string{"within_30", "within_60", "within_90", "within_180", "within_365"}},
		},
		{
			Name: "revenue-by-stage", Title: "Revenue by stage before the order", View: "kpi_revenue_by_stage",
			Meaning: "Revenue of the period's orders by the stage the customer was in just before each order; (first) is a customer's first event.",
			Query: `SELECT r.model AS model, event, period, r.stage AS stage, s.position AS position, orders, revenue, average_order_value, share, currency, closed FROM {{db}}.kpi_revenue_by_stage AS r` +
				` LEFT JOIN {{db}}.model_stages AS s ON s.model = r.model AND s.stage = r.stage` +
				` WHERE grain = @grain AND (@model = '' OR r.model = @model) ORDER BY model, event, period, position, stage`,
			layout: layout{split: "model", down: "period", across: "stage", value: "revenue", order: "position"},
		},
		{
			Name: "clock", Title: "Where the data stands", View: "kpi_clock",
			Meaning: "The greatest instant in the data: what is now for all KPIs.",
			Query:   `SELECT * FROM {{db}}.kpi_clock`,
		},
	}
}

// Find is the KPI of that name; underscores and the view's name will do, too.
func Find(name string) (KPI, bool) {
	name = strings.ReplaceAll(name, "_", "-")
	for _, k := range Catalogue() {
		if name == k.Name || name == strings.ReplaceAll(k.View, "_", "-") {
			return k, true
		}
	}
	return KPI{}, false
}

// List is the catalogue itself as a result, for programs.
func List() *Result {
	r := &Result{
		KPI:     KPI{Name: "list", Title: "KPIs"},
		Columns: []Column{{"name", "String"}, {"title", "String"}, {"meaning", "String"}, {"view", "String"}},
	}
	for _, k := range Catalogue() {
		r.Rows = append(r.Rows, []any{k.Name, k.Title, k.Meaning, k.View})
	}
	return r
}
