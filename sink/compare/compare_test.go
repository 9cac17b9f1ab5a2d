// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLatestAgainstOracle: what differs between a log and a table, in few keys and
// offsets so that all that can happen does, is what its definition says, one key at a
// time; however few keys are held at once.
func TestLatestAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const end = 20
		key := rapid.Custom(func(t *rapid.T) Key { return Key{rapid.Uint64Range(0, 5).Draw(t, "k"), 0} })
		record := rapid.Custom(func(t *rapid.T) Row {
			return Row{Key: key.Draw(t, "key"), Offset: rapid.Int64Range(0, end+2).Draw(t, "offset"), Hash: rapid.Uint64Range(0, 1).Draw(t, "hash"), Gone: rapid.Bool().Draw(t, "gone")}
		})
		log := rapid.SliceOfNDistinct(record, 0, 12, func(r Row) int64 { return r.Offset }).Draw(t, "log")
		found := rapid.SliceOfNDistinct(record, 0, 6, func(r Row) Key { return r.Key }).Draw(t, "found") // FINAL shows one row per key

		var got []Finding
		limit := rapid.IntRange(1, 7).Draw(t, "limit")
		for parts := []Part{{}}; len(parts) > 0; {
			l := NewLatest(parts[0], limit)
			for _, row := range log {
				l.Add(row)
			}
			parts = append(parts[1:], l.Rest()...)
			part := l.Part()
			got = append(got, l.Compare(end, func(yield func(Row) bool) {
				for _, f := range found {
					if part.Has(f.Key) && !yield(f) {
						return
					}
				}
			})...)
		}

		var want []Finding
		for k := range uint64(6) {
			want = append(want, naive(Key{k, 0}, end, log, found)...)
		}
		for _, all := range [][]Finding{got, want} {
			for i := range all {
				all[i].Shared = false // of the whole log here, of a part there
			}
			slices.SortFunc(all, func(a, b Finding) int {
				return int(a.Offset-b.Offset)*1000 + int(a.Key[0])*10 - int(b.Key[0])*10 + len(a.Kind) - len(b.Kind)
			})
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

// naive judges one key by the words of the definition.
func naive(k Key, end int64, log, found []Row) []Finding {
	var want, have *Row
	for i := range log {
		if log[i].Key == k && (want == nil || log[i].Offset > want.Offset) {
			want = &log[i]
		}
	}
	for i := range found {
		if found[i].Key == k {
			have = &found[i]
		}
	}
	finding := func(kind Kind, at int64) Finding { return Finding{Kind: kind, Key: k, Offset: at} }
	switch {
	case want != nil && want.Offset >= end, have != nil && have.Offset >= end:
		return nil // not judged
	case want == nil && have == nil:
		return nil
	case want == nil:
		return []Finding{finding(Surplus, have.Offset)}
	case have == nil && want.Gone:
		return nil
	case have == nil:
		return []Finding{finding(Missing, want.Offset)}
	case have.Offset < want.Offset:
		return []Finding{finding(Stale, want.Offset)}
	case have.Offset > want.Offset && want.Gone:
		return []Finding{finding(Surplus, have.Offset)}
	case have.Offset > want.Offset:
		return []Finding{finding(Surplus, have.Offset), finding(Missing, want.Offset)}
	case want.Gone || have.Hash != want.Hash:
		return []Finding{finding(Altered, want.Offset)}
	}
	return nil
}

// TestSharedOffsets: a surplus row beside rows that belong there is told from one that
// stands alone.
func TestSharedOffsets(t *testing.T) {
	l := NewLatest(Part{}, 10)
	l.Add(Row{Key: Key{1}, Offset: 7})
	got := l.Compare(100, slices.Values([]Row{{Key: Key{1}, Offset: 7}, {Key: Key{2}, Offset: 7}, {Key: Key{3}, Offset: 8}}))
	want := []Finding{{Kind: Surplus, Key: Key{2}, Offset: 7, Shared: true}, {Kind: Surplus, Key: Key{3}, Offset: 8}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestDoubledRow: FINAL shows a key once; if it is shown twice, the second is too many.
func TestDoubledRow(t *testing.T) {
	l := NewLatest(Part{}, 10)
	l.Add(Row{Key: Key{1}, Offset: 7})
	if got := l.Compare(100, slices.Values([]Row{{Key: Key{1}, Offset: 7}, {Key: Key{1}, Offset: 7}})); len(got) != 1 || got[0].Kind != Surplus {
		t.Errorf("got %+v, want one surplus row", got)
	}
}

// TestDigestsFindEachDifference: rows are spread over cells; one that is lost, doubled
// or altered shows in its cell alone, at every size of cells; none shows in any order.
func TestDigestsFindEachDifference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	spans := []Span{{"t", 0, 5, 900_000}, {"t", 1, 0, 3}, {"u", 0, 70_000, 70_001}}
	type one struct {
		span   int
		offset int64
		hash   uint64
	}
	var rows []one
	for range 3000 {
		i := rng.IntN(len(spans))
		s := spans[i]
		rows = append(rows, one{i, s.From + rng.Int64N(s.To-s.From), rng.Uint64()})
	}
	digest := func(rows []one, size int64) Digests {
		a, b := Digests{}, Digests{}
		for i, r := range rows {
			into := a
			if i%2 == 0 {
				into = b
			}
			into.Add(Cell{"x", spans[r.span].Topic, spans[r.span].Partition, r.offset / size}, r.hash)
		}
		a.Merge(b)
		return a
	}
	for size := FirstSize(spans); size > 0; size = NextSize(size) {
		want := digest(rows, size)
		shuffled := slices.Clone(rows)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if d := want.Differing(digest(shuffled, size)); len(d) > 0 {
			t.Errorf("size %d: the same rows in another order differ in %v", size, d)
		}
		for i := range 50 {
			changed := slices.Clone(rows)
			switch r := changed[i]; i % 3 {
			case 0:
				changed = slices.Delete(changed, i, i+1)
			case 1:
				changed = append(changed, r)
			case 2:
				changed[i].hash++
			}
			d := want.Differing(digest(changed, size))
			if len(d) != 1 || d[0].Number != rows[i].offset/size || d[0].Topic != spans[rows[i].span].Topic || d[0].Partition != spans[rows[i].span].Partition {
				t.Errorf("size %d: changed %+v, differing %v", size, rows[i], d)
			}
			if !slices.Equal(d, digest(changed, size).Differing(want)) {
				t.Error("differing is not symmetric")
			}
		}
	}
}

// TestWithin: narrowing keeps every offset of the cells that lies in the spans, no other,
// and gives none twice.
func TestWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 7).Draw(t, "size")
		spans := []Span{
			{"t", 0, rapid.Int64Range(0, 10).Draw(t, "a"), rapid.Int64Range(10, 60).Draw(t, "b")},
			{"t", 1, 3, 9},
		}
		numbers := rapid.SliceOfN(rapid.Int64Range(0, 12), 0, 8).Draw(t, "cells")
		want := map[int64]bool{}
		var cells []Cell
		for i, n := range numbers {
			cells = append(cells, Cell{[]string{"x", "y"}[i%2], "t", 0, n})
			for o := n * size; o < (n+1)*size; o++ {
				if o >= spans[0].From && o < spans[0].To {
					want[o] = true
				}
			}
		}
		got := map[int64]bool{}
		last := int64(-1)
		for _, s := range Within(spans, cells, size) {
			if s.Topic != "t" || s.Partition != 0 || s.From >= s.To || s.From <= last {
				t.Fatalf("bad span %+v after %d", s, last)
			}
			for last = s.From; last < s.To; last++ {
				got[last] = true
			}
		}
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for o := range want {
			if !got[o] {
				t.Fatalf("offset %d is lost", o)
			}
		}
	})
}

