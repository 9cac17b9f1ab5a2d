// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// bought is an order of the customer, stamped with its own time.
func bought(customer, id string, at instant.Instant) message {
	return message{customer: customer, event: "Order Completed", id: id, at: at}
}

// stamped produces a message with another time of its record.
func (w *world) stamped(topic string, m message, stamp instant.Instant) {
	w.t.Helper()
	rec := w.record(m, topic)
	rec.Timestamp = stamp.Time()
	if err := w.client().ProduceSync(w.t.Context(), rec).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// everywhere is a customer in each partition of a topic, by its partition.
func everywhere(prefix string, partitions int32) []string {
	ids := make([]string, partitions)
	for n, found := 0, int32(0); found < partitions; n++ {
		id := fmt.Sprint(prefix, n)
		if home := Home(id, partitions); ids[home] == "" {
			ids[home] = id
			found++
		}
	}
	return ids
}

// "Its clock is the wall-clock instant read *before* asking for the end offset": what
// comes after the broker has said where the source ends, and before its answer has
// come, is not vouched for.
func TestWallClockIsReadBeforeAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.Clock = ClockWall })
		deps := w.deps(&plug{w: w})
		deps.fill()
		asked := make(chan instant.Instant, 1) // when the broker was asked first
		var once sync.Once
		w.cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			once.Do(func() {
				asked <- instant.Of(time.Now())
				w.cluster.SleepControl(func() { time.Sleep(7 * time.Second) })
			})
			return nil, nil, false
		})
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan question, 1)
		ended := make(chan struct{})
		client := w.client()
		go func() {
			defer close(ended)
			keepAsking(ctx, w.log, client, &w.cfg, &deps, []string{"events"}, nil, func(q question) {
				select {
				case answered <- q:
				default: // the first is enough
				}
			})
		}()
		q, first := <-answered, <-asked
		cancel()
		<-ended
		if q.at > first {
			t.Errorf("the clock was read at %s, the broker was asked at %s", q.at, first)
		}
	})
}

// "a lane's clock is the least over all configured sources that can reach it, heard from
// or not": an input whose router was never started holds the deadlines of all lanes.
func TestUnheardSourceHoldsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Clock = ClockWall
			c.Inputs = []Input{{Topic: "events", Keyed: true}, {Topic: "other"}}
		})
		ahead := w.shifted()
		ana := bought("ana", "o1", instant.Of(w.now()))
		w.produce("events", ana)
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		ahead(89 * dayLength)
		// On its way for all these days: it still puts the deadline off.
		again := bought("ana", "o2", instant.Of(w.now()))
		w.produce("other", again)
		ahead(2 * dayLength)
		time.Sleep(time.Minute)
		w.standing(r, instant.None)
		if got := w.changes(topics.StageChanges)["ana"]; len(got) != 1 {
			t.Errorf("changes without the router's clocks: %v, want the first alone", got)
		}
		router := w.startRouter(w.cfg)
		time.Sleep(10 * time.Second)
		ahead(100 * dayLength)
		time.Sleep(10 * time.Second)
		router.stop(t)
		r.stop(t)
		w.judged([]message{ana, again}, instant.Of(w.now()))
	})
}

