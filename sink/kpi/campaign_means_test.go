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

// TestHolmOfEqualPValues: tests with the same p-value have the same corrected one: the
// p-value times the number of all, as for the smallest.
func TestHolmOfEqualPValues(t *testing.T) {
	const same, window = 100, 7 * 24 * time.Hour
	h := &sinktest.CampaignHistory{
		Definition: "shop", Zone: time.UTC, Clock: instant.Of(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)),
		Campaigns: []sinktest.Campaign{{
			Name: "spring", Holdout: 0.5, Variants: []sinktest.Variant{{Name: "only", Share: 0.5}}, End: "2026-02-01T00:00:00Z",
			Goals: []sinktest.Goal{{Name: "bought", Event: "purchase", WithinMS: window.Milliseconds(), Value: "total"}},
		}},
	}
	segments := make([]string, same)
	for i := range segments {
		segments[i] = fmt.Sprintf("segment-%03d", i)
	}
	at := instant.Of(time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC))
	for i := range 800 {
		a := record.Record{
			Kind: record.Assignment, CustomerID: fmt.Sprint(i), Definition: "shop", DefinitionVersion: 2, Campaign: "spring", Holdout: i%2 == 0, Round: 1, Sequence: 1,
			EffectiveAt: at, DetectedAt: at, Segments: segments, Cause: record.Cause{Type: record.CauseEvent, EventTime: at}, Since: instant.None, NextDeadline: instant.None,
		}
		if !a.Holdout {
			a.Variant = "only"
		}
		a.SetID()
		h.Records = append(h.Records, a)
		if i%2 == 0 && i%20 != 0 || i%2 == 1 && i%8 != 1 {
			continue
		}
		v := a
		v.Kind, v.Goal, v.AssignedAt, v.HasValue, v.Value = record.Conversion, "bought", at, true, decimal.Decimal(20+i%3)*decimal.Scale
		v.EffectiveAt, v.DetectedAt = at.Add(window), at.Add(window)
		v.SetID()
		h.Records = append(h.Records, v)
	}
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "holm")
	arrive(t, d, h.Batch(1), rand.New(rand.NewPCG(3, 3)))
	for _, view := range []string{"kpi_campaign_lift", "kpi_campaign_revenue"} {
		tests := 0
		for _, r := range read(t, d, view) {
			if r["by"] != "segment" {
				continue
			}
			tests++
			for _, name := range []string{"always_valid_p", "p_value"} {
				p, told := number(r[name])
				corrected, _ := number(r[name+"_holm"])
				if want := math.Min(1, same*p); !told || p == 0 || p > 1 || math.Abs(corrected-want) > 1e-9*want {
					t.Fatalf("%s, %v: %s is %v, corrected %v, want %v", view, r["target"], name, r[name], r[name+"_holm"], want)
				}
			}
		}
		if tests != same {
			t.Errorf("%s: %d tests", view, tests)
		}
	}
}

// TestZerosAreNotEnough: customers whose rise is 0, or whose order was refunded whole, are no
// customers with a value: with four others in the holdout, nothing is claimed of means.
func TestZerosAreNotEnough(t *testing.T) {
	const window = 7 * 24 * time.Hour
	at := instant.Of(time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC))
	c := sinktest.Campaign{
		Name: "spring", Holdout: 0.5, Variants: []sinktest.Variant{{Name: "only", Share: 0.5}},
		Goals: []sinktest.Goal{
			{Name: "bought", Event: "purchase", WithinMS: window.Milliseconds(), Value: "total"},
			{Name: "visits", Event: "session", WithinMS: window.Milliseconds(), Baseline: true},
		},
	}
	h := &sinktest.CampaignHistory{Definition: "shop", Zone: time.UTC, Clock: at.Add(30 * 24 * time.Hour), Campaigns: []sinktest.Campaign{c}}
	for i := range 120 {
		a := record.Record{
			Kind: record.Assignment, CustomerID: fmt.Sprint(i), Definition: "shop", DefinitionVersion: 2, Campaign: "spring", Holdout: i%2 == 0, Round: 1, Sequence: 1,
			EffectiveAt: at, DetectedAt: at, Cause: record.Cause{Type: record.CauseEvent, EventTime: at}, Since: instant.None, NextDeadline: instant.None,
		}
		if !a.Holdout {
			a.Variant = "only"
		}
		a.SetID()
		h.Records = append(h.Records, a)
		for _, goal := range c.Goals {
			v := a
			v.Kind, v.Goal, v.AssignedAt, v.HasValue, v.Value = record.Conversion, goal.Name, at, true, decimal.Decimal(1+i%3)*decimal.Scale
			if v.EffectiveAt, v.DetectedAt = at.Add(window), at.Add(window); a.Holdout && i >= 8 {
				v.Value = 0
			}
			v.SetID()
			h.Records = append(h.Records, v)
		}
	}
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "zeros")
	arrive(t, d, h.Batch(1), rand.New(rand.NewPCG(4, 4)))
	for _, view := range []string{"kpi_campaign_revenue", "kpi_campaign_rise"} {
		rows := read(t, d, view)
		if len(rows) != 1 || rows[0]["assigned"] != uint64(60) || rows[0]["verdict"] != "not enough data yet" || rows[0]["always_valid_p"] != nil || rows[0]["difference_low"] != nil {
			t.Errorf("%s: %v", view, rows)
		}
	}
}
