// SPDX-License-Identifier: Apache-2.0

package aggregate_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/aggregate"
)

// TestLateChangesKeepPopulation: however late changes come, what entered a stage less what
// left it, summed over all periods, is how many customers are in it, by every grain that is
// kept; and a period that has closed changes no more.
func TestLateChangesKeepPopulation(t *testing.T) {
	stages := []string{"new", "active", "lost"}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		totals := aggregate.New(def("Europe/Berlin"), 0)
		type key struct {
			grain    record.Grain
			period   instant.Instant
			from, to string
		}
		now := map[key]int64{}
		in := make([]string, 20) // the stage of each customer
		clock := at("1997-01-01T00:00:00Z")
		for range 300 {
			clock = clock.Add(time.Duration(rng.IntN(48)) * time.Hour)
			totals.Close(clock)
			who, to := rng.IntN(len(in)), stages[rng.IntN(len(stages))]
			if in[who] == to {
				continue
			}
			late := time.Duration(rng.IntN(90*24)) * time.Hour // up to 90 days: beyond what is open
			totals.AddTransition(&record.Record{Kind: record.StageChange, Model: "value", From: in[who], To: to, EffectiveAt: clock.Add(-late)})
			in[who] = to
			for _, a := range totals.Changed() {
				if a.Measure != record.MeasureTransition {
					continue
				}
				if a.Grain == record.Day && a.Period.Add(25*time.Hour) <= clock.Add(-definition.DefaultCloseAfter) {
					t.Fatalf("seed %d: the day %s changed at %s, after it had closed", seed, a.Period, clock)
				}
				now[key{a.Grain, a.Period, a.From, a.To}] = a.Count
			}
		}
		for _, grain := range []record.Grain{record.Day, record.Week, record.Month} {
			standing := map[string]int64{}
			for k, n := range now {
				if k.grain == grain {
					standing[k.to] += n
					standing[k.from] -= n
				}
			}
			for _, stage := range stages {
				var want int64
				for _, s := range in {
					if s == stage {
						want++
					}
				}
				if standing[stage] != want {
					t.Errorf("seed %d: by %s %d customers are in %s, want %d", seed, grain, standing[stage], stage, want)
				}
			}
		}
	}
}
