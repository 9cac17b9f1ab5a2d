// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
)

// statisticsTolerance bounds the difference from SciPy and statsmodels: of figures above
// 1 in their last digits, of the others as it is.
const statisticsTolerance = 1e-9

// TestStatistics: every expression of the campaign views' statistics equals SciPy's or
// statsmodels' figure on a grid (testdata/statistics.py made it) to 1e-9.
func TestStatistics(t *testing.T) {
	raw, err := os.ReadFile("testdata/statistics.json")
	if err != nil {
		t.Fatal(err)
	}
	var grid [][3]json.RawMessage
	if err := json.Unmarshal(raw, &grid); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(embeddedtest.ClickHouseForTest(t).Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	type call struct {
		text string
		want *float64
	}
	calls := make([]call, len(grid))
	covered := map[string]bool{}
	for i, line := range grid {
		var name string
		var args []float64
		for j, into := range []any{&name, &args, &calls[i].want} {
			if err := json.Unmarshal(line[j], into); err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
		}
		covered[name] = true
		words := make([]string, len(args))
		for j, a := range args {
			words[j] = "toFloat64(" + strconv.FormatFloat(a, 'g', -1, 64) + ")"
			if name == "chiSquareTail" && j == 1 { // whole degrees of freedom
				words[j] = strconv.FormatFloat(a, 'f', 0, 64)
			}
		}
		calls[i].text = name + "(" + strings.Join(words, ", ") + ")"
		if name == "welchP" { // t and df together, as the views put them together
			v := strings.Join(words[1:], ", ")
			calls[i].text = fmt.Sprintf("studentTails(%s / welchError(%s), welchFreedom(%s))", words[0], v, v)
		}
	}
	for _, name := range []string{
		"wilsonLow", "wilsonHigh", "newcombeLow", "newcombeHigh", "ratioOf", "ratioLow", "ratioHigh", "normalTails", "pooledZ", "detectable",
		"chiSquareTail", "welchError", "welchP", "skewnessOf", "welchHolds", "studentPoint", "studentTails", "sequentialError", "sequentialTail", "sequentialPoint",
	} {
		if !covered[name] {
			t.Errorf("the grid has no figure of %s", name)
		}
	}
	const atOnce = 60
	for from := 0; from < len(calls); from += atOnce {
		part := calls[from:min(len(calls), from+atOnce)]
		words := make([]string, len(part))
		for i, c := range part {
			words[i] = "CAST(" + c.text + ", 'Nullable(Float64)')"
		}
		var got []*float64
		if err := conn.QueryRow(context.Background(), "WITH "+schema.Statistics+" SELECT ["+strings.Join(words, ", ")+"]").Scan(&got); err != nil {
			t.Fatal(err)
		}
		for i, c := range part {
			switch {
			case (got[i] == nil) != (c.want == nil):
				t.Errorf("%s: null or not: %v, want %v", c.text, got[i], c.want)
			case c.want == nil:
			case !(math.Abs(*got[i]-*c.want) <= statisticsTolerance*max(1, math.Abs(*c.want))):
				t.Errorf("%s = %.15g, want %.15g (off by %.2g)", c.text, *got[i], *c.want, *got[i]-*c.want)
			}
		}
	}
	var low, high float64
	if err := conn.QueryRow(context.Background(), "WITH "+schema.Statistics+`
		SELECT min(wilsonLow(0, toFloat64(number + 1))), max(wilsonHigh(toFloat64(number + 1), toFloat64(number + 1))) FROM numbers(1000)`).Scan(&low, &high); err != nil {
		t.Fatal(err)
	}
	if low < 0 || high > 1 {
		t.Errorf("rates lie between %g and %g, want within 0 and 1", low, high)
	}
}
