// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/clock"
)

const (
	// reportEvery is how often the slots say how far they are.
	reportEvery = time.Second
	// stallAfter is how long a source may stand still, and by how much it may hold back
	// clocks, before that is said: a restart of whoever reads or writes it takes less.
	stallAfter = time.Minute
)

// snapshot is how far one slot is.
type snapshot struct {
	lanes map[int32]laneReport // a router has none
	lags  map[mailbox.Source]lag
	// sources are those of the router: the lanes have theirs.
	sources []mailbox.SourceState
}

type laneReport struct {
	clock     instant.Instant
	customers int64
	toBring   int64 // customers; 0: none
	sources   []mailbox.SourceState
}

// reporter turns what the slots of a worker or router say of themselves, about once a
// second, into metrics, and says in the log which sources stand still or hold back
// clocks: once when it begins, once when it ends. Nothing of it is in the way of an
// event.
type reporter struct {
	log     *zap.Logger
	cfg     *Config
	deps    *Deps
	keyed   map[string]bool           // topics
	loading func() map[int32]progress // nil: a router

	clocks, customers, toBring, lagRecords, lagSeconds, restoreLag, sourceClocks, stalled, holds *gauges

	stalls *clock.Stalls
	held   *clock.Holds
	said   map[mailbox.Source]told

	mu    sync.Mutex
	slots map[int]snapshot
}

// told is what was said of a source last.
type told struct {
	still bool // else it moves, and holds back clocks
	since instant.Instant
}

func newReporter(role string, cfg *Config, deps *Deps, m *metrics, loading func() map[int32]progress) *reporter {
	r := &reporter{
		log: deps.Log, cfg: cfg, deps: deps, loading: loading, keyed: map[string]bool{},
		clocks: newGauges(m.clock), customers: newGauges(m.customers), toBring: newGauges(m.toBring),
		lagRecords: newGauges(m.lagRecords), lagSeconds: newGauges(m.lagSeconds), restoreLag: newGauges(m.restoreLag),
		sourceClocks: newGauges(m.sourceClock), stalled: newGauges(m.stalled, role), holds: newGauges(m.holds),
		stalls: clock.NewStalls(stallAfter, cfg.Clock == ClockWall),
		held:   clock.NewHolds(stallAfter, cfg.Clock == ClockWall),
		said:   map[mailbox.Source]told{}, slots: map[int]snapshot{},
	}
	for _, topic := range cfg.keyed() {
		r.keyed[topic] = true
	}
	return r
}

// take notes how far a slot is; it does not look at s again if it is changed.
func (r *reporter) take(slot int, s snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots[slot] = s
}

// report takes a snapshot of the lanes, if it is time.
func (s *slot) report(lanes map[int32]*lane) {
	if time.Since(s.reported) < reportEvery {
		return
	}
	s.reported = time.Now()
	now := snapshot{lanes: make(map[int32]laneReport, len(lanes)), lags: map[mailbox.Source]lag{}}
	for p, l := range lanes {
		now.lanes[p] = laneReport{clock: l.clock.Watermark(), customers: l.record.Customers, toBring: l.record.Left, sources: l.clock.Sources()}
		for topic, at := range l.positions {
			now.lags[mailbox.Source{Topic: topic, Partition: p}] = l.reading(topic, s.fold.now).lag(at.nextOffset)
		}
	}
	s.w.reporter.take(s.num, now)
}

// reading is that of one of the lane's partitions.
func (l *lane) reading(topic string, now instant.Instant) *reading {
	r := l.reads[topic]
	if r == nil {
		r = newReading(now)
		l.reads[topic] = r
	}
	return r
}

// report takes a snapshot of the sources that the slot carries, if it is time. By event
// time it does not know whether one has ended: the lanes do.
func (s *routerSlot) report(owned map[mailbox.Source]*routed) {
	if time.Since(s.reported) < reportEvery {
		return
	}
	s.reported = time.Now()
	now := snapshot{lags: map[mailbox.Source]lag{}}
	for src, o := range owned {
		now.lags[src] = o.reading.lag(o.position.nextOffset)
		if s.r.cfg.Clock == ClockWall && !o.input.IgnoreClock {
			now.sources = append(now.sources, mailbox.SourceState{Source: src, Clock: o.clock, Position: o.position.nextOffset})
		}
	}
	s.r.reporter.take(s.num, now)
}

// drop forgets a slot whose session is over: its lanes are nobody's until restored.
func (r *reporter) drop(slot int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.slots, slot)
}

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.finish()
			return
		case <-tick.C:
			r.report(instant.Of(r.deps.Now()))
		}
	}
}

