// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/explanation"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// TestExplanationsAgainstOracle: every condition and every part of one, read by the
// oracle as it is written in the explanation, has the value that is said, now and until
// the instant that is said; each fact is what the history shows; the first stage that
// holds is the customer's; the next changes, and what prevents them, are those of a
// brute-force play.
func TestExplanationsAgainstOracle(t *testing.T) {
	t.Parallel()
	reached := explained{}
	for _, first := range []uint64{3_000_000, limitedSeeds + 2_000_000} {
		runSamples(t, first, 500, func(c *compiledCase, id string) string {
			if d := againstOracle(c, id); d != "" {
				return d
			}
			return explainedAgainstOracle(c, id, reached)
		})
	}
	t.Logf("reached: %v", reached)
	for _, what := range []string{"values", "parts", "until", "unknown", "facts", "windows", "next", "segment next", "prevented", "not prevented", "came by time"} {
		if reached[what] == 0 && !testing.Short() {
			t.Errorf("no case reached %q: the generator has gone blind", what)
		}
	}
}

// explained counts what was compared.
type explained map[string]int

func explainedAgainstOracle(c *compiledCase, id string, reached explained) string {
	state, changes, campaigns, err := stateAt(c.model, id, c.lines[id], c.until)
	if err != nil {
		return err.Error()
	}
	stands, begun := c.judge.Stand(id, c.messages[id], c.until)
	if begun != state.Begun() {
		return fmt.Sprintf("begun: %v, the oracle says %v", state.Begun(), begun)
	}
	if !begun {
		return ""
	}
	before := c.model.AppendState(nil, state)
	x := c.model.Explain(state, id, c.until)
	if string(c.model.AppendState(nil, state)) != string(before) {
		return "the state was changed by explaining it"
	}
	if x.At.Instant() != c.until || x.Waiting != 0 {
		return fmt.Sprintf("explained at %s, %d waiting; want %s and none", x.At.Instant(), x.Waiting, c.until)
	}
	k := &checker{c: c, x: x, stands: stands, reached: reached}
	k.models(state, id)
	k.came(changes, campaigns)
	k.segments()
	for i := range x.Events {
		k.event(&x.Events[i])
	}
	x.Conditions(k.condition)
	return strings.Join(k.wrong, "\n")
}

// stateAt is a customer's state after a replay, the last change of each model that came
// behind all messages, and the instants at which something came of a campaign there.
func stateAt(model *lifecycle.Model, id string, lines [][]byte, until instant.Instant) (*lifecycle.State, map[string]record.Record, map[instant.Instant]bool, error) {
	var (
		state   lifecycle.State
		out     lifecycle.Output
		message event.Message
	)
	decoder := event.NewDecoder(model.Projection(), event.DefaultLimits())
	for _, line := range lines {
		if cause := decoder.Decode(line, instant.None, &message); cause != "" {
			return nil, nil, nil, fmt.Errorf("decode %s: %s", line, cause)
		}
		if message.Time > until {
			continue
		}
		clock := max(state.Clock(), message.Time)
		if model.Accept(&state, id, &message, clock, &out) != lifecycle.Duplicate && model.Definition().Lateness > 0 {
			model.Advance(&state, id, clock, clock, &out)
		}
	}
	before := len(out.Records)
	model.Finish(&state, id, until, &out)
	changes, campaigns := map[string]record.Record{}, map[instant.Instant]bool{}
	if model.Definition().Lateness > 0 { // messages come at the end, too
		return &state, changes, campaigns, nil
	}
	for _, r := range out.Records[before:] {
		switch r.Kind {
		case record.StageChange:
			changes[r.Model] = r
		case record.Assignment, record.Conversion:
			campaigns[r.EffectiveAt] = true
		default:
		}
	}
	return &state, changes, campaigns, nil
}

// checker compares one explanation with the oracle.
type checker struct {
	c       *compiledCase
	x       *explanation.Explanation
	stands  oracle.Standing
	reached explained
	wrong   []string
}

