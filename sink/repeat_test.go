// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

// batches cuts the records into batches of random sizes and makes their inserts.
func batches(rng *rand.Rand, records []batch.Record, size int) (all []batch.Insert) {
	for len(records) > 0 {
		n := min(len(records), 1+rng.IntN(size))
		b := batch.New(batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Hour})
		for i := range records[:n] {
			b.Add(&records[i], time.Time{})
		}
		inserts, _ := b.Inserts()
		all = append(all, inserts...)
		records = records[n:]
	}
	return all
}

// TestRepeats: the same offsets again and again, in other chunks, in any order, oldest
// last: the rows are there many times, and every total is the log's all the same, by
// the tables' versions.
func TestRepeats(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	h := sinktest.New(25, time.UTC, sinktest.Size{Customers: 20, Changes: 10, Orders: 7})
	d := sinktest.NewDatabase(t, server.Options(), "repeats")
	repeat(t, d, h)
	check(t, d, totals(h))
	stored, err := d.Text(ctx, "SELECT count() > 3 * (SELECT count() FROM repeats.activity) FROM repeats.activity_log")
	if err != nil || stored != "(1)\n" {
		t.Errorf("the rows are not there many times (%q, %v): the test shows nothing", stored, err)
	}

	// Without the versions the same gives other totals: this test would see it.
	bare := sinktest.NewDatabase(t, server.Options(), "unversioned")
	for _, name := range []string{"aggregates_log", "profiles_log"} {
		key, err := bare.Text(ctx, "SELECT sorting_key FROM system.tables WHERE database = 'unversioned' AND name = '"+name+"'")
		if err != nil {
			t.Fatal(err)
		}
		key = strings.ReplaceAll(strings.Trim(key, "()\n'"), "\\", "")
		for _, statement := range []string{
			"RENAME TABLE unversioned." + name + " TO unversioned.kept_" + name,
			"CREATE TABLE unversioned." + name + " AS unversioned.kept_" + name + " ENGINE = ReplacingMergeTree PARTITION BY _generation ORDER BY (" + key + ")",
		} {
			if err := bare.Conn.Exec(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	repeat(t, bare, h)
	wrong := 0
	for _, one := range totals(h) {
		if got, err := bare.Text(ctx, strings.ReplaceAll(one.query, "{}", bare.Name)); err != nil || got != one.want+"\n" {
			wrong++
		}
	}
	if wrong == 0 {
		t.Error("all totals are right without the versions, too: the test shows nothing of them")
	}
}

// repeat writes a history's records five times, in other chunks, without merges.
func repeat(t *testing.T, d *sinktest.Database, h *sinktest.History) {
	t.Helper()
	ctx := context.Background()
	for _, table := range batch.Tables() {
		if err := d.Conn.Exec(ctx, "SYSTEM STOP MERGES "+d.Name+"."+table.Name()); err != nil {
			t.Fatal(err)
		}
	}
	records := h.Records(1)
	rng := rand.New(rand.NewPCG(25, 1))
	first := batches(rng, records, len(records)/20)
	all := first
	for range 3 { // the same offsets in other chunks
		again := batches(rng, records, len(records)/20)
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		all = append(all, again...)
	}
	for i := range first { // the very same inserts, the first of them last
		all = append(all, first[len(first)-1-i])
	}
	for _, in := range all {
		if err := d.Writer.Insert(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGenerationsKilledBetween: rows of two generations lie in two partitions, which
// no insert touches together: it would be two, of which one can be missing. Killed
// between them, and done again, both have their totals.
func TestGenerationsKilledBetween(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "partitions")
	older := sinktest.New(31, time.UTC, sinktest.Size{Customers: 12, Changes: 8, Orders: 5})
	newer := sinktest.New(32, time.UTC, sinktest.Size{Customers: 15, Changes: 8, Orders: 5})
	var mixed []batch.Record
	one, two := older.Records(1), newer.Records(2)
	for i := range two { // beside each other in the log, as while a rebuild runs
		two[i].Offset += 1 << 20
		mixed = append(mixed, two[i])
		if i < len(one) {
			mixed = append(mixed, one[i])
		}
	}
	mixed = append(mixed, one[min(len(two), len(one)):]...)
	inserts := batches(rand.New(rand.NewPCG(2, 2)), mixed, 400)
	for _, in := range inserts {
		for _, row := range in.Rows {
			if row[len(row)-1] != in.Rows[0][len(row)-1] {
				t.Fatalf("an insert into %s has rows of generations %v and %v", in.Table.Name(), in.Rows[0][len(row)-1], row[len(row)-1])
			}
		}
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for _, in := range inserts { // killed amid the inserts of each batch
		if rng.IntN(2) == 0 {
			if err := d.Writer.Insert(ctx, in); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, in := range batches(rng, mixed, 300) {
		if err := d.Writer.Insert(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	check(t, d, totals(older))
	if err := d.Conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s.generations_log (generation, switched_at) VALUES (2, now64(3))", d.Name)); err != nil {
		t.Fatal(err)
	}
	check(t, d, totals(newer))
}
