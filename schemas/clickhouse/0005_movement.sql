-- SPDX-License-Identifier: Apache-2.0
--
-- KPIs of how customers move through stages and segments: data for flow diagrams,
-- retention by stage, and who is in which segment. Periods, clock and sides are those of 0003.

CREATE OR REPLACE VIEW {{db}}.kpi_stage_moves
(
    model String COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period.',
    from_stage Nullable(String) COMMENT 'Stage at the start of the period; null for customers who began in it.',
    to_stage Nullable(String) COMMENT 'Stage at its end, in the running period at the clock; null for customers who ended in it.',
    customers UInt64 COMMENT 'Customers with these two, those who stayed included: each link of a flow diagram.'
)
AS SELECT
    model,
    grain,
    period,
    nullIf(at_start, '') AS from_stage,
    nullIf(at_end, '') AS to_stage,
    toUInt64(sum(n)) AS customers
FROM
(
    SELECT toString(model) AS model, toString(grain) AS grain, period, toString(stage) AS at_start, toString(stage) AS at_end, toInt64(customers) - toInt64(entered) + toInt64(left) AS n
    FROM {{db}}.kpi_stage_population
    UNION ALL
    SELECT model, grain, period, tupleElement(part, 1) AS at_start, tupleElement(part, 2) AS at_end, sum(tupleElement(part, 3)) AS n
    FROM
    (
        SELECT
            toString(model) AS model,
            toString(grain) AS grain,
            period,
            argMin(from_stage, (effective_at, sequence)) AS was,
            argMax(to_stage, (effective_at, sequence)) AS becomes
        FROM {{db}}.period_changes
        GROUP BY model, grain, period, customer_id
    )
    ARRAY JOIN [(was, becomes, toInt64(1)), (was, was, toInt64(-1))] AS part
    WHERE NOT (tupleElement(part, 1) = '' AND tupleElement(part, 2) = '')
    GROUP BY model, grain, period, at_start, at_end
)
GROUP BY model, grain, period, at_start, at_end
HAVING sum(n) != 0
COMMENT 'From stage at the start of each period to stage at its end: the links of a flow diagram, with those who stayed.';

CREATE OR REPLACE VIEW {{db}}.kpi_stage_retention
(
    model LowCardinality(String) COMMENT 'Stage model.',
    grain String COMMENT 'week (from Monday) or month, in the time zone of the live definition.',
    cohort Date32 COMMENT 'First local date of the period in which the customers first entered a stage that is neither churned nor the first of the order.',
    n UInt32 COMMENT 'How many periods later; 0 is the cohort''s own.',
    customers UInt64 COMMENT 'Denominator: customers of the cohort.',
    retained Int64 COMMENT 'Numerator: of them, in a stage neither churned nor first at the end of the n-th period after it; in the running period, at the clock.',
    retention_rate Float64 COMMENT 'retained / customers, 0 to 1.',
    closed Bool COMMENT 'Whether the clock has passed the end of the n-th period.'
)
AS SELECT
    model,
    grain,
    if(grain = 'week', toDate32('1969-12-29') + 7 * index, makeDate32(intDiv(index, 12), index % 12 + 1, 1)) AS cohort,
    toUInt32(n) AS n,
    size AS customers,
    standing AS retained,
    retained / customers AS retention_rate,
    CAST(n < last AS Bool) AS closed
FROM
(
    SELECT
        model,
        grain,
        index,
        sum(toUInt64(begins)) AS size,
        sumMap(map(later, delta)) AS deltas,
        if(grain = 'week', intDiv(dateDiff('day', toDate32('1969-12-29'), any(today)), 7), toInt64(toYear(any(today)) * 12 + toMonth(any(today)) - 1)) - index AS last
    FROM
    (
        SELECT
            model,
            grain,
            tupleElement(move, 1) - index AS later,
            tupleElement(move, 2) AS delta,
            arrayMin(arrayMap(m -> tupleElement(m, 1), moves)) AS index,
            number = 1 AS begins,
            toDate32(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock)), assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS today
        FROM
        (
            SELECT
                model,
                grain,
                groupArray((if(grain = 'week', intDiv(dateDiff('day', toDate32('1969-12-29'), date), 7), toInt64(toYear(date) * 12 + toMonth(date) - 1)), toInt64(kept_to) - toInt64(kept_from))) AS moves
            FROM
            (
                SELECT
                    toString(model) AS model,
                    customer_id,
                    toDate32(effective_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
                    (toString(model), ifNull(toString(`from`), '')) IN (SELECT model, stage FROM {{db}}.model_stages WHERE NOT churned AND NOT first) AS kept_from,
                    (toString(model), ifNull(toString(`to`), '')) IN (SELECT model, stage FROM {{db}}.model_stages WHERE NOT churned AND NOT first) AS kept_to
                FROM {{db}}.stage_changes
                WHERE definition = (SELECT name FROM {{db}}.live_definition)
            ) AS c
            CROSS JOIN (SELECT arrayJoin(['week', 'month']) AS grain) AS g
            WHERE kept_from != kept_to
            GROUP BY model, grain, customer_id
        )
        ARRAY JOIN
            moves AS move,
            arrayEnumerate(moves) AS number
    )
    GROUP BY model, grain, index
)
ARRAY JOIN
    range(toUInt64(last + 1)) AS n,
    arrayCumSum(arrayMap(i -> deltas[toInt64(i)], range(toUInt64(last + 1)))) AS standing
COMMENT 'Retention by cohort and stage: customers still, or again, in a stage neither churned nor first / customers who first entered one in the cohort''s period.';

CREATE OR REPLACE VIEW {{db}}.kpi_segment_population
(
    segment LowCardinality(String) COMMENT 'Segment; country=FR for one of many values.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period.',
    customers UInt64 COMMENT 'Customers in the segment at the end of the period; in the running period, at the clock. Segments overlap: they do not add up.',
    entered UInt64 COMMENT 'Times that a customer entered it in the period, of any cause.',
    left UInt64 COMMENT 'Times that a customer left it in the period, of any cause.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period.'
)
AS SELECT
    segment,
    grain,
    period,
    toUInt64(sum(toInt64(ins) - toInt64(outs)) OVER (PARTITION BY segment, grain ORDER BY period ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS customers,
    ins AS entered,
    outs AS left,
    closed
FROM
(
    SELECT g.segment AS segment, g.grain AS grain, g.period AS period, g.closed AS closed, d.ins AS ins, d.outs AS outs
    FROM
    (
        SELECT s.segment AS segment, p.grain AS grain, p.period AS period, p.closed AS closed
        FROM
        (
            SELECT DISTINCT toString(segment) AS segment
            FROM {{db}}.segment_changes_log
            WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND definition = (SELECT name FROM {{db}}.live_definition)
        ) AS s
        CROSS JOIN {{db}}.kpi_periods AS p
    ) AS g
    LEFT JOIN
    (
        SELECT
            segment,
            grain,
            multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
            sum(went_in) AS ins,
            sum(went_out) AS outs
        FROM
        (
            SELECT
                toString(segment) AS segment,
                toDate32(effective_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
                countIf(entered) AS went_in,
                countIf(NOT entered) AS went_out
            FROM {{db}}.segment_changes
            WHERE definition = (SELECT name FROM {{db}}.live_definition)
            GROUP BY segment, date
        ) AS c
        CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
        GROUP BY segment, grain, period
    ) AS d ON d.segment = g.segment AND d.grain = g.grain AND d.period = g.period
)
SETTINGS join_use_nulls = 0
COMMENT 'Customers per segment over time.';
