// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

func open() *batch.Batch {
	return batch.New(batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Hour})
}

func add(b *batch.Batch, records []batch.Record) {
	for i := range records {
		b.Add(&records[i], began)
	}
}

// inserts are those of a batch in which everything can be read.
func inserts(t testing.TB, b *batch.Batch) []batch.Insert {
	t.Helper()
	all, unreadable := b.Inserts()
	for i := range unreadable {
		t.Fatal(&unreadable[i])
	}
	return all
}

func history(seed uint64) []batch.Record {
	return sinktest.New(seed, time.UTC, sinktest.Size{Customers: 6, Changes: 8, Orders: 5}).Records(1)
}

// TestRowsDoNotDependOnEdges: however the records are cut into batches, the same
// rows come out, table by table, and every row fits its table's columns. Of values
// that replace each other only the last of a batch comes out, always of that key.
func TestRowsDoNotDependOnEdges(t *testing.T) {
	for seed := range uint64(20) {
		records := history(seed)
		whole := open()
		add(whole, records)
		want := map[batch.Table][]batch.Row{}
		for _, in := range inserts(t, whole) {
			for _, row := range in.Rows {
				want[in.Table] = replaced(in.Table, want[in.Table], row)
			}
		}
		got := map[batch.Table][]batch.Row{}
		rng := rand.New(rand.NewPCG(seed, 1))
		b := open()
		for rest := records; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			add(b, rest[:n])
			for _, in := range inserts(t, b) {
				for _, row := range in.Rows {
					got[in.Table] = replaced(in.Table, got[in.Table], row)
				}
				for _, row := range in.Rows {
					if len(row) != len(in.Table.Columns()) {
						t.Fatalf("%s: a row of %d values for %d columns", in.Table.Name(), len(row), len(in.Table.Columns()))
					}
				}
			}
			b.Reset()
			rest = rest[n:]
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: the rows depend on where the batches were cut", seed)
		}
		if len(want) != int(batch.Unreadable) {
			t.Fatalf("seed %d: rows for %d tables, want all but unreadable", seed, len(want))
		}
	}
}

// replaced is rows with one more, which takes the place of an older value of its key.
func replaced(t batch.Table, rows []batch.Row, row batch.Row) []batch.Row {
	key := func(r batch.Row) string {
		if t == batch.Profiles {
			return fmt.Sprint(r[1])
		}
		return fmt.Sprint(r[:13]...)
	}
	if t == batch.Profiles || t == batch.Aggregates {
		for i := range rows {
			if key(rows[i]) == key(row) {
				rows[i] = row
				return rows
			}
		}
	}
	return append(rows, row)
}

// TestLatestOnly: of a thousand values of one key in a batch one row is made, the
// last; a value that cannot be read matters only if it is the last.
func TestLatestOnly(t *testing.T) {
	b := open()
	for i := range 1000 {
		a := record.Aggregate{Definition: "d", Measure: record.MeasureEvent, Grain: record.Day, Event: "purchase", Count: int64(i)}
		b.Add(&batch.Record{Topic: "lapwing.aggregates", Name: "aggregates", Offset: int64(i), Generation: 1, Key: []byte("k"), Value: a.AppendJSON(nil)}, began)
	}
	b.Add(&batch.Record{Topic: "lapwing.profiles", Name: "profiles", Offset: 4, Generation: 1, Key: []byte("c"), Value: []byte("?")}, began)
	b.Add(&batch.Record{Topic: "lapwing.profiles", Name: "profiles", Offset: 5, Generation: 1, Key: []byte("c")}, began)
	if b.Rows() != 2 {
		t.Errorf("the batch counts %d rows, want 2", b.Rows())
	}
	all := inserts(t, b)
	if len(all) != 2 || len(all[0].Rows) != 1 || all[0].Rows[0][13] != int64(999) || len(all[1].Rows) != 1 || all[1].Rows[0][0] != uint8(1) {
		t.Errorf("got %v, want the last count and the tombstone", all)
	}
	if b.Rows() != 2 || b.Next()["lapwing.aggregates"][0] != 1000 || b.Next()["lapwing.profiles"][0] != 6 {
		t.Errorf("%d rows, next offsets %v", b.Rows(), b.Next())
	}
}

// TestLimits: a batch is full by rows, bytes or age, whichever comes first, and not
// before; markers alone fill it by age, so that their offsets are committed.
func TestLimits(t *testing.T) {
	records := history(2)
	for name, c := range map[string]struct {
		limits batch.Limits
		later  time.Duration
		full   bool
	}{
		"rows":       {batch.Limits{Rows: 3, Bytes: 1 << 30, Age: time.Hour}, 0, true},
		"bytes":      {batch.Limits{Rows: 1 << 30, Bytes: 100, Age: time.Hour}, 0, true},
		"age":        {batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Second}, time.Second, true},
		"not enough": {batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Second}, time.Second - 1, false},
	} {
		b := batch.New(c.limits)
		if b.Full(began.Add(time.Hour * 100)) {
			t.Errorf("%s: an empty batch is full", name)
		}
		add(b, records[:10])
		if b.Full(began.Add(c.later)) != c.full {
			t.Errorf("%s: full is %v", name, !c.full)
		}
		if want := max(0, c.limits.Age-c.later); b.Due(began.Add(c.later)) != want {
			t.Errorf("%s: due in %v, want %v", name, b.Due(began.Add(c.later)), want)
		}
	}
	b := batch.New(batch.Limits{Rows: 1, Bytes: 1, Age: time.Second})
	b.Pass("t", 3, 41, began)
	if b.Full(began) || !b.Full(began.Add(time.Second)) {
		t.Error("a marker alone does not fill a batch by age only")
	}
	if b.Next()["t"][3] != 42 {
		t.Errorf("after offset 41 the next offset is %v", b.Next())
	}
}

