-- SPDX-License-Identifier: Apache-2.0
--
-- KPIs of what customers responded to: carts, messages, targeting and invitations; and
-- proposals for thresholds. Parameters leave open which events are meant.

CREATE OR REPLACE VIEW {{db}}.kpi_carts
AS SELECT
    grain,
    period,
    outcome,
    channel,
    n AS carts,
    sum(n) OVER (PARTITION BY grain, period) AS abandoned,
    carts / abandoned AS share
FROM
(
    SELECT
        grain,
        multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
        outcome,
        channel,
        count() AS n
    FROM
    (
        SELECT
            toDate32(fromUnixTimestamp64Milli(rested_ms, 'UTC'), assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
            multiIf(
                ordered_ms > 0, 'recovered',
                last_add_ms + {forgotten_days:UInt32} * 86400000 > toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock))), 'open',
                'lost') AS outcome,
            arraySort(arrayFilter(c -> tupleElement(c, 1) >= rested_ms AND tupleElement(c, 1) <= ordered_ms, clicks)) AS answered,
            multiIf(outcome != 'recovered', '', empty(answered), 'none', tupleElement(answered[-1], 3)) AS channel
        FROM
        (
            SELECT
                k.customer_id AS customer_id,
                k.cart AS cart,
                minIf(k.at_ms + {rest_minutes:UInt32} * 60000, k.rests) AS rested_ms,
                maxIf(k.at_ms, k.kind = 0) AS last_add_ms,
                minIf(k.at_ms, k.kind = 1 AND k.previous = 0 AND k.at_ms < k.previous_ms + {forgotten_days:UInt32} * 86400000) AS ordered_ms,
                any(c.clicks) AS clicks
            FROM
            (
                SELECT
                    *,
                    kind = 0 AND if(followed = 1, next_ms, toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock)))) >= at_ms + {rest_minutes:UInt32} * 60000 AS rests,
                    sum(begins) OVER (PARTITION BY customer_id ORDER BY at_ms ASC, place ASC, kind ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS cart
                FROM
                (
                    SELECT
                        customer_id,
                        at_ms,
                        kind,
                        place,
                        lagInFrame(at_ms, 1, 0) OVER around AS previous_ms,
                        lagInFrame(kind, 1, 1) OVER around AS previous,
                        leadInFrame(toUInt8(1), 1, 0) OVER around AS followed,
                        leadInFrame(at_ms) OVER around AS next_ms,
                        kind = 0 AND (previous = 1 OR at_ms >= previous_ms + {forgotten_days:UInt32} * 86400000) AS begins
                    FROM
                    (
                        SELECT customer_id, toUnixTimestamp64Milli(at) AS at_ms, toUInt8(event = {order:String}) AS kind, _offset AS place
                        FROM {{db}}.event_occurrences
                        WHERE event IN ({add:String}, {order:String})
                    )
                    WINDOW around AS (PARTITION BY customer_id ORDER BY at_ms ASC, place ASC, kind ASC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
                )
            ) AS k
            LEFT JOIN
            (
                SELECT customer_id, groupArray((toUnixTimestamp64Milli(at), _offset, extractKeyValuePairs({clicks:String}, '=', ',')[event])) AS clicks
                FROM {{db}}.event_occurrences
                WHERE has(mapKeys(extractKeyValuePairs({clicks:String}, '=', ',')), event)
                GROUP BY customer_id
            ) AS c ON c.customer_id = k.customer_id
            WHERE k.cart > 0
            GROUP BY customer_id, cart
            HAVING rested_ms > 0
        )
    ) AS o
    CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
    GROUP BY grain, period, outcome, channel
)
SETTINGS join_use_nulls = 0
COMMENT 'Parameters add and order, two events, clicks (event=channel, separated by commas), rest_minutes and forgotten_days. A cart begins with the first add after an order, or forgotten_days or longer after the add before. It is abandoned at the first add that nothing follows for rest_minutes. Per grain, period of that instant, outcome and channel: carts, abandoned (all of the period), share = carts / abandoned. Outcome: recovered (an order followed less than forgotten_days after the last add; channel is that of the last click in between, or none), open (can still be recovered) or lost.';

CREATE OR REPLACE VIEW {{db}}.kpi_messages
AS SELECT
    model,
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    nullIf(held, '') AS stage,
    campaign,
    channel,
    count() AS delivered,
    countIf(opened) AS opened_by_people,
    countIf(scanned AND NOT opened) AS opened_by_machines,
    countIf(clicked) AS clicked_by_people,
    countIf(opened AND ordered) AS ordered_after_open,
    opened_by_people / delivered AS open_rate,
    clicked_by_people / delivered AS click_rate,
    if(opened_by_people = 0, NULL, ordered_after_open / opened_by_people) AS order_rate
