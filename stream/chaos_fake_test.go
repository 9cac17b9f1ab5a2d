// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"math/rand/v2"
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

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// Fault 4, and rule 1: a member is thrown out of the group and does not know it yet.
// Its lanes have gone to another, who fires the deadlines that have come due; so does
// the zombie, in a transaction that has nothing else. The zombie's is refused: each
// deadline fires once.
func TestChaos04EvictedMemberFiresDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shift atomic.Int64 // in nanoseconds
		w := newWorld(t, withCampaigns(t), func(c *Config) {
			c.Clock, c.Slots, c.SessionTimeout, c.HeartbeatInterval = ClockWall, 1, 5*time.Minute, time.Minute
		})
		w.now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
		messages := []message{
			{customer: "ana", event: "Order Completed", id: "o1", at: instant.Of(time.Now())},
			{customer: "bob", event: "Order Completed", id: "o2", at: instant.Of(time.Now())},
		}
		w.produce("events", messages...)
		zombie := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		w.evict()
		successor := w.cfg
		successor.Instance = "two"
		second := w.start(successor)
		for begin := time.Now(); len(second.Watermarks()) < int(w.cfg.Lanes); time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > 30*time.Second { // less than a heartbeat's interval
				t.Fatal("the successor does not get the lanes")
			}
		}
		if n := len(zombie.Watermarks()); n != int(w.cfg.Lanes) {
			t.Fatalf("the member that was thrown out has %d lanes: it must not know yet", n)
		}
		shift.Store(int64(91 * dayLength))
		time.Sleep(10 * time.Second) // less than a heartbeat's interval
		until := instant.Of(w.now())
		zombie.stop(t)
		second.stop(t)
		w.judged(messages, until)
	})
}

// evict throws every member out of the worker's group.
func (w *world) evict() {
	w.t.Helper()
	client := w.client()
	groups, err := kadm.NewClient(client).DescribeGroups(w.t.Context(), w.cfg.workerGroup())
	if err != nil {
		w.t.Fatal(err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = w.cfg.workerGroup()
	for _, m := range groups[req.Group].Members {
		leave := kmsg.NewLeaveGroupRequestMember()
		leave.MemberID, leave.InstanceID = m.MemberID, m.InstanceID
		req.Members = append(req.Members, leave)
	}
	if _, err := req.RequestWith(w.t.Context(), client); err != nil {
		w.t.Fatal(err)
	}
}

// Fault 5: the broker carries out a request and the connection is cut before the
// answer. What happened must not happen again, what did not must still happen.
func TestChaos05AnswerLost(t *testing.T) {
	messages, last := story(t, chaosRounds(700, 100))
	for name, opts := range protocols() {
		for _, key := range []kmsg.Key{
			kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.Produce, kmsg.InitProducerID,
			kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch,
		} {
			adds := key == kmsg.AddPartitionsToTxn || key == kmsg.AddOffsetsToTxn
			if adds && opts == nil {
				continue // the broker adds by itself
			}
			t.Run(name+"/"+key.Name(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, withCampaigns(t), small)
					line := w.lossy()
					line.lose(key, 2)
					r := w.startWith(w.cfg, opts...)
					rounds := chaosRounds(3, 12)
					for i := range rounds {
						w.produce("events", messages[i*len(messages)/rounds:(i+1)*len(messages)/rounds]...)
						time.Sleep(2 * time.Second)
						line.lose(key, 1+i%3)
					}
					line.lose(key, 0)
					w.end(last)
					w.wait(r, last)
					r.stop(t)
					if line.count() == 0 {
						t.Error("no answer was lost")
					}
					w.equal(messages, last)
				})
			})
		}
	}
}

