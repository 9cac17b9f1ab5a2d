// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
	"lapwing/stream/generate"
)

// worlds is how many bases of made-up customers the tests of statistics look at, each from
// a seed of its own.
const worlds = 200

// tutorial is the campaign they look at: a week's window, two variants, no difference by
// targeted segment.
const tutorial = "tutorial"

// trialEnds is another one: it has an effect of its own on each stage of onboarding, and its
// goal is worth money. Its name here is that of the first with this behind it.
const trialEnds, paidSuffix = "trial-ends", "-paid"

// world is one base: what the fold said of the campaigns, under names of their own, and the
// truth.
type world struct {
	campaign   string
	paid       bool // whether trialEnds is kept, too
	records    []record.Record
	truth      *generate.Truth
	start, end instant.Instant
}

// newWorlds lives them, with campaigns as strong as that.
func newWorlds(t *testing.T, prefix string, strength float64, paid bool) []world {
	t.Helper()
	all := make([]world, worlds)
	group := errgroup.Group{}
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range all {
		group.Go(func() (err error) {
			all[i], err = newWorld(fmt.Sprintf("%s-%03d", prefix, i), uint64(i+1), 300, strength, paid)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}

func newWorld(campaign string, seed uint64, customers int, strength float64, paid bool) (world, error) {
	s := generate.DefaultSettings()
	s.Preset, s.Customers, s.Days, s.Seed, s.Strength = "saas-onboarding", customers, 35, seed, strength
	made, err := generate.New(s)
	if err != nil {
		return world{}, err
	}
	w := world{campaign: campaign, paid: paid, start: s.Start, end: made.End()}
	w.truth, err = made.Records(func(r *record.Record) error {
		kept := *r
		kept.CustomerID = campaign + "-" + r.CustomerID
		switch {
		case r.Campaign == tutorial:
			kept.Campaign = campaign
		case r.Campaign == trialEnds && paid:
			kept.Campaign = campaign + paidSuffix
		default:
			return nil
		}
		kept.SetID()
		w.records = append(w.records, kept)
		return nil
	})
	return w, err
}

// definitionOf is the record of a definition that holds the campaigns of each base.
func definitionOf(t *testing.T, all []world) []byte {
	t.Helper()
	type object = map[string]any
	var campaigns []object
	for i := range all {
		name := all[i].campaign
		if all[i].paid {
			campaigns = append(campaigns, object{
				"name": name + paidSuffix, "salt": name, "holdout": 0.4, "audience": "true",
				"variants": []object{{"name": "reminder", "share": 0.6}},
				"goals":    []object{{"name": "paid", "event": "subscription_started", "within_ms": 14 * 24 * time.Hour / time.Millisecond, "value": "total"}},
			})
		}
		campaigns = append(campaigns, object{
			"name": name, "salt": name, "holdout": 0.3, "audience": "true",
			"variants": []object{{"name": "video", "share": 0.35}, {"name": "text", "share": 0.35}},
			"goals":    []object{{"name": "completed", "event": "tutorial_completed", "within_ms": 7 * 24 * time.Hour / time.Millisecond}},
		})
	}
	value, err := json.Marshal(object{
		"name": "saas-onboarding", "version": 1, "hash": "00", "timezone": "UTC", "currency": "USD", "activated_at": "2025-01-01T00:00:00Z",
		"models": []object{}, "segments": []string{}, "campaigns": campaigns, "source": "name: test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// arriving is what the fold said of all bases, in order of time, on its way into ClickHouse
// as the sink brings it there.
type arriving struct {
	d       *sinktest.Database
	rows    []record.Record
	offsets map[string]int64
}

func newArriving(t *testing.T, d *sinktest.Database, all []world) *arriving {
	t.Helper()
	a := &arriving{d: d, offsets: map[string]int64{}}
	for i := range all {
		a.rows = append(a.rows, all[i].records...)
	}
	slices.SortStableFunc(a.rows, func(x, y record.Record) int { return cmp.Compare(x.EffectiveAt, y.EffectiveAt) })
	if err := d.Insert(t.Context(), []batch.Record{a.next(topics.Definitions, "saas-onboarding", definitionOf(t, all))}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *arriving) next(topic, key string, value []byte) batch.Record {
	a.offsets[topic]++
	return batch.Record{Topic: sinktest.Prefix + topic, Name: topic, Offset: a.offsets[topic] - 1, Generation: 1, Key: []byte(key), Value: value}
}

// until writes what was said before an instant, and moves the clock of the KPIs there.
func (a *arriving) until(t *testing.T, at instant.Instant) {
	t.Helper()
	var rows []batch.Record
	n := 0
	for ; n < len(a.rows) && a.rows[n].EffectiveAt < at; n++ {
		topic := topics.Assignments
		if a.rows[n].Kind == record.Conversion {
			topic = topics.Conversions
		}
		rows = append(rows, a.next(topic, a.rows[n].CustomerID, a.rows[n].AppendJSON(nil)))
	}
	a.rows = a.rows[n:]
	clock := record.Record{
		Kind: record.StageChange, CustomerID: "clock", Definition: "saas-onboarding", DefinitionVersion: 1, Sequence: int64(at), Model: "onboarding", To: "visitor",
		EffectiveAt: at, DetectedAt: at, Cause: record.Cause{Type: record.CauseDeadline, EventTime: instant.None}, Since: instant.None, NextDeadline: instant.None,
	}
	clock.SetID()
	if err := a.d.Insert(t.Context(), append(rows, a.next(topics.StageChanges, "clock", clock.AppendJSON(nil)))); err != nil {
		t.Fatal(err)
	}
}

// lift is a row of kpi_campaign_lift about everyone.
type lift struct {
	Campaign   string   `ch:"campaign"`
	Variant    string   `ch:"arm"`
	Assigned   uint64   `ch:"assigned"`
	Difference *float64 `ch:"difference"`
	Low        *float64 `ch:"difference_low"`
	High       *float64 `ch:"difference_high"`
	AlwaysLow  *float64 `ch:"always_valid_low"`
	AlwaysHigh *float64 `ch:"always_valid_high"`
	Verdict    string   `ch:"verdict"`
}

func lifts(ctx context.Context, t *testing.T, d *sinktest.Database) []lift {
	t.Helper()
	var rows []lift
	err := d.Conn.Select(ctx, &rows, `SELECT campaign, assumeNotNull(variant) AS arm, assigned, difference, difference_low, difference_high, always_valid_low, always_valid_high, verdict
		FROM `+d.Name+`.kpi_campaign_lift WHERE by = 'everyone' AND goal = 'completed' AND kpi_campaign_lift.variant IS NOT NULL ORDER BY campaign, arm`)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestSetEffectsAreFound: over 200 made-up bases, through the fold and the views of
// ClickHouse, the intervals of the lift hold the effect that was set in 95 % of the cases,
// give or take 4; those that hold at all times do so in at least as many; none is said to do
// harm; and in a base that is large enough the verdict shows both effects. The same of an
// effect that differs by targeted segment, and of the revenue that it makes.
func TestSetEffectsAreFound(t *testing.T) {
	ctx := t.Context()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "set_effects")
	all := newWorlds(t, "set", 1, true)
	large, err := newWorld("large", worlds+1, 8000, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, large)
	truths := map[string]*generate.Truth{}
	for i := range all {
		truths[all[i].campaign] = all[i].truth
	}
	newArriving(t, d, all).until(t, all[0].end)
	t.Run("per segment", func(t *testing.T) { segmentsAreFound(t, d, all[:worlds]) })
	type score struct{ rows, within, always, wrong int }
	scores := map[string]*score{"video": {}, "text": {}}
	for _, row := range lifts(ctx, t, d) {
		arm, ok := truths[row.Campaign].Find(tutorial, "completed", "", row.Variant)
		if !ok || row.Low == nil {
			t.Fatalf("%+v: nothing was set, or nothing found", row)
		}
		if int64(row.Assigned) < arm.Assigned {
			t.Fatalf("%+v: the truth counts %d", row, arm.Assigned)
		}
		if row.Campaign == large.campaign {
			if row.Verdict != "more than the holdout" {
				t.Errorf("%+v: an effect of %.3f over %d customers is not shown", row, arm.Effect, arm.Assigned)
			}
			continue
		}
		s := scores[row.Variant]
		s.rows++
		if *row.Low <= arm.Effect && arm.Effect <= *row.High {
			s.within++
		}
		if row.AlwaysLow == nil || *row.AlwaysLow <= arm.Effect && arm.Effect <= *row.AlwaysHigh {
			s.always++
		}
		if row.Verdict == "fewer than the holdout" {
			s.wrong++
		}
	}
	for variant, s := range scores {
		t.Logf("%s: of %d intervals %d hold the effect, of those for all times %d", variant, s.rows, s.within, s.always)
		if s.rows != worlds || s.within < worlds*91/100 || s.within > worlds*99/100 {
			t.Errorf("%s: %d of %d intervals hold the effect that was set, want %d to %d of %d", variant, s.within, s.rows, worlds*91/100, worlds*99/100, worlds)
		}
		if s.always < s.within {
			t.Errorf("%s: %d intervals for all times hold the effect, and %d for one look", variant, s.always, s.within)
		}
		if s.wrong > 0 {
			t.Errorf("%s: said %d times to do harm", variant, s.wrong)
		}
	}
}

// TestNoEffectIsFoundWhereThereIsNone: the same with campaigns that change nothing, looked
// at every day: who stops at the first day on which the verdict claims a difference is wrong
// in at most 5 % of the bases, give or take chance (4 of 100). Fixed intervals, looked at
// daily, are wrong far more often, or the test could not tell.
func TestNoEffectIsFoundWhereThereIsNone(t *testing.T) {
	ctx := t.Context()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "no_effects")
	all := newWorlds(t, "none", 0, false)
	rows := newArriving(t, d, all)
	claimed, fixed, atEnd, days := map[string]bool{}, map[string]bool{}, 0, 0
	// The first windows have closed after a week.
	for day := all[0].start.Add(8 * 24 * time.Hour); day <= all[0].end; day = day.Add(24 * time.Hour) {
		rows.until(t, day)
		days++
		found := lifts(ctx, t, d)
		if len(found) != 2*worlds {
			t.Fatalf("%s: %d rows for %d bases with two variants", day, len(found), worlds)
		}
		for _, row := range found {
			switch row.Verdict {
			case "more than the holdout", "fewer than the holdout":
				claimed[row.Campaign] = true
			}
			if row.Low != nil && (*row.Low > 0 || *row.High < 0) {
				fixed[row.Campaign] = true
				if day == all[0].end && row.Variant == "video" {
					atEnd++
				}
			}
		}
	}
	t.Logf("of %d bases, looked at on %d days, the verdict claims a difference in %d, intervals for one look in %d; at the end alone these do in %d", worlds, days, len(claimed), len(fixed), atEnd)
	if len(claimed) > worlds*9/100 {
		t.Errorf("the verdict is wrong in %d of %d bases, want at most 5 in 100, and 4 for chance", len(claimed), worlds)
	}
	if atEnd > worlds*9/100 || atEnd < worlds/100 {
		t.Errorf("at the end %d of %d intervals leave out 0, want 1 to 9 in 100", atEnd, worlds)
	}
	if len(fixed) < worlds*10/100 {
		t.Errorf("fixed intervals looked at daily are wrong in only %d of %d bases: this says nothing of peeking", len(fixed), worlds)
	}
}
