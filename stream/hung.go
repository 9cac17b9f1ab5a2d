// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"

	"lapwing/schemas/mailbox"
)

const (
	// hungAfter is how long a transaction of somebody else may hold up an input before
	// it is called hung: transactions of a healthy producer take seconds.
	hungAfter = 30 * time.Second
	// hungAgain is how often the same is said again.
	hungAgain = 5 * time.Minute
)

// hungWatch finds inputs that cannot be read on because somebody's transaction in them
// is neither committed nor aborted: to us it looks like silence, and it holds back
// deadlines. It names the producer, so that a human can abort the transaction.
type hungWatch struct {
	log     *zap.Logger
	admin   *kadm.Client
	inputs  []string
	seconds *prometheus.GaugeVec
	held    map[mailbox.Source]*held
}

// held is a partition whose last stable offset stands still behind its end.
type held struct {
	stable int64
	since  time.Time
	said   time.Time
}

// newHungWatch is one that has not looked yet.
func newHungWatch(log *zap.Logger, m *metrics, admin *kadm.Client, inputs []string) *hungWatch {
	return &hungWatch{
		log: log, admin: admin, inputs: inputs, held: map[mailbox.Source]*held{}, seconds: m.blocked,
	}
}

// look compares where each partition ends with how far it can be read.
func (w *hungWatch) look(ctx context.Context, now time.Time) error {
	if len(w.inputs) == 0 {
		return nil
	}
	stable, err := w.admin.ListCommittedOffsets(ctx, w.inputs...)
	if err != nil {
		return fmt.Errorf("find how far the inputs can be read: %w", err)
	}
	// Asked for later: an end before a stable offset would look like none at all.
	ends, err := w.admin.ListEndOffsets(ctx, w.inputs...)
	if err != nil {
		return fmt.Errorf("find where the inputs end: %w", err)
	}
	suspects := map[mailbox.Source]*held{}
	ends.Each(func(end kadm.ListedOffset) {
		s, ok := stable.Lookup(end.Topic, end.Partition)
		if !ok || s.Err != nil || end.Err != nil {
			return
		}
		src := mailbox.Source{Topic: end.Topic, Partition: end.Partition}
		h := w.held[src]
		switch {
		case s.Offset >= end.Offset:
			if h != nil {
				w.free(src)
			}
		case h == nil || h.stable != s.Offset:
			if h != nil {
				w.free(src)
			}
			w.held[src] = &held{stable: s.Offset, since: now}
		case now.Sub(h.since) >= hungAfter:
			w.seconds.WithLabelValues(src.Topic, strconv.Itoa(int(src.Partition))).Set(now.Sub(h.since).Seconds())
			if h.said.IsZero() || now.Sub(h.said) >= hungAgain {
				h.said = now
				suspects[src] = h
			}
		}
	})
	if len(suspects) == 0 {
		return nil
	}
	return w.name(ctx, suspects, now)
}

// free notes that the partition can be read on.
func (w *hungWatch) free(src mailbox.Source) {
	if !w.held[src].said.IsZero() {
		w.log.Info("the input can be read on", zap.String("topic", src.Topic), zap.Int32("partition", src.Partition))
	}
	w.seconds.DeleteLabelValues(src.Topic, strconv.Itoa(int(src.Partition)))
	delete(w.held, src)
}

// name says whose transactions hold the partitions up. Who may not ask for producers
// or transactions still learns where.
func (w *hungWatch) name(ctx context.Context, suspects map[mailbox.Source]*held, now time.Time) error {
	asked := kadm.TopicsSet{}
	for src := range suspects {
		asked.Add(src.Topic, src.Partition)
	}
	producers, err := w.admin.DescribeProducers(ctx, asked)
	owners := map[int64]string{}
	if err == nil {
		var ids []int64
		producers.EachProducer(func(p kadm.DescribedProducer) { ids = append(ids, p.ProducerID) })
		var listed kadm.ListedTransactions
		if listed, err = w.admin.ListTransactions(ctx, ids, nil); err == nil {
			for _, t := range listed {
				owners[t.ProducerID] = t.TxnID
			}
		}
	}
	for src, h := range suspects {
		fields := []zap.Field{
			zap.String("topic", src.Topic), zap.Int32("partition", src.Partition),
			zap.Int64("next_offset", h.stable), zap.Duration("for", now.Sub(h.since)),
		}
		for _, p := range producers[src.Topic].Partitions[src.Partition].ActiveProducers {
			if p.CurrentTxnStartOffset < 0 || p.CurrentTxnStartOffset > h.stable {
				continue // not the one in front
			}
			fields = append(fields, zap.Int64("producer_id", p.ProducerID), zap.Int16("producer_epoch", p.ProducerEpoch),
				zap.String("transactional_id", owners[p.ProducerID]))
		}
		w.log.Warn("a producer's transaction in an input does not end: nothing behind it can be read, and deadlines wait; "+
			"end that producer, or abort its transaction with `kafka-transactions.sh abort`", fields...)
	}
	return err
}
