// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// session is a group member that consumes and produces in transactions.
type session struct {
	*kgo.GroupTransactSession
	metrics *metrics
	role    string
	joining *joining
	// skipping says which batches were too large to be unpacked: once the transaction
	// that puts them aside has ended, the session is to be rebuilt.
	skipping error
	// unanswered: an end was asked for, and its outcome is unknown.
	unanswered *unanswered
}

// openSession joins the group. Asking for the producer id first fences whoever held
// this transactional id before: a transaction it left open is aborted now rather than
// when it times out, so readers wait for milliseconds.
func openSession(ctx context.Context, m *metrics, role string, opts ...kgo.Opt) (*session, error) {
	j, lost := new(joining), new(unanswered)
	s, err := kgo.NewGroupTransactSession(append(opts, kgo.WithHooks(j, lost))...)
	if err != nil {
		return nil, fmt.Errorf("create session: %w", err)
	}
	if _, _, err := s.Client().ProducerID(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("initialize transactional id: %w", err)
	}
	return &session{GroupTransactSession: s, metrics: m, role: role, joining: j, unanswered: lost}, nil
}

// poll waits at most so long for records. Nothing within that time is no error.
func (s *session) poll(ctx context.Context, wait time.Duration, limit int) (kgo.Fetches, error) {
	ctx, cancel := context.WithTimeout(ctx, max(wait, time.Millisecond))
	defer cancel()
	fetches := s.PollRecords(ctx, limit)
	var problems []error
	fetches.EachError(func(topic string, p int32, err error) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return
		}
		if s.replaceOversized(&fetches, err) {
			return
		}
		problems = append(problems, fmt.Errorf("read topic %s partition %d: %w", topic, p, gone(err)))
	})
	return fetches, errors.Join(problems...)
}

// guard closes the client if its loop has not ended by itself a while after ctx has:
// with Kafka out of reach a transaction cannot be ended, and a process that is told
// to stop must. The transaction is then aborted by its timeout or by the successor.
func (s *session) guard(ctx context.Context, loopDone <-chan struct{}, grace time.Duration) {
	select {
	case <-ctx.Done():
	case <-loopDone:
		return
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.Client().Close()
	case <-loopDone:
	}
}

// pinned are the positions a transaction commits, by topic and partition.
type pinned map[string]map[int32]position

// Why a transaction was aborted.
const (
	abortRebalance = "rebalance" // lanes or partitions came or went since the one before
	abortJoining   = "joining"   // the member had asked to join, and the answer did not come
	abortProduce   = "produce"   // a record could not be produced
	abortEnd       = "end"       // the brokers refused to commit it, or did not answer
	abortSession   = "session"   // the session broke in the middle of it
)

// aborted counts a transaction that was not committed.
func (s *session) aborted(why string) { s.metrics.aborts.WithLabelValues(s.role, why).Inc() }

// end ends the transaction, committing unless it says why not, or something stands
// against it. The pinned positions go into the commit whatever was polled: without any
// offsets the broker checks neither member nor generation, and one that was thrown
// out of the group could still commit what its deadlines produced. The context is
// not cancelled: the outcome would be unknown.
func (s *session) end(why string, pins pinned) (committed bool, err error) {
	begin := time.Now()
	if why == "" && !s.joining.wait(joinPatience) {
		why = abortJoining
	}
	commit := why == ""
	ctx := kgo.PreTxnCommitFnContext(context.Background(), func(req *kmsg.TxnOffsetCommitRequest) error {
		req.Topics = req.Topics[:0]
		for topic, partitions := range pins {
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic = topic
			for p, pos := range partitions {
				q := kmsg.NewTxnOffsetCommitRequestTopicPartition()
				q.Partition, q.Offset, q.LeaderEpoch = p, pos.nextOffset, pos.epoch
				t.Partitions = append(t.Partitions, q)
			}
			req.Topics = append(req.Topics, t)
		}
		return nil
	})
	committed, err = s.End(ctx, kgo.TransactionEndTry(commit))
	switch {
	case committed:
		s.metrics.commits.WithLabelValues(s.role).Observe(time.Since(begin).Seconds())
	case !commit:
		s.aborted(why)
	case err != nil:
		s.aborted(abortEnd)
	default: // the client refuses what a rebalance has come into
		s.aborted(abortRebalance)
	}
	if err == nil && s.unanswered.noted.Load() {
		err = errUnanswered
	}
	if err != nil {
		return committed, fmt.Errorf("end transaction: %w", err)
	}
	return committed, nil
}

// rewind sets the client back to the pinned positions, after an abort.
func (s *session) rewind(pins pinned) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for topic, partitions := range pins {
		offsets[topic] = map[int32]kgo.EpochOffset{}
		for p, pos := range partitions {
			offsets[topic][p] = kgo.EpochOffset{Epoch: pos.epoch, Offset: pos.nextOffset}
		}
	}
	s.Client().SetOffsets(offsets)
}

func (p pinned) set(topic string, partition int32, at position) {
	if p[topic] == nil {
		p[topic] = map[int32]position{}
	}
	p[topic][partition] = at
}

// fencedForGood reports whether another process runs under this one's name: going on
// would throw it out, and it us, for ever.
func fencedForGood(err error) bool { return errors.Is(err, kerr.FencedInstanceID) }
