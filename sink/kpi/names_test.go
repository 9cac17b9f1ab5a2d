// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
	"lapwing/schemas/topics"
	"lapwing/sink/batch"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

// TestNamesOfTheLiveDefinition: a KPI of an event, a stage, a segment, a campaign, a goal or a model
// that the live definition lacks says so, and what there is, instead of answering nothing;
// the KPIs of the preset itself are answered.
func TestNamesOfTheLiveDefinition(t *testing.T) {
	ctx := context.Background()
	source, err := presets.WithCampaigns("media")
	if err != nil {
		t.Fatal(err)
	}
	d := living(t, "names", string(source))
	for name, params := range map[string]map[string]string{"campaign-lift": {"by": "stages"}, "bought-together": {"basket": "basket"}} {
		k, _ := kpi.Find(name)
		if _, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name, Params: params}); err == nil || !strings.Contains(err.Error(), "want ") {
			t.Errorf("%s with %v: got %v, want it refused, and what it may be", name, params, err)
		}
	}
	for _, c := range []struct {
		kpi    string
		model  string
		params map[string]string
		kind   string // empty: it is answered
		name   string
		among  string
	}{
		{kpi: "came-back"},
		{kpi: "trial-to-paid"},
		{kpi: "targeted-came-back"},
		{kpi: "segments", model: "country=FR"},
		{kpi: "segments", model: "subscribers"},
		{kpi: "segments", model: "subscribers=yes", kind: "segment", name: "subscribers=yes", among: "subscribers"},
		{kpi: "segments", model: "lifecycle", kind: "segment", name: "lifecycle", among: "country=VALUE"},
		{kpi: "advocates", params: map[string]string{"segment": "subscribers"}},
		{kpi: "advocates", params: map[string]string{"segment": "country=FR"}},
		{kpi: "advocates", kind: "segment", name: "advocates", among: "subscribers"},
		{kpi: "population", model: "lifecycle"},
		{kpi: "population", model: "value", kind: "model", name: "value", among: "lifecycle"},
		{kpi: "reviews", kind: "event", name: "review", among: "benefit_used"},
		{kpi: "reviews", params: map[string]string{"event": "benefit_used"}},
		{kpi: "reviews", params: map[string]string{"event": "benefit_used", "stage": "buyer"}, kind: "stage", name: "buyer", among: "loyal"},
		{kpi: "came-back", params: map[string]string{"event": "returned"}, kind: "event", name: "returned", among: "activity"},
		{kpi: "deal-booked", kind: "campaign", name: "deals", among: "come-back"},
		{kpi: "targeted-came-back", params: map[string]string{"goal": "used"}, kind: "goal", name: "used", among: "came_back"},
		{kpi: "campaign-lift", params: map[string]string{"campaign": "benefits", "goal": "used"}},
	} {
		k, ok := kpi.Find(c.kpi)
		if !ok {
			t.Fatalf("there is no KPI %s", c.kpi)
		}
		_, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name, Model: c.model, Params: c.params})
		var unknown *kpi.UnknownNameError
		switch {
		case c.kind == "" && err != nil:
			t.Errorf("%s with %v: %v", c.kpi, c.params, err)
		case c.kind == "":
		case !errors.As(err, &unknown) || unknown.Kind != c.kind || unknown.Name != c.name || !slices.Contains(unknown.Known, c.among) || unknown.Derived != (c.name == "returned"):
			t.Errorf("%s with %v: got %v, want the %s %s refused, and %s offered", c.kpi, c.params, err, c.kind, c.name, c.among)
		}
	}
}

// TestKeysOfTheLiveDefinition: a KPI of a key that no campaign or goal of those asked for
// has says which key that is; with the key it is answered.
func TestKeysOfTheLiveDefinition(t *testing.T) {
	const plain = `lapwing: 1
name: shop
version: 1
segments: [{name: buyers, when: "seen('buy')"}]
events: {buy: {match: [{type: order}]}, session: {match: [{type: session}]}}
campaigns:
  - {name: first, audience: "seen('buy')", holdout: 10%, variants: {mail: 90%}, goals: [{name: again, event: buy, within: 7d}]}
`
	with := plain + `  - {name: second, audience: "seen('buy')", holdout: 10%, variants: {mail: 90%}, journey: welcome, step: one, goals: [{name: again, event: buy, within: 7d}, {name: more, event: session, within: 7d, baseline: true}]}
`
	for name, source := range map[string]string{"without_keys": plain, "with_keys": with} {
		if def, problems := definition.Parse(name, []byte(source)); def == nil {
			t.Fatalf("%s: %v", name, problems)
		}
		d := living(t, name, source)
		for _, c := range []struct {
			kpi, campaign, goal, key string
			has                      bool // with the keys
		}{
			{"campaign-rise", "", "", "baseline", true},
			{"campaign-rise", "first", "", "baseline", false},
			{"campaign-rise", "", "again", "baseline", false},
			{"campaign-journeys", "", "", "journey", true},
			{"campaign-journeys", "first", "", "journey", false},
		} {
			params := map[string]string{"campaign": c.campaign}
			if c.goal != "" {
				params["goal"] = c.goal
			}
			k, _ := kpi.Find(c.kpi)
			_, err := kpi.Run(context.Background(), d.Conn, k, kpi.Options{Database: d.Name, Params: params})
			missing, lacks := errors.AsType[*kpi.MissingKeyError](err)
			if has := c.has && source == with; has && err != nil || !has && (!lacks || missing.Key != c.key || !strings.Contains(err.Error(), "the key "+c.key)) {
				t.Errorf("%s with %v %s: got %v, want it answered: %t", c.kpi, params, name, err, has)
			}
		}
	}
}

// living is a database with a live definition, and nothing else.
func living(t *testing.T, name, source string) *sinktest.Database {
	t.Helper()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), name)
	value, err := json.Marshal(map[string]any{
		"name": "live", "version": 1, "hash": "00", "timezone": "UTC", "activated_at": "2025-01-01T00:00:00Z", "models": []string{}, "segments": []string{}, "source": source,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Insert(context.Background(), []batch.Record{{Topic: sinktest.Prefix + topics.Definitions, Name: topics.Definitions, Generation: 1, Key: []byte("live"), Value: value}}); err != nil {
		t.Fatal(err)
	}
	return d
}
