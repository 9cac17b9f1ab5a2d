// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

// TestZoneChanges: a version of the definition with another time zone, to the west or to
// the east, moves no total of the past to another date, and loses nobody: what was
// counted in the former zone's periods stays in the same days, weeks and months, and at
// the end as many are in each stage as before.
func TestZoneChanges(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	h := sinktest.New(7, time.UTC, sinktest.Size{Customers: 20, Changes: 8, Orders: 4})
	for i, zone := range []string{"America/New_York", "Asia/Tokyo"} {
		t.Run(zone, func(t *testing.T) {
			d := sinktest.NewDatabase(t, server.Options(), fmt.Sprintf("zones_%d", i))
			later := record.Activity{CustomerID: "later", EventTime: instant.Of(time.Date(1997, 12, 1, 0, 0, 0, 0, time.UTC)), Type: "page", Event: "page"}
			later.SessionStart = later.EventTime // so that the clock has passed all totals in any zone
			records := append(h.Records(1), batch.Record{Topic: "lapwing.activity", Name: "activity", Offset: 1 << 20, Generation: 1, Key: []byte("later"), Value: later.AppendJSON(nil)})
			if err := d.Insert(ctx, records); err != nil {
				t.Fatal(err)
			}
			queries := []string{
				"SELECT * EXCEPT closed FROM kpi_flow",
				"SELECT model, grain, period, stage, orders, revenue FROM kpi_revenue_by_stage",
				"SELECT model, grain, stage, argMax(customers, period) FROM kpi_stage_population GROUP BY model, grain, stage",
			}
			ask := func() (answers []string) {
				for _, query := range queries {
					text, err := d.Text(ctx, strings.Replace(query, "FROM ", "FROM "+d.Name+".", 1))
					if err != nil {
						t.Fatal(err)
					}
					answers = append(answers, lines(strings.Split(strings.TrimSpace(text), "\n")).text())
				}
				return answers
			}
			before := ask()
			var text string
			if err := d.Conn.QueryRow(ctx, "SELECT models FROM "+d.Name+".live_definition").Scan(&text); err != nil {
				t.Fatal(err)
			}
			next := fmt.Sprintf(`{"name":%q,"version":2,"activated_at":"1998-01-01T00:00:00Z","timezone":%q,"currency":"EUR","models":%s,"segments":["country"]}`, h.Definition, zone, text)
			if err := d.Insert(ctx, []batch.Record{{Topic: "lapwing.definitions", Name: "definitions", Offset: 1 << 20, Generation: 1, Key: []byte(h.Definition), Value: []byte(next)}}); err != nil {
				t.Fatal(err)
			}
			for i, after := range ask() {
				if before[i] == "" {
					t.Errorf("%s: no rows, so nothing was compared", queries[i])
				}
				if diff := difference(after, before[i]); diff != "" {
					t.Errorf("%s differs from before (- now, + before):\n%s", queries[i], diff)
				}
			}
		})
	}
}
