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

// campaignsOf are the assignments and conversions of an output, in short.
func campaignsOf(out *Output) []string {
	var all []string
	for i := range out.Records {
		r := &out.Records[i]
		arm := r.Variant
		if r.Holdout {
			arm = "holdout"
		}
		switch r.Kind {
		case record.Assignment:
			all = append(all, fmt.Sprintf("%s %s assigned #%d round %d %s %s", r.EffectiveAt.String()[:10], r.Campaign, r.Sequence, r.Round, arm, r.Cause.Type))
		case record.Conversion:
			value := ""
			if r.HasValue {
				value = " " + r.Value.String()
			}
			all = append(all, fmt.Sprintf("%s %s/%s#%d round %d %s%s %s in %v", r.EffectiveAt.String()[:10], r.Campaign, r.Goal, r.Sequence, r.Round, arm, value, r.Cause.Type, r.Stages))
		default:
		}
	}
	return all
}

// change is a definition that follows at the customer's clock.
type change struct {
	rest  string
	lines []string // what comes under it
}

// story folds lines under one definition after another and tells what came of campaigns.
func story(t *testing.T, until string, changes ...change) (told []string, s *State) {
	t.Helper()
	s = new(State)
	var m *Model
	var out Output
	for i, c := range changes {
		next := carryModel(t, i+1, c.rest)
		if m != nil {
			b := m.AppendState(nil, s)
			s = new(State)
			if err := m.DecodeState(b, s); err != nil {
				t.Fatal(err)
			}
			s = NewCarrier(m, next).Carry(s, "ana", instant.None, s.Clock(), &out)
		}
		m = next
		for _, line := range c.lines {
			msg := decoded(t, m, line)
			m.Accept(s, "ana", &msg, msg.Time, &out)
		}
	}
	end, ok := instant.Parse(until)
	if !ok {
		t.Fatal(until)
	}
	m.Finish(s, "ana", end, &out)
	return campaignsOf(&out), s
}

const (
	carryOrder    = `{"type":"track","event":"Order Completed","userId":"ana","timestamp":"2026-01-%02dT00:00:00Z","properties":{"total":%d,"order_id":"o%d"}}`
	carryPage     = `{"type":"page","userId":"ana","timestamp":"2026-01-%02dT00:00:00Z"}`
	carryCampaign = `campaigns:
  - {name: c, audience: "seen('purchase', '2d')", every: 3d, variants: {a: 50%, b: 50%}, goals: [{name: spent, event: purchase, within: 9d, value: total}, {name: back, event: visit, within: 9d}]}
`
)

