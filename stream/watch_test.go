// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/stream/store"
)

// grow gives a topic more partitions.
func (w *world) grow(topic string, partitions int) {
	w.t.Helper()
	answers, err := kadm.NewClient(w.client()).UpdatePartitions(w.t.Context(), partitions, topic)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// put writes messages to one partition.
func (w *world) put(topic string, partition int32, messages ...message) {
	w.t.Helper()
	client := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, m := range messages {
		r := w.record(m, topic)
		r.Partition = partition
		if err := client.ProduceSync(w.t.Context(), r).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// Lanes raised while the worker runs would tear customers: it stops and says what to do.
func TestRaisedPartitionsStopTheWorker(t *testing.T) {
	for _, topic := range []string{"events", "lapwing.mailbox", "lapwing.state"} {
		t.Run(topic, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), nil)
				w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: day0})
				r := w.start(w.cfg)
				time.Sleep(5 * time.Second)
				w.grow(topic, 5)
				select {
				case err := <-r.done:
					refusedLanes(t, err, "topic "+topic+" has 5 partitions")
				case <-time.After(2 * watchInterval):
					t.Error("the worker goes on with torn lanes")
				}
			})
		})
	}
}

// The group may hand out a new partition before the watch has seen it: no lane is made
// of it.
func TestAssignmentOfARaisedPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		w.grow("events", 5)
		worker, err := NewWorker(w.cfg, w.def, w.deps(&plug{w: w}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = worker.restorer.restore(t.Context(), store.Lane{Generation: 1, Lane: 4}, map[string]kgo.EpochOffset{"events": {Offset: -1}}, nil)
		refusedLanes(t, err, "topic events has 5 partitions")
		if !halting(err) {
			t.Errorf("%v does not stop the worker", err)
		}
	})
}

func refusedLanes(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, ErrLanes) {
		t.Fatalf("got %v, want ErrLanes", err)
	}
	for _, want := range []string{want, "with 4 lanes", "run another generation"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// All topics raised and the setting with them: customers would have changed their
// lanes, and the generation remembers how many it had.
func TestRaisedLanesAreRefusedAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: day0})
		w.end(day0)
		r := w.start(w.cfg)
		w.wait(r, day0)
		r.stop(t)
		w.cfg.Lanes = 5
		w.grow("events", 5)
		for _, topic := range topics.All() {
			if topic.Lanes {
				w.grow(topic.Full(w.cfg.Prefix), 5)
			}
		}
		if _, problems := w.audit(); len(problems) > 0 {
			t.Fatalf("the topics do not fit: %q", problems)
		}
		select {
		case err := <-w.start(w.cfg).done:
			refusedLanes(t, err, "lanes is 5")
		case <-time.After(time.Minute):
			t.Fatal("it computes on, customers in other lanes than before")
		}
		w.cfg.Generation = 2
		w.end(day0)
		r = w.start(w.cfg)
		w.wait(r, day0)
		r.stop(t)
	})
}

// A partition added to a routed input while all runs: its events come through, and the
// lanes' clocks do not pass it before it was heard from, nor afterwards.
func TestNewPartitionOfARoutedInput(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.Lanes = 2
					c.Inputs = []Input{{Topic: "other"}}
				})
				r, router := w.start(w.cfg), w.startRouter(w.cfg)
				order := func(customer, id string, days int) message {
					return message{customer: customer, event: "Order Completed", id: id, at: day0.Add(time.Duration(days) * dayLength)}
				}
				for p := range int32(3) {
					w.put("other", p, order(fmt.Sprint("c", p), fmt.Sprint("first", p), 0))
				}
				w.wait(r, day0)
				w.grow("other", 4)
				time.Sleep(2*watchInterval + 10*time.Second)
				for p := range int32(3) {
					w.put("other", p, order(fmt.Sprint("c", p), fmt.Sprint("second", p), 100))
				}
				time.Sleep(10 * time.Second)
				w.standing(r, day0)
				if restart {
					r.stop(t)
					r = w.start(w.cfg)
					time.Sleep(10 * time.Second)
					w.standing(r, day0)
				}
				// On time by the clock, though the other partitions are far ahead.
				w.put("other", 3, order("new", "n1", 50))
				w.wait(r, day0.Add(50*dayLength))
				w.standing(r, day0.Add(50*dayLength))
				w.put("other", 3, order("new", "n2", 150))
				w.wait(r, day0.Add(100*dayLength))
				w.standing(r, day0.Add(100*dayLength))
				r.stop(t)
				router.stop(t)
				for _, c := range w.all(topics.StageChanges) {
					change, err := record.DecodeRecord(c.Value)
					if err != nil {
						t.Fatal(err)
					}
					if change.Cause.Type == record.CauseLateEvent {
						t.Errorf("late: %s", describe(&change))
					}
				}
				if got := w.changes(topics.StageChanges)["new"]; len(got) == 0 || !strings.Contains(got[0], "#1 →new 1997-02-20T00:00:00Z event") {
					t.Errorf("changes of the new partition's customer: %q", got)
				}
			})
		})
	}
}

// standing checks that every lane's clock stands at at.
func (w *world) standing(r *running, at instant.Instant) {
	w.t.Helper()
	for lane, stands := range r.Watermarks() {
		if stands != at {
			w.t.Errorf("the clock of lane %d stands at %s, want %s", lane, stands, at)
		}
	}
}

// The router may find a new partition before the watch does: a clock that is told once
// makes its source known to the lane.
func TestClockOfAnUnknownSource(t *testing.T) {
	cfg := testConfig([]string{"a:1"})
	cfg.Inputs = []Input{{Topic: "other"}, {Topic: "import", IgnoreClock: true}}
	in := newInputs(&cfg)
	in.learn(map[string]int32{"other": 1, "import": 1})
	l := &lane{id: store.Lane{Generation: 1, Lane: 0}, configured: in.sources(0)}
	l.resetToRecord()
	tell := func(topic string, partition int32, at instant.Instant) {
		e := mailbox.Envelope{Kind: mailbox.Clock, Source: mailbox.Source{Topic: topic, Partition: partition}, At: at}
		in.meet(l, e.Source)
		l.told(&e)
	}
	tell("other", 0, 100)
	if at := l.clock.Watermark(); at != 100 {
		t.Fatalf("watermark %d, want 100", at)
	}
	tell("other", 2, 150) // so there is a 1, too
	tell("other", 0, 200)
	if at := l.clock.Watermark(); at != 100 {
		t.Errorf("watermark %d, want 100: partition 1 was not heard from", at)
	}
	tell("other", 1, 180)
	if at := l.clock.Watermark(); at != 150 {
		t.Errorf("watermark %d, want 150", at)
	}
	tell("gone", 7, 1)
	tell("import", 9, 1)
	if n := len(l.clock.Sources()); n != 3 {
		t.Errorf("%d sources, want 3: neither of an input that was taken out nor of one that holds no clock", n)
	}
	other := &lane{id: store.Lane{Generation: 1, Lane: 1}}
	other.resetToRecord()
	in.adopt(map[int32]*lane{1: other})
	if n := len(other.clock.Sources()); n != 3 {
		t.Errorf("the next lane has %d sources, want 3", n)
	}
}
