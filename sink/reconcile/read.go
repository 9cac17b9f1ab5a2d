// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"lapwing/sink/batch"
	"lapwing/sink/committed"
	"lapwing/sink/compare"
)

// readers bounds how many partitions are read at the same time.
const readers = 4

// gap is how many offsets are read for nothing rather than to begin anew behind them.
const gap = 20_000

// told is how many records are read between two words on progress.
const told = 5_000

// each takes the rows of one partition, in order; done is called after the last.
type each struct {
	row  func(t batch.Table, values batch.Row, row compare.Row) error
	done func()
}

// read hands the rows of all records in the spans to what begin makes for each
// partition. Partitions are read beside each other; done is called by one at a time.
func (r *run) read(ctx context.Context, spans []compare.Span, begin func(at place) each) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for len(spans) > 0 {
		at := place{spans[0].Topic, spans[0].Partition}
		n := 1
		for n < len(spans) && spans[n].Topic == at.topic && spans[n].Partition == at.partition {
			n++
		}
		own := spans[:n]
		spans = spans[n:]
		to := begin(at)
		group.Go(func() error {
			c := r.collect(func(t batch.Table, _ place, values batch.Row, row compare.Row) error { return to.row(t, values, row) })
			if err := r.readPartition(ctx, own, c); err != nil {
				return err
			}
			if to.done != nil {
				r.mu.Lock()
				defer r.mu.Unlock()
				to.done()
			}
			return nil
		})
	}
	return group.Wait()
}

// readPartition reads spans of one partition, which are in order.
func (r *run) readPartition(ctx context.Context, spans []compare.Span, c *collector) error {
	for len(spans) > 0 {
		stretch, n := spans[0], 1
		for n < len(spans) && spans[n].From-stretch.To < gap {
			stretch.To = spans[n].To
			n++
		}
		own := spans[:n]
		spans = spans[n:]
		records, at := int64(0), stretch.From
		tell := func(to int64) error {
			r.progress(stretch.Topic, to-at)
			at = to
			return r.pace.wait(ctx, records)
		}
		var ours error
		err := committed.Read(ctx, r.kafka(), committed.Span(stretch), func(rec *kgo.Record) error {
			if records++; records == told {
				if ours = tell(rec.Offset); ours != nil {
					return ours
				}
				records = 0
			}
			for rec.Offset >= own[0].To && len(own) > 1 {
				own = own[1:]
			}
			if rec.Offset < own[0].From || rec.Offset >= own[0].To {
				return nil
			}
			ours = c.add(rec)
			return ours
		})
		switch {
		case err == nil:
			err = tell(stretch.To)
		case ours == nil && ctx.Err() == nil && !errors.Is(err, committed.ErrTrimmed):
			err = failed("compare with the log", err)
		}
		if err != nil {
			return err
		}
	}
	return c.drain()
}
