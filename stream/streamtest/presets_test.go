// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
)

// presetScenarios is where the scenarios of the presets are, a folder for each.
const presetScenarios = "../../schemas/presets/scenarios"

// presetCase is a preset with its scenarios.
type presetCase struct {
	name   string
	source string
	files  []presetFile
}

type presetFile struct{ path, text string }

func presetCases(t *testing.T) []presetCase {
	t.Helper()
	cases := make([]presetCase, 0, len(presets.Names()))
	for _, name := range presets.Names() {
		source, _ := presets.Get(name)
		c := presetCase{name: name, source: string(source)}
		paths, err := filepath.Glob(filepath.Join(presetScenarios, name, "*.txt"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("preset %s has no scenarios: %v", name, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c.files = append(c.files, presetFile{path, string(text)})
		}
		cases = append(cases, c)
	}
	return cases
}

// compilePreset compiles what a preset, or a change of it, holds; problems are told.
func compilePreset(name, source string) (*lifecycle.Model, error) {
	def, problems := definition.ParsePartial("preset:"+name, []byte(source))
	var model *lifecycle.Model
	if def != nil {
		var more []definition.Problem
		model, more = lifecycle.Compile(def)
		problems = append(problems, more...)
	}
	if len(problems) == 0 {
		return model, nil
	}
	var b strings.Builder
	if err := definition.Render(&b, "preset:"+name, []byte(source), problems); err != nil {
		return nil, err
	}
	return model, fmt.Errorf("%s", b.String())
}

// played is what came of a scenario under some definition.
type played struct {
	stage  *stage
	failed []probe
}

// probe is a line that did not come true, with the customer's time at that point.
type probe struct {
	line int
	text string
	at   instant.Instant
}

// playPreset plays a preset's scenario by the given model, which may be a changed one.
func playPreset(t *testing.T, f presetFile, model *lifecycle.Model) played {
	t.Helper()
	s := &scenario{model: model, def: model.Definition()}
	p := played{stage: newStage(model)}
	clocks := map[string]instant.Instant{}
	for i, line := range strings.Split(f.text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "definition:") {
			continue
		}
		play, err := s.step(line, i+1)
		if err != nil {
			t.Fatalf("%s:%d: %v", f.path, i+1, err)
		}
		verb, rest, _ := strings.Cut(line, " ")
		words, err := split(rest)
		if err != nil {
			t.Fatalf("%s:%d: %v", f.path, i+1, err)
		}
		p.stage.line = i + 1
		err = play(p.stage)
		if verb == "expect" {
			if err != nil {
				p.failed = append(p.failed, probe{i + 1, err.Error(), clocks[words[0]]})
			}
			continue
		}
		at, words, timeErr := readTime(words)
		if err != nil || timeErr != nil {
			t.Fatalf("%s:%d: %v %v", f.path, i+1, err, timeErr)
		}
		switch {
		case verb == "until" && len(words) == 2:
			clocks[words[1]] = at
		case verb == "until":
			for _, a := range p.stage.order {
				clocks[a.id] = at
			}
		case words[0] == "anonymous":
			clocks[words[1]] = max(clocks[words[1]], at)
		default:
			clocks[words[0]] = max(clocks[words[0]], at)
		}
	}
	for _, err := range p.stage.leftOver() {
		p.failed = append(p.failed, probe{0, err.Error(), instant.None})
	}
	return p
}

// TestPresetsAreFineAndTheirScenariosComeTrue runs them as `lapwing check` and
// `lapwing test` do. A warning is a failure: who starts from a preset starts clean.
func TestPresetsAreFineAndTheirScenariosComeTrue(t *testing.T) {
	for _, c := range presetCases(t) {
		if _, err := compilePreset(c.name, c.source); err != nil {
			t.Errorf("%s is not fine:\n%v", c.name, err)
			continue
		}
		for _, f := range c.files {
			if !strings.Contains(f.text, "\ndefinition: preset:"+c.name+"\n") {
				t.Errorf("%s is not about preset %s", f.path, c.name)
			}
			if result := Run(f.path, []byte(f.text), os.ReadFile); !result.OK() {
				t.Errorf("%s\n%s\nto repeat: go run ./cmd/lapwing test %s", result.Rule, result.Explain(), strings.TrimPrefix(f.path, "../../"))
			}
		}
	}
}

// TestPresetScenariosReachEverything: each stage of each model is reached, each segment
// entered, by a change that a line expects, and each event happens. That is measured:
// the events by a segment added for each, which is entered when it happens.
func TestPresetScenariosReachEverything(t *testing.T) {
	for _, c := range presetCases(t) {
		t.Run(c.name, func(t *testing.T) {
			model, err := compilePreset(c.name, c.source)
			if model == nil {
				t.Fatal(err)
			}
			def := model.Definition()
			probing := c.source
			for _, e := range def.Events {
				probing += fmt.Sprintf("  - {name: probe-%s, when: count('%[1]s') >= 1}\n", e.Name.Value)
			}
			probed, err := compilePreset(c.name, probing)
			if probed == nil {
				t.Fatal(err)
			}
			reached := map[string]bool{}
			for _, f := range c.files {
				for _, a := range playPreset(t, f, model).stage.order {
					for _, change := range a.changes {
						if change.expected {
							reached[placeOf(&change.Record)] = true
						}
					}
				}
				for _, a := range playPreset(t, f, probed).stage.order {
					for _, change := range a.changes {
						if strings.HasPrefix(change.Name(), "probe-") {
							reached[placeOf(&change.Record)] = true
						}
					}
				}
			}
			for _, m := range def.Models {
				for _, s := range m.Stages {
					if !reached[m.Name.Value+" → "+s.Name.Value] {
						t.Errorf("no line expects a change of %s to %s", m.Name.Value, s.Name.Value)
					}
				}
			}
			for _, s := range def.Segments {
				if !reached["in "+s.Name.Value] {
					t.Errorf("no line expects that somebody enters %s", s.Name.Value)
				}
			}
			for _, e := range def.Events {
				if !reached["in probe-"+e.Name.Value] {
					t.Errorf("event %s never happens", e.Name.Value)
				}
			}
		})
	}
}

// placeOf is the stage or the segment that a change leads to; of `by:` segments without
// the value.
func placeOf(r *record.Record) string {
	if r.Kind == record.SegmentChange {
		name, _, _ := strings.Cut(r.Name(), "=")
		if !r.Entered {
			return "out " + name
		}
		return "in " + name
	}
	return r.Name() + " → " + r.To
}

// TestPresetsAreListed: the README's table names every preset.
func TestPresetsAreListed(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range presets.Names() {
		if !strings.Contains(string(readme), "| `"+name+"` |") {
			t.Errorf("README.md has no row for preset %s", name)
		}
	}
}

// neededEvents are the events that the KPIs of each model are made of, and
// readySegments what people ask for by these names: where a preset has it.
var (
	neededEvents = map[string]map[string][]string{
		"e-commerce": {
			"product views of the inactive, app and site apart": {"product_view_app", "product_view_site", "session"},
			"product views of the lapsing":                      {"product_view", "returned"},
			"favoured a product after the campaign":             {"favourite"},
			"joining the rewards programme":                     {"rewards_joined", "rewards_left"},
			"views per purchase":                                {"product_view", "purchase"},
			"carts abandoned and recovered, per channel":        {"cart_add", "cart_remove", "checkout", "purchase", "email_click", "push_tap", "sms_click"},
			"invited, joined, bought":                           {"invite_sent", "invite_accepted", "joined_by_invite", "purchase"},
		},
		"media": {
			"came back to app or site":                {"returned", "visit_app", "visit_site"},
			"lapsing with a visit in the week":        {"activity"},
			"use of partner benefits":                 {"benefit_used"},
			"re-subscription, renewal, trial to paid": {"trial_started", "subscription_started", "subscription_renewed", "subscription_ended"},
		},
		"travel": {
			"return visits": {"returned", "session"},
			"time on site, pages seen, articles read": {"session", "page_view", "article_read"},
			"opened per delivered, booked per opened": {"email_delivered", "email_opened", "booking"},
			"booking of the offered deal":             {"deal_booked"},
			"reviews":                                 {"review"},
			"bookings with points":                    {"points_booking", "points_redeemed"},
			"time from first browse to booking":       {"browse", "booking"},
		},
		"finance": {
			"sessions begun by the inactive":            {"session"},
			"clicks on in-app messages about features":  {"feature_message_clicked"},
			"conversion of the offer, rise in sessions": {"offer_accepted", "session"},
			"linked bank accounts":                      {"bank_linked"},
		},
		"saas-onboarding": {
			"completes the tutorial":                  {"tutorial_started", "tutorial_completed"},
			"uses the key features in the first week": {"trial_started", "key_1_used", "key_2_used", "key_3_used"},
			"trial to paid, renewal, churn":           {"subscription_started", "subscription_renewed", "subscription_ended"},
			"invited, joined":                         {"invite_sent", "invite_accepted"},
		},
		"customer-value-rhythm": {
			"repeat purchase, new to second, revenue": {"purchase"},
		},
		"customer-value": {
			"repeat purchase, new to second, revenue": {"purchase"},
			"reactivation": {"returned"},
		},
	}
	readySegments = map[string]string{ // PRESET/SEGMENT, several with a space between
		"cart abandoners":                       "e-commerce/cart_abandoners",
		"browse abandoners":                     "e-commerce/browse_abandoners",
		"leads won by a campaign":               "messaging/campaign_leads",
		"engaged with a channel":                "messaging/engaged_email messaging/engaged_push messaging/engaged_sms messaging/engaged_in_app messaging/engaged_web_push",
		"unresponsive on a channel":             "messaging/unresponsive_email messaging/unresponsive_push messaging/unresponsive_sms messaging/unresponsive_in_app messaging/unresponsive_web_push",
		"no reply to a journey's step":          "messaging/no_reply",
		"due to reorder":                        "e-commerce/due_to_reorder customer-value-rhythm/due_to_reorder",
		"by country":                            "e-commerce/country media/country travel/country finance/country saas-onboarding/country",
		"by purchase frequency":                 "e-commerce/purchase_frequency",
		"by average order value":                "e-commerce/order_value",
		"high-value at risk":                    "customer-value-rhythm/high_value_at_risk e-commerce/high_value_at_risk travel/high_value_at_risk finance/high_value_at_risk",
		"anonymous visitors with intent":        "e-commerce/anonymous_with_intent travel/anonymous_with_intent",
		"morning readers on trial":              "media/morning_readers_on_trial",
		"by device":                             "e-commerce/uses_app e-commerce/uses_phone_browser e-commerce/uses_desktop",
		"loyalty members":                       "e-commerce/loyalty_members travel/loyalty_members",
		"by favourite category, topic or place": "e-commerce/favourite_category media/favourite_topic travel/favourite_place",
		"advocates":                             "e-commerce/advocates finance/advocates saas-onboarding/advocates",
	}
)

func TestPresetsHoldTheKPIsEventsAndTheReadyMadeSegments(t *testing.T) {
	have := map[string]bool{}
	for _, c := range presetCases(t) {
		model, err := compilePreset(c.name, c.source)
		if model == nil {
			t.Fatal(err)
		}
		var events []string
		for _, e := range model.Definition().Events {
			events = append(events, e.Name.Value)
		}
		for kpi, needs := range neededEvents[c.name] {
			for _, e := range needs {
				if !slices.Contains(events, e) {
					t.Errorf("%s: %q needs the event %s", c.name, kpi, e)
				}
			}
		}
		for _, s := range model.Definition().Segments {
			have[c.name+"/"+s.Name.Value] = true
		}
	}
	for what, places := range readySegments {
		for _, place := range strings.Fields(places) {
			if !have[place] {
				t.Errorf("%s: there is no %s", what, place)
			}
		}
	}
}
