// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	os.Exit(m.Run())
}

// TestViewsAgainstOracle: every KPI view equals a computation by its definition,
// over random histories in zones with and without summer time, whatever the order
// in which the records arrive, how they are cut into inserts, and how often.
func TestViewsAgainstOracle(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	zones := []string{"Europe/Berlin", "Asia/Kathmandu", "America/Havana"} // the last has no midnight on 6 April
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			zone, err := time.LoadLocation(zones[seed])
			if err != nil {
				t.Fatal(err)
			}
			h := sinktest.New(seed, zone, sinktest.Size{Customers: 30, Changes: 12, Orders: 8})
			d := sinktest.NewDatabase(t, server.Options(), fmt.Sprintf("kpis_%d", seed))
			arrive(t, d, h.Records(1), rand.New(rand.NewPCG(seed, 1)))
			compare(t, d, newOracle(h), seed == 0)
		})
	}
}

// arrive inserts the records in a random order, in random batches, many of them
// several times.
func arrive(t *testing.T, d *sinktest.Database, records []batch.Record, rng *rand.Rand) {
	t.Helper()
	todo := slices.Clone(records)
	for _, r := range records {
		for rng.IntN(3) == 0 {
			todo = append(todo, r)
		}
	}
	rng.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	for len(todo) > 0 {
		n := 1 + rng.IntN(min(len(todo), 1+len(records)/2))
		if err := d.Insert(context.Background(), todo[:n]); err != nil {
			t.Fatal(err)
		}
		todo = todo[n:]
	}
}

// compare compares every view with the oracle; with parts, filtered by grain and model too.
func compare(t *testing.T, d *sinktest.Database, o *oracle, parts bool) {
	t.Helper()
	for _, c := range []struct {
		view, columns string
		want          string
	}{
		{"kpi_clock", "clock", o.now()},
		{"stage_intervals", "*", o.intervals()},
		{"kpi_stage_population", "*", o.population()},
		{"kpi_flow", "*", o.flow()},
		{"kpi_flow_by_hour", "*", o.flowByHour()},
		{"kpi_events_by_hour", "*", o.eventsByHour()},
		{"kpi_churn", "*", o.churn()},
		{"kpi_reactivation", "*", o.reactivation()},
		{"kpi_time_in_stage", "*", o.timeInStage()},
		{"kpi_repeat_rate", "*", o.repeatRate()},
		{"kpi_new_to_second", "*", o.newToSecond()},
		{"kpi_totals", "*", o.totals()},
		{"kpi_revenue_by_stage", "*", o.revenueByStage()},
		{"customer_rfm", "*", o.customerRFM()},
		{"kpi_rfm", "*", o.rfm()},
		{"kpi_lifetime_value", "*", o.lifetimeValue()},
		{"kpi_retention", "*", o.retention()},
		{"kpi_bought_together", "*", o.boughtTogether()},
		{"kpi_stage_moves", "*", o.stageMoves()},
		{"kpi_stage_retention", "*", o.stageRetention()},
		{"kpi_segment_population", "*", o.segmentPopulation()},
	} {
		text, err := d.Text(context.Background(), "SELECT "+c.columns+" FROM "+d.Name+"."+c.view)
		if err != nil {
			t.Errorf("%s: %v", c.view, err)
			continue
		}
		if parts && strings.Contains(c.want, ",'week',") && strings.HasPrefix(c.want, "('"+o.h.Models[1].Name+"'") { // the same by parts: a filter is carried out within the view
			var filtered strings.Builder
			for _, m := range o.h.Models {
				for _, g := range grains {
					part, err := d.Text(context.Background(), fmt.Sprintf("SELECT %s FROM %s.%s WHERE grain = '%s' AND model = '%s'", c.columns, d.Name, c.view, g, m.Name))
					if err != nil {
						t.Errorf("%s, %s of %s: %v", c.view, g, m.Name, err)
					}
					filtered.WriteString(part)
				}
			}
			if diff := difference(lines(strings.Split(strings.TrimSpace(filtered.String()), "\n")).text(), lines(strings.Split(strings.TrimSpace(text), "\n")).text()); diff != "" {
				t.Errorf("%s by grain and model differs from the whole:\n%s", c.view, diff)
			}
		}
		got := lines(strings.Split(strings.TrimSpace(text), "\n"))
		if diff := difference(got.text(), c.want); diff != "" {
			t.Errorf("%s differs from its definition (- the view has, + it should have; the seed is in the test's name):\n%s", c.view, diff)
		}
		if len(got) < 1 || got[0] == "" {
			t.Errorf("%s: the history gives no row, so nothing was compared", c.view)
		}
	}
}

// difference is the first lines that only one of two sorted texts has.
func difference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	var out []string
	for _, l := range a {
		if _, found := slices.BinarySearch(b, l); !found {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if _, found := slices.BinarySearch(a, l); !found {
			out = append(out, "+ "+l)
		}
	}
	if len(out) == 0 && len(a) != len(b) {
		out = append(out, fmt.Sprintf("%d rows, want %d: some row stands there twice", len(a), len(b)))
	}
	if len(out) > 20 {
		out = append(out[:20], fmt.Sprintf("… and %d more", len(out)-20))
	}
	return strings.Join(out, "\n")
}