// Fault 6: an EndTxn is stuck on its way, the client sends it again and goes on, and
// the first one comes through in the middle of the next transaction. It must not
// commit the half of it that is there. (Since KIP-890 the broker knows it by its
// epoch; before, only a new epoch of ours helps.)
func TestChaos06DelayedEndOfTransaction(t *testing.T) {
	messages, last := story(t, chaosRounds(700, 200))
	for name, opts := range protocols() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, withCampaigns(t), alone) // delayEnds keeps the end of one transaction
				delayed := w.delayEnds(opts...)
				r := w.startWith(w.cfg, opts...)
				rounds := chaosRounds(6, 20)
				for i := range rounds {
					w.produce("events", messages[i*len(messages)/rounds:(i+1)*len(messages)/rounds]...)
					time.Sleep(2 * time.Second)
				}
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				if delayed.Load() == 0 {
					t.Error("no EndTxn was delayed")
				}
				w.equal(messages, last)
			})
		})
	}
}

// delayEnds makes every third EndTxn of a commit get lost at first and arrive again in
// the middle of a later transaction, behind one produce request of it; it counts those
// that arrived late.
func (w *world) delayEnds(opts ...kgo.Opt) *atomic.Int32 {
	client := w.client(opts...)
	var (
		delayed atomic.Int32
		ends    int
		stuck   *kmsg.EndTxnRequest
		passed  bool // the client has sent it again
	)
	late := make(chan kmsg.EndTxnRequest, 1)
	w.cluster.ControlKey(int16(kmsg.EndTxn), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := kreq.(*kmsg.EndTxnRequest)
		switch {
		case stuck != nil:
			passed = true
		case req.Commit:
			if ends++; ends%3 == 0 {
				copied := *req
				stuck, passed = &copied, false
				return nil, errCut, true // the client sees the connection break
			}
		}
		return nil, nil, false
	})
	// The produce request that follows is held until the late one has been answered.
	w.cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if stuck == nil || !passed {
			return nil, nil, false
		}
		late <- *stuck
		stuck = nil
		w.cluster.SleepControl(func() { late <- kmsg.EndTxnRequest{} })
		return nil, nil, false
	})
	go func() {
		for {
			select {
			case req := <-late:
				if _, err := req.RequestWith(w.t.Context(), client); err != nil {
					return
				}
				delayed.Add(1)
				select {
				case <-late: // lets the other go on
				case <-w.t.Context().Done():
					return
				}
			case <-w.t.Context().Done():
				return
			}
		}
	}()
	return &delayed
}

// Fault 7: the offsets were taken though the answer says that time ran out.
func TestChaos07OffsetsTimedOut(t *testing.T) {
	messages, last := story(t, chaosRounds(700, 100))
	for name, opts := range protocols() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, withCampaigns(t), small)
				fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RequestTimedOut, Count: 5})
				r := w.startWith(w.cfg, opts...)
				w.produce("events", messages...)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				if fault.Hits() != 5 {
					t.Errorf("the fault was met %d times, want 5", fault.Hits())
				}
				w.equal(messages, last)
			})
		})
	}
}

// Fault 7: somebody's transaction holds the group's offsets for 30 s. The worker waits
// for it, and asks at a bounded rate.
func TestChaos07OffsetsUnstable(t *testing.T) {
	messages, last := story(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withCampaigns(t), small)
		half := len(messages) / 2
		w.produce("events", messages[:half]...)
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		r.stop(t)
		w.produce("events", messages[half:]...)
		fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.UnstableOffsetCommit, Count: -1})
		r = w.start(w.cfg)
		before := len(w.all(topics.StageChanges))
		time.Sleep(30 * time.Second)
		if n := len(w.all(topics.StageChanges)); n != before {
			t.Errorf("%d changes while the group's offsets were not known, %d before", n, before)
		}
		// Two slots, one second between tries once the pause has grown: with the first,
		// shorter pauses well below 100 each.
		if n := fault.Hits(); n == 0 || n > 200 {
			t.Errorf("asked %d times within 30 s, want 1 to 200", n)
		}
		fault.Remove()
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.equal(messages, last)
	})
}

