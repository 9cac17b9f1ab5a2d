// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

const succeedDay = 24 * 60 * 60 * 1000

// succeedModel has the stages of a model in one line, then the segments.
func succeedModel(t *testing.T, models, segments string) *Model {
	t.Helper()
	m, problems := compileText(t, header+"models:\n"+models+"segments:\n"+segments)
	if m == nil {
		t.Fatal(problems)
	}
	return m.PublishingFrom(instant.None)
}

func succeedState(t *testing.T, m *Model, lines ...string) *State {
	t.Helper()
	s, dec, out := new(State), event.NewDecoder(m.Projection(), event.DefaultLimits()), new(Output)
	for _, line := range lines {
		var msg event.Message
		if cause := dec.Decode([]byte(line), instant.None, &msg); cause != "" {
			t.Fatalf("%s: %s", cause, line)
		}
		m.Accept(s, "ana", &msg, msg.Time, out)
	}
	return s
}

// told is what Succeed tells.
func told(m *Model, s *State, before Standing) []string {
	var out Output
	m.Succeed(s, "ana", &before, 1000*succeedDay, &out)
	var lines []string
	for i := range out.Records {
		switch r := &out.Records[i]; r.Kind {
		case record.StageChange:
			lines = append(lines, fmt.Sprintf("%s#%d %s→%s %s %s [%s|%s]", r.Model, r.Sequence, r.From, r.To, r.EffectiveAt, r.Cause.Type, r.Cause.Condition, r.Cause.Left))
		default:
			lines = append(lines, fmt.Sprintf("%s#%d %v %s %s", r.Segment, r.Sequence, r.Entered, r.EffectiveAt, r.Cause.Type))
		}
	}
	return lines
}

// A customer that takes another computation's place: where both agree nothing is told,
// where they differ a change with cause definition is; the sequences go on above both,
// and nothing takes effect before what was told.
func TestSucceed(t *testing.T) {
	const value = `  - {name: value, stages: [{stage: prospect, when: never('purchase')}, {stage: lost, when: "idle('purchase', '20d')"}, {stage: buyer, when: "true"}]}` + "\n"
	const other = `  - {name: other, stages: [{stage: quiet, when: never('visit')}, {stage: active, when: "true"}]}` + "\n"
	const segments = "  - {name: buyers, when: count('purchase') >= 1}\n  - {name: country, by: trait('country')}\n"
	bought := `{"type":"track","event":"Order Completed","userId":"ana","messageId":"1","timestamp":"1970-01-11","properties":{"order_id":"1","total":5}}`
	lives := `{"type":"identify","userId":"ana","messageId":"2","timestamp":"1970-01-12","traits":{"country":"FR"}}`
	m := succeedModel(t, value, segments)
	fresh := func() *State { return succeedState(t, m, bought, lives) }
	same := m.Standing(fresh())
	if len(same.Models) != 1 || same.Models[0].Stage != "buyer" || len(same.Segments) != 2 || same.Frontier != 11*succeedDay {
		t.Fatalf("stands at %+v", same)
	}
	with := func(change func(*Standing)) Standing {
		b := same
		b.Models, b.Segments = slices.Clone(same.Models), slices.Clone(same.Segments)
		change(&b)
		return b
	}
	for _, c := range []struct {
		name   string
		state  *State
		model  *Model
		before Standing
		want   []string
	}{
		{"both agree", fresh(), m, same, nil},
		{"only the sequences differ", fresh(), m, with(func(b *Standing) { b.Models[0].Sequence, b.Segments[0].Sequence = 9, 7 }), nil},
		{"another stage, told later", fresh(), m, with(func(b *Standing) {
			b.Models[0].Stage, b.Models[0].Sequence, b.Frontier = "lost", 4, 15*succeedDay
		}), []string{"value#5 lost→buyer 1970-01-16T00:00:00Z definition [true|idle('purchase', '20d')]"}},
		{
			"a stage that is no more", fresh(), m, with(func(b *Standing) { b.Models[0].Stage = "gold" }),
			[]string{"value#2 gold→buyer 1970-01-12T00:00:00Z definition [true|]"},
		},
		{"a customer that is new", fresh(), m, Standing{Frontier: instant.None}, []string{
			"value#2 →buyer 1970-01-12T00:00:00Z definition [true|]", "buyers#2 true 1970-01-12T00:00:00Z definition", "country=FR#2 true 1970-01-12T00:00:00Z definition",
		}},
		{"a customer that is no more", new(State), m, same, []string{
			"value#2 buyer→ 1970-01-12T00:00:00Z definition [|]", "buyers#2 false 1970-01-12T00:00:00Z definition", "country=FR#2 false 1970-01-12T00:00:00Z definition",
		}},
		{"a segment left, another entered", fresh(), m, with(func(b *Standing) {
			b.Segments = []SegmentStanding{{Segment: "country=DE", In: true, Sequence: 3}, {Segment: "country=FR", In: false, Sequence: 6}, {Segment: "gone", In: true, Sequence: 1}}
		}), []string{
			"buyers#2 true 1970-01-12T00:00:00Z definition", "country=DE#4 false 1970-01-12T00:00:00Z definition",
			"country=FR#7 true 1970-01-12T00:00:00Z definition", "gone#2 false 1970-01-12T00:00:00Z definition",
		}},
	} {
		if got := told(c.model, c.state, c.before); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
		if now := c.model.Standing(c.state); c.state.Begun() && now.Frontier < c.before.Frontier {
			t.Errorf("%s: stands at %s, told was %s", c.name, now.Frontier, c.before.Frontier)
		}
		if again := c.model.Standing(c.state); c.state.Begun() {
			if more := told(c.model, c.state, again); len(more) > 0 {
				t.Errorf("%s: from where it stands itself: %q", c.name, more)
			}
		}
	}
	two := succeedModel(t, value+other, segments)
	if got := told(two, succeedState(t, two, bought, lives), same); len(got) != 1 || !strings.HasPrefix(got[0], "other#2 →quiet ") {
		t.Errorf("a model that is new: %q", got)
	}
	was := two.Standing(succeedState(t, two, bought, lives))
	if got := told(m, fresh(), was); len(got) != 1 || !strings.HasPrefix(got[0], "other#2 quiet→ ") {
		t.Errorf("a model that is no more: %q", got)
	}
	// What was told with a greater sequence is gone on from.
	s := fresh()
	told(m, s, with(func(b *Standing) { b.Models[0].Sequence = 9 }))
	var out Output
	m.Advance(s, "ana", 40*succeedDay, 40*succeedDay, &out)
	if len(out.Records) != 1 || out.Records[0].Sequence != 10 || out.Records[0].From != "buyer" {
		t.Errorf("what follows: %+v", out.Records)
	}
}
