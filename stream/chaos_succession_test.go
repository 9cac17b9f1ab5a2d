// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

// Fault 21: the rules change in mid-stream, and are changed back, with crashes at every
// moment of it: before a lane has read of it, in the switch, in the sweep, before its
// completion. Workers have files of different versions, come and go, and lanes move
// between them. Every change names its version, which never falls, effective_at never
// falls, and all of it is the versioned oracle's.
func TestChaos21RulesChangeWhileRunning(t *testing.T) {
	messages, cuts, at, last := followStory(t, 500)
	for _, routed := range []bool{false, true} {
		for range chaosRounds(1, 10) {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					t.Logf("seed %d", seed)
					rng := rand.New(rand.NewPCG(seed, 2121))
					w := newWorld(t, []byte(followFirst), func(c *Config) {
						small(c)
						c.Wave = 1 + rng.IntN(3)
						c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
					})
					one, two, three := w.def, parse(t, []byte(followSecond)), parse(t, []byte(followThird()))
					c := &crew{w: w, rng: rng, files: []*definition.Definition{one, two, three}, routed: routed}
					c.join("one")
					c.calm(at[0], messages[:cuts[0]])
					for i, source := range []string{followSecond, followThird()} {
						a := w.apply(source, instant.None)
						c.trouble(1 + rng.IntN(3))
						w.awaitFollowing(a, false)
						end, until := cuts[1], at[1]
						if i == 1 {
							end, until = len(messages), last
						}
						part := messages[cuts[i]:end]
						half := len(part) / 2
						w.produce("events", part[:half]...)
						c.trouble(1 + rng.IntN(5))
						c.calm(until, part[half:])
						w.awaitFollowing(a, true)
					}
					c.stop()
					w.def = one
					w.settledLanes(3)
					w.judgedUnder(messages, []followed{{two, cuts[0]}, {three, cuts[1]}}, last)
				})
			})
		}
	}
}

// crew is workers, and a router, that are killed and started again.
type crew struct {
	w      *world
	rng    *rand.Rand
	files  []*definition.Definition
	routed bool
	router *running
	names  []string
	work   map[string]*running
}

// join starts a worker of that name, with a file of any version.
func (c *crew) join(name string) {
	if c.work == nil {
		c.work = map[string]*running{}
	}
	cfg := c.w.cfg
	cfg.Instance = name
	if c.work[name] == nil {
		c.names = append(c.names, name)
	}
	c.w.def = c.files[0]
	if len(c.names) > 1 || c.rng.IntN(2) == 0 && c.work[name] != nil {
		c.w.def = c.files[c.rng.IntN(len(c.files))]
	}
	c.work[name] = c.w.start(cfg)
	if c.routed && c.router == nil {
		c.router = c.w.startRouter(c.w.cfg)
	}
}

// trouble kills and starts, so many times, a moment apart.
func (c *crew) trouble(times int) {
	for range times {
		time.Sleep(time.Duration(c.rng.IntN(3000)) * time.Millisecond)
		switch c.rng.IntN(4) {
		case 0:
			if len(c.names) < 3 {
				c.join(fmt.Sprint("more", len(c.names)))
				continue
			}
			fallthrough
		case 1:
			if c.routed {
				c.router.kill()
				c.router = c.w.startRouter(c.w.cfg)
				continue
			}
			fallthrough
		default:
			name := c.names[c.rng.IntN(len(c.names))]
			c.work[name].kill()
			c.join(name)
		}
	}
}

// calm produces the messages and waits, with one worker left, until all lanes are done
// with them.
func (c *crew) calm(until instant.Instant, messages []message) {
	for _, name := range c.names[1:] {
		c.work[name].stop(c.w.t)
		delete(c.work, name)
	}
	c.names = c.names[:1]
	c.w.produce("events", messages...)
	c.w.end(until)
	c.w.wait(c.work[c.names[0]], until)
}

func (c *crew) stop() {
	for _, r := range c.work {
		r.stop(c.w.t)
	}
}

