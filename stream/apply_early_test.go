// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// Lanes that had no event yet when a definition was applied with an instant wait for it as
// all others do, also after a restart; one that is applied without puts an end to that.
func TestLanesThatNeverRanWaitForTheInstant(t *testing.T) {
	for _, chained := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, []byte(followFirst), nil)
			r := w.start(w.cfg)
			time.Sleep(20 * time.Second)
			r.stop(t)
			then := day0.Add(50 * dayLength)
			w.apply(followSecond, then)
			last := int64(2)
			if chained {
				w.apply(followThird(), then.Add(dayLength))
				last = 3
			}
			r = w.start(w.cfg)
			w.produce("events", bought("ana", "o1", day0))
			w.end(day0)
			w.wait(r, day0)
			r.kill()
			r = w.start(w.cfg)
			if got := w.versionsTold(); len(got) != 1 || got[1] == 0 {
				t.Errorf("before the instant, changes by version: %v, want version 1 alone", got)
			}
			w.end(then.Add(2 * dayLength))
			w.wait(r, then.Add(2*dayLength))
			w.produce("events", bought("bob", "o2", then.Add(3*dayLength)))
			w.end(then.Add(3 * dayLength))
			w.wait(r, then.Add(3*dayLength))
			r.stop(t)
			if got := w.versionsTold(); got[last] == 0 {
				t.Errorf("after the instant, changes by version: %v, want some of version %d", got, last)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), nil)
		r := w.start(w.cfg)
		time.Sleep(20 * time.Second)
		r.stop(t)
		w.apply(followSecond, day0.Add(50*dayLength))
		w.apply(followThird(), instant.None)
		r = w.start(w.cfg)
		w.produce("events", bought("ana", "o1", day0))
		w.end(day0)
		w.wait(r, day0)
		r.stop(t)
		if got := w.versionsTold(); len(got) != 1 || got[3] == 0 {
			t.Errorf("changes by version: %v, want version 3 alone", got)
		}
	})
}

// versionsTold counts the public changes of stages by the version that made them.
func (w *world) versionsTold() map[int64]int {
	w.t.Helper()
	n := map[int64]int{}
	for _, r := range w.all(topics.StageChanges) {
		var told struct {
			Version int64 `json:"definition_version"`
		}
		if err := json.Unmarshal(r.Value, &told); err != nil {
			w.t.Fatal(err)
		}
		n[told.Version]++
	}
	return n
}
