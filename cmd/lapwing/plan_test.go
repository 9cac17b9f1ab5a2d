// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"lapwing/stream"
)

// A trait can have a million values: people see those that matter, programs all.
func TestPlanShowsTheValuesThatMatter(t *testing.T) {
	p := &stream.Preview{Segments: []stream.GroupPreview{{Name: "big", Change: "kept"}}}
	for i := range 1000 {
		g := stream.GroupPreview{Name: fmt.Sprintf("country=%04d", i), Change: "kept", Stay: 7}
		if i%100 == 50 {
			g.Enter = 3 // ten values change
		}
		p.Segments = append(p.Segments, g)
	}
	p.Segments = append(p.Segments, stream.GroupPreview{Name: "device=ios", Change: "kept"})
	text := string(planText(p))
	for _, want := range []string{"big", "country=0050", "country=0950", "device=ios", "and 980 more"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "country="); n != valuesShown {
		t.Errorf("%d values are shown, want %d", n, valuesShown)
	}
	if strings.Index(text, "country=0050") > strings.Index(text, "country=0950") {
		t.Errorf("the values are not in their order:\n%s", text)
	}
}

// The plan says who would be assigned at once, per arm, and why.
func TestPlanShowsAssignments(t *testing.T) {
	p := &stream.Preview{
		Customers: 1200, Assigning: 1000,
		Campaigns: []stream.CampaignPreview{
			{Campaign: "winback", Change: "kept", Assigned: 77},
			{Campaign: "hello", Change: "added", Assign: 1000, Holdout: 100, Variants: []stream.VariantPreview{{Variant: "short", Assign: 900}}},
		},
		Sample: []stream.Preliminary{{Customer: "u1", Changes: []stream.PreliminaryChange{
			{Campaign: "hello", Variant: "short", Condition: "seen('visit', '1d')"}, {Campaign: "other", Holdout: true, Condition: "anonymous()"},
		}}},
	}
	got := string(planText(p))
	for _, want := range []string{
		"1,200 customers, 0 of them change, 1,000 are assigned\n",
		"  winback                                77            0\n",
		"  hello                                   0        1,000  added\n",
		"    short                                            900\n",
		"    holdout                                          100\n",
		"    is assigned in hello: short: seen('visit', '1d')\n",
		"    is in the holdout of other: anonymous()\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the plan lacks %q:\n%s", want, got)
		}
	}
}
