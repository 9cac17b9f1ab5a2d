// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"lapwing/sink/batch"
	"lapwing/sink/compare"
)

// facts compares what each record says once and for all: by counts and sums over cells
// of offsets, narrowed where they differ.
func (r *run) facts(ctx context.Context, spans []compare.Span) error {
	if len(spans) == 0 {
		return nil
	}
	read := spans
	var cells []compare.Cell // that differ, of the size before
	before := int64(0)
	for size := compare.FirstSize(spans); size > 0; size = compare.NextSize(size) {
		log, err := r.logDigests(ctx, read, size)
		if err != nil {
			return err
		}
		have, err := r.tableDigests(ctx, spans, cells, before, size)
		if err != nil {
			return err
		}
		if before == 0 {
			r.count(log, have)
		} else { // of these cells other tables are in order
			keep := ofCells(cells, before)
			maps.DeleteFunc(log, func(c compare.Cell, _ compare.Digest) bool { return !keep(c, size) })
		}
		cells, before = log.Differing(have), size
		read = compare.Within(spans, cells, size)
	}
	return r.rows(ctx, spans, cells)
}

// ofCells says whether a smaller cell lies in one of the cells.
func ofCells(cells []compare.Cell, size int64) func(compare.Cell, int64) bool {
	set := make(map[compare.Cell]bool, len(cells))
	for _, c := range cells {
		set[c] = true
	}
	return func(c compare.Cell, smaller int64) bool {
		c.Number = c.Number * smaller / size
		return set[c]
	}
}

func (r *run) logDigests(ctx context.Context, spans []compare.Span, size int64) (compare.Digests, error) {
	all := compare.Digests{}
	err := r.read(ctx, spans, func(at place) each {
		own := compare.Digests{}
		return each{
			row: func(t batch.Table, _ batch.Row, row compare.Row) error {
				own.Add(compare.Cell{Table: t.Name(), Topic: at.topic, Partition: at.partition, Number: row.Offset / size}, row.Hash)
				return nil
			},
			done: func() { all.Merge(own) },
		}
	})
	return all, err
}

