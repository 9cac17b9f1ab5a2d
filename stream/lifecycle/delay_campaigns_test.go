// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"testing"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Nobody is assigned out of the past: who came into an audience longer ago than MaxDelay
// is not, and comes in again as everybody does. What another system has assigned stands.
func TestMaxDelay(t *testing.T) {
	t.Parallel()
	const hour = 3600_000
	for _, c := range []struct {
		name                   string
		most, behind           time.Duration
		assigned, delayed, led int
	}{
		{"no bound", 0, 1000 * time.Hour, 2, 0, 1},
		{"at the bound", 2 * time.Hour, 2 * time.Hour, 2, 0, 1},
		{"a millisecond later", 2 * time.Hour, 2*time.Hour + time.Millisecond, 0, 2, 1},
	} {
		h := newHostile(t, `lapwing: 1
name: delay
version: 1
events: {visit: {match: {type: page}}}
models: [{name: m, stages: [{stage: all, when: "true"}]}]
campaigns:
  - {name: c, every: 1h, audience: "idle('visit', '1h')", variants: {a: 100%}}
  - {name: led, assigned: {match: Assigned}}
`)
		h.out.MaxDelay = c.most
		assigned, delayed := map[string]int{}, 0
		take := func() {
			for i := range h.out.Records {
				if h.out.Records[i].Kind == record.Assignment {
					assigned[h.out.Records[i].Campaign]++
				}
			}
			delayed += int(h.out.Delayed)
			h.out.Reset()
		}
		say := func(at int64, rest string) {
			when := instant.Instant(at)
			msg := h.decode(`{"userId":"u","timestamp":%q,%s}`, when, rest)
			h.model.Accept(&h.state, "u", &msg, when.Add(c.behind), &h.out)
			take()
		}
		say(hour, `"type":"page"`) // idle an hour later
		say(5*hour, `"type":"track","event":"Assigned"`)
		say(6*hour, `"type":"page"`)
		h.model.Advance(&h.state, "u", instant.Instant(7*hour), instant.Instant(7*hour).Add(c.behind), &h.out)
		take()
		// The first time it is found at 5:00, three hours after its instant.
		want := c.assigned
		if c.most > 0 && c.behind == c.most {
			want, c.delayed = 1, 1
		}
		if assigned["c"] != want || delayed != c.delayed || assigned["led"] != c.led {
			t.Errorf("%s: assigned %v, %d delayed; want %d in c, %d delayed, %d in led", c.name, assigned, delayed, want, c.delayed, c.led)
		}
	}
}
