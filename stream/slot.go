// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
	"lapwing/stream/clock"
)

// slot is one member of the worker's group: it owns lanes and runs their
// transactions. A session lasts until an error that only a new client heals.
type slot struct {
	w      *Worker
	num    int
	log    *zap.Logger
	sess   *session
	fold   *fold
	opened <-chan struct{} // sess is set

	mu     sync.Mutex
	lanes  map[int32]*lane // owned now
	gone   []*lane         // taken from us, let go of once no transaction uses them
	inTxn  bool
	failed error // why lanes could not be restored
	asked  *question
}

// run keeps a session going until ctx ends or a human is needed.
func (s *slot) run(ctx context.Context) error {
	return keepGoing(ctx, s.log, s.w.metrics, "stream", s.session)
}

// session joins the group and runs transactions until ctx ends (nil) or it breaks.
func (s *slot) session(ctx context.Context) (err error) {
	cfg := &s.w.cfg
	member := cfg.member("", s.num)
	consume := append(cfg.keyed(), cfg.topic(topics.Mailbox))
	opts := append(sessionOpts(cfg, &s.w.deps, cfg.workerGroup(), member, s.num, consume),
		kgo.Balancers(laneBalancer{}),
		kgo.AdjustFetchOffsetsFn(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.revoked),
	)
	s.lanes, s.gone, s.failed, s.asked = map[int32]*lane{}, nil, nil, nil
	opened := make(chan struct{}) // closed once sess is set: the client's callbacks come at once
	s.opened = opened
	s.sess, err = openSession(ctx, s.w.metrics, "stream", opts...)
	if err != nil {
		return err
	}
	close(opened)
	defer s.close()
	s.fold = newFold(cfg, s.w.metrics, s.w.model, s.sess.Client())
	group, ctx := errgroup.WithContext(ctx)
	loopDone := make(chan struct{}) // closed by the loop
	group.Go(func() error {
		defer close(loopDone)
		return s.loop(ctx)
	})
	group.Go(func() error { s.sess.guard(ctx, loopDone, cfg.TransactionTimeout); return nil })
	if cfg.Clock == ClockWall && len(cfg.keyed()) > 0 {
		group.Go(func() error { s.ask(ctx, loopDone); return nil })
	}
	return group.Wait()
}

// close leaves the client and lets go of the lanes. What a broken transaction left
// in them is dropped with them: the next session restores them.
func (s *slot) close() {
	s.sess.CloseAllowingRebalance()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inTxn = false
	for _, l := range s.lanes {
		s.gone = append(s.gone, l)
	}
	s.lanes = map[int32]*lane{}
	s.letGo()
}

// assigned restores the lanes that came with an assignment, after the group's offsets
// were read and before anything is consumed. The client calls it, beside the loop.
func (s *slot) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	begin := time.Now()
	select {
	case <-s.opened:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	lanes, err := s.w.restorer.restore(ctx, s.sess.Client(), offsets)
	if err != nil {
		if ctx.Err() == nil { // else the group moved on: there will be another assignment
			s.mu.Lock()
			s.failed = err
			s.mu.Unlock()
		}
		return nil, err
	}
	s.w.metrics.restore.Observe(time.Since(begin).Seconds())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range lanes {
		s.lanes[l.id.lane] = l
		s.w.status.owned(l)
		for topic, p := range l.positions {
			offsets[topic][l.id.lane] = kgo.NewOffset().At(p.nextOffset).WithEpoch(p.epoch)
		}
	}
	s.w.status.assigned(s.num)
	return offsets, nil
}

// revoked takes lanes away. A transaction that uses them cannot commit any more; the
// loop lets go of them at its end.
func (s *slot) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ps := range partitions {
		for _, p := range ps {
			if l := s.lanes[p]; l != nil {
				delete(s.lanes, p)
				s.gone = append(s.gone, l)
				s.w.status.lost(l)
			}
		}
	}
	s.letGo()
}

// letGo releases lanes that no transaction uses. mu is held.
func (s *slot) letGo() {
	if s.inTxn {
		return
	}
	for _, l := range s.gone {
		s.w.restorer.holders.release(l.id)
	}
	s.gone = nil
}

// enter and leave bracket what the loop does with its lanes.
func (s *slot) enter() map[int32]*lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inTxn = true
	lanes := make(map[int32]*lane, len(s.lanes))
	for p, l := range s.lanes {
		lanes[p] = l
	}
	return lanes
}

func (s *slot) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inTxn = false
	s.letGo()
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

// loop takes in, folds and commits.
func (s *slot) loop(ctx context.Context) error {
	more := false // deadlines are waiting
	for ctx.Err() == nil {
		if err := s.failure(); err != nil {
			return err
		}
		wait := s.w.cfg.ClockInterval
		if more {
			wait = 0
		}
		fetches, err := s.sess.poll(ctx, wait, s.w.cfg.MaxPollRecords)
		if err != nil {
			return err
		}
		if more, err = s.turn(ctx, fetches); err != nil {
			return err
		}
	}
	return nil
}

