-- SPDX-License-Identifier: Apache-2.0
--
-- KPIs of what customers did: sessions, events by the stage before their session, what
-- follows what, carts, messages and invitations. Those that need single messages read
-- event_occurrences, which refuses to answer when activity is off. Periods and clock are
-- those of 0003. Views with parameters leave open which event is meant.

CREATE OR REPLACE VIEW {{db}}.activity_refusal
(
    refused String COMMENT 'Nothing: the view has no rows.'
)
AS SELECT arrayJoin(if(throwIf(activity = 'off', 'activity is off (setting stream.activity): nothing is known of single messages, so this KPI cannot be told') = 0, emptyArrayString(), [activity])) AS refused
FROM {{db}}.activity_mode
COMMENT 'No rows, and an error if activity is off: what reads single messages reads this, too, so that it does not answer zero.';

CREATE OR REPLACE VIEW {{db}}.event_occurrences
(
    customer_id String COMMENT 'The customer.',
    event String COMMENT 'Event of the definition.',
    at DateTime64(3, 'UTC') COMMENT 'When it occurred.',
    value Nullable(Decimal(18, 4)) COMMENT 'Its value, before refunds; null if it has none.',
    key Nullable(String) COMMENT 'Its deduplication key; null if the event has none.',
    platform String COMMENT 'app or site; empty if the message does not tell.',
    stages Map(String, String) COMMENT 'Stage per model just before the message.',
    session_start DateTime64(3, 'UTC') COMMENT 'When the session of the message began.',
    session_stages Map(String, String) COMMENT 'Stage per model just before that session.',
    _offset UInt64 COMMENT 'Place of the message among those of the customer: the order of arrival.'
)
AS SELECT
    customer_id,
    toString(tupleElement(o, 'event')) AS event,
    tupleElement(o, 'at') AS at,
    tupleElement(o, 'value') AS value,
    tupleElement(o, 'key') AS key,
    toString(platform) AS platform,
    CAST(stages, 'Map(String, String)') AS stages,
    session_start,
    CAST(session_stages, 'Map(String, String)') AS session_stages,
    _offset
FROM {{db}}.activity
ARRAY JOIN occurrences AS o
WHERE NOT tupleElement(o, 'refund')
UNION ALL
SELECT
    refused AS customer_id,
    refused AS event,
    toDateTime64(length(refused), 3, 'UTC') AS at,
    toDecimal64OrNull(refused, 4) AS value,
    nullIf(refused, '') AS key,
    refused AS platform,
    CAST(map(refused, refused), 'Map(String, String)') AS stages,
    toDateTime64(length(refused), 3, 'UTC') AS session_start,
    CAST(map(refused, refused), 'Map(String, String)') AS session_stages,
    length(refused) AS _offset
FROM {{db}}.activity_refusal
COMMENT 'Occurrences of the definition''s events, one row each, refunds left out. An error if activity is off.';

