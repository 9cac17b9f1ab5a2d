// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"lapwing/schemas/instant"
)

// TestRegressionsAgainstOracle keeps the smallest form of every disagreement that
// random cases have found, whoever was wrong.
func TestRegressionsAgainstOracle(t *testing.T) {
	purchase := sampleEvent{"purchase", "{match: Order Completed, value: properties.total, key: properties.order_id, " +
		"refund: {match: [Order Refunded], key: properties.order_id, value: properties.total}}"}
	track := func(at, name, rest string) string {
		return `{"userId":"u","type":"track","event":"` + name + `","timestamp":"2026-03-` + at + `Z",` + rest + `}`
	}
	amount := []sampleItem{{name: "amount", by: "sum('purchase')"}, {name: "least", by: "min('purchase')"}}
	always := []sampleItem{{name: "m0", stages: []string{"true"}}}
	for _, c := range []struct {
		name  string
		def   sampleDefinition
		lines string
	}{
		{
			"by: reads stages and functions, not only traits",
			sampleDefinition{
				events: []sampleEvent{purchase},
				models: []sampleItem{{name: "m0", stages: []string{"never('purchase')", "true"}}},
				segments: []sampleItem{
					{name: "g0", by: "in_stage('m0', 's0') ? 'low' : trait('country')"},
					{name: "g1", by: "known('tier') ? trait('tier') : 'none'"},
				},
			},
			track("28T00:00:00", "Order Completed", `"context":{"traits":{"country":"FR"}}`),
		},
		{
			"in value numeric strings are numbers, also below an operator",
			sampleDefinition{
				events: []sampleEvent{{"purchase", `{match: Order Completed, value: "properties.total * 1.19"}`}},
				models: always, segments: amount,
			},
			track("28T00:00:00", "Order Completed", `"properties":{"total":"12.50"}`),
		},
		{
			"a customer that expired has forgotten its messageIds, however the expiry was come by",
			sampleDefinition{head: []string{"retain: {anonymous: 1d}"}, events: []sampleEvent{purchase}, models: always},
			`{"anonymousId":"eve","type":"page","messageId":"m00","timestamp":"2026-03-28T00:00:00Z"}
			{"anonymousId":"eve","type":"page","messageId":"m00","timestamp":"2026-03-29T00:00:00.001Z"}
			{"anonymousId":"eve","type":"page","messageId":"m00","timestamp":"2026-03-30T00:00:00.001Z"}`,
		},
		{
			"the same with lateness",
			sampleDefinition{head: []string{"lateness: 1h", "retain: {anonymous: 1d}"}, events: []sampleEvent{purchase}, models: always},
			`{"anonymousId":"eve","type":"page","messageId":"m00","timestamp":"2026-03-28T00:00:00Z"}
			{"anonymousId":"eve","type":"page","messageId":"m00","timestamp":"2026-03-29T01:00:00.001Z"}
			{"anonymousId":"eve","type":"page","messageId":"m00","timestamp":"2026-03-30T02:00:00.001Z"}`,
		},
		{
			"keys of messages that wait are of who begins anew, also if they are applied in the step that ends who was before",
			sampleDefinition{
				head: []string{"lateness: 3h", "retain: {anonymous: 1d}"}, events: []sampleEvent{purchase},
				models: []sampleItem{{name: "m0", stages: []string{"count('purchase', '5d') >= 2", "true"}}}, segments: amount,
			},
			`{"anonymousId":"bob","type":"track","event":"Order Completed","timestamp":"2026-03-12T21:00:00Z","properties":{"order_id":"o1","total":20}}
			{"anonymousId":"bob","type":"track","event":"Order Completed","timestamp":"2026-03-13T21:30:00Z","properties":{"order_id":1,"total":5}}
			{"anonymousId":"bob","type":"identify","timestamp":"2026-03-14T04:30:00Z"}
			{"anonymousId":"bob","type":"track","event":"Order Completed","timestamp":"2026-03-14T05:30:00Z","properties":{"order_id":1,"total":10}}`,
		},
		{
			"a refund of all of it leaves nothing, before or after others, read before or after the order",
			sampleDefinition{events: []sampleEvent{purchase}, models: always, segments: amount},
			track("28T00:00:00", "Order Refunded", `"properties":{"order_id":1}`) + "\n" +
				track("28T01:00:00", "Order Refunded", `"properties":{"order_id":1,"total":3}`) + "\n" +
				track("28T02:00:00", "Order Completed", `"properties":{"order_id":"1","total":10}`) + "\n" +
				track("28T03:00:00", "Order Completed", `"properties":{"order_id":2,"total":10}`) + "\n" +
				track("28T04:00:00", "Order Refunded", `"properties":{"order_id":2,"total":3}`) + "\n" +
				track("28T05:00:00", "Order Refunded", `"properties":{"order_id":2}`) + "\n" +
				track("28T06:00:00", "Order Refunded", `"properties":{"order_id":2,"total":4}`),
		},
		{
			"what refunds make too large is no number",
			sampleDefinition{events: []sampleEvent{purchase}, models: always, segments: amount},
			track("28T00:00:00", "Order Completed", `"properties":{"order_id":1,"total":-8}`) + "\n" +
				track("28T01:00:00", "Order Completed", `"properties":{"order_id":2,"total":5}`) + "\n" +
				track("28T02:00:00", "Order Refunded", `"properties":{"order_id":1,"total":99999999999999.9}`),
		},
		{
			"what an expired customer forgets are not the keys and messageIds of those that still wait",
			sampleDefinition{
				head: []string{"lateness: 3d", "retain: {anonymous: 6h}"}, events: []sampleEvent{purchase}, models: always, segments: amount,
			},
			`{"anonymousId":"eve","type":"page","timestamp":"2026-03-28T00:00:00Z"}
			{"anonymousId":"eve","type":"track","event":"Order Completed","messageId":"m1","timestamp":"2026-03-31T05:00:00Z","properties":{"order_id":"o1","total":10}}
			{"anonymousId":"eve","type":"track","event":"Order Completed","messageId":"m2","timestamp":"2026-03-31T11:00:00Z","properties":{"order_id":"o1","total":7}}
			{"anonymousId":"eve","type":"track","event":"Order Completed","messageId":"m1","timestamp":"2026-03-31T12:00:00Z","properties":{"order_id":"o2","total":5}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sampleCase{def: &c.def, until: instant.Of(time.Date(2026, 4, 2, 0, 0, 0, 0, time.UTC))}
			for line := range strings.Lines(c.lines) {
				s.lines = append(s.lines, strings.TrimSpace(line))
			}
			var run session
			if d := s.disagreement(&run, againstOracle); d != "" {
				t.Errorf("replay: %s", d)
			}
			if d := s.disagreement(&run, tickingAgainstOracle); d != "" {
				t.Errorf("with ticks: %s", d)
			}
			if run.told.Events == 0 {
				t.Error("there were no records")
			}
		})
	}
}
