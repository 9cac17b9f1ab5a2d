// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

// place is where a profile says a customer is.
type place struct {
	Stages   map[string]struct{ Stage string }
	Segments []string
}

// places are those of all customers, by the newest profiles.
func (w *world) places() map[string]place {
	w.t.Helper()
	all := map[string]place{}
	for _, r := range w.all(topics.Profiles) {
		var p place
		if r.Value == nil {
			delete(all, string(r.Key))
			continue
		}
		if err := json.Unmarshal(r.Value, &p); err != nil {
			w.t.Fatal(err)
		}
		all[string(r.Key)] = p
	}
	return all
}

// What the plan says is what the apply then does: per stage and segment how many enter,
// leave and stay, counted from the profiles before and after; the plan itself writes
// nothing. Nothing changes by what is live already.
func TestPlanIsWhatApplyDoes(t *testing.T) {
	messages, last := story(t, 150)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), nil)
		r := w.start(w.cfg)
		w.produce("events", messages...)
		w.end(last)
		w.wait(r, last)
		plan := func(source string) *Preview {
			t.Helper()
			lanes := int32(-1)
			p, err := PreviewOf(t.Context(), w.cfg, parse(t, []byte(source)), w.deps(&plug{w: w}), t.TempDir(), 10_000, func(lane, of int32) {
				if lane != lanes+1 || of != w.cfg.Lanes {
					t.Errorf("reports lane %d of %d after %d", lane, of, lanes)
				}
				lanes = lane
			})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		written := func() (n int) {
			for _, topic := range topics.All() {
				n += len(w.all(topic.Name))
			}
			return n
		}
		before, records := w.places(), written()
		if p := plan(followFirst); p.Changes() || p.Changing != 0 || p.Customers != int64(len(before)) || len(p.Missing) != 0 {
			t.Errorf("what is live would change: %+v", p)
		}
		p := plan(followSecond)
		if n := written(); n != records {
			t.Errorf("planning has written %d records", n-records)
		}
		a := w.apply(followSecond, instant.None)
		w.awaitFollowing(a, true)
		r.stop(t)
		after := w.places()

		stages, segments, changing := map[string]GroupPreview{}, map[string]GroupPreview{}, map[string]bool{}
		count := func(all map[string]GroupPreview, customer, was, is string) {
			g := func(name string, f func(*GroupPreview)) {
				if name != "" {
					one := all[name]
					f(&one)
					all[name] = one
				}
			}
			g(was, func(g *GroupPreview) { g.Live++ })
			g(is, func(g *GroupPreview) { g.New++ })
			if was == is {
				g(is, func(g *GroupPreview) { g.Stay++ })
				return
			}
			changing[customer] = true
			g(was, func(g *GroupPreview) { g.Leave++ })
			g(is, func(g *GroupPreview) { g.Enter++ })
		}
		for id, was := range before {
			is := after[id]
			models := map[string]bool{}
			for m := range was.Stages {
				models[m] = true
			}
			for m := range is.Stages {
				models[m] = true
			}
			for m := range models {
				name := func(stage string) string {
					if stage == "" {
						return ""
					}
					return m + "/" + stage
				}
				count(stages, id, name(was.Stages[m].Stage), name(is.Stages[m].Stage))
			}
			for _, s := range was.Segments {
				if slices.Contains(is.Segments, s) {
					count(segments, id, s, s)
				} else {
					count(segments, id, s, "")
				}
			}
			for _, s := range is.Segments {
				if !slices.Contains(was.Segments, s) {
					count(segments, id, "", s)
				}
			}
		}
		planned := func(g GroupPreview) GroupPreview { g.Name, g.Change = "", ""; return g }
		found := map[string]GroupPreview{}
		for _, m := range p.Models {
			for _, g := range m.Stages {
				if one := planned(g); one != (GroupPreview{}) {
					found[m.Model+"/"+g.Name] = one
				}
			}
		}
		if !maps.Equal(found, stages) {
			t.Errorf("planned stages\n%+v\nthey became\n%+v", found, stages)
		}
		found = map[string]GroupPreview{}
		for _, g := range p.Segments {
			if one := planned(g); one != (GroupPreview{}) {
				found[g.Name] = one
			}
		}
		if !maps.Equal(found, segments) {
			t.Errorf("planned segments\n%+v\nthey became\n%+v", found, segments)
		}
		if !p.Changes() || p.Changing != int64(len(changing)) || len(p.Sample) != len(changing) || p.LiveVersion != 1 || p.Version != 2 {
			t.Errorf("%d change, %d named, versions %d and %d; %d changed", p.Changing, len(p.Sample), p.LiveVersion, p.Version, len(changing))
		}
		for _, s := range p.Sample {
			for _, c := range s.Changes {
				if c.Model == "value" && c.To == "gone" && (c.Condition != "idle('purchase', '300d')" || c.Former != "idle('purchase', '365d')" && c.Former != "idle('purchase', '90d')") {
					t.Errorf("%s: %+v", s.Customer, c)
				}
			}
		}
		if len(p.Missing) != 1 || p.Missing[0].Event != "promo" || p.Missing[0].Lack != lifecycle.LackAll || p.Missing[0].Customers != nil {
			t.Errorf("missing: %+v", p.Missing)
		}
		if p.RebuildWants.Events != int64(len(messages)) || p.RebuildWants.Seconds != 1 {
			t.Errorf("a rebuild: %+v", p.RebuildWants)
		}
	})
}

// What can never follow is refused by the plan, too.
func TestPlanIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followSecond), nil)
		r := w.start(w.cfg)
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: day0})
		w.end(day0)
		w.wait(r, day0)
		r.stop(t)
		for source, want := range map[string]error{
			strings.Replace(followSecond, "'60d'", "'61d'", 1): ErrDefinitionChanged,
			followFirst: ErrOlderVersion,
			strings.Replace(followThird(), "name: shop", "name: other", 1): ErrOtherDefinition,
		} {
			_, err := PreviewOf(t.Context(), w.cfg, parse(t, []byte(source)), w.deps(&plug{w: w}), t.TempDir(), 1, func(_, _ int32) {})
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	})
}
