// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

// shifted is a business clock that a test sets ahead of the bubble's own.
func (w *world) shifted() (ahead func(time.Duration)) {
	var shift atomic.Int64 // in nanoseconds
	w.now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	return func(d time.Duration) { shift.Add(int64(d)) }
}

// Fault 18: events come out of order, each at most `lateness` behind the newest one,
// and some of them more than once. What comes out is what the ordered history gives.
func TestChaos18OutOfOrderWithinLateness(t *testing.T) {
	const lateness = 2 * dayLength
	source := []byte(strings.Replace(string(withCampaigns(t)), "\ndedupe: 7d", "\nlateness: 2d\ndedupe: 7d", 1))
	ordered, last := story(t, chaosRounds(300, 100))
	for range chaosRounds(2, 20) {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 18))
			type sent struct {
				message
				key instant.Instant // it comes between its time and lateness after it
			}
			var arriving []sent
			for _, m := range ordered {
				for range 1 + max(0, rng.IntN(5)-3) { // one in five twice
					arriving = append(arriving, sent{m, m.at.Add(time.Duration(rng.Int64N(int64(lateness))))})
				}
			}
			slices.SortStableFunc(arriving, func(a, b sent) int { return int(a.key - b.key) })
			var messages []message
			for _, s := range arriving {
				messages = append(messages, s.message)
			}
			w := newWorld(t, source, small)
			r := w.start(w.cfg)
			half := len(messages) / 2
			w.produce("events", messages[:half]...)
			time.Sleep(100 * time.Millisecond)
			r.kill()
			r = w.start(w.cfg)
			w.produce("events", messages[half:]...)
			until := last.Add(lateness)
			w.end(until)
			w.wait(r, until)
			r.stop(t)
			t.Logf("seed %d: %d messages, %d sent", seed, len(ordered), len(messages))
			w.judged(ordered, last) // a deadline, too, waits for what may still come before it
		})
	}
}

// Fault 18: an event that comes twice or more, at once, later, and behind a crash,
// counts once.
func TestChaos18Duplicates(t *testing.T) {
	messages, last := story(t, 300)
	for range chaosRounds(2, 20) {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 181))
			w := newWorld(t, withCampaigns(t), small)
			r := w.start(w.cfg)
			sent := 0
			for rest := messages; len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(40))
				w.produce("events", rest[:n]...)
				again := rng.IntN(n + 1)
				w.produce("events", rest[again:n]...)
				sent += 2*n - again
				rest = rest[n:]
				if rng.IntN(3) == 0 {
					time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
					r.kill()
					r = w.start(w.cfg)
				}
			}
			w.end(last)
			w.wait(r, last)
			r.stop(t)
			t.Logf("seed %d: %d messages, %d sent", seed, len(messages), sent)
			w.equal(messages, last)
		})
	}
}

// Fault 18: what comes from the far future, and from before time began, by event and
// by record, does not move anyone's clock: nobody else's deadline fires.
func TestChaos18FutureAndNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withCampaigns(t), func(c *Config) { c.Clock, c.Lanes = ClockWall, 1 })
		now := instant.Of(time.Now())
		future := now.Add(3650 * dayLength)
		ana := message{customer: "ana", event: "Order Completed", id: "o1", at: now}
		w.produce("events", ana)
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		put := func(m message, stamp time.Time) {
			rec := w.record(m, "events")
			rec.Timestamp = stamp
			if err := w.client().ProduceSync(t.Context(), rec).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		ahead := message{customer: "eve", event: "Order Completed", id: "o2", at: future}
		put(ahead, now.Time())    // a device with a wrong clock
		put(ahead, future.Time()) // and a producer with one
		untimed := message{customer: "bob", at: now, raw: `{"type":"track","event":"Order Completed","messageId":"o3","userId":"bob"}`}
		put(untimed, time.UnixMilli(0))
		put(untimed, time.UnixMilli(-1))
		put(message{customer: "bob", at: now, raw: `{"type":"track","event":"Order Completed","userId":"bob","timestamp":"0"}`}, now.Time())
		time.Sleep(time.Minute)
		for lane, at := range r.Watermarks() {
			if wall := instant.Of(time.Now()); at > wall || at < now {
				t.Errorf("the clock of lane %d stands at %s, the wall clock at %s", lane, at, wall)
			}
		}
		r.stop(t)
		got := w.changes(topics.StageChanges)
		want := w.judge([]message{ana}, instant.Of(time.Now())).stages
		if !slices.Equal(got["ana"], want["ana"]) {
			t.Errorf("another's future: ana has\n%s\nwant\n%s", strings.Join(got["ana"], "\n"), strings.Join(want["ana"], "\n"))
		}
		causes := map[event.Cause]int{}
		for _, d := range w.all(topics.DeadLetters) {
			causes[event.Cause(header(d, "cause"))]++
		}
		if causes[event.FutureTime] != 1 || causes[event.InvalidTime] == 0 {
			t.Errorf("dead letters by cause %v, want one of the future and those without a time", causes)
		}
	})
}

