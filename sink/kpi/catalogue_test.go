// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

// describes: the description names the KPI's parts, and its query can be sent as it is.
func describes(t *testing.T, d *sinktest.Database, k kpi.KPI) {
	t.Helper()
	text, err := kpi.Describe(k, d.Name)
	if err != nil {
		t.Errorf("describe %s: %v", k.Name, err)
		return
	}
	for _, want := range []string{k.Meaning, k.Numerator, k.Denominator, k.Time, k.Unit, d.Name + "." + k.View, "\nColumns\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the description of %s does not say %q:\n%s", k.Name, want, text)
		}
	}
	_, query, ok := strings.Cut(text, "\nQuery\n")
	if !ok || strings.Contains(query, "@") {
		t.Errorf("the description of %s has no query, or one with holes:\n%s", k.Name, text)
		return
	}
	if err := d.Conn.Exec(context.Background(), query); err != nil {
		t.Errorf("the query of %s: %v", k.Name, err)
	}
}

// of fills in what the history has: an event, a segment, any stage.
func of(k kpi.KPI) map[string]string {
	params := map[string]string{}
	for _, p := range k.Params {
		switch {
		case p.Name == "add":
			params[p.Name] = "cart_add"
		case p.Event:
			params[p.Name] = "purchase"
		case p.Name == "stage", p.Name == "campaign", p.Name == "goal":
			params[p.Name] = ""
		case p.Name == "hours":
			params[p.Name] = "1000000"
		case p.Name == "segment":
			params[p.Name] = "country=FR"
		}
	}
	return params
}

// TestPresetsHaveTheEvents: what a preset's KPI names by default, the preset has.
func TestPresetsHaveTheEvents(t *testing.T) {
	compared := 0
	for _, k := range kpi.Catalogue() {
		text, ok := presets.Get(k.Group)
		if !ok {
			continue // not about a preset
		}
		def, problems := definition.Parse(k.Group, text)
		if def == nil {
			t.Fatal(problems)
		}
		for _, p := range k.Params {
			for name := range strings.SplitSeq(p.Default, ",") {
				switch {
				case p.Event && !slices.ContainsFunc(def.Events, func(e definition.Event) bool { return e.Name.Value == name }):
					t.Errorf("%s: the preset %s has no event %q", k.Name, k.Group, name)
				case p.Event:
					compared++
				case p.Name == "stage" && name != "" && !slices.ContainsFunc(def.Models[0].Stages, func(s definition.Stage) bool { return s.Name.Value == name }):
					t.Errorf("%s: the preset %s has no stage %q", k.Name, k.Group, name)
				}
			}
		}
	}
	if compared < 20 {
		t.Errorf("only %d events were looked for", compared)
	}
}

// TestPresetsTellTheirKPIs: the presets' README names every KPI of a preset's stages, none
// that is not there, and goals on events that the preset has.
func TestPresetsTellTheirKPIs(t *testing.T) {
	text, err := os.ReadFile("../../schemas/presets/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## KPIs by stage")
	section, _, ok := strings.Cut(section, "\n## ")
	if !ok {
		t.Fatal("no section on KPIs")
	}
	named, preset, goals := map[string]bool{}, "", 0
	for _, row := range regexp.MustCompile(`(?m)^\|([^|]*)\|[^|]*\|(.*)\|$`).FindAllStringSubmatch(section, -1) {
		if first := strings.Trim(row[1], " `"); first != "" {
			preset = first
		}
		for _, word := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(row[2], -1) {
			named[word[1]] = true
		}
		for _, goal := range regexp.MustCompile(`\{name: \w+, event: (\w+),`).FindAllStringSubmatch(row[2], -1) {
			source, _ := presets.Get(preset)
			def, problems := definition.Parse(preset, source)
			if def == nil {
				t.Fatal(preset, problems)
			}
			goals++
			if !slices.ContainsFunc(def.Events, func(e definition.Event) bool { return e.Name.Value == goal[1] }) {
				t.Errorf("the preset %s has no event %q for a goal", preset, goal[1])
			}
		}
	}
	if goals < 6 {
		t.Errorf("only %d goals", goals)
	}
	for name := range named {
		if _, ok := kpi.Find(name); !ok && name != "win_back" {
			t.Errorf("there is no KPI %s", name)
		}
	}
	for _, k := range kpi.Catalogue() {
		if _, of := presets.Get(k.Group); of && !named[k.Name] {
			t.Errorf("%s of %s is not named", k.Name, k.Group)
		}
	}
}

