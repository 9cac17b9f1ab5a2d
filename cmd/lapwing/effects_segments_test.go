// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"strings"
	"testing"

	"lapwing/sink/sinktest"
)

// fee is what a subscription of the made-up users costs: all of their revenue.
const fee = 29

// segmentsAreFound holds the lift and the revenue of trialEnds to what was set: of everyone,
// and of the stages that it changes each in its own way.
func segmentsAreFound(t *testing.T, d *sinktest.Database, all []world) {
	t.Helper()
	byName := map[string]*world{}
	for i := range all {
		byName[all[i].campaign] = &all[i]
	}
	for _, view := range []struct {
		name string
		unit float64 // what a conversion is worth
		// segments that enough customers are assigned in; with a trial of two weeks, few have
		// come to be activated, which is too few for means.
		segments []string
	}{
		{"kpi_campaign_lift", 1, []string{"", "onboarding=trial", "onboarding=activated"}},
		{"kpi_campaign_revenue", fee, []string{"", "onboarding=trial"}},
	} {
		var rows []struct {
			Campaign   string   `ch:"campaign"`
			Segment    string   `ch:"segment"`
			Difference *float64 `ch:"difference"`
			Low        *float64 `ch:"difference_low"`
			High       *float64 `ch:"difference_high"`
		}
		err := d.Conn.Select(t.Context(), &rows, `SELECT campaign, if(by = 'stage', concat(model, '=', target), '') AS segment, difference, difference_low, difference_high
			FROM `+d.Name+`.`+view.name+` WHERE goal = 'paid' AND by IN ('everyone', 'stage') AND variant = 'reminder'`)
		if err != nil {
			t.Fatal(err)
		}
		type score struct {
			told, within      int
			off, squares, set float64 // found less what was set, and its square; what was set
		}
		scores := map[string]*score{}
		for _, segment := range view.segments {
			scores[segment] = &score{}
		}
		for _, row := range rows {
			s := scores[row.Segment]
			if s == nil || row.Low == nil {
				continue
			}
			arm, ok := byName[strings.TrimSuffix(row.Campaign, paidSuffix)].truth.Find(trialEnds, "paid", row.Segment, "reminder")
			if !ok {
				t.Fatalf("%s, %+v: nothing was set", view.name, row)
			}
			effect := view.unit * arm.Effect
			s.told++
			if *row.Low <= effect && effect <= *row.High {
				s.within++
			}
			off := *row.Difference - effect
			s.off, s.squares, s.set = s.off+off, s.squares+off*off, s.set+effect
		}
		for segment, s := range scores {
			n := float64(s.told)
			t.Logf("%s, %q: of %d intervals %d hold the effect, %.4f on the mean; found is %+.4f off, give or take %.4f", view.name, segment, s.told, s.within, s.set/n, s.off/n, math.Sqrt(s.squares)/n)
			if s.told < worlds*9/10 || s.within < s.told*91/100 || s.within > s.told*99/100 {
				t.Errorf("%s, %q: %d of %d intervals hold the effect that was set, want 91 to 99 of 100, and %d at least", view.name, segment, s.within, s.told, worlds*9/10)
			}
			// Wide intervals hold nearly everything: the mean of all bases is right, too.
			if math.Abs(s.off) > 3*math.Sqrt(s.squares) {
				t.Errorf("%s, %q: on the mean %+.4f off the effect that was set", view.name, segment, s.off/n)
			}
		}
		// The truths differ, or a view that knows nothing of segments would do.
		if trial, activated := scores["onboarding=trial"], scores["onboarding=activated"]; activated != nil && activated.set/float64(activated.told) < 1.5*trial.set/float64(trial.told) {
			t.Errorf("%s: set were %.3f and %.3f: no difference by targeted segment", view.name, trial.set/float64(trial.told), activated.set/float64(activated.told))
		}
	}
}
