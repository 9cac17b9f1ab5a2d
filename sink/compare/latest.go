// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"cmp"
	"iter"
	"slices"
)

// Kind says how a row differs from what the log says.
type Kind string

// The kinds. All but Surplus are put right by inserting what the log says once more.
const (
	Missing Kind = "missing" // the log has it, the table has not
	Altered Kind = "altered" // the table says something else under the same offset
	Stale   Kind = "stale"   // the table still shows what a later record has replaced
	Surplus Kind = "surplus" // the table has it, the log has not
)

// Finding is one row that differs. Offset is where the log has what should be there; of
// a surplus row, what the row says.
type Finding struct {
	Kind   Kind
	Key    Key
	Offset int64
	// Shared says of a surplus row that the log has another row at its offset.
	Shared bool
}

// Part is a share of all keys: those whose first hash ends in Residue, in the bits of
// Mask, which are the lowest. The zero Part is all keys.
type Part struct{ Mask, Residue uint64 }

// Has reports whether the key belongs to the part.
func (p Part) Has(k Key) bool { return k[0]&p.Mask == p.Residue }

// Latest is the newest row of each key, as the log says, in bounded memory: a part of
// the keys that would be too large halves itself, and says what is left to do.
type Latest struct {
	part  Part
	rest  []Part
	limit int
	rows  map[Key]Row
}

// NewLatest holds at most limit keys of the part.
func NewLatest(part Part, limit int) *Latest {
	return &Latest{part: part, limit: limit, rows: map[Key]Row{}}
}

// Add takes a row in. Of one key that with the greatest offset counts, whatever comes
// first.
func (l *Latest) Add(row Row) {
	if !l.part.Has(row.Key) {
		return
	}
	if known, ok := l.rows[row.Key]; ok && known.Offset > row.Offset {
		return
	}
	l.rows[row.Key] = row
	for len(l.rows) > l.limit && l.part.Mask != ^uint64(0) {
		l.halve()
	}
}

func (l *Latest) halve() {
	other := Part{l.part.Mask<<1 | 1, l.part.Residue | (l.part.Mask + 1)}
	l.part.Mask = other.Mask
	l.rest = append(l.rest, other)
	for k := range l.rows {
		if !l.part.Has(k) {
			delete(l.rows, k)
		}
	}
}

// Part is what it holds now.
func (l *Latest) Part() Part { return l.part }

// Rest are the parts that were given up and are left to do.
func (l *Latest) Rest() []Part { return l.rest }

// buckets is how many cells the keys of a partition are spread over.
const buckets = 256

// Bucket is the cell of a key: of bits that no Part is chosen by.
func (k Key) Bucket() int64 { return int64(k[0] >> 56 % buckets) }

// BucketSQL is the bucket of a key whose first hash is the expression.
func BucketSQL(hash string) string { return "toInt64(bitShiftRight(" + hash + ", 56))" }

// Digests are those of the rows below the offset end that can be seen, by bucket.
func (l *Latest) Digests(of Cell, end int64) Digests {
	d := Digests{}
	for key, row := range l.rows {
		if !row.Gone && row.Offset < end {
			of.Number = key.Bucket()
			d.Add(of, row.Hash)
		}
	}
	return d
}

// Only forgets all keys but those of the buckets.
func (l *Latest) Only(cells []Cell) {
	var keep [buckets]bool
	for _, c := range cells {
		keep[c.Number] = true
	}
	for k := range l.rows {
		if !keep[k.Bucket()] {
			delete(l.rows, k)
		}
	}
}

// Compare goes through the rows that the table shows, and returns what differs, by
// offset. A key whose newest record, in the log or in the table, is at end or beyond
// is not judged: it moves on while we look. l is used up.
func (l *Latest) Compare(end int64, found iter.Seq[Row]) []Finding {
	var all []Finding
	seen := map[Key]bool{}
	for f := range found {
		want, ok := l.rows[f.Key]
		switch {
		case ok && want.Offset >= end:
		case f.Offset >= end:
			seen[f.Key] = true
		case !ok, seen[f.Key], f.Offset > want.Offset:
			all = append(all, Finding{Kind: Surplus, Key: f.Key, Offset: f.Offset})
		case f.Offset < want.Offset:
			all, seen[f.Key] = append(all, Finding{Kind: Stale, Key: f.Key, Offset: want.Offset}), true
		case want.Gone: // the tombstone itself is never shown
			all, seen[f.Key] = append(all, Finding{Kind: Altered, Key: f.Key, Offset: want.Offset}), true
		default:
			if seen[f.Key] = true; f.Hash != want.Hash {
				all = append(all, Finding{Kind: Altered, Key: f.Key, Offset: want.Offset})
			}
		}
	}
	for key, want := range l.rows {
		if !seen[key] && !want.Gone && want.Offset < end {
			all = append(all, Finding{Kind: Missing, Key: key, Offset: want.Offset})
		}
	}
	l.share(all)
	l.rows = nil
	slices.SortFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key[0], b.Key[0]), cmp.Compare(a.Key[1], b.Key[1]))
	})
	return all
}

// share notes at which offsets of surplus rows the log has rows, too.
func (l *Latest) share(all []Finding) {
	surplus := map[int64]bool{}
	for _, f := range all {
		if f.Kind == Surplus {
			surplus[f.Offset] = false
		}
	}
	if len(surplus) == 0 {
		return
	}
	for _, row := range l.rows {
		if _, ok := surplus[row.Offset]; ok {
			surplus[row.Offset] = true
		}
	}
	for i := range all {
		all[i].Shared = all[i].Kind == Surplus && surplus[all[i].Offset]
	}
}
