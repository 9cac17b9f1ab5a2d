// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
	"lapwing/stream/store"
)

// Rule 8: releases of the client before 1.22.2 lose records after an abort, and report
// commits that were none. What counts is what is linked.
func TestClientIsNewEnough(t *testing.T) {
	for version, want := range map[string]bool{
		"v1.22.2": true, "v1.22.10": true, "v1.23.0": true, "v2.0.0": true,
		"v1.22.1": false, "v1.9.9": false, "v1.22": false, "v1.22.2-rc.1": false, "": false,
	} {
		if got := newEnough(version); got != want {
			t.Errorf("franz-go %q is new enough: %v, want %v", version, got, want)
		}
	}
	// As it is chosen, a replacement included.
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}", "github.com/twmb/franz-go")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("ask for the version of franz-go: %v", err)
	}
	if version := strings.TrimSpace(string(out)); !newEnough(version) {
		t.Errorf("franz-go is %s; exactly once needs v1.22.2 or later", version)
	}
}

// newEnough reports whether a release of the client is 1.22.2 or later.
func newEnough(version string) bool {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) != 3 {
		return false
	}
	var have [3]int
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil { // also of one before the release
			return false
		}
		have[i] = n
	}
	return slices.Compare(have[:], []int{1, 22, 2}) >= 0
}

// Rule 9: the first produce after a commit may be told to come again, and the client
// looks up the leaders anew before it does. By default it does so once in 5 s, and
// every commit under load would wait for that.
func TestProduceAfterACommitIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		deps := w.deps(&plug{w: w})
		deps.fill()
		client, err := kgo.NewClient(append(clientOpts(&w.cfg, &deps, "quick"), kgo.TransactionalID("quick"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for i := range 10 {
			fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.ConcurrentTransactions, Count: 1})
			begin := time.Now()
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
			if fault.Hits() != 1 {
				t.Errorf("the fault was met %d times, want once", fault.Hits())
			}
			if took := time.Since(begin); took > 500*time.Millisecond {
				t.Errorf("transaction %d took %s", i, took)
			}
		}
	})
}

// Rule 11: what was measured to do well, and what keeps memory in bounds. Where a value
// may still be tuned, the bound is what the measurement says.
func TestClientSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		deps := w.deps(&plug{w: w})
		deps.fill()
		client, err := kgo.NewClient(sessionOpts(&w.cfg, &deps, w.cfg.workerGroup(), "settings", 0, []string{"events"})...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		value := func(opt any) any { return client.OptValue(opt) }
		whole := func(opt any) int64 {
			switch v := value(opt).(type) {
			case int32:
				return int64(v)
			case int:
				return int64(v)
			case int64:
				return v
			case time.Duration:
				return int64(v)
			default:
				t.Fatalf("%T is no number", v)
				return 0
			}
		}
		for _, c := range []struct {
			what        string
			opt         any
			least, most int64
		}{
			{"bytes of a fetch", kgo.FetchMaxBytes, 1 << 20, 16 << 20},
			{"bytes of a fetch from one partition", kgo.FetchMaxPartitionBytes, 256 << 10, 4 << 20},
			{"the wait for a fetch", kgo.FetchMaxWait, int64(time.Millisecond), int64(20 * time.Millisecond)},
			{"the age of metadata", kgo.MetadataMinAge, int64(10 * time.Millisecond), int64(50 * time.Millisecond)},
			{"linger", kgo.ProducerLinger, int64(2 * time.Millisecond), int64(5 * time.Millisecond)},
			{"what a batch unpacks to", kgo.MaxDecompressBatchBytes, 1 << 20, 256 << 20},
			{"records on their way", kgo.MaxBufferedRecords, 1_000, 1_000_000},
			{"bytes on their way", kgo.MaxBufferedBytes, 1 << 20, 64 << 20},
			{"the transaction's timeout", kgo.TransactionTimeout, int64(time.Second), int64(10 * time.Second)},
			{"the session's timeout", kgo.SessionTimeout, int64(time.Second), int64(15 * time.Second)},
		} {
			if got := whole(c.opt); got < c.least || got > c.most {
				t.Errorf("%s: %d, want %d to %d", c.what, got, c.least, c.most)
			}
		}
		if got := fmt.Sprint(value(kgo.FetchIsolationLevel)); got != "1" {
			t.Errorf("isolation level %s, want 1, which is read_committed", got)
		}
		if got := value(kgo.InstanceID); got != "settings" {
			t.Errorf("instance id %v: want a member that is known again", got)
		}
		if got, ok := value(kgo.ProducerBatchCompression).([]kgo.CompressionCodec); !ok || len(got) == 0 || got[0] != kgo.SnappyCompression() {
			t.Errorf("compression %v, want snappy first", got)
		}
		if backoff, ok := value(kgo.RetryBackoffFn).(func(int) time.Duration); !ok || backoff(1) > 100*time.Millisecond || backoff(1000) > time.Second {
			t.Error("the pauses between tries are long")
		}
	})
}

