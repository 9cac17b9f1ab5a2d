// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

const (
	planWinback = `
  - name: winback
    audience: in_stage('value', 'at_risk')
    holdout: 30%
    variants: {a: 40%, b: 30%}
`
	planFirst  = followFirstAlone + "campaigns:" + planWinback + "  - {name: old, audience: \"seen('purchase', '30d')\", variants: {a: 100%}}\n"
	planSecond = followSecondAlone + "campaigns:" + planWinback + `  - name: buyers
    audience: count('purchase') >= 1
    holdout: 50%
    variants: {mail: 25%, push: 25%}
`
)

// Who the plan says is assigned at once, per campaign, variant and holdout, is who the
// apply assigns; nobody who is assigned already is assigned anew.
func TestPlanCountsAssignments(t *testing.T) {
	messages, last := story(t, 60)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(planFirst), nil)
		r := w.start(w.cfg)
		w.produce("events", messages...)
		w.end(last)
		w.wait(r, last)
		p, err := PreviewOf(t.Context(), w.cfg, parse(t, []byte(planSecond)), w.deps(&plug{w: w}), t.TempDir(), 10_000, func(_, _ int32) {})
		if err != nil {
			t.Fatal(err)
		}
		same, err := PreviewOf(t.Context(), w.cfg, w.def, w.deps(&plug{w: w}), t.TempDir(), 10_000, func(_, _ int32) {})
		if err != nil {
			t.Fatal(err)
		}
		if same.Changes() || same.Assigning != 0 {
			t.Errorf("what is live would change: %+v", same)
		}
		before := w.assigned(1)
		w.awaitFollowing(w.apply(planSecond, instant.None), true)
		r.stop(t)
		after := w.assigned(2)

		planned, customers := map[string]int64{}, map[string]bool{}
		note := func(campaign, arm string, n int64) {
			if n > 0 {
				planned[campaign+" "+arm] = n
			}
		}
		for _, c := range p.Campaigns {
			if n := int64(len(before[c.Campaign])); c.Assigned != n {
				t.Errorf("%d are assigned in %s by the plan, %d are", c.Assigned, c.Campaign, n)
			}
			sum := c.Holdout
			note(c.Campaign, "holdout", c.Holdout)
			for _, v := range c.Variants {
				note(c.Campaign, v.Variant, v.Assign)
				sum += v.Assign
			}
			if sum != c.Assign {
				t.Errorf("%s: %d in the arms, %d in all", c.Campaign, sum, c.Assign)
			}
		}
		became := map[string]int64{}
		for campaign, arms := range after {
			for id, arm := range arms {
				became[campaign+" "+arm]++
				customers[id] = true
				if _, again := before[campaign][id]; again {
					t.Errorf("%s is assigned in %s for the second time", id, campaign)
				}
			}
		}
		if !maps.Equal(planned, became) || len(after["winback"]) == 0 || len(after["buyers"]) == 0 {
			t.Errorf("planned %v\nbecame %v", planned, became)
		}
		if p.Assigning != int64(len(customers)) || !p.Changes() {
			t.Errorf("%d customers would be assigned, %d were", p.Assigning, len(customers))
		}
		told := 0
		for _, s := range p.Sample {
			for _, c := range s.Changes {
				if c.Campaign == "" {
					continue
				}
				told++
				arm := c.Variant
				if c.Holdout {
					arm = "holdout"
				}
				if after[c.Campaign][s.Customer] != arm || c.Condition == "" {
					t.Errorf("%s would be assigned %+v, and is %q", s.Customer, c, after[c.Campaign][s.Customer])
				}
			}
		}
		if told != len(after["winback"])+len(after["buyers"]) {
			t.Errorf("%d assignments are told of, want %d and %d", told, len(after["winback"]), len(after["buyers"]))
		}
		var changes []string
		for _, c := range p.Campaigns {
			changes = append(changes, c.Campaign+" "+c.Change)
		}
		if want := []string{"winback kept", "buyers added", "old removed"}; !slices.Equal(changes, want) {
			t.Errorf("campaigns %v, want %v", changes, want)
		}
	})
}

// assigned are the arms given under a version of the definition, by campaign and customer.
func (w *world) assigned(version int64) map[string]map[string]string {
	w.t.Helper()
	all := map[string]map[string]string{}
	for _, r := range w.all(topics.Assignments) {
		rec, err := record.DecodeRecord(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if rec.DefinitionVersion != version {
			continue
		}
		if all[rec.Campaign] == nil {
			all[rec.Campaign] = map[string]string{}
		}
		arm := rec.Variant
		if rec.Holdout {
			arm = "holdout"
		}
		if was, twice := all[rec.Campaign][rec.CustomerID]; twice {
			w.t.Error(fmt.Sprint(rec.CustomerID, " is assigned in ", rec.Campaign, " twice: ", was))
		}
		all[rec.Campaign][rec.CustomerID] = arm
	}
	return all
}
