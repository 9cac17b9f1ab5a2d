// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/topics"
)

// Clocks travel in the log they vouch for: what a lane's clock had learnt from records of
// a transaction that was aborted is learnt again with them. Else a deadline would fire
// before the event that puts it off is read for the second time.
func TestClockGoesBackWithAnAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Slots = 1
		}, kfake.SleepOutOfOrder()) // each request sleeps for itself
		// A transaction is open for seconds, so that the rebalance comes into it.
		w.cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			if transactional(r) {
				w.cluster.SleepControl(func() { time.Sleep(3 * time.Second) })
			}
			return nil, nil, false
		})
		// The records of the aborted transaction take a while to come again.
		w.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			w.cluster.SleepControl(func() { time.Sleep(50 * time.Millisecond) })
			return nil, nil, false
		})
		// The same in every lane: some stay where they are, the others move.
		silent, others := everywhere("c", w.cfg.Lanes), everywhere("d", w.cfg.Lanes)
		var messages []message
		for i, id := range silent {
			messages = append(messages, bought(id, fmt.Sprint("o", i), day0))
		}
		w.produce("events", messages...)
		r, registry := w.watched(w.cfg)
		time.Sleep(20 * time.Second)
		if n := len(w.changes(topics.StageChanges)); n != len(silent) {
			t.Fatalf("changes of %d customers, want %d", n, len(silent))
		}
		for i, id := range silent {
			messages = append(messages, bought(id, fmt.Sprint("p", i), day0.Add(89*dayLength)), bought(others[i], fmt.Sprint("q", i), day0.Add(100*dayLength)))
		}
		w.produce("events", messages[len(silent):]...)
		time.Sleep(time.Second) // they are in a transaction now
		second := w.cfg
		second.Instance = "two"
		other := w.start(second)
		time.Sleep(30 * time.Second)
		if n := series(t, registry, "aborts_total")[abortRebalance+" stream"]; n < 1 {
			t.Errorf("%v transactions were aborted: the test has not seen what it is for", n)
		}
		other.stop(t)
		until := day0.Add(400 * dayLength)
		w.end(until)
		w.wait(r, until)
		r.stop(t)
		w.judged(messages, until)
	})
}
