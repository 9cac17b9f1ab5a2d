// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

// The same events through the broker give the same records as the pure fold, id for
// id; a silent customer's deadline fires by the lane's clock.
func TestWorkerGivesTheFoldsRecords(t *testing.T) {
	messages, last := history(t, 100)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withCampaigns(t), nil)
		r := w.start(w.cfg)
		w.produce("events", messages...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.same(messages, last)
		w.sameTotals(messages, last)
	})
}

// Killing the worker in the middle, again and again, at any point of a transaction,
// loses nothing and doubles nothing.
func TestKillAndRestart(t *testing.T) {
	messages, last := history(t, 200)
	seed := rand.Uint64()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, withCampaigns(t), func(c *Config) {
			c.MaxPollRecords, c.MaxTransactionRecords, c.Wave = 7, 20, 5
			c.CommitInterval = Interval{Min: 5 * time.Millisecond, Max: 5 * time.Millisecond}
		})
		r := w.start(w.cfg)
		kills := 0
		for rest := messages; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(25))
			w.produce("events", rest[:n]...)
			rest = rest[n:]
			if rng.IntN(2) == 0 {
				time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond) // virtual time: somewhere in a transaction
				r.kill()
				kills++
				r = w.start(w.cfg)
			}
		}
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		t.Logf("seed %d: killed %d times", seed, kills)
		w.same(messages, last)
		w.sameTotals(messages, last)
	})
}

// Lanes move between instances under way: the records stay the same.
func TestLanesMoveBetweenInstances(t *testing.T) {
	messages, last := history(t, 100)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Slots, c.Lanes = 1, 6
			c.MaxPollRecords, c.MaxTransactionRecords = 10, 30
			c.CommitInterval = Interval{Min: 10 * time.Millisecond, Max: 10 * time.Millisecond}
		})
		second := w.cfg
		second.Instance, second.Slots = "two", 2
		a := w.start(w.cfg)
		third := len(messages) / 3
		w.produce("events", messages[:third]...)
		time.Sleep(500 * time.Millisecond)
		b := w.start(second)
		w.produce("events", messages[third:2*third]...)
		time.Sleep(5 * time.Second)
		if n := len(a.Watermarks()); n == 0 || n == 6 {
			t.Errorf("the first instance has %d of 6 lanes, want some", n)
		}
		b.stop(t) // a static member leaves its lanes until its session times out
		w.produce("events", messages[2*third:]...)
		w.end(last)
		w.wait(a, last)
		a.stop(t)
		w.same(messages, last)
		w.sameTotals(messages, last)
	})
}

// Every dead-letter cause, byte for byte with its place, and everything else in the
// same input is processed.
func TestDeadLetters(t *testing.T) {
	deep := `{"type":"track","userId":"a","properties":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`
	bad := map[event.Cause]string{
		event.InvalidJSON:     `{"type":`,
		event.TooLarge:        `{"type":"track","userId":"a","event":"` + strings.Repeat("x", 3000) + `"}`,
		event.TooDeep:         deep,
		event.InvalidUTF8:     "{\"type\":\"track\",\"userId\":\"a\xff\"}",
		event.MissingType:     `{"userId":"a"}`,
		event.MissingCustomer: `{"type":"track"}`,
		event.InvalidID:       `{"type":"track","userId":"` + strings.Repeat("u", 300) + `"}`,
		event.InvalidTime:     `{"type":"track","userId":"a","timestamp":"yesterday"}`,
		event.FutureTime:      `{"type":"track","userId":"a","timestamp":"1999-01-01T00:00:00Z"}`,
	}
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.MaxMessageBytes = 2000
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				var good, messages []message
				for i, cause := range event.Causes {
					g := message{customer: "u1", event: "Order Completed", id: fmt.Sprint("o", i), at: day0.Add(time.Duration(i) * dayLength)}
					good = append(good, g)
					messages = append(messages, g, message{customer: "u1", at: g.at, raw: bad[cause]})
				}
				until := day0.Add(1000 * dayLength)
				w.produce("events", messages...)
				w.end(until)
				r := w.start(w.cfg)
				if routed {
					w.startRouter(w.cfg)
				}
				w.wait(r, until)
				r.stop(t)
				w.same(good, until)
				got := map[event.Cause]string{}
				for _, d := range w.all(topics.DeadLetters) {
					got[event.Cause(header(d, "cause"))] = string(d.Value)
					if header(d, "source_topic") != "events" || header(d, "source_offset") == "" || header(d, "generation") != "1" {
						t.Errorf("dead letter without its place: %v", d.Headers)
					}
				}
				for cause, raw := range bad {
					if got[cause] != raw {
						t.Errorf("%s: dead letter %.80q, want %.80q", cause, got[cause], raw)
					}
				}
				if len(got) != len(event.Causes) {
					t.Errorf("%d causes, want %d", len(got), len(event.Causes))
				}
			})
		})
	}
}

