// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A rise reads the window before its assignment, and that may hold orders of which the
// definition before kept no value, or no single instant. They have no part in it, and so
// have their refunds; those of orders that have a part in it correct it, in rounds that an
// earlier definition began, too.
func TestCarriedBaselinesAgainstOracle(t *testing.T) {
	t.Parallel()
	const events = "lapwing: 1\nname: sample\nversion: %d\ncurrency: EUR\nevents:\n" +
		"  purchase: {match: Order Completed, value: properties.total, key: properties.order_id, refund: {match: Order Refunded, key: properties.order_id, value: properties.total}}\n" +
		"  visit: {match: {type: page}}\nmodels:\n  - {name: m, stages: [{stage: s, when: \"%s\"}, {stage: rest, when: 'true'}]}\n"
	rise := func(goals ...string) string {
		c := "campaigns:\n  - name: c\n    audience: \"seen('visit', '2h')\"\n    every: 1h\n    variants: {a: 100%}\n    goals:\n"
		for i, g := range goals {
			c += fmt.Sprintf("      - {name: g%s%d, event: purchase, value: total, baseline: true, within: %s}\n", g, i, g)
		}
		return c
	}
	kept := []struct{ when, campaigns string }{
		{"never('purchase')", ""},                     // neither values nor instants
		{"count('purchase', '3d') >= 2", ""},          // two instants
		{"sum('purchase', '6h') > 10", ""},            // values of a few hours
		{"sum('purchase', '6h') > 10", rise("6h")},    // a rise of its own
		{"never('purchase')", rise("1d")},             // likewise
		{"never('purchase')", rise("6h", "3d")},       // one that goes on, and a longer one
		{"sum('purchase', '3d') > 10", rise("1d")},    // all
		{"never('purchase')", rise("3d", "6h", "1d")}, // all of it
	}
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 77))
		var c switchCase
		at := sampleStart
		for v := range 2 + rng.IntN(2) {
			k := kept[rng.IntN(len(kept))]
			c.sources = append(c.sources, fmt.Sprintf(events, v+1, k.when)+k.campaigns)
			if v > 0 {
				c.switches = append(c.switches, switchAt{after: 8 * v, clock: []time.Duration{0, 0, time.Hour}[rng.IntN(3)]})
			}
		}
		orders := 0
		for range 8*len(c.sources) + 8 {
			at = at.Add([]time.Duration{0, time.Minute, time.Hour, 3 * time.Hour, 7 * time.Hour}[rng.IntN(5)])
			when := at
			if rng.IntN(6) == 0 {
				when = at.Add(-5 * time.Hour) // late
			}
			what := `"type":"page"`
			switch n := rng.IntN(10); {
			case n < 4:
				orders++
				what = fmt.Sprintf(`"type":"track","event":"Order Completed","properties":{"order_id":"o%d","total":%d}`, orders, 1+rng.IntN(50))
			case n < 7 && orders > 0:
				what = fmt.Sprintf(`"type":"track","event":"Order Refunded","properties":{"order_id":"o%d","total":%d}`, 1+rng.IntN(orders), 1+rng.IntN(3))
			}
			c.lines = append(c.lines, fmt.Sprintf(`{%s,"userId":"ada","timestamp":%q}`, what, when))
		}
		c.until = at.Add(4 * 24 * time.Hour)
		if d := c.disagreement(new(carryTally)); d != "" {
			c = c.smaller()
			t.Fatalf("seed %d: %s\n%s\n--- switches %+v, until %s\n%s\n",
				seed, c.disagreement(new(carryTally)), strings.Join(c.sources, "\n---\n"), c.switches, c.until, strings.Join(c.lines, "\n"))
		}
	}
}