// turn runs one transaction, if there is anything to do.
func (s *slot) turn(ctx context.Context, fetches kgo.Fetches) (more bool, err error) {
	lanes := s.enter()
	defer s.leave()
	s.fold.now = instant.Of(s.w.deps.Now())
	s.answer(lanes)
	if fetches.NumRecords() == 0 && !anyDue(lanes) {
		s.publishStatus(lanes)
		return false, nil
	}
	if len(lanes) == 0 {
		return false, nil // records of lanes that are gone
	}
	if err := s.sess.Begin(); err != nil {
		return false, fmt.Errorf("begin transaction: %w", err)
	}
	s.fold.out.reset()
	if more, err = s.fill(ctx, lanes, fetches); err != nil {
		// The session is rebuilt; what is in flight must not outlive it.
		_ = s.fold.out.settle()
		return false, err
	}
	committed, err := s.settle(lanes)
	if err != nil {
		return false, err
	}
	if !committed {
		return true, s.undo(lanes)
	}
	return more, s.keep(lanes)
}

// fill takes in until the commit interval is over, then fires deadlines.
func (s *slot) fill(ctx context.Context, lanes map[int32]*lane, fetches kgo.Fetches) (more bool, err error) {
	cfg := &s.w.cfg
	until := time.Now().Add(cfg.CommitInterval)
	for records := 0; ; {
		records += fetches.NumRecords()
		if err := s.consume(lanes, fetches); err != nil {
			return false, err
		}
		left := time.Until(until)
		if left <= 0 || records >= cfg.MaxTransactionRecords || ctx.Err() != nil || !s.stillOurs(lanes) {
			break
		}
		if fetches, err = s.sess.poll(ctx, left, cfg.MaxPollRecords); err != nil {
			return false, err
		}
		s.fold.now = instant.Of(s.w.deps.Now())
		s.answer(lanes)
	}
	for _, l := range lanes {
		m, err := s.fold.wave(l)
		if err != nil {
			return false, err
		}
		more = more || m
		s.fold.finish(l)
	}
	return more, nil
}

// consume folds what was polled. Records of lanes that are not ours any more are dropped.
func (s *slot) consume(lanes map[int32]*lane, fetches kgo.Fetches) (err error) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		l := lanes[p.Partition]
		if err != nil || l == nil || len(p.Records) == 0 {
			return
		}
		if _, keyed := s.fold.input[p.Topic]; keyed {
			err = s.fold.keyedBatch(l, p.Topic, p.Records)
		} else {
			err = s.fold.mailboxBatch(l, p.Records)
		}
		s.w.metrics.setLag(p.Topic, p.Partition, p.HighWatermark-l.positions[p.Topic].nextOffset)
	})
	return err
}

// settle ends the transaction.
func (s *slot) settle(lanes map[int32]*lane) (committed bool, err error) {
	failed := s.fold.out.settle()
	pins := pinned{}
	for p, l := range lanes {
		for topic, pos := range l.positions {
			pins.set(topic, p, pos)
		}
	}
	committed, err = s.sess.end(failed == nil && s.stillOurs(lanes), pins)
	if failed != nil { // not tried again at once: it may fail for long
		return false, errors.Join(fmt.Errorf("produce what came of a transaction: %w", failed), err)
	}
	return committed, err
}

// undo follows an abort: memory goes back too, and so do the positions.
func (s *slot) undo(lanes map[int32]*lane) error {
	s.fold.discount()
	pins := pinned{}
	for p, l := range lanes {
		if err := l.rollback(); err != nil {
			return err
		}
		for topic, pos := range l.positions {
			pins.set(topic, p, pos)
		}
	}
	if s.stillOurs(lanes) {
		s.sess.rewind(pins)
	}
	return nil
}

// keep follows a commit.
func (s *slot) keep(lanes map[int32]*lane) error {
	s.fold.count()
	for p, l := range lanes {
		late := l.totals.TooLate() - l.record.TooLate
		if err := l.commit(s.fold.out.stateNext[p], s.w.cfg.CacheCustomers); err != nil {
			return err
		}
		s.w.metrics.tooLate.Add(float64(max(0, late)))
		s.w.metrics.setWatermark(p, l.record.Watermark)
	}
	s.publishStatus(lanes)
	return nil
}

func (s *slot) publishStatus(lanes map[int32]*lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, l := range lanes {
		if s.lanes[p] == l {
			s.w.status.committed(l)
		}
	}
}

func anyDue(lanes map[int32]*lane) bool {
	for _, l := range lanes {
		if w := l.clock.Watermark(); w != instant.None && l.due.next(w) != nil {
			return true
		}
	}
	return false
}

// ask finds out, again and again, where the keyed inputs end: the wall-clock instant
// is read before.
func (s *slot) ask(ctx context.Context, loopDone <-chan struct{}) {
	keepAsking(ctx, s.log, s.sess.Client(), &s.w.cfg, &s.w.deps, s.w.cfg.keyed(), loopDone, func(q question) {
		s.mu.Lock()
		s.asked = &q
		s.mu.Unlock()
	})
}

// answer gives the newest question to the lanes, and the clock of those sources that
// are read to their end.
func (s *slot) answer(lanes map[int32]*lane) {
	s.mu.Lock()
	q := s.asked
	s.asked = nil
	s.mu.Unlock()
	if q == nil {
		return
	}
	for p, l := range lanes {
		for topic := range s.fold.input {
			end, ok := q.ends.Lookup(topic, p)
			if !ok || end.Err != nil {
				continue
			}
			src := mailbox.Source{Topic: topic, Partition: p}
			if l.walls[src] == nil {
				l.walls[src] = new(clock.Wall)
			}
			l.walls[src].Ask(q.at, end.Offset)
			s.fold.reached(l, src, l.positions[topic].nextOffset)
		}
	}
}
