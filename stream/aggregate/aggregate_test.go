// SPDX-License-Identifier: Apache-2.0

package aggregate_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/aggregate"
)

func at(text string) instant.Instant {
	i, ok := instant.Parse(text)
	if !ok {
		panic(text)
	}
	return i
}

func def(zone string) *definition.Definition {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		panic(err)
	}
	return &definition.Definition{
		Name: definition.Text{Value: "shop"}, Zone: loc,
		Models:     []definition.Model{{Name: definition.Text{Value: "value"}}},
		Aggregates: definition.Aggregates{By: []definition.Text{{Value: "buyers"}, {Value: "country"}}},
	}
}

func bought(when string, value decimal.Decimal, stage string) *record.Activity {
	a := &record.Activity{Occurrence: []record.Occurrence{{Event: "purchase", At: at(when), Value: value, HasValue: true}}}
	if stage != "" {
		a.Stages = []record.StageAt{{Model: "value", Stage: stage}}
	}
	return a
}

func of(as []record.Aggregate, m record.Measure) (only []record.Aggregate) {
	for _, a := range as {
		if a.Measure == m {
			only = append(only, a)
		}
	}
	return only
}

func lines(as []record.Aggregate) string {
	var b strings.Builder
	for _, a := range as {
		fmt.Fprintf(&b, "%s %s %s %s%s/%s%s>%s %s %d %s\n", a.Measure, a.Grain, a.Period, a.Event, a.Model, a.Stage, a.From, a.To, a.Cause, a.Count, a.Sum)
	}
	return b.String()
}