FROM
(
    SELECT
        m.campaign AS campaign,
        m.channel AS channel,
        m.stages AS stages,
        toDate32(m.delivered_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        m.opens > 0 AS opened,
        m.scans > 0 AS scanned,
        m.clicks > 0 AS clicked,
        arrayExists(t -> t > m.opened_at AND toUnixTimestamp64Milli(t) - toUnixTimestamp64Milli(m.opened_at) <= {days:UInt32} * 86400000, o.orders) AS ordered
    FROM
    (
        SELECT
            customer_id,
            toString(tupleElement(e, 'campaign')) AS campaign,
            toString(tupleElement(e, 'channel')) AS channel,
            minIf(event_time, tupleElement(e, 'step') = 'delivered') AS delivered_at,
            argMinIf(CAST(stages, 'Map(String, String)'), (event_time, _offset), tupleElement(e, 'step') = 'delivered') AS stages,
            countIf(tupleElement(e, 'step') = 'opened' AND NOT tupleElement(e, 'machine')) AS opens,
            countIf(tupleElement(e, 'step') = 'opened' AND tupleElement(e, 'machine')) AS scans,
            countIf(tupleElement(e, 'step') = 'clicked' AND NOT tupleElement(e, 'machine')) AS clicks,
            minIf(event_time, tupleElement(e, 'step') = 'opened' AND NOT tupleElement(e, 'machine')) AS opened_at
        FROM {{db}}.activity
        ARRAY JOIN exposures AS e
        GROUP BY customer_id, campaign, channel
        HAVING countIf(tupleElement(e, 'step') = 'delivered') > 0
    ) AS m
    LEFT JOIN
    (
        SELECT customer_id, groupArray(at) AS orders
        FROM {{db}}.event_occurrences
        WHERE event = {order:String}
        GROUP BY customer_id
    ) AS o ON o.customer_id = m.customer_id
) AS d
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
ARRAY JOIN
    assumeNotNull((SELECT groupUniqArray(model) FROM {{db}}.model_stages)) AS model,
    arrayMap(m -> stages[m], assumeNotNull((SELECT groupUniqArray(model) FROM {{db}}.model_stages))) AS held
GROUP BY model, grain, period, held, campaign, channel
SETTINGS join_use_nulls = 0
COMMENT 'Parameters order, an event, and days. Per model, grain, period of the customer''s first delivery, stage just before it, campaign and channel, in customers: delivered, opened_by_people, opened_by_machines (and by no person), clicked_by_people, ordered_after_open (with the order after the first open by a person and at most days of 24 hours later); open_rate and click_rate = / delivered, order_rate = ordered_after_open / opened_by_people.';

CREATE OR REPLACE VIEW {{db}}.kpi_targeted_events
AS SELECT
    campaign,
    nullIf(arm, '') AS variant,
    held_out AS holdout,
    tupleElement(held, 1) AS by,
    tupleElement(held, 2) AS model,
    tupleElement(held, 3) AS target,
    countIf(over) AS assigned,
    countIf(NOT over) AS open,
    countIf(over AND notEmpty(inside)) AS customers,
    sumIf(length(inside), over) AS occurrences,
    sumIf(countEqual(inside, 'app'), over) AS on_app,
    sumIf(countEqual(inside, 'site'), over) AS on_site,
    if(assigned = 0, NULL, occurrences / assigned) AS per_customer
FROM
(
    SELECT
        a.campaign AS campaign,
        a.arm AS arm,
        a.held_out AS held_out,
        a.held AS held,
        a.at_ms + {days:UInt32} * 86400000 <= toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock))) AS over,
        arrayMap(e -> tupleElement(e, 2), arrayFilter(e -> tupleElement(e, 1) > a.at_ms AND tupleElement(e, 1) <= a.at_ms + {days:UInt32} * 86400000, o.events)) AS inside
    FROM
    (
        SELECT
            customer_id,
            toString(campaign) AS campaign,
            ifNull(toString(variant), '') AS arm,
            holdout AS held_out,
            toUnixTimestamp64Milli(effective_at) AS at_ms,
            arrayConcat(
                [('everyone', '', '')],
                arrayMap((m, s) -> ('stage', toString(m), s), mapKeys(stages), mapValues(stages)),
                arrayMap(s -> ('segment', '', toString(s)), segments)) AS held
        FROM {{db}}.assignments
        WHERE definition = (SELECT name FROM {{db}}.live_definition)
    ) AS a
    LEFT JOIN
    (
        SELECT customer_id, groupArray((toUnixTimestamp64Milli(at), platform)) AS events
        FROM {{db}}.event_occurrences
        WHERE event = {event:String}
        GROUP BY customer_id
    ) AS o ON o.customer_id = a.customer_id
)
ARRAY JOIN held
GROUP BY campaign, arm, held_out, held
SETTINGS join_use_nulls = 0
COMMENT 'Parameters event and days. Per campaign, variant (null in the holdout), and targeted segment (by: everyone, stage or segment held at the assignment; model and target say which; they overlap and do not add up): assigned (assignments whose days of 24 hours have passed at the clock), open (the others); of the assigned: customers with the event in that window, its occurrences, on app and on site, per_customer = occurrences / assigned.';

