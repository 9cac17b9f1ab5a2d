// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
)

// clientOptions are those of a client on one of the two protocols.
func clientOptions(ch *embedded.ClickHouse, protocol clickhouse.Protocol) *clickhouse.Options {
	o := ch.Options()
	if o.Protocol = protocol; protocol == clickhouse.HTTP {
		o.Addr = []string{ch.HTTPAddr}
	}
	return o
}

func openClient(t testing.TB, o *clickhouse.Options) clickhouse.Conn {
	t.Helper()
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func mustExec(t testing.TB, conn clickhouse.Conn, query string, args ...any) {
	t.Helper()
	if err := conn.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// scalar runs a query with one value.
func scalar[T any](ctx context.Context, t testing.TB, conn clickhouse.Conn, query string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(ctx, query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func wantCode(t testing.TB, err error, code int32) {
	t.Helper()
	var e *clickhouse.Exception
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("want an exception with code %d, have %T: %v", code, err, err)
	}
}

// TestClickHouseDriver is the acceptance suite: what clickhouse-go can do with a
// server it can do with the embedded engine, over both protocols.
func TestClickHouseDriver(t *testing.T) {
	ch := embeddedtest.ClickHouseForTest(t)
	for _, c := range []struct {
		name        string
		protocol    clickhouse.Protocol
		compression *clickhouse.Compression
		settings    clickhouse.Settings
	}{
		{"native", clickhouse.Native, nil, nil},
		{"native lz4", clickhouse.Native, &clickhouse.Compression{Method: clickhouse.CompressionLZ4}, nil},
		{"native zstd", clickhouse.Native, &clickhouse.Compression{Method: clickhouse.CompressionZSTD, Level: 3}, nil},
		{"http", clickhouse.HTTP, nil, nil},
		{"http lz4", clickhouse.HTTP, &clickhouse.Compression{Method: clickhouse.CompressionLZ4}, nil},
		{"http zstd", clickhouse.HTTP, &clickhouse.Compression{Method: clickhouse.CompressionZSTD, Level: 3}, nil},
		{"http gzip", clickhouse.HTTP, &clickhouse.Compression{Method: clickhouse.CompressionGZIP, Level: 1}, clickhouse.Settings{"enable_http_compression": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := clientOptions(ch, c.protocol)
			o.Compression, o.Settings = c.compression, c.settings
			conn := openClient(t, o)
			if err := conn.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if v, err := conn.ServerVersion(); err != nil || v.Version.Major != 26 {
				t.Fatalf("server version %v, %v", v, err)
			}
			if db := scalar[string](t.Context(), t, conn, "SELECT currentDatabase()"); db != ch.Database {
				t.Fatalf("the current database is %q", db)
			}
			t.Run("types", func(t *testing.T) { driverTypes(t, conn) })
			t.Run("semi-structured types", func(t *testing.T) { driverJSON(t, conn) })
			t.Run("parameters and settings", func(t *testing.T) { driverParameters(t, conn) })
			t.Run("exceptions", func(t *testing.T) { driverExceptions(t, conn) })
			t.Run("inserts", func(t *testing.T) { driverInserts(t, conn) })
			t.Run("results", func(t *testing.T) { driverResults(t, conn, c.protocol) })
			t.Run("database/sql", func(t *testing.T) { driverSQL(t, o) })
		})
	}
}

// driverTypes writes a row of each kind of value and reads the same back.
func driverTypes(t *testing.T, conn clickhouse.Conn) {
	mustExec(t, conn, `CREATE OR REPLACE TABLE types (id UInt64, s String, lc LowCardinality(String), lcn LowCardinality(Nullable(String)),
		ts DateTime64(3,'UTC'), d Date, n Nullable(Int32), a Array(String), al Array(LowCardinality(String)), mp Map(String,Float64),
		mpl Map(LowCardinality(String),String), de Decimal(18,4), e Enum8('a'=1,'b'=2), u UUID, f Float64, t Tuple(x Int64, y String), b Bool,
		fs FixedString(4), i128 Int128, dt DateTime('UTC'), aa Array(Array(Nullable(UInt8)))) ENGINE = MergeTree ORDER BY id`)
	const rows = 500
	id, ts := uuid.New(), time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	row := func(i int) []any {
		var n *int32
		var lcn *string
		if i%2 == 1 {
			n, lcn = new(int32), new(string)
			*n, *lcn = int32(i), fmt.Sprint("l", i%7)
		}
		small := uint8(i)
		return []any{
			uint64(i), fmt.Sprint("s\x00;'\"\\", i), fmt.Sprint("lc", i%5), lcn,
			ts.Add(time.Duration(i) * time.Millisecond), ts.Truncate(24 * time.Hour), n,
			[]string{"x", fmt.Sprint(i)},
			[]string{"p", "q"}[:i%3],
			map[string]float64{"k": float64(i)},
			map[string]string{"k": "v"},
			decimal.New(int64(i)*100, -4), []string{"a", "b"}[i%2], id, float64(i) / 3,
			map[string]any{"x": int64(i), "y": "yy"},
			i%2 == 0,
			"abcd", big.NewInt(int64(-i)), ts.Truncate(time.Second),
			[][]*uint8{{&small, nil}, {}},
		}
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO types")
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	for i := range rows {
		if err := batch.Append(row(i)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	result, err := conn.Query(t.Context(), "SELECT * FROM types ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	i := 0
	for ; result.Next(); i++ {
		var into []any
		for _, c := range result.ColumnTypes() {
			into = append(into, reflect.New(c.ScanType()).Interface())
		}
		if err := result.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for k, want := range row(i) {
			if got := reflect.ValueOf(into[k]).Elem().Interface(); !sameValue(got, want) {
				t.Fatalf("row %d, column %s: have %v (%T), want %v (%T)", i, result.Columns()[k], got, got, want, want)
			}
		}
	}
	if err := result.Err(); err != nil || i != rows {
		t.Fatalf("%d rows of %d, %v", i, rows, err)
	}
}

// sameValue compares what was scanned with what was appended. The driver's types
// for decimals and instants have their own equality.
func sameValue(got, want any) bool {
	switch want := want.(type) {
	case time.Time:
		g, ok := got.(time.Time)
		return ok && g.Equal(want)
	case decimal.Decimal:
		g, ok := got.(decimal.Decimal)
		return ok && g.Equal(want)
	case *big.Int:
		switch g := got.(type) {
		case big.Int:
			return g.Cmp(want) == 0
		case *big.Int:
			return g.Cmp(want) == 0
		}
		return false
	case []string:
		g, ok := got.([]string)
		return ok && fmt.Sprint(g) == fmt.Sprint(want) // an empty one may be nil
	}
	return reflect.DeepEqual(got, want)
}

func driverJSON(t *testing.T, conn clickhouse.Conn) {
	mustExec(t, conn, "CREATE OR REPLACE TABLE js (id UInt64, j JSON, v Variant(String, UInt64), d Dynamic, tail String) ENGINE = MergeTree ORDER BY id")
	mustExec(t, conn, `INSERT INTO js VALUES (1, '{"a":1,"b":{"c":"x"}}', 'str', 42, 'end')`)
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO js")
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	doc := clickhouse.NewJSON()
	doc.SetValueAtPath("a", clickhouse.NewDynamicWithType(int64(7), "Int64"))
	if err := batch.Append(uint64(2), doc, clickhouse.NewVariantWithType("vv", "String"), clickhouse.NewDynamicWithType("dd", "String"), "tail"); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), "SELECT id, j, v, d, tail FROM js ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	want := []string{`1 {"a":1,"b":{"c":"x"}} str 42 end`, `2 {"a":7} vv dd tail`}
	for i := 0; rows.Next(); i++ {
		var id uint64
		var j clickhouse.JSON
		var v clickhouse.Variant
		var d clickhouse.Dynamic
		var tail string
		if err := rows.Scan(&id, &j, &v, &d, &tail); err != nil {
			t.Fatal(err)
		}
		text, err := j.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %s %v %v %s", id, text, v.Any(), d.Any(), tail); got != want[i] {
			t.Fatalf("have %s, want %s", got, want[i])
		}
		want[i] = ""
	}
	if err := rows.Err(); err != nil || want[1] != "" {
		t.Fatalf("rows are missing, %v", err)
	}
}

func driverParameters(t *testing.T, conn clickhouse.Conn) {
	ctx := t.Context()
	if s := scalar[string](ctx, t, conn, "SELECT concat(?, '-', toString(?))", "a'b", 5); s != "a'b-5" {
		t.Fatal(s)
	}
	if s := scalar[string](ctx, t, conn, "SELECT @s", clickhouse.Named("s", "nm")); s != "nm" {
		t.Fatal(s)
	}
	server := clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"n": "7", "s": "q'w"}))
	if s := scalar[string](server, t, conn, "SELECT concat({s:String}, toString({n:UInt8}))"); s != "q'w7" {
		t.Fatal(s)
	}
	const query = "SELECT getSetting('max_block_size')"
	before := scalar[uint64](ctx, t, conn, "SELECT toUInt64(getSetting('max_block_size'))")
	set := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_threads": 1, "max_block_size": 777}))
	if v := scalar[uint64](set, t, conn, "SELECT toUInt64(getSetting('max_block_size'))"); v != 777 {
		t.Fatalf("%s: %d in the query that sets it", query, v)
	}
	if v := scalar[uint64](ctx, t, conn, "SELECT toUInt64(getSetting('max_block_size'))"); v != before {
		t.Fatalf("%s: %d after the query that set it, %d before", query, v, before)
	}
	wrong := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"no_such_setting": 1}))
	wantCode(t, conn.Exec(wrong, "SELECT 1"), 115)
	table, err := ext.NewTable("sent", ext.Column("a", "UInt64"), ext.Column("b", "String"))
	if err == nil {
		err = errors.Join(table.Append(uint64(1), "one"), table.Append(uint64(2), "two"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds no table of the first in its way
		external := clickhouse.Context(ctx, clickhouse.WithExternalTable(table))
		if n := scalar[uint64](external, t, conn, "SELECT sum(a) FROM sent"); n != 3 {
			t.Fatal(n)
		}
	}
}

func driverExceptions(t *testing.T, conn clickhouse.Conn) {
	ctx := t.Context()
	wantCode(t, conn.Exec(ctx, "SELECT * FROM nope"), 60)
	wantCode(t, conn.Exec(ctx, "SELECT (1"), 62)
	_, err := conn.PrepareBatch(ctx, "INSERT INTO nope")
	wantCode(t, err, 60)
	rows, err := conn.Query(ctx, "SELECT throwIf(number = 150000) FROM numbers(200000) SETTINGS max_block_size = 65536, max_threads = 1")
	if err == nil { // some rows have come before it
		defer rows.Close()
		for rows.Next() {
		}
		err = rows.Err()
	}
	wantCode(t, err, 395)
	mustExec(t, conn, "CREATE OR REPLACE TABLE target (a UInt64) ENGINE = MergeTree ORDER BY a")
	wantCode(t, conn.Exec(ctx, "INSERT INTO target SELECT a FROM input('a UInt64') FORMAT CSV 1"), 48)
	if n := scalar[uint64](ctx, t, conn, "SELECT count() FROM target"); n != 0 {
		t.Fatal(n)
	}
}

func driverInserts(t *testing.T, conn clickhouse.Conn) {
	ctx := t.Context()
	mustExec(t, conn, "CREATE OR REPLACE TABLE ins (id UInt64, s String DEFAULT 'none', n Nullable(Int32)) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100")
	send := func(ctx context.Context, query string, row ...any) {
		t.Helper()
		batch, err := conn.PrepareBatch(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		defer batch.Close()
		if err := errors.Join(batch.Append(row...), batch.Send()); err != nil {
			t.Fatal(err)
		}
	}
	send(ctx, "INSERT INTO ins (id, n)", uint64(1), nil)
	mustExec(t, conn, "INSERT INTO ins (id, s) VALUES (?, ?)", 2, "it's")
	if err := conn.AsyncInsert(ctx, "INSERT INTO ins (id) VALUES (3)", true); err != nil { //nolint:staticcheck // old, and still in use
		t.Fatal(err)
	}
	mustExec(t, conn, "INSERT INTO ins SELECT 4, 'four', 4")
	if s := scalar[string](ctx, t, conn, "SELECT toString(groupArray((id, s, n))) FROM (SELECT * FROM ins ORDER BY id)"); s != `[(1,'none',NULL),(2,'it\'s',NULL),(3,'none',NULL),(4,'four',4)]` {
		t.Fatal(s)
	}
	for i := range 3 { // two tokens
		token := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": fmt.Sprint("token", i/2)}))
		send(token, "INSERT INTO ins (id)", uint64(100+i))
	}
	if n := scalar[uint64](ctx, t, conn, "SELECT count() FROM ins WHERE id >= 100"); n != 2 {
		t.Fatalf("%d rows of 2 deduplication tokens", n)
	}
	aborted, err := conn.PrepareBatch(ctx, "INSERT INTO ins (id)")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(aborted.Append(uint64(999)), aborted.Abort()); err != nil {
		t.Fatal(err)
	}
	if n := scalar[uint64](ctx, t, conn, "SELECT count() FROM ins WHERE id = 999"); n != 0 {
		t.Fatal("rows of an aborted batch are stored")
	}
}

func driverResults(t *testing.T, conn clickhouse.Conn, protocol clickhouse.Protocol) {
	ctx := t.Context()
	empty, err := conn.Query(ctx, "SELECT 1 AS a, 'x' AS b WHERE 0 -- nothing")
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if empty.Next() || empty.Err() != nil {
		t.Fatalf("rows, or %v", empty.Err())
	}
	// Over HTTP an empty result is zero bytes, and has no columns.
	if protocol == clickhouse.Native && !reflect.DeepEqual(empty.Columns(), []string{"a", "b"}) {
		t.Fatal(empty.Columns())
	}
	rows, err := conn.Query(ctx, "SELECT number, toString(number), toNullable(number), toLowCardinality(toString(number % 100)) FROM numbers(300000)")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var sum, n uint64
	for rows.Next() {
		var a uint64
		var s, l string
		var p *uint64
		if err := rows.Scan(&a, &s, &p, &l); err != nil {
			t.Fatal(err)
		}
		if s != fmt.Sprint(a) || *p != a || l != fmt.Sprint(a%100) {
			t.Fatal(a, s, *p, l)
		}
		sum, n = sum+a, n+1
	}
	if rows.Err() != nil || n != 300000 || sum != 44999850000 {
		t.Fatal(n, sum, rows.Err())
	}
}

func driverSQL(t *testing.T, o *clickhouse.Options) {
	db := clickhouse.OpenDB(o)
	defer db.Close()
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM numbers(20) WHERE number < ?", 10).Scan(&n); err != nil || n != 10 {
		t.Fatal(n, err)
	}
	var null *string
	if err := db.QueryRowContext(t.Context(), "SELECT CAST(NULL AS Nullable(String))").Scan(&null); err != nil || null != nil {
		t.Fatal(null, err)
	}
}
