// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

// settle is the record of a lane's settings, at its place in the topic.
func settle(s record.Settings, offset int64) batch.Record {
	return batch.Record{Topic: "lapwing.aggregates", Name: "aggregates", Partition: s.Lane, Offset: offset, Generation: 1, Key: s.Key(), Value: s.AppendJSON(nil)}
}

// keptSince is the first of the instants from which on all of what was in force in any
// lane is good, "NULL" if what is in force now is not: found by trying each.
func keptSince(lanes [][]record.Settings, good func(record.Settings) bool) string {
	best := instant.Max
	for _, from := range append([][]record.Settings{{{Since: 0}}}, lanes...) {
		for _, start := range from {
			all := true
			for _, lane := range lanes {
				for i, s := range lane {
					inForceLater := i == len(lane)-1 || lane[i+1].Since > start.Since
					all = all && (!inForceLater || good(s))
				}
			}
			if all {
				best = min(best, start.Since)
			}
		}
	}
	if best == instant.Max {
		return "NULL"
	}
	return "'" + best.Time().UTC().Format("2006-01-02 15:04:05.000") + "'"
}

// TestActivityMode: what all lanes keep now, and since when they have without a break,
// equals trying each instant, over random settings; a change of something else is no break.
func TestActivityMode(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	ranks := map[string]int{"off": 0, "referenced": 1, "all": 2}
	d := sinktest.NewDatabase(t, server.Options(), "mode")
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		if err := d.Conn.Exec(ctx, "TRUNCATE TABLE mode.settings_log"); err != nil {
			t.Fatal(err)
		}
		const view = ".activity_mode"
		if text, err := d.Text(ctx, "SELECT * FROM "+d.Name+view); err != nil || text != "('',NULL,NULL,NULL,NULL)\n" {
			t.Fatalf("before any lane has told: %q, %v", text, err)
		}
		var lanes [][]record.Settings
		var records []batch.Record
		least, counted := 2, true
		for lane := range int32(1 + rng.IntN(3)) {
			var one []record.Settings
			for i := range 1 + rng.IntN(5) {
				s := record.Settings{
					Lane: lane, Activity: []string{"off", "referenced", "all", "all"}[rng.IntN(4)], Aggregates: rng.IntN(3) > 0,
					SessionGap: time.Duration(1+rng.IntN(5)) * time.Minute, Closed: instant.None,
				}
				since := instant.Instant(0)
				if s.Since = instant.None; i > 0 {
					since = instant.Of(time.Date(1997, 1, 1, 3*i+rng.IntN(3), 0, 0, 0, time.UTC))
					s.Since = since
				}
				records = append(records, settle(s, int64(i)))
				s.Since = since
				one = append(one, s)
			}
			lanes = append(lanes, one)
			last := one[len(one)-1]
			least, counted = min(least, ranks[last.Activity]), counted && last.Aggregates
		}
		if err := d.Insert(ctx, records); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("('%s',%s,%s,%t,%s)\n", []string{"off", "referenced", "all"}[least],
			keptSince(lanes, func(s record.Settings) bool { return ranks[s.Activity] >= least }),
			keptSince(lanes, func(s record.Settings) bool { return ranks[s.Activity] >= 1 }),
			counted, keptSince(lanes, func(s record.Settings) bool { return s.Aggregates }))
		if got, err := d.Text(ctx, "SELECT * FROM "+d.Name+view); err != nil || got != want {
			t.Errorf("seed %d: %s, %v, want %s of %+v", seed, got, err, want, lanes)
		}
	}
}

// TestTotalsOff: without stream.aggregates a KPI over totals says so instead of answering
// zero; the others answer.
func TestTotalsOff(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "uncounted")
	h := sinktest.New(4, time.UTC, sinktest.Size{Customers: 5, Changes: 4})
	h.Aggregates = nil
	h.Settings[1].Aggregates = false // one lane is enough
	if err := d.Insert(ctx, h.Records(1)); err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for _, k := range kpi.Catalogue() {
		_, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name})
		refused[k.View] = errors.Is(err, kpi.ErrNotKept)
		if err != nil && (!refused[k.View] || !strings.Contains(err.Error(), "stream.aggregates")) {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
	for _, view := range []string{"kpi_stage_population", "kpi_flow", "kpi_sessions", "kpi_session_events", "kpi_revenue_by_stage", "kpi_flow_by_hour", "kpi_events_by_hour"} {
		if !refused[view] {
			t.Errorf("%s answers, and has nothing to answer from", view)
		}
	}
	for _, view := range []string{"kpi_clock", "kpi_time_in_stage", "kpi_rfm", "kpi_lifetime_value"} {
		if told, ok := refused[view]; !ok || told {
			t.Errorf("%s is refused, or not in the catalogue; it needs no totals", view)
		}
	}
}

