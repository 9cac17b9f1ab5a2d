// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/kafkatest"
	"lapwing/schemas/topics"
)

// Fault 1: a random one of three workers dies by SIGKILL, again and again. Everything
// is there once, and no reader is held back for longer than a transaction may last.
func chaos01KillRandomWorkers(t *testing.T, kafka *kafkatest.Kafka) {
	kills := chaosRounds(3, 30)
	w := newRealWorld(t, kafka, "kill", chaosRounds(400, 4000), nil)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		w.spawn(name)
	}
	w.owned("three workers to share the lanes")
	readers := w.watch()
	fed := w.feed(len(w.history), time.Duration(kills)*2*time.Second)
	holding := 0
	for range kills {
		w.pause(500*time.Millisecond, 2500*time.Millisecond)
		w.alive()
		name := names[w.rng.IntN(len(names))]
		if len(w.children[name].word().Lanes) > 0 {
			holding++
		}
		w.children[name].kill()
		w.spawn(name)
	}
	if holding == 0 {
		t.Error("no worker was killed while it had lanes")
	}
	fed()
	w.finish()
	stall := readers.stall()
	t.Logf("seed %d: %d kills, %d of workers that held lanes; readers were held back for at most %s", w.seed, kills, holding, stall)
	if bound := w.cfg.TransactionTimeout + time.Second; stall > bound {
		t.Errorf("readers were held back for %s, want at most %s", stall, bound)
	}
	w.retire(names...)
	w.equal()
}

// Fault 2: every worker is restarted in good order, one after the other, under load.
// The lanes of the others go on meanwhile.
func chaos02RollingRestart(t *testing.T, kafka *kafkatest.Kafka) {
	rounds := chaosRounds(1, 10)
	w := newRealWorld(t, kafka, "rolling", chaosRounds(600, 6000), nil)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		w.spawn(name)
	}
	w.owned("three workers to share the lanes")
	readers := w.watch()
	fed := w.feed(len(w.history), time.Duration(rounds)*6*time.Second)
	longest, aborts := time.Duration(0), 0
	for i := range rounds {
		// A worker that comes back may leave its place in the group, or keep it.
		w.cfg.LeaveOnStop = i%2 == 1
		for _, name := range names {
			w.pause(100*time.Millisecond, 500*time.Millisecond)
			var others []int32
			for _, other := range names {
				if other != name {
					others = append(others, w.children[other].word().Lanes...)
				}
			}
			from := time.Now()
			old := w.children[name]
			w.retire(name)
			aborts += old.word().Aborts
			w.spawn(name)
			w.owned("the worker to take its place again")
			for _, lane := range others {
				longest = max(longest, readers.gap(w.cfg.topic(topics.State), lane, from, time.Now()))
			}
		}
	}
	fed()
	w.finish()
	for _, name := range names {
		aborts += w.children[name].word().Aborts
	}
	t.Logf("seed %d: %d restarts: a lane of another worker committed nothing for at most %s; %d transactions were aborted",
		w.seed, rounds*len(names), longest, aborts)
	if bound := 5 * time.Second; longest > bound {
		t.Errorf("a lane that was not restarted stood still for %s, want at most %s", longest, bound)
	}
	w.retire(names...)
	w.equal()
}

// Fault 3: a worker is stopped for longer than its session, another one takes its
// lanes, and it goes on as if nothing had been.
func chaos03StoppedWorkerUnderLoad(t *testing.T, kafka *kafkatest.Kafka) {
	rounds := chaosRounds(2, 8)
	w := newRealWorld(t, kafka, "stopped", chaosRounds(400, 4000), func(c *Config) { c.SessionTimeout = time.Second })
	names := []string{"a", "b"}
	for _, name := range names {
		w.spawn(name)
	}
	w.owned("two workers to share the lanes")
	fed := w.feed(len(w.history), time.Duration(rounds)*4*time.Second)
	for i := range rounds {
		w.pause(100*time.Millisecond, time.Second)
		zombie, heir := w.children[names[i%2]], w.children[names[(i+1)%2]]
		zombie.signal(t, sigstop)
		w.until("the other worker to own all lanes", func() string { return w.owns(heir, int(w.cfg.Lanes)) })
		zombie.signal(t, sigcont)
		w.owned("the stopped worker to come back")
	}
	fed()
	w.finish()
	t.Logf("seed %d: stopped %d times", w.seed, rounds)
	w.retire(names...)
	w.equal()
}