// tableDigests asks for the cells of a size within the spans; if cells are given, within
// these, which are of the size before.
func (r *run) tableDigests(ctx context.Context, spans []compare.Span, cells []compare.Cell, before, size int64) (compare.Digests, error) {
	all := compare.Digests{}
	for _, t := range factTables() {
		meta := r.tables[t]
		condition := r.where(meta, spans)
		if before > 0 {
			own := cellsOf(cells, meta.name)
			if len(own) == 0 {
				continue
			}
			condition += " AND " + in(own, before)
		}
		if err := r.digests(ctx, meta, fmt.Sprintf("intDiv(toInt64(_offset), %d)", size), condition, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func cellsOf(cells []compare.Cell, table string) []compare.Cell {
	var own []compare.Cell
	for _, c := range cells {
		if c.Table == table {
			own = append(own, c)
		}
	}
	return own
}

// count notes how many rows log and tables have.
func (r *run) count(log, have compare.Digests) {
	byName := map[string]batch.Table{}
	for _, t := range batch.Tables() {
		byName[t.Name()] = t
	}
	for c, d := range log {
		r.entry(byName[c.Table], place{c.Topic, c.Partition}).Expected += d.Rows
	}
	for c, d := range have {
		r.entry(byName[c.Table], place{c.Topic, c.Partition}).Found += d.Rows
	}
}

// cellsAtOnce bounds the rows that are held at once when they are compared one by one.
const cellsAtOnce = 2048

// rows compares row by row in the smallest cells.
func (r *run) rows(ctx context.Context, spans []compare.Span, cells []compare.Cell) error {
	for part := range slices.Chunk(cells, cellsAtOnce) {
		if err := r.rowsOf(ctx, spans, part); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) rowsOf(ctx context.Context, spans []compare.Span, cells []compare.Cell) error {
	type held = map[place]*compare.Latest
	expected := map[batch.Table]held{}
	wanted := ofCells(cells, compare.Leaf)
	err := r.read(ctx, compare.Within(spans, cells, compare.Leaf), func(at place) each {
		own := map[batch.Table]*compare.Latest{}
		return each{
			row: func(t batch.Table, _ batch.Row, row compare.Row) error {
				if !wanted(compare.Cell{Table: t.Name(), Topic: at.topic, Partition: at.partition, Number: row.Offset / compare.Leaf}, compare.Leaf) {
					return nil
				}
				if own[t] == nil {
					own[t] = compare.NewLatest(compare.Part{}, int(^uint(0)>>1))
				}
				own[t].Add(row)
				return nil
			},
			done: func() {
				for t, l := range own {
					if expected[t] == nil {
						expected[t] = held{}
					}
					expected[t][at] = l
				}
			},
		}
	})
	if err != nil {
		return err
	}
	for _, t := range factTables() {
		meta := r.tables[t]
		own := cellsOf(cells, meta.name)
		if len(own) == 0 {
			continue
		}
		found := map[place][]compare.Row{}
		var broken error
		for at, row := range r.shown(ctx, meta, r.where(meta, spans)+" AND "+in(own, compare.Leaf), &broken) {
			found[at] = append(found[at], row)
		}
		if broken != nil {
			return broken
		}
		for at := range found {
			if expected[t] == nil {
				expected[t] = held{}
			}
			if expected[t][at] == nil {
				expected[t][at] = compare.NewLatest(compare.Part{}, 0)
			}
		}
		findings := map[place][]compare.Finding{}
		for at, l := range expected[t] {
			findings[at] = l.Compare(farFuture, slices.Values(found[at]))
		}
		if err := r.found(ctx, meta, findings); err != nil {
			return err
		}
	}
	return nil
}

// found notes findings about facts, but for rows that are rightly not to be seen: those
// that ClickHouse refused, and those that a later record of the same key has replaced.
func (r *run) found(ctx context.Context, t *table, findings map[place][]compare.Finding) error {
	if err := r.loadRefused(ctx); err != nil {
		return err
	}
	replaced, err := r.replaced(ctx, t, findings)
	if err != nil {
		return err
	}
	for at, all := range findings {
		e := r.entry(t.of, at)
		for _, f := range all {
			switch {
			case f.Kind == compare.Missing && replaced[f.Key] > f.Offset:
			case f.Kind == compare.Missing && r.refused[refusedKey{at, f.Offset}]:
				e.Refused++
			default:
				e.note(f)
			}
		}
	}
	return nil
}

// refusedKey is where a record stands of which ClickHouse refused a row.
type refusedKey struct {
	place
	offset int64
}

// loadRefused asks once which records ClickHouse refused.
func (r *run) loadRefused(ctx context.Context) error {
	if r.refused != nil {
		return nil
	}
	r.refused = map[refusedKey]bool{}
	return r.query(ctx, fmt.Sprintf("SELECT _topic, _partition, _offset FROM %s.%s FINAL WHERE _generation = %d AND startsWith(reason, %s)",
		r.cfg.Database, batch.Unreadable.Name(), r.cfg.Generation, quote(batch.RefusedPrefix)),
		func(got rows) error {
			var k refusedKey
			var partition uint32
			var offset uint64
			err := got.Scan(&k.topic, &partition, &offset)
			k.partition, k.offset = int32(partition), int64(offset)
			r.refused[k] = true
			return err
		})
}

// fewMissing is up to how many missing rows it is asked whether another has replaced
// them. Of more, rows are lost for certain: they are asked for after the repair.
const fewMissing = 10_000

// replaced are the offsets of the rows that stand in the place of missing ones.
func (r *run) replaced(ctx context.Context, t *table, findings map[place][]compare.Finding) (map[compare.Key]int64, error) {
	var hashes []string
	for _, all := range findings {
		for _, f := range all {
			if f.Kind == compare.Missing {
				hashes = append(hashes, fmt.Sprint(f.Key[0]))
			}
		}
	}
	if t.placed || len(hashes) == 0 || len(hashes) > fewMissing {
		return nil, nil
	}
	by := map[compare.Key]int64{}
	var broken error
	condition := fmt.Sprintf("_generation = %d AND %s IN (%s)", r.cfg.Generation, t.compare.KeySQL[0], strings.Join(hashes, ", "))
	for _, row := range r.shown(ctx, t, condition, &broken) {
		by[row.Key] = row.Offset
	}
	return by, broken
}

// only are the rows of one place.
func only(all iter.Seq2[place, compare.Row]) iter.Seq[compare.Row] {
	return func(yield func(compare.Row) bool) {
		for _, row := range all {
			if !yield(row) {
				return
			}
		}
	}
}
