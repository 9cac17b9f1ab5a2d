// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"lapwing/sink/kpi"
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
	advocates := []kpi.Column{{"segment", "String"}, {"period", "Date32"}, {"customers", "UInt64"}, {"closed", "Bool"}}
	hours := []kpi.Column{{"event", "String"}, {"model", "Nullable(String)"}, {"hour", "DateTime64(3)"}, {"stage", "Nullable(String)"}, {"occurrences", "UInt64"}}
	totals := []kpi.Column{{"event", "String"}, {"orders", "UInt64"}, {"revenue", "Decimal(38, 4)"}, {"average_order_value", "Float64"}, {"first_order", "DateTime64(3)"}}
	trust := []kpi.Column{{"campaign", "String"}, {"variant", "Nullable(String)"}, {"holdout", "Bool"}, {"assigned", "UInt64"}}
	lift := []kpi.Column{{"campaign", "String"}, {"variant", "Nullable(String)"}, {"assigned", "UInt64"}, {"difference", "Float64"}, {"former", "UInt64"}}
	factors := []kpi.Column{{"campaign", "String"}, {"factor", "String"}, {"level", "String"}, {"conversion_rate", "Float64"}, {"difference_low", "Float64"}, {"difference", "Float64"}, {"difference_high", "Float64"}}
	thresholds := []kpi.Column{{"event", "String"}, {"customers", "UInt64"}, {"high_value", "Float64"}, {"frequent", "Float64"}}
	return map[string]*kpi.Result{
		"campaign-factors": result(t, "campaign-factors", factors, // what is rounded to zero has no sign
			[]any{"spring", "tone", "warm", 0.1, -0.0301, -0.0004, 0.0297}, []any{"spring", "tone", "cool", 0.1, -0.0297, 0.0004, 0.0301}),
		"thresholds": result(t, "thresholds", thresholds, // counts are whole, unless the percentile lies between two
			[]any{"purchase", uint64(1_200), 350.0, 5.0}, []any{"renewal", uint64(6), -0.001, 1_234.8}),
		"campaign-lift": result(t, "campaign-lift", lift, // the shares of the first have changed
			[]any{"spring", "short", uint64(1_800), 0.01, uint64(1_200)}, []any{"spring", nil, uint64(1_800), 0.01, uint64(1_200)}, []any{"winter", "short", uint64(500), 0.02, uint64(0)}),
		"campaign-trust": result(t, "campaign-trust", trust, // another system gave the second arm no name
			[]any{"elsewhere", "short", false, uint64(2_000)}, []any{"elsewhere", nil, false, uint64(1_000)}, []any{"elsewhere", nil, true, uint64(500)}),
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
		"advocates": result(t, "advocates", advocates, // the period is open, not the segment
			[]any{"advocates", month(1), uint64(7), true}, []any{"advocates", month(2), uint64(21), false}),
		"events-by-hour": result(t, "events-by-hour", hours, // no stage is that of a first event, no model all customers
			[]any{"purchase", "value", month(1), "active", uint64(40)}, []any{"purchase", "value", month(1), nil, uint64(3)}, []any{"purchase", nil, month(1), nil, uint64(43)}),
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
