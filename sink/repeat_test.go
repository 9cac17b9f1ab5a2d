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

// TestRepeatsBeyondTheWindow: repeats of which ClickHouse no longer remembers the
// tokens, the same offsets in other chunks, in any order, oldest last: the rows are
// there many times, and every total is the log's all the same. So it is the tables'
// versions that the totals stand on, and not the tokens.
func TestRepeatsBeyondTheWindow(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	h := sinktest.New(25, time.UTC, sinktest.Size{Customers: 20, Changes: 10, Orders: 7})
	d := sinktest.NewDatabase(t, server.Options(), "window")
	repeat(t, d, h)
	check(t, d, totals(h))
	stored, err := d.Text(ctx, "SELECT count() > 3 * (SELECT count() FROM window.activity) FROM window.activity_log")
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

// repeat writes a history's records five times, in other chunks, with a short memory of
// tokens and no merges.
func repeat(t *testing.T, d *sinktest.Database, h *sinktest.History) {
	t.Helper()
	ctx := context.Background()
	for _, table := range batch.Tables() {
		if err := d.Conn.Exec(ctx, "ALTER TABLE "+d.Name+"."+table.Name()+" MODIFY SETTING non_replicated_deduplication_window = 2"); err != nil {
			t.Fatal(err)
		}
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

// TestSameTokenWithOtherRows: ClickHouse believes a token, and drops other rows under
// it while it says yes. So the token of rows that are not the same is never the same:
// a later value at the same place (the topic was made anew) is written, and counts.
func TestSameTokenWithOtherRows(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "token")
	records := sinktest.New(26, time.UTC, sinktest.Size{Customers: 6, Changes: 3, Orders: 5}).Records(1)
	if err := d.Insert(ctx, records); err != nil {
		t.Fatal(err)
	}
	count := func(customer string) string {
		t.Helper()
		got, err := d.Text(ctx, "SELECT count() FROM token.activity WHERE customer_id = '"+customer+"'")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	was := count("customer-1")
	if was == "(0)\n" || count("someone-1") != "(0)\n" {
		t.Fatalf("the history has nothing of customer-1: %q", was)
	}
	other := make([]batch.Record, len(records))
	for i := range records {
		other[i] = records[i]
		if records[i].Value == nil { // a tombstone
			continue
		}
		other[i].Value = []byte(strings.ReplaceAll(string(records[i].Value), `"customer-1"`, `"someone-1"`))
	}
	// What would happen: the same token, and the rows are lost although it says yes.
	old, anew := batches(rand.New(rand.NewPCG(1, 1)), records, 1<<30), batches(rand.New(rand.NewPCG(1, 1)), other, 1<<30)
	for i := range anew {
		if anew[i].Table == batch.Activity {
			lie := anew[i]
			lie.Token = old[i].Token
			whole := batch.New(batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Hour})
			for n := range records {
				whole.Add(&records[n], time.Time{})
			}
			all, _ := whole.Inserts()
			for _, in := range all {
				if in.Table == batch.Activity {
					lie.Token = in.Token
				}
			}
			if err := d.Writer.Insert(ctx, lie); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := count("someone-1"); got != "(0)\n" {
		t.Fatalf("ClickHouse has written other rows under the same token (%q): this test is of no use", got)
	}
	if err := d.Insert(ctx, other); err != nil {
		t.Fatal(err)
	}
	if got := count("someone-1"); got != was {
		t.Errorf("of other rows at the same places %q are shown, want %q", got, was)
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
