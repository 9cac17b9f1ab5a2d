// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/explanation"
	"lapwing/schemas/instant"
)

// replayed is a definition's model, and the state that lines leave at an instant.
func replayed(t *testing.T, source []byte, lines [][]byte, until string) (*Model, *State, instant.Instant) {
	t.Helper()
	def, problems := definition.Parse("test.yaml", source)
	if def != nil && !slices.ContainsFunc(problems, func(p definition.Problem) bool { return !p.Warning }) {
		var m *Model
		if m, problems = Compile(def); m != nil {
			at, ok := instant.Parse(until)
			if !ok {
				t.Fatalf("no time: %s", until)
			}
			s, out, msg := new(State), new(Output), new(event.Message)
			dec := event.NewDecoder(m.Projection(), event.DefaultLimits())
			for _, line := range lines {
				if cause := dec.Decode(line, instant.None, msg); cause != "" {
					t.Fatalf("%s: %s", cause, line)
				}
				if msg.Time > at {
					continue
				}
				m.Accept(s, "u1", msg, msg.Time, out)
			}
			m.Finish(s, "u1", at, out)
			return m, s, at
		}
	}
	t.Fatalf("the definition: %v", problems)
	return nil, nil, 0
}

// TestExplanationsAreTheGoldenOnes: the JSON that others read, at instants around the
// boundaries of one history. UPDATE_EXPLANATIONS=1 writes what is said now.
func TestExplanationsAreTheGoldenOnes(t *testing.T) {
	source, err := os.ReadFile("testdata/explain/definition.yaml")
	if err != nil {
		t.Fatal(err)
	}
	events, err := os.ReadFile("testdata/explain/events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(events), []byte("\n"))
	for name, until := range map[string]string{
		"active":            "2026-01-21T10:00:00Z",
		"active_to_the_end": "2026-01-31T07:59:59.999Z", // of the instant after it is the next
		"other":             "2026-01-31T08:00:00Z",
		"at_risk":           "2026-05-01T00:00:00Z",
	} {
		m, s, at := replayed(t, source, lines, until)
		var got bytes.Buffer
		out := json.NewEncoder(&got)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		if err := out.Encode(m.Explain(s, "u1", at)); err != nil {
			t.Fatal(err)
		}
		path := "testdata/explain/" + name + ".json"
		if os.Getenv("UPDATE_EXPLANATIONS") != "" {
			if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %v\n got %s\nwant %s", path, err, got.Bytes(), want)
		}
		var again explanation.Explanation
		dec := json.NewDecoder(bytes.NewReader(want))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&again); err != nil {
			t.Errorf("%s cannot be read: %v", path, err)
		}
	}
}

// Every function of the language is explained, one that explain does not know by name too:
// with its text as it is written, its value, and what is known of its arguments.
func TestEveryFunctionIsExplained(t *testing.T) {
	arguments := map[argument]string{
		argEvent: "purchase", argWindow: "30d", argSpan: "30d", argHalfLife: "30d", argOffset: "-1d", argProperty: "sku", argTrait: "plan",
		argModel: "base", argStage: "one", argSegment: "all",
		argCampaign: "c", argVariant: "x", argGoal: "g",
	}
	for _, f := range functions {
		args := make([]string, len(f.args))
		for i, a := range f.args {
			text, ok := arguments[a]
			if !ok {
				t.Fatalf("%s: give this test an argument of the new kind %d", f.name, a)
			}
			args[i] = "'" + text + "'"
		}
		written := f.name + "( " + strings.Join(args, " , ") + " )"
		condition := map[result]string{resultBool: written, resultNumber: written + " >= 0", resultAny: written + " == 'x'", resultText: written + " == 'x'", resultSpan: written + " <= '30d'"}[f.result]
		source := fmt.Appendf(nil, `{lapwing: 1, name: x, version: 1, events: {purchase: {match: Order}}, models: [
			{name: base, stages: [{stage: one, when: "true"}]},
			{name: m, stages: [{stage: yes, when: "false || !(%s)"}, {stage: no, when: "true"}]}],
			segments: [{name: all, when: "true"}],
			campaigns: [{name: c, audience: "true", variants: {x: 100%%}, goals: [{name: g, event: purchase, within: 1d}]}]}`, condition)
		lines := [][]byte{
			[]byte(`{"type":"identify","userId":"u1","timestamp":"2026-01-01T00:00:00Z","traits":{"plan":"2026-03-01"}}`),
			[]byte(`{"type":"track","event":"Order","userId":"u1","timestamp":"2026-01-02T00:00:00Z","properties":{"sku":"a"}}`),
		}
		m, s, at := replayed(t, source, lines, "2026-01-03T00:00:00Z")
		x := m.Explain(s, "u1", at)
		found := 0
		x.Conditions(func(c *explanation.Condition) {
			if c.Facts == nil || c.Facts.Function != f.name || c.Text != written {
				return
			}
			found++
			for i, a := range f.args {
				switch {
				case a == argEvent && !slices.ContainsFunc(c.Facts.Events, func(e explanation.Event) bool { return e.Times == 1 }):
					t.Errorf("%s: argument %d: %+v", written, i, c.Facts)
				case a == argTrait && (c.Facts.Trait == nil || string(c.Facts.Trait.Value) != `"2026-03-01"`),
					(a == argModel || a == argSegment) && (c.Facts.Place == nil || !c.Facts.Place.In):
					t.Errorf("%s: argument %d: %+v", written, i, c.Facts)
				}
			}
		})
		if found != 1 {
			t.Errorf("%s is explained %d times, not once: %+v", written, found, x.Models[1].Stages)
		}
	}
}

