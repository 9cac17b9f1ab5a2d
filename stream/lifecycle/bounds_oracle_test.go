// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// boundsDefinition shows numbers as names of segments, from the first probe on.
const boundsDefinition = `lapwing: 1
name: bounds
version: 1
events:
  purchase: {match: Order Completed, value: properties.total, key: properties.order_id}
  visit:    {match: {type: page}}
  probe:    {match: Probe}
models:
  - {name: m, stages: [{stage: only, when: "true"}]}
segments:
  - {name: count, by: "never('probe') ? 0 : count('purchase')"}
  - {name: sum, by: "never('probe') ? 0 : sum('purchase')"}
  - {name: max, by: "never('probe') ? 0 : max('purchase', '30d')"}
  - {name: unique, by: "never('probe') ? 0 : unique('purchase', 'order_id', '30d')"}
  - {name: days, by: "never('probe') ? 0 : days('purchase', '30d')"}
  - {name: since, by: "never('probe') ? 0 : count_since('purchase', 'visit')"}
  - {name: visits, by: "count('visit')"}
`

// TestBoundsAgainstOracle goes past what is remembered: 256 messageIds, 4,096 keys,
// and the newest 4,096 instants that sums and the like read.
func TestBoundsAgainstOracle(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the oracle computes everything again for each of 4,400 messages: some 10 s")
	}
	def, problems := definition.Parse("bounds.yaml", []byte(boundsDefinition))
	if def == nil || hasError(problems) {
		t.Fatalf("parse: %v", problems)
	}
	model, problems := lifecycle.Compile(def)
	if model == nil || hasError(problems) {
		t.Fatalf("compile: %v", problems)
	}
	judge, err := oracle.New(def)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]byte
	add := func(day int, format string, args ...any) {
		lines = append(lines, fmt.Appendf(nil, `{"userId":"u","timestamp":"2026-01-%02dT00:00:00Z",%s}`, day, fmt.Sprintf(format, args...)))
	}
	order := func(day, key, total int) {
		add(day, `"type":"track","event":"Order Completed","properties":{"order_id":%d,"total":%d}`, key, total)
	}
	visit := func(day, id int) { add(day, `"type":"page","messageId":"v%d"`, id) }
	probe := func(day int) { add(day, `"type":"track","event":"Probe"`) }

	for i := range 300 {
		visit(1, i)
	}
	visit(1, 44)  // the oldest that is remembered
	visit(1, 43)  // forgotten
	visit(1, 44)  // forgotten with it
	visit(1, 299) // remembered
	for i := range 4100 {
		order(2+i/1500, i, 1+1000*max(0, 6-i)) // the first six are large
	}
	probe(6)
	order(6, 0, 7)    // forgotten
	order(6, 5, 9)    // the oldest that is remembered
	order(6, 4099, 9) // remembered
	order(6, 4, 9)    // forgotten
	order(3, 9001, 5) // late, but among the newest
	order(1, 9002, 5) // late, and older than the newest
	probe(7)

	var messages []oracle.Message
	for _, line := range lines {
		m, ok := oracle.Decode(line)
		if !ok {
			t.Fatalf("the oracle cannot use the line %s", line)
		}
		messages = append(messages, m)
	}
	until, _ := instant.Parse("2026-03-01")
	got, err := fold(model, "u", lines, until)
	if err != nil {
		t.Fatal(err)
	}
	want := judge.Customer("u", messages, until)
	if d := difference(want, got); d != "" {
		t.Fatalf("the last lines of %d are the interesting ones: %s", len(lines), d)
	}
}