CREATE OR REPLACE VIEW {{db}}.kpi_invitations
AS SELECT
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    countIf(kind = {sent:String}) AS invitations,
    uniqExactIf(customer_id, kind = {sent:String}) AS inviters,
    countIf(kind = {accepted:String}) AS accepted_invitations,
    uniqExactIf(customer_id, kind = {accepted:String}) AS advocates,
    uniqExactIf(customer_id, kind = {joined:String}) AS joiners,
    uniqExactIf(customer_id, kind = {joined:String} AND over) AS closed,
    uniqExactIf(customer_id, kind = {joined:String} AND over AND ordered) AS bought,
    if(closed = 0, NULL, bought / closed) AS bought_rate
FROM
(
    SELECT
        customer_id,
        tupleElement(happening, 1) AS kind,
        tupleElement(happening, 2) AS happened,
        toDate32(happened, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        toUnixTimestamp64Milli(happened) + {days:UInt32} * 86400000 <= toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock))) AS over,
        arrayExists(t -> t > happened AND toUnixTimestamp64Milli(t) - toUnixTimestamp64Milli(happened) <= {days:UInt32} * 86400000, orders) AS ordered
    FROM
    (
        SELECT
            customer_id,
            groupArrayIf((event, at), event IN ({sent:String}, {accepted:String}, {joined:String})) AS happenings,
            groupArrayIf(at, event = {order:String}) AS orders
        FROM {{db}}.event_occurrences
        WHERE event IN ({sent:String}, {accepted:String}, {joined:String}, {order:String})
        GROUP BY customer_id
    )
    ARRAY JOIN happenings AS happening
) AS o
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
GROUP BY grain, period
COMMENT 'Parameters sent, accepted, joined and order, four events, and days. Per grain and period of the events: invitations sent, inviters, accepted_invitations, advocates (customers of whose invitations one was accepted), joiners (customers who joined by an invitation), closed (those whose days of 24 hours have passed at the clock), bought (of the closed, with an order after joining and at most days later), bought_rate = bought / closed.';

CREATE OR REPLACE VIEW {{db}}.kpi_thresholds
(
    event String COMMENT 'Event of the definition that has a value.',
    customers UInt64 COMMENT 'Customers with at least one in the 365 days of 24 hours up to the clock.',
    high_value Float64 COMMENT '80th percentile (linear interpolation) of what each of them spent in that time, refunds of orders taken off: what the best fifth spends at least. In the currency of the live definition.',
    high_single_value Float64 COMMENT '80th percentile of the value of a single one.',
    frequent Float64 COMMENT '80th percentile of how many each of the customers had.'
)
AS SELECT
    event,
    toUInt64(length(sums)) AS customers,
    (5 * sums[intDiv((length(sums) - 1) * 4, 5) + 1] + ((length(sums) - 1) * 4 % 5) * (sums[intDiv((length(sums) - 1) * 4, 5) + 2] - sums[intDiv((length(sums) - 1) * 4, 5) + 1])) / 50000 AS high_value,
    (5 * singles[intDiv((length(singles) - 1) * 4, 5) + 1] + ((length(singles) - 1) * 4 % 5) * (singles[intDiv((length(singles) - 1) * 4, 5) + 2] - singles[intDiv((length(singles) - 1) * 4, 5) + 1])) / 50000 AS high_single_value,
    (5 * counts[intDiv((length(counts) - 1) * 4, 5) + 1] + ((length(counts) - 1) * 4 % 5) * (counts[intDiv((length(counts) - 1) * 4, 5) + 2] - counts[intDiv((length(counts) - 1) * 4, 5) + 1])) / 5 AS frequent
FROM
(
    SELECT
        event,
        arraySort(groupArray(spent)) AS sums,
        arraySort(arrayFlatten(groupArray(each))) AS singles,
        arraySort(groupArray(toInt64(length(each)))) AS counts
    FROM
    (
        SELECT event, customer_id, toInt64(sum(units)) AS spent, groupArray(units) AS each
        FROM
        (
            SELECT event, customer_id, ordered_at AS at, toInt64(assumeNotNull(value) * 10000) AS units FROM {{db}}.orders WHERE value IS NOT NULL
            UNION ALL
            SELECT event, customer_id, at, toInt64(assumeNotNull(value) * 10000) AS units FROM {{db}}.event_occurrences WHERE value IS NOT NULL AND key IS NULL
        )
        WHERE toUnixTimestamp64Milli(at) > toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock))) - 365 * 86400000
        GROUP BY event, customer_id
    )
    GROUP BY event
)
COMMENT 'What "high value" could mean: the 80th percentile of the last 365 days, per event with a value.';
