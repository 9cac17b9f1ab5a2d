// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/sink/batch"
)

// tenure is the time between two rebalances. Its context ends with errLost when the
// partitions are taken away: what was read in it is then somebody else's to write.
type tenure struct {
	ctx context.Context //nolint:containedctx // it is this life
	end context.CancelCauseFunc
}

func newTenure(ctx context.Context) *tenure {
	t := &tenure{}
	t.ctx, t.end = context.WithCancelCause(ctx)
	return t
}

// sent is a batch on its way into ClickHouse.
type sent struct {
	tenure *tenure
	batch  *batch.Batch
	size   batch.Size
	began  time.Time // when its first record was read
	weight int64     // of the slots
	prev   *sent     // of the same tenure, whose offsets are committed first; nil if none is on its way
	done   chan struct{}
	ok     bool // written and committed; set before done is closed
}

// flight are the batches on their way, oldest first. It is safe for concurrent use.
type flight struct {
	mu      sync.Mutex
	all     []*sent
	open    time.Time     // when the first record of the batch not yet sent was read; zero if none
	changed chan struct{} // closed and replaced whenever a batch has left, or failed
	metrics *metrics
}

func newFlight(m *metrics) *flight { return &flight{changed: make(chan struct{}), metrics: m} }

func (f *flight) add(x *sent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x.prev = nil
	// Who still ends in a former tenure commits nothing any more: to wait for it, and to be
	// dropped with it, would leave this one and all that overlap uncommitted.
	if n := len(f.all); n > 0 && f.all[n-1].tenure == x.tenure {
		x.prev = f.all[n-1]
	}
	f.all = append(f.all, x)
	f.show()
}

func (f *flight) remove(x *sent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = slices.DeleteFunc(f.all, func(one *sent) bool { return one == x })
	f.show()
	f.signal()
}

// failed tells those who wait that an attempt has failed.
func (f *flight) failed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signal()
}

func (f *flight) signal() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *flight) show() {
	rows, bytes := 0, 0
	for _, x := range f.all {
		rows += x.size.Rows
		bytes += x.size.Bytes
	}
	f.metrics.flightBatches.Set(float64(len(f.all)))
	f.metrics.flightRows.Set(float64(rows))
	f.metrics.flightBytes.Set(float64(bytes))
}

// reading notes since when the batch that is not yet sent has records.
func (f *flight) reading(since time.Time) {
	f.mu.Lock()
	f.open = since
	f.mu.Unlock()
}

// oldest is how long the oldest record has waited that was read and is not written.
func (f *flight) oldest(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	since := f.open
	if len(f.all) > 0 {
		since = f.all[0].began
	}
	if since.IsZero() {
		return 0
	}
	return now.Sub(since)
}

// settle waits until nothing is on its way any more. It does not wait for a ClickHouse
// that fails, nor longer than handOver: the offsets of what is not written by then are
// not committed, and whoever comes next writes it again.
func (s *Sink) settle(ctx context.Context) {
	late := time.NewTimer(handOver)
	defer late.Stop()
	for {
		s.flight.mu.Lock()
		left, changed := len(s.flight.all), s.flight.changed
		s.flight.mu.Unlock()
		if left == 0 || s.writer.Retrying() > 0 {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// handOver is how long partitions are held back for what is on its way.
const handOver = 5 * time.Second

// send has a batch inserted beside those that are on their way, once there is room for
// it. It returns errLost if the partitions are taken away before that.
func (s *Sink) send(t *tenure, client *kgo.Client, work *errgroup.Group, b *batch.Batch) error {
	x := &sent{tenure: t, batch: b, size: b.Size(), began: b.Began(), weight: s.weight(b.Size().Bytes), done: make(chan struct{})}
	if !s.slots.TryAcquire(x.weight) {
		// ClickHouse may be away for hours, the group's patience ends after a minute.
		client.AllowRebalance()
		if err := s.slots.Acquire(t.ctx, x.weight); err != nil {
			return context.Cause(t.ctx)
		}
	}
	s.flight.add(x)
	work.Go(func() error {
		defer s.slots.Release(x.weight)
		defer s.flight.remove(x)
		defer close(x.done)
		err := s.bring(t, client, x)
		switch {
		case err == nil:
			x.ok = true
			return nil
		case errors.Is(err, errLost):
			s.log.Info("batch dropped: its partitions were taken away", zap.Int("rows", x.size.Rows))
			return nil
		default:
			return err
		}
	})
	return nil
}

// weight is how many slots a batch takes: one, and more if it is larger than usual.
func (s *Sink) weight(bytes int) int64 {
	usual := int64(s.cfg.Batch.Bytes)
	return max(1, min(int64(s.cfg.Batch.InFlight), (int64(bytes)+usual-1)/usual))
}

// bring inserts all rows of a batch, waits until all batches before it are committed,
// and then commits its offsets. So no offset is ever ahead of the data, and a crash
// anywhere repeats inserts.
func (s *Sink) bring(t *tenure, client *kgo.Client, x *sent) error {
	began := time.Now()
	inserts, unreadable := x.batch.Inserts()
	for i := range unreadable {
		u := &unreadable[i]
		s.metrics.unreadable.Inc()
		s.log.Warn("record could not be read; it is kept in the table unreadable", zap.String("topic", u.Topic),
			zap.Int32("partition", u.Partition), zap.Int64("offset", u.Offset), zap.Error(u.Err))
	}
	group, gctx := errgroup.WithContext(t.ctx)
	group.SetLimit(maxInserts)
	for _, in := range inserts {
		group.Go(func() error { return s.writer.Insert(gctx, in) })
	}
	if err := group.Wait(); err != nil {
		if t.ctx.Err() != nil {
			return context.Cause(t.ctx)
		}
		return s.explain(t.ctx, err)
	}
	if x.prev != nil {
		select {
		case <-x.prev.done:
		case <-t.ctx.Done():
		}
		if t.ctx.Err() == nil && !x.prev.ok {
			return errLost // the sink ends; the other says why
		}
		x.prev = nil // a chain of all batches would keep them all
	}
	if t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	if err := s.commit(t.ctx, client, x.batch.Next()); err != nil {
		return err
	}
	s.written.raise(x.batch.Next())
	now := time.Now()
	s.pace.written(now, s.metrics)
	s.metrics.batches.Inc()
	s.metrics.bytes.Add(float64(x.size.Bytes))
	s.metrics.batch.Observe(now.Sub(began).Seconds())
	s.metrics.age.Observe(now.Sub(x.began).Seconds())
	s.metrics.lastFlush.SetToCurrentTime()
	return nil
}

// maxInserts bounds the inserts of one batch that run at the same time, one per table.
const maxInserts = 4
