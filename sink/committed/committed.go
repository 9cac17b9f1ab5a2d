// SPDX-License-Identifier: Apache-2.0

// Package committed reads a stretch of one partition's committed records, and knows when
// it has come to the end also where the rest is nothing that a consumer is shown: aborted
// transactions, and holes that a compaction has left.
package committed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quiet is how long nothing may come from the log before it is asked whether there is
// anything: what is left may be aborted transactions and holes of a compaction, of which
// a consumer hears nothing.
const quiet = 2 * time.Second

// Span is a stretch of a log: From inclusive, To exclusive.
type Span struct {
	Topic     string
	Partition int32
	From, To  int64
}

// ErrTrimmed says that what was to be read next has been removed by retention.
var ErrTrimmed = errors.New("the log's beginning was removed while it was read")

// Read calls each with the committed records of a span, in order, markers left out. opts
// say where Kafka is; To must be at most the end of what is committed.
func Read(ctx context.Context, opts []kgo.Opt, s Span, each func(*kgo.Record) error) error {
	client, err := kgo.NewClient(append(
		slices.Clone(opts),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.Topic: {s.Partition: kgo.NewOffset().At(s.From)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that what ends in one is seen to end
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(8<<20), kgo.FetchMaxWait(100*time.Millisecond),
	)...)
	if err != nil {
		return fmt.Errorf("create Kafka client: %w", err)
	}
	defer client.Close()
	for next := s.From; next < s.To; {
		wait, cancel := context.WithTimeout(ctx, quiet)
		fetches := client.PollRecords(wait, 10_000)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, e := range fetches.Errors() {
			switch {
			case errors.Is(e.Err, context.DeadlineExceeded):
			case errors.Is(e.Err, kerr.OffsetOutOfRange):
				return fmt.Errorf("read %s, partition %d, from %d: %w", s.Topic, s.Partition, next, ErrTrimmed)
			default:
				return fmt.Errorf("read %s, partition %d: %w", s.Topic, s.Partition, e.Err)
			}
		}
		if fetches.Empty() {
			if next, err = skip(ctx, client, s, next); err != nil {
				return err
			}
			continue
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			rec := iter.Next()
			if next = rec.Offset + 1; next > s.To {
				return nil
			}
			if rec.Attrs.IsControl() {
				continue
			}
			if err := each(rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// skip is where the next record may stand, at or after at, if a fetch finds none there.
func skip(ctx context.Context, client *kgo.Client, s Span, at int64) (int64, error) {
	meta, err := kadm.NewClient(client).Metadata(ctx, s.Topic)
	if err != nil {
		return at, fmt.Errorf("find the leader of %s, partition %d: %w", s.Topic, s.Partition, err)
	}
	detail := meta.Topics[s.Topic]
	leader := detail.Partitions[s.Partition].Leader
	if detail.Err != nil || leader < 0 {
		return at, nil // being elected: the client waits, too
	}
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = s.Partition, at, 8<<20
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = s.Topic, detail.ID, []kmsg.FetchRequestTopicPartition{part}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = 100, 1, 8<<20, 1, -1
	req.Topics = []kmsg.FetchRequestTopic{topic}
	answer, err := req.RequestWith(ctx, client.Broker(int(leader)))
	if err != nil {
		return at, fmt.Errorf("ask %s, partition %d, what follows offset %d: %w", s.Topic, s.Partition, at, err)
	}
	for _, t := range answer.Topics {
		for i := range t.Partitions {
			got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
				KeepControlRecords: true, Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: s.Topic, Partition: s.Partition,
			}, &t.Partitions[i], kgo.DefaultDecompressor(), nil)
			if got.Err == nil && len(got.Records) == 0 {
				return max(at, next), nil
			}
		}
	}
	return at, nil // the client will see them
}
