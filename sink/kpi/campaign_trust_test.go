// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"slices"
	"testing"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/sinktest"
)

// periods are those of an instant: the first local date, by grain.
func (o *campaignOracle) periods(at instant.Instant) map[string]string {
	local := at.Time().In(o.h.Zone)
	y, m, day := local.Date()
	return map[string]string{
		"day":   local.Format(time.DateOnly),
		"week":  time.Date(y, m, day-(int(local.Weekday())+6)%7, 0, 0, 0, 0, time.UTC).Format(time.DateOnly),
		"month": time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Format(time.DateOnly),
	}
}

func (o *campaignOracle) byPeriod(t *testing.T, d *sinktest.Database) {
	all := o.groups(false, func(a *record.Record) (periods [][3]string) {
		for grain, first := range o.periods(a.EffectiveAt) {
			periods = append(periods, [3]string{grain, "", first})
		}
		return periods
	})
	var want []row
	for _, k := range keys(all) {
		if _, g := o.goal(k); g.Baseline {
			continue
		}
		for _, a := range all[k] {
			low, high := wilson(a.converted, a.assigned)
			want = append(want, row{
				"campaign": k.campaign, "goal": k.goal, "grain": k.by, "period": k.target, "variant": null(a.variant), "holdout": a.holdout,
				"assigned": a.assigned, "open": a.open, "converted": a.converted, "conversion_rate": over(a.converted, a.assigned),
				"rate_low": orNil(a.assigned > 0, max(0, low)), "rate_high": orNil(a.assigned > 0, min(1, high)),
			})
		}
	}
	agree(t, d, "kpi_campaign_by_period", []string{"campaign", "goal", "grain", "period", "variant", "holdout"}, want)
}

func (o *campaignOracle) trust(t *testing.T, d *sinktest.Database) {
	everyone := o.groups(false, func(*record.Record) [][3]string { return [][3]string{{"everyone", "", ""}} })
	var want []row
	for i := range o.h.Campaigns {
		c := &o.h.Campaigns[i]
		shares := map[string]float64{"": c.Holdout}
		for _, v := range c.Variants {
			shares[v.Name] = v.Share
		}
		arms := everyone[group{c.Name, c.Goals[0].Name, "everyone", "", ""}]
		total := 0.0
		for _, a := range arms {
			total += a.comparable
		}
		ratio, told := o.ratioOf(c.Name, everyone)
		for _, a := range arms {
			w := row{"campaign": c.Name, "variant": null(a.variant), "holdout": a.holdout, "assigned": a.assigned + a.open, "comparable": a.comparable, "sample_ratio_p": orNil(told, ratio), "share": shares[a.variant], "expected": shares[a.variant] * total}
			leaked, crossed, merged := 0, 0, 0
			for customer, rounds := range o.assigned[c.Name] {
				if rounds[0].Variant != a.variant || rounds[0].Holdout != a.holdout {
					continue
				}
				if a.holdout && slices.ContainsFunc(o.touches[customer], func(x touch) bool { return x.Campaign == c.Name && x.at >= rounds[0].EffectiveAt }) {
					leaked++
				}
				if o.crosses(c, customer, rounds) {
					crossed++
				}
				if slices.ContainsFunc(o.h.Merges, func(m record.Record) bool {
					lost := o.assigned[c.Name][m.CustomerID]
					return m.MergedInto == customer && len(lost) > 0 && (lost[0].Variant != a.variant || lost[0].Holdout != a.holdout)
				}) {
					merged++
				}
			}
			w["leaked"], w["crossed"], w["merged"] = leaked, crossed, merged
			switch {
			case c.Name == "elsewhere":
				w["verdict"], w["share"], w["expected"] = "assigned elsewhere", nil, nil
			case told && ratio < 0.001:
				w["verdict"] = "assignment is broken"
			case told:
				w["verdict"] = "as planned"
			default:
				w["verdict"] = "not enough data yet"
			}
			want = append(want, w)
		}
	}
	agree(t, d, "kpi_campaign_trust", []string{"campaign", "variant", "holdout"}, want)
}

// crosses tells whether the customer was in another campaign with a common goal, while
// both windows were open.
func (o *campaignOracle) crosses(c *sinktest.Campaign, customer string, rounds []*record.Record) bool {
	for i := range o.h.Campaigns {
		other := &o.h.Campaigns[i]
		var mine, theirs time.Duration
		for _, g := range c.Goals {
			for _, x := range other.Goals {
				if g.Event == x.Event && g.When == x.When {
					mine, theirs = max(mine, g.Within()), max(theirs, x.Within())
				}
			}
		}
		if other.Name == c.Name || mine == 0 {
			continue
		}
		for _, a := range rounds {
			for _, b := range o.assigned[other.Name][customer] {
				if a.EffectiveAt < b.EffectiveAt.Add(theirs) && b.EffectiveAt < a.EffectiveAt.Add(mine) {
					return true
				}
			}
		}
	}
	return false
}
