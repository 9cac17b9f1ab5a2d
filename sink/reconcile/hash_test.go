// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/shopspring/decimal"

	"lapwing/sink/compare"
)

// TestHashesAreTheServers: of every type a column of ours can have, with values at its
// edges, Go and the server compute the same hashes; and no two of the rows the same one.
func TestHashesAreTheServers(t *testing.T) {
	server := clickHouse(t)
	conn, err := clickhouse.Open(server.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	at := time.Date(2026, 3, 29, 1, 2, 3, 4_000_000, time.UTC)
	early, late := time.UnixMilli(0).UTC(), time.Date(2200, 12, 31, 23, 59, 59, 999_000_000, time.UTC)
	money := func(n int64) decimal.Decimal { return decimal.New(n, -4) }
	long := strings.Repeat("long ", 100_000)
	tuple := func(a string, b any, c uint64) map[string]any {
		return map[string]any{"stage": a, "since": at, "sequence": c, "next_stage": b, "next_deadline": nil}
	}
	columns := []struct {
		kind   string
		values []any
	}{
		{"String", []any{"", "a", "it's \\ \"quoted\"\n\t", "nul \x00 byte", "ünïcödé 🐦", "1;2;", long}},
		{"LowCardinality(String)", []any{"", "stage", "stage:", "日本", "a", "b", "c"}},
		{"FixedString(4)", []any{"abcd", "0123", "\x00bcd", "zzzz", "1:2;", "abc'", "abc\\"}},
		{"Nullable(String)", []any{nil, "", "-", "+", "\\N", "NULL", "x"}},
		{"LowCardinality(Nullable(String))", []any{nil, "", "-", "+", "\\N", "NULL", "x"}},
		{"Bool", []any{true, false, true, true, true, true, true}},
		{"UInt8", []any{uint8(0), uint8(255), uint8(1), uint8(1), uint8(1), uint8(1), uint8(1)}},
		{"UInt16", []any{uint16(0), uint16(math.MaxUint16), uint16(1), uint16(1), uint16(1), uint16(1), uint16(1)}},
		{"UInt32", []any{uint32(0), uint32(math.MaxUint32), uint32(1), uint32(1), uint32(1), uint32(1), uint32(1)}},
		{"UInt64", []any{uint64(0), uint64(math.MaxUint64), uint64(1), uint64(10), uint64(100), uint64(1 << 63), uint64(7)}},
		{"Int64", []any{int64(0), int64(math.MinInt64), int64(math.MaxInt64), int64(-1), int64(1), int64(2), int64(3)}},
		{"Float64", []any{0.0, 0.1, -1e300, math.SmallestNonzeroFloat64, math.Inf(1), math.MaxFloat64, 3.0}},
		{"Decimal(18, 4)", []any{money(0), money(1), money(-1), money(10_000), money(-12_345_600), money(999_999_999_999_999_999), money(-5000)}},
		{"Nullable(Decimal(18, 4))", []any{nil, money(0), money(-1), money(120_000), money(100_000_000), money(7), money(-7)}},
		{"DateTime64(3, 'UTC')", []any{at, early, late, at.Add(time.Millisecond), early.Add(time.Millisecond), at, at}},
		{"Nullable(DateTime64(3, 'UTC'))", []any{nil, early, late, at, at, at, at}},
		{"Date", []any{at, early, at, at, at, at, at}},
		{"Array(LowCardinality(String))", []any{[]string{}, []string{""}, []string{"", ""}, []string{"a", "b"}, []string{"b", "a"}, []string{"a;b"}, []string{"it's"}}},
		{"Map(LowCardinality(String), String)", []any{map[string]string{}, map[string]string{"": ""}, map[string]string{"b": "1", "a": "2", "c": "3", "aa": "4"}, map[string]string{"a": "2"}, map[string]string{"a:2": ""}, map[string]string{"ü": "'"}, map[string]string{"x": long}}},
		{"Map(LowCardinality(String), Tuple(stage String, since DateTime64(3, 'UTC'), sequence UInt64, next_stage Nullable(String), next_deadline Nullable(DateTime64(3, 'UTC'))))", []any{
			map[string]map[string]any{},
			map[string]map[string]any{"m": tuple("a", nil, 1)},
			map[string]map[string]any{"m": tuple("a", "", 1)},
			map[string]map[string]any{"m": tuple("a", "b", 1), "l": tuple("x", nil, 2)},
			map[string]map[string]any{"m": tuple("a", "b", 2)},
			map[string]map[string]any{"": tuple("", nil, 0)},
			map[string]map[string]any{"n": tuple("a", nil, 1)},
		}},
		{"Array(Tuple(event String, at DateTime64(3, 'UTC'), value Nullable(Decimal(18, 4)), key Nullable(String), refund Bool))", []any{
			[]any{},
			[]any{[]any{"e", at, nil, nil, false}},
			[]any{[]any{"e", at, money(-15_000), "k", true}, []any{"f", early, money(1), nil, false}},
			[]any{[]any{"f", early, money(1), nil, false}},
			[]any{[]any{"e", late, nil, "", false}},
			[]any{[]any{"", at, nil, nil, true}},
			[]any{[]any{"e", at, nil, nil, true}},
		}},
	}
	var ddl, names []string
	var have []compare.Column
	for i, c := range columns {
		names = append(names, fmt.Sprintf("c%d", i))
		have = append(have, compare.Column{Name: names[i], Type: c.kind})
		ddl = append(ddl, names[i]+" "+c.kind)
	}
	have = append(have, compare.Column{Name: "_offset", Type: "UInt64"}, compare.Column{Name: "made", Type: "String", Of: `concat(c0, '\0', toString(c14), '\' c1')`}, compare.Column{Name: "blind", Type: "String", Of: "hostName()"})
	names = append(names, "_offset")
	ctx := t.Context()
	if err := conn.Exec(ctx, "CREATE TABLE hashes ("+strings.Join(ddl, ", ")+", _offset UInt64) ENGINE = MergeTree ORDER BY (c0, c14, _offset)"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"c0, toDate32(c14), _offset", "c0, other", "", "c0, cityHash64(c0, c1)", "c0, blind, _offset"} {
		if _, err := compare.NewTable(names, have, bad, nil); err == nil {
			t.Errorf("the key %q is taken, which rows of ours do not say", bad)
		}
	}
	if _, err := compare.NewTable(append(names, "more"), have, "c0", nil); err == nil {
		t.Error("a table that lacks a column is taken")
	}
	table, err := compare.NewTable(names, have, "c0, toDate32(c14), c14, `_offset`", nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := compare.NewTable(names, have, "made, _offset", nil)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := compare.NewTable(names, have, "_offset, c0, c14", nil); err != nil || plain.KeySQL != made.KeySQL {
		t.Errorf("a key that the server makes is %s, want that of the columns it is made of, %s: %v", made.KeySQL, plain.KeySQL, err)
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO hashes")
	if err != nil {
		t.Fatal(err)
	}
	want := map[int64]compare.Row{}
	seen := map[uint64]bool{}
	for i := range columns[0].values {
		var row []any
		for _, c := range columns {
			row = append(row, c.values[i])
		}
		row = append(row, uint64(i))
		if err := batch.Append(row...); err != nil {
			t.Fatal(err)
		}
		if want[int64(i)], err = table.Row(row, int64(i)); err != nil {
			t.Fatal(err)
		}
		seen[want[int64(i)].Hash] = true
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	if len(seen) != len(want) {
		t.Errorf("%d rows have %d hashes", len(want), len(seen))
	}
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT _offset, %s, %s, %s FROM hashes", table.KeySQL[0], table.KeySQL[1], table.HashSQL))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var offset uint64
		var got compare.Row
		if err := rows.Scan(&offset, &got.Key[0], &got.Key[1], &got.Hash); err != nil {
			t.Fatal(err)
		}
		if got.Offset = int64(offset); got != want[got.Offset] {
			t.Errorf("row %d: the server has %v, Go %v", offset, got, want[got.Offset])
		}
	}
	if err := rows.Err(); err != nil || n != len(want) {
		t.Errorf("%d rows, %v", n, err)
	}
}
