// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lapwing/sink/batch"
	"lapwing/sink/compare"
	"lapwing/sink/reconcile"
)

// factTables are the tables of facts, each with a column that is no part of its key and
// with another value for it.
var factTables = map[string]string{ //nolint:gochecknoglobals // a table of these tests
	"stage_changes_log":   "cause_condition = 'altered'",
	"segment_changes_log": "detected_at = detected_at + 1",
	"activity_log":        "currency = 'XXX'",
	"order_items_log":     "order_value = order_value + 1",
	"refunds_log":         "value = value - 0.0001",
}

// shown are the rows that a table shows, as text, by place; the naive side of a comparison.
func (w *world) shown(table string) map[string]map[string]bool {
	w.t.Helper()
	// A map has no order, its text has.
	sorted := strings.Trim(w.ask("SELECT arrayStringConcat(groupArray(concat('mapSort(', name, ') AS ', name)), ', ') FROM system.columns WHERE database = '{}' AND table = '"+table+"' AND type LIKE 'Map%'"), "()'\n")
	what := "*"
	if sorted != "" {
		what = "* REPLACE(" + sorted + ")"
	}
	rows, err := w.conn.Query(w.t.Context(), fmt.Sprintf("SELECT concat(_topic, '/', toString(_partition), '/', toString(_offset)), toString(tuple(*)) FROM (SELECT %s FROM %s.%s FINAL)", what, w.db.Name, table))
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]map[string]bool{}
	for rows.Next() {
		var at, row string
		if err := rows.Scan(&at, &row); err != nil {
			w.t.Fatal(err)
		}
		if all[at] == nil {
			all[at] = map[string]bool{}
		}
		all[at][row] = true
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// places are all places of the sets.
func places(e *reconcile.Entry, sets ...compare.Offsets) []string {
	var all []string
	for _, set := range sets {
		for _, run := range set {
			for o := run.First; o <= run.Last; o++ {
				all = append(all, fmt.Sprintf("%s/%d/%d", e.Topic, e.Partition, o))
			}
		}
	}
	return all
}

var rounds = flag.Int("rounds", 1, "how often TestSabotage does its worst") //nolint:gochecknoglobals // a flag of this test

// TestSabotage: rows are deleted, altered, doubled and invented at random in every table
// of facts. The comparison finds each place at which the table no longer shows what it
// showed, and no other; a doubled row is no difference. The repair brings back all that
// was there; what is too much goes by the statements that the report names.
func TestSabotage(t *testing.T) {
	w := newWorld(t, "sabotage", 2)
	w.write(w.history.Records(1))
	for seed := range uint64(*rounds) {
		rng := rand.New(rand.NewPCG(seed, 5))
		before := map[string]map[string]map[string]bool{}
		for _, table := range slices.Sorted(maps.Keys(factTables)) {
			before[table] = w.shown(table)
			all := slices.Sorted(maps.Keys(before[table]))
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			cut := func(n int) string {
				part := all[:n]
				all = all[n:]
				return "concat(_topic, '/', toString(_partition), '/', toString(_offset)) IN ('" + strings.Join(part, "', '") + "')"
			}
			w.exec("ALTER TABLE {}." + table + " UPDATE " + factTables[table] + " WHERE " + cut(1+rng.IntN(5)))
			w.exec("DELETE FROM {}." + table + " WHERE " + cut(1+rng.IntN(8)))
			w.exec("INSERT INTO {}." + table + " SELECT * FROM {}." + table + " WHERE " + cut(5)) // doubled
			w.exec("INSERT INTO {}." + table + " SELECT * REPLACE('somebody else' AS customer_id) FROM {}." + table + " WHERE " + cut(3))
		}
		report := w.compare()
		for table, was := range before {
			is := w.shown(table)
			want := map[string]bool{}
			for at, rows := range was {
				if !maps.Equal(rows, is[at]) {
					want[at] = true
				}
			}
			got := map[string]bool{}
			for i := range report.Entries {
				if e := &report.Entries[i]; e.Table == table {
					for _, at := range places(e, e.Missing, e.Altered, e.Stale, e.Surplus) {
						got[at] = true
					}
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("seed %d, %s: found\n%v\nwant\n%v", seed, table, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
		}
		done := w.repair()
		if done.Inserted == 0 || done.After.Repairable() {
			t.Errorf("seed %d: after the repair (%d rows):\n%s", seed, done.Inserted, text(done.After))
		}
		removed := 0
		for _, e := range done.After.Entries {
			for _, statement := range e.Remove {
				w.exec(statement)
				removed++
			}
		}
		if removed == 0 {
			t.Error("no statement removes what was invented")
		}
		w.equal()
		for table, was := range before {
			if is := w.shown(table); !maps.EqualFunc(was, is, maps.Equal[map[string]bool]) {
				t.Errorf("seed %d: %s is not what it was", seed, table)
			}
		}
	}
}

func (w *world) repair(change ...func(*reconcile.Config, *reconcile.Deps)) *reconcile.Repaired {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	done, err := w.reconciler(change...).Repair(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// TestKinds: each kind of difference has its name, its offsets and its counts.
func TestKinds(t *testing.T) {
	w := newWorld(t, "kinds", 3)
	w.write(w.history.Records(1))
	pick := func(n int) (topic, partition, offset string) {
		parts := regexp.MustCompile(`'(.*)',(\d+),(\d+)`).FindStringSubmatch(
			w.ask(fmt.Sprintf("SELECT _topic, _partition, _offset FROM {}.stage_changes WHERE _topic = 'lapwing.stage-changes' AND _partition = 1 ORDER BY _offset LIMIT 1 OFFSET %d", n)))
		return parts[1], parts[2], parts[3]
	}
	_, _, gone := pick(3)
	_, _, altered := pick(5)
	_, _, foreign := pick(7)
	at := " WHERE _topic = 'lapwing.stage-changes' AND _partition = 1 AND _offset = "
	w.exec("DELETE FROM {}.stage_changes_log" + at + gone)
	w.exec("ALTER TABLE {}.stage_changes_log UPDATE `to` = 'altered'" + at + altered)
	w.exec("INSERT INTO {}.stage_changes_log SELECT * REPLACE('nobody' AS customer_id) FROM {}.stage_changes_log" + at + foreign)
	report := w.compare()
	if report.Rows() != 3 {
		t.Errorf("%d rows differ, want 3:\n%s", report.Rows(), text(report))
	}
	for _, e := range report.Entries {
		if e.Differing == 0 {
			continue
		}
		if e.Table != "stage_changes_log" || e.Topic != "lapwing.stage-changes" || e.Partition != 1 || e.Expected != e.Found ||
			e.Missing.Text(9) != gone || e.Altered.Text(9) != altered || e.Surplus.Text(9) != foreign {
			t.Errorf("deleted %s, altered %s, invented %s; got\n%s", gone, altered, foreign, text(report))
		}
	}
}

// TestRangeDropped: a whole table, and of another all that one partition gave, is gone,
// as after a restore, or when a server says yes and loses the rows: the offsets stand
// committed. All of it comes back, byte for byte.
func TestRangeDropped(t *testing.T) {
	w := newWorld(t, "dropped", 4)
	w.write(w.history.Records(1))
	tables := []string{"activity_log", "order_items_log", "refunds_log", "stage_changes_log", "profiles_log", "aggregates_log", "definitions_log"}
	before := map[string]map[string]map[string]bool{}
	for _, table := range tables {
		before[table] = w.shown(table)
	}
	w.exec("TRUNCATE TABLE {}.activity_log")
	w.exec("ALTER TABLE {}.order_items_log DROP PARTITION 1")
	w.exec("DELETE FROM {}.stage_changes_log WHERE _partition = 2")
	w.exec("TRUNCATE TABLE {}.profiles_log")
	w.exec("DELETE FROM {}.aggregates_log WHERE lane = 1")
	w.exec("TRUNCATE TABLE {}.definitions_log")
	done := w.repair()
	if done.Before.Equal() || !done.After.Equal() {
		t.Errorf("before:\n%s\nafter:\n%s", text(done.Before), text(done.After))
	}
	w.equal()
	for table, was := range before {
		if is := w.shown(table); !maps.EqualFunc(was, is, maps.Equal[map[string]bool]) {
			t.Errorf("%s is not what it was: %d places, then %d", table, len(was), len(is))
		}
	}
}

// TestRepeatsAreNoDifference: all of the log written twice more, in other batches, is
// what it is written once; and a repair has nothing to do.
func TestRepeatsAreNoDifference(t *testing.T) {
	w := newWorld(t, "repeats", 5)
	w.write(w.history.Records(1))
	for i, rows := range []int{70, 1000} {
		w.cfg.Group = fmt.Sprintf("again-%d", i) // a group that begins at the start
		w.cfg.Batch.Rows = rows
		w.sink()
	}
	w.equal()
	if done := w.repair(); done.Inserted != 0 {
		t.Errorf("%d rows were inserted where nothing differs", done.Inserted)
	}
}

// TestOldBackup: the tables are as they were before the last records of each value; the
// log says something newer, and tombstones of customers that are still shown.
func TestOldBackup(t *testing.T) {
	w := newWorld(t, "backup", 6)
	records := w.history.Records(1)
	w.write(records)
	profiles, aggregates := w.shown("profiles_log"), w.shown("aggregates_log")
	w.exec("TRUNCATE TABLE {}.profiles_log")
	w.exec("TRUNCATE TABLE {}.aggregates_log")
	older := slices.Clone(records)
	seen := map[string]bool{}
	older = slices.DeleteFunc(older, func(r batch.Record) bool {
		key := r.Name + string(r.Key)
		if r.Name != "profiles" && r.Name != "aggregates" || seen[key] {
			return true
		}
		seen[key] = true
		return false
	})
	if err := w.db.Insert(t.Context(), older); err != nil { // with offsets before the log's own, which has markers between
		t.Fatal(err)
	}
	done := w.repair()
	stale, surplus := int64(0), int64(0)
	for _, e := range done.Before.Entries {
		stale += e.Stale.Len()
		surplus += e.Surplus.Len()
	}
	if stale == 0 || surplus > 0 || !done.After.Equal() {
		t.Errorf("before:\n%s\nafter:\n%s", text(done.Before), text(done.After))
	}
	for table, was := range map[string]map[string]map[string]bool{"profiles_log": profiles, "aggregates_log": aggregates} {
		if is := w.shown(table); !maps.EqualFunc(was, is, maps.Equal[map[string]bool]) {
			t.Errorf("%s is not what it was: %d places, then %d", table, len(was), len(is))
		}
	}
}

// TestForgottenRows: what a table forgets by its TTL is not missing, before and after it
// is gone; what it keeps is compared.
func TestForgottenRows(t *testing.T) {
	w := newWorld(t, "forgotten", 27)
	w.write(w.history.Records(1))
	all := w.equal()
	days := int(time.Since(time.Date(1997, 5, 15, 0, 0, 0, 0, time.UTC)).Hours() / 24)
	w.exec("SYSTEM STOP MERGES {}.activity_log")
	w.exec(fmt.Sprintf("ALTER TABLE {}.activity_log MODIFY TTL toDateTime(event_time) + toIntervalDay(%d) SETTINGS materialize_ttl_after_modify = 0", days))
	some := w.equal()
	if a, b := text2(all), text2(some); a == b {
		t.Error("the TTL makes no difference: the test shows nothing")
	}
	w.exec("SYSTEM START MERGES {}.activity_log")
	before := w.ask("SELECT count() FROM {}.activity")
	w.exec("OPTIMIZE TABLE {}.activity_log FINAL")
	if after := w.ask("SELECT count() FROM {}.activity"); after == before || after == "(0)\n" {
		t.Fatalf("%s rows before, %s after: the test shows nothing", before, after)
	}
	w.equal()
	w.exec("DELETE FROM {}.activity_log WHERE (_partition, _offset) IN (SELECT _partition, _offset FROM {}.activity_log ORDER BY event_time DESC LIMIT 2)")
	if got := w.compare(); got.Rows() != 2 {
		t.Errorf("2 rows are gone too early; found\n%s", text(got))
	}
	w.exec("ALTER TABLE {}.activity_log MODIFY TTL toDateTime(event_time) + toIntervalDay(1) WHERE event = 'x' SETTINGS materialize_ttl_after_modify = 0")
	if _, err := w.reconciler().Compare(t.Context()); err == nil || !strings.Contains(err.Error(), "activity_log forgets rows is not understood") {
		t.Errorf("got %v", err)
	}
}

// TestTwoRepairs: the same rows are lost twice, and come back twice: ClickHouse's memory
// of what it was sent is not what it has.
func TestTwoRepairs(t *testing.T) {
	w := newWorld(t, "twice", 28)
	w.write(w.history.Records(1))
	for range 2 {
		w.exec("DELETE FROM {}.refunds_log WHERE _partition = 1")
		if done := w.repair(); done.Before.Equal() || !done.After.Equal() {
			t.Errorf("before:\n%s\nafter:\n%s", text(done.Before), text(done.After))
		}
	}
}
