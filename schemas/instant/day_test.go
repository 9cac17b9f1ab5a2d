// SPDX-License-Identifier: Apache-2.0

package instant_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"lapwing/schemas/instant"
)

// TestStartOfDay: the start of a local date is the first instant that a clock on the wall
// there shows that date, found by looking at the clock every quarter of an hour, whether
// clocks are put forward or back, at midnight or elsewhere, or a date is left out.
func TestStartOfDay(t *testing.T) {
	for name, years := range map[string][]int{
		"UTC": {1999}, "Europe/Berlin": {1997}, "Asia/Kathmandu": {1986}, "Australia/Lord_Howe": {2024},
		"America/Santiago": {1997, 2025, 2060}, "America/Havana": {1997, 2025}, "America/Sao_Paulo": {2018}, "America/Asuncion": {2023},
		"Atlantic/Azores": {2025}, "Africa/Cairo": {2025}, "Asia/Amman": {1999}, "Africa/Tunis": {1988}, "Asia/Beirut": {2025}, "Asia/Tehran": {2022}, "Pacific/Apia": {2011}, "America/Scoresbysund": {2024},
	} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, year := range years {
			before := ""
			for at := time.Date(year, 1, 1, 12, 0, 0, 0, time.UTC); at.Year() == year; at = at.Add(15 * time.Minute) {
				local := at.In(zone)
				date := local.Format(time.DateOnly)
				if before != "" && date != before {
					if got := instant.StartOfDay(local.Year(), local.Month(), local.Day(), zone); !got.Equal(at) {
						t.Errorf("%s: %s begins at %v, want %v", name, date, got, local)
					}
					if got := instant.StartOfDay(local.Year(), local.Month()-1, local.Day()+time.Date(local.Year(), local.Month(), 0, 0, 0, 0, 0, time.UTC).Day(), zone); !got.Equal(at) {
						t.Errorf("%s: %s, counted from the month before, begins at %v, want %v", name, date, got, local)
					}
				}
				before = date
			}
		}
	}
}
