// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"strings"
	"testing"
)

const roundsDefinition = `lapwing: 1
name: rounds
version: 1
events:
  order: {match: Order Completed, value: properties.total, key: properties.id, refund: {match: Refunded, key: properties.id}}
  visit: {match: {type: page}}
segments: [{name: by, by: trait('x')}]
campaigns:
  - {name: c, audience: "seen('visit', '30s')", every: 1m, variants: {a: 100%}, goals: [{name: spent, event: order, within: 10m, value: total}, {name: up, when: "count('order', '1h') > 2", within: 5m}]}
`

// A customer's rounds are bounded: those that are open by the windows and `every`, and of
// those that a refund may correct the newest; beyond, they are counted. So is the state.
func TestRoundsAreBounded(t *testing.T) {
	h := newHostile(t, roundsDefinition)
	c := h.model.rules[h.model.campaigns[0]].campaign
	if c.open != 11 {
		t.Fatalf("%d rounds can be open at once, want 11: one a minute for ten minutes, and the one just begun", c.open)
	}
	long := strings.Repeat("\u00e9", maxByValue/2)
	for i := range int64(200) {
		stamp := at(i * 60_000)
		for _, format := range []string{
			fmt.Sprintf(`{"type":"page","userId":"u","timestamp":%q,"context":{"traits":{"x":%q}}}`, stamp, long),
			fmt.Sprintf(`{"type":"track","event":"Order Completed","userId":"u","timestamp":%q,"properties":{"total":99999999999999.9999,"id":%d}}`, at(i*60_000+1), i),
		} {
			msg := h.decode("%s", format)
			h.model.Accept(&h.state, "u", &msg, msg.Time, &h.out)
		}
		e := h.state.campaigns[0]
		if n := len(e.rounds); n > c.open+maxCorrected {
			t.Fatalf("%d rounds are kept, want %d at most", n, c.open+maxCorrected)
		}
		if n := len(h.model.AppendState(nil, &h.state)); n > h.model.MaxStateBytes() {
			t.Fatalf("the state takes %d bytes, and its bound is %d", n, h.model.MaxStateBytes())
		}
	}
	if n := h.out.Overflow[LimitRounds]; n < 100 {
		t.Errorf("%d rounds were let go of and counted, want the 200 less those that are kept", n)
	}
	_, problems := compileText(t, strings.Replace(roundsDefinition, "every: 1m", "every: 1s", 1))
	if len(problems) > 0 {
		t.Errorf("600 rounds at once are fine, and yet: %v", problems)
	}
	_, problems = compileText(t, strings.Replace(strings.Replace(roundsDefinition, "every: 1m", "every: 1s", 1), "within: 10m", "within: 20m", 1))
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "more than 1000 rounds open at once") {
		t.Errorf("1,200 rounds at once: %v", problems)
	}
}
