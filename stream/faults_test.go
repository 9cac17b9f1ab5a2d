// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// Rule 1: a member that was thrown out of the group, and has nothing but deadlines to
// commit, commits nothing. Its successor's records are the only ones.
func TestZombieWithOnlyDeadlinesIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.Slots, c.SessionTimeout = 1, 5*time.Minute })
		p := &plug{w: w}
		deps := w.deps(p)
		deps.fill()
		worker, err := NewWorker(w.cfg, w.def, deps)
		if err != nil {
			t.Fatal(err)
		}
		opts := append(sessionOpts(&w.cfg, &deps, "zombies", "zombie", 0, []string{"events"}), kgo.Balancers(laneBalancer{}))
		sess, err := openSession(t.Context(), worker.metrics, "stream", opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer sess.Close()
		m := message{customer: "ana", event: "Order Completed", id: "o1", at: day0}
		w.produce("events", m)
		home := Home("ana", w.cfg.Lanes)
		transaction := func(pins pinned) (bool, error) {
			if err := sess.Begin(); err != nil {
				t.Fatal(err)
			}
			out := newOutbox(sess.Client(), &w.cfg, "")
			out.produce(w.cfg.topic(topics.StageChanges), home, []byte("ana"), []byte("{}"), nil)
			if err := out.settle(); err != nil {
				t.Fatal(err)
			}
			return sess.end(true, pins)
		}
		for n := 0; n == 0; {
			f, err := sess.poll(t.Context(), time.Second, 10)
			if err != nil {
				t.Fatal(err)
			}
			n = f.NumRecords()
		}
		pins := pinned{}
		pins.set("events", home, position{nextOffset: 1})
		if ok, err := transaction(pins); !ok || err != nil {
			t.Fatalf("the member in good standing: committed %v, %v", ok, err)
		}
		adm := kadm.NewClient(w.client())
		groups, err := adm.DescribeGroups(t.Context(), "zombies")
		if err != nil {
			t.Fatal(err)
		}
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group = "zombies"
		leave := kmsg.NewLeaveGroupRequestMember()
		leave.MemberID = groups["zombies"].Members[0].MemberID
		leave.InstanceID = groups["zombies"].Members[0].InstanceID
		req.Members = append(req.Members, leave)
		if _, err := req.RequestWith(t.Context(), w.client()); err != nil {
			t.Fatal(err)
		}
		if ok, _ := transaction(pins); ok {
			t.Error("a member that was thrown out committed what its deadlines produced")
		}
		if n := len(w.all(topics.StageChanges)); n != 1 {
			t.Errorf("%d committed records, want the one of before", n)
		}
	})
}

// Rules 3 and 6: one record that cannot be produced spoils the whole transaction, the
// states go back with it, and once the fault is gone everything is there once.
func TestFailedProduceLosesNothing(t *testing.T) {
	messages, last := history(t, 500)
	for _, topic := range []string{topics.StageChanges, topics.State, topics.Profiles, topics.Aggregates, topics.Activity} {
		t.Run(topic, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), func(c *Config) { c.MaxPollRecords, c.MaxTransactionRecords = 40, 80 })
				r := w.start(w.cfg)
				half := len(messages) / 2
				w.produce("events", messages[:half]...)
				fault := w.cluster.Fault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.Produce}, Topic: w.cfg.topic(topic), Err: kerr.MessageTooLarge, Count: 4,
				})
				w.produce("events", messages[half:]...)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				if fault.Hits() == 0 {
					t.Error("the fault was never met")
				}
				w.same(messages, last)
				w.sameTotals(messages, last)
			})
		})
	}
}

// Errors of the broker at each step of a transaction: the session is rebuilt from the
// last commit if need be, and everything is there once. (CONCURRENT_TRANSACTIONS is
// not among them: the client waits for it under a lock, and a bubble's clock stands
// still while anyone waits for a lock.)
func TestBrokerErrors(t *testing.T) {
	messages, last := history(t, 700)
	for _, c := range []struct {
		name string
		key  kmsg.Key
		err  *kerr.Error
	}{
		{"end: fenced", kmsg.EndTxn, kerr.ProducerFenced},
		{"end: invalid epoch", kmsg.EndTxn, kerr.InvalidProducerEpoch},
		{"end: mapping expired", kmsg.EndTxn, kerr.InvalidProducerIDMapping},
		{"offsets: illegal generation", kmsg.TxnOffsetCommit, kerr.IllegalGeneration},
		{"offsets: unknown member", kmsg.TxnOffsetCommit, kerr.UnknownMemberID},
		{"offsets: coordinator loading", kmsg.TxnOffsetCommit, kerr.CoordinatorLoadInProgress},
		{"produce: invalid epoch", kmsg.Produce, kerr.InvalidProducerEpoch},
		{"produce: not leader", kmsg.Produce, kerr.NotLeaderForPartition},
		{"fetched offsets: unstable", kmsg.OffsetFetch, kerr.UnstableOffsetCommit},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), func(c *Config) { c.MaxPollRecords, c.MaxTransactionRecords = 40, 80 })
				w.produce("events", messages[:len(messages)/2]...)
				fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: 3})
				r := w.start(w.cfg)
				time.Sleep(time.Second)
				w.produce("events", messages[len(messages)/2:]...)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				if fault.Hits() == 0 {
					t.Error("the fault was never met")
				}
				w.same(messages, last)
			})
		})
	}
}