// Fault 8, rules 3 and 6: a record of a transaction cannot be produced. Nothing of the
// transaction is committed, the offset does not move, memory goes back with it, and
// once the fault is gone everything is there once.
func TestChaos08ProduceFails(t *testing.T) {
	messages, last := story(t, chaosRounds(500, 100))
	outputs := []string{topics.StageChanges, topics.Assignments, topics.Conversions, topics.State, topics.Profiles, topics.Aggregates, topics.Activity}
	errs := []*kerr.Error{kerr.MessageTooLarge, kerr.TopicAuthorizationFailed, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.InvalidRecord}
	for i, topic := range outputs {
		for j, failure := range errs {
			if !chaosLong() && i != j && j > 0 { // each topic with one error, each error with one topic
				continue
			}
			t.Run(topic+"/"+failure.Message, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, withCampaigns(t), small)
					r := w.start(w.cfg)
					half := len(messages) / 2
					w.produce("events", messages[:half]...)
					time.Sleep(5 * time.Second)
					offsets, changed := w.committed(), len(w.all(topics.StageChanges))
					fault := w.cluster.Fault(kfake.Fault{
						Keys: []kmsg.Key{kmsg.Produce}, Topic: w.cfg.topic(topic), Err: failure, Count: -1,
						When: transactional,
					})
					w.produce("events", messages[half:]...)
					time.Sleep(10 * time.Second)
					// A produce that only took too long was carried out, and is answered so when
					// it is tried again: it fails nothing.
					if failure != kerr.RequestTimedOut {
						if now := w.committed(); !sameOffsets(now, offsets) {
							t.Errorf("offsets moved from %v to %v", offsets, now)
						}
						if n := len(w.all(topics.StageChanges)); n != changed {
							t.Errorf("%d changes are committed, want the %d of before", n, changed)
						}
					}
					if n := fault.Hits(); n == 0 || n > 1000 { // no busy loop
						t.Errorf("the fault was met %d times within 10 s, want 1 to 1000", n)
					}
					fault.Remove()
					w.end(last)
					w.wait(r, last)
					r.stop(t)
					w.equal(messages, last)
				})
			})
		}
	}
}

// transactional tells the worker's requests from the tests' own.
func transactional(r kmsg.Request) bool {
	switch r := r.(type) {
	case *kmsg.ProduceRequest:
		return r.TransactionID != nil
	case *kmsg.InitProducerIDRequest:
		return r.TransactionalID != nil
	}
	return true
}

// Fault 9: the errors that say something about the producer, at each call of a
// transaction: the session is rebuilt from the last commit.
func TestChaos09ProducerErrors(t *testing.T) {
	messages, last := story(t, chaosRounds(700, 200))
	errs := []*kerr.Error{kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping, kerr.TransactionAbortable}
	calls := []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn}
	for name, opts := range protocols() {
		for _, call := range calls {
			if adds := call == kmsg.AddPartitionsToTxn || call == kmsg.AddOffsetsToTxn; adds && opts == nil {
				continue // the broker adds by itself
			}
			for _, failure := range errs {
				t.Run(strings.Join([]string{name, call.Name(), failure.Message}, "/"), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, withCampaigns(t), small)
						w.produce("events", messages[:len(messages)/2]...)
						fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{call}, Err: failure, Count: 3, When: transactional})
						r := w.startWith(w.cfg, opts...)
						time.Sleep(time.Second)
						w.produce("events", messages[len(messages)/2:]...)
						w.end(last)
						w.wait(r, last)
						r.stop(t)
						if fault.Hits() == 0 {
							t.Error("the fault was never met")
						}
						w.equal(messages, last)
					})
				})
			}
		}
	}
}

