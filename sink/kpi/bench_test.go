// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"testing"
	"time"

	"lapwing/sink/kpi"
)

// overTotals are the KPIs that read totals: as quick however many customers there are.
var overTotals = []string{"population", "flow", "revenue-by-stage", "flow-by-hour", "events-by-hour", "clock"}

// BenchmarkTotals is every KPI over totals: a year of days, or the hours of 35 days, of 12
// lanes and 60 keys. It should take less than 100 ms, by hour 200 ms. cpu-ms/op is what the
// engine's process used, for machines that do something else, too.
func BenchmarkTotals(b *testing.B) { benchmarkKPIs(b, 10_000, overTotals...) }

// BenchmarkCustomers is every other KPI, over a year of a million customers.
func BenchmarkCustomers(b *testing.B) {
	benchmarkKPIs(b, 1_000_000, "totals", "churn", "reactivation", "time-in-stage", "repeat-rate", "new-to-second")
}

func benchmarkKPIs(b *testing.B, customers int, names ...string) {
	d, server := large(b, customers, 12)
	used := func() time.Duration { return cpuTime(b, server.Pid()) }
	for _, name := range names {
		k, ok := kpi.Find(name)
		if !ok {
			b.Fatalf("there is no KPI %s", name)
		}
		b.Run(name, func(b *testing.B) {
			before, least := used(), time.Hour
			for range b.N {
				began := time.Now()
				if _, err := kpi.Run(context.Background(), d.Conn, k, kpi.Options{Database: d.Name, Grain: "day"}); err != nil {
					b.Fatal(err)
				}
				least = min(least, time.Since(began))
			}
			b.ReportMetric(float64((used()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(least.Milliseconds()), "least-ms")
		})
	}
}
