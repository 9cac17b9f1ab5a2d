// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"fmt"
	"testing"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

// TestOrdersInOtherCurrencies: an order in another currency counts at the rate of its own
// local day, after refunds; without a rate it has no value, and is counted as such.
func TestOrdersInOtherCurrencies(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "currencies")
	records := []batch.Record{{
		Topic: "lapwing.definitions", Name: "definitions", Generation: 1, Key: []byte("shop"),
		Value: []byte(`{"name":"shop","version":1,"activated_at":"1997-01-01T00:00:00Z","timezone":"Europe/Berlin","currency":"EUR","models":[],"segments":[]}`),
	}}
	add := func(key, currency, at string, value decimal.Decimal, refund bool) {
		when, ok := instant.Parse(at)
		if !ok {
			t.Fatal(at)
		}
		a := record.Activity{
			CustomerID: "u", EventTime: when, Type: "track", Event: "Order Completed", Currency: currency,
			Occurrence: []record.Occurrence{{Event: "purchase", At: when, Value: value, HasValue: true, Key: key, Refund: refund}},
		}
		records = append(records, batch.Record{Topic: "lapwing.activity", Name: "activity", Generation: 1, Offset: int64(len(records)), Key: []byte("u"), Value: a.AppendJSON(nil)})
	}
	add("own", "EUR", "1997-03-01T12:00:00Z", 100_0000, false)
	add("unknown", "", "1997-03-01T12:00:00Z", 7_0000, false)
	add("dollars", "USD", "1997-03-01T22:59:59.999Z", 10_0000, false) // still the first in Berlin
	add("midnight", "USD", "1997-03-01T23:00:00Z", 10_0000, false)
	add("refunded", "USD", "1997-03-02T12:00:00Z", 10_0000, false)
	add("refunded", "USD", "1997-03-02T12:00:00Z", -9_9999, true) // 0.0001 is left
	add("no-rate", "USD", "1997-03-03T12:00:00Z", 10_0000, false)
	add("no-currency-rate", "GBP", "1997-03-01T12:00:00Z", 10_0000, false)
	if err := d.Insert(ctx, records); err != nil {
		t.Fatal(err)
	}
	for _, rate := range []string{"'USD', '1997-03-01', 0.5", "'USD', '1997-03-01', 0.87654321", "'USD', '1997-03-02', 0.9"} { // of one day the newest counts
		if err := d.Conn.Exec(ctx, fmt.Sprintf("INSERT INTO currencies.rates_log (currency, day, rate) VALUES (%s)", rate)); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		"SELECT order_key, value FROM currencies.orders ORDER BY order_key": `('dollars',8.7654)
('midnight',9)
('no-currency-rate',NULL)
('no-rate',NULL)
('own',100)
('refunded',0.0001)
('unknown',7)
`,
		"SELECT orders, revenue, unpriced, average_order_value FROM currencies.customer_orders": "(7,124.7655,2,24.9531)\n",
	} {
		got, err := d.Text(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s:\n%swant\n%s", query, got, want)
		}
	}
}
