// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

// plainShop is a database with a definition of one model and nothing else.
func plainShop(t *testing.T, name string) *sinktest.Database {
	t.Helper()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), name)
	err := d.Insert(context.Background(), []batch.Record{{
		Topic: "lapwing.definitions", Name: "definitions", Generation: 1, Key: []byte("shop"),
		Value: []byte(`{"name":"shop","version":1,"activated_at":"1997-01-01T00:00:00Z","timezone":"Europe/Paris","currency":"EUR","segments":[],` +
			`"models":[{"name":"value","stages":["lost","new","active"],"order":[],"churned":["lost"],"at_risk":[]}]}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTotalsAreKeptApart: totals that differ in any one of what they are counted by are
// rows of their own, before and after ClickHouse has merged them, and only a row that is
// equal in all of it replaces another.
func TestTotalsAreKeptApart(t *testing.T) {
	ctx := context.Background()
	d := plainShop(t, "apart")
	const apart = `INSERT INTO apart.aggregates_log (definition, lane, measure, grain, period, model, event, stage, from, to, cause, segment, platform, count, _offset, _generation)
SELECT 'shop', lane, measure, grain, toDateTime64(period, 3, 'UTC'), v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], number, OFFSET + number, 1
FROM (SELECT number, arrayMap(i -> ['', 'a', 'aa'][1 + intDiv(number, toUInt64(pow(3, i))) % 3], range(8)) AS v FROM numbers(6561)) AS n
CROSS JOIN VALUES('lane UInt32, measure String, grain String, period String',
    (0, 'event', 'day', '1997-01-01'), (1, 'event', 'day', '1997-01-01'), (0, 'session', 'day', '1997-01-01'), (0, 'event', 'month', '1997-01-01'), (0, 'event', 'day', '1997-02-01')) AS l`
	look := func(when, want string) {
		t.Helper()
		got, err := d.Text(ctx, `SELECT count(), uniqExact(lane, measure, grain, period, model, event, stage, from, to, cause, segment, platform), sum(count), min(_offset) >= 20000 FROM apart.aggregates`)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: %swant %s", when, got, want)
		}
	}
	for _, offset := range []string{"10000", "20000"} { // the second time newer versions
		if err := d.Conn.Exec(ctx, strings.ReplaceAll(apart, "OFFSET", offset)); err != nil {
			t.Fatal(err)
		}
	}
	const want = "(32805,32805,107600400,1)\n" // 5 times 6,561 rows, and 5 times the sum of 0 to 6,560
	look("before merging", want)
	if err := d.Conn.Exec(ctx, "OPTIMIZE TABLE apart.aggregates_log FINAL"); err != nil {
		t.Fatal(err)
	}
	look("after merging", want)
}

// TestPopulationWithoutData: a definition alone has no periods, so no population.
func TestPopulationWithoutData(t *testing.T) {
	d := plainShop(t, "bare")
	for _, view := range []string{"kpi_periods", "kpi_stage_population", "kpi_flow", "kpi_flow_by_hour", "kpi_revenue_by_stage", "kpi_events_by_hour", "kpi_churn", "kpi_sessions"} {
		got, err := d.Text(context.Background(), "SELECT count() FROM bare."+view)
		if err != nil {
			t.Fatal(err)
		}
		if got != "(0)\n" {
			t.Errorf("%s has %s rows without data", view, got)
		}
	}
}

// TestPopulationOfBefore: who entered a stage before the first instant that the data still
// has (older rows were forgotten, totals were not) is in the stage in all periods, and
// entered it in none of them. What lies behind the clock does not count yet.
func TestPopulationOfBefore(t *testing.T) {
	ctx := context.Background()
	d := plainShop(t, "before")
	var records []batch.Record
	for i, at := range []time.Time{time.Date(1997, 3, 30, 12, 0, 0, 0, time.UTC), time.Date(1997, 4, 2, 12, 0, 0, 0, time.UTC)} {
		a := record.Activity{CustomerID: "u", EventTime: instant.Of(at), Type: "track", Event: "visit"}
		records = append(records, batch.Record{Topic: "lapwing.activity", Name: "activity", Generation: 1, Offset: int64(i), Key: []byte("u"), Value: a.AppendJSON(nil)})
	}
	if err := d.Insert(ctx, records); err != nil {
		t.Fatal(err)
	}
	const rows = `INSERT INTO before.aggregates_log (definition, lane, measure, grain, period, model, from, to, cause, count, _offset, _generation)
SELECT 'shop', lane, 'transition', 'day', toDateTime64(period, 3, 'UTC'), 'value', from, to, 'event', count, 0, 1 FROM VALUES('lane UInt32, period String, from String, to String, count Int64',
    (0, '1996-12-31 23:00:00', '', 'new', 10), (1, '1996-12-31 23:00:00', '', 'new', 5), (0, '1997-02-01 23:00:00', 'new', 'gone', 3),
    (0, '1997-03-29 23:00:00', 'new', 'active', 2), (1, '1997-03-30 22:00:00', 'new', 'active', 4), (0, '1997-04-01 22:00:00', 'active', 'lost', 1),
    (0, '1997-04-09 22:00:00', 'active', 'lost', 3))`
	if err := d.Conn.Exec(ctx, rows); err != nil {
		t.Fatal(err)
	}
	got, err := d.Text(ctx, `SELECT period, stage, position, customers, round(share, 4), entered, left, closed FROM before.kpi_stage_population WHERE grain = 'day' AND (customers > 0 OR entered > 0 OR left > 0) ORDER BY period, position`)
	if err != nil {
		t.Fatal(err)
	}
	const want = `('1997-03-30','gone',0,3,0.2,0,0,true)
('1997-03-30','new',2,10,0.6667,0,2,true)
('1997-03-30','active',3,2,0.1333,2,0,true)
('1997-03-31','gone',0,3,0.2,0,0,true)
('1997-03-31','new',2,6,0.4,0,4,true)
('1997-03-31','active',3,6,0.4,4,0,true)
('1997-04-01','gone',0,3,0.2,0,0,true)
('1997-04-01','new',2,6,0.4,0,0,true)
('1997-04-01','active',3,6,0.4,0,0,true)
('1997-04-02','gone',0,3,0.2,0,0,false)
('1997-04-02','lost',1,1,0.0667,1,0,false)
('1997-04-02','new',2,6,0.4,0,0,false)
('1997-04-02','active',3,5,0.3333,0,1,false)
`
	if got != want {
		t.Errorf("population:\n%swant\n%s", got, want)
	}
}

// TestLive: what views over totals know is what live_definition, kpi_clock, model_stages and
// current_generation say, without data and with it.
func TestLive(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "live")
	look := func(when string) string {
		t.Helper()
		got, err := d.Text(ctx, `SELECT (generation, definition, timezone, currency, first_instant, clock, arraySort(models), arraySort(arrayZip(mapKeys(places), mapValues(places)))) FROM live.live`)
		if err != nil {
			t.Fatal(err)
		}
		want, err := d.Text(ctx, `SELECT (
    (SELECT generation FROM live.current_generation),
    name, timezone, currency,
    (SELECT first_instant FROM live.kpi_clock),
    (SELECT clock FROM live.kpi_clock),
    (SELECT arraySort(groupUniqArray(model)) FROM live.model_stages),
    (SELECT arraySort(groupArray((concat(model, '\0', stage), position))) FROM live.model_stages)) FROM live.live_definition`)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s live says\n%swant\n%s", when, got, want)
		}
		return got
	}
	empty := look("without data")
	if err := d.Insert(ctx, sinktest.New(3, time.UTC, sinktest.Size{Customers: 20, Changes: 8, Orders: 4}).Records(1)); err != nil {
		t.Fatal(err)
	}
	if look("with data") == empty {
		t.Error("live says the same without data and with it")
	}
}