// The parts of a condition are what its text says, however it is written.
func TestPartsAreAsWritten(t *testing.T) {
	for _, c := range []struct {
		condition string
		parts     []string // each part, two spaces a level
	}{
		{`never('a') && ( seen('a','1d')||!(idle ( "a" , '2d' )) )`, []string{
			"never('a')", `seen('a','1d')||!(idle ( "a" , '2d' ))`, "  seen('a','1d')", `  !(idle ( "a" , '2d' ))`, `    idle ( "a" , '2d' )`,
		}},
		{`never('a') && known('x') && known('y')`, []string{"never('a')", "known('x')", "known('y')"}},
		{`(count('a','1d') + 1) * 2 > params.n`, []string{"(count('a','1d') + 1) * 2", "  count('a','1d') + 1", "    count('a','1d')", "params.n"}},
		{`trait('t') in ['a)', "b'("] || (known('x'))`, []string{`trait('t') in ['a)', "b'("]`, "  trait('t')", `  ['a)', "b'("]`, "known('x')"}},
		{`trait('ü)').startsWith('é(') && known('x')`, []string{"trait('ü)').startsWith('é(')", "  trait('ü)')", "known('x')"}},
		{`trait('l')[0] == 'x' && !known('y')`, []string{"trait('l')[0] == 'x'", "  trait('l')[0]", "    trait('l')", "!known('y')", "  known('y')"}},
		{`size(trait('l')) > 1 ? known('x') : never('a')`, []string{"size(trait('l')) > 1", "  size(trait('l'))", "    trait('l')", "known('x')", "never('a')"}},
		{`'it\'s )' == trait('t') && -count('a') < -1`, []string{`'it\'s )' == trait('t')`, "  trait('t')", "-count('a') < -1", "  -count('a')", "    count('a')"}},
	} {
		text, err := json.Marshal(c.condition)
		if err != nil {
			t.Fatal(err)
		}
		source := fmt.Appendf(nil, `{lapwing: 1, name: x, version: 1, params: {n: 3}, events: {a: {match: A}}, models: [
			{name: m, stages: [{stage: yes, when: %s}, {stage: no, when: "true"}]}]}`, text)
		m, s, at := replayed(t, source, [][]byte{[]byte(`{"type":"track","event":"B","userId":"u1","timestamp":"2026-01-02"}`)}, "2026-01-03")
		x := m.Explain(s, "u1", at)
		var got []string
		var list func(level int, c *explanation.Condition)
		list = func(level int, c *explanation.Condition) {
			for i := range c.Parts {
				got = append(got, strings.Repeat("  ", level)+c.Parts[i].Text)
				list(level+1, &c.Parts[i])
			}
		}
		root := &x.Models[0].Stages[0].Condition
		list(0, root)
		if root.Text != c.condition || !slices.Equal(got, c.parts) {
			t.Errorf("%s\n got %q\nwant %q", root.Text, got, c.parts)
		}
	}
}

// An explanation is of an instant of which the state tells: not before its frontier, not
// at or behind a deadline that has not been played, and of no message that still waits.
func TestExplanationsAreOfInstantsTheStateTellsOf(t *testing.T) {
	const source = `{lapwing: 1, name: x, version: 1, lateness: %s, events: {a: {match: A}}, models: [
		{name: m, stages: [{stage: quiet, when: "idle('a', '10d')"}, {stage: busy, when: "true"}]}]}`
	line := []byte(`{"type":"track","event":"A","messageId":"m1","userId":"u1","timestamp":"2026-01-02T00:00:00Z"}`)
	at := func(text string) instant.Instant {
		i, ok := instant.Parse(text)
		if !ok {
			t.Fatal(text)
		}
		return i
	}
	m, s, _ := replayed(t, fmt.Appendf(nil, source, "0s"), [][]byte{line}, "2026-01-03")
	for clock, want := range map[instant.Instant]string{
		instant.None:                   "2026-01-02T00:00:00Z",
		at("2026-01-01"):               "2026-01-02T00:00:00Z",
		at("2026-01-11T23:59:59.999Z"): "2026-01-11T23:59:59.999Z",
		at("2026-01-12"):               "2026-01-11T23:59:59.999Z", // quiet then, and that has not been played
		at("2027-01-01"):               "2026-01-11T23:59:59.999Z",
	} {
		x := m.Explain(s, "u1", clock)
		if x.At.Instant() != at(want) || x.Models[0].Stage != "busy" || x.Models[0].Stages[0].Condition.Holds() {
			t.Errorf("asked for %s: at %s, %+v; want %s", clock, x.At.Instant(), x.Models, want)
		}
	}

	m, _, _ = replayed(t, fmt.Appendf(nil, source, "1d"), nil, "2026-01-03")
	s, out, msg := new(State), new(Output), new(event.Message)
	if cause := event.NewDecoder(m.Projection(), event.DefaultLimits()).Decode(line, instant.None, msg); cause != "" {
		t.Fatal(cause)
	}
	if m.Accept(s, "u1", msg, msg.Time, out) != Held {
		t.Fatal("the message does not wait")
	}
	if x := m.Explain(s, "u1", at("2026-01-02")); x.Waiting != 1 || len(x.Models)+len(x.Events) > 0 || x.At.Instant() != at("2026-01-02") {
		t.Errorf("all waits: %+v", x)
	}
	m.Advance(s, "u1", at("2026-01-03"), at("2026-01-03"), out)
	if x := m.Explain(s, "u1", at("2026-01-02")); x.Waiting != 0 || len(x.Models) != 1 || x.Events[0].Times != 1 {
		t.Errorf("nothing waits: %+v", x)
	}
}