// What comes through the router, and what strays into a wrong partition of a keyed
// input, ends as what comes straight into its lane.
func TestTheWaysInAreEqual(t *testing.T) {
	messages, last := history(t, 150)
	t.Run("routed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, customerValue(t), func(c *Config) {
				c.Inputs = []Input{{Topic: "other"}}
				c.MaxPollRecords, c.MaxTransactionRecords = 20, 50
			})
			client := w.client() // one partition: order between partitions is not kept
			for _, m := range messages {
				rec := w.record(m, "other")
				rec.Key = []byte("x")
				if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			w.end(last)
			r := w.start(w.cfg)
			router := w.startRouter(w.cfg)
			time.Sleep(300 * time.Millisecond)
			router.kill()
			router = w.startRouter(w.cfg)
			w.wait(r, last)
			router.stop(t)
			r.stop(t)
			w.same(messages, last)
		})
	})
	t.Run("strays", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, customerValue(t), nil)
			// Only the first half strays, and is processed before the clock moves on: a stray
			// may else be late.
			half := len(messages) / 2
			client := w.client()
			for _, m := range messages[:half] {
				rec := w.record(m, "events")
				rec.Key = []byte("one key for all")
				if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			r := w.start(w.cfg)
			time.Sleep(10 * time.Second)
			w.produce("events", messages[half:]...)
			w.end(last)
			w.wait(r, last)
			r.stop(t)
			w.same(messages, last)
		})
	})
	// Customers are looked up by the records' keys, a few records ahead: whom a message is
	// about is what it says itself.
	t.Run("keys of others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, customerValue(t), func(c *Config) { c.Lanes = 1 })
			client := w.client()
			for i, m := range messages {
				rec := w.record(m, "events")
				rec.Key = []byte(messages[max(0, i-1)].customer) // of the one before: at hand
				if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			w.end(last)
			r := w.start(w.cfg)
			w.wait(r, last)
			r.stop(t)
			w.same(messages, last)
		})
	})
}

// An event that is late by the lane's clock: the deadline that it would have put off
// has fired; the correction takes effect where the customer stands, with cause
// late_event and the event's own time beside it.
func TestEventLateByTheLanesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.Lanes = 1 })
		r := w.start(w.cfg)
		first := message{customer: "ana", event: "Order Completed", id: "o1", at: day0}
		other := message{customer: "bob", event: "Order Completed", id: "o2", at: day0.Add(100 * dayLength)}
		w.produce("events", first, other)
		w.wait(r, other.at)
		late := message{customer: "ana", event: "Order Completed", id: "o3", at: day0.Add(50 * dayLength)}
		w.produce("events", late)
		w.end(other.at)
		time.Sleep(5 * time.Second)
		r.stop(t)
		var causes []string
		for _, rec := range w.all(topics.StageChanges) {
			c, err := record.DecodeRecord(rec.Value)
			if err != nil {
				t.Fatal(err)
			}
			if c.CustomerID != "ana" {
				continue
			}
			causes = append(causes, fmt.Sprintf("%s %s %s %s", c.To, c.EffectiveAt, c.Cause.Type, c.Cause.EventTime))
		}
		want := []string{
			"new 1997-01-01T00:00:00Z event 1997-01-01T00:00:00Z",
			"at_risk 1997-04-01T00:00:00Z deadline none",
			"active 1997-04-01T00:00:00Z late_event 1997-02-20T00:00:00Z",
		}
		if strings.Join(causes, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(causes, "\n"), strings.Join(want, "\n"))
		}
	})
}

