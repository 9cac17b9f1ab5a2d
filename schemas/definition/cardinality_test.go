// SPDX-License-Identifier: Apache-2.0

package definition_test

import (
	"testing"

	"lapwing/schemas/definition"
)

// TestCardinality: two events that are counted and one that is derived, a model of two
// stages and one of three, a plain segment and one of many values to count by.
func TestCardinality(t *testing.T) {
	const source = `lapwing: 1
name: n
version: 1
events: {a: {match: A}, b: {match: B}, c: {from: a, gap: 1h}}
models:
  - {name: m, stages: [{stage: x, when: never('a')}, {stage: y, when: "true"}]}
  - {name: n, stages: [{stage: x, when: never('a')}, {stage: y, when: never('b')}, {stage: z, when: "true"}]}
segments: [{name: s, when: never('a')}, {name: t, when: never('b')}, {name: country, by: trait('country')}]
`
	for text, want := range map[string]definition.Cardinality{
		// Places: all, 2 + 1 and 3 + 1 stages: 8. Changes: (3 * 2 + 4 * 3) * 7 causes. Too late: 1 + 2 + 2.
		source:                             {Counts: 2*8 + 2*3*8 + 3*8 + 18*7 + 5},
		source + "aggregates: {by: [s]}\n": {Counts: 2*9 + 2*3*8 + 3*9 + 18*7 + 5},
		source + "aggregates: {by: [s, country]}\n": {Counts: 2*(9+1001) + 2*3*8 + 3*(9+1001) + 18*7 + 5, Open: []string{"country"}},
	} {
		d, problems := definition.Parse("def.yaml", []byte(text))
		if len(problems) > 0 {
			t.Fatal(report(problems))
		}
		if got := d.Cardinality(); got.Counts != want.Counts || len(got.Open) != len(want.Open) {
			t.Errorf("got %+v, want %+v, of\n%s", got, want, text)
		}
	}
}
