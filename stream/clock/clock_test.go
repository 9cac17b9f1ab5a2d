// SPDX-License-Identifier: Apache-2.0

package clock_test

import (
	"math/rand/v2"
	"testing"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/clock"
)

var (
	a = mailbox.Source{Topic: "a", Partition: 0}
	b = mailbox.Source{Topic: "b", Partition: 0}
)

// "a lane's clock is the least over all configured sources that can reach it, heard from or not, and never goes back"
func TestWatermarkIsTheLeastOfAllSources(t *testing.T) {
	l := clock.NewLane([]mailbox.Source{a, b}, nil)
	l.Heard(a, 10)
	want(t, "one source unheard", l, instant.None)
	l.Heard(b, 7)
	want(t, "both heard", l, 7)
	l.Heard(b, 5)
	want(t, "a source goes back", l, 7)
	l.Heard(b, 30)
	want(t, "the other holds", l, 10)
	if s, ok := l.Holding(); !ok || s.Source != a || s.Clock != 10 {
		t.Errorf("holding back: %+v, %v; want %v at 10", s, ok, a)
	}
	l.Heard(mailbox.Source{Topic: "a", Partition: 1}, 1)
	want(t, "a source that is not configured", l, 10)
}

func TestEnds(t *testing.T) {
	l := clock.NewLane([]mailbox.Source{a, b}, nil)
	l.Heard(a, 10)
	l.Heard(b, 20)
	l.End(a, 15, 100)
	want(t, "an end whose position is not reached", l, 10)
	l.Reached(a, 99)
	want(t, "one short of it", l, 10)
	l.Reached(a, 100)
	want(t, "ended: it holds back nothing", l, 20)
	l.End(b, 25, 0)
	want(t, "all ended: where the last one ended", l, 25)
	l.Heard(a, 12)
	want(t, "a late event of an ended source", l, 25)
	l.Heard(a, 40)
	want(t, "a source that comes back, the other being ended", l, 40)
	l.Heard(b, 41)
	l.Heard(b, 50)
	want(t, "both are back", l, 40)
}

func TestEndsThatWaitSurviveARestart(t *testing.T) {
	l := clock.NewLane([]mailbox.Source{a}, nil)
	l.Heard(a, 10)
	l.Reached(a, 3)
	l.End(a, 15, 5)
	w := l.Watermark()
	l = clock.NewLane([]mailbox.Source{a, b}, &mailbox.Lane{Watermark: w, Sources: l.Sources()})
	want(t, "restored, with a new source that was never heard from", l, 10)
	l.Reached(a, 5)
	want(t, "the end is reached", l, 10)
	l.Heard(b, 12)
	want(t, "the new source is heard", l, 12)
	l = clock.NewLane([]mailbox.Source{a}, &mailbox.Lane{Watermark: l.Watermark(), Sources: l.Sources()})
	want(t, "the new source is taken out again", l, 15)
}

func TestWatermarkNeverGoesBack(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	l := clock.NewLane([]mailbox.Source{a, b}, nil)
	last := instant.None
	for step := range 5000 {
		s := a
		if rng.IntN(2) == 0 {
			s = b
		}
		switch rng.IntN(4) {
		case 0, 1:
			l.Heard(s, instant.Instant(rng.IntN(1000)))
		case 2:
			l.Reached(s, int64(rng.IntN(100)))
		case 3:
			l.End(s, instant.Instant(rng.IntN(1000)), int64(rng.IntN(100)))
		}
		w := l.Watermark()
		if w < last {
			t.Fatalf("seed %d, step %d: watermark went from %d to %d", seed, step, last, w)
		}
		last = w
	}
}

// "the wall-clock instant read before asking for the end offset, once all below that end is consumed"
func TestWallClock(t *testing.T) {
	var w clock.Wall
	if got := w.Reached(5); got != instant.None {
		t.Errorf("nothing was asked, yet the clock is %d", got)
	}
	w.Ask(1000, 7)
	if got := w.Reached(6); got != instant.None {
		t.Errorf("one record is missing, yet the clock is %d", got)
	}
	w.Ask(2000, 9)
	if got := w.Reached(7); got != 1000 {
		t.Errorf("clock %d, want 1000: the first question is answered", got)
	}
	if got := w.Reached(9); got != instant.None {
		t.Errorf("clock %d without an open question", got)
	}
}

func want(t *testing.T, when string, l *clock.Lane, w instant.Instant) {
	t.Helper()
	if got := l.Watermark(); got != w {
		t.Errorf("%s: watermark %d, want %d", when, got, w)
	}
}