func TestSizes(t *testing.T) {
	for _, c := range []struct{ length, first int64 }{{0, Leaf}, {1, Leaf}, {Leaf * maxCells, Leaf}, {Leaf*maxCells + Leaf, 2 * Leaf}, {1 << 40, 1 << 30}} {
		if got := FirstSize([]Span{{"t", 0, 0, 10}, {"t", 1, 100, 100 + c.length}}); got != c.first {
			t.Errorf("the first size for %d offsets is %d, want %d", c.length, got, c.first)
		}
	}
	var sizes []int64
	for s := int64(1 << 30); s > 0; s = NextSize(s) {
		sizes = append(sizes, s)
	}
	if !slices.Equal(sizes, []int64{1 << 30, 1 << 22, 1 << 14, Leaf}) {
		t.Errorf("sizes %v", sizes)
	}
}

// TestOffsets: a set of runs has what was added, as a map has.
func TestOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[int64]bool{}
		var o Offsets
		for _, n := range rapid.SliceOf(rapid.Int64Range(0, 30)).Draw(t, "offsets") {
			o.Add(n)
			want[n] = true
		}
		for n := range int64(32) {
			if o.Has(n) != want[n] {
				t.Fatalf("Has(%d) is %v in %v", n, o.Has(n), o)
			}
		}
		for i := 1; i < len(o); i++ {
			if o[i].First <= o[i-1].Last+1 {
				t.Fatalf("%v is not in runs", o)
			}
		}
		if int(o.Len()) != len(want) {
			t.Fatalf("Len is %d, want %d", o.Len(), len(want))
		}
	})
	o := Offsets{{1, 1}, {3, 5}, {9, 9}}
	if got := o.Text(2); got != "1, 3-5, and 1 more" {
		t.Error(got)
	}
}
