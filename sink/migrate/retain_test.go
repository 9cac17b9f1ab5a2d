// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/compare"
	"lapwing/sink/migrate"
	"lapwing/sink/sinktest"
)

// TestRetention: rows older than a table is to keep go, younger ones stay, those of the
// next century, too; a retention that is there already changes nothing, nor does none. What
// compares ClickHouse with the log understands it.
func TestRetention(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "kept")
	m, err := migrate.New(d.Conn, schema.Layout{Database: d.Name}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string) {
		t.Helper()
		if err := d.Conn.Exec(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO kept.exposures_log (customer_id, exposed_at, campaign, channel, step, _offset, _generation)
		SELECT 'u', now() - toIntervalHour(arrayJoin([1, 29 * 24, 31 * 24])), 'c', 'email', 'sent', rowNumberInAllBlocks(), 1`)
	exec(`INSERT INTO kept.exposures_log (customer_id, exposed_at, campaign, channel, step, _offset, _generation) VALUES ('u', '2110-01-01 00:00:00', 'c', 'email', 'sent', 9, 1)`)
	keep := func(days int) []migrate.Retention {
		return []migrate.Retention{{Table: "exposures_log", Column: "exposed_at", Keep: time.Duration(days) * 24 * time.Hour}, {Table: "activity_log", Column: "event_time"}}
	}
	for range 2 {
		if err := m.Retain(ctx, keep(30)); err != nil {
			t.Fatal(err)
		}
	}
	exec("OPTIMIZE TABLE kept.exposures_log FINAL")
	if text, err := d.Text(ctx, "SELECT count() FROM kept.exposures"); err != nil || text != "(3)\n" {
		t.Errorf("%q rows are left, %v; want three", text, err)
	}
	engine := func() string {
		var text string
		if err := d.Conn.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = 'kept' AND name = 'exposures_log'").Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if e, err := compare.ParseExpiry(engine()); err != nil || e.Column != "exposed_at" {
		t.Errorf("a comparison reads %+v, %v of %s", e, err, engine())
	}
	if drift, err := m.Drift(ctx); err != nil || len(drift) > 0 {
		t.Errorf("a retention is taken for a change by somebody else: %v, %v", drift, err)
	}
	if err := m.Retain(ctx, keep(0)); err != nil {
		t.Fatal(err)
	}
	if e, err := compare.ParseExpiry(engine()); err != nil || e.Column != "exposed_at" {
		t.Errorf("none wanted, and it is %+v, %v", e, err)
	}
}
