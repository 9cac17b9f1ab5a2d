// SPDX-License-Identifier: Apache-2.0

package aggregate_test

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/aggregate"
)

// fact is a random message: occurrences, refunds, the begin of a session, stages and
// segments, some of which nobody counts by.
func fact(rng *rand.Rand) *record.Activity {
	stage := func() []record.StageAt {
		if rng.IntN(4) == 0 {
			return nil // before the first evaluation
		}
		return []record.StageAt{{Model: "other", Stage: "x"}, {Model: "value", Stage: fmt.Sprint("s", rng.IntN(3))}}
	}
	when := func() instant.Instant {
		return at("1997-03-28T00:00:00Z").Add(time.Duration(rng.IntN(5*24*60)) * time.Minute)
	}
	a := &record.Activity{
		Stages: stage(), SessionStages: stage(), SessionBegins: rng.IntN(3) == 0, SessionStart: when(),
		Platform: []string{"", "app", "site"}[rng.IntN(3)],
	}
	for _, segment := range []string{"buyers", "country=FR", "country=DE", "nobody-asks"} {
		if rng.IntN(2) == 0 {
			a.Segments = append(a.Segments, segment)
		}
	}
	for range rng.IntN(3) {
		o := record.Occurrence{Event: []string{"purchase", "visit"}[rng.IntN(2)], At: when(), HasValue: rng.IntN(4) > 0}
		if o.HasValue {
			o.Value = decimal.Decimal(rng.IntN(500_0000))
		}
		if rng.IntN(4) == 0 {
			o.Refund, o.HasValue = true, true
			o.Before = decimal.Decimal(rng.IntN(500_0000))
			o.Value = -decimal.Decimal(rng.Int64N(int64(o.Before) + 1))
		}
		a.Occurrence = append(a.Occurrence, o)
	}
	return a
}

// total is what the words say of one key, in numbers without bounds.
type total struct {
	count        int64
	sum, squares big.Int
}

// byTheWords counts facts one by one, by the definition of each measure.
func byTheWords(facts []*record.Activity, zone *time.Location) map[string]*total {
	all := map[string]*total{}
	add := func(at instant.Instant, count int64, sum, squares *big.Int, measure, event, model, stage, segment, platform string) {
		local := at.Time().In(zone)
		y, m, d := local.Date()
		sinceMonday := (int(local.Weekday()) + 6) % 7
		hour := local.Add(-time.Duration(local.Minute()) * time.Minute)
		for grain, period := range map[string]time.Time{
			"hour": hour, "day": instant.StartOfDay(y, m, d, zone), "week": instant.StartOfDay(y, m, d-sinceMonday, zone), "month": instant.StartOfDay(y, m, 1, zone),
		} {
			key := strings.Join([]string{measure, grain, instant.Of(period).String(), event, model, stage, segment, platform}, "/")
			if all[key] == nil {
				all[key] = new(total)
			}
			all[key].count += count
			all[key].sum.Add(&all[key].sum, sum)
			all[key].squares.Add(&all[key].squares, squares)
		}
	}
	stageOf := func(stages []record.StageAt) string {
		for _, s := range stages {
			if s.Model == "value" {
				return s.Stage
			}
		}
		return ""
	}
	none := new(big.Int)
	for _, a := range facts {
		for _, o := range a.Occurrence {
			count, sum, squares := int64(1), big.NewInt(int64(o.Value)), new(big.Int)
			squares.Mul(sum, sum)
			if o.Refund {
				count = 0
				before, after := big.NewInt(int64(o.Before)), big.NewInt(int64(o.Before+o.Value))
				squares.Sub(after.Mul(after, after), before.Mul(before, before))
			}
			if count == 0 && o.Value == 0 {
				continue // it changes nothing
			}
			add(o.At, count, sum, squares, "event", o.Event, "", "", "", "")
			add(o.At, count, sum, squares, "event", o.Event, "value", stageOf(a.Stages), "", "")
			add(o.At, count, sum, squares, "session_event", o.Event, "", "", "", a.Platform)
			add(o.At, count, sum, squares, "session_event", o.Event, "value", stageOf(a.SessionStages), "", a.Platform)
			for _, s := range a.Segments {
				if s != "nobody-asks" {
					add(o.At, count, sum, squares, "event", o.Event, "", "", s, "")
				}
			}
		}
		if a.SessionBegins {
			add(a.SessionStart, 1, none, none, "session", "", "", "", "", a.Platform)
			add(a.SessionStart, 1, none, none, "session", "", "value", stageOf(a.SessionStages), "", a.Platform)
			for _, s := range a.Segments {
				if s != "nobody-asks" {
					add(a.SessionStart, 1, none, none, "session", "", "", "", s, a.Platform)
				}
			}
		}
	}
	return all
}

