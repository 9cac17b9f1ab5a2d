// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/sinktest"
)

// large is a database with a year of many customers, made by the engine itself: stage
// changes, activity and orders of each customer, and totals of every day, week and month,
// and of the hours of the last 35 days, by lane and 60 keys for events and as many
// for changes.
func large(tb testing.TB, customers, lanes int) (*sinktest.Database, *embedded.ClickHouse) {
	tb.Helper()
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(tb)
	d := sinktest.NewDatabase(tb, server.Options(), "large")
	h := sinktest.New(1, time.UTC, sinktest.Size{})
	if err := d.Insert(ctx, h.Records(1)[:1]); err != nil { // the definition
		tb.Fatal(err)
	}
	for _, statement := range strings.Split(largeRows, ";\n") {
		if err := d.Conn.Exec(ctx, strings.NewReplacer("{customers}", strconv.Itoa(customers), "{lanes}", strconv.Itoa(lanes)).Replace(statement)); err != nil {
			tb.Fatalf("%v:\n%s", err, statement)
		}
	}
	return d, server
}

// cpuTime is what the engine's process has used so far: on a machine that others use
// too it says more than the clock.
func cpuTime(tb testing.TB, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0 // not on Linux
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

const largeRows = `INSERT INTO large.stage_changes_log (id, customer_id, definition, definition_version, model, sequence, from, to, effective_at, detected_at, since, backfill, cause_type, _topic, _partition, _offset, _generation)
SELECT lower(hex(MD5(concat(toString(number), m, toString(k))))), concat('customer-', toString(number)), 'test-definition', 1, m, k,
    if(k = 1, NULL, stages[1 + (h + k - 1) % 5]), stages[1 + (h + k) % 5],
    toDateTime64('1997-01-01 00:00:00', 3, 'UTC') + toIntervalSecond((h % 120 + k * (60 - h % 7)) * 86400 % 31536000 + h % 86400) AS at, at, NULL, 0,
    ['event', 'deadline', 'event', 'late_event'][1 + (h + k) % 4], 'lapwing.stage-changes', h % 12, number * 8 + k, 1
FROM (SELECT number, m, stages, cityHash64(number, m) AS h FROM numbers({customers})
    ARRAY JOIN ['value', 'engagement'] AS m, [['prospect', 'lost', 'at_risk', 'active', 'new'], ['never', 'gone', 'deleted', 'idle', 'loyal']] AS stages) AS c
ARRAY JOIN range(1, 2 + toUInt64(h % 4)) AS k;
INSERT INTO large.activity_log (customer_id, event_time, message_id, type, event, occurrences, stages, segments, currency, products, _topic, _partition, _offset, _generation)
SELECT concat('customer-', toString(number)), toDateTime64('1997-01-01 00:00:00', 3, 'UTC') + toIntervalSecond((h % 300 + k * 20) * 86400 % 31536000 + h % 86400) AS at,
    NULL, 'track', 'Order Completed', [('purchase', at, toDecimal64(10, 4), toString(k), false)], map('value', 'active'), [], 'EUR', NULL, 'lapwing.activity', h % 12, number * 8 + k, 1
FROM (SELECT number, cityHash64(number) AS h FROM numbers({customers}))
ARRAY JOIN range(1, 2 + toUInt64(h % 3)) AS k;
INSERT INTO large.order_items_log (customer_id, event, order_key, item, ordered_at, quantity, price, currency, order_value, _topic, _partition, _offset, _generation)
SELECT customer_id, 'purchase', toString(_offset), 1, event_time, 1, 10, 'EUR', 10, _topic, _partition, _offset, 1 FROM large.activity_log;
INSERT INTO large.refunds_log (customer_id, event, order_key, ordered_at, refunded_at, value, _occurrence, _topic, _partition, _offset, _generation)
SELECT customer_id, event, order_key, ordered_at, ordered_at, -1, 0, _topic, _partition, _offset, 1 FROM large.order_items_log WHERE _offset % 50 = 0;
INSERT INTO large.aggregates_log (definition, lane, measure, grain, period, event, model, stage, from, to, cause, count, sum, _topic, _partition, _offset, _generation)
SELECT 'test-definition', lane, measure, grain, period, event, model, stage, from, to, cause, 1 + number % 7, 10, 'lapwing.aggregates', lane, rowNumberInAllBlocks(), 1
FROM
(
    SELECT grain, arrayJoin(periods) AS period FROM
    (
        SELECT 'day' AS grain, arrayMap(d -> toDateTime64('1997-01-01 00:00:00', 3, 'UTC') + toIntervalDay(d), range(365)) AS periods
        UNION ALL SELECT 'week', arrayMap(d -> toDateTime64('1996-12-30 00:00:00', 3, 'UTC') + toIntervalDay(7 * d), range(53))
        UNION ALL SELECT 'month', arrayMap(d -> toDateTime64('1997-01-01 00:00:00', 3, 'UTC') + toIntervalMonth(d), range(12))
        UNION ALL SELECT 'hour', arrayMap(d -> toDateTime64('1997-11-27 00:00:00', 3, 'UTC') + toIntervalHour(d), range(24 * 35))
    )
) AS p
CROSS JOIN
(
    SELECT number, 'event' AS measure, ['purchase', 'visit', 'view', 'search', 'share'][1 + number % 5] AS event, '' AS from, '' AS to, '' AS cause,
        intDiv(number, 5) AS n, multiIf(n < 5, 'value', n < 10, 'engagement', '') AS model,
        multiIf(n < 5, ['prospect', 'lost', 'at_risk', 'active', 'new'][1 + n], n < 10, ['never', 'gone', 'deleted', 'idle', 'loyal'][n - 4], n = 11, 'none', '') AS stage
    FROM numbers(55)
    UNION ALL
    SELECT number, 'transition', '', stages[1 + number % 5], stages[1 + (number + 1) % 5], ['event', 'deadline', 'late_event', 'identity', 'definition', 'event'][1 + intDiv(number, 10)] AS cause,
        0, if(intDiv(number, 5) % 2 = 0, 'value', 'engagement') AS model, ''
    FROM (SELECT number, if(intDiv(number, 5) % 2 = 0, ['prospect', 'lost', 'at_risk', 'active', 'new'], ['never', 'gone', 'deleted', 'idle', 'loyal']) AS stages FROM numbers(60))
) AS k
CROSS JOIN (SELECT toUInt32(number) AS lane FROM numbers({lanes})) AS l;
OPTIMIZE TABLE large.aggregates_log FINAL;
INSERT INTO large.aggregates_log (definition, lane, measure, grain, period, event, model, stage, from, to, cause, count, sum, _topic, _partition, _offset, _generation)
SELECT definition, lane, measure, grain, period, event, model, stage, from, to, cause, count + 1, sum, _topic, _partition, _offset + 10000000, 1 FROM large.aggregates_log WHERE period >= '1997-12-29'`
