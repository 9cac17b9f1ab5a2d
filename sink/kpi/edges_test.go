// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

// TestEdgesOfWindows: carts and first weeks, one millisecond before, at, and after the
// instants that decide; each case is a customer on a day of its own.
func TestEdgesOfWindows(t *testing.T) {
	type did struct {
		event string
		after time.Duration
	}
	const hour, day = time.Hour, 24 * time.Hour
	cases := []struct {
		did  []did
		cart string // outcome and channel; empty: not abandoned
		used string // of the first week: used_any of closed; empty: nothing started
	}{
		{did: []did{{"add", 0}, {"order", hour}}, cart: "recovered none"},
		{did: []did{{"add", 0}, {"order", hour - time.Millisecond}}},
		{did: []did{{"add", 0}, {"add", hour - time.Millisecond}, {"order", 2*hour - 2*time.Millisecond}}},
		{did: []did{{"add", 0}, {"order", 7 * day}}, cart: "lost "},
		{did: []did{{"add", 0}, {"order", 7*day - time.Millisecond}}, cart: "recovered none"},
		{did: []did{{"add", 0}, {"mail", 2 * hour}, {"push", 3 * hour}, {"order", 4 * hour}}, cart: "recovered push"},
		{did: []did{{"add", 0}, {"mail", hour}, {"order", 4 * hour}}, cart: "recovered email"},
		{did: []did{{"add", 0}, {"mail", hour - time.Millisecond}, {"order", 4 * hour}}, cart: "recovered none"},
		{did: []did{{"order", 0}, {"order", hour}}},
		{did: []did{{"start", 0}, {"tutorial", 0}}, used: "0 of 1"},
		{did: []did{{"start", 0}, {"tutorial", time.Millisecond}}, used: "1 of 1"},
		{did: []did{{"start", 0}, {"tutorial", 7 * day}}, used: "1 of 1"},
		{did: []did{{"start", 0}, {"tutorial", 7*day + time.Millisecond}}, used: "0 of 1"},
	}
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "edges")
	records := []batch.Record{{
		Topic: "lapwing.definitions", Name: "definitions", Generation: 1, Key: []byte("shop"),
		Value: []byte(`{"name":"shop","version":1,"activated_at":"1997-01-01T00:00:00Z","timezone":"UTC","currency":"EUR","models":[],"segments":[]}`),
	}}
	add := func(customer, event string, at instant.Instant) {
		a := record.Activity{CustomerID: customer, EventTime: at, Type: "track", Event: event, SessionStart: at, Occurrence: []record.Occurrence{{Event: event, At: at}}}
		records = append(records, batch.Record{Topic: "lapwing.activity", Name: "activity", Generation: 1, Offset: int64(len(records)), Key: []byte(customer), Value: a.AppendJSON(nil)})
	}
	start := instant.Of(time.Date(1997, 3, 1, 0, 0, 0, 0, time.UTC))
	for i, c := range cases {
		for _, one := range c.did {
			add(fmt.Sprint("u", i), one.event, start.Add(time.Duration(i)*day+one.after))
		}
	}
	clock := start.Add(100 * day)
	add("open", "add", clock.Add(-7*day+time.Millisecond))
	add("lost", "add", clock.Add(-7*day))
	add("resting", "add", clock.Add(-hour+time.Millisecond))
	add("clock", "mail", clock)
	if err := d.Insert(ctx, records); err != nil {
		t.Fatal(err)
	}
	var carts, weeks lines
	for i, c := range cases {
		date := start.Add(time.Duration(i) * day).Time().Format(time.DateOnly)
		if c.cart != "" {
			carts.add(date, c.cart)
		}
		if c.used != "" {
			weeks.add(date, c.used)
		}
	}
	carts.add(clock.Add(-7*day).Time().Format(time.DateOnly), "lost ")
	carts.add(clock.Add(-7*day).Time().Format(time.DateOnly), "open ")
	for query, want := range map[string]lines{
		"SELECT period, concat(outcome, ' ', channel) FROM edges.kpi_carts(add = 'add', order = 'order', clicks = 'mail=email,push=push', rest_minutes = 60, forgotten_days = 7) WHERE grain = 'day' ORDER BY ALL": carts,
		"SELECT period, concat(toString(used_any), ' of ', toString(closed)) FROM edges.kpi_onboarding(start = 'start', events = 'tutorial', days = 7) WHERE grain = 'day' ORDER BY ALL":                           weeks,
	} {
		got, err := d.Text(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		if got != want.text()+"\n" {
			t.Errorf("%s:\n%swant\n%s", query, got, want.text())
		}
	}
}
