// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
	"lapwing/stream/clock"
)

// Router carries events of inputs that are not keyed by customer to the mailboxes of
// the customers' lanes, each exactly once, and behind them the clocks of its sources.
// It keeps no state; messages that cannot be used are dead letters here already.
type Router struct {
	cfg      Config
	deps     Deps
	metrics  *metrics
	reporter *reporter
	bounds   *bounds // of a shadow
}

// NewRouter checks the configuration. It starts nothing.
func NewRouter(cfg Config, deps Deps) (*Router, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the router's configuration: %w", err)
	}
	deps.fill()
	deps.Log = deps.Log.Named("router")
	r := &Router{cfg: cfg, deps: deps, metrics: newMetrics(deps.Registerer)}
	r.reporter = newReporter("router", &r.cfg, &r.deps, r.metrics, nil)
	return r, nil
}

// Run carries events until ctx ends (nil) or a human is needed. Without routed
// inputs it only waits for ctx to end.
func (r *Router) Run(ctx context.Context) error {
	if len(r.cfg.routed()) == 0 {
		<-ctx.Done()
		return nil
	}
	client, err := kgo.NewClient(clientOpts(&r.cfg, &r.deps, r.cfg.member("router", 0)+"-setup")...)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	err = patiently(ctx, r.deps.Log, func(ctx context.Context) error { return EnsureTopics(ctx, client, &r.cfg) })
	client.Close()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("prepare topics: %w", err)
	}
	role, err := findRole(ctx, &r.cfg, &r.deps)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if of := role.shadowOf; of != nil {
		r.bounds = &bounds{lanes: r.cfg.Lanes}
		group.Go(func() error {
			if err := r.bounds.follow(ctx, &r.cfg, &r.deps, *of); !errors.Is(err, errPromoted) {
				return err
			}
			r.bounds.lift()
			return nil
		})
	}
	for num := range r.cfg.Slots {
		s := &routerSlot{r: r, num: num, log: r.deps.Log.With(zap.Int("slot", num)), tally: tally{}}
		group.Go(func() error { return keepGoing(ctx, s.log, r.metrics, "router", s.session) })
	}
	group.Go(func() error { return watchInputs(ctx, r.deps.Log, &r.cfg, &r.deps, r.metrics, r.cfg.routed()) })
	group.Go(func() error { r.reporter.run(ctx); return nil })
	return group.Wait()
}

// routerSlot is one member of the router's group.
type routerSlot struct {
	r      *Router
	num    int
	log    *zap.Logger
	sess   *session
	opened <-chan struct{} // sess is set

	out     *outbox
	homes   *homes
	decoder *event.Decoder
	msg     event.Message
	now     instant.Instant
	tally   tally

	reported time.Time // by the loop

	mu    sync.Mutex
	owned map[mailbox.Source]*routed
	asked *question
}

// routed is one source while this slot owns it. The loop owns all but the map.
type routed struct {
	input Input
	// committed is the source as of the last commit; the rest runs ahead of it and goes
	// back to it on abort.
	committed source
	source
	wall    clock.Wall
	unread  int64 // records left to read, as of the last fetch
	reading *reading

	hold    *holding // it stands at a bound
	resumed bool     // in this assignment
}

type source struct {
	position position
	clock    instant.Instant
	told     mailbox.Envelope // the clock written last
}

