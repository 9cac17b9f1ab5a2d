// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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
//
// A lane comes in three steps: the client's callback learns of it, with the group's
// offsets, and holds its partitions back; it is restored beside the loop, while the
// other lanes go on; the loop takes it over. It goes in two: the callback takes it
// out, so that no running transaction commits; the loop lets go of it.
type slot struct {
	w      *Worker
	num    int
	log    *zap.Logger
	sess   *session
	fold   *fold
	opened <-chan struct{} // sess is set

	mu        sync.Mutex
	lanes     map[int32]*lane              // owned and restored
	loading   map[int32]context.CancelFunc // owned, being restored
	restored  []*lane                      // for the loop to take over
	gone      []*lane                      // for the loop to let go of
	fresh     map[int32]*lane              // restored by the last enter, until the next fetch
	taken     bool                         // lanes were taken away since the last transaction ended
	failed    error                        // why a lane could not be restored
	asked     *question
	inquiries []*inquiry         // about customers, for the loop to answer
	wake      context.CancelFunc // ends the loop's waiting

	reported time.Time // by the loop
	restores sync.WaitGroup
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
		kgo.Balancers(heedful{laneBalancer{cfg.address()}, s.given}),
		kgo.AdjustFetchOffsetsFn(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.revoked),
	)
	s.mu.Lock() // who asks about customers may be looking
	s.lanes, s.loading = map[int32]*lane{}, map[int32]context.CancelFunc{}
	s.restored, s.gone, s.taken, s.failed, s.asked, s.wake = nil, nil, false, nil, nil, func() {}
	s.mu.Unlock()
	opened := make(chan struct{}) // closed once sess is set: the client's callbacks come at once
	s.opened = opened
	s.sess, err = openSession(ctx, s.w.metrics, "stream", opts...)
	if err != nil {
		return err
	}
	close(opened)
	s.fold = newFold(cfg, s.w.metrics, s.w.restorer.definitions, s.w.model.Definition().Name.Value, s.sess.Client(), s.log)
	s.fold.inputs = s.w.inputs
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	group, gctx := errgroup.WithContext(ctx)
	loopDone := make(chan struct{}) // closed by the loop
	group.Go(func() error {
		defer close(loopDone)
		return s.loop(gctx)
	})
	group.Go(func() error { s.sess.guard(gctx, loopDone, cfg.TransactionTimeout); return nil })
	if cfg.Clock == ClockWall && len(cfg.keyed()) > 0 {
		group.Go(func() error { s.ask(gctx, loopDone); return nil })
	}
	return group.Wait()
}

// close leaves the client and lets go of the lanes. What a broken transaction left
// in them is dropped; what was committed goes to the local store.
func (s *slot) close(ctx context.Context) error {
	s.sess.CloseAllowingRebalance() // no callback comes after this
	s.w.reporter.drop(s.num)
	s.w.status.left(s.num)
	s.mu.Lock()
	for _, cancel := range s.loading {
		cancel()
	}
	s.mu.Unlock()
	s.restores.Wait()
	s.mu.Lock()
	all := append(s.gone, s.restored...)
	for _, l := range s.lanes {
		all = append(all, l)
	}
	s.lanes, s.restored, s.gone = map[int32]*lane{}, nil, nil
	s.mu.Unlock()
	s.inform(nil)
	err := s.letGo(all)
	if ctx.Err() != nil && s.w.cfg.LeaveOnStop {
		leaveGroup(&s.w.cfg, &s.w.deps, s.log, s.w.cfg.workerGroup(), s.w.cfg.member("", s.num))
	}
	return err
}

// leaveGroup tells a group that a member does not come back, so that what it had need
// not wait for the session to time out: a static member does not say so itself.
func leaveGroup(cfg *Config, deps *Deps, log *zap.Logger, group, member string) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	client, err := kgo.NewClient(clientOpts(cfg, deps, member+"-leave")...)
	if err == nil {
		defer client.Close()
		var left kadm.LeaveGroupResponses
		left, err = kadm.NewClient(client).LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(member).Reason("the process stops"))
		err = errors.Join(err, left.Error())
	}
	if err != nil {
		log.Warn("leaving the group: others take over when the session times out", zap.Error(err))
	}
}

const leaveTimeout = 2 * time.Second

