// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// The end of an anonymous customer, record by record: the deadlines of that instant,
// then the models in the order of the file, then the segments by name; cause expired,
// no condition. Who returns has records from 1 on, with nothing before them.
func TestTheEndOfAnAnonymousCustomer(t *testing.T) {
	h := newHostile(t, `lapwing: 1
name: end
version: 1
retain: {anonymous: 2d}
events:
  visit: {match: {type: page}}
models:
  - {name: second, stages: [{stage: far, when: "in_stage('first', 'far')"}, {stage: near, when: "true"}]}
  - {name: first, stages: [{stage: far, when: "idle('visit', '2d')"}, {stage: near, when: "true"}]}
segments:
  - {name: z, when: "true"}
  - {name: by, by: trait('by')}
  - {name: a, when: "true"}
  - {name: never, when: "count('visit') > 5"}
`)
	var got []string
	send := func(raw string) {
		var msg event.Message
		if cause := h.decoder.Decode([]byte(raw), instant.None, &msg); cause != "" {
			t.Fatal(cause)
		}
		h.model.Accept(&h.state, "v", &msg, msg.Time, &h.out)
	}
	take := func() {
		got = got[:0]
		for i := range h.out.Records {
			r := &h.out.Records[i]
			what := r.Segment + map[bool]string{true: " in", false: " out"}[r.Entered]
			if r.Kind == record.StageChange {
				what = fmt.Sprintf("%s %s>%s", r.Model, r.From, r.To)
			}
			got = append(got, fmt.Sprintf("%s %d %s %s [%s][%s]", what, r.Sequence, r.EffectiveAt, r.Cause.Type, r.Cause.Condition, r.Cause.Left))
		}
		h.out.Reset()
	}
	expect := func(want ...string) {
		t.Helper()
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("got\n%s\nwant\n%s", g, w)
		}
	}
	const first = `{"type":"page","anonymousId":"v","messageId":"m","timestamp":"2026-01-01","context":{"traits":{"by":"x"}}}`
	send(first)
	take()
	const end = "2026-01-03T00:00:00Z"
	clock, _ := instant.Parse(end)
	if h.model.Advance(&h.state, "v", clock, clock, &h.out); h.out.Ended || !h.state.Begun() {
		t.Error("the customer ended while an event of that very instant could still come")
	}
	h.model.Advance(&h.state, "v", clock+1, clock+1, &h.out)
	if !h.out.Ended || !h.out.Changed || h.state.Begun() || h.model.Due(&h.state) != instant.None {
		t.Error("the customer has not ended, so its profile stays")
	}
	take()
	expect(
		"first near>far 2 "+end+" deadline [idle('visit', '2d')][]",
		"second near>far 2 "+end+" deadline [in_stage('first', 'far')][]",
		"second far> 3 "+end+" expired [][]",
		"first far> 3 "+end+" expired [][]",
		"a out 2 "+end+" expired [][]",
		"by=x out 2 "+end+" expired [][]",
		"z out 2 "+end+" expired [][]",
	)
	const again = "2026-01-04T00:00:00Z"
	send(strings.Replace(first, "2026-01-01", again, 1))
	take()
	expect(
		"first >near 1 "+again+" event [true][]",
		"second >near 1 "+again+" event [true][]",
		"z in 1 "+again+" event [true][]",
		"by=x in 1 "+again+" event [trait('by')][]",
		"a in 1 "+again+" event [true][]",
	)
}