func (s *routerSlot) session(ctx context.Context) (err error) {
	cfg := &s.r.cfg
	opts := append(sessionOpts(cfg, &s.r.deps, cfg.routerGroup(), cfg.member("router", s.num), s.num, cfg.routed()),
		kgo.Balancers(heedful{kgo.RangeBalancer(), s.given}),
		kgo.MetadataMaxAge(watchInterval), // new partitions: lanes hold their clocks for them
		kgo.AdjustFetchOffsetsFn(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.revoked),
	)
	s.owned, s.asked = map[mailbox.Source]*routed{}, nil
	opened := make(chan struct{}) // closed once sess is set: the client's callbacks come at once
	s.opened = opened
	s.sess, err = openSession(ctx, s.r.metrics, "router", opts...)
	if err != nil {
		return err
	}
	close(opened)
	defer s.r.reporter.drop(s.num)
	defer func(stop context.Context) {
		s.sess.CloseAllowingRebalance()
		if stop.Err() != nil && cfg.LeaveOnStop {
			leaveGroup(cfg, &s.r.deps, s.log, cfg.routerGroup(), cfg.member("router", s.num))
		}
	}(ctx)
	s.out = newOutbox(s.sess.Client(), cfg, "")
	s.homes = newHomes(cfg.Lanes)
	s.decoder = event.NewDecoder(nil, cfg.limits())
	group, ctx := errgroup.WithContext(ctx)
	loopDone := make(chan struct{}) // closed by the loop
	group.Go(func() error {
		defer close(loopDone)
		return s.loop(ctx)
	})
	group.Go(func() error { s.sess.guard(ctx, loopDone, cfg.TransactionTimeout); return nil })
	if cfg.Clock == ClockWall {
		group.Go(func() error { s.ask(ctx, loopDone); return nil })
	}
	return group.Wait()
}

// assigned finds where partitions that were never committed begin, so that a commit
// can pin them before anything was read.
func (s *routerSlot) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	select {
	case <-s.opened:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	starts, err := (&restorer{cfg: &s.r.cfg}).startOffsets(ctx, s.sess.Client(), offsets)
	if err != nil {
		return nil, err
	}
	inputs := map[string]Input{}
	for _, in := range s.r.cfg.Inputs {
		inputs[in.Topic] = in
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, partitions := range offsets {
		for p, o := range partitions {
			at := position{nextOffset: o.EpochOffset().Offset, epoch: o.EpochOffset().Epoch}
			if at.nextOffset < 0 {
				start, ok := starts.Lookup(topic, p)
				if !ok {
					return nil, fmt.Errorf("find where partition %d of topic %s begins: the broker did not say", p, topic)
				}
				at = position{nextOffset: start.Offset, epoch: -1}
			}
			src := source{position: at, clock: instant.None}
			s.owned[mailbox.Source{Topic: topic, Partition: p}] = &routed{
				input: inputs[topic], committed: src, source: src, reading: newReading(instant.Of(s.r.deps.Now())),
			}
			partitions[p] = kgo.NewOffset().At(at.nextOffset).WithEpoch(at.epoch)
		}
	}
	return offsets, nil
}

func (s *routerSlot) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, ps := range partitions {
		for _, p := range ps {
			delete(s.owned, mailbox.Source{Topic: topic, Partition: p})
		}
	}
}

// given takes away what is not among what the member has after a rebalance.
func (s *routerSlot) given(partitions map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for src := range s.owned {
		if !slices.Contains(partitions[src.Topic], src.Partition) {
			delete(s.owned, src)
		}
	}
}

func (s *routerSlot) snapshot() map[mailbox.Source]*routed {
	s.mu.Lock()
	defer s.mu.Unlock()
	owned := make(map[mailbox.Source]*routed, len(s.owned))
	for src, o := range s.owned {
		owned[src] = o
	}
	return owned
}

func (s *routerSlot) stillOurs(owned map[mailbox.Source]*routed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for src, o := range owned {
		if s.owned[src] != o {
			return false
		}
	}
	return true
}

func (s *routerSlot) loop(ctx context.Context) error {
	told := time.Now().Add(-s.r.cfg.ClockInterval) // when clocks were written last
	for ctx.Err() == nil {
		wait := max(0, s.r.cfg.ClockInterval-time.Since(told))
		fetches, err := s.sess.poll(ctx, wait, s.r.cfg.MaxPollRecords)
		if err != nil {
			return err
		}
		tell := time.Since(told) >= s.r.cfg.ClockInterval
		if tell {
			told = time.Now()
		}
		if err := s.turn(ctx, fetches, tell); err != nil {
			return err
		}
		if s.sess.skipping != nil {
			return s.sess.skipping
		}
	}
	return nil
}

