// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

// mailboxBegins is where the mailbox's partitions begin; it checks that none begins
// behind what the generation's workers have committed.
func (w *world) mailboxBegins(generations ...uint32) (deleted int64) {
	w.t.Helper()
	adm := kadm.NewClient(w.client())
	mailbox := w.cfg.topic(topics.Mailbox)
	starts, err := adm.ListStartOffsets(w.t.Context(), mailbox)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range generations {
		cfg := w.cfg
		cfg.Generation = g
		offsets, err := adm.FetchOffsets(w.t.Context(), cfg.workerGroup())
		if err != nil {
			w.t.Fatal(err)
		}
		starts.Each(func(o kadm.ListedOffset) {
			if c, ok := offsets.Lookup(mailbox, o.Partition); !ok || c.At < o.Offset {
				w.t.Errorf("partition %d of the mailbox begins at %d, generation %d has committed %d", o.Partition, o.Offset, g, c.At)
			}
		})
	}
	starts.Each(func(o kadm.ListedOffset) { deleted += o.Offset })
	return deleted
}

// startCounted starts a worker whose metrics can be read.
func (w *world) startCounted(cfg Config) (*running, trimCounts) {
	w.t.Helper()
	p := &plug{w: w}
	deps := w.deps(p)
	registry := prometheus.NewRegistry()
	deps.Registerer = registry
	worker, err := NewWorker(cfg, w.def, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.run(p, worker.Run)
	r.Worker = worker
	return r, newTrimCounts(registry)
}

func newRoutedWorld(t *testing.T) *world {
	t.Helper()
	return newWorld(t, customerValue(t), func(c *Config) {
		c.Inputs = []Input{{Topic: "other"}}
		c.Lanes, c.Slots = 2, 1
	})
}

// What all have committed is deleted from the mailbox; a worker that is killed goes on
// from its commit and nothing is missing.
func TestMailboxIsTrimmed(t *testing.T) {
	messages, last := history(t, 400)
	synctest.Test(t, func(t *testing.T) {
		w := newRoutedWorld(t)
		r, counts := w.startCounted(w.cfg)
		router := w.startRouter(w.cfg)
		half := len(messages) / 2
		w.put("other", 0, messages[:half]...)
		time.Sleep(2*trimInterval + time.Second)
		deleted := w.mailboxBegins(1)
		if deleted < int64(half) {
			t.Errorf("%d records deleted after %d messages", deleted, half)
		}
		if n := testutil.ToFloat64(counts.trimmed); n != float64(deleted) {
			t.Errorf("%v records counted, %d deleted", n, deleted)
		}
		r.kill()
		w.put("other", 0, messages[half:]...)
		time.Sleep(time.Minute) // the router alone
		r = w.start(w.cfg)
		w.end(last)
		w.wait(r, last)
		time.Sleep(2 * trimInterval)
		w.mailboxBegins(1)
		r.stop(t)
		router.stop(t)
		w.same(messages, last)
	})
}

// Generations share the mailbox: one that is down, and one whose worker has not begun,
// lose nothing by another's trimming.
func TestTrimmingWaitsForOtherGenerations(t *testing.T) {
	messages, last := history(t, 600)
	synctest.Test(t, func(t *testing.T) {
		w := newRoutedWorld(t)
		second, third := w.cfg, w.cfg
		second.Generation, third.Generation = 2, 3
		a := w.start(w.cfg)
		w.startRouter(w.cfg)
		time.Sleep(5 * time.Second) // the first one is live
		b := w.start(second)
		w.startRouter(second)
		part := len(messages) / 3
		w.put("other", 0, messages[:part]...)
		time.Sleep(2*trimInterval + time.Second)
		first := w.mailboxBegins(1, 2)
		if first == 0 {
			t.Error("nothing is trimmed with both at work")
		}
		b.stop(t)
		w.put("other", 0, messages[part:2*part]...)
		time.Sleep(2 * trimInterval)
		if down := w.mailboxBegins(1, 2); down == 0 || down < first {
			t.Errorf("%d records deleted, before %d", down, first)
		}
		b = w.start(second)
		time.Sleep(10 * time.Second)
		// The third generation's router writes for a worker that is not there yet.
		w.startRouter(third)
		w.put("other", 0, messages[2*part:]...)
		time.Sleep(10 * time.Second)
		before := w.mailboxBegins(1, 2)
		time.Sleep(trimInterval + time.Second)
		if after := w.mailboxBegins(1, 2); after != before {
			t.Errorf("%d records deleted under a generation that has read none", after-before)
		}
		c := w.start(third)
		for _, g := range []uint32{1, 2, 3} {
			w.cfg.Generation = g
			w.end(last)
		}
		for _, r := range []*running{a, b, c} {
			w.wait(r, last)
		}
		time.Sleep(trimInterval + time.Second)
		if after := w.mailboxBegins(1, 2, 3); after <= before {
			t.Error("nothing is trimmed once all have read")
		}
		want, _ := w.alone(messages, last)
		n := 0
		for _, rs := range want.stages {
			n += len(rs)
		}
		got := map[string]int{}
		for _, r := range append(w.all(topics.StageChanges), w.all(topics.History)...) {
			if rec, err := record.DecodeRecord(r.Value); err != nil || rec.Kind == record.StageChange {
				got[header(r, "generation")]++
			}
		}
		if got["1"] != n || got["2"] != n || got["3"] != n {
			t.Errorf("changes by generation %v, want %d each", got, n)
		}
	})
}

// A broker that does not delete holds up nothing but disk space; it is counted, and
// trimmed once it does.
func TestTrimmingThatFails(t *testing.T) {
	for _, c := range []struct {
		name string
		key  kmsg.Key
		err  *kerr.Error
	}{
		{"delete", kmsg.DeleteRecords, kerr.TopicAuthorizationFailed},
		{"list groups", kmsg.ListGroups, kerr.ClusterAuthorizationFailed},
		{"positions", kmsg.OffsetFetch, kerr.GroupAuthorizationFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			messages, last := history(t, 1000)
			synctest.Test(t, func(t *testing.T) {
				w := newRoutedWorld(t)
				r, counts := w.startCounted(w.cfg)
				w.startRouter(w.cfg)
				w.put("other", 0, messages...)
				time.Sleep(30 * time.Second) // the members have joined
				fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: -1})
				time.Sleep(2 * trimInterval)
				fault.Remove()
				if deleted := w.mailboxBegins(1); deleted != 0 {
					t.Errorf("%d records deleted", deleted)
				}
				if n := testutil.ToFloat64(counts.failed); n < 2 {
					t.Errorf("%v failures counted, want one a round", n)
				}
				time.Sleep(trimInterval)
				if w.mailboxBegins(1) == 0 {
					t.Error("nothing is trimmed after the broker has come to its senses")
				}
				w.end(last)
				w.wait(r, last)
				w.same(messages, last)
			})
		})
	}
}
