// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/topics"
)

// Each transaction that is aborted is counted under what was the matter, and nothing that
// was done in it is counted, but when it is done again.
func TestAbortsByCause(t *testing.T) {
	order := message{customer: "ana", event: "Order Completed", id: "o1", at: day0}
	poison := message{customer: "ana", at: day0, raw: "{"}
	for cause, do := range map[string]func(w *world){
		abortProduce: func(w *world) {
			w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.cfg.topic(topics.StageChanges), Err: kerr.MessageTooLarge, Count: 1})
			w.produce("events", order, poison)
		},
		abortEnd: func(w *world) {
			w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.InvalidProducerIDMapping, Count: 1})
			w.produce("events", order, poison)
		},
		// Lanes are taken away from a member: what it has taken in of them is aborted.
		abortRebalance: func(w *world) {
			second := w.cfg
			second.Instance = "two"
			w.start(second)
			for range 200 {
				w.produce("events", order, poison)
				time.Sleep(time.Millisecond)
			}
		},
	} {
		t.Run(cause, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), alone)
				_, registry := w.watched(w.cfg)
				time.Sleep(10 * time.Second)
				before := series(t, registry, "aborts_total")
				do(w)
				time.Sleep(20 * time.Second)
				after := series(t, registry, "aborts_total")
				for labels := range after {
					if labels != cause+" stream" && after[labels] != before[labels] {
						t.Errorf("%v are counted as %s, too", after[labels]-before[labels], labels)
					}
				}
				changes, aside := series(t, registry, "changes_total"), series(t, registry, "dead_letters_total")
				if got, want := int(changes["false stage_change"]), len(w.all(topics.StageChanges)); got > want || got < want && cause != abortRebalance {
					t.Errorf("%d stage changes are counted, %d are committed: %v", got, want, changes)
				}
				if got, want := int(aside["invalid_json stream"]), len(w.all(topics.DeadLetters)); got > want || got < want && cause != abortRebalance { // the second may have some
					t.Errorf("%d dead letters are counted, %d are committed: %v", got, want, aside)
				}
				// A rebalance has several rounds.
				if n := after[cause+" stream"] - before[cause+" stream"]; n < 1 || n > 1 && cause != abortRebalance {
					t.Errorf("%v aborts are counted as %s, want 1: %v", n, cause, after)
				}
			})
		})
	}
}

// What was counted in a transaction that was aborted is forgotten with it.
func TestWhatWasAbortedIsNotCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	f := &fold{metrics: newMetrics(registry), tally: tally{}}
	for want, end := range []func(){f.discount, f.count, f.count} {
		if want < 2 {
			f.tally[f.metrics.changes.WithLabelValues("stage_change", "false")]++
			f.counted.applied++
		}
		end()
		for _, name := range []string{"changes_total", "events_total"} {
			sum := 0
			for _, n := range series(t, registry, name) {
				sum += int(n)
			}
			if sum != min(want, 1) {
				t.Errorf("%s is %d after the transaction of number %d, want %d", name, sum, want, min(want, 1))
			}
		}
	}
}
