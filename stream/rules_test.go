// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// Rules 5 and 7: who is killed leaves a transaction open and its lanes owned. The
// successor under the same name ends the one and gets the others at once, long before
// transaction and session time out.
func TestSuccessorEndsWhatWasLeftOpen(t *testing.T) {
	messages, last := story(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Slots = 1
			c.CommitInterval = Interval{Min: 5 * time.Second, Max: 5 * time.Second}
			c.TransactionTimeout, c.SessionTimeout = 5*time.Minute, 5*time.Minute
		})
		r := w.start(w.cfg)
		time.Sleep(10 * time.Second)
		w.produce("events", messages...)
		time.Sleep(time.Second)
		r.plug.cut() // and not waited for: it would wait for its transaction to time out
		r.cancel()
		if !w.held(topics.StageChanges) {
			t.Fatal("no transaction was left open")
		}
		begin := time.Now()
		w.cfg.CommitInterval = Default().CommitInterval // of its own, it holds up readers for this long
		r = w.start(w.cfg)
		for w.held(topics.StageChanges) || len(r.Watermarks()) < int(w.cfg.Lanes) {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("after ten seconds readers are held up: %v; lanes taken over: %d", w.held(topics.StageChanges), len(r.Watermarks()))
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("readers were held up, or lanes without an owner, for %s", took)
		}
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.equal(messages, last)
	})
}

// Rule 5, when there is nothing to do: the successor need not so much as join its group
// to end what was left open. Readers who waited for its first transaction might wait
// for ever.
func TestIdleSuccessorEndsWhatWasLeftOpen(t *testing.T) {
	messages, last := story(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Slots = 1
			c.CommitInterval = Interval{Min: 5 * time.Second, Max: 5 * time.Second}
			c.TransactionTimeout, c.SessionTimeout = 5*time.Minute, 5*time.Minute
		})
		r := w.start(w.cfg)
		time.Sleep(10 * time.Second)
		w.produce("events", messages...)
		time.Sleep(time.Second)
		r.plug.cut()
		r.cancel()
		if !w.held(topics.StageChanges) {
			t.Fatal("no transaction was left open")
		}
		fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.CoordinatorLoadInProgress, Count: -1})
		w.cfg.CommitInterval = Default().CommitInterval
		r = w.start(w.cfg)
		time.Sleep(time.Second)
		if w.held(topics.StageChanges) {
			t.Error("after a second readers are still held up")
		}
		fault.Remove()
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.equal(messages, last)
	})
}

// held reports whether an open transaction holds up the readers of the topic.
func (w *world) held(topic string) bool {
	for _, p := range w.cluster.PartitionInfos(w.cfg.topic(topic)) {
		if p.LastStableOffset < p.HighWatermark {
			return true
		}
	}
	return false
}

// Rule 10: a rebalance in the middle of a transaction aborts it, without a deadlock
// with the client's callback; the abort is counted, and everything is there once.
func TestRebalanceAbortsAreCounted(t *testing.T) {
	messages, last := story(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Slots = 1
			c.CommitInterval = Interval{Min: 5 * time.Second, Max: 5 * time.Second}
		})
		registry := prometheus.NewRegistry()
		p := &plug{w: w}
		deps := w.deps(p)
		deps.Registerer = registry
		worker, err := NewWorker(w.cfg, w.def, deps)
		if err != nil {
			t.Fatal(err)
		}
		r := w.run(p, worker.Run)
		r.Worker = worker
		aborts := worker.metrics.aborts.WithLabelValues("stream", abortRebalance)
		time.Sleep(10 * time.Second)
		before := testutil.ToFloat64(aborts)
		w.produce("events", messages...)
		time.Sleep(time.Second)
		second := w.cfg
		second.Instance = "two"
		other := w.start(second)
		time.Sleep(20 * time.Second)
		other.stop(t)
		if n := testutil.ToFloat64(aborts) - before; n < 1 {
			t.Errorf("%v aborts were counted, want at least one", n)
		}
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.equal(messages, last)
	})
}

// Rule 12: the log of a transactional producer ends in a marker, so the last record's
// offset + 1 is never where it ends. The wall clock counts all the same: a deadline
// fires.
func TestWallClockBehindAMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.Clock = ClockWall })
		ahead := w.shifted()
		bought := message{customer: "ana", event: "Order Completed", id: "o1", at: instant.Of(time.Now())}
		client := w.client(kgo.TransactionalID("a-shop"))
		for range 2 { // a duplicate is no harm
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := client.ProduceSync(t.Context(), w.record(bought, "events")).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		ahead(91 * dayLength)
		time.Sleep(5 * time.Second)
		r.stop(t)
		w.judged([]message{bought}, instant.Of(w.now()))
	})
}
