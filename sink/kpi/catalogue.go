// SPDX-License-Identifier: Apache-2.0

// Package kpi is the catalogue of KPIs: what each means in words, the query that
// shows it, and how it is printed for people (aligned tables with small bars) or
// for programs (JSON, CSV). The figures themselves are views in ClickHouse
// (schemas/clickhouse), so any client of ClickHouse gets the same ones.
package kpi

import (
	"slices"
	"strings"
)

// KPI is one entry of the catalogue.
type KPI struct {
	Name  string // as typed: lapwing kpi NAME
	Title string
	Group string // what it is about, one of Groups
	Stage string // the stage that it is meant for; empty: any
	// Meaning says in full sentences what is counted and what is divided by what.
	Meaning string
	// Of the figure that matters most: what is counted, what that is divided by (empty:
	// nothing), what time it belongs to, and its unit.
	Numerator, Denominator, Time, Unit string

	View string // the view behind it
	// Query is the default query; {{db}} stands for the database, @grain and @model
	// for the options of that name (@model is empty for all models), @NAME for a parameter.
	Query  string
	Params []Param
	// Keep orders and bounds the rows that are kept of the view, if it has many more than
	// the query can show.
	Keep string
	By   string // the length of the periods that it is meant for; empty: month
	// Activity is what of activity the view needs: all or referenced; empty: nothing.
	Activity string
	// Needs is the key of a campaign or goal without which there is nothing to show; empty:
	// none.
	Needs string
	// layout is how the table format shows the rows.
	layout layout
}

// The keys of Needs.
const (
	keyBaseline = "baseline"
	keyJourney  = "journey"
)

// Param is something that the query leaves open, such as the name of an event.
type Param struct {
	Name    string
	Default string   // a number, or text
	Number  bool     // whether it is a number, without a sign or a point
	Event   bool     // whether it names an event of the definition, or some, separated by commas
	Among   []string // all that it may be; nil: anything
	Meaning string
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
	// interval are the columns of a figure's lower end, itself and its upper end: drawn
	// behind the figure, on one scale for all rows, with 0 marked.
	interval [3]string
	// percent are columns that are shares, though their names do not say so; points are
	// differences of shares, in percentage points.
	percent, points []string
	// counts are columns between two counts at times: shown whole where they are.
	counts []string
	// A variant that is null is the holdout, or all variants together.
	holdout, together bool
}

// ByPeriod reports whether it has rows by day, week or month.
func (k *KPI) ByPeriod() bool { return strings.Contains(k.Query, "@grain") }

// Groups are what KPIs are about, in the order in which they are listed.
func Groups() []string {
	var all []string
	for _, k := range Catalogue() {
		if !slices.Contains(all, k.Group) {
			all = append(all, k.Group)
		}
	}
	return all
}

// closedPeriod is a column that tells of a row's period whether it has ended, for views
// that do not tell it.
const closedPeriod = `, CAST(period NOT IN (SELECT period FROM {{db}}.kpi_periods WHERE grain = @grain AND NOT closed) AS Bool) AS closed`

const whereGrain = ` WHERE grain = @grain AND (@model = '' OR model = @model)`

// Catalogue is every KPI, in the order in which they are read best.
func Catalogue() []KPI {
	return slices.Concat(stageKPIs(), orderKPIs(), presetKPIs(), campaignKPIs(), dataKPIs())
}

const aboutData = "data"

// lastHours keeps what is by the hour to a page or two.
const lastHours = ` AND hour > (SELECT clock FROM {{db}}.kpi_clock) - toIntervalHour(@hours)`

var hours = []Param{{Name: "hours", Default: "24", Number: true, Meaning: "how far back from the clock"}}

// dataKPIs are about the data itself.
func dataKPIs() []KPI {
	return []KPI{
		{
			Name: "flow-by-hour", Title: "Flow between stages by hour", Group: aboutData, View: "kpi_flow_by_hour",
			Meaning:   "Stage changes from one stage to another per hour of the last weeks: those of cause event and deadline, and beside them the others.",
			Numerator: "changes from one stage to another by an event or a deadline", Time: "in the hour", Unit: "changes",
			Query:  `SELECT model, hour, from_stage, to_stage, changes, others FROM {{db}}.kpi_flow_by_hour WHERE (@model = '' OR model = @model)` + lastHours + ` ORDER BY model, hour, from_stage NULLS FIRST, to_stage NULLS LAST`,
			Params: hours,
			layout: layout{split: "model"},
		},
		{
			Name: "events-by-hour", Title: "Events by hour", Group: aboutData, View: "kpi_events_by_hour",
			Meaning:   "Occurrences of each event and the sum of their values per hour of the last weeks, by the stage held just before; rows without a model are of all customers.",
			Numerator: "occurrences of the event", Time: "in the hour", Unit: "occurrences",
			Query:  `SELECT event, model, hour, stage, occurrences, value, currency FROM {{db}}.kpi_events_by_hour WHERE (@model = '' OR model = @model)` + lastHours + ` ORDER BY event, model, hour, stage`,
			Params: hours,
			layout: layout{split: "event"},
		},
		{
			Name: "clock", Title: "Where the data stands", Group: aboutData, View: "kpi_clock",
			Meaning:   "The greatest instant in the data: what is now for all KPIs.",
			Numerator: "the greatest instant of any event or change", Time: "to date", Unit: "instant (UTC)",
			Query: `SELECT * FROM {{db}}.kpi_clock`,
		},
	}
}

// Find is the KPI of that name; underscores and the view's name will do, too.
func Find(name string) (KPI, bool) {
	name = strings.ReplaceAll(name, "_", "-")
	all := Catalogue()
	for _, k := range all {
		if name == k.Name {
			return k, true
		}
	}
	for _, k := range all {
		if name == strings.ReplaceAll(k.View, "_", "-") {
			return k, true
		}
	}
	return KPI{}, false
}

// List is the catalogue itself as a result, for programs.
func List() *Result {
	r := &Result{KPI: KPI{Name: "list", Title: "KPIs"}}
	for _, name := range []string{"name", "title", "group", "stage", "meaning", "numerator", "denominator", "time", "unit", "view"} {
		r.Columns = append(r.Columns, Column{name, "String"})
	}
	for _, k := range Catalogue() {
		r.Rows = append(r.Rows, []any{k.Name, k.Title, k.Group, k.Stage, k.Meaning, k.Numerator, k.Denominator, k.Time, k.Unit, k.View})
	}
	return r
}
