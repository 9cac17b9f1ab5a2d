// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"slices"
	"strconv"

	"lapwing/schemas/instant"
)

// Standing is one customer after a replay, to be asked about.
type Standing struct{ life *life }

// Stand replays as Customer does; ok is false if the customer has not begun, or has ended.
func (o *Oracle) Stand(id string, messages []Message, until instant.Instant) (s Standing, ok bool) {
	l := o.newLife(id)
	for i := range messages {
		if messages[i].At <= until {
			l.accept(&messages[i])
		}
	}
	l.finish(until)
	return Standing{l}, l.frontier != instant.None
}

// Value is what an expression of a condition is at an instant, as JSON, numbers without
// trailing zeros; null is unknown. ok is false for what it does not write: lists, objects
// and times. What the customer is in is taken to be what it is now.
func (s Standing) Value(expression string, now instant.Instant) (written string, ok bool, err error) {
	x, err := parse(expression)
	if err != nil {
		return "", false, err
	}
	l := s.life
	switch v := (view{oracle: l.oracle, history: l.history, standing: l.standing, now: now}).scope().eval(x); v.kind {
	case unknown:
		return "null", true, nil
	case boolean:
		return strconv.FormatBool(v.truth), true, nil
	case number:
		return numberText(v.number), true, nil
	case text:
		return strconv.Quote(v.text), true, nil
	default:
		return "", false, nil
	}
}

// Occurrences are the instants of an event, in order.
func (s Standing) Occurrences(event string) []instant.Instant {
	var at []instant.Instant
	for _, occ := range s.life.history.occurrences[event] {
		at = append(at, occ.at)
	}
	return at
}

// In is the full name of the segment that the customer is in; "" if in none.
func (s Standing) In(segment string) string { return s.life.standing.in[segment] }

// Change is a place in a model or segment to come, and when.
type Change struct {
	Place string // the stage, or the full name of a segment; "": in none
	At    instant.Instant
}

// Next is the first change of a segment if nothing comes.
func (s Standing) Next(segment string) (c Change, ok bool) {
	l := s.life
	return l.oracle.nextIn(l.history, l.standing, l.frontier, l.frontier.Add(lookahead), func(t standing) (string, bool) {
		return t.in[segment], t.in[segment] != l.standing.in[segment]
	})
}

// With is where the customer stands at an instant if one more event has come at another,
// which lies between its frontier and that: an occurrence of which there is nothing to
// read. name is the model or segment asked about.
func (s Standing) With(event string, came, at instant.Instant, name string) string {
	l := s.life
	place := func(t standing) string {
		if stage, ok := t.stage[name]; ok {
			return stage
		}
		return t.in[name]
	}
	t := l.oracle.playTo(l.history, l.standing, l.frontier, came)
	message := &Message{At: came}
	more := applied{message: message, occurrences: map[string]occurrence{event: {at: came, message: message}}}
	h := l.oracle.historyOf(append(slices.Clip(l.messages), more))
	t = l.oracle.evaluate(h, t, came)
	return place(l.oracle.playTo(h, t, came, at))
}

// playTo goes from one instant to another without messages, that one included.
func (o *Oracle) playTo(h *history, s standing, from, to instant.Instant) standing {
	for now := from; ; {
		var ok bool
		if now, ok = o.after(h, s, now); !ok || now > to {
			return s
		}
		s = o.evaluate(h, s, now)
	}
}

func (o *Oracle) nextIn(h *history, s standing, from, until instant.Instant, changed func(standing) (string, bool)) (Change, bool) {
	for now := from; ; {
		var ok bool
		if now, ok = o.after(h, s, now); !ok || now > until {
			return Change{}, false
		}
		s = o.evaluate(h, s, now)
		if place, ok := changed(s); ok {
			return Change{place, now}, true
		}
	}
}
