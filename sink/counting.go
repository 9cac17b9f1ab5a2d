// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/topics"
	"lapwing/sink/customers"
)

// countCustomers counts distinct customers now and then, until ctx ends: of the lanes
// whose activity this member writes, up to where it has been committed, so that all that
// is counted is in ClickHouse. Members that overlap for a moment count the same.
func (s *Sink) countCustomers(ctx context.Context, client *kgo.Client) {
	if s.cfg.Customers.Every == 0 {
		return
	}
	topic := s.cfg.Prefix + topics.Activity
	counter := &customers.Counter{Conn: s.conn, Database: s.cfg.Database, Generation: uint16(s.cfg.Generation), Topic: topic}
	tick := time.NewTicker(s.cfg.Customers.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.writer.Retrying() > 0 { // ClickHouse is away, or in need of a rest
			continue
		}
		for lane, o := range client.CommittedOffsets()[topic] {
			began := time.Now()
			n, err := counter.Count(ctx, lane, o.Offset)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				s.metrics.countFailures.Inc()
				s.log.Warn("customers were not counted; they will be the next time", zap.Int32("lane", lane), zap.Error(err))
			case n > 0:
				s.metrics.counting.Observe(time.Since(began).Seconds())
				s.metrics.lastCount.SetToCurrentTime()
			}
		}
	}
}