CREATE OR REPLACE VIEW {{db}}.session_totals
(
    measure String COMMENT 'session: sessions begun; session_event: occurrences of an event.',
    model String COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period.',
    event String COMMENT 'Event of the definition; empty for sessions.',
    stage String COMMENT 'Stage just before the session; empty if the session was the customer''s first.',
    platform String COMMENT 'app or site; empty if unknown.',
    n Int64 COMMENT 'How many.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    measure,
    tupleElement(part, 1) AS model,
    grain,
    period,
    event,
    tupleElement(part, 2) AS stage,
    platform,
    sum(total * tupleElement(part, 3)) AS n
FROM
(
    SELECT
        CAST(of_measure, 'String') AS measure,
        CAST(substringIndex(_group, '\0', 1), 'String') AS of_model,
        CAST(of_grain, 'String') AS grain,
        toDate32(starts_at + toIntervalHour(12), tupleElement(known, 'timezone')) AS period,
        CAST(substringIndex(substringIndex(_group, '\0', 2), '\0', -1), 'String') AS event,
        CAST(substringIndex(substringIndex(_group, '\0', 3), '\0', -1), 'String') AS of_stage,
        CAST(substringIndex(_group, '\0', -1), 'String') AS platform,
        total
    FROM
    (
        SELECT measure AS of_measure, grain AS of_grain, period AS starts_at, _group, sum(count) AS total
        FROM {{db}}.aggregates_log FINAL
        WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
            AND measure IN ('session', 'session_event') AND grain IN ('day', 'week', 'month') AND segment = ''
        GROUP BY of_measure, of_grain, starts_at, _group
    )
)
ARRAY JOIN if(of_model = '',
    arrayMap(m -> (m, '', toInt8(1)), tupleElement(known, 'models')),
    [(of_model, of_stage, toInt8(1)), (of_model, '', toInt8(-1))]) AS part
WHERE has(tupleElement(known, 'models'), model)
GROUP BY measure, model, grain, period, event, stage, platform
HAVING n != 0
SETTINGS optimize_move_to_prewhere_if_final = 1
COMMENT 'Sessions begun and events in them, by the stage just before the session: what the totals hold beyond the stages is of first sessions.';

CREATE OR REPLACE VIEW {{db}}.kpi_sessions
(
    model String COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period in which the sessions began.',
    stage Nullable(String) COMMENT 'Stage the customer was in just before the session; null if the session was the customer''s first.',
    platform String COMMENT 'app or site, by the first message; empty if it does not tell.',
    sessions Int64 COMMENT 'Sessions begun.',
    share Float64 COMMENT 'sessions / sessions of all stages and platforms of the model in the period, 0 to 1.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    model,
    grain,
    period,
    nullIf(stage, '') AS stage,
    platform,
    n AS sessions,
    n / sum(n) OVER (PARTITION BY model, grain, period) AS share,
    CAST(multiIf(grain = 'day', period + 1, grain = 'week', period + 7, addMonths(period, 1)) <= toDate32(assumeNotNull(tupleElement(known, 'clock')), tupleElement(known, 'timezone')) AS Bool) AS closed
FROM {{db}}.session_totals
WHERE measure = 'session'
COMMENT 'Sessions begun by customers of each stage, app and site apart.';

CREATE OR REPLACE VIEW {{db}}.kpi_session_events
(
    model String COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period of the events.',
    event String COMMENT 'Event of the definition.',
    stage Nullable(String) COMMENT 'Stage the customer was in just before the session; null if the session was the customer''s first.',
    platform String COMMENT 'app or site; empty if the message does not tell.',
    occurrences Int64 COMMENT 'Occurrences of the event in such sessions.',
    sessions Int64 COMMENT 'Sessions that such customers began in the period, on any platform.',
    per_session Nullable(Float64) COMMENT 'occurrences / sessions; null if none began in the period.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    e.model AS model,
    e.grain AS grain,
    e.period AS period,
    e.event AS event,
    nullIf(e.stage, '') AS stage,
    e.platform AS platform,
    e.n AS occurrences,
    s.begun AS sessions,
    if(s.begun = 0, NULL, e.n / s.begun) AS per_session,
    CAST(multiIf(e.grain = 'day', e.period + 1, e.grain = 'week', e.period + 7, addMonths(e.period, 1)) <= toDate32(assumeNotNull(tupleElement(known, 'clock')), tupleElement(known, 'timezone')) AS Bool) AS closed
FROM (SELECT * FROM {{db}}.session_totals WHERE measure = 'session_event') AS e
LEFT JOIN
(
    SELECT model, grain, period, stage, sum(n) AS begun
    FROM {{db}}.session_totals
    WHERE measure = 'session'
    GROUP BY model, grain, period, stage
) AS s ON s.model = e.model AND s.grain = e.grain AND s.period = e.period AND s.stage = e.stage
SETTINGS join_use_nulls = 0
COMMENT 'Events by the stage just before their session, app and site apart.';

CREATE OR REPLACE VIEW {{db}}.kpi_events_per_order
AS SELECT
    model,
    grain,
    period,
    stage,
    sumIf(e.occurrences, e.event = {event:String}) AS occurrences,
    sumIf(e.occurrences, e.event = {order:String}) AS orders,
    if(orders = 0, NULL, occurrences / orders) AS per_order,
    any(e.closed) AS closed
FROM {{db}}.kpi_session_events AS e
WHERE e.event IN ({event:String}, {order:String})
GROUP BY model, grain, period, stage
COMMENT 'Parameters event and order, two events. Per model, grain, period and stage just before the session: occurrences of the event, orders, and per_order = occurrences / orders (null without orders).';

CREATE OR REPLACE VIEW {{db}}.kpi_engagement
(
    model String COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period in which the sessions began.',
    stage Nullable(String) COMMENT 'Stage the customer was in just before the session; null if it was the customer''s first.',
    sessions UInt64 COMMENT 'Sessions begun in the period.',
    customers UInt64 COMMENT 'Distinct customers who began them.',
    minutes_per_session Float64 COMMENT 'Time on site: mean time from the first to the last message of a session, in minutes; 0 for a session of one message.',
    pages_per_session Float64 COMMENT 'Mean number of pages and screens seen in a session.',
    messages_per_session Float64 COMMENT 'Mean number of messages in a session.'
)
AS SELECT
    model,
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    nullIf(held, '') AS stage,
    count() AS sessions,
    uniqExact(customer_id) AS customers,
    sum(length_ms) / sessions / 60000 AS minutes_per_session,
    sum(pages) / sessions AS pages_per_session,
    sum(messages) / sessions AS messages_per_session
FROM
(
    SELECT
        customer_id,
        pages,
        messages,
        stages,
        toDate32(started_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        toUnixTimestamp64Milli(ended_at) - toUnixTimestamp64Milli(started_at) AS length_ms
    FROM {{db}}.sessions
    WHERE customer_id NOT IN (SELECT refused FROM {{db}}.activity_refusal)
) AS s
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
ARRAY JOIN
    assumeNotNull((SELECT groupUniqArray(model) FROM {{db}}.model_stages)) AS model,
    arrayMap(m -> toString(stages[m]), assumeNotNull((SELECT groupUniqArray(model) FROM {{db}}.model_stages))) AS held
GROUP BY model, grain, period, held
COMMENT 'Engagement in sessions by the stage just before them: time on site, pages seen. Needs activity: all.';

CREATE OR REPLACE VIEW {{db}}.kpi_visits_without_order
AS SELECT
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    on AS platform,
    count() AS visits,
    countIf(ordered = 0) AS without_order,
    without_order / visits AS without_order_rate
FROM
(
    SELECT
        customer_id,
        session_start,
        toDate32(min(at), assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        argMinIf(platform, (at, _offset), platform != '') AS on,
        countIf(event = {view:String}) AS viewed,
        countIf(event = {order:String}) AS ordered
    FROM {{db}}.event_occurrences
    WHERE event IN ({view:String}, {order:String})
    GROUP BY customer_id, session_start
    HAVING viewed > 0
) AS s
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
GROUP BY grain, period, platform
COMMENT 'Parameters view and order, two events. Per grain, period of the earliest of them, and platform: visits (sessions with at least one view), without_order (of them, without an order), and without_order_rate.';

CREATE OR REPLACE VIEW {{db}}.kpi_stage_visits
AS SELECT
    s.model AS model,
    s.grain AS grain,
    s.period AS period,
    s.stage AS stage,
    s.standing AS at_start,
    v.n AS visited,
    v.n / s.standing AS visited_rate,
    s.closed AS closed
FROM
(
    SELECT toString(model) AS model, grain, period, stage, closed, toUInt64(toInt64(customers) - toInt64(entered) + toInt64(left)) AS standing
    FROM {{db}}.kpi_stage_population
    WHERE toInt64(customers) - toInt64(entered) + toInt64(left) > 0
) AS s
LEFT JOIN
(
    SELECT model, grain, period, stage, count() AS n
    FROM
    (
        SELECT
            v.grain AS grain,
            v.period AS period,
            v.customer_id AS customer_id,
            c.model AS model,
            argMax(c.stage, (c.effective_at, c.sequence)) AS stage
        FROM
        (
            SELECT DISTINCT o.customer_id AS customer_id, p.grain AS grain, p.period AS period, p.starts_at AS starts_at
            FROM
            (
                SELECT
                    customer_id,
                    grain,
                    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period
                FROM
                (
                    SELECT DISTINCT customer_id, toDate32(at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date
                    FROM {{db}}.event_occurrences
                    WHERE event = {event:String}
                ) AS d
                CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
            ) AS o
            INNER JOIN {{db}}.kpi_periods AS p ON p.grain = o.grain AND p.period = o.period
        ) AS v
        INNER JOIN
        (
            SELECT customer_id, toString(model) AS model, effective_at, sequence, ifNull(toString(`to`), '') AS stage
            FROM {{db}}.stage_changes
            WHERE definition = (SELECT name FROM {{db}}.live_definition)
        ) AS c ON c.customer_id = v.customer_id
        WHERE c.effective_at < v.starts_at
        GROUP BY grain, period, customer_id, model
    )
    GROUP BY model, grain, period, stage
) AS v ON v.model = s.model AND v.grain = s.grain AND v.period = s.period AND v.stage = s.stage
SETTINGS join_use_nulls = 0
COMMENT 'Parameter event. Per model, grain, period and stage: at_start (customers in the stage at the start of the period), visited (of them, with at least one occurrence of the event in it), visited_rate = visited / at_start, closed.';

CREATE OR REPLACE VIEW {{db}}.kpi_event_customers
AS SELECT
    model,
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    nullIf(held, '') AS stage,
    uniqExactIf(customer_id, event = {event:String}) AS customers,
    countIf(event = {event:String}) AS occurrences,
    uniqExact(customer_id) AS seen,
    customers / seen AS customer_rate
FROM
(
    SELECT customer_id, event, session_stages AS stages, toDate32(at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date
    FROM {{db}}.event_occurrences
) AS o
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
ARRAY JOIN
    assumeNotNull((SELECT groupUniqArray(model) FROM {{db}}.model_stages)) AS model,
    arrayMap(m -> stages[m], assumeNotNull((SELECT groupUniqArray(model) FROM {{db}}.model_stages))) AS held
GROUP BY model, grain, period, held
COMMENT 'Parameter event. Per model, grain, period and stage just before the session: customers (distinct, with the event), its occurrences, seen (distinct customers with any event of the definition), customer_rate = customers / seen.';

CREATE OR REPLACE VIEW {{db}}.kpi_followed
AS SELECT
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    count() AS occurrences,
    countIf(over) AS closed,
    countIf(over AND gap_ms > 0) AS followed,
    if(closed = 0, NULL, followed / closed) AS followed_rate,
    quantileExactInclusiveOrNullIf(0.5)(gap_ms, over AND gap_ms > 0) / 86400000 AS median_days
FROM
(
    SELECT
        toDate32(begun, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        toUnixTimestamp64Milli(begun) + {days:UInt32} * 86400000 <= toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock))) AS over,
        arrayMin(arrayMap(t -> toUnixTimestamp64Milli(t) - toUnixTimestamp64Milli(begun), arrayFilter(t -> t > begun AND toUnixTimestamp64Milli(t) - toUnixTimestamp64Milli(begun) <= {days:UInt32} * 86400000, later))) AS gap_ms
    FROM
    (
        SELECT
            groupArrayIf(at, event = {first:String}) AS starts,
            groupArrayIf(at, event = {then:String}) AS later
        FROM {{db}}.event_occurrences
        WHERE event IN ({first:String}, {then:String})
        GROUP BY customer_id
    )
    ARRAY JOIN starts AS begun
) AS o
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
GROUP BY grain, period
COMMENT 'Parameters first and then, two events, and days. Per grain and period of the first event: its occurrences, closed (those whose days of 24 hours have passed at the clock), followed (of the closed, with the other event after it and at most days later), followed_rate = followed / closed, median_days from one to the other.';

CREATE OR REPLACE VIEW {{db}}.kpi_time_to_order
AS SELECT
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    count() AS orders,
    countIf(gap_ms >= 0) AS after_event,
    quantileExactInclusiveOrNullIf(0.5)(gap_ms, gap_ms >= 0) / 86400000 AS median_days,
    if(after_event = 0, NULL, sumIf(gap_ms, gap_ms >= 0) / after_event / 86400000) AS mean_days
FROM
(
    SELECT
        toDate32(ordered, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        arrayMax(arrayPushFront(arrayMap(t -> toUnixTimestamp64Milli(ordered) - toUnixTimestamp64Milli(t), arrayFilter(t -> t <= ordered AND (number = 1 OR t > orders[number - 1]), events)), toInt64(-1))) AS gap_ms
    FROM
    (
        SELECT
            groupArrayIf(at, event = {event:String}) AS events,
            arraySort(groupArrayIf(at, event = {order:String})) AS orders
        FROM {{db}}.event_occurrences
        WHERE event IN ({event:String}, {order:String})
        GROUP BY customer_id
    )
    ARRAY JOIN
        orders AS ordered,
        arrayEnumerate(orders) AS number
) AS o
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
GROUP BY grain, period
COMMENT 'Parameters event and order, two events. Per grain and period of the order: orders, after_event (those with the event since the customer''s order before, or ever), and the median and mean days of 24 hours from the first such event to the order.';

CREATE OR REPLACE VIEW {{db}}.kpi_onboarding
AS SELECT
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    count() AS customers,
    countIf(over) AS closed,
    countIf(over AND used > 0) AS used_any,
    countIf(over AND used = length(splitByChar(',', {events:String}))) AS used_all,
    if(closed = 0, NULL, used_any / closed) AS used_any_rate,
    if(closed = 0, NULL, used_all / closed) AS used_all_rate,
    if(closed = 0, NULL, sumIf(used, over) / (closed * length(splitByChar(',', {events:String})))) AS mean_share
FROM
(
    SELECT
        toDate32(began, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        toUnixTimestamp64Milli(began) + {days:UInt32} * 86400000 <= toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock))) AS over,
        length(arrayDistinct(arrayMap(u -> tupleElement(u, 1), arrayFilter(u -> tupleElement(u, 2) > began AND toUnixTimestamp64Milli(tupleElement(u, 2)) - toUnixTimestamp64Milli(began) <= {days:UInt32} * 86400000, uses)))) AS used
    FROM
    (
        SELECT
            minIf(at, event = {start:String}) AS began,
            groupArrayIf((event, at), has(splitByChar(',', {events:String}), event)) AS uses
        FROM {{db}}.event_occurrences
        WHERE event = {start:String} OR has(splitByChar(',', {events:String}), event)
        GROUP BY customer_id
        HAVING countIf(event = {start:String}) > 0
    )
) AS o
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
GROUP BY grain, period
COMMENT 'Parameters start, an event, events, others separated by commas, and days. Per grain and period of the customer''s first start: customers, closed (those whose days of 24 hours have passed at the clock); of the closed: used_any and used_all of the events within days after the start, their rates, and mean_share of the events used.';
