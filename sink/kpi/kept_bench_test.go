// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

var customers = flag.Int("customers", 20_000, "customers of the base that BenchmarkKPIs asks") //nolint:gochecknoglobals // a test flag

// BenchmarkKPIs asks every KPI of a base with 2 orders, 4 stage changes and 8 messages for
// each customer, as lapwing kpi does: from what is kept, if computing it is slow. The bar
// is 200 ms each with a million customers:
//
//	go test ./sink/kpi -run - -bench KPIs -customers 1000000 -timeout 1h
//
// keep-ms is what computing it took.
func BenchmarkKPIs(b *testing.B) {
	ctx := context.Background()
	d := sinktest.NewDatabase(b, embeddedtest.ClickHouseForTest(b).Options(), "base")
	for _, statement := range base(*customers) {
		if err := d.Conn.Exec(ctx, statement); err != nil {
			b.Fatalf("%v\n%s", err, statement)
		}
	}
	took := map[string]time.Duration{}
	if err := kpi.Keep(ctx, d.Conn, kpi.Keeping{Database: d.Name, Slow: kpi.Slow, Done: func(one kpi.Kept, err error) error {
		took[one.Name] = one.Took
		return err
	}}); err != nil {
		b.Fatal(err)
	}
	for _, k := range kpi.Catalogue() {
		b.Run(k.Name, func(b *testing.B) {
			kept := ""
			for b.Loop() {
				r, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name})
				if err != nil {
					b.Fatal(err)
				}
				if r.Kept != nil {
					kept = r.Kept.Name
				}
			}
			if kept != "" {
				b.ReportMetric(float64(took[kept].Milliseconds()), "keep-ms")
			}
		})
	}
}

// base is a shop in SQL: what the stream would have written, at the speed of the engine.
func base(n int) []string {
	const at = "toDateTime64('2024-01-01 00:00:00', 3, 'UTC') + toIntervalSecond"
	const models = `[{"name":"lifecycle","stages":["never","inactive","loyal","active","lapsing"],"order":["never","inactive","lapsing","active","loyal"],"churned":["inactive"],"at_risk":["lapsing"]}]`
	return []string{
		`INSERT INTO base.definitions_log (name, version, hash, timezone, currency, activated_at, models, segments, source, _topic, _partition, _offset, _generation)
			VALUES ('shop', 1, '00', 'Europe/Berlin', 'EUR', '2024-01-01 00:00:00', '` + models + `', '[]', '', 't', 0, 0, 1)`,
		`INSERT INTO base.settings_log (lane, since, activity, session_gap_ms, close_after_ms, _topic, _partition, _offset, _generation) VALUES (0, 0, 'all', 1800000, 1, 't', 0, 0, 1)`,
		fmt.Sprintf(`INSERT INTO base.order_items_log (customer_id, event, order_key, item, ordered_at, product_id, quantity, price, currency, order_value, _topic, _partition, _offset, _generation)
			SELECT concat('customer-', toString(c)), 'purchase', toString(number), item, %s(cityHash64(c, o) %% 63072000), concat('p', toString(toUInt32(pow(cityHash64(c, o, item) %% 1000 / 1000, 2) * 500))),
				1, 10, 'EUR', if(item = 1, 10 + cityHash64(c, o) %% 2000000 / 10000, 0), 't', c %% 12, number, 1
			FROM (SELECT number, intDiv(number, 2) AS c, number %% 2 AS o, arrayJoin([1, 2]) AS item FROM numbers(%d))`, at, 2*n),
		fmt.Sprintf(`INSERT INTO base.stage_changes_log (id, customer_id, definition, definition_version, model, sequence, from, to, effective_at, detected_at, backfill, cause_type, _topic, _partition, _offset, _generation)
			SELECT leftPad(toString(number), 32, '0'), concat('customer-', toString(c)), 'shop', 1, 'lifecycle', s + 1, if(s = 0, NULL, stages[s]), stages[s + 1],
				%s(cityHash64(c) %% 31536000 + s * (1 + cityHash64(c, 3) %% 60) * 86400) AS e, e, 0, if(s < 3, 'event', 'deadline'), 't', c %% 12, number, 1
			FROM (SELECT number, intDiv(number, 4) AS c, number %% 4 AS s, ['lapsing', 'active', 'lapsing', 'inactive'] AS stages FROM numbers(%d))`, at, 4*n),
		fmt.Sprintf(`INSERT INTO base.activity_log (customer_id, event_time, message_id, type, event, occurrences, stages, segments, session_stages, session_start, platform, currency, _topic, _partition, _offset, _generation)
			SELECT concat('customer-', toString(c)), began + toIntervalSecond(m %% 3 * 200) AS t, NULL, 'track', event,
				[(event, t, NULL, NULL, false)]::Array(Tuple(String, DateTime64(3, 'UTC'), Nullable(Decimal(18, 4)), Nullable(String), Bool)),
				map('lifecycle', stage), [], map('lifecycle', stage), began, if(c %% 2 = 0, 'app', 'site'), 'EUR', 't', c %% 12, number, 1
			FROM (SELECT number, intDiv(number, 8) AS c, number %% 8 AS m, %s(cityHash64(c, intDiv(m, 3), 's') %% 63072000) AS began,
				['lapsing', 'active', 'loyal', 'inactive'][cityHash64(c, intDiv(m, 3)) %% 4 + 1] AS stage,
				['product_view', 'product_view', 'cart_add', 'email_click', 'trial_started', 'activity'][cityHash64(c, m) %% 6 + 1] AS event FROM numbers(%d))`, at, 8*n),
		// 12 lanes, 60 keys and a year of days, whatever the number of customers.
		fmt.Sprintf(`INSERT INTO base.aggregates_log (definition, lane, measure, grain, period, event, model, stage, platform, count, sum, _topic, _partition, _offset, _generation)
			SELECT 'shop', number %% 12, measure, grain, toStartOfDay(%s(intDiv(number, 72) * 86400)), if(measure = 'session', '', event), if(stage = '', '', 'lifecycle'), stage, if(measure = 'event', '', 'app'), 10, 100, 't', number %% 12, number, 1
			FROM (SELECT number, ['', 'never', 'lapsing', 'active', 'loyal', 'inactive'][intDiv(number, 12) %% 6 + 1] AS stage, arrayJoin(['day', 'week', 'month']) AS grain,
				arrayJoin(['event', 'session', 'session_event']) AS measure, arrayJoin(['purchase', 'product_view', 'cart_add']) AS event FROM numbers(26280))`, at),
	}
}