// By the wall clock a silent customer's deadline fires once all inputs are read to
// their end, without any further event.
func TestWallClockFiresForTheSilent(t *testing.T) {
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var shift atomic.Int64 // in nanoseconds
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.Clock = ClockWall
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				w.now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
				bought := instant.Of(time.Now())
				w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: bought})
				r := w.start(w.cfg)
				if routed {
					w.startRouter(w.cfg)
				}
				time.Sleep(5 * time.Second)
				if n := len(w.all(topics.StageChanges)); n != 1 {
					t.Fatalf("%d changes, want the first alone", n)
				}
				r.stop(t)
				shift.Store(int64(91 * dayLength)) // the business clock; the group's own clock knows nothing of it
				r = w.start(w.cfg)
				time.Sleep(20 * time.Second)
				r.stop(t)
				rs := w.all(topics.StageChanges)
				if len(rs) != 2 {
					t.Fatalf("%d changes, want two", len(rs))
				}
				c, err := record.DecodeRecord(rs[1].Value)
				if err != nil {
					t.Fatal(err)
				}
				if c.To != "at_risk" || c.EffectiveAt != bought.Add(90*dayLength) || c.Cause.Type != record.CauseDeadline {
					t.Errorf("change %s, want at_risk at %s", describe(&c), bought.Add(90*dayLength))
				}
				if found := c.DetectedAt.Time(); found.Sub(time.Now().Add(time.Duration(shift.Load()))).Abs() > time.Minute {
					t.Errorf("detected at %s, the wall clock is near %s", found, time.Now().Add(time.Duration(shift.Load())))
				}
			})
		})
	}
}

// "publish_from (default: activation) — changes with an earlier effective_at are
// history, not messages"; the moment of activation outlives a restart.
func TestThePastIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.PublishFrom, c.Lanes = "", 1 })
		began := instant.Of(time.Now()) // 2000-01-01 in a bubble
		old := message{customer: "ana", event: "Order Completed", id: "o1", at: day0}
		w.produce("events", old)
		r := w.start(w.cfg)
		w.wait(r, day0)
		r.stop(t)
		time.Sleep(time.Hour)
		recent := message{customer: "ana", event: "Order Completed", id: "o2", at: began.Add(time.Minute)}
		w.produce("events", recent)
		w.end(recent.at)
		r = w.start(w.cfg)
		w.wait(r, recent.at)
		r.stop(t)
		history, public := w.changes(topics.History)["ana"], w.changes(topics.StageChanges)["ana"]
		if len(history) != 3 || len(public) != 1 {
			t.Fatalf("history %v and public %v, want new, at_risk and lost in history, then one public change", history, public)
		}
		for _, r := range w.all(topics.History) {
			if v := mustJSON(t, r.Value); v["backfill"] != true {
				t.Errorf("history has %s without backfill", r.Value)
			}
		}
		if !strings.Contains(public[0], "#4 lost→occasional") {
			t.Errorf("public change %s: want the fourth, which takes part in sequence and from", public[0])
		}
	})
}

