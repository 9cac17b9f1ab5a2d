// SPDX-License-Identifier: Apache-2.0

package lifecycle

import "time"

// messageNames are what where, value and key read.
var messageNames = []string{"event", "name", "userId", "anonymousId", "properties", "traits", "context", "at", "local"}

// timeParts are the methods of at and local, as CEL defines them: months, days of
// the year and getDayOfMonth count from 0, getDate from 1, Sunday is 0.
var timeParts = map[string]func(time.Time) int{
	"getFullYear":     time.Time.Year,
	"getMonth":        func(t time.Time) int { return int(t.Month()) - 1 },
	"getDate":         time.Time.Day,
	"getDayOfMonth":   func(t time.Time) int { return t.Day() - 1 },
	"getDayOfYear":    func(t time.Time) int { return t.YearDay() - 1 },
	"getDayOfWeek":    func(t time.Time) int { return int(t.Weekday()) },
	"getHours":        time.Time.Hour,
	"getMinutes":      time.Time.Minute,
	"getSeconds":      time.Time.Second,
	"getMilliseconds": func(t time.Time) int { return t.Nanosecond() / int(time.Millisecond) },
}
