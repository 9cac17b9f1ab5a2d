// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"lapwing/sink/batch"
)

// commit commits next offsets. A refusal because the group moved on is no error:
// the rows are in, and whoever owns the partitions now inserts them again.
func (s *Sink) commit(ctx context.Context, client *kgo.Client, next batch.Offsets) error {
	offsets := make(map[string]map[int32]kgo.EpochOffset, len(next))
	for topic, partitions := range next {
		offsets[topic] = make(map[int32]kgo.EpochOffset, len(partitions))
		for partition, nextOffset := range partitions {
			offsets[topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: nextOffset}
		}
	}
	var failed error
	client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if answer == nil {
			return
		}
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	switch {
	case failed == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case fatalFetch(failed):
		return fmt.Errorf("commit offsets: %w", failed)
	}
	s.metrics.commitErrors.Inc()
	s.log.Warn("offsets not committed; the rows are written and may be written again", zap.Error(failed))
	return nil
}

// fatalFetch reports errors of Kafka that only a person can end.
func fatalFetch(err error) bool {
	for _, fatal := range []error{
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed,
		kerr.UnsupportedVersion, kerr.InvalidGroupID, kerr.FencedInstanceID, kgo.ErrClientClosed,
	} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return false
}
