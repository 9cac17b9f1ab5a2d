// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; look at the difference") //nolint:gochecknoglobals // a test flag

func month(m time.Month) time.Time { return time.Date(1997, m, 1, 0, 0, 0, 0, time.UTC) }

func result(t *testing.T, name string, columns []kpi.Column, rows ...[]any) *kpi.Result {
	t.Helper()
	k, ok := kpi.Find(name)
	if !ok {
		t.Fatalf("there is no KPI %s", name)
	}
	return &kpi.Result{KPI: k, Options: kpi.Options{Grain: "month"}, Columns: columns, Rows: rows}
}

// samples have every layout, nulls, thousands, an open period and two models.
func samples(t *testing.T) map[string]*kpi.Result {
	population := []kpi.Column{{"model", "String"}, {"period", "Date32"}, {"stage", "String"}, {"position", "UInt32"}, {"customers", "UInt64"}, {"closed", "Bool"}}
	flow := []kpi.Column{{"model", "String"}, {"period", "Date32"}, {"from_stage", "String"}, {"to_stage", "String"}, {"direction", "String"}, {"changes", "UInt64"}, {"closed", "Bool"}}
	churn := []kpi.Column{{"model", "String"}, {"period", "Date32"}, {"at_start", "UInt64"}, {"churned", "UInt64"}, {"churn_rate", "Float64"}, {"by_late_event", "UInt64"}, {"closed", "Bool"}}
	totals := []kpi.Column{{"event", "String"}, {"orders", "UInt64"}, {"revenue", "Decimal(38, 4)"}, {"average_order_value", "Float64"}, {"first_order", "DateTime64(3)"}}
	return map[string]*kpi.Result{
		"population": result(t, "population", population,
			[]any{"value", month(1), "lost", uint64(1), uint64(0), true}, []any{"value", month(1), "active", uint64(2), uint64(12_345), true},
			[]any{"value", month(2), "lost", uint64(1), uint64(1), false}, []any{"value", month(2), "active", uint64(2), uint64(6_172), false},
			[]any{"zoo", month(1), "gone", uint64(1), uint64(7), true}),
		"flow": result(t, "flow", flow,
			[]any{"value", month(1), nil, "active", "begin", uint64(1_000), true}, []any{"value", month(3), nil, "active", "begin", uint64(500), true},
			[]any{"value", month(2), "active", nil, "end", uint64(4), true}),
		"churn": result(t, "churn", churn,
			[]any{"value", month(1), uint64(0), uint64(0), nil, uint64(0), true}, []any{"value", month(2), uint64(200), uint64(25), 0.125, uint64(3), false}),
		"totals": result(t, "totals", totals,
			[]any{"purchase", uint64(69_659), decimal.RequireFromString("2500315.63"), 35.893, month(1)}),
		"empty": result(t, "repeat-rate", nil),
	}
}

// TestTables: what people see, byte for byte.
func TestTables(t *testing.T) {
	for name, r := range samples(t) {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := kpi.Render(&out, r, kpi.FormatTable); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".txt")
			if *rewrite {
				if err := os.MkdirAll("testdata", 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s\n(go test ./sink/kpi -run TestTables -rewrite writes it anew)", out.String(), want)
			}
			if !utf8.Valid(out.Bytes()) {
				t.Error("not UTF-8")
			}
		})
	}
}

// TestFormatsForPrograms: JSON and CSV can be read back, with every row, column,
// digit and null.
func TestFormatsForPrograms(t *testing.T) {
	for name, r := range samples(t) {
		var out bytes.Buffer
		if err := kpi.Render(&out, r, kpi.FormatJSON); err != nil {
			t.Fatal(err)
		}
		var objects []map[string]any
		decoder := json.NewDecoder(&out)
		decoder.UseNumber()
		if err := decoder.Decode(&objects); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(objects) != len(r.Rows) {
			t.Errorf("%s: %d objects for %d rows", name, len(objects), len(r.Rows))
		}
		for i, o := range objects {
			if len(o) != len(r.Columns) {
				t.Errorf("%s: object %d has %d fields for %d columns", name, i, len(o), len(r.Columns))
			}
		}
		switch name {
		case "totals":
			if got := objects[0]["revenue"]; got != json.Number("2500315.63") {
				t.Errorf("money is %v", got)
			}
			if got := objects[0]["first_order"]; got != "1997-01-01T00:00:00Z" {
				t.Errorf("a time is %v", got)
			}
		case "churn":
			if objects[0]["churn_rate"] != nil || objects[0]["period"] != "1997-01-01" || objects[1]["churn_rate"] != json.Number("0.125") {
				t.Errorf("churn is %v", objects)
			}
		}
		out.Reset()
		if err := kpi.Render(&out, r, kpi.FormatCSV); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&out).ReadAll()
		if len(r.Columns) > 0 && (err != nil || len(lines) != len(r.Rows)+1) {
			t.Errorf("%s: %d lines of CSV for %d rows (%v)", name, len(lines), len(r.Rows), err)
		}
	}
	if err := kpi.Render(&bytes.Buffer{}, samples(t)["churn"], "xml"); err == nil {
		t.Error("format xml was taken")
	}
}

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
	if _, err := d.Text(context.Background(), query); err != nil {
		t.Errorf("the query of %s: %v", k.Name, err)
	}
}

// TestCatalogue: every KPI of the catalogue runs over a history and over an empty
// database, in each grain and format, and its view exists.
func TestCatalogue(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	empty := sinktest.NewDatabase(t, server.Options(), "empty")
	full := sinktest.NewDatabase(t, server.Options(), "full")
	h := sinktest.New(9, time.UTC, sinktest.Size{Customers: 20, Changes: 8, Orders: 6})
	if err := full.Insert(ctx, h.Records(1)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range kpi.Catalogue() {
		if seen[k.Name] || k.Title == "" || k.Meaning == "" || k.Group == "" || k.Numerator == "" || k.Time == "" || k.Unit == "" || !strings.Contains(k.Query, "{{db}}."+k.View) {
			t.Errorf("%s: named twice, or without words, or its query is not of its view", k.Name)
		}
		seen[k.Name] = true
		if found, ok := kpi.Find(k.View); !ok || found.View != k.View {
			t.Errorf("%s is not found by its view's name", k.Name)
		}
		describes(t, full, k)
		for _, d := range []*sinktest.Database{empty, full} {
			for _, grain := range []string{"", "day", "week"} {
				if grain != "" && !strings.Contains(k.Query, "@grain") {
					continue
				}
				r, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name, Grain: grain})
				if err != nil {
					t.Errorf("%s over %s by %q: %v", k.Name, d.Name, grain, err)
					continue
				}
				if d == full && len(r.Rows) == 0 {
					t.Errorf("%s over a history by %q has no row", k.Name, grain)
				}
				for _, f := range []kpi.Format{kpi.FormatTable, kpi.FormatJSON, kpi.FormatCSV} {
					if err := kpi.Render(&bytes.Buffer{}, r, f); err != nil {
						t.Errorf("%s over %s as %s: %v", k.Name, d.Name, f, err)
					}
				}
			}
		}
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
