// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"strconv"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

// Buckets is how many buckets customers fall into by their hash. Shares are counted
// in them, which is why a share has at most two decimals of a percent.
const Buckets = 10_000

// Campaign says who is targeted, compared with whom, and to what end. Customers come
// in by Audience or by Assigned, never both.
type Campaign struct {
	Name     Text
	Audience Text      // a condition; zero if Assigned is set
	Assigned *Assigned // nil if Audience is set
	Salt     Text      // what the arm is hashed with; the campaign's name by default
	Holdout  int       // its share in hundredths of a percent
	Variants []Variant // in the order of the file
	Goals    []Goal
	Every    time.Duration   // assigned again after so long; 0: once
	Start    instant.Instant // None if left out
	End      instant.Instant // the first instant after it; None if left out
	Exclude  []Text          // campaigns: who was assigned in one of them is no part of the audience
	Consent  Text            // a channel: who has not consented to it is no part of the audience
	Max      int64           // rounds of a customer at most; 0: no bound
	Journey  Text
	Step     Text
	Cost     *Cost
	// Margin is the share of the revenue that is left, 0.4 for 40%, if HasMargin.
	Margin    decimal.Decimal
	HasMargin bool
}

// Assigned tells by which messages another system assigns customers.
type Assigned struct {
	Match   []Match
	Where   Text // CEL over the message
	Variant Text // CEL over the message: the variant's name
	Holdout Text // CEL over the message: true for the holdout
}

// Variant is one arm beside the holdout.
type Variant struct {
	Name       Text
	Share      int        // in hundredths of a percent
	Properties []Property // factors of a multivariate test, in the order of the file
	// Cost is the variant's own: its messages cost Amount instead of the campaign's, and
	// Fixed comes on top; nil if it has none.
	Cost *Cost
}

// Property is one factor of a variant and its level, such as length: short.
type Property struct{ Name, Value Text }

// GoalValue says what a conversion is worth.
type GoalValue string

// The values of goals.
const (
	NoValue    GoalValue = ""
	FirstValue GoalValue = "first" // the converting event's
	TotalValue GoalValue = "total" // the sum over the window
)

// Goal is what a customer is meant to do within a time after the assignment: an Event,
// or that When becomes true.
type Goal struct {
	Name   Text
	Event  Text
	When   Text
	Within time.Duration
	Value  GoalValue
	// Baseline compares the window with one of the same length just before the
	// assignment; the outcome is known when the window closes.
	Baseline bool
}

// Cost is what a campaign costs: Amount for each exposure of the step Per, and Fixed once.
type Cost struct {
	Per           Text
	Amount, Fixed decimal.Decimal
	Currency      string // the definition's by default
}

// readCampaigns reads the campaigns and the share of customers kept out of all of them.
func (r *fileReader) readCampaigns(f *fields) {
	r.d.GlobalHoldout = r.percent(f.get("global_holdout"), "`global_holdout`")
	if f.given("global_holdout") {
		r.d.GlobalHoldoutPos = f.key("global_holdout").Pos
	}
	n := f.get("campaigns")
	if n == nil {
		return
	}
	r.d.CampaignsPos = f.key("campaigns").Pos
	first := map[string]Pos{}
	for _, item := range r.items(n, "`campaigns`") {
		cf, ok := r.fields(item, "a campaign", "name", "audience", "assigned", "salt", "holdout", "variants", "goals", "every",
			"start", "end", "exclude", "consent", "max", "journey", "step", "cost", "margin")
		if ok {
			r.d.Campaigns = append(r.d.Campaigns, r.campaign(cf, first))
		}
	}
	r.checkExclusions()
}

func (r *fileReader) campaign(f *fields, first map[string]Pos) Campaign {
	c := Campaign{Start: instant.None, End: instant.None}
	if v := f.require("name"); v != nil {
		c.Name = r.newName(v, "campaign", first)
		f.what = "campaign " + quote(c.Name.Value)
	}
	switch audience, assigned := f.given("audience"), f.given("assigned"); {
	case audience && assigned:
		r.add(f.key("assigned").Pos, "%s has both `audience` and `assigned`: one of them must go", f.what)
	case !audience && !assigned:
		f.missing("%s needs the key `audience` or `assigned`", f.what)
	case assigned:
		for _, key := range []string{"salt", "exclude", "consent"} {
			if f.given(key) {
				r.add(f.key(key).Pos, "`%s` goes with `audience`: who is assigned by another system is not chosen here; take it out", key)
			}
		}
	case !f.given("variants"):
		f.missing("%s needs the key `variants`, such as {a: 90%%} beside a holdout of 10%%", f.what)
	}
	c.Audience = r.condition(f.get("audience"), "`audience`")
	if n := f.get("assigned"); n != nil {
		c.Assigned = r.assigned(n)
	}
	c.Salt = c.Name
	if n := f.get("salt"); n != nil {
		c.Salt, _ = r.text(n, "`salt`")
	}
	r.arms(f, &c)
	r.goals(f.get("goals"), &c)
	c.Every = r.duration(f.get("every"), "`every`", aboveZero, 0)
	c.Start, c.End = r.time(f.get("start"), "`start`"), r.time(f.get("end"), "`end`")
	if !c.Start.IsNone() && !c.End.IsNone() && c.End <= c.Start {
		r.add(f.key("end").Pos, "%s ends before it starts: `end` must be later than `start`", f.what)
	}
	c.Exclude = r.excluded(f.get("exclude"))
	if n := f.get("consent"); n != nil {
		c.Consent, _ = r.name(n, "channel")
	}
	c.Max = r.most(f)
	if n := f.get("journey"); n != nil {
		c.Journey, _ = r.text(n, "`journey`")
	}
	if n := f.get("step"); n != nil {
		c.Step, _ = r.text(n, "`step`")
	}
	if n := f.get("cost"); n != nil {
		c.Cost = r.cost(n)
	}
	if n := f.get("margin"); n != nil {
		// A hundredth of a percent is one ten-thousandth, which is what a decimal counts.
		c.Margin, c.HasMargin = decimal.Decimal(r.percent(n, "`margin`")), true
	}
	return c
}

