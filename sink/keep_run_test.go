// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap/zaptest"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/sinktest"
)

// TestKPIsAreKept: a running sink keeps KPIs of what it has written, by itself.
func TestKPIsAreKept(t *testing.T) {
	h := sinktest.New(6, time.UTC, sinktest.Size{Customers: 30, Changes: 3, Orders: 8})
	conn, err := clickhouse.Open(embeddedtest.ClickHouseForTest(t).Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := broker(t)
	produce(t, c, h.Records(1))
	cfg := config(c, "keeping")
	cfg.KPI.Every, cfg.KPI.Share = time.Second, 100
	r := start(t, cfg, conn, zaptest.NewLogger(t))
	eventually(t, "KPIs have been computed to be kept", func() bool {
		var computed, rows uint64
		query := `SELECT count(), sum(row_count) FROM keeping.kept_log FINAL WHERE generation = 1 AND definition = 'test-definition' AND clock IS NOT NULL`
		if err := conn.QueryRow(context.Background(), query).Scan(&computed, &rows); err != nil {
			return false // the tables are not there yet
		}
		return computed >= 3 && rows > 0
	})
	if sum(t, r.registry, "lapwing_sink_keep_failures_total") != 0 {
		t.Error("some KPIs were not kept")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