// turn runs one transaction: events first, then, if it is time, the clocks that vouch
// for them.
func (s *routerSlot) turn(ctx context.Context, fetches kgo.Fetches, tell bool) error {
	owned := s.snapshot()
	s.now = instant.Of(s.r.deps.Now())
	s.bound(owned)
	s.answer(owned)
	s.report(owned)
	if len(owned) == 0 || fetches.NumRecords() == 0 && (!tell || !anyNews(owned)) {
		return nil
	}
	if err := s.sess.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	s.out.reset()
	clear(s.tally)
	n := 0
	began := time.Now()
	for {
		n += fetches.NumRecords()
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			src := mailbox.Source{Topic: p.Topic, Partition: p.Partition}
			if o := owned[src]; o != nil && len(p.Records) > 0 {
				bound := s.r.bounds.position(src)
				records, upTo := o.admit(p.Records, bound)
				stamp := lastStamp(records)
				s.carry(src, o, records)
				o.position.nextOffset = max(o.position.nextOffset, upTo)
				end := min(p.HighWatermark, bound)
				o.unread = max(0, end-o.position.nextOffset)
				o.reading.batch(o.position.nextOffset, end, stamp, s.now)
			}
		})
		elapsed := time.Since(began)
		left := int64(0)
		for _, o := range owned {
			left += o.unread
		}
		if s.r.cfg.CommitInterval.enough(elapsed, int64(n), left) || n >= s.r.cfg.MaxTransactionRecords || ctx.Err() != nil || !s.stillOurs(owned) {
			break
		}
		wait := s.r.cfg.CommitInterval.Min - elapsed
		if wait <= 0 {
			wait = s.r.cfg.CommitInterval.Max - elapsed
		}
		var err error
		if fetches, err = s.sess.poll(ctx, wait, s.r.cfg.MaxPollRecords); err != nil {
			_ = s.out.settle()
			s.sess.aborted(abortSession)
			return err
		}
		s.now = instant.Of(s.r.deps.Now())
		s.answer(owned)
	}
	// A clock by event time comes from the events alone: whoever carries a source on after
	// this transaction may have nothing left to read it from.
	if tell || s.r.cfg.Clock == ClockEvent {
		s.tell(owned)
	}
	return s.settle(owned)
}

// carry forwards the records of one source.
func (s *routerSlot) carry(src mailbox.Source, o *routed, records []*kgo.Record) {
	to := s.r.cfg.topic(topics.Mailbox)
	newest := instant.None
	forwarded := 0
	defer recycle(records) // what goes on is copied
	for _, r := range records {
		if r.Offset < o.position.nextOffset {
			continue // of an assignment before this one
		}
		o.position = position{nextOffset: r.Offset + 1, epoch: r.LeaderEpoch}
		if r.Attrs.IsControl() {
			continue
		}
		stamp := instant.Of(r.Timestamp)
		if s.r.cfg.Clock == ClockWall {
			newest = max(newest, min(stamp, s.now))
		}
		if cause := s.decoder.Decode(r.Value, stamp, &s.msg); cause != "" {
			cause = causeOf(r, cause)
			s.out.deadLetter(s.r.cfg.topic(topics.DeadLetters), cause, src, r.Offset, r.Key, r.Value)
			s.tally[s.r.metrics.deadLetters.WithLabelValues("router", string(cause))]++
			continue
		}
		if s.r.cfg.Clock == ClockEvent {
			newest = max(newest, s.msg.Time)
		}
		e := mailbox.Envelope{Kind: mailbox.Event, Source: src, Position: r.Offset, At: stamp}
		s.out.forward(to, s.homes.of(s.msg.Customer), s.msg.Customer, &e, r.Value)
		forwarded++
	}
	s.tally[s.r.metrics.events.WithLabelValues("router", "forwarded")] += float64(forwarded)
	o.clock = max(o.clock, newest)
	o.clock = max(o.clock, o.wall.Reached(o.position.nextOffset))
}

