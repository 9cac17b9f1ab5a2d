// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

// BenchmarkCampaigns runs each KPI of campaigns over 1 million assignments to four
// campaigns, 200,000 conversions and 1.3 million exposures.
//
//	go test ./sink/kpi -run '^$' -bench Campaigns -benchtime 5x
func BenchmarkCampaigns(b *testing.B) {
	d := sinktest.NewDatabase(b, embeddedtest.ClickHouseForTest(b).Options(), "bench")
	ctx := context.Background()
	base := sinktest.NewCampaigns(0, time.UTC, 0).Campaigns[0]
	base.End, base.Holdout = "", 0.1
	base.Variants[0].Share, base.Variants[1].Share = 0.45, 0.45
	var campaigns []sinktest.Campaign
	for _, name := range []string{"winback", "welcome", "upsell", "spring"} {
		c := base
		c.Name, c.Goals = name, base.Goals[:2]
		campaigns = append(campaigns, c)
	}
	file, err := json.Marshal(campaigns)
	if err != nil {
		b.Fatal(err)
	}
	place := ", _topic, _partition, _offset, _generation)"
	for _, query := range []string{
		"INSERT INTO definitions_log (name, version, hash, timezone, currency, activated_at, models, segments, campaigns, global_holdout, source" + place +
			fmt.Sprintf(" VALUES ('shop', 1, '', 'UTC', 'EUR', '2026-01-01', '[]', '[]', '%s', 0, '', 't', 0, 0, 1)", strings.ReplaceAll(string(file), "'", `\'`)),
		"INSERT INTO assignments_log (id, customer_id, definition, definition_version, campaign, variant, holdout, round, sequence, effective_at, detected_at, backfill, stages, segments, cause_type" + place + `
			SELECT lower(hex(MD5(toString(number)))), concat('u', toString(number)), 'shop', 1, ['winback', 'welcome', 'upsell', 'spring'][1 + number % 4],
				if(h = 0, NULL, if(h % 2 = 0, 'short', 'long')), h = 0, 1, 1, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + cityHash64(number, 1) % (86400 * 60), now(), 0,
				map('value', ['at_risk', 'lost', 'new', 'active'][1 + cityHash64(number, 2) % 4], 'engagement', ['idle', 'never', 'loyal'][1 + cityHash64(number, 3) % 3]),
				arrayFilter((s, i) -> bitTest(cityHash64(number, 4), i), ['advocates', 'big_spenders', 'country=DE', 'country=FR', 'push_ready'], [0, 1, 2, 3, 4]),
				'event', 't', 0, number, 1
			FROM (SELECT number, if(cityHash64(number, 5) % 10 = 0, 0, 1 + cityHash64(number, 6) % 2) AS h FROM numbers(1000000))`,
		"INSERT INTO conversions_log (id, customer_id, definition, definition_version, campaign, goal, variant, holdout, round, assigned_at, value, currency, sequence, effective_at, detected_at, backfill, stages, segments, cause_type" + place + `
			SELECT id, customer_id, definition, 1, campaign, g, variant, holdout, round, effective_at, if(g = 'bought', toDecimal64(cityHash64(_offset) % 100000 / 100, 4), NULL), 'EUR', 1,
				effective_at + 86400, now(), 0, stages, segments, 'event', 't', 0, _offset * 2 + (g = 'bought'), 1
			FROM assignments_log ARRAY JOIN ['bought', 'moved_up'] AS g WHERE cityHash64(_offset, g) % 100 < if(holdout, 8, 10)`,
		"INSERT INTO exposures_log (customer_id, exposed_at, campaign, channel, step, machine, message_id, event, _occurrence" + place + `
			SELECT customer_id, effective_at + 3600 * k, campaign, 'email', ['delivered', 'opened', 'clicked'][k], 0, NULL, 'e', 0, 't', 0, _offset * 3 + k, 1
			FROM assignments_log ARRAY JOIN [1, 2, 3] AS k WHERE NOT holdout AND (k = 1 OR k = 2 AND _offset % 3 = 0 OR k = 3 AND _offset % 10 = 0)`,
		"INSERT INTO order_items_log (customer_id, event, order_key, item, ordered_at, currency, order_value" + place + `
			SELECT customer_id, 'purchase', toString(_offset), 1, effective_at, 'EUR', assumeNotNull(value), 't', 0, _offset, 1 FROM conversions_log WHERE value IS NOT NULL`,
		"INSERT INTO stage_changes_log (id, customer_id, definition, definition_version, model, sequence, `to`, effective_at, detected_at, backfill, cause_type" + place + `
			SELECT id, customer_id, definition, 1, 'value', 1, stages['value'], effective_at, now(), 0, 'event', 't', 0, _offset, 1 FROM assignments_log`,
	} {
		query = strings.NewReplacer("INSERT INTO ", "INSERT INTO "+d.Name+".", "FROM assignments_log", "FROM "+d.Name+".assignments_log", "FROM conversions_log", "FROM "+d.Name+".conversions_log").Replace(query)
		if err := d.Conn.Exec(ctx, query); err != nil {
			b.Fatal(err)
		}
	}
	for _, k := range kpi.Catalogue() {
		if k.Group != "campaigns" {
			continue
		}
		b.Run(k.Name, func(b *testing.B) {
			for b.Loop() {
				if r, err := kpi.Run(ctx, d.Conn, k, kpi.Options{Database: d.Name}); err != nil || len(r.Rows) == 0 && k.Name != "campaign-rise" {
					b.Fatalf("no rows, or %v", err)
				}
			}
		})
	}
}
