// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"lapwing/sink/batch"
)

// TestPace: up at once, one step for all that fails together, up to 16 times; back one
// step a minute, and not within a minute of the last refusal.
func TestPace(t *testing.T) {
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	var p batch.Pace
	for i, step := range []struct {
		refused bool
		at      float64
		factor  int
	}{
		{false, 0, 1},
		{true, 1, 2},
		{true, 1.1, 2},
		{true, 5.9, 2}, // refused all the time
		{true, 6, 4},   // 5 s after the last step
		{true, 7, 4},
		{false, 66.9, 4},
		{false, 67, 2},
		{false, 126.9, 2},
		{true, 126.95, 4}, // so it was too early
		{false, 128, 4},
		{true, 132, 8},
		{true, 137, 16},
		{true, 142, 16},
		{true, 3_000, 16},
		{false, 3_059, 16},
		{false, 3_060, 8},
		{false, 10_000, 4}, // a long silence is one step, too: only a batch that is written shows room
	} {
		if step.refused {
			p = p.TooManyParts(at(step.at))
		} else {
			p = p.Written(at(step.at))
		}
		if p.Factor() != step.factor {
			t.Fatalf("step %d, at %v s: factor %d, want %d", i, step.at, p.Factor(), step.factor)
		}
	}
}

// TestPaceLimits: rows and age grow with the factor; bytes never above what may be held,
// nor below the usual; whatever happens the factor stays between 1 and 16.
func TestPaceLimits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	usual := batch.Limits{Rows: 100, Bytes: 1000, Age: time.Second}
	var p batch.Pace
	now := began
	for range 10_000 {
		now = now.Add(time.Duration(rng.IntN(20_000)) * time.Millisecond)
		if rng.IntN(4) == 0 {
			p = p.TooManyParts(now)
		} else {
			p = p.Written(now)
		}
		n := p.Factor()
		if n < 1 || n > 16 {
			t.Fatalf("factor %d", n)
		}
		want := batch.Limits{Rows: 100 * n, Bytes: min(1000*n, 3000), Age: time.Duration(n) * time.Second}
		if got := p.Limits(usual, 3000); got != want {
			t.Fatalf("factor %d: got %v, want %v", n, got, want)
		}
		if got := p.Limits(usual, 10); got.Bytes != 1000 {
			t.Fatalf("bytes below the usual: %v", got)
		}
	}
}