// TestTotalsAgainstOracle: every count, sum and sum of squares is that of the facts one
// by one, whatever the order, the transactions, those of them that are taken back, and
// restarts from the changelog in between.
func TestTotalsAgainstOracle(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 9))
		d := def("Europe/Berlin")
		totals := aggregate.New(d, 1)
		log, last := map[string][]byte{}, map[string]record.Aggregate{}
		var facts []*record.Activity
		for range 1 + rng.IntN(40) {
			var now []*record.Activity
			for range rng.IntN(6) {
				now = append(now, fact(rng))
			}
			for _, f := range now {
				totals.Add(f)
			}
			if rng.IntN(5) == 0 {
				totals.Rollback()
				continue
			}
			totals.Each(func(a *record.Aggregate, key, value []byte) {
				log[string(key)], last[string(key)] = slices.Clone(value), *a
			})
			totals.Commit()
			facts = append(facts, now...)
			if rng.IntN(4) == 0 {
				totals = aggregate.New(d, 1)
				for k, v := range log {
					if err := totals.Restore([]byte(k), v); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		got := map[string]string{}
		for _, a := range last {
			key := strings.Join([]string{string(a.Measure), string(a.Grain), a.Period.String(), a.Event, a.Model, a.Stage, a.Segment, a.Platform}, "/")
			if got[key] != "" {
				t.Fatalf("seed %d: two totals of %s", seed, key)
			}
			got[key] = fmt.Sprintf("%d %d %s", a.Count, a.Sum, a.SumSquares.Big())
		}
		want := map[string]string{}
		for key, w := range byTheWords(facts, d.Zone) {
			want[key] = fmt.Sprintf("%d %s %s", w.count, &w.sum, &w.squares)
		}
		if !maps.Equal(got, want) {
			for _, key := range slices.Sorted(maps.Keys(want)) {
				if got[key] != want[key] {
					t.Errorf("seed %d: %s is %q, want %q", seed, key, got[key], want[key])
				}
			}
			t.Fatalf("seed %d: %d totals, want %d", seed, len(got), len(want))
		}
	}
}

// TestTooLateIsCountedByItself: what comes after its period has closed is counted as
// what it would have been, by day, week and month, and in no other total; a stage change
// beside that in the first period that is open (TestLateChangesKeepPopulation).
func TestTooLateIsCountedByItself(t *testing.T) {
	d := def("UTC")
	d.Aggregates.CloseAfter = 7 * 24 * time.Hour
	totals := aggregate.New(d, 0)
	totals.Close(at("1997-01-20T00:00:00Z"))
	early := bought("1997-01-12T23:59:59.999Z", 1_0000, "new")
	early.SessionBegins, early.SessionStart = true, at("1997-01-12T23:59:59Z")
	totals.Add(early)
	totals.AddTransition(&record.Record{Kind: record.StageChange, Model: "value", To: "new", EffectiveAt: at("1997-01-12T00:00:00Z")})
	totals.Add(bought("1997-01-13T00:00:00Z", 1_0000, "new"))
	var got strings.Builder
	for _, a := range totals.Changed() {
		if a.Measure == record.MeasureTooLate || a.Grain == record.Day && a.Model == "" {
			fmt.Fprintf(&got, "%s %s %s event=%s model=%s %d\n", a.Measure, a.Grain, a.Period, a.Event, a.Model, a.Count)
		}
	}
	want := `event day 1997-01-13T00:00:00Z event=purchase model= 1
session_event day 1997-01-13T00:00:00Z event=purchase model= 1
too_late day 1997-01-12T00:00:00Z event= model= 1
too_late day 1997-01-12T00:00:00Z event= model=value 1
too_late day 1997-01-12T00:00:00Z event=purchase model= 1
too_late week 1997-01-06T00:00:00Z event= model= 1
too_late week 1997-01-06T00:00:00Z event= model=value 1
too_late week 1997-01-06T00:00:00Z event=purchase model= 1
too_late month 1997-01-01T00:00:00Z event= model= 1
too_late month 1997-01-01T00:00:00Z event= model=value 1
too_late month 1997-01-01T00:00:00Z event=purchase model= 1
`
	if got.String() != want || totals.TooLate() != 3 {
		t.Errorf("got\n%stoo late %d, want\n%s", got.String(), totals.TooLate(), want)
	}
}

// TestClosedStaysClosed: a definition that closes later, and a restart under it, reopen
// nothing that was closed before.
func TestClosedStaysClosed(t *testing.T) {
	soon, later := def("UTC"), def("UTC")
	soon.Aggregates.CloseAfter, later.Aggregates.CloseAfter = 7*24*time.Hour, 70*24*time.Hour
	totals := aggregate.New(soon, 0)
	clock := at("1997-04-01T00:00:00Z")
	totals.Close(clock)
	closed := totals.ClosedUntil()
	totals.Redefine(later)
	totals.Close(clock.Add(time.Hour))
	restored := aggregate.New(later, 0)
	restored.RestoreMeta(totals.Settled(), closed, totals.TooLate())
	for name, one := range map[string]*aggregate.Totals{"redefined": totals, "restored": restored} {
		if one.ClosedUntil() != at("1997-03-25T00:00:00Z") || one.Settled() != clock.Add(time.Hour) {
			t.Errorf("%s: closed until %s, settled %s", name, one.ClosedUntil(), one.Settled())
		}
	}
}

// TestValuesAreBounded: of a segment with one segment per value so many values are counted
// by, and all others together, also after a restart; those known keep their counts.
func TestValuesAreBounded(t *testing.T) {
	d := def("UTC")
	totals := aggregate.New(d, 0)
	log, last := map[string][]byte{}, map[string]int64{}
	begin := func(country string) {
		totals.Add(&record.Activity{SessionBegins: true, SessionStart: at("1997-01-01T00:00:00Z"), Segments: []string{"buyers", "country=" + country}})
		totals.Each(func(a *record.Aggregate, key, value []byte) {
			log[string(key)] = slices.Clone(value)
			if a.Grain == record.Day && a.Segment != "" {
				last[a.Segment] = a.Count
			}
		})
		totals.Commit()
	}
	for i := range definition.MaxValues {
		begin(fmt.Sprint(i))
	}
	begin("FR")
	totals = aggregate.New(d, 0)
	for k, v := range log {
		if err := totals.Restore([]byte(k), v); err != nil {
			t.Fatal(err)
		}
	}
	begin("DE")
	begin("7")
	if len(last) != definition.MaxValues+2 || last["country=…"] != 2 || last["country=7"] != 2 || last["buyers"] != definition.MaxValues+3 {
		t.Errorf("%d segments, %d others, %d of one known, %d buyers", len(last), last["country=…"], last["country=7"], last["buyers"])
	}
}

// BenchmarkAdd is one purchase in a session, with four stages to count by.
func BenchmarkAdd(b *testing.B) {
	totals := aggregate.New(def("Europe/Berlin"), 1)
	rng := rand.New(rand.NewPCG(1, 1))
	facts := make([]*record.Activity, 1000)
	for i := range facts {
		facts[i] = fact(rng)
		facts[i].Segments = nil
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		totals.Add(facts[i%len(facts)])
		if i%10_000 == 0 {
			totals.Commit()
		}
	}
}