// A member that gives up lanes twice before its transaction ends must know of both: the
// client's session tells of the first only. A lane that it kept would be pinned into
// its next commit, and set back what the new owner has committed.
func TestTwoRebalancesWithinOneTransaction(t *testing.T) {
	messages, last := story(t, 300)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			small(c)
			c.Lanes = 6
		})
		var holding atomic.Bool
		gate := make(chan struct{})
		deps := w.deps(&plug{w: w})
		deps.Now = func() time.Time { // the loop reads the clock after each poll
			if holding.Load() {
				<-gate
			}
			return time.Now()
		}
		worker, err := NewWorker(w.cfg, w.def, deps)
		if err != nil {
			t.Fatal(err)
		}
		first := w.run(&plug{w: w}, worker.Run)
		first.Worker = worker
		third := len(messages) / 3
		w.produce("events", messages[:third]...)
		time.Sleep(5 * time.Second)
		holding.Store(true)
		var others []*running
		for _, name := range []string{"two", "three"} {
			cfg := w.cfg
			cfg.Instance = name
			others = append(others, w.start(cfg))
			time.Sleep(10 * time.Second)
		}
		holding.Store(false)
		close(gate)
		w.produce("events", messages[third:2*third]...)
		time.Sleep(10 * time.Second)
		owners := map[int32]int{}
		for _, r := range append(others, first) {
			if n := len(r.Watermarks()); n != 2 {
				t.Errorf("a member has %d lanes, want 2 of 6", n)
			}
			for lane := range r.Watermarks() {
				owners[lane]++
			}
		}
		for lane, n := range owners {
			if n != 1 {
				t.Errorf("lane %d has %d owners", lane, n)
			}
		}
		for _, r := range others {
			r.stop(t)
		}
		w.produce("events", messages[2*third:]...)
		w.end(last)
		w.wait(first, last)
		first.stop(t)
		w.equal(messages, last)
	})
}

// Rule 15: an event in the mailbox must not age out before its lane has read it, however
// long that is down: the topic is made so, by what the cluster says of it.
func TestMailboxIsKeptForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		name := w.cfg.topic(topics.Mailbox)
		described, err := kadm.NewClient(w.client()).DescribeTopicConfigs(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		config, err := described.On(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"retention.ms", "retention.bytes"} {
			i := slices.IndexFunc(config.Configs, func(c kadm.Config) bool { return c.Key == key })
			if i < 0 || config.Configs[i].MaybeValue() != "-1" {
				t.Errorf("%s of topic %s is not -1: %v", key, name, config.Configs)
			}
		}
		client := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		old := &kgo.Record{Topic: name, Value: []byte("not read yet"), Timestamp: day0.Time()} // of three years ago
		if err := client.ProduceSync(t.Context(), old).FirstErr(); err != nil {
			t.Fatal(err)
		}
		w.cluster.ApplyRetention()
		if p := w.cluster.PartitionInfos(name)[0]; p.LogStartOffset != 0 {
			t.Errorf("the mailbox begins at %d: a record aged out", p.LogStartOffset)
		}
	})
}

