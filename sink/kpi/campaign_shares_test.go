// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/sinktest"
)

// changedShares is a campaign that changes nothing. In version 1 of the definition half
// were held out and 20 of 100 converted; in version 2, a tenth is held out and 2 of 100
// convert. The variants' shares changed, too.
func changedShares() *sinktest.CampaignHistory {
	const window = 7 * 24 * time.Hour
	tone := func(v string) []sinktest.Property { return []sinktest.Property{{Name: "tone", Value: v}} }
	c := sinktest.Campaign{
		Name: "spring", Holdout: 0.1, Cost: sinktest.Cost{Per: "delivered", Amount: "0.5", Fixed: "100", Currency: "EUR"}, Margin: "0.5",
		Variants: []sinktest.Variant{{Name: "kind", Share: 0.45, Properties: tone("kind")}, {Name: "stern", Share: 0.45, Properties: tone("stern")}},
		Goals: []sinktest.Goal{
			{Name: "bought", Event: "purchase", WithinMS: window.Milliseconds(), Value: "total"},
			{Name: "visits", Event: "session", WithinMS: window.Milliseconds(), Baseline: true},
		},
	}
	former := c
	former.Holdout = 0.5
	former.Variants = []sinktest.Variant{{Name: "kind", Share: 0.4}, {Name: "stern", Share: 0.1}}
	h := &sinktest.CampaignHistory{
		Definition: "shop", Zone: time.UTC, Clock: instant.Of(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)),
		Former: []sinktest.Campaign{former}, Campaigns: []sinktest.Campaign{c},
	}
	for version, arms := range []map[string]int{{"": 1000, "kind": 800, "stern": 200}, {"": 400, "kind": 1800, "stern": 1800}} {
		perHundred := []int{20, 2}[version]
		for _, variant := range []string{"", "kind", "stern"} {
			for i := range arms[variant] {
				at := instant.Of(time.Date(2026, time.Month(1+version), 10, 0, 0, 0, 0, time.UTC))
				a := record.Record{
					Kind: record.Assignment, CustomerID: fmt.Sprint(version+1, variant, i), Definition: "shop", DefinitionVersion: int64(version + 1), Campaign: "spring",
					Variant: variant, Holdout: variant == "", Round: 1, Sequence: 1, EffectiveAt: at, DetectedAt: at,
					Stages: []record.StageAt{{Model: "value", Stage: "lost"}}, Cause: record.Cause{Type: record.CauseEvent, EventTime: at}, Since: instant.None, NextDeadline: instant.None,
				}
				a.SetID()
				h.Records = append(h.Records, a)
				converts := i%100 < perHundred
				for _, goal := range c.Goals {
					v := a
					v.Kind, v.Goal, v.AssignedAt, v.HasValue = record.Conversion, goal.Name, at, true
					v.EffectiveAt, v.DetectedAt = at.Add(window), at.Add(window)
					// All values alike would leave nothing to scatter.
					if v.Value = decimal.Decimal(40+i%3) * decimal.Scale; !converts {
						v.Value = 0
					}
					if v.SetID(); goal.Baseline || converts {
						h.Records = append(h.Records, v)
					}
				}
				if variant != "" {
					h.Activity = append(h.Activity, record.Activity{
						CustomerID: a.CustomerID, EventTime: at, Type: "track", Event: "Email Delivered", SessionStart: at,
						Exposures: []record.Exposure{{Campaign: "spring", Channel: "email", Step: "delivered"}},
					})
				}
			}
		}
	}
	return h
}

// TestChangeOfSharesIsNoEffect: what compares arms leaves out those assigned when the shares
// were others, and says how many. All together, the treated would seem to convert by 8.6
// points less than the holdout, though nothing was caused.
func TestChangeOfSharesIsNoEffect(t *testing.T) {
	h := changedShares()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "shares")
	arrive(t, d, h.Batch(1), rand.New(rand.NewPCG(8, 8)))
	count := func(column string, r row) float64 {
		n, ok := number(r[column])
		if !ok {
			t.Fatalf("%s is %v: %v", column, r[column], r)
		}
		return n
	}
	treated, out := 0.0, 0.0 // converted, of 2,800 and of 1,200
	for _, r := range read(t, d, "kpi_campaign_conversion") {
		switch {
		case r["by"] != "everyone":
		case r["holdout"] == true:
			out += count("converted", r)
		default:
			treated += count("converted", r)
		}
	}
	if pooled := treated/4600 - out/1400; math.Abs(pooled+0.0894) > 0.001 {
		t.Errorf("pooled, the difference is %.4f: this history shows nothing, or what only describes leaves somebody out", pooled)
	}
	for _, view := range []string{"kpi_campaign_lift", "kpi_campaign_revenue", "kpi_campaign_rise"} {
		rows := read(t, d, view)
		if len(rows) != 2*3 { // everyone and one stage; two variants and all
			t.Errorf("%s: %d rows", view, len(rows))
		}
		for _, r := range rows {
			assigned, former := 1800.0, map[any]float64{"kind": 1800, "stern": 1200, nil: 2000}[r["variant"]]
			if r["variant"] == nil {
				assigned = 3600
			}
			if count("assigned", r) != assigned || count("holdout_assigned", r) != 400 || count("former", r) != former {
				t.Errorf("%s compares others, or says so wrongly: %v", view, r)
			}
			if r["verdict"] != "no difference shown yet" || math.Abs(count("difference", r)) > 0.01 {
				t.Errorf("%s finds an effect: %v", view, r)
			}
		}
	}
	factors := read(t, d, "kpi_campaign_factors")
	if len(factors) != 2 {
		t.Errorf("kpi_campaign_factors: %d rows", len(factors))
	}
	for _, r := range factors {
		if r["verdict"] != "no difference shown yet" || count("difference", r) != 0 || count("former", r) != 1000 {
			t.Errorf("kpi_campaign_factors finds an effect: %v", r)
		}
	}
	for _, r := range read(t, d, "kpi_campaign_return") {
		if r["variant"] != nil {
			if count("treated", r) != 1800 || count("messages", r) != 1800 || count("cost", r) != 950 {
				t.Errorf("kpi_campaign_return: %v", r)
			}
			continue
		}
		// 3,600 messages of half a euro, and 100: the other 1,000 went to those left out.
		if count("treated", r) != 3600 || count("messages", r) != 3600 || count("cost", r) != 1900 || count("attributed_cost", r) != 2400 || count("former", r) != 2000 {
			t.Errorf("kpi_campaign_return: %v", r)
		}
	}
	for _, r := range read(t, d, "kpi_campaign_trust") {
		if r["sample_ratio_p"] != 1.0 {
			t.Errorf("kpi_campaign_trust: %v", r)
		}
	}
}
