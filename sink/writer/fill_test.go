// SPDX-License-Identifier: Apache-2.0

package writer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/shopspring/decimal"

	schema "lapwing/schemas/clickhouse"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
	"lapwing/sink/writer"
)

// columnsOf are empty columns of a table as the schema has it.
func columnsOf(t testing.TB, table batch.Table) (all []column.Interface) {
	t.Helper()
	objects, err := schema.Objects()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, o := range objects {
		if o.Name == table.Name() {
			for _, c := range o.Columns {
				types[c.Name] = c.Type
			}
		}
	}
	for _, name := range table.Columns() {
		c, err := column.Type(types[name]).Column(name, &column.ServerContext{Timezone: time.UTC})
		if err != nil {
			t.Fatalf("%s.%s: %v", table.Name(), name, err)
		}
		all = append(all, c)
	}
	return all
}

// values is a block as text, row by row, as a server reads it.
func values(t testing.TB, table batch.Table, sent []column.Interface) string {
	t.Helper()
	columns := columnsOf(t, table)
	for i, c := range sent {
		var buf proto.Buffer
		c.Encode(&buf)
		if err := columns[i].Decode(proto.NewReader(bytes.NewReader(buf.Buf)), c.Rows()); err != nil {
			t.Fatalf("%s.%s: %v", table.Name(), c.Name(), err)
		}
	}
	var b strings.Builder
	for i := range columns[0].Rows() {
		for _, c := range columns {
			text, err := json.Marshal(c.Row(i, false)) // sorts the keys of maps
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s=%s ", c.Name(), text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// insertsOf are those of a random history with every shape of row.
func insertsOf(t testing.TB, seed uint64) []batch.Insert {
	t.Helper()
	b := batch.New(batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Hour})
	records := sinktest.New(seed, time.UTC, sinktest.Size{Customers: 9, Changes: 9, Orders: 9}).Records(1)
	for i := range records {
		b.Add(&records[i], time.Time{})
	}
	add := func(name string, offset int64, value []byte) {
		b.Add(&batch.Record{Topic: "lapwing." + name, Name: name, Offset: offset, Partition: 1 << 30, Generation: 65_535, Key: []byte(name), Value: value}, time.Time{})
	}
	for i, a := range []record.Activity{
		{CustomerID: strings.Repeat("長い", 40_000), EventTime: 1, Type: "track", Event: "x"},
		{CustomerID: "c\x00'\n", EventTime: 7_226_582_399_999, Type: "", Event: "y", Currency: "JPY"},
		{CustomerID: "c", EventTime: 7, Type: "track", Event: "z", SessionStart: 3, SessionStages: []record.StageAt{{Model: "m", Stage: "s"}}, Platform: "app", Exposures: []record.Exposure{
			{Campaign: "spring", Channel: "email", Step: "opened", Machine: true}, {Channel: "push"},
		}},
	} {
		add("activity", 1<<40*int64(i+1), a.AppendJSON(nil))
	}
	common := record.Record{CustomerID: "c", Definition: "d", Campaign: "spring", EffectiveAt: 5, DetectedAt: 6, AssignedAt: instant.None, Since: instant.None, NextDeadline: instant.None, Cause: record.Cause{Type: record.CauseEvent, EventTime: instant.None}}
	for i, variant := range []string{"", "a"} {
		r := common
		r.Kind, r.Variant, r.Holdout, r.Round, r.Stages, r.Segments = record.Assignment, variant, variant == "", 3, []record.StageAt{{Model: "m", Stage: "s"}}, []string{"x"}
		r.SetID()
		add("assignments", int64(i), r.AppendJSON(nil))
		r.Kind, r.Goal, r.AssignedAt, r.HasValue, r.Value, r.Currency = record.Conversion, "bought", 4, variant == "a", 12_345, "EUR"
		r.SetID()
		add("conversions", int64(i), r.AppendJSON(nil))
	}
	add("aggregates", 1, (&record.Settings{Lane: 2, Since: 9, Activity: "all", SessionGap: time.Minute, CloseAfter: time.Hour}).AppendJSON(nil))
	b.Add(&batch.Record{Topic: "lapwing.activity", Name: "activity", Generation: 1, Value: []byte("no JSON")}, time.Time{})
	inserts, _ := b.Inserts()
	for i := range inserts { // squares of every size and sign, in a column of their own
		if inserts[i].Table != batch.Aggregates {
			continue
		}
		squares := slices.Index(batch.Aggregates.Columns(), "sum_squares")
		for n, text := range []string{"-0.00000001", "-1", "99999999999999999999999999999.99999999", "-99999999999999999999999999999.99999999", "184467440737.09551616", "-184467440737.09551616"} {
			inserts[i].Rows[n][squares] = decimal.RequireFromString(text)
		}
	}
	return inserts
}

// TestFillAsTheDriver: the columns hold the values that the driver's own, much slower
// way gives them, whatever was in the block before.
func TestFillAsTheDriver(t *testing.T) {
	p := writer.NewFiller()
	seen := map[string]bool{}
	for seed := range uint64(3) {
		for _, in := range insertsOf(t, seed) {
			seen[in.Table.Name()] = true
			got, want := columnsOf(t, in.Table), columnsOf(t, in.Table)
			if err := p.Fill(in.Table, got, in.Rows); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, in.Table.Name(), err)
			}
			for _, row := range in.Rows {
				for i, v := range row {
					if err := want[i].AppendRow(v); err != nil {
						t.Fatal(err)
					}
				}
			}
			if g, w := values(t, in.Table, got), values(t, in.Table, want); g != w {
				t.Fatalf("seed %d, %s: got\n%.2000s\nwant\n%.2000s", seed, in.Table.Name(), g, w)
			}
		}
	}
	for _, table := range batch.Tables() {
		if !seen[table.Name()] {
			t.Errorf("%s has had no rows", table.Name())
		}
	}
}