// TestOrders: one row per product, the order's value on the first; an order without
// products has one row; what an SDK may write wrongly costs the field, not the order.
func TestOrders(t *testing.T) {
	one := decimal.New(1, 0)
	for name, c := range map[string]struct {
		products string
		want     [][]any // item, product_id, name, category, quantity, price, value
	}{
		"none":         {"", [][]any{{uint32(1), nil, nil, nil, nil, nil, "12.5"}}},
		"empty":        {"[]", [][]any{{uint32(1), nil, nil, nil, nil, nil, "12.5"}}},
		"no list":      {`{"a":1}`, [][]any{{uint32(1), nil, nil, nil, nil, nil, "12.5"}}},
		"two":          {`[{"product_id":"a","name":"N","category":"C","quantity":2,"price":1.25},{"product_id":7}]`, [][]any{{uint32(1), "a", "N", "C", "2", "1.25", "12.5"}, {uint32(2), "7", nil, nil, one, nil, "0"}}},
		"old names":    {`[{"id":"b","sku":"s"},{"sku":"s"},{"id":"i","product_id":"p"}]`, [][]any{{uint32(1), "b", nil, nil, one, nil, "12.5"}, {uint32(2), "s", nil, nil, one, nil, "0"}, {uint32(3), "p", nil, nil, one, nil, "0"}}},
		"no objects":   {`[1,"x",null,[],{"product_id":"a"}]`, [][]any{{uint32(1), "a", nil, nil, one, nil, "12.5"}}},
		"wrong types":  {`[{"product_id":{"x":1},"name":["y"],"quantity":"many","price":true,"category":null}]`, [][]any{{uint32(1), nil, nil, nil, one, nil, "12.5"}}},
		"text numbers": {`[{"quantity":"2","price":"3.14159"}]`, [][]any{{uint32(1), nil, nil, nil, "2", "3.1416", "12.5"}}},
	} {
		t.Run(name, func(t *testing.T) {
			a := record.Activity{
				CustomerID: "c", Type: "track", Event: "Order Completed", Products: []byte(c.products),
				Occurrence: []record.Occurrence{{Event: "purchase", At: 5, Value: 125_000, HasValue: true, Key: "k"}},
			}
			b := open()
			r := batch.Record{Topic: "lapwing.activity", Name: "activity", Generation: 1, Value: a.AppendJSON(nil)}
			b.Add(&r, began)
			var got, want []string
			for _, in := range inserts(t, b) {
				if in.Table == batch.OrderItems {
					for _, row := range in.Rows {
						got = append(got, fmt.Sprint(row[3], row[5], row[6], row[7], row[8], row[9], row[11]))
					}
				}
			}
			for _, w := range c.want {
				want = append(want, fmt.Sprint(w...))
			}
			if !slices.Equal(trim(got), trim(want)) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// trim takes out blanks: Sprint puts them only between operands that are no strings.
func trim(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = strings.ReplaceAll(s, " ", "")
	}
	return out
}

// FuzzAdd: whatever bytes a topic holds, no row is lost: the record gives rows that
// fit, or is kept as unreadable with its bytes, and its offset is passed.
func FuzzAdd(f *testing.F) {
	for _, r := range history(3) {
		if r.Offset < 4 {
			f.Add(r.Name, r.Value)
		}
	}
	f.Add("profiles", []byte(nil))
	f.Add("definitions", []byte(`{"name":"x","version":1,"activated_at":"1997-01-01T00:00:00Z","timezone":"../etc/passwd"}`))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		b := open()
		r := batch.Record{Topic: "lapwing." + name, Name: name, Offset: 9, Generation: 1, Key: []byte("k"), Value: value}
		b.Add(&r, began)
		if b.Next()[r.Topic][0] != 10 {
			t.Fatalf("the offset was not passed: %v", b.Next())
		}
		all, unreadable := b.Inserts()
		for _, in := range all {
			for _, row := range in.Rows {
				if len(row) != len(in.Table.Columns()) {
					t.Fatalf("%s: %d values for %d columns", in.Table.Name(), len(row), len(in.Table.Columns()))
				}
			}
			if in.Table == batch.Unreadable && (len(unreadable) == 0 || in.Rows[0][1] != string(value)) {
				t.Fatalf("unreadable: %v, kept %q of %q", unreadable, in.Rows[0][1], value)
			}
		}
		if len(unreadable) > 1 || len(unreadable) == 1 && b.Rows() != 1 {
			t.Fatalf("an unreadable record gave %d rows (%v)", b.Rows(), unreadable)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	records := history(4)
	bytes := 0
	for i := range records {
		bytes += len(records[i].Value)
	}
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	for b.Loop() {
		batch := open()
		add(batch, records)
	}
	b.ReportMetric(float64(len(records)*b.N)/b.Elapsed().Seconds(), "records/s")
}
