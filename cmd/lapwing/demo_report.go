// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"lapwing/sink/kpi"
)

// demoKPI is a KPI, with a word on how to read it.
type demoKPI struct{ name, note string }

// realKPIs are shown of the real base, in this order.
var realKPIs = []demoKPI{
	{"population", "Who is where at the end of each month: watch the new ones of spring turn quiet, and the quiet ones leave a year later."},
	{"flow", "How they moved. Most of it came by itself, with no event at all, on the very day it was due: down is the easy way."},
	{"repeat-rate", ""},
	{"new-to-second", "Of those who buy for the first time, who buys again? For most it was the only time."},
	{"churn", ""},
	{"reactivation", ""},
	{"time-in-stage", ""},
	{"revenue-by-stage", "Where the money comes from: the stage just before each order."},
}

// madeUpKPIs are shown of the made-up ones: what every model has, and what the preset is
// about.
func madeUpKPIs(preset string) []demoKPI {
	own := map[string][]demoKPI{
		"e-commerce": {{"carts", ""}, {"views-per-purchase", ""}},
		"media":      {{"lapsing-visits", "Who was lapsing when the week began: who came at least once?"}},
		"travel":     {{"messages", "What was sent, and who answers it: people and machines apart."}, {"browse-to-booking", ""}},
		"finance":    {{"invitations", ""}},
	}
	return append([]demoKPI{{"population", ""}, {"flow", ""}, {"reactivation", ""}, {"time-in-stage", ""}}, own[preset]...)
}

// report prints what ClickHouse says.
func (d *demo) report(ctx context.Context) error {
	if err := d.totals(ctx); err != nil {
		return err
	}
	if d.base.truth != nil { // what it is about
		if err := d.effects(ctx); err != nil {
			return err
		}
	}
	for _, one := range d.base.kpis {
		k, ok := kpi.Find(one.name)
		if !ok {
			return fmt.Errorf("there is no KPI %q", one.name)
		}
		result, err := kpi.Run(ctx, d.conn, k, kpi.Options{Database: d.clickhouse.Database})
		if err != nil {
			return err
		}
		d.show.say("")
		if err := kpi.Render(d.app.stdout, result, kpi.FormatTable); err != nil {
			return err
		}
		if one.note != "" {
			d.show.say("  %s", one.note)
		}
	}
	if d.base.truth == nil {
		return d.effects(ctx)
	}
	return nil
}

// totals are the figures the data is known by, out of ClickHouse to the last cent.
func (d *demo) totals(ctx context.Context) error {
	var orders, customers uint64
	var revenue decimal.Decimal
	row := d.conn.QueryRow(ctx, fmt.Sprintf(
		`SELECT count(DISTINCT order_key), count(DISTINCT customer_id), sum(order_value) FROM %s.order_items`, d.clickhouse.Database))
	if err := row.Scan(&orders, &customers, &revenue); err != nil {
		return fmt.Errorf("ask ClickHouse for the totals: %w", err)
	}
	bought := ""
	if orders > 0 {
		bought = fmt.Sprintf("%s purchases by %s customers for %s %s. ", grouped(int64(orders)), grouped(int64(customers)), money(revenue), d.def.Currency)
	}
	d.show.say("\n%sAll figures are ClickHouse's, as of %s; a period with a * still runs.", bought, inWords(d.latest, time.UTC))
	return nil
}

// money is an amount with thousands grouped and two places at least.
func money(d decimal.Decimal) string {
	whole := d.Truncate(0)
	text := d.Sub(whole).Abs().StringFixed(max(2, -d.Exponent()))
	for len(text) > len("0.00") && text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	return grouped(whole.IntPart()) + text[1:]
}
