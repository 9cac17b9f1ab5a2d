// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"lapwing/schemas/explanation"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// cappedFunctions are those that read only the newest 4,096 instants of an event.
const cappedFunctions = "sum, avg, min, max, unique, days, count_since, rhythm and favourite"

// writeJSON writes v with its conditions as they are written: & stays &.
func writeJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

func headline(customer string, at instant.Instant, name string, version int64, zone *time.Location) string {
	return fmt.Sprintf("customer %s on %s, by %s version %d\n", customer, inWords(at, zone), name, version)
}

// explained is an explanation in words, times in a zone.
func explained(x *explanation.Explanation, zone *time.Location) string {
	t := teller{zone: zone, at: x.At.Instant()}
	t.b.WriteString(headline(x.CustomerID, t.at, x.Definition, x.DefinitionVersion, zone))
	if x.Waiting > 0 {
		t.line(0, "\n%s for the clock: `lateness` holds what may still be overtaken", times(x.Waiting, "message")+" waiting")
	}
	if x.ForgottenAt != explanation.None {
		t.line(0, "\nforgotten on %s, if this anonymous visitor stays silent", t.on(x.ForgottenAt))
	}
	for i := range x.Models {
		t.model(&x.Models[i])
	}
	t.segments(x.Segments)
	for i := range x.Campaigns {
		t.campaign(&x.Campaigns[i])
	}
	t.events(x.Events)
	if len(x.Traits) > 0 {
		t.line(0, "\ntraits:")
		for _, trait := range x.Traits {
			t.line(1, "%s = %s, set on %s", trait.Trait, trait.Value, t.on(trait.Set))
		}
	}
	return t.b.String()
}

// teller writes an explanation.
type teller struct {
	b    strings.Builder
	zone *time.Location
	at   instant.Instant
}

// line writes one line, two spaces a level.
func (t *teller) line(level int, format string, args ...any) {
	t.b.WriteString(strings.Repeat("  ", level))
	fmt.Fprintf(&t.b, format, args...)
	t.b.WriteByte('\n')
}

func (t *teller) on(at explanation.Time) string { return inWords(at.Instant(), t.zone) }

func (t *teller) model(m *explanation.Model) {
	t.line(0, "\n%s: %s since %s", m.Model, m.Stage, t.on(m.Since))
	t.line(1, "came    %s", t.came(&m.Came))
	if m.Next == nil {
		t.line(1, "next    stays %s, if nothing happens", m.Stage)
	} else {
		t.line(1, "next    becomes %s on %s, %s", m.Next.Stage, t.on(m.Next.At), unless(m.Next))
	}
	for i := range m.Stages {
		t.condition(1, m.Stages[i].Stage+": ", &m.Stages[i].Condition)
	}
}

func (t *teller) segments(all []explanation.Segment) {
	for i := range all {
		if i == 0 {
			t.line(0, "\nsegments:")
		}
		s := &all[i]
		switch {
		case s.In:
			t.line(1, "%s: in it since %s, %s", s.Segment, t.on(s.Since), t.came(&s.Came))
		case s.Since != explanation.None:
			t.line(1, "%s: not in it since %s, %s", s.Segment, t.on(s.Since), t.came(&s.Came))
		default:
			t.line(1, "%s: not in it", s.Segment)
		}
		if n := s.Next; n != nil {
			what := "leaves it"
			switch {
			case n.Value != "":
				name, _, _ := strings.Cut(s.Segment, "=")
				what = "enters " + name + "=" + n.Value
			case n.In:
				what = "enters it"
			}
			t.line(2, "next    %s on %s, %s", what, t.on(n.At), unless(n))
		}
		t.condition(2, "", &s.Condition)
	}
}

func (t *teller) events(all []explanation.Event) {
	for i := range all {
		if i == 0 {
			t.line(0, "\nevents:")
		}
		e := &all[i]
		dropped := ""
		if e.Dropped == 1 {
			dropped = "; the oldest is no longer read by " + cappedFunctions
		} else if e.Dropped > 1 {
			dropped = fmt.Sprintf("; the oldest %s are no longer read by %s", grouped(e.Dropped), cappedFunctions)
		}
		t.line(1, "%s %s, last on %s%s", e.Event, times(int(e.Times), "time"), t.occurrence(e.Last, e.LastMessageID), dropped)
	}
}