// Fault 19: one partition falls silent while the others are busy, then all are, for 90
// days by the business clock, with restarts between: the deadlines of every silent
// customer fire by the wall clock, once.
func TestChaos19SilentPartitions(t *testing.T) {
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, withCampaigns(t), func(c *Config) {
					c.Clock = ClockWall
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				ahead := w.shifted()
				var messages []message
				buy := func(customer string) {
					m := message{customer: customer, event: "Order Completed", id: fmt.Sprint("o", len(messages)), at: instant.Of(w.now())}
					w.produce("events", m)
					messages = append(messages, m)
				}
				// "ana" is alone in her partition, whichever way she comes in.
				others := []string{}
				for i := 0; len(others) < 5; i++ {
					id := fmt.Sprint("other", i)
					if Home(id, w.cfg.Lanes) != Home("ana", w.cfg.Lanes) && Home(id, 3) != Home("ana", 3) {
						others = append(others, id)
					}
				}
				r := w.start(w.cfg)
				if routed {
					w.startRouter(w.cfg)
				}
				buy("ana")
				for range 10 {
					for _, id := range others {
						buy(id)
					}
					time.Sleep(3 * time.Second)
					ahead(10 * dayLength)
				}
				time.Sleep(5 * time.Second)
				w.judgedOne("ana", messages, instant.Of(w.now()))
				r.stop(t)
				ahead(90 * dayLength)
				for range 2 {
					r = w.start(w.cfg)
					time.Sleep(20 * time.Second)
					r.stop(t)
				}
				w.judged(messages, instant.Of(w.now()))
			})
		})
	}
}

// judgedOne compares one customer's stage changes with the oracle's.
func (w *world) judgedOne(customer string, messages []message, until instant.Instant) {
	w.t.Helper()
	want := w.judge(messages, until).stages
	if got := w.changes(topics.StageChanges)[customer]; !slices.Equal(got, want[customer]) {
		w.t.Errorf("stage changes of %s\n got %s\nwant %s", customer, strings.Join(got, "\n     "), strings.Join(want[customer], "\n     "))
	}
}

// Fault 19: by the clock of events a silent partition holds the deadlines of its own
// lane, and no other's, until its end is told.
func TestChaos19SilentPartitionByEventTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withCampaigns(t), nil)
		ana := message{customer: "ana", event: "Order Completed", id: "o1", at: day0}
		var busy string // of another lane
		for i := 0; busy == ""; i++ {
			if id := fmt.Sprint("other", i); Home(id, w.cfg.Lanes) != Home("ana", w.cfg.Lanes) {
				busy = id
			}
		}
		messages := []message{ana, {customer: busy, event: "Order Completed", id: "o2", at: day0}}
		for i := range 20 {
			messages = append(messages, message{customer: busy + "x", event: "Order Completed", id: fmt.Sprint("p", i), at: day0.Add(time.Duration(i*10) * dayLength)})
		}
		// busy's own lane goes on only if its neighbour is in it.
		for i := range messages[2:] {
			for n := 0; Home(messages[2+i].customer, w.cfg.Lanes) != Home(busy, w.cfg.Lanes); n++ {
				messages[2+i].customer = fmt.Sprint("neighbour", n)
			}
		}
		r := w.start(w.cfg)
		w.produce("events", messages...)
		time.Sleep(10 * time.Second)
		if got := w.changes(topics.StageChanges)["ana"]; len(got) != 1 {
			t.Errorf("the silent lane's deadlines fired without a clock: %v", got)
		}
		last := messages[len(messages)-1].at
		w.judgedOne(busy, messages, last)
		last = last.Add(time.Millisecond)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.equal(messages, last)
	})
}

