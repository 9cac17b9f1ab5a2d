// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"lapwing/schemas/definition"
	"lapwing/schemas/explanation"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
)

// explainer watches one customer of a replay: what a state does not keep, the causes of the
// last changes and the ids of the messages, it has seen.
type explainer struct {
	customer string
	format   string // text or json
	models   map[string]record.Record
	segments map[string]record.Record // by full name
	messages map[occurred]string
}

// occurred is one occurrence of an event.
type occurred struct {
	event string
	at    instant.Instant
}

func newExplainer(customer, format string) *explainer {
	return &explainer{
		customer: customer, format: format,
		models: map[string]record.Record{}, segments: map[string]record.Record{}, messages: map[occurred]string{},
	}
}

func (e *explainer) note(customer string, out *lifecycle.Output) {
	if customer != e.customer {
		return
	}
	for _, r := range out.Records {
		switch r.Kind {
		case record.StageChange:
			e.models[r.Model] = r
		case record.SegmentChange:
			e.segments[r.Segment] = r
		default: // of campaigns
		}
	}
	for i := range out.Activity {
		a := &out.Activity[i]
		for _, o := range a.Occurrence {
			if !o.Refund {
				e.messages[occurred{o.Event, o.At}] = a.MessageID
			}
		}
	}
	if out.Ended {
		clear(e.messages)
	}
}

func (e *explainer) tell(w io.Writer, r *replay) error {
	c := r.customers[e.customer]
	if c == nil {
		return fmt.Errorf("no usable event up to the end is of customer %q; ids are compared letter by letter", e.customer)
	}
	def := r.model.Definition()
	if !c.state.Begun() && e.format == "text" {
		_, err := fmt.Fprint(w, visible(fmt.Sprintf("%s\n  forgotten: an anonymous visitor that was silent for %s\n",
			headline(e.customer, r.until, def.Name.Value, def.Version, def.Zone), inDays(def.AnonymousRetention))))
		return err
	}
	x := r.model.Explain(&c.state, c.id, r.until)
	x.At = explanation.Time(r.until)
	e.complete(x, def)
	if e.format == "json" {
		return writeJSON(w, x)
	}
	_, err := io.WriteString(w, visible(explained(x, def.Zone)))
	return err
}

// complete adds what the replay has seen to what the state tells.
func (e *explainer) complete(x *explanation.Explanation, def *definition.Definition) {
	for i := range x.Models {
		x.Models[i].Came.Cause = cause(e.models[x.Models[i].Model])
	}
	for i := range x.Segments {
		if s := &x.Segments[i]; s.Since != explanation.None {
			s.Came.Cause = cause(e.segments[s.Segment])
		}
	}
	origins := map[string]string{} // of derived events, which come with a message of another's
	for i := range def.Events {
		origins[def.Events[i].Name.Value] = def.Events[i].From.Value
	}
	x.Name(func(event string, at explanation.Time) string {
		for origins[event] != "" {
			event = origins[event]
		}
		return e.messages[occurred{event, at.Instant()}]
	})
}

func cause(r record.Record) *explanation.Cause {
	if r.Cause.Type == "" {
		return nil
	}
	return &explanation.Cause{
		Type: r.Cause.Type, Condition: r.Cause.Condition, Left: r.Cause.Left,
		Event: r.Cause.Event, MessageID: r.Cause.MessageID, EventTime: explanation.Time(r.Cause.EventTime),
	}
}