// The definitions topic gets one record; the same again changes nothing; a changed
// file under the same version is refused.
func TestActivation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: day0})
		w.end(day0)
		for range 2 {
			r := w.start(w.cfg)
			time.Sleep(5 * time.Second)
			if !r.Ready() {
				t.Error("not ready after five seconds")
			}
			r.stop(t)
		}
		rs := slices.DeleteFunc(w.all(topics.Definitions), func(r *kgo.Record) bool { return strings.HasPrefix(string(r.Key), generationKey) })
		if len(rs) != 1 || string(rs[0].Key) != "customer-value" {
			t.Fatalf("%d definition records, want one", len(rs))
		}
		v := mustJSON(t, rs[0].Value)
		if v["name"] != "customer-value" || v["version"] != 1.0 || !strings.HasPrefix(fmt.Sprint(v["activated_at"]), "2000-01-01T00:00:00") || v["source"] != string(w.def.Source) {
			t.Errorf("definition record %s", rs[0].Value)
		}
		other := w.cfg
		other.Clock = ClockWall
		if err := <-w.start(other).done; !errors.Is(err, ErrOtherClock) {
			t.Errorf("another kind of clock in the same generation: %v, want ErrOtherClock", err)
		}
		w.def = parse(t, []byte(strings.Replace(string(customerValue(t)), ">= 500", ">= 501", 1)))
		if err := <-w.start(w.cfg).done; !errors.Is(err, ErrDefinitionChanged) {
			t.Errorf("a changed definition with the same version: %v, want ErrDefinitionChanged", err)
		}
		w.def = parse(t, []byte(strings.Replace(strings.Replace(string(customerValue(t)), ">= 500", ">= 501", 1), "\nversion: 1", "\nversion: 2", 1)))
		r := w.start(w.cfg) // of another version: TestWorkersWithOtherFiles
		time.Sleep(5 * time.Second)
		if !r.Ready() {
			t.Error("a worker whose file is of another version is not ready after five seconds")
		}
		r.stop(t)
	})
}

// A topic with another number of partitions is refused with what to do about it.
func TestPartitionCountsAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		w.cfg.Lanes = 5
		err := <-w.start(w.cfg).done
		for _, want := range []string{"topic lapwing.state has 4 partitions, lanes is 5: ", "topic events has 4 partitions, lanes is 5: "} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not say %q", err, want)
			}
		}
	})
}

// Two generations run beside each other over the same topics; each counts everything,
// and only one of them tells it.
func TestGenerationsStayApart(t *testing.T) {
	messages, last := history(t, 400)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		second := w.cfg
		second.Generation = 2
		w.produce("events", messages...)
		w.end(last)
		a := w.start(w.cfg)
		w.wait(a, last)
		b := w.start(second)
		// The end was told to generation 1 alone.
		w.cfg.Generation = 2
		w.end(last)
		w.wait(b, last)
		a.stop(t)
		b.stop(t)
		want, _ := w.alone(messages, last)
		got := map[string]int{}
		for _, r := range w.all(topics.StageChanges) {
			got[header(r, "generation")]++
		}
		if got["2"] != 0 {
			t.Errorf("%d changes of the second are public", got["2"])
		}
		for _, r := range w.all(topics.History) {
			if rec, err := record.DecodeRecord(r.Value); err != nil || rec.Kind == record.StageChange {
				got[header(r, "generation")]++
			}
		}
		n := 0
		for _, rs := range want.stages {
			n += len(rs)
		}
		if got["1"] != n || got["2"] != n {
			t.Errorf("changes by generation %v, want %d each", got, n)
		}
	})
}

// Closing follows the clock by close_after, and is part of the lane's state.
func TestLateOccurrencesDoNotReopenTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.Lanes = 1 })
		r := w.start(w.cfg)
		now := day0.Add(definition.DefaultCloseAfter + dayLength)
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: now})
		w.wait(r, now)
		r.stop(t)
		r = w.start(w.cfg)
		w.produce("events",
			message{customer: "bob", event: "Order Completed", id: "o2", at: day0.Add(dayLength - 1)},
			message{customer: "bob", event: "Order Completed", id: "o3", at: day0.Add(dayLength)})
		w.end(now.Add(dayLength))
		w.wait(r, now.Add(dayLength))
		r.stop(t)
		n := 0.0
		for k, v := range w.totals() {
			if strings.HasPrefix(k, "event day purchase   ") {
				n += v[0]
			}
		}
		if n != 2 {
			t.Errorf("%v purchases in the totals by day, want 2: one came too late by a millisecond", n)
		}
	})
}