// pins are the positions of lanes, for a commit or to go back to.
func pins(lanes map[int32]*lane) pinned {
	all := pinned{}
	for p, l := range lanes {
		for topic, pos := range l.positions {
			all.set(topic, p, pos)
		}
	}
	return all
}

// wait polls, for at most so long and no longer than until lanes come or go.
func (s *slot) wait(ctx context.Context, wait time.Duration) (kgo.Fetches, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.wake = cancel
	news := len(s.restored)+len(s.gone)+len(s.inquiries) > 0
	s.mu.Unlock()
	if news {
		return nil, nil
	}
	return s.sess.poll(ctx, wait, s.w.cfg.MaxPollRecords)
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
		fetches, err := s.wait(ctx, wait)
		if err != nil {
			return err
		}
		if more, err = s.turn(ctx, fetches); err != nil {
			return err
		}
		if s.sess.skipping != nil {
			return s.sess.skipping
		}
	}
	return nil
}

// turn runs one transaction, if there is anything to do.
func (s *slot) turn(ctx context.Context, fetches kgo.Fetches) (more bool, err error) {
	lanes, err := s.enter()
	if err != nil {
		return false, err
	}
	s.fold.now = instant.Of(s.w.deps.Now())
	s.w.inputs.adopt(lanes)
	s.bound(lanes)
	s.answer(lanes)
	s.inform(lanes)
	s.report(lanes)
	due, err := anyDue(lanes)
	if err != nil {
		return false, err
	}
	if fetches.NumRecords() == 0 && !due {
		return false, s.rest(lanes)
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
		s.sess.aborted(abortSession)
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

// enough reports whether a transaction that began so long ago has taken in enough:
// it lasts at least the least interval, and goes on, up to the greatest, while more
// is left to read than it has read.
func (i Interval) enough(elapsed time.Duration, read, left int64) bool {
	return elapsed >= i.Max || elapsed >= i.Min && left <= read
}

// fill takes in until the commit interval is over, then fires deadlines.
func (s *slot) fill(ctx context.Context, lanes map[int32]*lane, fetches kgo.Fetches) (more bool, err error) {
	cfg := &s.w.cfg
	began := time.Now()
	records := 0
	for {
		records += fetches.NumRecords()
		if err := s.consume(lanes, fetches); err != nil {
			return false, err
		}
		s.fresh = nil
		elapsed := time.Since(began)
		if cfg.CommitInterval.enough(elapsed, int64(records), unread(lanes)) || records >= cfg.MaxTransactionRecords ||
			len(s.fold.out.arena) >= cfg.transactionBytes() || ctx.Err() != nil || !s.stillOurs(lanes) {
			break
		}
		wait := cfg.CommitInterval.Min - elapsed
		if wait <= 0 {
			wait = cfg.CommitInterval.Max - elapsed
		}
		if unread(lanes) == 0 {
			gather(ctx, wait/2)
			wait /= 2
		}
		if fetches, err = s.sess.poll(ctx, wait, cfg.MaxPollRecords); err != nil {
			return false, err
		}
		s.fold.now = instant.Of(s.w.deps.Now())
		s.answer(lanes)
	}
	for _, l := range lanes {
		s.fold.succeed(l)
		fire := s.fold.wave
		if l.takeover != nil {
			fire = s.fold.takeOver
		}
		m, err := fire(l)
		if err != nil {
			return false, err
		}
		more = more || m
	}
	sweepUntil := time.Now().Add(cfg.CommitInterval.sweepFor(records))
	for _, l := range lanes {
		m, err := s.fold.sweep(l, sweepUntil)
		if err != nil {
			return false, err
		}
		more = more || m
		s.fold.finish(l)
	}
	return more, nil
}

// gather waits while records come in: who is caught up and polls at once gets a few at a
// time, which costs him and the broker a request each.
func gather(ctx context.Context, wait time.Duration) {
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}

// consume folds what was polled. Records of lanes that are not ours any more are dropped.
func (s *slot) consume(lanes map[int32]*lane, fetches kgo.Fetches) (err error) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		l := lanes[p.Partition]
		if err != nil || l == nil || len(p.Records) == 0 {
			return
		}
		if s.fresh[p.Partition] != nil { // polled before the client was set to its position
			recycle(p.Records)
			return
		}
		records, upTo := l.admit(p.Topic, p.Records)
		stamp := lastStamp(records) // before they are given back
		if _, keyed := s.fold.input[p.Topic]; keyed {
			err = s.fold.keyedBatch(l, p.Topic, records, upTo)
		} else {
			err = s.fold.mailboxBatch(l, records)
		}
		end, next := min(p.HighWatermark, l.boundOf(p.Topic)), l.positions[p.Topic].nextOffset
		l.unread[p.Topic] = max(0, end-next)
		l.reading(p.Topic, s.fold.now).batch(next, end, stamp, s.fold.now)
	})
	return err
}