// TestGap: after a time without activity, or without totals, a KPI that needs it says since
// when it is kept, in each format, if the periods shown reach further back.
func TestGap(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "gap")
	h := sinktest.NewBusy(1, time.UTC, sinktest.Size{Customers: 25, Changes: 8, Orders: 4}, 40)
	if err := d.Insert(ctx, h.Records(1)); err != nil {
		t.Fatal(err)
	}
	run := func(name string) (*kpi.Result, string) {
		t.Helper()
		k, _ := kpi.Find(name)
		o := kpi.Options{Database: d.Name, Grain: "day"}
		if name == "engagement" {
			o.Params = map[string]string{"stage": ""}
		}
		r, err := kpi.Run(ctx, d.Conn, k, o)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := kpi.Render(&b, r, kpi.FormatTable); err != nil {
			t.Fatal(err)
		}
		return r, b.String()
	}
	for _, name := range []string{"engagement", "population", "thresholds", "rfm"} {
		if r, text := run(name); r.Gap != nil || len(r.Rows) == 0 || strings.Contains(text, "Kept without a break only since") {
			t.Fatalf("%s lacks nothing, and says %+v:\n%s", name, r.Gap, text)
		}
	}
	r, _ := run("engagement")
	period := 0
	for i, c := range r.Columns {
		if c.Name == "period" {
			period = i
		}
	}
	first, last := r.Rows[0][period].(time.Time), r.Rows[0][period].(time.Time)
	for _, row := range r.Rows {
		if at := row[period].(time.Time); at.After(last) {
			last = at
		}
	}
	// Off in the morning of the second day, and on again at noon of the last.
	again := last.Add(12 * time.Hour)
	change := func(offset int64, at time.Time, activity string, aggregates bool) {
		t.Helper()
		if err := d.Insert(ctx, []batch.Record{settle(record.Settings{Lane: 1, Since: instant.Of(at), Activity: activity, Aggregates: aggregates, Closed: instant.None}, offset)}); err != nil {
			t.Fatal(err)
		}
	}
	change(1<<30, first.Add(30*time.Hour), "off", false)
	change(1<<30+1, again, "all", true)
	for name, setting := range map[string]string{"engagement": "stream.activity", "population": "stream.aggregates", "thresholds": "stream.activity"} {
		r, text := run(name)
		if r.Gap == nil || !r.Gap.Since.Equal(again) || r.Gap.Setting != setting {
			t.Errorf("%s: %+v, want since %s by %s", name, r.Gap, again, setting)
			continue
		}
		if line := fmt.Sprintf("\nKept without a break only since %s (setting %s)", again.Format(time.RFC3339), setting); !strings.Contains(text, line) {
			t.Errorf("%s does not say%s:\n%s", name, line, text)
		}
		var b bytes.Buffer
		if err := kpi.Render(&b, r, kpi.FormatJSON); err != nil {
			t.Fatal(err)
		}
		var rows []map[string]any
		if err := json.Unmarshal(b.Bytes(), &rows); err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			var want any = again.Format("2006-01-02T15:04:05Z")
			if at, ok := row["period"]; ok && at.(string) > last.Format(time.DateOnly) {
				want = nil
			}
			if row["whole_since"] != want || len(row) != len(r.Columns)+1 {
				t.Errorf("%s: row %d is %v, want whole_since %v", name, i, row, want)
			}
		}
		b.Reset()
		if err := kpi.Render(&b, r, kpi.FormatCSV); err != nil || !strings.Contains(strings.SplitN(b.String(), "\n", 2)[0], ",whole_since") {
			t.Errorf("%s as CSV: %v\n%s", name, err, b.String())
		}
	}
	if r, text := run("rfm"); r.Gap != nil || strings.Contains(text, "Kept without a break only since") {
		t.Errorf("rfm needs neither, and says %+v:\n%s", r.Gap, text)
	}
	// A session gap is no gap; what is shown only from then on lacks nothing.
	change(1<<30+2, again.Add(time.Hour), "all", true)
	k, _ := kpi.Find("engagement")
	k.Query = strings.Replace(k.Query, "ORDER BY", fmt.Sprintf("AND period > '%s' ORDER BY", last.Format(time.DateOnly)), 1)
	if err := d.Insert(ctx, []batch.Record{later(last.Add(48*time.Hour), h)}); err != nil {
		t.Fatal(err)
	}
	r, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name, Grain: "day", Params: map[string]string{"stage": ""}})
	if err != nil || r.Gap == nil || !r.Gap.Since.Equal(again) || len(r.Rows) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	var b bytes.Buffer
	if err := kpi.Render(&b, r, kpi.FormatTable); err != nil || strings.Contains(b.String(), "Kept without a break only since") {
		t.Errorf("what is shown lacks nothing, and yet: %v\n%s", err, b.String())
	}
}

// later is a page seen by a customer who was in some stage before the session.
func later(at time.Time, h *sinktest.History) batch.Record {
	a := h.Activity[0]
	for _, one := range h.Activity {
		if len(one.SessionStages) > 0 {
			a = one
		}
	}
	a.EventTime, a.SessionStart, a.Occurrence, a.MessageID = instant.Of(at), instant.Of(at), nil, "later"
	return batch.Record{Topic: "lapwing.activity", Name: "activity", Partition: 0, Offset: 1 << 30, Generation: 1, Key: []byte(a.CustomerID), Value: a.AppendJSON(nil)}
}
