// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/event"
	"lapwing/stream/lifecycle"
)

// A batch of a few bytes can unpack to gigabytes. The client refuses one that exceeds
// max_batch_bytes and reads no further in its partition. So that it holds up nobody,
// a record stands in for the whole batch: it becomes a dead letter, and the commit
// moves the position behind the batch. The session is then rebuilt, which makes the
// client read on from there; after an abort it meets the same batch again.

// oversized marks the record that stands in for a batch.
type oversized struct{}

// standIn is the record in place of a batch that was not unpacked. Its offset is that
// of the batch's last record.
func standIn(e *kgo.ErrDecompressTooLarge) kgo.Fetch {
	r := &kgo.Record{
		Topic: e.Topic, Partition: e.Partition, Offset: e.NextOffset - 1, LeaderEpoch: e.Epoch,
		Context: context.WithValue(context.Background(), oversized{}, e),
	}
	return kgo.Fetch{Topics: []kgo.FetchTopic{{
		Topic:      e.Topic,
		Partitions: []kgo.FetchPartition{{Partition: e.Partition, HighWatermark: e.NextOffset, Records: []*kgo.Record{r}}},
	}}}
}

// causeOf is the cause of a record's dead letter: that which the decoder found, unless
// the record stands in for a batch.
func causeOf(r *kgo.Record, found event.Cause) event.Cause {
	if r.Value == nil && r.Context != nil && r.Context.Value(oversized{}) != nil {
		return event.TooLarge
	}
	return found
}

// replaceOversized puts a stand-in in the place of a fetch's error, if the error is of
// a batch that is too large.
func (s *session) replaceOversized(fetches *kgo.Fetches, err error) bool {
	var e *kgo.ErrDecompressTooLarge
	if !errors.As(err, &e) {
		return false
	}
	s.skipping = errors.Join(s.skipping, fmt.Errorf("skip offsets %d to %d, which unpack to more than max_batch_bytes, or than an eighth of memory.limit: %w", e.Offset, e.NextOffset-1, err))
	*fetches = append(*fetches, standIn(e))
	return true
}

// addExceeded counts what went beyond a limit in a transaction that was committed.
func (m *metrics) addExceeded(o *lifecycle.Overflow) {
	o.Each(func(l lifecycle.Limit, n int64) { m.exceeded.WithLabelValues(l.String()).Add(float64(n)) })
}