// unread is how many records of the lanes' partitions are left to read, as of the
// last fetch from each.
func unread(lanes map[int32]*lane) (records int64) {
	for _, l := range lanes {
		for _, n := range l.unread {
			records += n
		}
	}
	return records
}

// settle ends the transaction.
func (s *slot) settle(lanes map[int32]*lane) (committed bool, err error) {
	failed, why := s.fold.out.settle(), ""
	if failed == nil {
		failed = s.fold.out.appended(lanes)
	}
	switch {
	case failed != nil:
		why = abortProduce
	case !s.stillOurs(lanes):
		why = abortRebalance
	}
	committed, err = s.sess.end(why, pins(lanes))
	s.mu.Lock()
	s.taken = false // the client has forgotten it, too
	s.mu.Unlock()
	if failed != nil { // not tried again at once: it may fail for long
		return false, errors.Join(fmt.Errorf("produce what came of a transaction: %w", failed), err)
	}
	return committed, err
}

// undo follows an abort: memory goes back too, and so do the positions.
func (s *slot) undo(lanes map[int32]*lane) error {
	s.fold.discount()
	for _, l := range lanes {
		if err := l.rollback(); err != nil {
			return err
		}
	}
	ours := map[int32]*lane{}
	s.mu.Lock()
	for p, l := range lanes {
		if s.lanes[p] == l {
			ours[p] = l
		}
	}
	s.mu.Unlock()
	s.sess.rewind(pins(ours))
	return nil
}

// keep follows a commit.
func (s *slot) keep(lanes map[int32]*lane) error {
	s.fold.count()
	for p, l := range lanes {
		late := l.totals.TooLate() - l.record.TooLate
		l.commit(s.fold.out.stateNext[p])
		s.w.metrics.tooLate.Add(float64(max(0, late)))
	}
	return s.rest(lanes)
}

// rest does what is done between transactions: the local store catches up, the cache
// is kept in its bounds, others are told how far the lanes are.
func (s *slot) rest(lanes map[int32]*lane) error {
	if len(lanes) == 0 {
		s.w.metrics.setState(s.num, 0, 0)
		return nil
	}
	budget := int(s.w.cfg.cacheMemory()) / s.w.cfg.Slots / len(lanes)
	cached, waiting, mayWait := 0, 0, s.w.cfg.waitingBytes()/len(lanes)
	for _, l := range lanes {
		if err := l.flush(flushAfter, mayWait); err != nil {
			return err
		}
		if l.cache.bytes > budget {
			l.shrink(budget * 7 / 8)
		}
		if l.cache.bytes > budget { // most of it waits for the store
			if err := l.flush(0, 0); err != nil {
				return err
			}
			l.shrink(budget * 7 / 8)
		}
		cached, waiting = cached+l.cache.bytes, waiting+l.behind.bytes
	}
	s.w.metrics.setState(s.num, cached, waiting)
	s.mu.Lock()
	ours := maps.Clone(s.lanes)
	s.mu.Unlock()
	for p, l := range lanes {
		if ours[p] == l {
			if err := s.w.status.committed(l); err != nil {
				return err
			}
		}
	}
	return nil
}

func anyDue(lanes map[int32]*lane) (bool, error) {
	for _, l := range lanes {
		if l.takeover != nil || l.succeeds() || l.sweepable() {
			return true, nil
		}
		if w := l.watermark(); w != instant.None {
			if c, err := l.firstDue(w); c != nil || err != nil {
				return c != nil, err
			}
		}
	}
	return false, nil
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
			l.reading(topic, q.at).answered(l.positions[topic].nextOffset, end.Offset, q.at)
			s.fold.reached(l, src, l.positions[topic].nextOffset)
		}
	}
}
