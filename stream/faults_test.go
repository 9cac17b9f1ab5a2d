// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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
			return sess.end("", pins)
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

// Rule 13: a commit may have been answered while its marker is still on its way, and
// then looks like a transaction that is open at the end of the changelog. A restore
// waits for it rather than end in front of it; if it is aborted, nothing before that
// end is seen any more, and the restore ends all the same.
func TestRestoreBesideAnOpenTransaction(t *testing.T) {
	messages, last := history(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		half := len(messages) / 2
		w.produce("events", messages[:half]...)
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		r.kill()
		abort := w.open()
		w.produce("events", messages[half:]...)
		w.end(last)
		r = w.start(w.cfg)
		time.Sleep(5 * time.Second)
		if r.Ready() || len(r.Watermarks()) > 0 {
			t.Errorf("ready %v with the clocks %v: the changelog was not read to its end", r.Ready(), r.Watermarks())
		}
		abort()
		w.wait(r, last)
		r.stop(t)
		w.equal(messages, last)
	})
}

// abandon leaves records of an aborted transaction at the end of every changelog.
func (w *world) abandon() { w.open()() }

// open leaves records of an open transaction at the end of every changelog; the
// function that it returns aborts it.
func (w *world) open() (abort func()) {
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
	return func() {
		if err := c.EndTransaction(w.t.Context(), kgo.TryAbort); err != nil {
			w.t.Fatal(err)
		}
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

// Rule 2: transactions of deadlines alone end fast, one after the other: their pinned
// positions take the path of every other commit. Without, each holds up the next for
// half a second.
func TestDeadlineOnlyTransactionIsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const customers = 10
		w := newWorld(t, customerValue(t), func(c *Config) { c.Clock, c.Slots, c.Lanes, c.Wave = ClockWall, 1, 1, 1 })
		ahead := w.shifted()
		for i := range customers {
			id := fmt.Sprint("c", i)
			w.produce("events", message{customer: id, event: "Order Completed", id: id, at: instant.Of(time.Now())})
		}
		r := w.start(w.cfg)
		time.Sleep(3 * time.Second)
		ahead(91 * dayLength)
		begin := time.Now()
		for len(w.all(topics.StageChanges)) < 2*customers {
			if time.Since(begin) > 20*time.Second {
				t.Fatal("the deadlines do not fire")
			}
			time.Sleep(10 * time.Millisecond)
		}
		took := time.Since(begin) // from the moment they were due
		if most := 3*w.cfg.ClockInterval + customers*100*time.Millisecond; took > most {
			t.Errorf("%d deadlines took %s, want at most %s", customers, took, most)
		}
		r.stop(t)
	})
}
