// SPDX-License-Identifier: Apache-2.0

package customers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestPlanCoversWhatChanged: the spans are whole periods; each period of a day with new
// messages is in one span of its grain, and no other period is.
func TestPlanCoversWhatChanged(t *testing.T) {
	first := time.Date(1999, 12, 20, 0, 0, 0, 0, time.UTC)
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var days []time.Time
		for d := range 120 {
			if rng.IntN(1+rng.IntN(8)) == 0 {
				days = append(days, first.AddDate(0, 0, d))
			}
		}
		hoursFrom := first.AddDate(0, 0, rng.IntN(140))
		want := map[string]bool{}
		for _, day := range days {
			if !day.Before(hoursFrom) {
				want["hour "+day.Format(time.DateOnly)] = true
			}
			want["day "+day.Format(time.DateOnly)] = true
			monday := day
			for monday.Weekday() != time.Monday {
				monday = monday.AddDate(0, 0, -1)
			}
			want["week "+monday.Format(time.DateOnly)] = true
			want["month "+day.Format("2006-01")+"-01"] = true
		}
		got := map[string]bool{}
		for _, s := range Plan(days, hoursFrom) {
			next := map[string]func(time.Time) time.Time{"hour": nextDay, "day": nextDay, "week": nextWeek, "month": nextMonth}[s.Grain]
			n := 0
			for at := s.From; at.Before(s.To); at = next(at) {
				key := s.Grain + " " + at.Format(time.DateOnly)
				if got[key] {
					t.Fatalf("seed %d: %s is counted twice", seed, key)
				}
				got[key] = true
				n++
				if next(at).After(s.To) {
					t.Fatalf("seed %d: %v cuts a period", seed, s)
				}
			}
			if n > maxDays {
				t.Fatalf("seed %d: %v spans %d periods", seed, s, n)
			}
		}
		for key := range want {
			if !got[key] {
				t.Fatalf("seed %d: %s is not counted", seed, key)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d periods are counted, want %d: %v", seed, len(got), len(want), Plan(days, hoursFrom))
		}
	}
	if plan := Plan(nil, first); plan != nil {
		t.Errorf("of no days: %v", plan)
	}
	days := []time.Time{first, first.AddDate(0, 0, 1), first.AddDate(0, 0, 40)}
	want := "[{day 1999-12-20 1999-12-22} {day 2000-01-29 2000-01-30} {week 1999-12-20 1999-12-27} {week 2000-01-24 2000-01-31} {month 1999-12-01 2000-01-01} {month 2000-01-01 2000-02-01}]"
	var got []string
	for _, s := range Plan(days, first.AddDate(1, 0, 0)) {
		got = append(got, fmt.Sprintf("{%s %s %s}", s.Grain, s.From.Format(time.DateOnly), s.To.Format(time.DateOnly)))
	}
	if fmt.Sprint(got) != want || !slices.IsSortedFunc(days, time.Time.Compare) {
		t.Errorf("got %v, want %s", got, want)
	}
}