// A hung source: behind a stranger's open transaction nothing can be read, so the clock
// does not pass it: the event that is there may be on time. The end that counts is the
// log's, not that of what can be read; and once the transaction is aborted its marker,
// with which the log then ends, is passed.
func TestHungSourceHoldsTheClock(t *testing.T) {
	bothWaysIn(t, func(t *testing.T, routed bool) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Clock = ClockWall
			c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
		})
		ahead := w.shifted()
		partitions := w.cfg.Lanes
		if routed {
			partitions = 3
		}
		people := everywhere("c", partitions)
		var messages []message
		for i, id := range people {
			messages = append(messages, bought(id, fmt.Sprint("o", i), instant.Of(w.now())))
		}
		w.produce("events", messages...)
		_, stop := w.startAll()
		time.Sleep(5 * time.Second)
		const stuck = 1
		end := w.stranger("events", stuck)
		ahead(89 * dayLength)
		again := bought(people[stuck], "again", instant.Of(w.now()))
		w.produce("events", again) // behind it
		ahead(2 * dayLength)
		time.Sleep(2 * time.Minute)
		got := w.changes(topics.StageChanges)
		for p, id := range people {
			want := 2 // new, and at risk after 90 days
			if p == stuck || routed {
				want = 1 // a routed source reaches every lane
			}
			if len(got[id]) != want {
				t.Errorf("while partition %d hangs, the customer of partition %d has %v, want %d changes", stuck, p, got[id], want)
			}
		}
		end()
		time.Sleep(20 * time.Second)
		ahead(100 * dayLength)
		time.Sleep(20 * time.Second)
		stop()
		w.judged(append(messages, again), instant.Of(w.now()))
	})
}

// "`holds_clock: false` for imports", here ignore_clock: such an input holds no clock,
// heard from or not, and moves none, whatever comes in it; what it brings may be late.
func TestImportsHoldAndMoveNoClock(t *testing.T) {
	for _, keyed := range []bool{false, true} {
		for _, kind := range []ClockMode{ClockWall, ClockEvent} {
			t.Run(fmt.Sprintf("keyed %v, clock %s", keyed, kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, customerValue(t), func(c *Config) {
						c.Clock = kind
						c.Inputs = []Input{{Topic: "events", Keyed: true}, {Topic: "import", Keyed: keyed, IgnoreClock: true}}
					})
					ahead := w.shifted()
					people := everywhere("c", w.cfg.Lanes)
					start := instant.Of(w.now())
					var messages []message
					for i, id := range people {
						messages = append(messages, bought(id, fmt.Sprint("o", i), start))
					}
					w.produce("events", messages...)
					r, stop := w.startAll()
					time.Sleep(5 * time.Second)
					last := start.Add(91 * dayLength)
					ahead(91 * dayLength)
					clocks := everywhere("d", w.cfg.Lanes) // nobody has imported anything yet
					for i, id := range clocks {
						messages = append(messages, bought(id, fmt.Sprint("p", i), last))
					}
					w.produce("events", messages[len(people):]...)
					time.Sleep(10 * time.Second)
					for _, id := range people {
						w.judgedOne(id, messages, last)
					}
					// From years ahead, and from before: neither is a word about the clock.
					for i, id := range everywhere("e", w.cfg.Lanes) {
						w.stamped("import", bought(id, fmt.Sprint("q", i), last.Add(1000*dayLength)), last.Add(1000*dayLength))
						w.stamped("import", bought(id, fmt.Sprint("r", i), start), start)
					}
					time.Sleep(10 * time.Second)
					for lane, at := range r.Watermarks() {
						if at > last.Add(time.Minute) {
							t.Errorf("the import has moved the clock of lane %d to %s", lane, at)
						}
					}
					for _, id := range clocks {
						w.judgedOne(id, messages, last)
					}
					stop()
				})
			})
		}
	}
}

