// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
)

// explainer remembers the last change of one customer in each model and segment, and
// says at the end where the customer stands.
type explainer struct {
	customer string
	models   map[string]record.Record
	segments map[string]record.Record
	counted  map[string]*tally // by event of the definition
}

// cappedFunctions are those that read only the newest 4,096 instants of an event.
const cappedFunctions = "sum, avg, min, max, unique and days"

// tally is what is told of one event of the definition.
type tally struct {
	times   int64
	last    instant.Instant
	message string // of the last one
}

func newExplainer(customer string) *explainer {
	return &explainer{
		customer: customer,
		models:   map[string]record.Record{}, segments: map[string]record.Record{}, counted: map[string]*tally{},
	}
}

func (e *explainer) note(customer string, out *lifecycle.Output) {
	if customer != e.customer {
		return
	}
	for _, r := range out.Records {
		if r.Kind == record.StageChange {
			e.models[r.Model] = r
		} else {
			e.segments[r.Segment] = r
		}
	}
	for i := range out.Activity {
		for _, o := range out.Activity[i].Occurrence {
			t := e.counted[o.Event]
			if t == nil {
				t = &tally{last: instant.None}
				e.counted[o.Event] = t
			}
			if o.Refund {
				continue
			}
			t.times++
			if o.At >= t.last {
				t.last, t.message = o.At, out.Activity[i].MessageID
			}
		}
	}
	if out.Ended {
		clear(e.counted)
	}
}

func (e *explainer) tell(w io.Writer, r *replay) error {
	c := r.customers[e.customer]
	if c == nil {
		return fmt.Errorf("no usable event up to the end is of customer %q; ids are compared letter by letter", e.customer)
	}
	def := r.model.Definition()
	var b strings.Builder
	fmt.Fprintf(&b, "customer %s on %s, by %s version %d\n", e.customer, inWords(r.until, def.Zone), def.Name.Value, def.Version)
	if !c.state.Begun() {
		fmt.Fprintf(&b, "\n  forgotten: an anonymous visitor that was silent for %s\n", inDays(def.AnonymousRetention))
		_, err := io.WriteString(w, visible(b.String()))
		return err
	}
	profile := r.model.Profile(&c.state, c.id)
	for i := range profile.Stages {
		e.model(&b, def, &profile.Stages[i])
	}
	e.inSegments(&b, def, profile.Segments)
	e.events(&b, r.model, &c.state)
	if len(profile.Traits) > len("{}") {
		fmt.Fprintf(&b, "\ntraits: %s\n", profile.Traits)
	}
	_, err := io.WriteString(w, visible(b.String()))
	return err
}

func (e *explainer) model(b *strings.Builder, def *definition.Definition, s *record.ProfileStage) {
	fmt.Fprintf(b, "\n%s: %s since %s\n", s.Model, s.Stage, inWords(s.Since, def.Zone))
	fmt.Fprintf(b, "  holds   %s\n", condition(def, s.Model, s.Stage))
	fmt.Fprintf(b, "  came    %s\n", reason(e.models[s.Model], def.Zone))
	if s.NextDeadline == instant.None {
		fmt.Fprintf(b, "  next    stays %s, if nothing happens\n", s.Stage)
		return
	}
	fmt.Fprintf(b, "  next    becomes %s on %s, if nothing happens\n", s.NextStage, inWords(s.NextDeadline, def.Zone))
}

func (e *explainer) inSegments(b *strings.Builder, def *definition.Definition, names []string) {
	if len(def.Segments) == 0 {
		return
	}
	if len(names) == 0 {
		b.WriteString("\nsegments: none\n")
		return
	}
	b.WriteString("\nsegments:\n")
	for _, name := range names {
		r := e.segments[name]
		fmt.Fprintf(b, "  %s since %s, %s\n", name, inWords(r.EffectiveAt, def.Zone), reason(r, def.Zone))
		fmt.Fprintf(b, "    holds %s\n", r.Cause.Condition)
	}
}

// events tells how often each event came, and how much of it the features that read
// values no longer see.
func (e *explainer) events(b *strings.Builder, m *lifecycle.Model, s *lifecycle.State) {
	def := m.Definition()
	b.WriteString("\nevents:\n")
	for i := range def.Events {
		name := def.Events[i].Name.Value
		t := e.counted[name]
		if t == nil || t.times == 0 {
			continue
		}
		fmt.Fprintf(b, "  %s %s, last on %s", name, times(int(t.times), "time"), inWords(t.last, def.Zone))
		if t.message != "" {
			fmt.Fprintf(b, " (message %s)", t.message)
		}
		if n := m.Dropped(s, name); n == 1 {
			b.WriteString("; the oldest is no longer read by " + cappedFunctions)
		} else if n > 1 {
			fmt.Fprintf(b, "; the oldest %s are no longer read by %s", grouped(n), cappedFunctions)
		}
		b.WriteByte('\n')
	}
}

func condition(def *definition.Definition, model, stage string) string {
	for i := range def.Models {
		if def.Models[i].Name.Value != model {
			continue
		}
		for _, s := range def.Models[i].Stages {
			if s.Name.Value == stage {
				return s.When.Value
			}
		}
	}
	return ""
}

// reason says in words why a change came.
func reason(r record.Record, zone *time.Location) string {
	switch r.Cause.Type {
	case record.CauseEvent, record.CauseLateEvent:
		words := "by " + r.Cause.Event
		if r.Cause.MessageID != "" {
			words += " (message " + r.Cause.MessageID + ")"
		}
		if r.Cause.Type == record.CauseLateEvent {
			words += ", which is of " + inWords(r.Cause.EventTime, zone) + " and came late"
		}
		return words
	case record.CauseDeadline:
		if r.Cause.Left != "" {
			return "by time: " + r.Cause.Left + " no longer held"
		}
		return "by time"
	case record.CauseIdentity, record.CauseDefinition, record.CauseErasure, record.CauseExpired:
	}
	return "by " + string(r.Cause.Type)
}

// inWords is an instant as people write it, in the definition's zone: the time of day
// only if it is not midnight.
func inWords(i instant.Instant, zone *time.Location) string {
	if i == instant.None {
		return "the beginning"
	}
	t := i.Time().In(zone)
	layout := "2 January 2006"
	switch {
	case t.Nanosecond() != 0:
		layout += ", 15:04:05.000"
	case t.Second() != 0:
		layout += ", 15:04:05"
	case t.Hour() != 0 || t.Minute() != 0:
		layout += ", 15:04"
	}
	if zone != time.UTC && zone.String() != "UTC" {
		layout += " MST"
	}
	return t.Format(layout)
}

// inDays is a duration of whole days in words, else as Go prints it.
func inDays(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}