// Hours, days, Monday weeks and months of the definition's zone; per model by the
// stage just before, empty before the first evaluation.
func TestPeriodsAndStages(t *testing.T) {
	totals := aggregate.New(def("Europe/Berlin"), 3)
	totals.Add(bought("1997-03-30T22:30:00Z", 10_5000, "")) // 31 March, 00:30: a Monday in summer time
	totals.Add(bought("1997-03-31T21:59:59.999Z", 20_0000, "new"))
	want := `event hour 1997-03-30T22:00:00Z purchase/>  1 10.5
event hour 1997-03-30T22:00:00Z purchasevalue/>  1 10.5
event hour 1997-03-31T21:00:00Z purchase/>  1 20
event hour 1997-03-31T21:00:00Z purchasevalue/new>  1 20
event day 1997-03-30T22:00:00Z purchase/>  2 30.5
event day 1997-03-30T22:00:00Z purchasevalue/>  1 10.5
event day 1997-03-30T22:00:00Z purchasevalue/new>  1 20
event week 1997-03-30T22:00:00Z purchase/>  2 30.5
event week 1997-03-30T22:00:00Z purchasevalue/>  1 10.5
event week 1997-03-30T22:00:00Z purchasevalue/new>  1 20
event month 1997-02-28T23:00:00Z purchase/>  2 30.5
event month 1997-02-28T23:00:00Z purchasevalue/>  1 10.5
event month 1997-02-28T23:00:00Z purchasevalue/new>  1 20
`
	changed := totals.Changed()
	if got := lines(of(changed, record.MeasureEvent)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if changed[0].Lane != 3 || changed[0].Definition != "shop" {
		t.Errorf("lane %d of %s", changed[0].Lane, changed[0].Definition)
	}
	if again := totals.Changed(); again != nil {
		t.Errorf("nothing happened, yet %v changed", again)
	}
}

// TestPeriodsAreOfTheirOwnDates: the start of a day, week or month lies in it, also where
// clocks are put forward at midnight, so that date has no 00:00.
func TestPeriodsAreOfTheirOwnDates(t *testing.T) {
	for zone, date := range map[string]string{"America/Santiago": "2025-09-07", "Africa/Cairo": "2025-04-25", "America/Asuncion": "2023-10-01"} {
		d := def(zone)
		noon, err := time.ParseInLocation(time.DateTime, date+" 12:00:00", d.Zone)
		if err != nil {
			t.Fatal(err)
		}
		totals := aggregate.New(d, 0)
		totals.Add(bought(noon.UTC().Format(time.RFC3339), 1_0000, ""))
		starts := map[record.Grain]string{record.Day: date}
		starts[record.Week] = noon.AddDate(0, 0, -(int(noon.Weekday())+6)%7).Format(time.DateOnly)
		starts[record.Month] = date[:8] + "01"
		for _, a := range totals.Changed() {
			if want := starts[a.Grain]; want != "" && a.Period.Time().In(d.Zone).Format(time.DateOnly) != want {
				t.Errorf("%s: the %s of %s begins at %v", zone, a.Grain, date, a.Period.Time().In(d.Zone))
			}
		}
	}
}

// A refund takes its value off at the refunded occurrence's time, and counts nothing;
// an occurrence without a number counts, but has no part in the sum.
func TestRefundsAndMissingValues(t *testing.T) {
	totals := aggregate.New(def("UTC"), 0)
	totals.Add(bought("1997-01-01T00:00:00Z", 10_0000, ""))
	refund := bought("1997-01-01T00:00:00Z", -4_0000, "new")
	refund.EventTime = at("1997-02-01T00:00:00Z")
	refund.Occurrence[0].Refund = true
	totals.Add(refund)
	none := bought("1997-01-01T00:00:00Z", 0, "")
	none.Occurrence[0].HasValue = false
	totals.Add(none)
	for _, a := range totals.Changed() {
		if a.Model == "" && (a.Count != 2 || a.Sum != 6_0000 || a.Period > at("1997-01-01T00:00:00Z")) {
			t.Errorf("%s: count %d, sum %s, want 2 and 6", a.Grain, a.Count, a.Sum)
		}
	}
}

func TestTransitions(t *testing.T) {
	totals := aggregate.New(def("UTC"), 0)
	r := record.Record{Kind: record.StageChange, Model: "value", To: "new", EffectiveAt: at("1997-01-01T05:00:00Z"), Cause: record.Cause{Type: record.CauseEvent}}
	totals.AddTransition(&r)
	totals.AddTransition(&r)
	totals.AddTransition(&record.Record{Kind: record.SegmentChange, Segment: "x", EffectiveAt: r.EffectiveAt})
	want := `transition hour 1997-01-01T05:00:00Z value/>new event 2 0
transition day 1997-01-01T00:00:00Z value/>new event 2 0
transition week 1996-12-30T00:00:00Z value/>new event 2 0
transition month 1997-01-01T00:00:00Z value/>new event 2 0
`
	if got := lines(totals.Changed()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// What lies close_after behind the clock is counted as too late and changes no total,
// whatever the grain; without a clock nothing closes. Hours leave, days stay.
func TestClosing(t *testing.T) {
	totals := aggregate.New(def("UTC"), 0)
	totals.Add(bought("1997-01-01T00:00:00Z", 1_0000, ""))
	totals.Changed()
	totals.Close(at("1997-01-01T00:00:00Z").Add(definition.DefaultCloseAfter))
	totals.Add(bought("1996-12-31T23:59:59.999Z", 1_0000, ""))
	want := `too_late day 1996-12-31T00:00:00Z purchase/>  1 0
too_late week 1996-12-30T00:00:00Z purchase/>  1 0
too_late month 1996-12-01T00:00:00Z purchase/>  1 0
`
	if got := lines(totals.Changed()); got != want || totals.TooLate() != 1 {
		t.Errorf("a millisecond too late: changed\n%s, too late %d", got, totals.TooLate())
	}
	totals.Add(bought("1997-01-01T00:00:00Z", 1_0000, ""))
	if got := of(totals.Changed(), record.MeasureEvent); len(got) != 8 || got[0].Count != 2 {
		t.Errorf("at the very instant: %v", got)
	}
	totals.Close(at("1997-01-03T00:00:00Z").Add(definition.DefaultCloseAfter))
	dropped := 0
	totals.EachDropped(func(key []byte) {
		dropped++
		if err := totals.Restore(key, nil); err != nil {
			t.Error(err)
		}
	})
	if dropped != 4 { // for all and by stage, each by that of the event and of the session
		t.Errorf("%d hours dropped, want 4", dropped)
	}
	totals.Close(at("1997-01-02T00:00:00Z")) // never back
	if got := totals.ClosedUntil(); got != at("1997-01-03T00:00:00Z") {
		t.Errorf("closed until %s", got)
	}
}

// Rolled back, the totals are what they were; restored from what they wrote, they are
// the same; the same facts in another order give the same totals.
func TestRollbackRestoreAndOrder(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 4))
	a, b := aggregate.New(def("Asia/Kathmandu"), 1), aggregate.New(def("Asia/Kathmandu"), 1)
	restored := aggregate.New(def("Asia/Kathmandu"), 1)
	begin := at("1997-01-01T00:00:00Z")
	var facts []*record.Activity
	log := map[string][]byte{}
	for range 300 {
		f := &record.Activity{
			Occurrence: []record.Occurrence{{
				Event: fmt.Sprint("e", rng.IntN(3)), At: begin.Add(time.Duration(rng.IntN(60*24*60)) * time.Minute),
				Value: decimal.Decimal(rng.IntN(100_0000)), HasValue: true,
			}}, Stages: []record.StageAt{{Model: "value", Stage: fmt.Sprint("s", rng.IntN(2))}},
			SessionStages: []record.StageAt{{Model: "value", Stage: fmt.Sprint("s", rng.IntN(2))}}, Platform: []string{"", "app", "site"}[rng.IntN(3)],
			Segments: []string{"buyers", "country=FR", "other"}[rng.IntN(3):], SessionBegins: rng.IntN(3) == 0,
		}
		f.SessionStart = f.Occurrence[0].At
		a.Add(f)
		if rng.IntN(3) == 0 {
			a.Rollback()
			continue
		}
		facts = append(facts, f)
		a.Each(func(_ *record.Aggregate, key, value []byte) { log[string(key)] = append([]byte(nil), value...) })
		a.Commit()
	}
	for _, i := range rng.Perm(len(facts)) {
		b.Add(facts[i])
	}
	for k, v := range log {
		if err := restored.Restore([]byte(k), v); err != nil {
			t.Fatal(err)
		}
	}
	// All totals of a and restored come out once each of them is touched.
	want := b.Changed()
	for _, totals := range []*aggregate.Totals{a, restored} {
		for _, f := range facts {
			totals.Add(f)
			back := *f
			back.Occurrence = []record.Occurrence{f.Occurrence[0]}
			back.Occurrence[0].Refund, back.Occurrence[0].Value, back.Occurrence[0].Before = true, -f.Occurrence[0].Value, f.Occurrence[0].Value
			back.SessionBegins = false
			totals.Add(&back)
		}
		got := totals.Changed()
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d totals, want %d", seed, len(got), len(want))
		}
		counted := map[string]int64{}
		for _, f := range facts {
			o := f.Occurrence[0]
			counted[o.Event]++
		}
		for i := range got {
			got[i].Count /= 2 // each fact was counted again, to touch its totals
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("seed %d: got %+v, want %+v", seed, got[i], want[i])
			}
		}
	}
}

func FuzzRestore(f *testing.F) {
	seedTotals := aggregate.New(def("UTC"), 0)
	seedTotals.Add(bought("1997-01-01T00:00:00Z", 1_0000, "new"))
	seedTotals.Each(func(_ *record.Aggregate, key, value []byte) {
		f.Add(append([]byte(nil), key...), append([]byte(nil), value...))
	})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		totals := aggregate.New(def("UTC"), 0)
		if err := totals.Restore(key, value); err != nil {
			return
		}
		if err := totals.Restore(key, value); err != nil {
			t.Fatalf("restored once, then refused: %v", err)
		}
	})
}
