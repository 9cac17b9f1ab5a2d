// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"testing"
	"testing/synctest"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// A visitor who is forgotten leaves a tombstone on the profiles, and nothing in the state.
func TestTheProfileOfWhoIsForgottenIsATombstone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		visit := func(who, field string) message {
			return message{customer: who, at: day0, raw: fmt.Sprintf(`{"type":"page",%q:%q,"timestamp":%q}`, field, who, day0)}
		}
		until := day0.Add(90*dayLength + 1e6) // a millisecond after the end
		w.produce("events", visit("visitor", "anonymousId"), visit("customer", "userId"))
		w.end(until)
		r := w.start(w.cfg)
		w.wait(r, until)
		r.stop(t)
		last := map[string]int{}
		for _, p := range w.all(topics.Profiles) {
			last[string(p.Key)] = len(p.Value)
			if len(p.Value) == 0 && p.Value != nil {
				t.Errorf("the profile of %s is empty, and no tombstone", p.Key)
			}
		}
		if n, ok := last["visitor"]; !ok || n != 0 || last["customer"] == 0 {
			t.Errorf("the last profiles take %v bytes: the visitor's should be a tombstone, the customer's not", last)
		}
		// The changelog's last word on the visitor is a tombstone, too.
		stored := map[string]bool{}
		for _, s := range w.all(topics.State) {
			stored[string(s.Key)] = s.Value != nil
		}
		n := 0
		for key, there := range stored {
			if there && len(key) >= len("visitor") && key[len(key)-len("visitor"):] == "visitor" {
				n++
			}
		}
		if n != 0 {
			t.Error("the state of the visitor is still in the changelog")
		}
	})
}

// A message that was read before may be what shows that its visitor has been silent for
// long enough to be forgotten: that end is told, though the message itself counts no more.
func TestADuplicateThatEndsItsVisitor(t *testing.T) {
	const source = `lapwing: 1
name: end
version: 1
lateness: 1d
retain: {anonymous: 30d}
events:
  visit: {match: {type: page}}
models:
  - {name: presence, stages: [{stage: away, when: "idle('visit', '10d')"}, {stage: here, when: "true"}]}
`
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(source), func(c *Config) { c.Slots = 1 })
		visit := func(id string, at instant.Instant) message {
			return message{customer: "v", at: at, raw: fmt.Sprintf(`{"type":"page","anonymousId":"v","messageId":%q,"timestamp":%q}`, id, at)}
		}
		june, march := visit("june", day0.Add(150*dayLength)), visit("march", day0.Add(60*dayLength))
		messages := []message{june, march, june}
		w.produce("events", messages...) // read in one go, so that no wave comes in between
		until := day0.Add(300 * dayLength)
		w.end(until)
		r := w.start(w.cfg)
		w.wait(r, until)
		r.stop(t)
		w.judged(messages, until)
	})
}
