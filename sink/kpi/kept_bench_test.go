// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

var customers = flag.Int("customers", 20_000, "customers of the base that BenchmarkKPIs asks") //nolint:gochecknoglobals // a test flag

// bar is how long a KPI may take over a million customers.
const bar = 200 * time.Millisecond

// asks is how often BenchmarkKPIs asks for a KPI in each way; the least time counts.
const asks = 3

// BenchmarkKPIs asks every KPI of a base with 2 orders, 4 stage changes, 8 messages and an
// assignment for each customer, as lapwing kpi does: first from what is kept, if computing
// it is slow, then computed (live); cpu is what the engine used for that, on all cores.
// It prints a table. The bar is 200 ms each with a million customers:
//
//	go test ./sink/kpi -run - -bench 'KPIs$' -customers 1000000 -timeout 1h
func BenchmarkKPIs(b *testing.B) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(b)
	d := sinktest.NewDatabase(b, server.Options(), "base")
	began := time.Now()
	for _, statement := range base(*customers) {
		if err := d.Conn.Exec(ctx, statement); err != nil {
			b.Fatalf("%v\n%s", err, statement)
		}
	}
	made := time.Since(began)
	if err := kpi.Keep(ctx, d.Conn, kpi.Keeping{Database: d.Name, Slow: kpi.Slow, Threads: 1, Done: func(_ kpi.Kept, err error) error { return err }}); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("%d customers, made in %v; kept in %v on one core\n%-26s %9s %9s %9s\n",
		*customers, made.Round(time.Second), (time.Since(began) - made).Round(time.Second), "lapwing kpi …", "ms", "live ms", "cpu ms")
	b.ResetTimer()
	slow, slowLive := 0, 0
	for _, k := range kpi.Catalogue() {
		ask := func(fresh bool) (least, cpu time.Duration, how string) {
			least, cpu = time.Hour, cpuTime(b, server.Pid())
			for range asks {
				began := time.Now()
				r, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name, Fresh: fresh})
				if err != nil {
					b.Fatal(err)
				}
				least = min(least, time.Since(began))
				if r.Kept != nil {
					how = "kept"
				}
			}
			return least, (cpuTime(b, server.Pid()) - cpu) / asks, how
		}
		kept, _, how := ask(false)
		live, cpu, _ := ask(true)
		if kept >= bar {
			slow++
		}
		if live >= bar {
			slowLive++
		}
		fmt.Printf("%-26s %9.1f %9.1f %9d %s\n", k.Name, float64(kept.Microseconds())/1000, float64(live.Microseconds())/1000, cpu.Milliseconds(), how)
	}
	fmt.Printf("%d take %v or more; computed, %d do\n", slow, bar, slowLive)
}