func (t *teller) occurrence(at explanation.Time, message string) string {
	if message == "" {
		return t.on(at)
	}
	return fmt.Sprintf("%s (message %s)", t.on(at), message)
}

// came says what brought the customer where it stands: exactly, if somebody has seen it,
// else what the state still shows of that instant.
func (t *teller) came(c *explanation.Came) string {
	if c.Cause != nil {
		if c.Cause.Type == record.CauseDeadline && c.Cause.Left == "" && len(c.Time) > 0 {
			return "by time: " + strings.Join(c.Time, ", ")
		}
		return reason(c.Cause, t.zone)
	}
	what := append([]string(nil), c.Events...)
	for _, trait := range c.Traits {
		what = append(what, "trait "+trait)
	}
	if len(c.Time) > 0 {
		what = append(what, "time: "+strings.Join(c.Time, ", "))
	}
	if len(what) == 0 {
		return "by a message that came late, by a change of the definition, or by a message of which nothing is kept"
	}
	return "by " + strings.Join(what, ", or ")
}

// unless says what must not come, and what of it would be enough.
func unless(n *explanation.Next) string {
	var must []string
	if len(n.Unless) > 0 {
		must = append(must, "no "+list(n.Unless, "or")+" comes")
	}
	if len(n.UnlessTraits) > 0 {
		must = append(must, list(n.UnlessTraits, "and")+" "+plural(len(n.UnlessTraits), "stays", "stay")+" as set")
	}
	if n.UnlessKnown {
		must = append(must, "the visitor stays anonymous")
	}
	if len(must) == 0 {
		return "whatever comes"
	}
	words := "if " + strings.Join(must, " and ")
	if k := len(n.PreventedBy); k > 0 && (k < len(n.Unless) || len(must) > 1) {
		words += "; " + list(n.PreventedBy, "or") + " alone prevents it"
	}
	return words
}