// report brings metrics and log up to date.
func (r *reporter) report(now instant.Instant) {
	r.mu.Lock()
	var (
		lanes = map[int32][]mailbox.SourceState{}
		all   []mailbox.SourceState
	)
	for _, s := range r.slots {
		for src, l := range s.lags {
			topic, partition := labelsOf(src)
			r.lagRecords.set(float64(l.records), topic, partition)
			r.lagSeconds.set(l.seconds(now), topic, partition)
		}
		for id, l := range s.lanes {
			lane := strconv.Itoa(int(id))
			r.customers.set(float64(l.customers), lane)
			if l.toBring > 0 {
				r.toBring.set(float64(l.toBring), lane)
			}
			if l.clock != instant.None {
				r.clocks.set(float64(l.clock)/1000, lane)
			}
			lanes[id] = l.sources
			all = append(all, l.sources...)
		}
		all = append(all, s.sources...)
	}
	r.mu.Unlock()
	r.tellSources(lanes)
	r.look(lanes, all, now)
	if r.loading != nil {
		for id, p := range r.loading() {
			r.restoreLag.set(float64(max(0, p.end-p.next)), strconv.Itoa(int(id)))
		}
	}
	r.round()
}

// tellSources gives the least of what the lanes have heard of each open source.
func (r *reporter) tellSources(lanes map[int32][]mailbox.SourceState) {
	least := map[mailbox.Source]instant.Instant{}
	for _, sources := range lanes {
		for i := range sources {
			s := &sources[i]
			if at, seen := least[s.Source]; !s.Ended && (!seen || s.Clock < at) {
				least[s.Source] = s.Clock
			}
		}
	}
	for src, at := range least {
		if at != instant.None {
			topic, partition := labelsOf(src)
			r.sourceClocks.set(float64(at)/1000, topic, partition)
		}
	}
}

// look finds what stands still or holds back clocks, and says what has changed.
func (r *reporter) look(lanes map[int32][]mailbox.SourceState, all []mailbox.SourceState, now instant.Instant) {
	r.stalls.Look(all, now)
	is := map[mailbox.Source]told{}
	clocks := map[mailbox.Source]instant.Instant{}
	for _, h := range r.held.Look(lanes, now) {
		is[h.Source], clocks[h.Source] = told{since: h.Since}, h.Clock
		topic, partition := labelsOf(h.Source)
		r.holds.set(float64(len(h.Lanes)), topic, partition)
	}
	for _, s := range r.stalls.Standing() {
		is[s.Source], clocks[s.Source] = told{still: true, since: s.Since}, s.Clock
		topic, partition := labelsOf(s.Source)
		r.stalled.set(float64(now-s.Since)/1000, topic, partition)
	}
	for src, st := range is {
		if was, said := r.said[src]; !said || was.still != st.still {
			r.warn(src, st, clocks[src], r.held.Waiting(src))
		}
	}
	for src := range r.said {
		if _, still := is[src]; !still {
			r.log.Info("the source goes on and holds back no clock any more", zap.String("topic", src.Topic), zap.Int32("partition", src.Partition))
		}
	}
	r.said = is
}

// namedLanes is how many lanes are named in one line of the log.
const namedLanes = 16

func (r *reporter) warn(src mailbox.Source, st told, at instant.Instant, lanes []int32) {
	fields := []zap.Field{
		zap.String("topic", src.Topic), zap.Int32("partition", src.Partition),
		zap.Stringer("clock", at), zap.Stringer("since", st.since),
		zap.Int("lanes_held", len(lanes)), zap.Int32s("lanes", lanes[:min(len(lanes), namedLanes)]),
		zap.String("do", r.advice(src, st)),
	}
	if st.still {
		r.log.Warn("a source stands still: deadlines behind its clock wait", fields...)
		return
	}
	r.log.Warn("a source is behind and holds back the clocks of lanes: their deadlines wait", fields...)
}

// advice says what a human can do.
func (r *reporter) advice(src mailbox.Source, st told) string {
	switch {
	case r.cfg.Clock == ClockEvent:
		return "send it a later event; if it will have none, take its topic out of inputs or set ignore_clock"
	case !st.still:
		return "it is being read: wait, or add instances; an import of old events gets ignore_clock"
	case r.keyed[src.Topic]:
		return "see whether the partition has a leader and can be read to its end: a producer's open transaction is named in another line"
	default:
		return "see whether a router runs and reads the partition to its end: a producer's open transaction is named in the router's log"
	}
}

func (r *reporter) round() {
	for _, g := range []*gauges{r.clocks, r.customers, r.toBring, r.lagRecords, r.lagSeconds, r.restoreLag, r.sourceClocks, r.stalled, r.holds} {
		g.round()
	}
}

// finish takes everything back: this process has no lanes any more.
func (r *reporter) finish() { r.round(); r.round() }

func labelsOf(src mailbox.Source) (topic, partition string) {
	return src.Topic, strconv.Itoa(int(src.Partition))
}