// Fault 20: an event stands at the very instant of its customer's deadline: the
// deadline fires first, then the event is applied, whichever the lane comes to know
// first, and whatever crashes between.
func TestChaos20EventAtItsDeadline(t *testing.T) {
	tie := day0.Add(90 * dayLength)
	first := message{customer: "ana", event: "Order Completed", id: "o1", at: day0}
	second := message{customer: "ana", event: "Order Completed", id: "o2", at: tie}
	clock := message{customer: "bob", event: "Order Completed", id: "o3", at: tie} // brings the lane's clock to the instant
	orders := map[string][]message{
		"event first":    {first, second, clock},
		"deadline first": {first, clock, second},
	}
	for name, messages := range orders {
		for crash := range chaosRounds(4, 40) {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%s/%d", name, crash), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rng := rand.New(rand.NewPCG(seed, 20))
					w := newWorld(t, withCampaigns(t), func(c *Config) { c.Lanes, c.Slots = 1, 1 })
					r := w.start(w.cfg)
					for _, m := range messages {
						w.produce("events", m)
						time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
						if rng.IntN(2) == 0 {
							r.kill()
							r = w.start(w.cfg)
						}
						time.Sleep(time.Duration(rng.IntN(2)*5) * time.Second)
					}
					until := tie.Add(time.Millisecond)
					w.end(until)
					w.wait(r, until)
					r.stop(t)
					if t.Failed() {
						t.Logf("seed %d", seed)
					}
					w.equal(messages, until)
					got := strings.Join(w.changes(topics.StageChanges)["ana"], "\n")
					for _, want := range []string{"new→at_risk " + tie.String() + " deadline", "at_risk→active " + tie.String() + " event"} {
						if !strings.Contains(got, want) {
							t.Errorf("seed %d: the changes lack %q:\n%s", seed, want, got)
						}
					}
				})
			})
		}
	}
}

// Fault 21: the rules change by another generation. A worker with the new version goes on
// with the live one in the old generation; the new generation computes beside it from the
// beginning, with crashes at the switch of both. Every change names the version that made
// it, and each generation's are the oracle's for that version.
func TestChaos21RulesChange(t *testing.T) {
	messages, last := story(t, 300)
	source := string(customerValue(t))
	newer := strings.NewReplacer("\nversion: 1", "\nversion: 2", "idle('purchase', '90d')", "idle('purchase', '60d')").Replace(source)
	for range chaosRounds(1, 10) {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 21))
			w := newWorld(t, []byte(source), small)
			one, two := w.def, parse(t, []byte(newer))
			crashing := func(cfg Config) *running {
				r := w.start(cfg)
				for range 1 + rng.IntN(3) {
					time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
					r.kill()
					r = w.start(cfg)
				}
				return r
			}
			third := len(messages) / 3
			w.produce("events", messages[:third]...)
			old := crashing(w.cfg)
			time.Sleep(2 * time.Second)
			// Of the new version, in the old generation, under another name.
			w.def = two
			intruder := w.cfg
			intruder.Instance = "intruder"
			in := w.start(intruder)
			w.produce("events", messages[third:2*third]...)
			time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
			in.kill()
			next := w.cfg
			next.Generation = 2
			fresh := crashing(next)
			w.def = one
			old.kill()
			old = crashing(w.cfg)
			w.produce("events", messages[2*third:]...)
			w.end(last)
			w.wait(old, last)
			first := w.cfg
			w.cfg = next
			w.end(last)
			w.wait(fresh, last)
			old.stop(t)
			fresh.stop(t)
			w.cfg = first
			t.Logf("seed %d", seed)
			for version, def := range map[int64]*definition.Definition{1: one, 2: two} {
				w.def = def
				want := w.judge(messages, last).stages
				topic := topics.StageChanges
				if version == 2 {
					topic = topics.History // it is not live
				}
				compare(t, fmt.Sprintf("stage changes of version %d", version), w.changesOf(topic, version), want)
			}
		})
	}
}

// changesOf are the changes of one generation, whose records must all name the version
// of the same number.
func (w *world) changesOf(topic string, generation int64) changes {
	w.t.Helper()
	c := changes{}
	for _, r := range w.all(topic) {
		if header(r, generationHeader) != fmt.Sprint(generation) {
			continue
		}
		rec, err := record.DecodeRecord(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if rec.Kind != record.StageChange {
			continue
		}
		if rec.DefinitionVersion != generation {
			w.t.Errorf("generation %d has a change of version %d: %s", generation, rec.DefinitionVersion, describe(&rec))
		}
		c.add(rec.CustomerID, rec.ID.String(), describe(&rec))
	}
	return c
}
