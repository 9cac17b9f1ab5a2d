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
	"lapwing/schemas/presets"
	"lapwing/schemas/topics"
	"lapwing/sink/batch"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

// TestNamesOfTheLiveDefinition: a KPI of an event, a stage, a campaign, a goal or a model
// that the live definition lacks says so, and what there is, instead of answering nothing;
// the KPIs of the preset itself are answered.
func TestNamesOfTheLiveDefinition(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "names")
	source, err := presets.WithCampaigns("media")
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(map[string]any{
		"name": "media", "version": 1, "hash": "00", "timezone": "UTC", "activated_at": "2025-01-01T00:00:00Z", "models": []string{}, "segments": []string{}, "source": string(source),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Insert(ctx, []batch.Record{{Topic: sinktest.Prefix + topics.Definitions, Name: topics.Definitions, Generation: 1, Key: []byte("media"), Value: value}}); err != nil {
		t.Fatal(err)
	}
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
