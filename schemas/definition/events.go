// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"strings"
	"time"

	"lapwing/schemas/decimal"
)

// readParams reads the named constants.
func (r *fileReader) readParams(n *node) {
	if n == nil {
		return
	}
	if n.kind != mapping {
		r.add(n.pos, "`params` must be a mapping of names to values, not %s", n.kind)
		return
	}
	for _, e := range r.unique(n, "param") {
		if !r.checkName(e.key, "param") || e.value.refused {
			continue
		}
		if i := strings.IndexByte(e.key.Value, '-'); i >= 0 {
			r.add(e.key.At(i), "param %s has a -, which conditions would read as minus: use _", quote(e.key.Value))
		}
		if e.value.kind == null {
			r.add(e.key.Pos, "param %s has no value: write a number, a text, a duration or a boolean", quote(e.key.Value))
			continue
		}
		if e.value.kind != scalar {
			r.add(e.value.pos, "param %s must be a number, a text, a duration or a boolean, not %s", quote(e.key.Value), e.value.kind)
			continue
		}
		t := e.value.text
		p := Param{Name: e.key, Value: t, IsString: t.style != plain}
		if t.style == plain && t.Value != "true" && t.Value != "false" {
			_, number := decimal.Parse(t.Value)
			// What begins like a number must be one, or a duration.
			begins := strings.IndexByte("0123456789+-.", t.Value[0]) >= 0
			if _, err := ParseDuration(t.Value); !number && err != nil && begins {
				r.add(t.Pos, "param %s: %s is neither a number (such as 500 or 0.25, below 10^14) nor a duration (such as 90d, at most 3660d); quote it if it is a text%s", quote(e.key.Value), quote(t.Value), suggestNumber(t.Value))
				continue
			}
			p.IsString = !number
		}
		r.d.Params = append(r.d.Params, p)
	}
}

// readEvents reads the names of what customers do.
func (r *fileReader) readEvents(n *node) {
	if n == nil {
		return
	}
	if n.kind != mapping {
		r.add(n.pos, "`events` must be a mapping of names to events, not %s", n.kind)
		return
	}
	for _, e := range r.unique(n, "event") {
		r.checkName(e.key, "event")
		r.d.Events = append(r.d.Events, r.event(e))
	}
	r.checkSources()
}

func (r *fileReader) event(e entry) Event {
	out := Event{Name: e.key, First: true}
	what := "event " + quote(e.key.Value)
	if e.value.refused {
		return out
	}
	if e.value.kind == null {
		r.add(e.key.Pos, "%s has no value: give it a `match`, such as {match: Order Completed}, or a `from` and a `gap`", what)
		return out
	}
	f, ok := r.fields(e.value, what, "match", "where", "value", "key", "refund", "from", "gap", "first", "resolution")
	if !ok {
		return out
	}
	f.pos, f.named = e.key.Pos, true
	if f.given("from") {
		r.derived(f, &out)
	} else {
		r.matched(f, &out)
	}
	if n := f.get("resolution"); n != nil {
		if t, ok := r.text(n, "`resolution`"); ok {
			if t.Value == "1h" {
				out.Resolution = time.Hour
			} else {
				r.add(t.Pos, "`resolution` %s is not known: the only one is 1h", quote(t.Value))
			}
		}
	}
	return out
}

// derived reads an event that occurs by the pauses of another.
func (r *fileReader) derived(f *fields, out *Event) {
	for _, key := range []string{"match", "where", "value", "key", "refund"} {
		if f.given(key) {
			r.add(f.key(key).Pos, "%s is derived by `from` and has no `%s` of its own: take it out, or put it on the source", f.what, key)
		}
	}
	if n := f.get("from"); n != nil {
		out.From, _ = r.name(n, "source")
	}
	out.Gap = r.duration(f.require("gap"), "`gap`", aboveZero, 0)
	if n := f.get("first"); n != nil {
		if t, ok := r.text(n, "`first`"); ok {
			if t.style != plain || t.Value != "true" && t.Value != "false" {
				r.add(t.Pos, "`first` must be true or false, not %s", quote(t.Value))
			}
			out.First = t.Value != "false"
		}
	}
}

