// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"lapwing/sink/sinktest"
)

// base is a shop in SQL: what the stream would have written, at the speed of the engine.
// Its campaigns are four, of two goals each; a fifth of those assigned converts to one of
// them, and 1.3 of 1 have an exposure.
func base(n int) []string {
	const at = "toDateTime64('2024-01-01 00:00:00', 3, 'UTC') + toIntervalSecond"
	const models = `[{"name":"lifecycle","stages":["never","inactive","loyal","active","lapsing"],"order":["never","inactive","lapsing","active","loyal"],"churned":["inactive"],"at_risk":["lapsing"]}]`
	const place = ", _topic, _partition, _offset, _generation)"
	one := sinktest.NewCampaigns(0, time.UTC, 0).Campaigns[0]
	one.End, one.Holdout = "", 0.1
	one.Variants[0].Share, one.Variants[1].Share = 0.45, 0.45
	var campaigns []sinktest.Campaign
	for _, name := range []string{"winback", "welcome", "upsell", "spring"} {
		c := one
		c.Name, c.Goals = name, one.Goals[:2]
		campaigns = append(campaigns, c)
	}
	file, err := json.Marshal(campaigns)
	if err != nil {
		panic(err) // of constants
	}
	return []string{
		`INSERT INTO base.definitions_log (name, version, hash, timezone, currency, activated_at, models, segments, campaigns, global_holdout, source` + place + `
			VALUES ('shop', 1, '00', 'Europe/Berlin', 'EUR', '2024-01-01 00:00:00', '` + models + `', '[]', '` + strings.ReplaceAll(string(file), "'", `\'`) + `', 0, '', 't', 0, 0, 1)`,
		`INSERT INTO base.settings_log (lane, since, activity, aggregates, session_gap_ms, close_after_ms` + place + ` VALUES (0, 0, 'all', true, 1800000, 1, 't', 0, 0, 1)`,
		fmt.Sprintf(`INSERT INTO base.order_items_log (customer_id, event, order_key, item, ordered_at, product_id, quantity, price, currency, order_value`+place+`
			SELECT concat('customer-', toString(c)), 'purchase', toString(number), item, %s(cityHash64(c, o) %% 63072000), concat('p', toString(toUInt32(pow(cityHash64(c, o, item) %% 1000 / 1000, 2) * 500))),
				1, 10, 'EUR', if(item = 1, 10 + cityHash64(c, o) %% 2000000 / 10000, 0), 't', c %% 12, number, 1
			FROM (SELECT number, intDiv(number, 2) AS c, number %% 2 AS o, arrayJoin([1, 2]) AS item FROM numbers(%d))`, at, 2*n),
		fmt.Sprintf(`INSERT INTO base.stage_changes_log (id, customer_id, definition, definition_version, model, sequence, from, to, effective_at, detected_at, backfill, cause_type`+place+`
			SELECT leftPad(toString(number), 32, '0'), concat('customer-', toString(c)), 'shop', 1, 'lifecycle', s + 1, if(s = 0, NULL, stages[s]), stages[s + 1],
				%s(cityHash64(c) %% 31536000 + s * (1 + cityHash64(c, 3) %% 60) * 86400) AS e, e, 0, if(s < 3, 'event', 'deadline'), 't', c %% 12, number, 1
			FROM (SELECT number, intDiv(number, 4) AS c, number %% 4 AS s, ['lapsing', 'active', 'lapsing', 'inactive'] AS stages FROM numbers(%d))`, at, 4*n),
		fmt.Sprintf(`INSERT INTO base.activity_log (customer_id, event_time, message_id, type, event, occurrences, stages, segments, session_stages, session_start, platform, currency`+place+`
			SELECT concat('customer-', toString(c)), began + toIntervalSecond(m %% 3 * 200) AS t, NULL, 'track', event,
				[(event, t, NULL, NULL, false)]::Array(Tuple(String, DateTime64(3, 'UTC'), Nullable(Decimal(18, 4)), Nullable(String), Bool)),
				map('lifecycle', stage), [], map('lifecycle', stage), began, if(c %% 2 = 0, 'app', 'site'), 'EUR', 't', c %% 12, number, 1
			FROM (SELECT number, intDiv(number, 8) AS c, number %% 8 AS m, %s(cityHash64(c, intDiv(m, 3), 's') %% 63072000) AS began,
				['lapsing', 'active', 'loyal', 'inactive'][cityHash64(c, intDiv(m, 3)) %% 4 + 1] AS stage,
				['product_view', 'product_view', 'cart_add', 'email_click', 'trial_started', 'activity'][cityHash64(c, m) %% 6 + 1] AS event FROM numbers(%d))`, at, 8*n),
		// 12 lanes, 60 keys and a year of days, whatever the number of customers.
		fmt.Sprintf(`INSERT INTO base.aggregates_log (definition, lane, measure, grain, period, event, model, stage, platform, count, sum`+place+`
			SELECT 'shop', number %% 12, measure, grain, toStartOfDay(%s(intDiv(number, 72) * 86400)), if(measure = 'session', '', event), if(stage = '', '', 'lifecycle'), stage, if(measure = 'event', '', 'app'), 10, 100, 't', number %% 12, number, 1
			FROM (SELECT number, ['', 'never', 'lapsing', 'active', 'loyal', 'inactive'][intDiv(number, 12) %% 6 + 1] AS stage, arrayJoin(['day', 'week', 'month']) AS grain,
				arrayJoin(['event', 'session', 'session_event']) AS measure, arrayJoin(['purchase', 'product_view', 'cart_add']) AS event FROM numbers(26280))`, at),
		fmt.Sprintf(`INSERT INTO base.assignments_log (id, customer_id, definition, definition_version, campaign, variant, holdout, round, sequence, effective_at, detected_at, backfill, stages, segments, cause_type`+place+`
			SELECT lower(hex(MD5(toString(number)))), concat('customer-', toString(number)), 'shop', 1, ['winback', 'welcome', 'upsell', 'spring'][1 + number %% 4],
				if(h = 0, NULL, if(h %% 2 = 0, 'short', 'long')), h = 0, 1, 1, toDateTime64('2025-01-01 00:00:00', 3, 'UTC') + cityHash64(number, 1) %% (86400 * 60), now(), 0,
				map('lifecycle', ['lapsing', 'never', 'loyal', 'active'][1 + cityHash64(number, 2) %% 4], 'engagement', ['idle', 'never', 'loyal'][1 + cityHash64(number, 3) %% 3]),
				arrayFilter((s, i) -> bitTest(cityHash64(number, 4), i), ['advocates', 'big_spenders', 'country=DE', 'country=FR', 'push_ready'], [0, 1, 2, 3, 4]),
				'event', 't', number %% 12, number, 1
			FROM (SELECT number, if(cityHash64(number, 5) %% 10 = 0, 0, 1 + cityHash64(number, 6) %% 2) AS h FROM numbers(%d))`, n),
		`INSERT INTO base.conversions_log (id, customer_id, definition, definition_version, campaign, goal, variant, holdout, round, assigned_at, value, currency, sequence, effective_at, detected_at, backfill, stages, segments, cause_type` + place + `
			SELECT id, customer_id, definition, 1, campaign, g, variant, holdout, round, effective_at, if(g = 'bought', toDecimal64(cityHash64(_offset) % 100000 / 100, 4), NULL), 'EUR', 1,
				effective_at + 86400, now(), 0, stages, segments, 'event', 't', _partition, _offset * 2 + (g = 'bought'), 1
			FROM base.assignments_log ARRAY JOIN ['bought', 'moved_up'] AS g WHERE cityHash64(_offset, g) % 100 < if(holdout, 8, 10)`,
		`INSERT INTO base.exposures_log (customer_id, exposed_at, campaign, channel, step, machine, message_id, event, _occurrence` + place + `
			SELECT customer_id, effective_at + 3600 * k, campaign, 'email', ['delivered', 'opened', 'clicked'][k], 0, NULL, 'e', 0, 't', _partition, _offset * 3 + k, 1
			FROM base.assignments_log ARRAY JOIN [1, 2, 3] AS k WHERE NOT holdout AND (k = 1 OR k = 2 AND _offset % 3 = 0 OR k = 3 AND _offset % 10 = 0)`,
	}
}
