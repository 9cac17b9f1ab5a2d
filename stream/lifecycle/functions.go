// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"time"
)

// result is the static type of a function.
type result uint8

const (
	resultBool result = iota
	resultNumber
	resultAny
)

// argument is what a function's argument names; all are constant texts.
type argument uint8

const (
	argEvent argument = iota
	argWindow
	argOffset // a duration that may be negative
	argProperty
	argTrait
	argModel
	argStage
	argSegment
)

// function is one function of the condition language. The table is the single
// source of what exists; the meaning of each is in contract and reference.
type function struct {
	name     string
	args     []argument
	required int // how many of args must be given
	result   result
}

var functions = []function{
	{"never", []argument{argEvent}, 1, resultBool},
	{"seen", []argument{argEvent, argWindow}, 2, resultBool},
	{"idle", []argument{argEvent, argWindow}, 2, resultBool},
	{"first", []argument{argEvent, argWindow}, 2, resultBool},
	{"after", []argument{argEvent, argEvent}, 2, resultBool},
	{"count", []argument{argEvent, argWindow}, 1, resultNumber},
	{"sum", []argument{argEvent, argWindow}, 1, resultNumber},
	{"avg", []argument{argEvent, argWindow}, 1, resultNumber},
	{"min", []argument{argEvent, argWindow}, 1, resultNumber},
	{"max", []argument{argEvent, argWindow}, 1, resultNumber},
	{"days", []argument{argEvent, argWindow}, 2, resultNumber},
	{"unique", []argument{argEvent, argProperty, argWindow}, 3, resultNumber},
	{"count_from", []argument{argEvent, argEvent, argWindow}, 3, resultNumber},
	{"trait", []argument{argTrait}, 1, resultAny},
	{"known", []argument{argTrait}, 1, resultBool},
	{"anonymous", nil, 0, resultBool},
	{"due", []argument{argTrait, argOffset}, 2, resultBool},
	{"in_stage", []argument{argModel, argStage}, 2, resultBool},
	{"stage_for", []argument{argModel, argStage, argWindow}, 3, resultBool},
	{"in_segment", []argument{argSegment}, 1, resultBool},
}

var argumentNames = map[argument]string{
	argEvent: "event", argWindow: "window", argOffset: "offset", argProperty: "property",
	argTrait: "trait", argModel: "model", argStage: "stage", argSegment: "segment",
}

// usage is how the function is written, such as count(event[, window]).
func (f function) usage() string {
	var b strings.Builder
	b.WriteString(f.name + "(")
	for i, a := range f.args {
		switch {
		case i >= f.required && i > 0:
			b.WriteString("[, " + argumentNames[a] + "]")
		case i > 0:
			b.WriteString(", " + argumentNames[a])
		default:
			b.WriteString(argumentNames[a])
		}
	}
	return b.String() + ")"
}

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
