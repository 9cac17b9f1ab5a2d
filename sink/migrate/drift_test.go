// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/migrate"
)

// TestDrift: a database as migrations leave it does not differ, in no table, column,
// engine or key, as the server prints them; and whatever somebody changes by hand is
// found and named with what brings it back, which does bring it back.
func TestDrift(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	conn, err := clickhouse.Open(server.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	m, err := migrate.New(conn, schema.Layout{Database: "drift"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	exec := func(statement string) {
		t.Helper()
		if err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	drift := func() []migrate.Difference {
		t.Helper()
		all, err := m.Drift(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, d := range drift() {
		t.Errorf("a new database differs: %v", d)
	}
	if t.Failed() {
		t.FailNow()
	}
	for _, c := range []struct {
		name, change, want string
		back               string // empty: the fix itself
		harmless           bool
	}{
		{
			"column added", "ALTER TABLE drift.activity_log ADD COLUMN note String",
			"activity_log.note is String, which this lapwing does not know", "ALTER TABLE drift.activity_log DROP COLUMN note", true,
		},
		{
			"column dropped", "ALTER TABLE drift.activity_log DROP COLUMN platform",
			"activity_log.platform is missing, want LowCardinality(String): ALTER TABLE drift.activity_log ADD COLUMN `platform` LowCardinality(String)", "", false,
		},
		{
			"column renamed", "ALTER TABLE drift.activity_log RENAME COLUMN products TO things",
			"activity_log.products is missing, want Nullable(String): ALTER TABLE drift.activity_log RENAME COLUMN `things` TO `products` if it was renamed",
			"ALTER TABLE drift.activity_log RENAME COLUMN `things` TO `products`", false,
		},
		{
			"type narrowed", "ALTER TABLE drift.refunds_log MODIFY COLUMN value Decimal(9, 4)",
			"refunds_log.value is Decimal(9, 4), want Decimal(18, 4): ALTER TABLE drift.refunds_log MODIFY COLUMN `value` Decimal(18, 4)", "", false,
		},
		{
			"no longer null", "ALTER TABLE drift.activity_log MODIFY COLUMN message_id String DEFAULT ''; ALTER TABLE drift.activity_log MODIFY COLUMN message_id REMOVE DEFAULT",
			"activity_log.message_id is String, want Nullable(String): ALTER TABLE drift.activity_log MODIFY COLUMN `message_id` Nullable(String)", "", false,
		},
		{
			"table gone", "RENAME TABLE drift.profiles_log TO drift.elsewhere",
			"profiles_log is missing, want a table", "RENAME TABLE drift.elsewhere TO drift.profiles_log", false,
		},
		{
			"another engine", "CREATE TABLE drift.other AS drift.refunds_log ENGINE = MergeTree PARTITION BY _generation ORDER BY (_generation, event, customer_id, order_key, ordered_at, _topic, _partition, _offset, _occurrence); RENAME TABLE drift.refunds_log TO drift.aside, drift.other TO drift.refunds_log",
			"refunds_log is ENGINE MergeTree, want ENGINE ReplacingMergeTree(_version): make a table beside it", "DROP TABLE drift.refunds_log; RENAME TABLE drift.aside TO drift.refunds_log", false,
		},
		{
			"another key", "CREATE TABLE drift.other AS drift.aggregates_log ENGINE = ReplacingMergeTree(_version) ORDER BY (definition, lane); RENAME TABLE drift.aggregates_log TO drift.aside, drift.other TO drift.aggregates_log",
			"aggregates_log is ORDER BY definition, lane, want ORDER BY _generation", "DROP TABLE drift.aggregates_log; RENAME TABLE drift.aside TO drift.aggregates_log", false,
		},
	} {
		for one := range strings.SplitSeq(c.change, "; ") {
			exec(one)
		}
		all := drift()
		if len(all) == 0 || !strings.HasPrefix(all[0].String(), c.want) || all[0].Harmless != c.harmless {
			t.Errorf("%s: got %v, want %s", c.name, all, c.want)
			return
		}
		back := c.back
		if back == "" {
			back = all[0].Fix
		}
		for one := range strings.SplitSeq(back, "; ") {
			exec(one)
		}
		if all := drift(); len(all) > 0 {
			t.Fatalf("%s, brought back by %s: %v", c.name, back, all)
		}
	}
}
