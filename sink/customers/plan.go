// SPDX-License-Identifier: Apache-2.0

// Package customers counts distinct customers per hour, day, week and month in
// ClickHouse, out of activity. They do not add up: neither over periods nor over stages.
// So each period that has had new messages is counted anew, from all of its messages.
//
// A count is an absolute value with a version, as the stream's totals are: it says how
// many there were in a lane up to an offset of its activity, and of two the one of the
// greater offset counts. So it does not matter how often, in which steps or by how many
// at the same time this is done.
package customers

import "time"

// Span is a number of whole periods of one grain that are counted by one statement:
// local dates, From inclusive, To exclusive.
type Span struct {
	Grain    string // hour, day, week or month
	From, To time.Time
}

// What one statement spans at most: it has all customers of its periods in memory.
const (
	maxDays   = 31
	maxWeeks  = 5
	maxMonths = 1
)

// HoursFor is for how long hours are counted.
const HoursFor = 35 * 24 * time.Hour

// Plan says what to count anew if the days have had new messages; days are local dates
// at midnight UTC, sorted, each once. Hours are counted of days from hoursFrom on.
func Plan(days []time.Time, hoursFrom time.Time) (all []Span) {
	recent := days
	for len(recent) > 0 && recent[0].Before(hoursFrom) {
		recent = recent[1:]
	}
	all = append(all, spans("hour", recent, startOfDay, nextDay, maxDays)...)
	all = append(all, spans("day", days, startOfDay, nextDay, maxDays)...)
	all = append(all, spans("week", days, startOfWeek, nextWeek, maxWeeks)...)
	return append(all, spans("month", days, startOfMonth, nextMonth, maxMonths)...)
}

// spans merges the periods of the days, as long as they follow each other.
func spans(grain string, days []time.Time, start, next func(time.Time) time.Time, most int) (all []Span) {
	periods := 0
	for _, day := range days {
		from := start(day)
		if n := len(all); n > 0 {
			last := &all[n-1]
			if from.Before(last.To) {
				continue // it is in already
			}
			if from.Equal(last.To) && periods < most {
				last.To = next(from)
				periods++
				continue
			}
		}
		all = append(all, Span{grain, from, next(from)})
		periods = 1
	}
	return all
}

func startOfDay(day time.Time) time.Time { return day }
func nextDay(day time.Time) time.Time    { return day.AddDate(0, 0, 1) }

func startOfWeek(day time.Time) time.Time {
	return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
}
func nextWeek(week time.Time) time.Time { return week.AddDate(0, 0, 7) }

func startOfMonth(day time.Time) time.Time { return day.AddDate(0, 0, 1-day.Day()) }
func nextMonth(month time.Time) time.Time  { return month.AddDate(0, 1, 0) }
