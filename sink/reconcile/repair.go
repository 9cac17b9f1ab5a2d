// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"lapwing/sink/batch"
	"lapwing/sink/compare"
)

// Repaired is what a repair did.
type Repaired struct {
	Before *Report `json:"before"`
	// Inserted is how many rows were inserted again.
	Inserted int64 `json:"inserted"`
	// After is a second look at where there were differences.
	After *Report `json:"after"`
}

// Repair inserts what the comparison finds missing, altered or replaced too late: the
// rows that the sink makes of the same records, with the same versions, so that doing
// it twice, or beside the sink, changes nothing. Then it looks again. It never deletes.
func (r *Reconciler) Repair(ctx context.Context) (*Repaired, error) {
	if r.deps.Writer == nil {
		return nil, errors.New("reconcile: a repair needs a writer")
	}
	before, run, err := r.compare(ctx, nil)
	if err != nil {
		return nil, err
	}
	done := &Repaired{Before: before, After: before}
	if !before.Repairable() {
		return done, nil
	}
	if done.Inserted, err = run.insert(ctx, before); err != nil {
		return nil, err
	}
	if done.After, _, err = r.compare(ctx, before); err != nil {
		return nil, fmt.Errorf("look again after the repair: %w", err)
	}
	return done, nil
}

// maxInsert bounds the rows of one insert, and so the memory of a repair.
const maxInsert = 50_000

// insert reads the records again whose rows are lacking, and inserts these.
func (r *run) insert(ctx context.Context, report *Report) (int64, error) {
	lacking := map[entryKey]*Entry{}
	offsets := map[place]map[int64]bool{} // by the smallest cell
	for i := range report.Entries {
		e := &report.Entries[i]
		at := place{e.Topic, e.Partition}
		for _, set := range []compare.Offsets{e.Missing, e.Altered, e.Stale} {
			for _, run := range set {
				if offsets[at] == nil {
					offsets[at] = map[int64]bool{}
				}
				for n := run.First / compare.Leaf; n <= run.Last/compare.Leaf; n++ {
					offsets[at][n] = true
				}
			}
		}
		for t := range r.tables {
			if t.Name() == e.Table {
				lacking[entryKey{t, at}] = e
			}
		}
	}
	inserted := int64(0)
	for at, numbers := range offsets {
		var cells []compare.Cell
		for _, n := range slices.Sorted(maps.Keys(numbers)) {
			cells = append(cells, compare.Cell{Topic: at.topic, Partition: at.partition, Number: n})
		}
		spans := compare.Within(r.scope.read(), cells, compare.Leaf)
		held := map[batch.Table][]batch.Row{}
		flush := func(t batch.Table) error {
			in := batch.Insert{Table: t, Rows: held[t]}
			inserted += int64(len(held[t]))
			delete(held, t)
			return r.write(ctx, in)
		}
		err := r.read(ctx, spans, func(place) each {
			return each{row: func(t batch.Table, values batch.Row, row compare.Row) error {
				if e := lacking[entryKey{t, at}]; e == nil || !e.lacks(row.Offset) {
					return nil
				}
				held[t] = append(held[t], values)
				if len(held[t]) < maxInsert {
					return nil
				}
				return flush(t)
			}}
		})
		for _, t := range slices.Sorted(maps.Keys(held)) {
			if err == nil {
				err = flush(t)
			}
		}
		if err != nil {
			return inserted, fmt.Errorf("insert again: %w", err)
		}
	}
	return inserted, nil
}

// write ends its attempts to insert after a time; with a patience of 0 never.
func (r *run) write(ctx context.Context, in batch.Insert) error {
	if limit := r.cfg.Patience; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w for %v", ErrAway, limit))
		defer cancel()
	}
	return r.deps.Writer.Insert(ctx, in)
}