// Rule 17: a static member that closes says nothing to its group. One that stops for
// good must, so that others have its lanes within two seconds; one that comes back must
// not, or all would be given anew.
func TestWhoStopsForGoodLeavesItsLanes(t *testing.T) {
	for _, leaves := range []bool{true, false} {
		t.Run("leave_on_stop "+strconv.FormatBool(leaves), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.Slots, c.SessionTimeout, c.LeaveOnStop = 1, 5*time.Minute, leaves
				})
				second := w.cfg
				second.Instance = "two"
				stays, goes := w.start(w.cfg), w.start(second)
				time.Sleep(10 * time.Second)
				if n, m := len(stays.Watermarks()), len(goes.Watermarks()); n != 2 || m != 2 {
					t.Fatalf("the members have %d and %d lanes, want 2 each", n, m)
				}
				goes.stop(t)
				time.Sleep(2 * time.Second)
				want := 2
				if leaves {
					want = 4
				}
				if n := len(stays.Watermarks()); n != want {
					t.Errorf("two seconds later the other has %d lanes, want %d", n, want)
				}
				goes = w.start(second)
				time.Sleep(10 * time.Second)
				if n, m := len(stays.Watermarks()), len(goes.Watermarks()); n != 2 || m != 2 {
					t.Errorf("once it is back they have %d and %d lanes, want 2 each", n, m)
				}
				stays.stop(t)
				goes.stop(t)
			})
		})
	}
}

// Rule 16: the changelog forgets after a while that it has erased someone. A local
// store that was away for longer still has them, and must not be believed.
func TestWhoWasErasedStaysErased(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.Lanes, c.Slots = 1, 1 })
		hour := "3600000"
		changed, err := kadm.NewClient(w.client()).AlterTopicConfigs(t.Context(),
			[]kadm.AlterConfig{{Name: "delete.retention.ms", Value: &hour}}, w.cfg.topic(topics.State))
		if err == nil {
			_, err = changed.On(w.cfg.topic(topics.State), func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			t.Fatal(err)
		}
		first, second := w.cfg, w.cfg
		first.StateDir, second.StateDir = filepath.Join(dir, "first"), filepath.Join(dir, "second")
		visit := func(who, field string) message {
			return message{customer: who, at: day0, raw: `{"type":"page","` + field + `":"` + who + `","timestamp":"` + day0.String() + `"}`}
		}
		w.produce("events", visit("visitor", "anonymousId"), visit("customer", "userId"))
		r := w.start(first)
		w.wait(r, day0)
		r.stop(t)
		if !stored(t, first.StateDir, "visitor") {
			t.Fatal("the first store does not have the visitor")
		}
		forgotten := day0.Add(91 * dayLength)
		w.end(forgotten)
		r = w.start(second)
		w.wait(r, forgotten)
		r.stop(t)
		time.Sleep(2 * time.Hour)
		w.cluster.Compact()
		for _, rec := range w.all(topics.State) {
			if strings.HasSuffix(string(rec.Key), "visitor") {
				t.Fatalf("the changelog still has a record of the visitor, of %d bytes", len(rec.Value))
			}
		}
		profiles := len(w.all(topics.Profiles))
		r = w.start(first)
		w.wait(r, forgotten)
		time.Sleep(10 * time.Second)
		r.stop(t)
		// Whoever comes back has a deadline that is over: it would be forgotten again.
		if n := len(w.all(topics.Profiles)) - profiles; n != 0 || stored(t, first.StateDir, "visitor") {
			t.Errorf("who was erased has come back: %d more profiles", n)
		}
		if !stored(t, first.StateDir, "customer") {
			t.Error("the customer is missing")
		}
	})
}

// stored reports whether a local store has the customer.
func stored(t *testing.T, dir, customer string) bool {
	t.Helper()
	s, err := store.Open(dir, store.Options{Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, ok, err := s.Get(store.Lane{Generation: 1}, byte(mailbox.StateCustomer), []byte(customer), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
