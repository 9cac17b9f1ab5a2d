// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
	"lapwing/sink/batch"
	"lapwing/sink/compare"
)

// collector turns records into rows as the sink does, a few thousand at a time. It
// belongs to one goroutine.
type collector struct {
	run    *run
	batch  *batch.Batch
	tables map[batch.Table]*compare.Table // clones
	// to takes each row.
	to func(t batch.Table, at place, values batch.Row, row compare.Row) error
}

func (r *run) collect(to func(batch.Table, place, batch.Row, compare.Row) error) *collector {
	c := &collector{run: r, to: to, tables: map[batch.Table]*compare.Table{}}
	c.batch = batch.New(batch.Limits{Rows: 10_000, Bytes: 16 << 20, Age: math.MaxInt64})
	for t, meta := range r.tables {
		c.tables[t] = meta.compare.Clone()
	}
	return c
}

// never is the batch's clock here: a batch closes by what is in it.
var never time.Time

// farFuture is an offset that no log reaches.
const farFuture = 1 << 62

// add takes a record in. Those of another generation give no rows, as in the sink.
func (c *collector) add(r *kgo.Record) error {
	rec := batch.Record{
		Topic: r.Topic, Name: strings.TrimPrefix(r.Topic, c.run.cfg.Prefix), Partition: r.Partition, Offset: r.Offset,
		Generation: c.run.cfg.Generation, Key: r.Key, Value: r.Value,
	}
	generation, err := generationOf(r, rec.Generation)
	switch {
	case batch.AboutGeneration(rec.Name, rec.Key):
		return nil
	case err != nil:
		c.batch.Refuse(&rec, never, err)
	case generation != rec.Generation && rec.Name == topics.Profiles && len(rec.Key) > 0:
		// It may be why an earlier profile of ours is no more in the log: as a tombstone
		// of the far future the key is one that is not judged.
		rec.Value, rec.Offset = nil, farFuture
		c.batch.Add(&rec, never)
	case generation != rec.Generation:
		return nil
	default:
		c.batch.Add(&rec, never)
	}
	if c.batch.Full(never) {
		return c.drain()
	}
	return nil
}

func generationOf(r *kgo.Record, own uint16) (uint16, error) {
	for _, h := range r.Headers {
		if h.Key == batch.GenerationHeader {
			return batch.ReadGeneration(h.Value)
		}
	}
	return own, nil
}

// drain hands on the rows of all records so far.
func (c *collector) drain() error {
	inserts, _ := c.batch.Inserts()
	for _, in := range inserts {
		table := c.tables[in.Table]
		meta := c.run.tables[in.Table]
		for _, values := range in.Rows {
			if meta.customer >= 0 && len(c.run.erased) > 0 && c.run.isErased(values[meta.customer]) {
				continue
			}
			if meta.expiry >= 0 {
				if at, ok := values[meta.expiry].(time.Time); ok && at.UnixMilli() < meta.kept.UnixMilli() {
					continue
				}
			}
			n := len(values)
			at := place{values[n-4].(string), int32(values[n-3].(uint32))}
			row, err := table.Row(values, int64(values[n-2].(uint64)))
			if err != nil {
				return fmt.Errorf("table %s is not the one this lapwing was built for: %w", in.Table.Name(), err)
			}
			if err := c.to(in.Table, at, values, row); err != nil {
				return err
			}
		}
	}
	c.batch.Reset()
	return nil
}

func (r *run) isErased(customer any) bool {
	name, ok := customer.(string)
	if !ok {
		return false
	}
	_, found := slices.BinarySearch(r.erased, name)
	return found
}
