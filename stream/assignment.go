// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/stream/store"
)

// Which lanes a slot has: the client's callbacks note what the group gives and takes, and
// the loop takes it over between two transactions.

// assigned learns of lanes that came with an assignment, after the group's offsets
// were read and before anything is consumed. The client calls it, beside the loop.
func (s *slot) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	select {
	case <-s.opened:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	starts, err := s.w.restorer.startOffsets(ctx, s.sess.Client(), offsets)
	if err != nil {
		return nil, err
	}
	lanes := map[int32]map[string]kgo.EpochOffset{}
	hold := map[string][]int32{}
	for topic, partitions := range offsets {
		for p, o := range partitions {
			if lanes[p] == nil {
				lanes[p] = map[string]kgo.EpochOffset{}
			}
			lanes[p][topic] = o.EpochOffset()
			hold[topic] = append(hold[topic], p)
			if start, ok := starts.Lookup(topic, p); ok && o.EpochOffset().Offset < 0 {
				partitions[p] = kgo.NewOffset().At(start.Offset)
			}
		}
	}
	s.sess.Client().PauseFetchPartitions(hold)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range slices.Sorted(maps.Keys(lanes)) {
		s.take(p) // what was of an assignment before, or of the client's asking a second time
		restoring, cancel := context.WithCancel(context.WithoutCancel(ctx))
		s.loading[p] = cancel
		s.w.status.restoring(p)
		s.restores.Add(1)
		go s.restore(restoring, store.Lane{Generation: s.w.cfg.Generation, Lane: p}, lanes[p], starts)
	}
	s.w.status.assigned(s.num)
	return offsets, nil
}

// restore brings one lane to the last commit, beside the loop.
func (s *slot) restore(ctx context.Context, id store.Lane, committed map[string]kgo.EpochOffset, starts kadm.ListedOffsets) {
	defer s.restores.Done()
	l, err := s.w.restorer.restore(ctx, id, committed, starts)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil: // taken away meanwhile, or the session ends
		if err == nil {
			s.w.restorer.holders.release(id)
		}
		return
	case err != nil:
		s.failed = errors.Join(s.failed, err)
	default:
		s.restored = append(s.restored, l)
	}
	s.loading[id.Lane]()
	delete(s.loading, id.Lane)
	s.wake()
}

// revoked takes lanes away. A transaction that uses them cannot commit any more; the
// loop lets go of them.
func (s *slot) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = true
	for _, ps := range partitions {
		for _, p := range ps {
			s.take(p)
		}
	}
	s.wake()
}

// given takes away what is not among what the member has after a rebalance.
func (s *slot) given(partitions map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := map[int32]bool{}
	for _, ps := range partitions {
		for _, p := range ps {
			have[p] = true
		}
	}
	held := slices.Concat(slices.Collect(maps.Keys(s.lanes)), slices.Collect(maps.Keys(s.loading)))
	for _, l := range s.restored {
		held = append(held, l.id.Lane)
	}
	for _, p := range held {
		if !have[p] {
			s.take(p)
		}
	}
	s.wake()
}

// take takes one lane away, wherever it stands. mu is held.
func (s *slot) take(p int32) {
	if cancel := s.loading[p]; cancel != nil {
		cancel()
		delete(s.loading, p)
		s.w.status.lost(p)
	}
	if i := slices.IndexFunc(s.restored, func(l *lane) bool { return l.id.Lane == p }); i >= 0 {
		s.gone = append(s.gone, s.restored[i])
		s.restored = slices.Delete(s.restored, i, i+1)
		s.w.status.lost(p)
	}
	if l := s.lanes[p]; l != nil {
		delete(s.lanes, p)
		s.gone = append(s.gone, l)
		s.taken = true
		s.w.status.lost(p)
	}
}

// letGo releases lanes that no transaction uses: whoever restores them next in this
// process finds all that was committed in the local store.
func (s *slot) letGo(lanes []*lane) (err error) {
	for _, l := range lanes {
		err = errors.Join(err, l.release())
		s.w.restorer.holders.release(l.id)
	}
	return err
}

// enter brings the loop's lanes up to date and returns those it may use.
func (s *slot) enter() (map[int32]*lane, error) {
	s.mu.Lock()
	gone, restored, taken := s.gone, s.restored, s.taken
	s.gone, s.restored, s.taken = nil, nil, false
	for _, l := range restored {
		s.lanes[l.id.Lane] = l
	}
	lanes := maps.Clone(s.lanes)
	s.mu.Unlock()
	if err := s.letGo(gone); err != nil {
		return nil, err
	}
	if taken {
		// The client would abort the next transaction, which has nothing to do with
		// what was taken away: end the one that there is not.
		if _, err := s.sess.End(context.Background(), kgo.TryAbort); err != nil {
			return nil, fmt.Errorf("end a transaction that lost lanes: %w", err)
		}
		s.sess.aborted(abortRebalance)
		s.sess.rewind(pins(lanes))
	}
	resume := map[string][]int32{}
	fresh := map[int32]*lane{}
	s.fresh = fresh
	for _, l := range restored {
		if err := s.w.status.committed(l); err != nil {
			return nil, err
		}
		s.w.status.restored(l.id.Lane)
		fresh[l.id.Lane] = l
		for topic := range l.positions {
			resume[topic] = append(resume[topic], l.id.Lane)
		}
	}
	if len(fresh) > 0 {
		s.sess.rewind(pins(fresh))
		s.sess.Client().ResumeFetchPartitions(resume)
	}
	return lanes, nil
}

func (s *slot) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// stillOurs reports whether no lane was taken away since enter.
func (s *slot) stillOurs(lanes map[int32]*lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, l := range lanes {
		if s.lanes[p] != l {
			return false
		}
	}
	return true
}