// TestActivityOff: a KPI that needs single messages says so instead of answering zero,
// in the runner and to any client that asks the view; the others answer.
func TestActivityOff(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "silent")
	h := sinktest.New(4, time.UTC, sinktest.Size{Customers: 5, Changes: 4})
	h.Activity = nil
	for i := range h.Settings {
		h.Settings[i].Activity = "referenced"
	}
	h.Settings[1].Activity = "off" // one lane is enough
	if err := d.Insert(ctx, h.Records(1)); err != nil {
		t.Fatal(err)
	}
	for _, k := range kpi.Catalogue() {
		_, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name})
		if k.Activity == "" {
			if err != nil {
				t.Errorf("%s: %v", k.Name, err)
			}
			continue
		}
		if !errors.Is(err, kpi.ErrNotKept) {
			t.Errorf("%s answered, or failed otherwise: %v", k.Name, err)
		}
		text, err := kpi.Describe(k, d.Name)
		if err != nil {
			t.Fatal(err)
		}
		_, query, _ := strings.Cut(text, "\nQuery\n")
		if answer, err := d.Text(ctx, query); err == nil || !strings.Contains(err.Error(), "activity is off") {
			t.Errorf("the view of %s answered %q, %v", k.Name, answer, err)
		}
	}
	for i := range h.Settings {
		h.Settings[i].Activity = "referenced"
	}
	h.Changes, h.Profiles, h.Aggregates, h.Ended = nil, nil, nil, nil
	later := h.Records(1)
	for i := range later {
		later[i].Offset += 1_000_000
	}
	if err := d.Insert(ctx, later); err != nil {
		t.Fatal(err)
	}
	for name, refused := range map[string]bool{"engagement": true, "carts": false} {
		k, _ := kpi.Find(name)
		if _, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name}); errors.Is(err, kpi.ErrNotKept) != refused {
			t.Errorf("%s with activity referenced: %v", name, err)
		}
	}
}