// news is the clock record the source is due, if anything is new in it.
func (o *routed) news(src mailbox.Source) (mailbox.Envelope, bool) {
	e := mailbox.Envelope{Kind: mailbox.Clock, Source: src, Position: o.position.nextOffset, At: o.clock}
	return e, !o.input.IgnoreClock && e != o.told
}

func anyNews(owned map[mailbox.Source]*routed) bool {
	for src, o := range owned {
		if _, ok := o.news(src); ok {
			return true
		}
	}
	return false
}

func (s *routerSlot) tell(owned map[mailbox.Source]*routed) {
	for src, o := range owned {
		e, ok := o.news(src)
		if !ok {
			continue
		}
		for lane := range s.r.cfg.Lanes {
			s.out.tell(s.r.cfg.topic(topics.Mailbox), lane, &e)
		}
		o.told = e
	}
}

func (s *routerSlot) settle(owned map[mailbox.Source]*routed) error {
	failed, why := s.out.settle(), ""
	switch {
	case failed != nil:
		why = abortProduce
	case !s.stillOurs(owned):
		why = abortRebalance
	}
	pins := pinned{}
	for src, o := range owned {
		pins.set(src.Topic, src.Partition, o.position)
	}
	committed, err := s.sess.end(why, pins)
	if failed != nil {
		return errors.Join(fmt.Errorf("produce what a transaction carries: %w", failed), err)
	}
	if err != nil {
		return err
	}
	if committed {
		s.tally.count()
	}
	for src, o := range owned {
		if committed {
			o.committed = o.source
			continue
		}
		o.source, o.wall = o.committed, clock.Wall{}
		pins.set(src.Topic, src.Partition, o.position)
	}
	if !committed && s.stillOurs(owned) {
		s.sess.rewind(pins)
	}
	return nil
}

// ask finds out, again and again, where the sources end: the wall-clock instant is
// read before.
func (s *routerSlot) ask(ctx context.Context, loopDone <-chan struct{}) {
	keepAsking(ctx, s.log, s.sess.Client(), &s.r.cfg, &s.r.deps, s.r.cfg.routed(), loopDone, func(q question) {
		s.mu.Lock()
		s.asked = &q
		s.mu.Unlock()
	})
}

func (s *routerSlot) answer(owned map[mailbox.Source]*routed) {
	s.mu.Lock()
	q := s.asked
	s.asked = nil
	s.mu.Unlock()
	if q == nil {
		return
	}
	for src, o := range owned {
		if end, ok := q.ends.Lookup(src.Topic, src.Partition); ok && end.Err == nil {
			o.wall.Ask(q.at, end.Offset)
			o.reading.answered(o.position.nextOffset, end.Offset, q.at)
			o.clock = max(o.clock, o.wall.Reached(o.position.nextOffset))
		}
	}
}

// question is where inputs ended after the wall clock had stood at at.
type question struct {
	at   instant.Instant
	ends kadm.ListedOffsets
}

// keepAsking asks for the ends of the inputs at every clock interval.
func keepAsking(ctx context.Context, log *zap.Logger, client *kgo.Client, cfg *Config, deps *Deps,
	inputs []string, done <-chan struct{}, answered func(question),
) {
	adm := kadm.NewClient(client)
	tick := time.NewTicker(cfg.ClockInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			return
		case <-tick.C:
		}
		at := instant.Of(deps.Now())
		ends, err := adm.ListEndOffsets(ctx, inputs...)
		switch {
		case err == nil:
			answered(question{at: at, ends: ends})
		case ctx.Err() == nil:
			log.Warn("the ends of the inputs are unknown, clocks stand still", zap.Error(err))
		}
	}
}
