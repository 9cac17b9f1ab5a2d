// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// "Above 0, events wait in the state until the clock has passed their time by that much,
// and are applied in (event time, messageId) order": by the wall clock, with nobody
// sending anything more; and a deadline waits as long for what may still come before it.
func TestLatenessByTheWallClock(t *testing.T) {
	source := []byte(strings.Replace(string(customerValue(t)), "\ndedupe: 7d", "\nlateness: 2d\ndedupe: 7d", 1))
	bothWaysIn(t, func(t *testing.T, routed bool) {
		w := newWorld(t, source, func(c *Config) {
			c.Clock = ClockWall
			c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
		})
		ahead := w.shifted()
		start := instant.Of(w.now())
		// to moves the wall clock to so long after the start, and lets it be heard.
		to := func(d time.Duration) {
			ahead(start.Add(d).Time().Sub(w.now()))
			time.Sleep(5 * time.Second)
		}
		_, stop := w.startAll()
		time.Sleep(5 * time.Second)
		first := bought("ana", "o1", start.Add(dayLength))
		second := bought("ana", "o2", start.Add(dayLength+4*time.Hour))
		between := bought("ana", "o3", start.Add(dayLength+2*time.Hour))
		to(dayLength + 4*time.Hour)
		w.produce("events", second)
		changes := func(when string, n int) {
			t.Helper()
			if got := w.changes(topics.StageChanges)["ana"]; len(got) != n {
				t.Errorf("%s: %d changes, want %d: %v", when, len(got), n, got)
			}
		}
		to(3*dayLength - time.Hour)
		changes("it may be that earlier ones come", 0)
		w.stamped("events", first, instant.Of(w.now())) // 47 hours old
		to(3*dayLength - time.Minute)
		changes("a minute before the first is two days old", 0)
		to(3*dayLength + time.Minute)
		changes("the first is two days old: new; the second waits for what may come between", 1)
		w.stamped("events", between, instant.Of(w.now()))
		to(3*dayLength + 2*time.Hour + time.Minute)
		changes("that is two days old, too: active", 2)
		to(3*dayLength + 5*time.Hour)
		to(93*dayLength + 4*time.Hour - time.Minute)
		changes("90 days after the last one, and nearly two days", 2)
		to(93*dayLength + 4*time.Hour + time.Minute)
		changes("and two days", 3)
		stop()
		w.judged([]message{first, between, second}, start.Add(91*dayLength+4*time.Hour))
		got := w.changes(topics.StageChanges)["ana"]
		if want := "active→at_risk " + second.at.Add(90*dayLength).String() + " deadline"; !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("the changes lack %q:\n%s", want, strings.Join(got, "\n"))
		}
	})
}

// "`publish_from` (default: activation) — changes with an earlier effective_at are
// history, not messages": one at that very instant is a message. The worker's setting
// comes before the definition's, and that before the activation.
func TestPublishFrom(t *testing.T) {
	due := day0.Add(90 * dayLength) // ana is at risk
	for _, c := range []struct {
		name, setting, definition string
		history, public           int
	}{
		{"at the instant of the deadline", due.String(), "", 1, 2},
		{"a millisecond later", (due + 1).String(), "", 2, 1},
		{"by the definition", "", due.String(), 1, 2},
		{"a millisecond later by the definition", "", (due + 1).String(), 2, 1},
		{"the setting before the definition", PublishAll, (due + 1).String(), 0, 3},
		{"by the activation, long after", "", "", 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := string(customerValue(t))
				if c.definition != "" {
					source = strings.Replace(source, "\ndedupe: 7d", "\npublish_from: "+c.definition+"\ndedupe: 7d", 1)
				}
				w := newWorld(t, []byte(source), func(cfg *Config) { cfg.PublishFrom, cfg.Lanes = c.setting, 1 })
				ana := bought("ana", "o1", day0)
				w.produce("events", ana)
				r := w.start(w.cfg)
				until := day0.Add(400 * dayLength)
				w.end(until)
				w.wait(r, until)
				r.stop(t)
				history, public := w.changes(topics.History)["ana"], w.changes(topics.StageChanges)["ana"]
				if len(history) != c.history || len(public) != c.public {
					t.Errorf("history has %v, public are %v; want %d and %d", history, public, c.history, c.public)
				}
				// Folded all the same: they take part in sequence, from and since.
				want := w.judge([]message{ana}, until).stages
				for i, change := range append(history, public...) {
					if _, is, _ := strings.Cut(change, " "); i >= len(want["ana"]) || !strings.HasSuffix(want["ana"][i], is) {
						t.Errorf("change %d is %s, want %v", i, is, want["ana"])
					}
				}
			})
		})
	}
}