// Fault 3, when deadlines alone are due: such a transaction reads nothing, and only
// the positions pinned to it make the broker look at who commits. The other worker has
// done all there is to do; what the stopped one then commits would be there twice.
func chaos03StoppedWorkerWithDeadlines(t *testing.T, kafka *kafkatest.Kafka) {
	for range chaosRounds(1, 6) {
		t.Run("", func(t *testing.T) {
			w := newRealWorld(t, kafka, "timers", 400, func(c *Config) {
				c.SessionTimeout, c.Wave = time.Second, 1
				c.CommitInterval = Interval{Min: time.Millisecond, Max: time.Millisecond}
			})
			names := []string{"a", "b"}
			for _, name := range names {
				w.spawn(name)
			}
			w.owned("two workers to share the lanes")
			w.feed(len(w.history), 0)()
			w.read()
			before := w.seen.count()
			_, until := w.messages()
			// Two months later most are at risk, at deadlines of their own.
			w.horizon = until.Add(60 * dayLength)
			w.end(w.horizon)
			some := w.rng.IntN(60)
			w.until("deadlines to fire", func() string {
				if n := w.seen.count() - before; n <= some {
					return fmt.Sprintf("%d changes more", n)
				}
				return ""
			})
			zombie, heir := w.children["a"], w.children["b"]
			zombie.signal(t, sigstop)
			atStop := w.seen.count()
			w.until("the other worker to own all lanes", func() string { return w.owns(heir, int(w.cfg.Lanes)) })
			w.settled()
			if atStop == w.seen.count() {
				t.Error("nothing was due any more when the worker was stopped")
			}
			ended := w.committed()
			zombie.signal(t, sigcont)
			w.owned("the stopped worker to come back")
			if n := w.committed() - ended; n != 0 {
				t.Errorf("seed %d: %d records were committed by the worker that was thrown out", w.seed, n)
			}
			w.retire(names...)
			w.equal()
		})
	}
}

// owns says what is missing for the worker to own so many lanes.
func (w *realWorld) owns(c *child, lanes int) string {
	if has := c.word().Lanes; len(has) != lanes {
		return fmt.Sprintf("worker %s has %d of %d lanes", c.name, len(has), lanes)
	}
	return ""
}

// committed is how many records are in the topics that a change is written to.
func (w *realWorld) committed() (n int) {
	for _, topic := range []string{topics.StageChanges, topics.SegmentChanges, topics.Profiles} {
		n += len(w.all(topic))
	}
	return n
}

// Fault 13: two processes run under one name. One goes on; the other ends, and says why.
func chaos13TwoUnderOneName(t *testing.T, kafka *kafkatest.Kafka) {
	for range chaosRounds(1, 5) {
		t.Run("", func(t *testing.T) {
			w := newRealWorld(t, kafka, "twins", 300, nil)
			first := w.spawn("a")
			w.owned("the first to own all lanes")
			fed := w.feed(len(w.history), 4*time.Second)
			w.pause(100*time.Millisecond, time.Second)
			o := w.order("a")
			o.Config.StateDir = w.storeOf("a on another machine")
			second := startChild(t, o)
			w.until("one of the two to end", func() string {
				if first.running() && second.running() {
					return "both run"
				}
				return ""
			})
			loser, winner := second, first
			if !first.running() {
				loser, winner = first, second
			}
			w.children["a"] = winner
			if end := loser.word().End; !strings.Contains(end, "another process runs under the same instance name") {
				t.Errorf("seed %d: the one that ended said %q, want it to name the reason", w.seed, end)
			}
			fed()
			w.finish() // fails if the other has ended too
			w.retire("a")
			w.equal()
		})
	}
}

// Fault 22: the group grows from one worker to five and shrinks to two, under load.
func chaos22Rescale(t *testing.T, kafka *kafkatest.Kafka) {
	for range chaosRounds(1, 4) {
		t.Run("", func(t *testing.T) {
			w := newRealWorld(t, kafka, "rescale", 600, func(c *Config) { c.Lanes = 10 })
			w.spawn("a")
			w.owned("one worker to own all lanes")
			readers := w.watch()
			fed := w.feed(len(w.history), 10*time.Second)
			w.pause(500*time.Millisecond, time.Second)
			begin := time.Now()
			for _, name := range []string{"b", "c", "d", "e"} {
				w.spawn(name)
			}
			w.owned("five workers to share the lanes")
			up := time.Since(begin)
			standstill := time.Duration(0)
			for lane := range w.cfg.Lanes {
				standstill = max(standstill, readers.gap(w.cfg.topic(topics.State), lane, begin, time.Now()))
			}
			w.pause(500*time.Millisecond, time.Second)
			leave := w.names()
			w.rng.Shuffle(len(leave), func(i, j int) { leave[i], leave[j] = leave[j], leave[i] })
			begin = time.Now()
			w.retire(leave[:3]...)
			w.owned("two workers to have taken all lanes")
			down := time.Since(begin)
			fed()
			w.finish()
			t.Logf("seed %d: 1 → 5 took %s, with a lane standing still for at most %s; after 5 → 2 all lanes had an owner within %s",
				w.seed, up, standstill, down)
			if bound := w.cfg.SessionTimeout + 5*time.Second; down > bound {
				t.Errorf("lanes had no owner for %s after their workers had left, want at most %s", down, bound)
			}
			w.retire(leave[3:]...)
			w.equal()
		})
	}
}
