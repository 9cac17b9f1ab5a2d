// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
)

// bounds are how far a shadow may go: no further than the live generation has come, in
// its input and in its clock. So, whenever the place is taken, what was fired and told
// is what had been told before, and what comes after is still to come. A nil bounds is
// none. Safe for concurrent use.
type bounds struct {
	lanes   int32       // our own
	reached atomic.Bool // somebody stands at a bound: it is time to look again

	mu     sync.Mutex
	cut    *cut // nil: not known yet, nothing may be taken in
	lifted bool // the place has been taken
}

// none is the bound of what has none.
const unbounded = math.MaxInt64

// position is the offset of a source up to which it may be read.
func (b *bounds) position(src mailbox.Source) int64 {
	if b == nil {
		return unbounded
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.lifted:
		return unbounded
	case b.cut == nil:
		return 0
	case !b.cut.topics[src.Topic]:
		return unbounded // an input that is new: all of it is history
	}
	return b.cut.positions[src] // 0 for a partition that is new: nothing of it was told
}

// clock is the instant up to which a lane may fire deadlines.
func (b *bounds) clock(lane int32) instant.Instant {
	if b == nil {
		return instant.Max
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.lifted:
		return instant.Max
	case b.cut == nil:
		return instant.None
	}
	if b.cut.lanes == b.lanes { // the customers are the same
		return b.cut.settled[lane]
	}
	least := instant.Max
	for _, at := range b.cut.settled {
		least = min(least, at)
	}
	return least
}

func (b *bounds) set(c *cut) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = c
}

func (b *bounds) lift() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lifted = true
}

// admit cuts off the records that lie at the bound or behind it.
func admit(records []*kgo.Record, bound int64) (in []*kgo.Record, more bool) {
	n := len(records)
	for n > 0 && records[n-1].Offset >= bound {
		n--
	}
	recycle(records[n:])
	return records[:n], n < len(records)
}

// holding is a partition that stands at a bound: what the client has fetched behind it
// was thrown away, so that it must be set back before it goes on.
type holding struct{ paused bool }

// move is what the client is to be told of a partition.
type move int

const (
	noMove move = iota
	pause       // fetch no more of it
	goBack      // set it to its position, and fetch again
)

// next is what becomes of a hold (nil: none) once a partition may be read on, or not. One
// at which records were cut off a moment ago is paused first, whatever may be by now: what
// has been polled since lies behind what was thrown away.
func (h *holding) next(may bool) (*holding, move) {
	switch {
	case h == nil && may:
		return nil, noMove
	case h == nil || !h.paused:
		return &holding{paused: true}, pause
	case may:
		return nil, goBack
	default:
		return h, noMove
	}
}

// moves collects what the client is to be told.
type moves struct {
	pause, resume map[string][]int32
	back          pinned
}

func newMoves() moves {
	return moves{pause: map[string][]int32{}, resume: map[string][]int32{}, back: pinned{}}
}

func (m *moves) add(v move, topic string, partition int32, at position) {
	switch v {
	case noMove:
	case pause:
		m.pause[topic] = append(m.pause[topic], partition)
	case goBack:
		m.back.set(topic, partition, at)
		m.resume[topic] = append(m.resume[topic], partition)
	}
}

func (m *moves) tell(s *session) {
	if len(m.pause) > 0 {
		s.Client().PauseFetchPartitions(m.pause)
	}
	if len(m.back) > 0 {
		s.rewind(m.back)
	}
	if len(m.resume) > 0 {
		s.Client().ResumeFetchPartitions(m.resume)
	}
}

// boundOf is the offset up to which the lane may read one of its partitions.
func (l *lane) boundOf(topic string) int64 {
	if l.takeover != nil {
		return 0
	}
	return l.bounds.position(mailbox.Source{Topic: topic, Partition: l.id.Lane})
}

// watermark is the lane's clock, as far as it may count.
func (l *lane) watermark() instant.Instant {
	w := l.clock.Watermark()
	if l.bounds == nil {
		return w
	}
	bound := l.bounds.clock(l.id.Lane)
	if l.committed != nil {
		bound = max(bound, l.record.Watermark) // it never goes back
	}
	if w <= bound {
		return w
	}
	l.bounds.ask()
	return bound
}