func (k *checker) bad(format string, args ...any) {
	k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
}

func (k *checker) models(state *lifecycle.State, id string) {
	profile := k.c.model.Profile(state, id)
	for i, m := range k.x.Models {
		p := profile.Stages[i]
		if m.Model != p.Model || m.Stage != p.Stage || m.Since.Instant() != p.Since {
			k.bad("model %+v, the profile says %+v", m, p)
		}
		for j := range m.Stages {
			s := &m.Stages[j]
			if last := j == len(m.Stages)-1; s.Condition.Holds() != last || last && s.Stage != m.Stage {
				k.bad("model %s is in %s, and the condition of %s is %s", m.Model, m.Stage, s.Stage, s.Condition.Value)
			}
		}
		if (m.Next == nil) != (p.NextStage == "") || m.Next != nil && (m.Next.Stage != p.NextStage || m.Next.At.Instant() != p.NextDeadline) {
			k.bad("model %s: next %+v, the profile says %s at %s", m.Model, m.Next, p.NextStage, p.NextDeadline)
		}
		if m.Next != nil {
			k.reached["next"]++
			k.prevented(m.Model, m.Next, m.Next.Stage)
		}
	}
}

// came: what comes by itself, behind all messages, is told to have come by time.
func (k *checker) came(changes map[string]record.Record, campaigns map[instant.Instant]bool) {
	for _, m := range k.x.Models {
		last, ok := changes[m.Model]
		if !ok {
			continue
		}
		if last.EffectiveAt != m.Since.Instant() {
			k.bad("model %s: since %s, the last change is of %s", m.Model, m.Since.Instant(), last.EffectiveAt)
		}
		if campaigns[last.EffectiveAt] && len(m.Came.Time) == 0 {
			continue // by assigned() or converted(): a state does not keep when that was
		}
		k.reached["came by time"]++
		if len(m.Came.Time) == 0 {
			k.bad("model %s came to %s by time, the explanation says %+v", m.Model, m.Stage, m.Came)
		}
	}
}

func (k *checker) segments() {
	for i, s := range k.x.Segments {
		name := k.c.def.Segments[i].Name.Value
		if in := k.stands.In(name); s.In != (in != "") || s.In && s.Segment != in {
			k.bad("segment %s: in is %v, the oracle says %q", s.Segment, s.In, in)
		}
		if by := !k.c.def.Segments[i].By.IsZero(); !by && s.Condition.Holds() != s.In {
			k.bad("segment %s: in is %v, and its condition is %s", s.Segment, s.In, s.Condition.Value)
		}
		next, ok := k.stands.Next(name)
		if ok != (s.Next != nil) {
			k.bad("segment %s: next %+v, the oracle says %v %+v", s.Segment, s.Next, ok, next)
			continue
		}
		if !ok {
			continue
		}
		k.reached["segment next"]++
		place := ""
		if s.Next.In {
			place = name
			if s.Next.Value != "" || !k.c.def.Segments[i].By.IsZero() {
				place += "=" + s.Next.Value
			}
		}
		if place != next.Place || s.Next.At.Instant() != next.At {
			k.bad("segment %s: next %+v, the oracle says %+v", s.Segment, s.Next, next)
			continue
		}
		k.prevented(name, s.Next, place)
	}
}

// prevented plays on with one event more, for each that is named.
func (k *checker) prevented(name string, next *explanation.Next, place string) {
	for _, e := range next.Unless {
		said := false
		for _, p := range next.PreventedBy {
			said = said || p == e
		}
		at := next.At.Instant()
		is := k.stands.With(e, at-1, at, name) != place
		if said && !is {
			k.bad("%s: %s at %s does not prevent %q at %s", name, e, at-1, place, at)
		}
		if said {
			k.reached["prevented"]++
		} else if !is {
			k.reached["not prevented"]++
		}
	}
}