// "never ahead of the wall clock", and "an event further ahead of its record's timestamp
// than max_future is a dead letter, so one wrong device cannot move a clock", whichever
// way it comes in and whichever clock it is.
func TestNobodysFutureMovesTheClock(t *testing.T) {
	for _, kind := range []ClockMode{ClockWall, ClockEvent} {
		t.Run(string(kind), func(t *testing.T) {
			bothWaysIn(t, func(t *testing.T, routed bool) {
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.Clock = kind
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				w.observe(zap.InfoLevel)
				now := instant.Of(w.now())
				future := now.Add(3650 * dayLength)
				var messages []message
				for i, id := range everywhere("c", 12) { // some in each partition of 3 and of 4
					messages = append(messages, bought(id, fmt.Sprint("o", i), now))
				}
				w.produce("events", messages...)
				r, stop := w.startAll()
				time.Sleep(5 * time.Second)
				for i, id := range everywhere("eve", 12) {
					w.stamped("events", bought(id, fmt.Sprint("p", i), future), now) // a device with a wrong clock
					if kind == ClockWall {
						w.stamped("events", bought(id, fmt.Sprint("q", i), future), future) // and a producer with one
					}
				}
				time.Sleep(time.Minute)
				wall := instant.Of(w.now())
				if n := len(r.Watermarks()); n != int(w.cfg.Lanes) {
					t.Errorf("clocks of %d lanes, want %d", n, w.cfg.Lanes)
				}
				for lane, at := range r.Watermarks() {
					if at > wall || at < now {
						t.Errorf("the clock of lane %d stands at %s, the wall clock at %s", lane, at, wall)
					}
				}
				stop()
				for _, m := range messages {
					w.judgedOne(m.customer, messages, wall)
				}
				if n := len(w.all(topics.DeadLetters)); n != 12 {
					t.Errorf("%d dead letters, want the 12 that are ahead of their records", n)
				}
				for _, d := range w.all(topics.DeadLetters) {
					if header(d, "cause") != string(event.FutureTime) {
						t.Errorf("dead letter with cause %s", header(d, "cause"))
					}
				}
			})
		})
	}
}

// Both kinds of clock over the same records: events of 1997 that were written today.
// "with `clock: event` it is the newest event time …, no wall clock at all"; by the wall
// clock it is now, since all was read.
func TestBothKindsOfClock(t *testing.T) {
	for _, kind := range []ClockMode{ClockWall, ClockEvent} {
		t.Run(string(kind), func(t *testing.T) {
			bothWaysIn(t, func(t *testing.T, routed bool) {
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.Clock = kind
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				newest := day0.Add(10 * dayLength)
				for i, id := range everywhere("c", 12) {
					w.stamped("events", bought(id, fmt.Sprint("o", i), newest), instant.Of(w.now()))
					w.stamped("events", bought(id, fmt.Sprint("p", i), day0), instant.Of(w.now()))
				}
				r, stop := w.startAll()
				time.Sleep(2 * time.Minute)
				w.produce("events", bought("c0", "q", day0)) // what is committed, too, goes on
				time.Sleep(2 * time.Second)
				wall := instant.Of(w.now())
				for lane, at := range r.Watermarks() {
					if kind == ClockEvent && at != newest || kind == ClockWall && lane == Home("c0", w.cfg.Lanes) && (at > wall || at < wall.Add(-4*time.Second)) {
						t.Errorf("the clock of lane %d stands at %s; the newest event is of %s, the wall clock at %s", lane, at, newest, wall)
					}
				}
				stop()
			})
		})
	}
}

// "The router writes its clocks into every mailbox partition, at least once a second,
// behind the events it forwarded": whatever comes behind the clock of a source is of an
// offset that the clock does not vouch for, also when the router dies in between, and by
// event time the clock is not ahead of what it vouches for.
func TestClocksStandBehindTheirEvents(t *testing.T) {
	for _, kind := range []ClockMode{ClockWall, ClockEvent} {
		t.Run(string(kind), func(t *testing.T) {
			seed := rand.Uint64()
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 8))
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.Clock = kind
					c.Inputs = []Input{{Topic: "other"}}
					c.MaxPollRecords, c.MaxTransactionRecords = 7, 20
				})
				router := w.startRouter(w.cfg)
				for i := range 60 {
					var batch []message
					for n := range 1 + rng.IntN(20) {
						batch = append(batch, bought(fmt.Sprint("c", rng.IntN(50)), fmt.Sprint("o", i, "-", n), day0.Add(time.Duration(i*20+n)*time.Minute)))
					}
					w.produce("other", batch...)
					time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
					if rng.IntN(6) == 0 {
						router.kill()
						router = w.startRouter(w.cfg)
					}
				}
				time.Sleep(5 * time.Second)
				quiet := time.Now() // nothing comes any more: the clocks go on
				time.Sleep(20 * time.Second)
				router.stop(t)
				w.vouched(kind, quiet)
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			})
		})
	}
}

