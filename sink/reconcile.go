// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/topics"
	"lapwing/sink/reconcile"
	"lapwing/sink/writer"
)

// Reconciliation compares what a sink of this configuration has written.
func (c Config) Reconciliation() reconcile.Config {
	return reconcile.Config{
		Brokers: c.Brokers, Prefix: c.Prefix, Group: c.GroupName(), Generation: uint16(c.Generation), Database: c.Database,
	}
}

// NewWriter inserts as a sink of this configuration does.
func NewWriter(c Config, conn driver.Conn, log *zap.Logger) *writer.Writer {
	return writer.New(conn, c.writer(), log, writer.Hooks{})
}

func (c Config) writer() writer.Config {
	return writer.Config{Database: c.Database, InitialInterval: c.Retry.Initial, MaxInterval: c.Retry.Max, Timeout: c.Retry.Timeout}
}

// compareOften compares the tables with the log until ctx ends, as long as this member is
// the one to do so.
func (s *Sink) compareOften(ctx context.Context) {
	if s.cfg.Reconcile.Every == 0 {
		return
	}
	cfg := s.cfg.Reconciliation()
	cfg.RowsPerSecond = s.cfg.Reconcile.RowsPerSecond
	r, err := reconcile.New(cfg, reconcile.Deps{KafkaOpts: s.kafkaOpts, ClickHouse: s.conn})
	if err != nil {
		s.log.Error("the tables are not compared with the log", zap.Error(err))
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.first.wait(): // the assignment that makes this member the one
		}
		s.compareOnce(ctx, r)
		timer := time.NewTimer(s.cfg.Reconcile.Every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (s *Sink) compareOnce(ctx context.Context, r *reconcile.Reconciler) {
	began := time.Now()
	report, err := r.Compare(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.metrics.compareErrors.Inc()
		s.log.Warn("the tables could not be compared with the log; it is tried again", zap.Error(err))
		return
	}
	rows := uint64(0)
	for i := range report.Entries {
		rows += report.Entries[i].Expected
	}
	s.metrics.compared.Add(float64(rows))
	s.metrics.differing.Set(float64(report.Rows()))
	if report.Equal() {
		s.metrics.agreed.SetToCurrentTime()
		s.log.Info("ClickHouse has what the log has", zap.Uint64("rows", rows), zap.Duration("took", time.Since(began)))
		return
	}
	for i := range report.Entries {
		if e := &report.Entries[i]; e.Differing > 0 {
			s.log.Error("ClickHouse does not have what the log has; lapwing reconcile says more, and repairs it", zap.String("table", e.Table), zap.String("topic", e.Topic),
				zap.Int32("partition", e.Partition), zap.Int64("rows", e.Differing), zap.String("missing", e.Missing.Text(8)), zap.String("altered", e.Altered.Text(8)),
				zap.String("stale", e.Stale.Text(8)), zap.String("surplus", e.Surplus.Text(8)))
		}
	}
}

// first says whether this member is the one that does what one member does: it has the
// first partition of the topic of definitions, which every deployment has.
type first struct {
	mu  sync.Mutex
	is  bool
	may chan struct{} // closed while it is
}

func (f *first) init() { f.may = make(chan struct{}) }

func (f *first) set(is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case is && !f.is:
		close(f.may)
	case !is && f.is:
		f.may = make(chan struct{})
	}
	f.is = is
}

// held reports whether this member is the one.
func (f *first) held() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.is
}

// wait is a channel that is closed while this member is the one.
func (f *first) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.may
}

// isFirst reports whether among what is assigned is what makes a member the first.
func (c Config) isFirst(assigned map[string]map[int32]kgo.Offset) bool {
	_, ok := assigned[c.Prefix+topics.Definitions][0]
	return ok
}