func (k *checker) event(e *explanation.Event) {
	at := k.stands.Occurrences(e.Event)
	k.reached["facts"]++
	if int64(len(at)) != e.Times || len(at) > 0 && (at[0] != e.First.Instant() || at[len(at)-1] != e.Last.Instant()) ||
		len(at) == 0 && (e.First != explanation.None || e.Last != explanation.None) {
		k.bad("event %+v, the oracle has %v", e, at)
	}
}

func (k *checker) condition(c *explanation.Condition) {
	f := c.Facts
	k.value(c)
	if f == nil {
		return
	}
	for i := range f.Events {
		k.event(&f.Events[i])
	}
	if f.Window == nil || len(f.Events) != 1 {
		return
	}
	k.reached["windows"]++
	in, oldest := int64(0), explanation.None
	for _, at := range k.stands.Occurrences(f.Events[0].Event) {
		if at > f.Window.After.Instant() {
			if in == 0 {
				oldest = explanation.Time(at)
			}
			in++
		}
	}
	coarse := false
	for _, e := range k.c.def.Events {
		coarse = coarse || e.Name.Value == f.Events[0].Event && e.Resolution > 0
	}
	switch w := f.Window; {
	case coarse: // an instant leaves later than at its window's end
	case w.AtLeast && in < w.Times:
		k.bad("%s: at least %d in the window, the oracle has %d", c.Text, w.Times, in)
	case !w.AtLeast && (in != w.Times || oldest != w.Oldest):
		k.bad("%s: %d in the window, the oldest of %s; the oracle has %d, of %s", c.Text, w.Times, w.Oldest.Instant(), in, oldest.Instant())
	}
}

// value compares a condition's value, now and just before it may change.
func (k *checker) value(c *explanation.Condition) {
	want, ok, err := k.stands.Value(c.Text, k.x.At.Instant())
	if err != nil {
		k.bad("%v", err)
		return
	}
	if !ok {
		return
	}
	k.reached["values"]++
	if len(c.Parts) > 0 {
		k.reached["parts"]++
	}
	got := canonical(c.Value)
	if got == "null" {
		k.reached["unknown"]++
	}
	if w := window(c); w != nil && w.AtLeast {
		less, _ := new(big.Rat).SetString(got)
		more, isNumber := new(big.Rat).SetString(want)
		if c.Facts.Function == "count" && (!isNumber || more.Cmp(less) < 0) {
			k.bad("%s is at least %s, the oracle says %s", c.Text, got, want)
		}
		return
	}
	if got != want {
		k.bad("%s is %s, the oracle says %s", c.Text, got, want)
		return
	}
	if readsPlaces(c) {
		return // those may change before
	}
	k.reached["until"]++
	until := c.Until.Instant() - 1
	if c.Until == explanation.None {
		until = k.x.At.Instant() + 3600*24*3600*1000
	}
	if then, _, _ := k.stands.Value(c.Text, until); then != want {
		k.bad("%s is %s, and is to stay so to %s; the oracle says %s at %s", c.Text, want, c.Until.Instant(), then, until)
	}
}

func window(c *explanation.Condition) *explanation.Window {
	if c.Facts == nil {
		return nil
	}
	return c.Facts.Window
}

func readsPlaces(c *explanation.Condition) bool {
	if c.Facts != nil && c.Facts.Place != nil {
		return true
	}
	for i := range c.Parts {
		if readsPlaces(&c.Parts[i]) {
			return true
		}
	}
	return false
}

// canonical is a value as the oracle writes it.
func canonical(raw json.RawMessage) string {
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "no JSON: " + string(raw)
	}
	switch v := v.(type) {
	case json.Number:
		r, _ := new(big.Rat).SetString(v.String())
		return strings.TrimSuffix(strings.TrimRight(r.FloatString(4), "0"), ".")
	case string:
		return strconv.Quote(v)
	default:
		return string(raw)
	}
}
