// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

// next is the configuration of the generation after the world's.
func (w *world) next() Config {
	cfg := w.cfg
	cfg.Generation++
	return cfg
}

func (w *world) rebuild(cfg Config) (*Rebuild, *plug) {
	w.t.Helper()
	p := &plug{w: w}
	r, err := NewRebuild(cfg, w.def, w.deps(p))
	if err != nil {
		w.t.Fatal(err)
	}
	return r, p
}

func quiet(Progress) {}

// forget has the broker forget the members of a process that was killed: see evict of
// the metamorphic suite, which says why the session's timeout does not always do.
func (w *world) forget(cfg Config) {
	w.t.Helper()
	time.Sleep(cfg.SessionTimeout + time.Second)
	adm := kadm.NewClient(w.client())
	for role, group := range map[string]string{"": cfg.workerGroup(), "router": cfg.routerGroup()} {
		var gone []string
		for slot := range cfg.Slots {
			gone = append(gone, cfg.member(role, slot))
		}
		// Each that is forgotten already is an error of its own, and none of ours.
		if _, err := adm.LeaveGroup(w.t.Context(), kadm.LeaveGroup(group).InstanceIDs(gone...)); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			w.t.Fatal(err)
		}
	}
}

var errTooLong = errors.New("it takes too long")

// switchTo switches, however often it takes: what holds it up is done as its errors
// say; now and then it is killed under way.
func (w *world) switchTo(cfg Config, rng *rand.Rand) {
	w.t.Helper()
	for tries := range 40 {
		r, p := w.rebuild(cfg)
		ctx, cancel := context.WithTimeoutCause(w.t.Context(), 5*time.Minute, errTooLong)
		var last Progress
		if rng != nil && tries < 3 {
			after := time.Duration(rng.IntN(6000)) * time.Millisecond
			time.AfterFunc(after, func() { p.cut(); cancel() })
		}
		err := r.Switch(ctx, func(p Progress) { last = p })
		over := ctx.Err() != nil
		cancel()
		switch {
		case err == nil:
			return
		case errors.Is(context.Cause(ctx), errTooLong):
			w.t.Fatalf("it takes too long; stands at %+v", last)
		case errors.Is(err, ErrUndelivered):
			old := w.start(w.cfg)
			time.Sleep(time.Duration(1+tries) * time.Second)
			old.stop(w.t)
		case errors.Is(err, ErrLive): // killed after the last word was written
			return
		case over:
			w.forget(r.cfg)
		case errors.Is(err, ErrMembers):
			time.Sleep(w.cfg.SessionTimeout / 2)
		default:
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("it cannot be switched")
}

// public is how many records of a generation are on the public topics.
func (w *world) public(generation uint32) (n int) {
	w.t.Helper()
	for _, topic := range topics.All() {
		if !topic.Public {
			continue
		}
		for _, r := range w.all(topic.Name) {
			if header(r, generationHeader) == fmt.Sprint(generation) {
				n++
			}
		}
	}
	return n
}

// The changes that the live generation has told up to the cut, and those that the next
// one tells behind it, are together those of an uninterrupted run: with deadlines under
// way, events that wait for the clock, and processes that are killed before, during and
// after the switch.
func TestSwitchLosesAndDoublesNothing(t *testing.T) {
	history, last := history(t, 250)
	for _, c := range []struct {
		name     string
		lateness time.Duration
		inputs   []Input
	}{
		{"keyed", 0, []Input{{Topic: "events", Keyed: true}}},
		{"keyed, out of order", 5 * dayLength, []Input{{Topic: "events", Keyed: true}}},
		{"routed", 0, []Input{{Topic: "other"}}},
		{"routed, out of order", 5 * dayLength, []Input{{Topic: "other"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seed := rand.Uint64()
				rng := rand.New(rand.NewPCG(seed, 11))
				defer func() {
					if t.Failed() {
						t.Logf("seed %d", seed)
					}
				}()
				source := withCampaigns(t)
				messages := slices.Clone(history)
				if c.lateness > 0 {
					source = bytes.Replace(source, []byte("\nversion: 1\n"), []byte("\nversion: 1\nlateness: 5d\n"), 1)
					arrives := map[string]instant.Instant{}
					for _, m := range messages {
						arrives[m.raw] = m.at.Add(time.Duration(rng.Int64N(int64(c.lateness))))
					}
					slices.SortStableFunc(messages, func(a, b message) int { return cmp.Compare(arrives[a.raw], arrives[b.raw]) })
				}
				w := newWorld(t, source, func(cfg *Config) {
					cfg.Inputs = c.inputs
					cfg.MaxPollRecords, cfg.MaxTransactionRecords, cfg.Wave = 5, 15, 3
					cfg.CommitInterval = Interval{Min: 5 * time.Millisecond, Max: 20 * time.Millisecond}
				})
				routed := !c.inputs[0].Keyed
				feed := func(part []message) {
					if routed {
						for p := range int32(3) { // order between partitions is not kept
							w.put("other", p, slices.DeleteFunc(slices.Clone(part), func(m message) bool { return Home(m.customer, 3) != p })...)
						}
						return
					}
					w.produce("events", part...)
				}
				first, second := w.cfg, w.next()
				old := w.start(first)
				var router *running
				if routed {
					router = w.startRouter(first)
				}
				cut := len(messages)/3 + rng.IntN(len(messages)/3)
				feed(messages[:cut/2])
				time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
				shadow := w.start(second)
				var shadowRouter *running
				if routed {
					shadowRouter = w.startRouter(second)
				}
				feed(messages[cut/2 : cut])
				time.Sleep(time.Duration(rng.IntN(6000)) * time.Millisecond)
				shadow.kill()
				if routed {
					shadowRouter.kill()
				}
				w.forget(second)
				if rng.IntN(2) == 0 { // it goes on, and lives through the switch
					shadow = w.start(second)
					if routed {
						w.startRouter(second)
					}
				}
				if n := w.public(2); n > 0 {
					t.Fatalf("%d records of the shadow are public", n)
				}
				time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
				if router != nil {
					router.kill()
				}
				if rng.IntN(2) == 0 {
					old.kill()
				} else {
					old.stop(t)
				}
				w.switchTo(second, rng)
				if err := <-w.start(first).done; !errors.Is(err, ErrNotLive) {
					t.Errorf("the generation before starts again: %v, want ErrNotLive", err)
				}
				w.cfg = second
				service := second
				service.Instance = "service"
				live := w.start(service)
				if routed {
					w.startRouter(service)
				}
				shadow.kill() // whatever it has come to
				time.Sleep(w.cfg.SessionTimeout + time.Second)
				feed(messages[cut:])
				w.end(last.Add(c.lateness))
				w.wait(live, last.Add(c.lateness))
				if w.public(1) == 0 || w.public(2) == 0 {
					t.Error("one of the generations has told nothing")
				}
				live.stop(t)
				w.same(messages, last)
				for _, r := range w.all(topics.StageChanges) {
					if rec, err := record.DecodeRecord(r.Value); err != nil || rec.Cause.Type == record.CauseDefinition {
						t.Fatalf("a correction, where the generations agree: %s %v", r.Value, err)
					}
				}
			})
		})
	}
}

// The live generation ends in the middle of a wave of deadlines, and the shadow outlives
// it by days, with further events: what was not told yet is told afterwards, each with its own cause.
func TestSwitchInTheMiddleOfAWave(t *testing.T) {
	for _, clock := range []ClockMode{ClockEvent, ClockWall} {
		t.Run(string(clock), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var shift atomic.Int64 // of the wall clock
				w := newWorld(t, customerValue(t), func(cfg *Config) { cfg.Clock, cfg.Slots = clock, 1 })
				w.now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
				bought := instant.Of(time.Now())
				var messages []message
				for i := range 40 {
					messages = append(messages, message{customer: fmt.Sprint("c", i), event: "Order Completed", id: fmt.Sprint("o", i), at: bought})
				}
				first, second := w.cfg, w.next()
				slow := first
				slow.Wave, slow.CommitInterval = 1, Interval{Min: 300 * time.Millisecond, Max: 300 * time.Millisecond}
				w.produce("events", messages...)
				old, shadow := w.start(slow), (*running)(nil)
				time.Sleep(5 * time.Second)
				shadow = w.start(second)
				time.Sleep(5 * time.Second)
				due := bought.Add(90 * dayLength)
				shift.Store(int64(90 * dayLength))
				if clock == ClockEvent {
					var ticks []message // one for each lane, that is nobody's purchase
					for lane := range first.Lanes {
						for i := 0; ; i++ {
							if id := fmt.Sprint("tick", i); Home(id, first.Lanes) == lane {
								ticks = append(ticks, message{customer: id, at: due, raw: fmt.Sprintf(`{"type":"page","userId":%q,"messageId":%q,"timestamp":%q}`, id, id, due)})
								break
							}
						}
					}
					messages = append(messages, ticks...)
					w.produce("events", ticks...)
				}
				for n := 0; n < 50; n = len(w.all(topics.StageChanges)) { // 40 first stages, then the wave
					time.Sleep(100 * time.Millisecond)
				}
				old.stop(t)
				before := len(w.all(topics.StageChanges))
				var more []message // that only the shadow could read
				for i := range 10 {
					more = append(more, message{customer: fmt.Sprint("c", i), event: "Order Completed", id: fmt.Sprint("more", i), at: due.Add(time.Hour)})
				}
				messages = append(messages, more...)
				w.produce("events", more...)
				shift.Store(int64(95 * dayLength))
				time.Sleep(time.Minute)
				shadow.stop(t)
				w.switchTo(second, nil)
				w.cfg = second
				live := w.start(second)
				until := due.Add(dayLength)
				w.end(until)
				w.wait(live, until)
				live.stop(t)
				if all := len(w.all(topics.StageChanges)); before >= 80 || all < 80 {
					t.Errorf("%d changes before the switch, %d in all: not in the middle of the wave", before, all)
				}
				w.same(messages, until)
			})
		})
	}
}