func (r *fileReader) assigned(n *node) *Assigned {
	f, ok := r.fields(n, "`assigned`", "match", "where", "variant", "holdout")
	if !ok {
		return nil
	}
	a := &Assigned{}
	if v := f.require("match"); v != nil {
		a.Match = r.match(v)
	}
	a.Where = r.condition(f.get("where"), "`where`")
	a.Variant = r.condition(f.get("variant"), "`variant`")
	a.Holdout = r.condition(f.get("holdout"), "`holdout`")
	return a
}

// arms reads the holdout and the variants, which share all customers between them.
func (r *fileReader) arms(f *fields, c *Campaign) {
	c.Holdout = r.percent(f.get("holdout"), "`holdout`")
	n := f.get("variants")
	if n == nil {
		return
	}
	if n.kind != mapping {
		r.add(n.pos, "`variants` must be a mapping of names to shares, not %s", n.kind)
		return
	}
	if len(n.entries) == 0 {
		r.add(n.pos, "`variants` is empty: name at least one, such as {a: 90%%}")
		return
	}
	sum, whole := c.Holdout, true
	for _, e := range r.unique(n, "variant") {
		if e.key.Value == "holdout" {
			r.add(e.key.Pos, "`holdout` is no variant: put its share beside `variants`")
			whole = false
			continue
		}
		v, ok := r.variant(e)
		c.Variants = append(c.Variants, v)
		whole = whole && ok
		sum += v.Share
	}
	// A share that could not be read was reported; then the sum says nothing.
	if whole && sum != Buckets && (f.get("holdout") != nil || !f.given("holdout")) {
		r.add(f.key("variants").Pos, "the shares of %s and its holdout sum to %s: they must sum to 100%%", f.what, formatPercent(sum))
	}
}

// variant reads `a: 45%` or `a: {share: 45%, length: short}`.
func (r *fileReader) variant(e entry) (v Variant, ok bool) {
	v.Name = e.key
	what := "variant " + quote(e.key.Value)
	ok = r.checkName(e.key, "variant")
	switch {
	case e.value.refused:
		return v, false
	case e.value.kind == null:
		r.add(e.key.Pos, "%s has no share: write one, such as 45%%", what)
		return v, false
	case e.value.kind == scalar:
		before := len(r.list)
		v.Share = r.percent(e.value, what)
		return v, ok && len(r.list) == before
	case e.value.kind != mapping:
		r.add(e.value.pos, "%s must be a share, such as 45%%, or a mapping with `share` and its properties, not %s", what, e.value.kind)
		return v, false
	}
	before, found := len(r.list), false
	for _, p := range r.unique(e.value, "key") {
		if p.key.Value == "share" {
			found = true
			if p.value.kind == null && !p.value.refused {
				r.add(p.key.Pos, "`share` has no value: write one behind the colon")
				continue
			}
			v.Share = r.percent(p.value, "`share`")
			continue
		}
		if p.key.Value == "cost" && p.value.kind == mapping {
			v.Cost = r.cost(p.value)
			continue
		}
		r.checkName(p.key, "property")
		if value, ok := r.text(p.value, "property "+quote(p.key.Value)); ok {
			v.Properties = append(v.Properties, Property{Name: p.key, Value: value})
		}
	}
	if !found {
		r.add(e.key.Pos, "%s needs the key `share`", what)
	}
	return v, ok && len(r.list) == before
}

func (r *fileReader) goals(n *node, c *Campaign) {
	if n == nil {
		return
	}
	first := map[string]Pos{}
	for _, item := range r.items(n, "`goals`") {
		if f, ok := r.fields(item, "a goal", "name", "event", "when", "within", "value", "baseline"); ok {
			c.Goals = append(c.Goals, r.goal(f, first))
		}
	}
}