// A commit whose answer is lost: it happened, and must not happen again.
func TestCommitWithoutAnswer(t *testing.T) {
	messages, last := history(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.MaxPollRecords, c.MaxTransactionRecords = 40, 80 })
		r := w.start(w.cfg)
		w.produce("events", messages[:len(messages)/2]...)
		// The request is carried out, then the connection is cut before the answer is read.
		cut := make(chan struct{})
		w.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			select {
			case cut <- struct{}{}:
			default: // once
			}
			return nil, nil, false
		})
		go func() {
			select {
			case <-cut:
				r.plug.reset()
			case <-t.Context().Done():
			}
		}()
		w.produce("events", messages[len(messages)/2:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.same(messages, last)
	})
}

// reset cuts the connections that are open; new ones may be made.
func (p *plug) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// Rules 12 and 13: a restore reads a changelog that was compacted, with gaps, aborted
// transactions and a marker at its end, and has the state that belongs to the offsets.
func TestRestoreFromCompactedChangelog(t *testing.T) {
	messages, last := history(t, 400)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.MaxPollRecords, c.MaxTransactionRecords = 30, 60 })
		r := w.start(w.cfg)
		third := len(messages) / 3
		w.produce("events", messages[:third]...)
		time.Sleep(2 * time.Second)
		r.kill()
		// A transaction of somebody else that is aborted, behind what counts.
		w.abandon()
		w.cluster.Compact()
		r = w.start(w.cfg)
		w.produce("events", messages[third:2*third]...)
		time.Sleep(2 * time.Second)
		r.stop(t)
		w.cluster.Compact()
		before := len(w.all(topics.State))
		r = w.start(w.cfg)
		w.produce("events", messages[2*third:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		if before == 0 {
			t.Error("the changelog is empty")
		}
		w.same(messages, last)
		w.sameTotals(messages, last)
	})
}

// abandon leaves records of an aborted transaction at the end of every changelog.
func (w *world) abandon() {
	w.t.Helper()
	c := w.client(kgo.TransactionalID("somebody"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := c.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	for p := range w.cfg.Lanes {
		r := &kgo.Record{Topic: w.cfg.topic(topics.State), Partition: p, Key: []byte("c\x00\x00\x00\x01ghost"), Value: []byte("garbage")}
		if err := c.ProduceSync(w.t.Context(), r).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := c.EndTransaction(w.t.Context(), kgo.TryAbort); err != nil {
		w.t.Fatal(err)
	}
}

// Rule 14: a group that lost its offsets while the state lives on is not started from
// anywhere: the worker stops and says so.
func TestLostGroupOffsetsStopTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.Slots = 1 })
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: day0})
		w.end(day0)
		r := w.start(w.cfg)
		w.wait(r, day0)
		r.stop(t)
		time.Sleep(time.Minute) // the session of the static member times out
		if _, err := kadm.NewClient(w.client()).DeleteGroups(t.Context(), w.cfg.workerGroup()); err != nil {
			t.Fatal(err)
		}
		r = w.start(w.cfg)
		select {
		case err := <-r.done:
			if !errors.Is(err, ErrPositions) {
				t.Errorf("stopped with %v, want ErrPositions", err)
			}
		case <-time.After(time.Minute):
			t.Error("the worker goes on from anywhere")
		}
	})
}

// A worker that is told to stop while Kafka is out of reach stops.
func TestStopWithoutKafka(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		r := w.start(w.cfg)
		time.Sleep(time.Second)
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: day0})
		time.Sleep(10 * time.Millisecond)
		r.plug.cut()
		time.Sleep(time.Second)
		r.cancel()
		begin := time.Now()
		for range r.done {
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("stopping took %s", took)
		}
	})
}

// The older transaction protocol (before transaction.version 2), killed in the middle.
func TestKillUnderTheOlderProtocol(t *testing.T) {
	messages, last := history(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.MaxPollRecords, c.MaxTransactionRecords = 20, 40 })
		cap := kgo.MaxVersions(kversion.V3_6_0())
		start := func() *running {
			p := &plug{w: w}
			deps := w.deps(p)
			deps.KafkaOpts = append(deps.KafkaOpts, cap)
			worker, err := NewWorker(w.cfg, w.def, deps)
			if err != nil {
				t.Fatal(err)
			}
			r := w.run(p, worker.Run)
			r.Worker = worker
			return r
		}
		r := start()
		w.produce("events", messages[:len(messages)/2]...)
		time.Sleep(120 * time.Millisecond)
		r.kill()
		r = start()
		w.produce("events", messages[len(messages)/2:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.same(messages, last)
	})
}

// Rule 2: a transaction of deadlines alone ends fast: its pinned positions take the
// path of every other commit.
func TestDeadlineOnlyTransactionIsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shift atomic.Int64 // in nanoseconds
		w := newWorld(t, customerValue(t), func(c *Config) { c.Clock, c.Slots = ClockWall, 1 })
		w.now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: instant.Of(time.Now())})
		r := w.start(w.cfg)
		time.Sleep(3 * time.Second)
		shift.Store(int64(91 * dayLength))
		begin := time.Now()
		for len(w.all(topics.StageChanges)) < 2 {
			if time.Since(begin) > 10*time.Second {
				t.Fatal("the deadline does not fire")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(begin); took > w.cfg.ClockInterval*3 {
			t.Errorf("a deadline takes %s from the moment it is due", took)
		}
		r.stop(t)
	})
}