// What a change of the definition does to assignments and to rounds that are open.
func TestCampaignsUnderAnotherDefinition(t *testing.T) {
	base := carryEvents + carryValue
	order := func(day, total int) string { return fmt.Sprintf(carryOrder, day, total, day) }
	page := func(day int) string { return fmt.Sprintf(carryPage, day) }
	for _, c := range []struct {
		name    string
		changes []change
		want    []string
	}{
		{"as if it had been one definition", []change{{base + carryCampaign, []string{order(1, 5), order(2, 7)}}, {base + carryCampaign, []string{page(3)}}}, []string{
			"2026-01-01 c assigned #1 round 1 b event", "2026-01-03 c/back#1 round 1 b event in [{value buyer}]", "2026-01-10 c/spent#1 round 1 b 7 deadline in [{value buyer}]",
		}},
		{"the arm stands, whatever becomes of the variants", []change{{base + carryCampaign, []string{order(1, 5)}}, {base + strings.Replace(carryCampaign, "{a: 50%, b: 50%}", "{x: 100%}", 1), []string{order(8, 1)}}}, []string{
			"2026-01-01 c assigned #1 round 1 b event", "2026-01-08 c assigned #2 round 2 b event", "2026-01-10 c/spent#1 round 1 b 1 deadline in [{value buyer}]",
		}},
		{"a goal of another meaning does not go on in a round that is open, but in the next", []change{
			{base + carryCampaign, []string{order(1, 5), order(2, 7)}},
			{base + strings.Replace(carryCampaign, "within: 9d, value", "within: 8d, value", 1), []string{order(8, 1), order(9, 2)}},
		}, []string{"2026-01-01 c assigned #1 round 1 b event", "2026-01-08 c assigned #2 round 2 b event", "2026-01-16 c/spent#1 round 2 b 2 deadline in [{value buyer}]"}},
		{"a goal that is new begins with the next round; one that is gone ends silently, and its sequence goes on when it comes back", []change{
			{base + carryCampaign, []string{order(1, 5), page(2)}},
			{base + strings.Replace(carryCampaign, "name: back", "name: again", 1), []string{page(3), order(8, 1), page(9)}},
			{base + carryCampaign, []string{order(12, 3), page(13)}},
		}, []string{
			"2026-01-01 c assigned #1 round 1 b event", "2026-01-02 c/back#1 round 1 b event in [{value buyer}]", "2026-01-08 c assigned #2 round 2 b event",
			"2026-01-09 c/again#1 round 2 b event in [{value buyer}]", "2026-01-10 c/spent#1 round 1 b 1 deadline in [{value buyer}]",
			"2026-01-12 c assigned #3 round 3 b event", "2026-01-13 c/back#2 round 3 b event in [{value buyer}]", "2026-01-17 c/spent#2 round 2 b 3 deadline in [{value buyer}]",
		}},
		{"who was assigned once is assigned again when there are rounds, if the audience holds then", []change{
			{base + strings.Replace(carryCampaign, "every: 3d, ", "", 1), []string{order(1, 5), page(4), order(5, 1)}},
			{base + carryCampaign, nil},
		}, []string{
			"2026-01-01 c assigned #1 round 1 b event", "2026-01-04 c/back#1 round 1 b event in [{value buyer}]",
			"2026-01-05 c assigned #2 round 2 b definition", "2026-01-10 c/spent#1 round 1 b 1 deadline in [{value buyer}]",
		}},
		{"while another system assigns nobody is in an audience; who is in it when there is one again comes into it", []change{
			{base + carryCampaign, []string{order(1, 5)}},
			{base + "campaigns:\n  - {name: c, assigned: {match: Campaign Assigned}}\n", []string{order(4, 1), page(5)}},
			{base + carryCampaign, nil},
		}, []string{"2026-01-01 c assigned #1 round 1 b event", "2026-01-05 c assigned #2 round 2 b definition"}},
		{"who is in the audience when a campaign becomes active is assigned then", []change{{base, []string{order(1, 5), page(2)}}, {base + carryCampaign, nil}}, []string{
			"2026-01-02 c assigned #1 round 1 b definition",
		}},
		{"a campaign that is taken out ends its goals silently; when it comes back nobody is assigned twice", []change{
			{base + strings.Replace(carryCampaign, "every: 3d, ", "", 1), []string{order(1, 5), order(2, 7)}},
			{base, []string{page(3)}},
			{base + strings.Replace(carryCampaign, "every: 3d, ", "", 1), []string{order(4, 1), order(9, 1)}},
		}, []string{"2026-01-01 c assigned #1 round 1 b event"}},
		{"and its rounds are counted on", []change{{base + carryCampaign, []string{order(1, 5)}}, {base, []string{page(3)}}, {base + carryCampaign, []string{order(9, 1)}}}, []string{
			"2026-01-01 c assigned #1 round 1 b event", "2026-01-09 c assigned #2 round 2 b event",
		}},
		{"conversions name the stages of their assignment, also those that are no more", []change{
			{base + carryCampaign, []string{order(1, 5), order(2, 7)}}, {carryEvents + strings.Replace(carryValue, "name: value", "name: worth", 1) + carryCampaign, nil},
		}, []string{"2026-01-01 c assigned #1 round 1 b event", "2026-01-10 c/spent#1 round 1 b 7 deadline in [{value buyer}]"}},
		{"a goal whose event means something else ends", []change{
			{base + carryCampaign, []string{order(1, 5), order(2, 7)}}, {strings.Replace(carryEvents, "value: properties.total, ", "", 1) + carryValue + carryCampaign, []string{page(3)}},
		}, []string{"2026-01-01 c assigned #1 round 1 b event", "2026-01-03 c/back#1 round 1 b event in [{value buyer}]"}},
	} {
		if got, _ := story(t, "2026-02-01", c.changes...); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// A customer goes on in another computation as it has been assigned: nobody is told twice,
// or given another arm; who has come into an audience by it is assigned.
func TestCampaignsSucceed(t *testing.T) {
	base := carryEvents + carryValue
	lines := []string{fmt.Sprintf(carryOrder, 1, 5, 1), fmt.Sprintf(carryOrder, 2, 7, 2)}
	told, live := story(t, "2026-01-03", change{base + carryCampaign, lines})
	if len(told) != 1 {
		t.Fatalf("live: %q", told)
	}
	before := carryModel(t, 1, base+carryCampaign).Standing(live)
	var out Output
	shadow := carryModel(t, 1, base+carryCampaign+"  - {name: d, audience: \"count('purchase', '9d') > 1\", variants: {x: 100%}}\n")
	history := shadow.PublishingFrom(instant.Max)
	s := new(State)
	for _, line := range lines {
		msg := decoded(t, history, line)
		history.Accept(s, "ana", &msg, msg.Time, &out)
	}
	history.Finish(s, "ana", before.Frontier, &out)
	if got := campaignsOf(&out); len(got) > 0 {
		t.Errorf("a generation that is not live assigned: %q", got)
	}
	out.Reset()
	live2 := shadow.PublishingFrom(0)
	live2.Succeed(s, "ana", &before, before.Frontier, &out)
	if got, want := campaignsOf(&out), []string{"2026-01-02 d assigned #1 round 1 x definition"}; !slices.Equal(got, want) {
		t.Errorf("at the switch: %q, want %q", got, want)
	}
	b := live2.AppendState(nil, s)
	s = new(State)
	if err := live2.DecodeState(b, s); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	end, _ := instant.Parse("2026-01-10")
	live2.Finish(s, "ana", end, &out)
	if got, want := campaignsOf(&out), []string{"2026-01-10 c/spent#1 round 1 b 7 deadline in [{value buyer}]"}; !slices.Equal(got, want) {
		t.Errorf("later: %q, want %q", got, want)
	}
}

// Nobody is assigned out of the past; who is in the audience when a definition becomes
// active is, with cause definition.
func TestActivation(t *testing.T) {
	at := func(text string) instant.Instant {
		i, ok := instant.Parse(text)
		if !ok {
			t.Fatal(text)
		}
		return i
	}
	for _, c := range []struct{ name, from, campaign, want string }{
		{"everything published", "", carryCampaign, "2026-01-01 c assigned #1 round 1 b event; 2026-01-10 c/spent#1 round 1 b 7 deadline in [{value buyer}]"},
		{"in the audience then", "2026-01-02T12:00:00Z", carryCampaign, "2026-01-02 c assigned #1 round 1 b definition"},
		{"not yet in it", "2025-12-31", carryCampaign, "2026-01-01 c assigned #1 round 1 b event; 2026-01-10 c/spent#1 round 1 b 7 deadline in [{value buyer}]"},
		{"no longer in it", "2026-01-04", carryCampaign, ""},
		{"start after the activation", "2026-01-02", strings.Replace(carryCampaign, "every: 3d", "start: 2026-01-03", 1), "2026-01-03 c assigned #1 round 1 b deadline"},
		{"start before it", "2026-01-03", strings.Replace(carryCampaign, "every: 3d", "start: 2026-01-02", 1), "2026-01-03 c assigned #1 round 1 b definition"},
	} {
		m := carryModel(t, 1, carryEvents+carryValue+c.campaign)
		if c.from != "" {
			m = m.PublishingFrom(at(c.from))
		} else {
			m = m.PublishingFrom(instant.None)
		}
		s, out := new(State), Output{}
		for _, line := range []string{fmt.Sprintf(carryOrder, 1, 5, 1), fmt.Sprintf(carryOrder, 2, 7, 2)} {
			msg := decoded(t, m, line)
			m.Accept(s, "ana", &msg, msg.Time, &out)
		}
		m.Finish(s, "ana", at("2026-02-01"), &out)
		if got := strings.Join(campaignsOf(&out), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func decoded(t *testing.T, m *Model, line string) event.Message {
	t.Helper()
	var msg event.Message
	if cause := event.NewDecoder(m.Projection(), event.DefaultLimits()).Decode([]byte(line), instant.None, &msg); cause != "" {
		t.Fatalf("%s: %s", cause, line)
	}
	return msg
}