// Rules 4 and 13: other errors of the broker at each step of a transaction: the
// session is rebuilt from the last commit if need be.
func TestBrokerErrors(t *testing.T) {
	messages, last := story(t, 700)
	for _, c := range []struct {
		name string
		key  kmsg.Key
		err  *kerr.Error
	}{
		{"offsets: illegal generation", kmsg.TxnOffsetCommit, kerr.IllegalGeneration},
		{"offsets: unknown member", kmsg.TxnOffsetCommit, kerr.UnknownMemberID},
		{"offsets: coordinator loading", kmsg.TxnOffsetCommit, kerr.CoordinatorLoadInProgress},
		{"offsets: concurrent transactions", kmsg.TxnOffsetCommit, kerr.ConcurrentTransactions},
		{"end: concurrent transactions", kmsg.EndTxn, kerr.ConcurrentTransactions},
		{"end: coordinator loading", kmsg.EndTxn, kerr.CoordinatorLoadInProgress},
		{"end: server error", kmsg.EndTxn, kerr.UnknownServerError},
		{"produce: not leader", kmsg.Produce, kerr.NotLeaderForPartition},
		{"produce: out of order", kmsg.Produce, kerr.OutOfOrderSequenceNumber},
		{"fetched offsets: unstable", kmsg.OffsetFetch, kerr.UnstableOffsetCommit},
		{"fetch: not leader", kmsg.Fetch, kerr.NotLeaderForPartition},
		{"heartbeat: rebalance", kmsg.Heartbeat, kerr.RebalanceInProgress},
		{"heartbeat: unknown member", kmsg.Heartbeat, kerr.UnknownMemberID},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, withCampaigns(t), small)
				w.produce("events", messages[:len(messages)/2]...)
				fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: 3, When: transactional})
				r := w.start(w.cfg)
				time.Sleep(5 * time.Second)
				w.produce("events", messages[len(messages)/2:]...)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				if fault.Hits() == 0 {
					t.Error("the fault was never met")
				}
				w.equal(messages, last)
			})
		})
	}
}

// Fault 10, and rule 4: after a silence longer than transactional.id.expiration.ms the
// broker has forgotten the producer. The deadline that comes due fires, once.
func TestChaos10DeadlineAfterTheProducerExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shift atomic.Int64 // in nanoseconds
		w := newWorld(t, withCampaigns(t), func(c *Config) { c.Clock = ClockWall },
			kfake.BrokerConfigs(map[string]string{"transactional.id.expiration.ms": "60000"}))
		w.now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
		messages := []message{{customer: "ana", event: "Order Completed", id: "o1", at: instant.Of(time.Now())}}
		w.produce("events", messages...)
		r := w.start(w.cfg)
		time.Sleep(5 * time.Minute)
		client := w.client()
		ids, err := kadm.NewClient(client).ListTransactions(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for id := range ids.TransactionalIDs() {
			t.Logf("the broker still knows %v", id)
		}
		shift.Store(int64(91 * dayLength))
		time.Sleep(time.Minute)
		r.stop(t)
		w.judged(messages, instant.Of(w.now()))
	})
}

// Fault 11: the coordinators of group and transactions move with every transaction,
// and the leaders of all partitions several times a second. (In real time: a client
// that is told by a broker that another one leads asks on without a pause until it
// knows, and in a bubble time stands still as long as anyone is busy.)
func TestChaos11CoordinatorsAndLeadersMove(t *testing.T) {
	messages, last := story(t, chaosRounds(300, 50))
	for round := range chaosRounds(1, 5) {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 11))
		w := newWorld(t, withCampaigns(t), small, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094))
		var moved atomic.Int32
		w.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			if moved.Add(1)%3 > 0 { // when it is tried again it must arrive some time
				w.cluster.RehashCoordinators()
			}
			return nil, nil, false
		})
		r := w.start(w.cfg)
		pace := time.NewTicker(200 * time.Millisecond)
		rounds := chaosRounds(12, 60)
		for i := range rounds {
			w.produce("events", messages[i*len(messages)/rounds:(i+1)*len(messages)/rounds]...)
			w.shuffle(rng)
			<-pace.C
		}
		pace.Stop()
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		t.Logf("round %d, seed %d: coordinators moved with %d ends of transactions", round, seed, moved.Load())
		if int(moved.Load()) < rounds {
			t.Errorf("seed %d: only %d ends of transactions in %d rounds", seed, moved.Load(), rounds)
		}
		w.equal(messages, last)
	}
}

// shuffle gives every partition another leader, or the same again.
func (w *world) shuffle(rng *rand.Rand) {
	w.t.Helper()
	names := append(w.cfg.keyed(), w.cfg.routed()...)
	for _, t := range topics.All() {
		names = append(names, t.Full(w.cfg.Prefix))
	}
	for _, name := range names {
		for _, p := range w.cluster.PartitionInfos(name) {
			if err := w.cluster.MoveTopicPartition(name, p.Partition, int32(rng.IntN(3))); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}
