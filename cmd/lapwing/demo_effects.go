// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"lapwing/stream/generate"
)

// foundEffect is a row of kpi_campaign_lift about everyone assigned.
type foundEffect struct {
	Campaign   string   `ch:"campaign"`
	Goal       string   `ch:"goal"`
	Variant    string   `ch:"arm"`
	Assigned   uint64   `ch:"assigned"`
	Rate       *float64 `ch:"conversion_rate"`
	Holdout    *float64 `ch:"holdout_rate"`
	Difference *float64 `ch:"difference"`
	Low        *float64 `ch:"difference_low"`
	High       *float64 `ch:"difference_high"`
	Verdict    string   `ch:"verdict"`
}

// effects shows each campaign's lift as ClickHouse finds it, beside what is known: what was
// set, or nothing where no mail was ever sent.
func (d *demo) effects(ctx context.Context) error {
	var found []foundEffect
	err := d.conn.Select(ctx, &found, fmt.Sprintf(`
		SELECT l.campaign AS campaign, l.goal AS goal, assumeNotNull(l.variant) AS arm, assigned, conversion_rate, holdout_rate, difference, difference_low, difference_high, verdict
		FROM %[1]s.kpi_campaign_lift AS l
		INNER JOIN %[1]s.campaigns AS c ON c.campaign = l.campaign
		WHERE l.by = 'everyone' AND l.variant IS NOT NULL
		ORDER BY c.position, indexOf(c.goals, l.goal), indexOf(c.variants, arm)`, d.clickhouse.Database))
	if err != nil {
		return fmt.Errorf("ask ClickHouse for the campaigns' lift: %w", err)
	}
	known := "set"
	if d.base.truth == nil {
		known = "true"
		d.show.say(`
The campaign winback, %s: conversion of those assigned against their holdout, with its 95 %% interval.
No mail was ever sent there, so this is an A/A test: the true lift is 0, and what is found is chance.`, d.base.title)
	} else {
		d.show.say("\nWhat the campaigns changed: conversion of those assigned against their holdout, with its 95 %% interval, and what was set")
	}
	t := newDemoTable("campaign", "goal", "variant", "assigned", "rate", "holdout", "lift", "interval", known, "", "verdict")
	within, set := 0, 0
	for i := range found {
		f := &found[i]
		mark, truth := "", ""
		if effect, ok := d.base.effectOf(f.Campaign, f.Goal, f.Variant); ok {
			truth = points(&effect)
			if f.Low != nil {
				set++
				if mark = "✗"; *f.Low <= effect && effect <= *f.High {
					mark = "✓"
					within++
				}
			}
		}
		t.AppendRow(table.Row{f.Campaign, f.Goal, f.Variant, grouped(int64(f.Assigned)), percent(f.Rate), percent(f.Holdout), points(f.Difference), interval(f.Low, f.High), truth, mark, f.Verdict})
	}
	d.show.table(t)
	d.show.say("  In percentage points. Of %s %d hold what is true: of a hundred about 95 should. The verdict is right however often one looks.", times(set, "interval"), within)
	if d.base.truth == nil {
		return nil
	}
	return d.segmentEffects(ctx, d.base.truth)
}

// effectOf is what is known of the lift of a variant; ok is false if nothing is.
func (b *demoBase) effectOf(campaign, goal, variant string) (effect float64, ok bool) {
	if b.truth == nil {
		return 0, true
	}
	arm, ok := b.truth.Find(campaign, goal, "", variant)
	return arm.Effect, ok
}

// segmentEffects shows the same of one goal whose effect differs by targeted segment.
func (d *demo) segmentEffects(ctx context.Context, truth *generate.Truth) error {
	goal := truth.Varied()
	if goal == nil {
		return nil
	}
	var found []struct {
		Segment    string   `ch:"segment"`
		Variant    string   `ch:"arm"`
		Assigned   uint64   `ch:"assigned"`
		Difference *float64 `ch:"difference"`
		Low        *float64 `ch:"difference_low"`
		High       *float64 `ch:"difference_high"`
	}
	err := d.conn.Select(ctx, &found, fmt.Sprintf(`
		SELECT if(by = 'stage', concat(model, '=', target), target) AS segment, assumeNotNull(l.variant) AS arm, assigned, difference, difference_low, difference_high
		FROM %s.kpi_campaign_lift AS l
		WHERE campaign = ? AND goal = ? AND by != 'everyone' AND l.variant IS NOT NULL AND has(?, segment)
		ORDER BY segment, arm`, d.clickhouse.Database), goal.Campaign, goal.Goal, goal.By)
	if err != nil {
		return fmt.Errorf("ask ClickHouse for the lift by targeted segment: %w", err)
	}
	d.show.say("\nThe same of %s, %s, by targeted segment: the stage or segment a customer was in when assigned", goal.Campaign, goal.Goal)
	t := newDemoTable("targeted segment", "variant", "assigned", "lift", "interval", "set")
	for i := range found {
		f := &found[i]
		if arm, ok := truth.Find(goal.Campaign, goal.Goal, f.Segment, f.Variant); ok {
			t.AppendRow(table.Row{f.Segment, f.Variant, grouped(int64(f.Assigned)), points(f.Difference), interval(f.Low, f.High), points(&arm.Effect)})
		}
	}
	d.show.table(t)
	return nil
}

// percent is a share in percent; a dash for none.
func percent(x *float64) string {
	if x == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100**x)
}

// points is a difference of shares in percentage points, with its sign.
func points(x *float64) string {
	if x == nil {
		return "–"
	}
	return fmt.Sprintf("%+.1f", 100**x)
}

func interval(low, high *float64) string {
	if low == nil || high == nil {
		return "–"
	}
	return points(low) + " to " + points(high)
}

// newDemoTable looks like the KPIs' tables: words to the left, figures to the right.
func newDemoTable(head ...string) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.DrawBorder, style.Options.SeparateColumns = false, false
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	var row table.Row
	var configs []table.ColumnConfig
	for i, h := range head {
		row = append(row, h)
		c := table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight}
		switch h {
		case "campaign", "goal", "variant", "targeted segment", "verdict":
			c.Align, c.AlignHeader = text.AlignLeft, text.AlignLeft
		}
		configs = append(configs, c)
	}
	t.AppendHeader(row)
	t.SetColumnConfigs(configs)
	return t
}

func (s *demoScreen) table(t table.Writer) {
	for line := range strings.Lines(t.Render() + "\n") {
		s.say("  %s", strings.TrimRight(line, " \n"))
	}
}
