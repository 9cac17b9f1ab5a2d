// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
	"lapwing/stream/lifecycle"
)

// TestGlobalHoldoutIsToldInSQL: the view global_holdout tells of each customer whether the
// evaluator keeps it out of a campaign that everybody else is assigned in.
func TestGlobalHoldoutIsToldInSQL(t *testing.T) {
	const source = `lapwing: 1
name: shop
version: 1
global_holdout: 12.34%
events: {visit: {match: Visit}}
segments: [{name: visitors, when: "!never('visit')"}]
campaigns:
  - {name: all, audience: "!never('visit')", variants: {a: 100%}}
`
	def, problems := definition.Parse("shop.yaml", []byte(source))
	if def == nil {
		t.Fatal(problems)
	}
	model, problems := lifecycle.Compile(def)
	if model == nil {
		t.Fatal(problems)
	}
	live, err := json.Marshal(map[string]any{
		"name": "shop", "version": 1, "hash": "00", "timezone": "UTC", "activated_at": "2026-01-01T00:00:00Z", "models": []string{}, "segments": []string{},
		"campaigns": []string{}, "global_holdout": 0.1234, "source": source,
	})
	if err != nil {
		t.Fatal(err)
	}
	records := []batch.Record{{Topic: sinktest.Prefix + topics.Definitions, Name: topics.Definitions, Generation: 1, Key: []byte("shop"), Value: live}}
	at := instant.Of(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	decoder := event.NewDecoder(model.Projection(), event.DefaultLimits())
	keptOut := map[string]bool{}
	for i := range 3000 {
		customer := fmt.Sprintf([]string{"u%d", "Ünïcode %d", "%d@example.com"}[i%3], i)
		line, err := json.Marshal(map[string]string{"type": "track", "event": "Visit", "userId": customer, "messageId": customer, "timestamp": "2026-01-02T00:00:00Z"})
		if err != nil {
			t.Fatal(err)
		}
		var message event.Message
		if cause := decoder.Decode(line, instant.None, &message); cause != "" {
			t.Fatalf("%s: %s", line, cause)
		}
		var state lifecycle.State
		var out lifecycle.Output
		model.Accept(&state, customer, &message, at, &out)
		model.Finish(&state, customer, at, &out)
		assigned := false
		for j := range out.Records {
			assigned = assigned || out.Records[j].Kind == record.Assignment
		}
		keptOut[customer] = !assigned
		p := record.Profile{CustomerID: customer, Traits: json.RawMessage("{}")}
		records = append(records, batch.Record{
			Topic: sinktest.Prefix + topics.Profiles, Name: topics.Profiles, Offset: int64(i), Generation: 1, Key: []byte(customer), Value: p.AppendJSON(nil),
		})
	}
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "global_holdout")
	if err := d.Insert(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Customer string `ch:"customer_id"`
		HeldOut  bool   `ch:"held_out"`
	}
	if err := d.Conn.Select(t.Context(), &rows, "SELECT customer_id, held_out FROM "+d.Name+".global_holdout"); err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, row := range rows {
		if row.HeldOut != keptOut[row.Customer] {
			t.Errorf("%s: held out %t, by the evaluator %t", row.Customer, row.HeldOut, keptOut[row.Customer])
		}
		if row.HeldOut {
			held++
		}
	}
	if len(rows) != len(keptOut) || held < 300 || held > 450 {
		t.Errorf("%d of %d customers held out, want about 370 of %d", held, len(rows), len(keptOut))
	}
}
