// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// Fault 17, and rule 8: what the worker has to read is no longer there, because the
// log was cut off in front or made anew. It stops and says so; it starts from nowhere
// else, and commits nothing more.
func TestChaos17LogIsGone(t *testing.T) {
	messages, _ := story(t, 500)
	half := len(messages) / 2
	cut := func(from func(p *kfake.PartitionInfo) int64) func(w *world, topic string) {
		return func(w *world, topic string) {
			for _, p := range w.cluster.PartitionInfos(topic) {
				if err := w.cluster.DeleteRecords(topic, p.Partition, from(p)); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
	truncate := cut(func(p *kfake.PartitionInfo) int64 { return max(0, p.HighWatermark-1) })
	nibble := cut(func(p *kfake.PartitionInfo) int64 { return min(2, p.HighWatermark) })
	recreate := func(w *world, topic string) {
		n := int32(len(w.cluster.PartitionInfos(topic)))
		if err := w.cluster.DeleteTopic(topic); err != nil {
			w.t.Fatal(err)
		}
		if err := w.cluster.CreateTopic(topic, n, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, topic string
		do          func(w *world, topic string)
		after       bool // more events come before
		running     bool // the worker runs on while it happens, and events come after it
	}{
		{"changelog truncated", topics.State, truncate, false, false},
		{"changelog cut in front", topics.State, nibble, false, false},
		{"changelog recreated", topics.State, recreate, false, false},
		{"changelog recreated under way", topics.State, recreate, false, true},
		{"input truncated", "events", truncate, true, false},
		{"input recreated", "events", recreate, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, withCampaigns(t), small)
				w.produce("events", messages[:half]...)
				r := w.start(w.cfg)
				time.Sleep(5 * time.Second)
				if !c.running {
					r.stop(t)
				}
				if c.after {
					w.produce("events", messages[half:]...)
				}
				topic := c.topic
				if topic == topics.State {
					topic = w.cfg.topic(topic)
				}
				c.do(w, topic)
				before, offsets := w.changes(topics.StageChanges), w.committed()
				if c.running {
					w.produce("events", messages[half:]...)
				} else {
					r = w.start(w.cfg)
				}
				err := r.ended(t, 2*time.Minute)
				if err == nil || !strings.Contains(err.Error(), topic) {
					t.Errorf("stopped with %v; want it to name topic %s", err, topic)
				}
				t.Logf("stopped with: %v", err)
				if c.topic != topics.State {
					if now := w.committed(); !sameOffsets(now, offsets) {
						t.Errorf("the offsets moved from %v to %v", offsets, now)
					}
				}
				compare(t, "stage changes of before", w.changes(topics.StageChanges), before)
			})
		})
	}
}

// changelogAnew takes messages in with one process, lets a second have two of the four
// lanes, and makes the state topic anew.
func (w *world) changelogAnew(messages []message) (first, second *running, topic string) {
	w.t.Helper()
	w.produce("events", messages...)
	first = w.start(w.cfg)
	time.Sleep(5 * time.Second)
	cfg := w.cfg
	cfg.Instance = "two"
	second = w.start(cfg)
	time.Sleep(10 * time.Second)
	if n := len(second.Watermarks()); n != 2 {
		w.t.Fatalf("the second has %d lanes, want 2 of 4", n)
	}
	topic = w.cfg.topic(topics.State)
	if err := w.cluster.DeleteTopic(topic); err != nil {
		w.t.Fatal(err)
	}
	if err := w.cluster.CreateTopic(topic, w.cfg.Lanes, nil); err != nil {
		w.t.Fatal(err)
	}
	return first, second, topic
}

// Fault 17, for a member that has its lanes but has not written of them: its client has
// never heard of the topic of before, and writes to the new one. Nothing of it may be
// committed: it would be all that a restore finds.
func TestChaos17ChangelogRecreatedBeforeTheFirstWrite(t *testing.T) {
	messages, _ := story(t, 500)
	half := len(messages) / 2
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withCampaigns(t), small)
		first, second, topic := w.changelogAnew(messages[:half])
		before := w.changes(topics.StageChanges)
		w.produce("events", messages[half:]...)
		for _, r := range []*running{first, second} {
			if err := r.ended(t, 2*time.Minute); err == nil || !strings.Contains(err.Error(), topic) {
				t.Errorf("stopped with %v; want it to name topic %s", err, topic)
			}
		}
		compare(t, "stage changes of before", w.changes(topics.StageChanges), before)
	})
}

// Fault 17, for a process that is older than the topic: it held a lane, gave it away, and
// has it back after the topic was made anew and has grown past what the local store knows.
// The store is of the topic of before.
func TestChaos17ChangelogRecreatedWhileALaneWasAway(t *testing.T) {
	messages, _ := story(t, 500)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withCampaigns(t), small)
		first, second, topic := w.changelogAnew(messages)
		client := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for lane := range w.cfg.Lanes {
			for i := range 5000 {
				key := mailbox.AppendStateKey(nil, mailbox.StateCustomer, w.cfg.Generation+1, fmt.Sprint(i))
				client.Produce(t.Context(), &kgo.Record{Topic: topic, Partition: lane, Key: key}, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		if err := client.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		second.stop(t)
		if err := first.ended(t, 2*time.Minute); !errors.Is(err, ErrPositions) || !strings.Contains(err.Error(), topic) {
			t.Errorf("stopped with %v; want it to name topic %s", err, topic)
		}
	})
}
