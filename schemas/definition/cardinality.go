// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"fmt"
	"strings"
)

// MaxValues is how many values of a `by:` segment are counted by, in each lane; more
// are counted together, as NAME=….
const MaxValues = 1000

// Cardinality is how many counts the stream keeps at most in one lane and period. Each
// is kept in every hour, day, week and month in which it is not 0; hours for as long as
// they may change.
type Cardinality struct {
	Counts int
	Open   []string // segments in Aggregates.By with one segment per value: up to MaxValues counts each are among them
}

// Cardinality counts what the aggregates are kept by.
func (d *Definition) Cardinality() Cardinality {
	const (
		platforms = 3 // app, site and unknown
		causes    = 7
		nowhere   = 1 // in no stage yet, or no more
	)
	var c Cardinality
	places, transitions := 1, 0 // all customers
	for i := range d.Models {
		stages := len(d.Models[i].Stages)
		places += stages + nowhere
		transitions += (stages + nowhere) * stages * causes // from anywhere to another one, or to nowhere
	}
	segments := 0
	for _, by := range d.Aggregates.By {
		for i := range d.Segments {
			switch s := &d.Segments[i]; {
			case s.Name.Value != by.Value:
			case s.By.IsZero():
				segments++
			default:
				c.Open = append(c.Open, by.Value)
				segments += MaxValues + 1
			}
		}
	}
	events := 0
	for i := range d.Events {
		if d.Events[i].From.IsZero() { // a derived one is not counted
			events++
		}
	}
	c.Counts = events*(places+segments) + // occurrences by the stage just before
		events*platforms*places + // by that before the session
		platforms*(places+segments) + // sessions
		transitions +
		1 + events + len(d.Models) // too late
	return c
}

// String says it to people.
func (c Cardinality) String() string {
	text := fmt.Sprintf("at most %d in a lane and period", c.Counts)
	if len(c.Open) > 0 {
		text += fmt.Sprintf(", of up to %d values each of %s", MaxValues, strings.Join(c.Open, ", "))
	}
	return text
}