// TestFillIsTheSameAgain: the same rows are the same bytes whenever they are inserted,
// although a row holds maps.
func TestFillIsTheSameAgain(t *testing.T) {
	rows := []batch.Row{{map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "f": "6"}}}
	var first []byte
	for range 50 {
		one, err := column.Type("Map(LowCardinality(String), String)").Column("stages", &column.ServerContext{})
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.NewFiller().Fill(batch.Activity, []column.Interface{one}, rows); err != nil {
			t.Fatal(err)
		}
		var buf proto.Buffer
		one.Encode(&buf)
		if first == nil {
			first = buf.Buf
		}
		if !bytes.Equal(first, buf.Buf) {
			t.Fatalf("the same row is % x, and then % x", first, buf.Buf)
		}
	}
}

// TestFillRefuses: a value that its column does not hold is an error that names the
// column; nothing is converted, cut or shifted.
func TestFillRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		kind  string
		value any
	}{
		"narrower number": {"UInt16", uint32(1)},
		"text as number":  {"UInt64", "1"},
		"no null":         {"String", nil},
		"no null word":    {"LowCardinality(String)", nil},
		"longer text":     {"FixedString(4)", "12345"},
		"shorter text":    {"FixedString(4)", "123"},
		"element":         {"Array(LowCardinality(String))", []any{1}},
		"fewer elements":  {"Array(Tuple(a String, b Bool))", []any{[]any{"x"}}},
		"other element":   {"Array(Tuple(a String, b Bool))", []any{[]any{"x", "y"}}},
		"other name":      {"Map(String, Tuple(a String, b Bool))", map[string]map[string]any{"k": {"a": "x", "c": true}}},
		"narrower money":  {"Decimal(9, 4)", decimal.New(1, 0)},
		"wider money":     {"Decimal(38, 4)", decimal.New(1, 0)},
		"other time":      {"DateTime64(6, 'UTC')", time.Unix(1, 0)},
		"other key":       {"Map(UInt8, String)", map[string]string{"k": "v"}},
	} {
		one, err := column.Type(c.kind).Column("the_column", &column.ServerContext{Timezone: time.UTC})
		if err != nil {
			t.Fatal(err)
		}
		p := writer.NewFiller()
		err = p.Fill(batch.Activity, []column.Interface{one}, []batch.Row{{c.value}})
		if err == nil || !strings.Contains(err.Error(), "the_column") {
			t.Errorf("%s: %v in %s gave %v", name, c.value, c.kind, err)
		}
	}
}