// TestCatalogue: every KPI of the catalogue runs over a history and over an empty
// database, in each grain and format, and its view exists.
func TestCatalogue(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	empty := sinktest.NewDatabase(t, server.Options(), "empty")
	full := sinktest.NewDatabase(t, server.Options(), "full")
	h := sinktest.NewBusy(9, time.UTC, sinktest.Size{Customers: 20, Changes: 8, Orders: 6}, 40)
	if err := full.Insert(ctx, h.Records(1)); err != nil {
		t.Fatal(err)
	}
	campaigns := sinktest.NewDatabase(t, server.Options(), "with_campaigns")
	if err := campaigns.Insert(ctx, sinktest.NewCampaigns(9, time.UTC, 40).Batch(1)); err != nil {
		t.Fatal(err)
	}
	seen, views := map[string]bool{}, map[string]bool{}
	open := map[string]bool{}
	for _, k := range kpi.Catalogue() {
		full := full
		if strings.HasPrefix(k.View, "kpi_campaign") || k.Group == "campaigns" {
			full = campaigns
		}
		if seen[k.Name] || k.Title == "" || k.Meaning == "" || k.Group == "" || k.Numerator == "" || k.Time == "" || k.Unit == "" || !strings.Contains(k.Query, "{{db}}."+k.View) {
			t.Errorf("%s: named twice, or without words, or its query is not of its view", k.Name)
		}
		seen[k.Name] = true
		if found, ok := kpi.Find(k.View); !ok || found.View != k.View {
			t.Errorf("%s is not found by its view's name", k.Name)
		}
		describes(t, full, k)
		for _, d := range []*sinktest.Database{empty, full} {
			for _, grain := range []string{"", "day"} {
				if grain != "" && (d == empty || views[k.View] || !strings.Contains(k.Query, "@grain")) {
					continue
				}
				r, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name, Grain: grain, Params: of(k)})
				if err != nil {
					t.Errorf("%s over %s by %q: %v", k.Name, d.Name, grain, err)
					continue
				}
				if d == full && len(r.Rows) == 0 {
					t.Errorf("%s over a history by %q has no row", k.Name, grain)
				}
				for grain, any := range periodsClosed(t, d, k, r) {
					open[grain] = open[grain] || any
				}
				for _, f := range []kpi.Format{kpi.FormatTable, kpi.FormatJSON, kpi.FormatCSV} {
					if err := kpi.Render(&bytes.Buffer{}, r, f); err != nil {
						t.Errorf("%s over %s as %s: %v", k.Name, d.Name, f, err)
					}
				}
			}
		}
		views[k.View] = true
	}
	if !open["day"] || !open["month"] {
		t.Errorf("periods that still run were seen by %v, want by day and by month", open)
	}
	k, _ := kpi.Find("population")
	r, err := kpi.Run(ctx, full.Conn, k, kpi.Options{Database: full.Name, Model: "value' OR '1'='1"})
	if err != nil || len(r.Rows) != 0 {
		t.Errorf("a model's name is not taken as text: %d rows, %v", len(r.Rows), err)
	}
	if _, err := kpi.Run(ctx, full.Conn, k, kpi.Options{Database: full.Name, Grain: "year"}); err == nil {
		t.Error("grain year was taken")
	}
}

// periodsClosed: of each row that is of a period the result says whether the clock has
// passed its end. It returns whether any still runs, by the length of the periods.
func periodsClosed(t *testing.T, d *sinktest.Database, k kpi.KPI, r *kpi.Result) map[string]bool {
	t.Helper()
	column := func(name string) int {
		return slices.IndexFunc(r.Columns, func(c kpi.Column) bool { return c.Name == name })
	}
	period, closed := column("period"), column("closed")
	if period < 0 && column("cohort") < 0 && k.ByPeriod() && len(r.Columns) > 0 {
		t.Errorf("%s is by period, and says of no row which", k.Name)
	}
	if period >= 0 && !k.ByPeriod() {
		t.Errorf("%s has rows by period, and none may be asked for", k.Name)
	}
	if period < 0 {
		return nil
	}
	if closed < 0 || r.Columns[closed].Type != "Bool" {
		t.Errorf("%s does not say whether its periods have ended", k.Name)
		return nil
	}
	var clock time.Time
	if len(r.Rows) > 0 {
		if err := d.Conn.QueryRow(context.Background(), "SELECT assumeNotNull(clock) FROM "+d.Name+".kpi_clock").Scan(&clock); err != nil {
			t.Fatal(err)
		}
	}
	open := map[string]bool{}
	for _, row := range r.Rows {
		at, _ := row[period].(time.Time)
		end := map[string]time.Time{"day": at.AddDate(0, 0, 1), "week": at.AddDate(0, 0, 7), "month": at.AddDate(0, 1, 0)}[r.Options.Grain]
		if want := !end.After(clock); row[closed] != want {
			t.Errorf("%s by %s over %s: closed is %v in the period %s, want %t at the clock %s", k.Name, r.Options.Grain, d.Name, row[closed], at.Format(time.DateOnly), want, clock)
		}
		open[r.Options.Grain] = open[r.Options.Grain] || row[closed] == false
	}
	return open
}
