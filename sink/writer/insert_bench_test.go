// SPDX-License-Identifier: Apache-2.0

package writer_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

// activity makes the records of n messages of a shop: mostly views, some orders.
func activity(n int) []batch.Record {
	all := make([]batch.Record, n)
	events := []string{"Product Viewed", "Product Added", "page", "Email Opened", "Order Completed"}
	for i := range all {
		a := record.Activity{
			CustomerID: fmt.Sprintf("customer-%07d", i*7919%1_000_000), EventTime: instant.Instant(1_767_225_600_000 + int64(i)*37),
			MessageID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", i), Type: "track", Event: events[i%len(events)],
			Stages:   []record.StageAt{{Model: "value", Stage: []string{"new", "active", "at_risk"}[i%3]}, {Model: "engagement", Stage: "loyal"}},
			Segments: []string{"country=FR", "high-value"}, Currency: "EUR",
		}
		if i%len(events) < 2 {
			a.Occurrence = []record.Occurrence{{Event: "view", At: a.EventTime, Value: 125_000, HasValue: true}}
		}
		all[i] = batch.Record{Topic: "lapwing.activity", Name: "activity", Partition: int32(i % 12), Offset: int64(i / 12), Generation: 1, Key: []byte(a.CustomerID), Value: a.AppendJSON(nil)}
	}
	return all
}

// BenchmarkInsertActivity is how many rows of activity per second a writer brings into
// the embedded engine, two batches of 100,000 rows at a time, as the sink does; and how
// much processor time a row costs this process and the engine, which says more on a
// machine that does other work.
func BenchmarkInsertActivity(b *testing.B) {
	server := embeddedtest.ClickHouseForTest(b)
	d := sinktest.NewDatabase(b, server.Options(), "bench")
	const rows, batches = 100_000, 4
	records := activity(rows)
	n := 0
	var own, engine time.Duration
	for b.Loop() {
		b.StopTimer()
		var all []batch.Insert
		for range batches {
			one := batch.New(batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Hour})
			for i := range records {
				records[i].Offset += rows
				one.Add(&records[i], time.Time{})
			}
			inserts, _ := one.Inserts()
			all = append(all, inserts...)
			n += rows
		}
		runtime.GC()
		own0, engine0 := cpu(b, "self"), cpu(b, strconv.Itoa(server.Pid()))
		var group errgroup.Group
		group.SetLimit(2)
		b.StartTimer()
		for _, in := range all {
			group.Go(func() error { return d.Writer.Insert(context.Background(), in) })
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		own += cpu(b, "self") - own0
		engine += cpu(b, strconv.Itoa(server.Pid())) - engine0
		b.StartTimer()
	}
	b.ReportMetric(float64(own.Nanoseconds())/float64(n), "own-ns/row")
	b.ReportMetric(float64(engine.Nanoseconds())/float64(n), "engine-ns/row")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

// cpu is the processor time that a process has used.
func cpu(b *testing.B, pid string) time.Duration {
	raw, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		b.Skip(err)
	}
	f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// BenchmarkReadActivity is how many records of activity per second become rows.
func BenchmarkReadActivity(b *testing.B) {
	records := activity(100_000)
	now := time.Now()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		batches := batch.New(batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Hour})
		for i := range records {
			batches.Add(&records[i], now)
		}
		batches.Inserts()
	}
	b.ReportMetric(float64(len(records)*n)/b.Elapsed().Seconds(), "rows/s")
}
