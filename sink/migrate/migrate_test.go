// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/batch"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	os.Exit(m.Run())
}

func open(t *testing.T, server *embedded.ClickHouse) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(server.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func names(t *testing.T, conn driver.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(context.Background(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMigrations: checking changes nothing; applying makes everything, twice as well
// as once, and from several places at the same time; each table and column of ours
// has a comment, and each table the columns that the sink writes.
func TestMigrations(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	conn := open(t, server)
	m, err := New(conn, schema.Layout{Database: "migrated"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}

	m.times.look = 10 * time.Millisecond
	all, err := m.Check(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if !one.Pending() {
			t.Errorf("migration %d of an empty server is not pending", one.Version)
		}
	}
	if found := names(t, conn, "SELECT name FROM system.databases WHERE name = 'migrated'"); len(found) > 0 {
		t.Error("checking made the database")
	}

	var group errgroup.Group
	for range 4 {
		group.Go(func() error { _, err := m.Apply(ctx); return err })
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("four runners at the same time: %v", err)
	}
	if all, err = m.Check(ctx); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Pending() {
			t.Errorf("migration %d is still pending", one.Version)
		}
	}
	if done, err := m.Apply(ctx); err != nil || len(done) > 0 {
		t.Errorf("applying again did %v, %v", done, err)
	}
	for _, one := range all { // as after a crash before a migration was recorded
		for i, statement := range one.Statements {
			if err := conn.Exec(ctx, statement); err != nil {
				t.Errorf("repeat statement %d of migration %d: %v", i+1, one.Version, err)
			}
		}
	}

	t.Run("comments", func(t *testing.T) {
		if n := len(names(t, conn, "SELECT name FROM system.columns WHERE database = 'migrated'")); n < 200 {
			t.Fatalf("only %d columns to look at", n)
		}
		for _, name := range names(t, conn, "SELECT name FROM system.tables WHERE database = 'migrated' AND comment = ''") {
			t.Errorf("%s has no comment", name)
		}
		for _, name := range names(t, conn, "SELECT table || '.' || name FROM system.columns WHERE database = 'migrated' AND comment = ''") {
			t.Errorf("%s has no comment", name)
		}
	})
	t.Run("columns", func(t *testing.T) {
		for _, table := range batch.Tables() {
			have := names(t, conn, "SELECT name FROM system.columns WHERE database = 'migrated' AND table = ? AND default_kind != 'MATERIALIZED'", table.Name())
			want := table.Columns()
			slices.Sort(have)
			slices.Sort(want)
			if !slices.Equal(have, want) {
				t.Errorf("%s has the columns %v, the sink writes %v", table.Name(), have, want)
			}
		}
	})
	t.Run("contract", func(t *testing.T) {
		have := names(t, conn, "SELECT name FROM system.tables WHERE database = 'migrated' AND engine = 'View'")
		for _, want := range []string{
			"stage_changes", "segment_changes", "assignments", "conversions", "profiles", "activity", "exposures", "aggregates",
			"stage_intervals", "sessions", "order_items", "campaigns", "campaign_variants", "campaign_goals", "definitions", "rates", "settings", "activity_mode",
			"kpi_stage_population", "kpi_flow", "kpi_time_in_stage", "kpi_reactivation", "kpi_churn", "kpi_repeat_rate", "kpi_new_to_second", "kpi_revenue_by_stage", "kpi_clock",
		} {
			if !slices.Contains(have, want) {
				t.Errorf("there is no view %s", want)
			}
		}
		// Versions of one row in two partitions would never meet.
		for _, key := range names(t, conn, "SELECT partition_key FROM system.tables WHERE database = 'migrated' AND name LIKE '%_log'") {
			if key != "" && key != "_generation" {
				t.Errorf("a table is partitioned by %q", key)
			}
		}
	})
}

// TestChangedAndNewer: an applied migration with another text, and a database of a
// later lapwing, are refused by Check and Apply, and nothing is done.
func TestChangedAndNewer(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	conn := open(t, server)
	one, two := migration(1, "one", "Int8"), migration(2, "two", "Int8")
	with := func(all ...schema.Migration) *Migrator {
		m, err := newMigrator(conn, schema.Layout{Database: "changing"}, all, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if _, err := with(one).Apply(ctx); err != nil {
		t.Fatal(err)
	}
	changed := one
	changed.Checksum = "cc"
	for name, c := range map[string]struct {
		m    *Migrator
		want error
	}{"changed": {with(changed, two), ErrChanged}, "newer": {with(), ErrNewer}} {
		if _, err := c.m.Check(ctx); !errors.Is(err, c.want) {
			t.Errorf("%s: Check says %v", name, err)
		}
		if _, err := c.m.Apply(ctx); !errors.Is(err, c.want) {
			t.Errorf("%s: Apply says %v", name, err)
		}
	}
	if found := names(t, conn, "SELECT name FROM system.tables WHERE database = 'changing' AND name = 'two'"); len(found) > 0 {
		t.Error("a migration was carried out although an earlier one does not fit")
	}

	broken := two
	broken.Text += migration(2, "three", "NoSuchType").Text
	if done, err := with(one, broken).Apply(ctx); err == nil || len(done) > 0 {
		t.Errorf("a broken migration gave %v, %v", done, err)
	}
	if all, err := with(one, two).Check(ctx); err != nil || !all[1].Pending() {
		t.Errorf("a migration that broke off half-way is not pending: %v, %v", all, err)
	}
	if _, err := with(one, two).Apply(ctx); err != nil {
		t.Errorf("going on after a migration that broke off: %v", err)
	}
}

// TestLayoutIsKept: a database that was made for one server is not taken for a cluster's.
func TestLayoutIsKept(t *testing.T) {
	ctx := context.Background()
	conn := open(t, embeddedtest.ClickHouseForTest(t))
	all := []schema.Migration{migration(1, "one", "Int8")}
	m, err := newMigrator(conn, schema.Layout{Database: "kept"}, all, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if m, err = newMigrator(conn, schema.Layout{Database: "kept", Cluster: "main"}, all, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Check(ctx); !errors.Is(err, ErrLayout) {
		t.Errorf("Check says %v", err)
	}
	if _, err := m.Apply(ctx); !errors.Is(err, ErrLayout) {
		t.Errorf("Apply says %v", err)
	}
	if _, err := New(nil, schema.Layout{Database: "a;DROP"}, zap.NewNop()); err == nil {
		t.Error("a name that needs quotes was taken")
	}
}

// migration makes one table.
func migration(version int, name, columnType string) schema.Migration {
	return schema.Migration{
		Version: version, Name: name, Checksum: name,
		Text: "CREATE TABLE IF NOT EXISTS {{db}}." + name + "\n(\n    a " + columnType + " COMMENT 'A.'\n)\nENGINE = MergeTree\nORDER BY a\nCOMMENT 'One.';\n",
	}
}