// list joins names as people do: a, b or c.
func list(names []string, last string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " " + last + " " + names[len(names)-1]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// condition tells a condition, what it read, and its parts.
func (t *teller) condition(level int, name string, c *explanation.Condition) {
	t.line(level, "%-5s %s%s", word(c), name, strings.Join(strings.Fields(c.Text), " "))
	t.facts(level+3, c)
	for i := range c.Parts {
		t.condition(level+1, "", &c.Parts[i])
	}
}

// word is a value, short enough for a column.
func word(c *explanation.Condition) string {
	switch v := string(c.Value); {
	case v == "true":
		return "yes"
	case v == "false":
		return "no"
	case c.Unknown():
		return "?"
	case c.Operator == "*" || c.Facts != nil && c.Facts.Function == "rhythm":
		return strings.Trim(v, `"`) // a duration
	case len([]rune(v)) > 40:
		return string([]rune(v)[:39]) + "…"
	default:
		return v
	}
}

// facts tells what a function has read.
func (t *teller) facts(level int, c *explanation.Condition) {
	f := c.Facts
	if f == nil {
		return
	}
	due := ""
	if f.Due != explanation.None && f.Function != "due" {
		due = fmt.Sprintf("; %s until %s", word(c), t.on(f.Due))
		if f.Due.Instant() <= t.at {
			due = fmt.Sprintf("; %s since %s", word(c), t.on(f.Due))
		}
	}
	if c.Unknown() {
		switch f.Function {
		case "rhythm":
			due = "; a rhythm needs three of them"
		case "favourite":
			due = "; none that is kept has a value"
		}
	}
	for i := range f.Events {
		t.eventFacts(level, f, &f.Events[i], due)
	}
	if trait := f.Trait; trait != nil {
		switch {
		case trait.Set == explanation.None:
			t.line(level, "%s was never set", trait.Trait)
		case string(trait.Value) == "null":
			t.line(level, "%s was set to null on %s", trait.Trait, t.on(trait.Set))
		case f.Due != explanation.None:
			t.line(level, "%s is %s, set on %s; due on %s", trait.Trait, trait.Value, t.on(trait.Set), t.on(f.Due))
		default:
			t.line(level, "%s is %s, set on %s", trait.Trait, trait.Value, t.on(trait.Set))
		}
	}
	if c := f.Campaign; c != nil {
		t.line(level, "%s: %s", c.Campaign, t.arm(c))
	}
	if p := f.Place; p != nil {
		where, in := p.Segment, "in it"
		if p.Model != "" {
			where = p.Model
			in = p.Stage
		}
		if !p.In {
			in = "not " + in
		}
		if p.In && p.Since != explanation.None {
			in += " since " + t.on(p.Since)
		}
		t.line(level, "%s: %s%s", where, in, due)
	}
}

func (t *teller) eventFacts(level int, f *explanation.Facts, e *explanation.Event, due string) {
	if e.Times == 0 {
		t.line(level, "%s: never", e.Event)
		return
	}
	d := f.Decided
	if w := f.Window; w != nil && len(f.Events) == 1 {
		t.line(level, "%s: %s", e.Event, t.window(w, e))
		return
	}
	switch {
	case f.Function == "first" || f.Function == "never":
		t.line(level, "%s: first on %s%s", e.Event, t.occurrence(e.First, messageIDOf(d, e.Event)), due)
	case f.Function == "count":
		t.line(level, "%s: last on %s", e.Event, t.occurrence(e.Last, e.LastMessageID))
	case f.Function == "rhythm" || f.Function == "favourite":
		t.line(level, "%s: %s, last on %s%s", e.Event, times(int(e.Times), "time"), t.occurrence(e.Last, e.LastMessageID), due)
	case f.Function == "count_from" && d != nil && d.Event == e.Event:
		t.line(level, "%s: first on %s", e.Event, t.occurrence(e.First, d.MessageID))
	default:
		t.line(level, "%s: last on %s%s", e.Event, t.occurrence(e.Last, e.LastMessageID), due)
	}
}

func messageIDOf(o *explanation.Occurrence, event string) string {
	if o == nil || o.Event != event {
		return ""
	}
	return o.MessageID
}

func (t *teller) window(w *explanation.Window, e *explanation.Event) string {
	if w.Times == 0 {
		return "none in the window; last on " + t.occurrence(e.Last, e.LastMessageID)
	}
	last, leaves := t.occurrence(e.Last, e.LastMessageID), ""
	if w.Leaves != explanation.None {
		leaves = " (leaves it on " + t.on(w.Leaves) + ")"
	}
	in := times(int(w.Times), "time") + " in the window"
	switch {
	case w.AtLeast:
		return fmt.Sprintf("at least %s, the oldest kept on %s%s, the newest on %s", in, t.on(w.Oldest), leaves, last)
	case w.Oldest == explanation.None: // counted by the hour, or in a window that does not move
		return in + leaves + "; last on " + last
	case w.Times == 1:
		return "once in the window, on " + last + leaves
	default:
		return fmt.Sprintf("%s, the oldest on %s%s, the newest on %s", in, t.on(w.Oldest), leaves, last)
	}
}

// reason says in words why a change came.
func reason(c *explanation.Cause, zone *time.Location) string {
	switch c.Type {
	case record.CauseEvent, record.CauseLateEvent:
		words := "by " + c.Event
		if c.MessageID != "" {
			words += " (message " + c.MessageID + ")"
		}
		if c.Type == record.CauseLateEvent {
			words += ", which is of " + inWords(c.EventTime.Instant(), zone) + " and came late"
		}
		return words
	case record.CauseDeadline:
		if c.Left != "" {
			return "by time: " + c.Left + " no longer held"
		}
		return "by time"
	case record.CauseIdentity, record.CauseDefinition, record.CauseErasure, record.CauseExpired:
	}
	return "by " + string(c.Type)
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
