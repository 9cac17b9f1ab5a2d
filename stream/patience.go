// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"
)

// passing are the answers of brokers that elect a leader, or have just started: the
// same question is answered a moment later. A topic that is not there is none of them,
// though the client would try again: somebody must create it.
func passing() []error {
	return []error{
		kerr.LeaderNotAvailable, kerr.NotLeaderForPartition, kerr.ReplicaNotAvailable, kerr.OffsetNotAvailable,
		kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch,
		kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.RequestTimedOut,
	}
}

// patiently does what comes before any session, again and again while it fails with an
// error that passes by itself: a process that is started beside its brokers must not die
// of their elections.
func patiently(ctx context.Context, log *zap.Logger, do func(context.Context) error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := do(ctx)
		if !slices.ContainsFunc(passing(), func(known error) bool { return errors.Is(err, known) }) {
			return err
		}
		log.Warn("the brokers are not ready, trying again", zap.Error(err))
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
