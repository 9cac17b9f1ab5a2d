// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"lapwing/schemas/explanation"
)

// An explanation tells of each campaign the arm, since when, what is open and until when,
// and what assigned() and converted() have read.
func TestCampaignsAreExplained(t *testing.T) {
	source := []byte(`lapwing: 1
name: x
version: 1
events: {order: {match: Order Completed, value: properties.total}, visit: {match: {type: page}}}
models:
  - {name: m, stages: [{stage: won, when: "converted('c', 'spent')"}, {stage: treated, when: "assigned('c', 'a')"}, {stage: other, when: "true"}]}
campaigns:
  - name: c
    audience: seen('visit', '2d')
    every: 5d
    variants: {a: 100%}
    goals: [{name: spent, event: order, within: 9d, value: total}, {name: back, when: "never('order')", within: 3d}]
  - {name: given, assigned: {match: A}}
`)
	lines := [][]byte{
		[]byte(`{"type":"page","userId":"u1","timestamp":"2026-01-01T00:00:00Z"}`),
		[]byte(`{"type":"track","event":"Order Completed","userId":"u1","timestamp":"2026-01-02T00:00:00Z","properties":{"total":3}}`),
		[]byte(`{"type":"page","userId":"u1","timestamp":"2026-01-06T00:00:00Z"}`),
	}
	m, s, at := replayed(t, source, lines, "2026-01-07T00:00:00Z")
	x := m.Explain(s, "u1", at)
	var b strings.Builder
	for _, c := range x.Campaigns {
		fmt.Fprintf(&b, "%s in %v rounds %d %q since %s again %s\n", c.Campaign, c.InAudience, c.Rounds, c.Variant, c.Since.Instant(), c.AgainFrom.Instant())
		if c.Audience != nil {
			fmt.Fprintf(&b, "  %s is %s\n", c.Audience.Text, c.Audience.Value)
		}
		for _, g := range c.Goals {
			fmt.Fprintf(&b, "  %s records %d\n", g.Goal, g.Records)
			for _, o := range g.Open {
				fmt.Fprintf(&b, "    round %d from %s until %s: %d\n", o.Round, o.AssignedAt.Instant(), o.Until.Instant(), o.Times)
			}
		}
	}
	const want = `c in true rounds 2 "a" since 2026-01-06T00:00:00Z again 2026-01-11T00:00:00Z
  seen('visit', '2d') is true
  spent records 0
    round 1 from 2026-01-01T00:00:00Z until 2026-01-10T00:00:00Z: 1
    round 2 from 2026-01-06T00:00:00Z until 2026-01-15T00:00:00Z: 0
  back records 0
    round 2 from 2026-01-06T00:00:00Z until 2026-01-09T00:00:00Z: 0
given in false rounds 0 "" since none again none
`
	if got := b.String(); got != want {
		t.Errorf("explained:\n%s\nwant\n%s", got, want)
	}
	if n := x.Models[0].Next; n == nil || n.Stage != "won" || n.At.Instant().String() != "2026-01-10T00:00:00Z" {
		t.Errorf("next %+v, want won when the first window closes", n)
	}
	read := map[string]bool{}
	x.Conditions(func(c *explanation.Condition) {
		if c.Facts != nil && c.Facts.Campaign != nil {
			read[c.Facts.Function] = c.Facts.Campaign.Rounds == 2 && c.Facts.Campaign.Variant == "a"
		}
	})
	if !read["assigned"] || !read["converted"] {
		t.Errorf("facts of assigned and converted: %v", read)
	}
}