// admit takes off what lies at a bound or behind it. From then on nothing comes in,
// until bound has set the client back.
func (l *lane) admit(topic string, records []*kgo.Record) (in []*kgo.Record, upTo int64) {
	if l.bounds == nil && l.takeover == nil && len(l.hold) == 0 {
		return records, 0
	}
	if l.hold[topic] != nil {
		recycle(records)
		return nil, 0
	}
	bound := l.boundOf(topic)
	in, more := admit(records, bound)
	if more {
		l.hold[topic], upTo = &holding{}, bound
	}
	return in, upTo
}

// bound holds back the partitions that may not be read on, and lets those go on that
// may again.
func (s *slot) bound(lanes map[int32]*lane) {
	all := newMoves()
	for p, l := range lanes {
		if l.bounds == nil && l.takeover == nil && len(l.hold) == 0 {
			continue
		}
		for topic, pos := range l.positions {
			may := pos.nextOffset < l.boundOf(topic)
			if !may {
				l.bounds.ask()
			}
			h, move := l.hold[topic].next(may)
			if l.hold[topic] = h; h == nil {
				delete(l.hold, topic)
			}
			all.add(move, topic, p, pos)
		}
	}
	all.tell(s.sess)
}

// admit takes off what lies at the bound or behind it, as a lane does.
func (o *routed) admit(records []*kgo.Record, bound int64) (in []*kgo.Record, upTo int64) {
	if o.hold != nil {
		recycle(records)
		return nil, 0
	}
	in, more := admit(records, bound)
	if more {
		o.hold, upTo = &holding{}, bound
	}
	return in, upTo
}

// bound holds back the sources that may not be read on, and lets those go on that may
// again.
func (s *routerSlot) bound(owned map[mailbox.Source]*routed) {
	if s.r.bounds == nil {
		return
	}
	all := newMoves()
	for src, o := range owned {
		may := o.position.nextOffset < s.r.bounds.position(src)
		if !may {
			s.r.bounds.ask()
		}
		var move move
		if o.hold, move = o.hold.next(may); move == noMove && may && !o.resumed {
			// The client remembers what was paused in an assignment before.
			all.resume[src.Topic] = append(all.resume[src.Topic], src.Partition)
		}
		o.resumed = o.resumed || may
		all.add(move, src.Topic, src.Partition, o.position)
	}
	all.tell(s.sess)
}

// ask says that somebody stands at a bound.
func (b *bounds) ask() {
	if b != nil {
		b.reached.Store(true)
	}
}

// followEvery is how often a shadow looks where the live generation stands, if it
// stands there itself, and whether it has become live.
const followEvery = time.Second

// errPromoted ends the shadow of a generation that has become live.
var errPromoted = errors.New("the generation has become live")

// follow keeps the bounds of a shadow where the live generation is, until ctx ends
// (nil) or the shadow has become live (errPromoted).
func (b *bounds) follow(ctx context.Context, cfg *Config, deps *Deps, of Origin) error {
	var live *base
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	b.reached.Store(true)
	for {
		err := func() (err error) {
			all, err := readGenerations(ctx, cfg, deps)
			if err != nil {
				return err
			}
			r, err := all.role(cfg)
			if err == nil && r.shadowOf == nil {
				err = errPromoted
			}
			if err != nil || !b.reached.Swap(false) {
				return err
			}
			b.reached.Store(true) // until it has succeeded
			if live == nil {
				if live, err = openBase(ctx, cfg, deps, of); err != nil {
					return err
				}
			}
			c, err := live.cut(ctx)
			if err != nil {
				return err
			}
			b.set(c)
			b.reached.Store(false)
			return nil
		}()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errPromoted), errors.Is(err, ErrNotLive):
			return err
		case err != nil:
			deps.Log.Warn("where the live generation stands is unknown; the shadow waits", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// String says what the role is, for the log.
func (r role) String() string {
	switch {
	case r.shadowOf != nil:
		return fmt.Sprintf("shadow of generation %d of %s", r.shadowOf.Generation, r.shadowOf.Prefix)
	case r.from != nil:
		return fmt.Sprintf("live, taking over from generation %d of %s", r.from.Generation, r.from.Prefix)
	}
	return "live"
}
