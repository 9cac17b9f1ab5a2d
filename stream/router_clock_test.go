// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lapwing/schemas/instant"
)

// By event time, a router that goes away right after it has carried the last events takes
// no clock with it: its successor reads nothing any more that could tell.
func TestClockOfCarriedEventsSurvivesTheRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Inputs = []Input{{Topic: "other"}}
			c.ClockInterval = time.Second
		})
		purchases := func(nth int, at instant.Instant) (ms []message) {
			for i := range 30 { // enough for every partition to get some
				ms = append(ms, message{customer: fmt.Sprint("c", i), event: "Order Completed", id: fmt.Sprint("m", i, "-", nth), at: at})
			}
			return ms
		}
		last := day0.Add(100 * dayLength)
		adm := kadm.NewClient(w.client())
		carried := func(n int64) {
			for range 2000 {
				offsets, err := adm.FetchOffsets(t.Context(), w.cfg.routerGroup())
				if err == nil {
					sum := int64(0)
					offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
					if sum == n {
						return
					}
				}
				time.Sleep(5 * time.Millisecond)
			}
			t.Fatalf("the router has not carried %d events", n)
		}
		router := w.startRouter(w.cfg)
		w.produce("other", purchases(1, day0)...)
		carried(30)
		time.Sleep(1300 * time.Millisecond) // between two turns in which clocks are due
		w.produce("other", purchases(2, last)...)
		carried(60)
		router.stop(t)
		router = w.startRouter(w.cfg)
		r := w.start(w.cfg)
		w.wait(r, last)
		router.stop(t)
		r.stop(t)
	})
}