// vouched checks the mailboxes.
func (w *world) vouched(kind ClockMode, quiet time.Time) {
	type place struct {
		lane int32
		mailbox.Source
	}
	clocks, told := map[place]mailbox.Envelope{}, map[place]time.Time{}
	newest := map[mailbox.Source]instant.Instant{}
	events, last := map[mailbox.Source]int64{}, map[place]int64{}
	ends, err := kadm.NewClient(w.client()).ListEndOffsets(w.t.Context(), "other")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range w.input("other") {
		src := mailbox.Source{Topic: "other", Partition: r.Partition}
		newest[src] = max(newest[src], instant.Of(r.Timestamp))
	}
	for _, r := range w.all(topics.Mailbox) {
		e, err := mailbox.DecodeEnvelope([]byte(header(r, mailbox.Header)))
		if err != nil {
			w.t.Fatal(err)
		}
		at := place{r.Partition, e.Source}
		switch e.Kind {
		case mailbox.Definition: // none is applied here
		case mailbox.Event:
			events[e.Source]++
			if seen, ok := last[at]; ok && e.Position <= seen {
				w.t.Errorf("lane %d has offset %d of %v behind %d", at.lane, e.Position, e.Source, seen)
			}
			last[at] = e.Position
			if c, ok := clocks[at]; ok && e.Position < c.Position {
				w.t.Errorf("lane %d: offset %d of %v comes behind a clock that vouches for all below %d", at.lane, e.Position, e.Source, c.Position)
			}
		case mailbox.Clock:
			if was, ok := told[at]; ok && kind == ClockWall && was.After(quiet) && r.Timestamp.Sub(was) > time.Second {
				w.t.Errorf("lane %d heard nothing of %v for %s", at.lane, e.Source, r.Timestamp.Sub(was))
			}
			if was, ok := clocks[at]; ok && e.Position < was.Position {
				w.t.Errorf("lane %d: %v goes back from %d to %d", at.lane, e.Source, was.Position, e.Position)
			}
			if kind == ClockEvent && e.At > newest[e.Source] {
				w.t.Errorf("lane %d: the clock of %v stands at %s, its newest event is of %s", at.lane, e.Source, e.At, newest[e.Source])
			}
			// A router that has just begun may know of no clock yet: the lane keeps what it heard.
			if was, ok := clocks[at]; ok {
				e.At = max(e.At, was.At)
			}
			clocks[at], told[at] = e, r.Timestamp
		}
	}
	for p := range int32(3) {
		src := mailbox.Source{Topic: "other", Partition: p}
		end, _ := ends.Lookup("other", p)
		if events[src] != end.Offset || events[src] == 0 {
			w.t.Errorf("%d events of %v were carried, want all %d", events[src], src, end.Offset)
		}
		for lane := range w.cfg.Lanes {
			c := clocks[place{lane, src}]
			if c.Position != end.Offset || kind == ClockEvent && c.At != newest[src] || kind == ClockWall && c.At.Time().Before(quiet.Add(15*time.Second)) {
				w.t.Errorf("lane %d knows %v up to offset %d and %s; it ends at %d, its newest event is of %s", lane, src, c.Position, c.At, end.Offset, newest[src])
			}
		}
	}
}

// input reads what is in an input.
func (w *world) input(topic string) []*kgo.Record {
	w.t.Helper()
	was := w.cfg.Prefix
	w.cfg.Prefix = ""
	defer func() { w.cfg.Prefix = was }()
	return w.all(topic)
}
