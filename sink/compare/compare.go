// SPDX-License-Identifier: Apache-2.0

// Package compare says whether ClickHouse's tables have what the log has, and where
// they do not. It is pure: no clock, connection, goroutine.
//
// A row is hashed twice by the same rules, in Go as the log says it should be and in
// SQL as the table has it (Table). Counts and sums of hashes, per cell of a partition's
// offsets, are compared first (Digests); only the cells that differ are cut into
// smaller ones, and only the smallest that differ are looked at row by row (Latest).
// So a log of any length is compared in bounded memory, and with few queries.
package compare

import (
	"cmp"
	"slices"
)

// Span is a stretch of one partition's log: From inclusive, To exclusive.
type Span struct {
	Topic     string
	Partition int32
	From, To  int64
}

// Leaf is how many offsets the smallest cells have: they are read row by row.
const Leaf = 256

// maxCells bounds how many cells a partition is cut into at first.
const maxCells = 1024

// fan is how many smaller cells a cell that differs is cut into.
const fan = 256

// FirstSize is the size of the cells to begin with: the smallest, by powers of two from
// Leaf, that cuts no span into more than a bounded number.
func FirstSize(spans []Span) int64 {
	size := int64(Leaf)
	for _, s := range spans {
		for (s.To-s.From)/size > maxCells {
			size *= 2
		}
	}
	return size
}

// NextSize is the size after size; 0 after the smallest.
func NextSize(size int64) int64 {
	if size <= Leaf {
		return 0
	}
	return max(Leaf, size/fan)
}

// Cell is a part of what one table has from one partition: the offsets from Number*size
// on, or a share of the keys.
type Cell struct {
	Table     string
	Topic     string
	Partition int32
	Number    int64
}

// Digest is a number of rows and the sum of their hashes: the same for the same rows in
// any order.
type Digest struct{ Rows, Sum uint64 }

// Digests are those of cells that have rows.
type Digests map[Cell]Digest

// Add counts one row.
func (d Digests) Add(c Cell, hash uint64) {
	sum := d[c]
	sum.Rows++
	sum.Sum += hash
	d[c] = sum
}

// Merge adds what another goroutine has counted.
func (d Digests) Merge(other Digests) {
	for c, o := range other {
		sum := d[c]
		sum.Rows += o.Rows
		sum.Sum += o.Sum
		d[c] = sum
	}
}

// Differing are the cells in which the two are not the same, in order.
func (d Digests) Differing(other Digests) []Cell {
	var all []Cell
	for c, sum := range d {
		if other[c] != sum {
			all = append(all, c)
		}
	}
	for c := range other {
		if _, both := d[c]; !both {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Table, b.Table))
	})
	return all
}

// Within are the parts of spans that lie in the cells, in the cells' order, each once.
// A span from which nothing lies there is left out.
func Within(spans []Span, cells []Cell, size int64) []Span {
	type place struct {
		topic     string
		partition int32
	}
	numbers := map[place][]int64{}
	for _, c := range cells {
		p := place{c.Topic, c.Partition}
		numbers[p] = append(numbers[p], c.Number)
	}
	var all []Span
	for _, s := range spans {
		list := numbers[place{s.Topic, s.Partition}]
		slices.Sort(list)
		for _, n := range slices.Compact(list) {
			part := Span{s.Topic, s.Partition, max(s.From, n*size), min(s.To, (n+1)*size)}
			if part.From >= part.To {
				continue
			}
			if last := len(all) - 1; last >= 0 && all[last].Topic == s.Topic && all[last].Partition == s.Partition && all[last].To == part.From {
				all[last].To = part.To
				continue
			}
			all = append(all, part)
		}
	}
	return all
}
