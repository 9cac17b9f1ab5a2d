// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lapwing/stream/lifecycle"
)

// limitedSeeds is the first of the seeds whose definitions have tiny limits.
const limitedSeeds = 4_000_000

// limit gives the definition limits that its customers exceed all the time.
func (s *sampler) limit(d *sampleDefinition) {
	var limits []string
	maybe := func(key string, values ...string) {
		if s.chance(60) {
			limits = append(limits, key+": "+pick(s, values...))
		}
	}
	maybe("traits", "1", "2", "3")
	maybe("trait_bytes", "9", "14", "20", "33")
	maybe("held", "1", "2", "3", "5")
	maybe("held_bytes", "1", "200", "500", "1KiB")
	maybe("by_values", "1", "2")
	maybe("favourite_values", "1", "1", "2", "3")
	if len(limits) > 0 {
		d.head = append(d.head, "limits: {"+strings.Join(limits, ", ")+"}")
	}
	if !slices.ContainsFunc(d.head, func(line string) bool { return strings.HasPrefix(line, "lateness") }) && s.chance(50) {
		d.head = append(d.head, "lateness: "+pick(s, "2h", "1d", "3d"))
	}
	for i := 0; s.chance(70); i++ {
		d.segments = append(d.segments, sampleItem{name: fmt.Sprintf("f%d", i), by: s.favourite()})
	}
	for s.chance(50) {
		name := fmt.Sprintf("g%d", len(d.segments))
		d.segments = append(d.segments, sampleItem{name: name, by: pick(s,
			"trait('country')", "trait('tier')", "count('purchase', '6h')", "count('visit', '1d') + count('purchase', '2h')", "trait('score')")})
		if s.chance(50) { // what is read by a model tells in its next_stage
			d.models = append(d.models, sampleItem{name: "l" + name, stages: []string{"in_segment('" + name + "=" + pick(s, "FR", "gold", "0", "1", "2") + "')", "true"}})
		}
	}
}

// TestLimitsAgainstOracle is TestRandomAgainstOracle with limits so tiny that they are
// exceeded all the time.
func TestLimitsAgainstOracle(t *testing.T) {
	t.Parallel()
	var over lifecycle.Overflow
	runSamples(t, limitedSeeds, 2400, func(c *compiledCase, id string) string {
		want := c.judge.Customer(id, c.messages[id], c.until)
		got, n, err := foldCounting(c.model, id, c.lines[id], c.until)
		if err != nil {
			return err.Error()
		}
		over.Add(&n)
		c.told.add(want)
		return difference(want, got)
	})
	t.Logf("exceeded: %s", over.String())
	for l := lifecycle.Limit(0); l.OfDefinition() && !testing.Short(); l++ {
		if over[l] < 100 {
			t.Errorf("the cases exceeded %s only %d times: the generator has gone blind", l, over[l])
		}
	}
}

// TestLimitsWithTicks lets the clock go along: when what waits is let go does not
// depend on when the clock is looked at.
func TestLimitsWithTicks(t *testing.T) {
	t.Parallel()
	runSamples(t, limitedSeeds+1_000_000, 800, tickingAgainstOracle)
}