func (r *fileReader) goal(f *fields, first map[string]Pos) Goal {
	var g Goal
	if v := f.require("name"); v != nil {
		g.Name = r.newName(v, "goal", first)
		f.what = "goal " + quote(g.Name.Value)
	}
	switch event, when := f.given("event"), f.given("when"); {
	case event && when:
		r.add(f.key("when").Pos, "%s has both `event` and `when`: one of them must go", f.what)
	case !event && !when:
		f.missing("%s needs the key `event` or `when`", f.what)
	case when:
		for _, key := range []string{"value", "baseline"} {
			if f.given(key) {
				r.add(f.key(key).Pos, "`%s` goes with `event`, which %s does not have: take it out", key, f.what)
			}
		}
	}
	if v := f.get("event"); v != nil {
		var ok bool
		if g.Event, ok = r.name(v, "event"); ok {
			r.checkEvent(g.Event)
		}
	}
	g.When = r.condition(f.get("when"), "`when`")
	g.Within = r.duration(f.require("within"), "`within`", aboveZero, 0)
	if v := f.get("value"); v != nil {
		if t, ok := r.text(v, "`value`"); ok {
			switch g.Value = GoalValue(t.Value); g.Value {
			case FirstValue, TotalValue:
			default:
				r.add(t.Pos, "`value` %s is not known: expected `first` or `total`%s", quote(t.Value), Suggest(t.Value, []string{"first", "total"}))
				g.Value = NoValue
			}
		}
	}
	if v := f.get("baseline"); v != nil {
		if t, ok := r.text(v, "`baseline`"); ok {
			if t.style != plain || t.Value != "true" && t.Value != "false" {
				r.add(t.Pos, "`baseline` must be true or false, not %s", quote(t.Value))
			}
			g.Baseline = t.Value == "true"
		}
	}
	if g.Baseline && g.Value == FirstValue && !f.given("when") {
		r.add(f.key("value").Pos, "%s compares two windows: its `value` can be `total`, or left out to count, not `first`", f.what)
	}
	return g
}

// checkEvent checks that the event is defined.
func (r *fileReader) checkEvent(name Text) {
	var names []string
	for _, e := range r.d.Events {
		if e.Name.Value == name.Value {
			return
		}
		names = append(names, e.Name.Value)
	}
	r.add(name.Pos, "event %s is not defined%s", quote(name.Value), suggestKey(name.Value, names))
}

func (r *fileReader) excluded(n *node) []Text {
	if n == nil {
		return nil
	}
	var out []Text
	first := map[string]Pos{}
	for _, item := range r.items(n, "`exclude`") {
		t, ok := r.name(item, "campaign")
		if !ok {
			continue
		}
		if at, twice := first[t.Value]; twice {
			r.add(t.Pos, "`exclude` lists campaign %s twice: it stands on line %d too; keep one of them", quote(t.Value), at.Line)
			continue
		}
		first[t.Value] = t.Pos
		out = append(out, t)
	}
	return out
}

// checkExclusions checks that campaigns exclude others that exist.
func (r *fileReader) checkExclusions() {
	known := map[string]bool{}
	var names []string
	for _, c := range r.d.Campaigns {
		known[c.Name.Value] = true
		names = append(names, c.Name.Value)
	}
	for _, c := range r.d.Campaigns {
		for _, x := range c.Exclude {
			switch {
			case x.Value == c.Name.Value:
				r.add(x.Pos, "campaign %s excludes itself: who was assigned is assigned again only with `every`; take it out", quote(x.Value))
			case !known[x.Value]:
				r.add(x.Pos, "campaign %s is not defined%s", quote(x.Value), suggestKey(x.Value, names))
			}
		}
	}
}

// most is `max`, how often a customer is assigned at most.
func (r *fileReader) most(f *fields) int64 {
	n := f.get("max")
	if n == nil {
		return 0
	}
	t, ok := r.text(n, "`max`")
	if !ok {
		return 0
	}
	most, err := strconv.ParseInt(t.Value, 10, 32)
	if err != nil || most < 1 || t.style != plain || t.Value != strconv.FormatInt(most, 10) {
		r.add(t.Pos, "`max` %s is no whole number from 1: it is how often one customer is assigned at most", quote(t.Value))
		return 0
	}
	if !f.given("every") && most > 1 {
		r.warn(f.key("max").Pos, "without `every`, a customer of %s is assigned once at most, whatever `max` says", f.what)
	}
	return most
}

func (r *fileReader) cost(n *node) *Cost {
	f, ok := r.fields(n, "`cost`", "per", "amount", "fixed", "currency")
	if !ok {
		return nil
	}
	c := &Cost{Currency: r.d.Currency}
	if len(n.entries) == 0 {
		r.add(n.pos, "`cost` is empty: give it an `amount` and what it is `per`, or what is `fixed`")
	}
	if f.given("per") != f.given("amount") {
		has, lacks := "per", "amount"
		if f.given("amount") {
			has, lacks = lacks, has
		}
		r.add(f.key(has).Pos, "`%s` needs the key `%s` beside it", has, lacks)
	}
	if v := f.get("per"); v != nil {
		c.Per, _ = r.name(v, "step")
	}
	c.Amount, c.Fixed = r.money(f.get("amount"), "`amount`"), r.money(f.get("fixed"), "`fixed`")
	if v := f.get("currency"); v != nil {
		if code := r.currency(v); code != "" {
			c.Currency = code
		}
	}
	return c
}
