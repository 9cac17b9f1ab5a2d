// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap/zaptest"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/sink/sinktest"
)

// TestCustomersAreCounted: a running sink counts distinct customers of what it has
// written, of all lanes, and says when it last did.
func TestCustomersAreCounted(t *testing.T) {
	h := sinktest.New(5, time.UTC, sinktest.Size{Customers: 30, Changes: 1, Orders: 8})
	conn, err := clickhouse.Open(embeddedtest.ClickHouseForTest(t).Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := broker(t)
	produce(t, c, h.Records(1))
	cfg := config(c, "counted")
	cfg.Customers.Every = time.Second
	r := start(t, cfg, conn, zaptest.NewLogger(t))
	months := map[string]map[string]bool{}
	for _, a := range h.Activity {
		month := instant.Of(h.Period(a.EventTime, "month")).String()
		if months[month] == nil {
			months[month] = map[string]bool{}
		}
		months[month][a.CustomerID] = true
	}
	want := 0
	for _, who := range months {
		want += len(who)
	}
	eventually(t, "all customers have been counted", func() bool {
		var got int64
		query := `SELECT sum(count) FROM counted.aggregates WHERE measure = 'customers' AND grain = 'month' AND event = '' AND model = ''`
		if err := conn.QueryRow(context.Background(), query).Scan(&got); err != nil {
			return false // the tables are not there yet
		}
		return got == int64(want)
	})
	if sum(t, r.registry, "lapwing_sink_last_count_timestamp_seconds") == 0 || sum(t, r.registry, "lapwing_sink_count_failures_total") != 0 {
		t.Error("the metrics do not say so")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
