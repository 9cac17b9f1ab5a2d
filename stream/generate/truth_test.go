// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
)

// history is what a replay of a base's lines tells of campaigns.
type history struct {
	assignments []record.Record
	converted   map[string]bool // by customer, campaign, goal and round
	values      map[string]record.Record
	variants    map[string]string // by customer and campaign: of messages that were sent
}

func conversionKey(r *record.Record, goal string) string {
	return fmt.Sprint(r.CustomerID, " ", r.Campaign, " ", goal, " ", r.Round)
}

// replayed evaluates the lines as they come, under the definition that goes with them.
func replayed(t *testing.T, w *World, lines []Line) *history {
	t.Helper()
	model := compile(t, w.Definition())
	campaignID := []string{"properties", "campaign_id"}
	variant := []string{"properties", "variant"}
	paths := append(append([][]string{}, model.Projection().Paths()...), campaignID, variant)
	names := event.NewDecoder(event.NewProjection(paths...), event.DefaultLimits())
	decoder := event.NewDecoder(model.Projection(), event.DefaultLimits())
	h := &history{converted: map[string]bool{}, values: map[string]record.Record{}, variants: map[string]string{}}
	var out lifecycle.Output
	take := func() {
		for i := range out.Records {
			switch r := out.Records[i]; r.Kind {
			case record.Assignment:
				h.assignments = append(h.assignments, r)
			case record.Conversion:
				h.converted[conversionKey(&r, r.Goal)] = true
				h.values[conversionKey(&r, r.Goal)] = r
			default:
			}
		}
		out.Reset()
	}
	states, order := map[string]*lifecycle.State{}, []string{}
	var m event.Message
	for i := range lines {
		l := &lines[i]
		if names.Decode(l.Text, instant.None, &m) != "" {
			continue
		}
		if id := m.Raw(len(paths) - 2); id != nil {
			h.variants[l.Key+" "+strings.Trim(string(id), `"`)] = strings.Trim(string(m.Raw(len(paths)-1)), `"`)
		}
		decoder.Decode(l.Text, instant.None, &m)
		s := states[l.Key]
		if s == nil {
			s = &lifecycle.State{}
			states[l.Key] = s
			order = append(order, l.Key)
		}
		model.Accept(s, l.Key, &m, max(s.Clock(), m.Time), &out)
		for model.Advance(s, l.Key, s.Clock(), s.Clock(), &out) {
			take()
		}
		take()
	}
	for _, key := range order {
		model.Finish(states[key], key, w.End(), &out)
		take()
	}
	return h
}

// The truth is what a replay of the very lines finds, whatever came late or twice: the same
// customers in the same arms, and who reached a goal is whom it was promised, to the last
// one, in every targeted segment. Whoever is in the holdout was sent nothing, and a variant
// only what is its own.
func TestReplayFindsWhatWasPromised(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			s := small(preset)
			s.Customers, s.Days, s.Late = 600, 200, 0.05
			w, truth, lines := made(t, s)
			h := replayed(t, w, lines)

			type group struct{ campaign, goal, segment, variant string }
			assigned, converted := map[group]map[string]bool{}, map[group]map[string]bool{}
			for i := range h.assignments {
				r := &h.assignments[i]
				if sent, ok := h.variants[r.CustomerID+" "+r.Campaign]; ok && sent != r.Variant {
					t.Fatalf("%s is in %q (holdout: %v) of %s and was sent %q", r.CustomerID, r.Variant, r.Holdout, r.Campaign, sent)
				}
				segments := append([]string{""}, r.Segments...)
				for _, s := range r.Stages {
					segments = append(segments, s.Model+"="+s.Stage)
				}
				for _, g := range w.campaigns[w.campaignNumber[r.Campaign]].goals {
					if g.effect == nil || r.EffectiveAt.Add(g.within) >= w.End() {
						continue
					}
					for _, segment := range segments {
						k := group{r.Campaign, g.name, segment, r.Variant}
						if assigned[k] == nil {
							assigned[k], converted[k] = map[string]bool{}, map[string]bool{}
						}
						assigned[k][r.CustomerID] = true
						if h.converted[conversionKey(r, g.name)] {
							converted[k][r.CustomerID] = true
						}
					}
				}
			}
			groups, reached := 0, 0
			for _, g := range truth.Goals {
				for _, set := range g.Segments {
					for _, arm := range set.Arms {
						k := group{g.Campaign, g.Goal, set.Segment, ""}
						if arm.Variant != nil {
							k.variant = *arm.Variant
						}
						if int(arm.Assigned) != len(assigned[k]) || int(arm.Converted) != len(converted[k]) {
							t.Errorf("%+v: the truth is %d of %d, replay finds %d of %d", k, arm.Converted, arm.Assigned, len(converted[k]), len(assigned[k]))
						}
						if arm.Probability <= 0 || arm.Probability >= 1 {
							t.Errorf("%+v: probability %v", k, arm.Probability)
						}
						if arm.Assigned > 0 {
							groups++
						}
						if set.Segment == "" {
							reached += int(arm.Converted)
						}
						delete(assigned, k)
					}
				}
			}
			for k := range assigned {
				t.Errorf("%+v: replay finds assignments that the truth does not name", k)
			}
			if groups < 20 || reached < 10 {
				t.Errorf("%d groups and %d customers who reached a goal: too few to tell", groups, reached)
			}
		})
	}
}

// What an arm is promised is what happens: over all goals the number who reached it lies
// about its expectation as chance has it.
func TestWhatIsReachedIsAsLikelyAsTheTruthSays(t *testing.T) {
	for _, preset := range Presets() {
		s := small(preset)
		s.Customers, s.Days = 2500, 180
		w, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		c := w.newCustomer()
		for i := range s.Customers {
			c.live(uint32(i))
		}
		for _, g := range w.truth(c.tally, 0).Goals {
			for _, set := range g.Segments {
				if set.Segment != "" {
					continue
				}
				for _, arm := range set.Arms {
					n, p := float64(arm.Assigned), arm.Probability
					if z := (float64(arm.Converted) - n*p) / math.Sqrt(n*p*(1-p)); math.Abs(z) > 4 || n < 20 {
						t.Errorf("%s: %s %s: %d of %d, the probability is %.3f (z = %.1f)", preset, g.Campaign, g.Goal, arm.Converted, arm.Assigned, p, z)
					}
				}
			}
		}
	}
}