// matched reads an event that messages are.
func (r *fileReader) matched(f *fields, out *Event) {
	if !f.given("match") {
		f.missing("%s needs the key `match`, or `from` and `gap`", f.what)
	}
	if n := f.get("match"); n != nil {
		out.Match = r.match(n)
	}
	out.Where = r.condition(f.get("where"), "`where`")
	out.Value = r.condition(f.get("value"), "`value`")
	out.Key = r.condition(f.get("key"), "`key`")
	for _, key := range []string{"gap", "first"} {
		if f.given(key) {
			r.add(f.key(key).Pos, "`%s` goes with `from`, which %s does not have: take it out", key, f.what)
		}
	}
	n := f.get("refund")
	if n == nil {
		return
	}
	rf, ok := r.fields(n, "`refund`", "match", "value", "key")
	if !ok {
		return
	}
	out.Refund = &Refund{}
	if m := rf.require("match"); m != nil {
		out.Refund.Match = r.match(m)
	}
	out.Refund.Key = r.condition(rf.require("key"), "`key`")
	out.Refund.Value = r.condition(rf.get("value"), "`value`")
	if !f.given("key") {
		r.add(f.key("refund").Pos, "%s needs a `key`, by which a refund finds its occurrence", f.what)
	}
}

// match reads one pattern or a list of them.
func (r *fileReader) match(n *node) []Match {
	if n.kind != list {
		return r.pattern(n, nil)
	}
	var out []Match
	for _, item := range r.items(n, "`match`") {
		out = r.pattern(item, out)
	}
	return out
}

// pattern appends the pattern n to out.
func (r *fileReader) pattern(n *node, out []Match) []Match {
	if n.kind == scalar {
		if t, ok := r.text(n, "`match`"); ok {
			out = append(out, Match{Type: "track", Event: t.Value})
		}
		return out
	}
	if n.refused {
		return out
	}
	if n.kind != mapping {
		r.add(n.pos, "`match` must be an event's name, a mapping with `type`, `event` or `name`, or a list of these, not %s", n.kind)
		return out
	}
	f, _ := r.fields(n, "`match`", "type", "event", "name")
	if len(n.entries) == 0 {
		r.add(n.pos, "`match` is empty: it would fit every message; give it a `type`, `event` or `name`")
		return out
	}
	var m Match
	for key, into := range map[string]*string{"type": &m.Type, "event": &m.Event, "name": &m.Name} {
		if v := f.get(key); v != nil {
			t, _ := r.text(v, "`"+key+"`")
			*into = t.Value
		}
	}
	if m == (Match{}) {
		return out // each of its keys was reported
	}
	return append(out, m)
}

// checkSources checks that derived events come from events and not in a circle.
func (r *fileReader) checkSources() {
	events := r.d.Events
	index := make(map[string]int, len(events))
	names := make([]string, 0, len(events))
	for i, e := range events {
		index[e.Name.Value] = i
		names = append(names, e.Name.Value)
	}
	// Each event has at most one source, so following it finds every circle. What
	// was visited in an earlier walk has been judged there.
	walk := make([]int, len(events))
	for start := range events {
		for at := start; walk[at] == 0; {
			walk[at] = start + 1
			from := events[at].From
			next, known := index[from.Value]
			if from.IsZero() {
				break
			}
			if !known {
				r.add(from.Pos, "event %s is not defined%s", quote(from.Value), suggestKey(from.Value, names))
				break
			}
			if walk[next] == start+1 {
				r.add(from.Pos, "event %s comes from itself, in a circle: one of the events in it needs a `match` in place of its `from`", quote(from.Value))
			}
			at = next
		}
	}
}