// The answers to the ends of transactions in which lanes follow, and bring customers over,
// are lost: what was in them is restored from the changelog, or read again.
func TestAnswersLostWhileFollowing(t *testing.T) {
	messages, cuts, at, last := followStory(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), alone)
		lost := w.lossy()
		r := w.start(w.cfg)
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		a := w.apply(followSecond, instant.None)
		lost.lose(kmsg.EndTxn, 2)
		w.awaitFollowing(a, false)
		w.produce("events", messages[cuts[0]:cuts[1]]...)
		lost.lose(kmsg.EndTxn, 2)
		w.awaitFollowing(a, true)
		w.produce("events", messages[cuts[1]:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		if lost.count() == 0 {
			t.Error("no answer was lost")
		}
		w.settledLanes(2)
		w.judgedUnder(messages, []followed{{parse(t, []byte(followSecond)), cuts[0]}}, last)
	})
}

// An abort takes a switch back as it takes back all else: a transaction that follows a
// definition and falls into a rebalance leaves the lanes that stay under the one before,
// and they follow again.
func TestAbortTakesTheSwitchBack(t *testing.T) {
	messages, cuts, at, last := followStory(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), alone, kfake.SleepOutOfOrder()) // each request sleeps for itself
		slow := new(atomic.Bool)
		w.cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			if slow.Load() && transactional(r) {
				w.cluster.SleepControl(func() { time.Sleep(3 * time.Second) })
			}
			return nil, nil, false
		})
		w.produce("events", messages[:cuts[0]]...)
		r, registry := w.watched(w.cfg)
		w.end(at[0])
		w.wait(r, at[0])
		time.Sleep(10 * time.Second)
		slow.Store(true)
		a := w.apply(followSecond, instant.None)
		time.Sleep(time.Second) // the lanes follow in a transaction now
		second := w.cfg
		second.Instance = "two"
		other := w.start(second)
		time.Sleep(20 * time.Second)
		slow.Store(false)
		if n := series(t, registry, "aborts_total")[abortRebalance+" stream"]; n < 1 {
			t.Errorf("%v transactions were aborted: the test has not seen what it is for", n)
		}
		w.awaitFollowing(a, true)
		other.stop(t)
		w.produce("events", messages[cuts[0]:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.settledLanes(2)
		w.judgedUnder(messages, []followed{{parse(t, []byte(followSecond)), cuts[0]}}, last)
	})
}

// Killed at each transaction of a change in turn, from the one in which the lanes follow to
// that in which the last customer is brought over: before the broker has ended it, and
// after it has but before the worker knows.
func TestKilledAtEachTransactionOfAChange(t *testing.T) {
	messages, cuts, at, last := followStory(t, 1200)
	two := parse(t, []byte(followSecond))
	for _, ended := range []bool{false, true} {
		for nth, done := int32(1), false; !done; nth++ {
			t.Run(fmt.Sprintf("ended %v, transaction %d", ended, nth), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, []byte(followFirst), func(c *Config) {
						alone(c)
						c.Wave = 1
					})
					r := w.start(w.cfg)
					w.produce("events", messages[:cuts[0]]...)
					w.end(at[0])
					w.wait(r, at[0])
					a := w.apply(followSecond, instant.None)
					var count atomic.Int32
					var over atomic.Bool          // the change
					killed := make(chan struct{}) // closed by the control, once
					w.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
						w.cluster.KeepControl()
						if over.Load() || count.Add(1) != nth {
							return nil, nil, false
						}
						close(killed)
						if ended {
							go r.plug.cut() // the answer finds nobody
							return nil, nil, false
						}
						return nil, errLost, true
					})
					patience := time.NewTimer(time.Minute)
					select {
					case <-killed:
						r.kill()
						r = w.start(w.cfg)
					case <-patience.C:
						done = true // there is no such transaction
					}
					over.Store(true)
					w.awaitFollowing(a, false)
					w.produce("events", messages[cuts[0]:]...)
					w.end(last)
					w.wait(r, last)
					r.stop(t)
					w.settledLanes(2)
					w.judgedUnder(messages, []followed{{two, cuts[0]}}, last)
				})
			})
			if t.Failed() || nth > 50 {
				break
			}
		}
	}
}
