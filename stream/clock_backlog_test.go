// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

// bothWaysIn runs a test with a keyed input and with a routed one.
func bothWaysIn(t *testing.T, test func(t *testing.T, routed bool)) {
	t.Helper()
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, routed) })
		})
	}
}

// startAll starts a worker, and a router if there is anything for it.
func (w *world) startAll() (r *running, stop func()) {
	w.t.Helper()
	r = w.start(w.cfg)
	if len(w.cfg.routed()) == 0 {
		return r, func() { r.stop(w.t) }
	}
	router := w.startRouter(w.cfg)
	return r, func() { router.stop(w.t); r.stop(w.t) }
}

// "in a backlog it is the newest record timestamp consumed": after an outage of a
// hundred days, which it takes many questions for the end to read, the clock follows
// the backlog. No deadline fires early, though the wall clock is past it and the event
// that puts it off is still to be read; and none fires late, behind events of long after.
func TestBacklogAfterAnOutage(t *testing.T) {
	bothWaysIn(t, func(t *testing.T, routed bool) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Clock = ClockWall
			c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
			c.MaxPollRecords, c.MaxTransactionRecords = 3, 3
		}, kfake.SleepOutOfOrder()) // each request sleeps for itself
		w.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			w.cluster.SleepControl(func() { time.Sleep(100 * time.Millisecond) })
			return nil, nil, false
		})
		ahead := w.shifted()
		began := instant.Of(w.now())
		var messages []message
		buy := func(customer string, at instant.Instant) {
			messages = append(messages, message{customer: customer, event: "Order Completed", id: fmt.Sprint("o", len(messages)), at: at})
		}
		// Every day of the first ten two customers buy; each third of them is silent from
		// then on, each third buys again a day before it would be at risk, each third at the
		// very last moment.
		for i := range 20 {
			buy(fmt.Sprint("c", i), began.Add(time.Duration(i)*dayLength/2+time.Second))
		}
		first := len(messages)
		_, stop := w.startAll()
		w.produce("events", messages...)
		time.Sleep(5 * time.Second)
		stop()
		const outage = 110 * dayLength
		// The order of the log is that of time: what was due when.
		for hour := 10 * 24; hour < 110*24; hour += 4 {
			at := began.Add(time.Duration(hour) * time.Hour)
			buy(fmt.Sprint("d", hour), at)
			for i := range 20 {
				due := messages[i].at.Add(90 * dayLength)
				if again := map[int]instant.Instant{1: due.Add(-dayLength), 2: due.Add(-time.Millisecond)}[i%3]; again >= at && again < at.Add(4*time.Hour) {
					buy(fmt.Sprint("c", i), again)
				}
			}
		}
		ahead(outage)
		w.produce("events", messages[first:]...)
		r, stop := w.startAll()
		time.Sleep(300 * time.Millisecond)
		if wall := instant.Of(w.now()); !routed { // it is still reading
			for lane, at := range r.Watermarks() {
				if at > wall.Add(-dayLength) {
					t.Errorf("the clock of lane %d stands at %s already: the test has no backlog", lane, at)
				}
			}
		}
		// The fake broker takes a whole group's positions for unstable while any transaction
		// of it is open: a lane that moves between the slots waits for a gap between them.
		w.wait(r, instant.Of(w.now()))
		stop()
		w.judged(messages, instant.Of(w.now()))
		if !routed {
			w.deadlinesInTheirTime(5 * dayLength)
		}
	})
}

// deadlinesInTheirTime checks that no deadline fired behind the change of an event that
// came so much after it.
func (w *world) deadlinesInTheirTime(slack time.Duration) {
	w.t.Helper()
	newest := map[int32]instant.Instant{}
	deadlines := 0
	for _, r := range w.all(topics.StageChanges) {
		c, err := record.DecodeRecord(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if c.Cause.Type == record.CauseEvent {
			newest[r.Partition] = max(newest[r.Partition], c.EffectiveAt)
		}
		if c.Cause.Type == record.CauseDeadline {
			deadlines++
			if late := newest[r.Partition].Add(-slack); c.EffectiveAt < late {
				w.t.Errorf("%s of %s fired behind an event of %s", describe(&c), c.CustomerID, newest[r.Partition])
			}
		}
	}
	if deadlines == 0 {
		w.t.Error("no deadline fired")
	}
}
