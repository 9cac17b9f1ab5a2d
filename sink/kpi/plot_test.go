// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

// TestIntervalsAreDrawn: the table of lift draws each interval on one scale with 0
// marked, names all variants together, and says plainly what cannot be told.
func TestIntervalsAreDrawn(t *testing.T) {
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "drawn")
	if err := d.Insert(context.Background(), sinktest.NewCampaigns(0, time.UTC, 260).Batch(1)); err != nil {
		t.Fatal(err)
	}
	k, _ := kpi.Find("campaign-lift")
	r, err := kpi.Run(context.Background(), d.Conn, k, kpi.Options{Database: d.Name})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := kpi.Render(&out, r, kpi.FormatTable); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"campaign winback", "(all)", "assignment is broken", "no holdout", "more than the holdout", "fewer than the holdout"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table does not say %q", want)
		}
	}
	drawn := 0
	zero := map[int]bool{} // where 0 stands in the rows of winback
	for line := range strings.Lines(strings.SplitN(text[strings.Index(text, "campaign winback"):], "\n\n", 2)[0]) {
		runes := []rune(line)
		dot, left, right := -1, -1, -1
		for i, c := range runes {
			switch c {
			case '●':
				dot = i
			case '├':
				left = i
			case '┤':
				right = i
			case '┼', '│':
				zero[i] = true
			}
		}
		if dot < 0 {
			continue
		}
		drawn++
		if left > dot || right >= 0 && right < dot || left < 0 && right < 0 { // the dot may stand on an end
			t.Errorf("the dot does not lie in its interval: %q", line)
		}
	}
	if drawn == 0 || len(zero) != 1 {
		t.Errorf("%d intervals drawn, 0 in columns %v: want one column\n%s", drawn, zero, text)
	}
	t.Log("\n" + text)
}
