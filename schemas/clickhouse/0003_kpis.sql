-- SPDX-License-Identifier: Apache-2.0
--
-- KPI views. A period is a local day, Monday week or month of the time zone of the
-- live definition; a change or order belongs to the period of its local date, so no
-- view compares instants with the edges of periods. What is true at the start of a
-- period is what was true before its first change; at its end, after its last: so
-- population at the end = population at the start + entered - left.
--
-- Population and flow are sums of the totals that the stream keeps: they read a few rows
-- per period, however many customers there are. Of a total, the period is the date half a
-- day after its start: so it stays what it was when a later version of the definition has
-- another time zone, in which the start may lie on the date before.
--
-- "Now" is kpi_clock, the greatest instant in the data, never the wall clock: the
-- views are as right about the past as about today.

CREATE OR REPLACE VIEW {{db}}.live_definition
(
    name String COMMENT 'Name of the definition activated last; empty before the first.',
    version UInt32 COMMENT 'Its version.',
    timezone String COMMENT 'Its time zone, in which all periods are; UTC before the first definition.',
    currency Nullable(String) COMMENT 'Its currency; null if it names none.',
    models String COMMENT 'Its stage models, as JSON.',
    campaigns String COMMENT 'Its campaigns, as JSON.',
    global_holdout Float64 COMMENT 'Share of the customers that is kept out of every campaign, 0 to 1.'
)
AS SELECT
    tupleElement(latest, 1) AS name,
    tupleElement(latest, 2) AS version,
    if(empty(tupleElement(latest, 3)), 'UTC', tupleElement(latest, 3)) AS timezone,
    nullIf(tupleElement(latest, 4), '') AS currency,
    tupleElement(latest, 5) AS models,
    tupleElement(latest, 6) AS campaigns,
    tupleElement(latest, 7) AS global_holdout
FROM
(
    SELECT argMax((toString(d.name), d.version, toString(d.timezone), ifNull(toString(d.currency), ''), d.models, d.campaigns, d.global_holdout), (d.activated_at, d.version)) AS latest
    FROM {{db}}.definitions_log AS d FINAL
    WHERE d._generation = (SELECT generation FROM {{db}}.current_generation)
)
COMMENT 'The definition that is live: one row. KPI views are about it alone.';

CREATE OR REPLACE VIEW {{db}}.model_stages
(
    model String COMMENT 'Stage model of the live definition.',
    stage String COMMENT 'Stage of the model.',
    position UInt32 COMMENT 'Place of the stage in the model''s order, worst to best, from 1.',
    first Bool COMMENT 'Whether it is the first, worst, of the order.',
    churned Bool COMMENT 'Whether the model lists it under churned.',
    at_risk Bool COMMENT 'Whether the model lists it under at_risk.'
)
AS SELECT
    tupleElement(m, 1) AS model,
    stage,
    position,
    position = 1 AS first,
    has(tupleElement(m, 4), stage) AS churned,
    has(tupleElement(m, 5), stage) AS at_risk
FROM
(
    SELECT
        arrayJoin(JSONExtract(models, 'Array(Tuple(name String, stages Array(String), `order` Array(String), churned Array(String), at_risk Array(String)))')) AS m,
        if(empty(tupleElement(m, 3)), tupleElement(m, 2), tupleElement(m, 3)) AS ordered
    FROM {{db}}.live_definition
)
ARRAY JOIN
    ordered AS stage,
    arrayEnumerate(ordered) AS position
COMMENT 'Stages of the live definition''s models, with their order and what they mean.';

CREATE OR REPLACE VIEW {{db}}.campaigns
(
    campaign String COMMENT 'Campaign of the live definition.',
    position UInt32 COMMENT 'Place of the campaign in the file, from 1.',
    audience Nullable(String) COMMENT 'Condition under which a customer is assigned; null if another system assigns.',
    salt String COMMENT 'What the hash that chooses the arm is salted with.',
    holdout_share Float64 COMMENT 'Share of the assigned that is held out, 0 to 1; 0 if another system assigns.',
    variants Array(String) COMMENT 'Names of the variants, in the order of the file.',
    goals Array(String) COMMENT 'Names of the goals, in the order of the file.',
    every_ms Int64 COMMENT 'Least time between two assignments of a customer, in milliseconds; 0: assigned once.',
    starts_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the campaign starts; null: at activation.',
    ends_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it ends; null: never.',
    exclude Array(String) COMMENT 'Campaigns whose customers are left out.',
    consent Nullable(String) COMMENT 'Channel for which consent is needed; null if none.',
    max_rounds Int64 COMMENT 'Most assignments of one customer; 0: no bound.',
    journey Nullable(String) COMMENT 'Journey the campaign is a step of; null if none.',
    step Nullable(String) COMMENT 'Step of the journey; null if none.',
    cost_per Nullable(String) COMMENT 'Step of an exposure that costs cost_amount each, for example delivered; null if none does.',
    cost_amount Nullable(Decimal(18, 4)) COMMENT 'Cost of one such exposure, in cost_currency.',
    cost_fixed Nullable(Decimal(18, 4)) COMMENT 'Cost of the campaign whatever happens, in cost_currency.',
    cost_currency Nullable(String) COMMENT 'Currency of the cost; null without a cost.',
    margin Nullable(Decimal(18, 4)) COMMENT 'Share of revenue that is kept, 0 to 1; null if the file names none.'
)
AS SELECT
    tupleElement(c, 'name') AS campaign,
    position,
    nullIf(tupleElement(c, 'audience'), '') AS audience,
    tupleElement(c, 'salt') AS salt,
    tupleElement(c, 'holdout') AS holdout_share,
    arrayMap(v -> tupleElement(v, 1), tupleElement(c, 'variants')) AS variants,
    arrayMap(g -> tupleElement(g, 1), tupleElement(c, 'goals')) AS goals,
    tupleElement(c, 'every_ms') AS every_ms,
    parseDateTime64BestEffortOrNull(tupleElement(c, 'start'), 3, 'UTC') AS starts_at,
    parseDateTime64BestEffortOrNull(tupleElement(c, 'end'), 3, 'UTC') AS ends_at,
    tupleElement(c, 'exclude') AS exclude,
    nullIf(tupleElement(c, 'consent'), '') AS consent,
    tupleElement(c, 'max') AS max_rounds,
    nullIf(tupleElement(c, 'journey'), '') AS journey,
    nullIf(tupleElement(c, 'step'), '') AS step,
    nullIf(tupleElement(tupleElement(c, 'cost'), 'per'), '') AS cost_per,
    toDecimal64OrNull(tupleElement(tupleElement(c, 'cost'), 'amount'), 4) AS cost_amount,
    toDecimal64OrNull(tupleElement(tupleElement(c, 'cost'), 'fixed'), 4) AS cost_fixed,
    nullIf(tupleElement(tupleElement(c, 'cost'), 'currency'), '') AS cost_currency,
    toDecimal64OrNull(tupleElement(c, 'margin'), 4) AS margin
FROM
(
    SELECT JSONExtract(campaigns, 'Array(Tuple(name String, audience String, salt String, holdout Float64, variants Array(Tuple(name String)), goals Array(Tuple(name String)), every_ms Int64, start String, end String, exclude Array(String), consent String, max Int64, journey String, step String, cost Tuple(per String, amount String, fixed String, currency String), margin String))') AS all
    FROM {{db}}.live_definition
)
ARRAY JOIN
    all AS c,
    arrayEnumerate(all) AS position
COMMENT 'Campaigns of the live definition, one row each.';

CREATE OR REPLACE VIEW {{db}}.campaign_variants
(
    campaign String COMMENT 'Campaign of the live definition.',
    variant Nullable(String) COMMENT 'Variant; null in the row of the holdout.',
    holdout Bool COMMENT 'Whether this arm is the holdout.',
    position UInt32 COMMENT 'Place of the variant in the file, from 1; 0: the holdout.',
    share Float64 COMMENT 'Share of the assigned that the arm gets, 0 to 1; 0 if another system assigns.',
    properties Map(String, String) COMMENT 'Properties of the variant: the factors of a multivariate test.',
    cost_per Nullable(String) COMMENT 'Step of an exposure that costs cost_amount each; null if the campaign''s cost counts.',
    cost_amount Nullable(Decimal(18, 4)) COMMENT 'Cost of one such exposure of the variant, in cost_currency.',
    cost_fixed Nullable(Decimal(18, 4)) COMMENT 'Cost of the variant whatever happens, beside the campaign''s, in cost_currency.',
    cost_currency Nullable(String) COMMENT 'Currency of the variant''s own cost; null without one.'
)
AS SELECT
    campaign,
    nullIf(tupleElement(arm, 1), '') AS variant,
    CAST(position = 0 AS Bool) AS holdout,
    position,
    tupleElement(arm, 2) AS share,
    mapFromArrays(arrayMap(p -> tupleElement(p, 1), tupleElement(arm, 3)), arrayMap(p -> tupleElement(p, 2), tupleElement(arm, 3))) AS properties,
    nullIf(tupleElement(tupleElement(arm, 4), 'per'), '') AS cost_per,
    toDecimal64OrNull(tupleElement(tupleElement(arm, 4), 'amount'), 4) AS cost_amount,
    toDecimal64OrNull(tupleElement(tupleElement(arm, 4), 'fixed'), 4) AS cost_fixed,
    nullIf(tupleElement(tupleElement(arm, 4), 'currency'), '') AS cost_currency
FROM
(
    SELECT
        tupleElement(c, 'name') AS campaign,
        arrayPushFront(tupleElement(c, 'variants'), ('', tupleElement(c, 'holdout'), CAST([], 'Array(Tuple(name String, value String))'), CAST(('', '', '', ''), 'Tuple(per String, amount String, fixed String, currency String)'))) AS arms
    FROM
    (
        SELECT arrayJoin(JSONExtract(campaigns, 'Array(Tuple(name String, holdout Float64, variants Array(Tuple(name String, share Float64, properties Array(Tuple(name String, value String)), cost Tuple(per String, amount String, fixed String, currency String)))))')) AS c
        FROM {{db}}.live_definition
    )
)
ARRAY JOIN
    arms AS arm,
    range(length(arms)) AS position
WHERE position > 0 OR tupleElement(arm, 2) > 0
COMMENT 'Arms of the live definition''s campaigns: the holdout, if there is one, then the variants.';

CREATE OR REPLACE VIEW {{db}}.campaign_goals
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    position UInt32 COMMENT 'Place of the goal in the file, from 1.',
    event Nullable(String) COMMENT 'Event of the definition that converts; null if a condition does.',
    condition Nullable(String) COMMENT 'Condition that converts when it becomes true; null if an event does.',
    within_ms Int64 COMMENT 'Length of the window after the assignment, in milliseconds.',
    value String COMMENT 'What a conversion is worth: none, first (of the first event) or total (of all in the window).',
    baseline Bool COMMENT 'Whether the value is the rise against a window of the same length before the assignment.'
)
AS SELECT
    campaign,
    tupleElement(g, 'name') AS goal,
    position,
    nullIf(tupleElement(g, 'event'), '') AS event,
    nullIf(tupleElement(g, 'when'), '') AS condition,
    tupleElement(g, 'within_ms') AS within_ms,
    if(empty(tupleElement(g, 'value')), 'none', tupleElement(g, 'value')) AS value,
    tupleElement(g, 'baseline') AS baseline
FROM
(
    SELECT
        tupleElement(c, 'name') AS campaign,
        tupleElement(c, 'goals') AS goals
    FROM
    (
        SELECT arrayJoin(JSONExtract(campaigns, 'Array(Tuple(name String, goals Array(Tuple(name String, event String, when String, within_ms Int64, value String, baseline Bool))))')) AS c
        FROM {{db}}.live_definition
    )
)
ARRAY JOIN
    goals AS g,
    arrayEnumerate(goals) AS position
COMMENT 'Goals of the live definition''s campaigns, one row each.';

CREATE OR REPLACE VIEW {{db}}.kpi_clock
(
    clock Nullable(DateTime64(3, 'UTC')) COMMENT 'The greatest instant in the data: what is "now" for all KPIs. Null without data.',
    last_event Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of the latest message.',
    last_stage_change Nullable(DateTime64(3, 'UTC')) COMMENT 'effective_at of the latest stage change.',
    last_segment_change Nullable(DateTime64(3, 'UTC')) COMMENT 'effective_at of the latest segment change.',
    first_instant Nullable(DateTime64(3, 'UTC')) COMMENT 'The least instant in the data: periods begin with it.'
)
AS SELECT
    maxOrNullIf(latest, n > 0) AS clock,
    maxOrNullIf(latest, n > 0 AND source = 'activity') AS last_event,
    maxOrNullIf(latest, n > 0 AND source = 'stage') AS last_stage_change,
    maxOrNullIf(latest, n > 0 AND source = 'segment') AS last_segment_change,
    minOrNullIf(earliest, n > 0) AS first_instant
FROM
(
    -- Of this form, the projection range answers without reading the rows.
    SELECT 'activity' AS source, count() AS n, min(event_time) AS earliest, max(event_time) AS latest
    FROM {{db}}.activity_log
    WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
    UNION ALL
    SELECT 'stage' AS source, count() AS n, min(effective_at) AS earliest, max(effective_at) AS latest
    FROM {{db}}.stage_changes_log
    WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
    UNION ALL
    SELECT 'segment' AS source, count() AS n, min(effective_at) AS earliest, max(effective_at) AS latest
    FROM {{db}}.segment_changes_log
    WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
)
COMMENT 'The clock of the KPIs: one row.';

CREATE OR REPLACE VIEW {{db}}.live
(
    generation UInt16 COMMENT 'Generation that the views show.',
    definition String COMMENT 'Name of the live definition; empty before the first.',
    timezone String COMMENT 'Its time zone; UTC before the first definition.',
    currency Nullable(String) COMMENT 'Its currency; null if it names none.',
    first_instant Nullable(DateTime64(3, 'UTC')) COMMENT 'The least instant in the data; null without data.',
    clock Nullable(DateTime64(3, 'UTC')) COMMENT 'The clock of the KPIs; null without data.',
    models Array(String) COMMENT 'Its stage models.',
    places Map(String, UInt32) COMMENT 'Place of each stage in its model''s order, worst to best, from 1: model and stage, NUL between them.',
    known Tuple(generation UInt16, definition String, timezone String, currency Nullable(String), first_instant Nullable(DateTime64(3, 'UTC')), clock Nullable(DateTime64(3, 'UTC')), models Array(String), places Map(String, UInt32)) COMMENT 'All of that as one value, which a query reads once.'
)
AS SELECT
    tupleElement(known, 'generation') AS generation,
    tupleElement(known, 'definition') AS definition,
    tupleElement(known, 'timezone') AS timezone,
    tupleElement(known, 'currency') AS currency,
    tupleElement(known, 'first_instant') AS first_instant,
    tupleElement(known, 'clock') AS clock,
    tupleElement(known, 'models') AS models,
    tupleElement(known, 'places') AS places,
    CAST((
        assumeNotNull((SELECT generation FROM {{db}}.current_generation)),
        tupleElement(latest, 1),
        if(empty(tupleElement(latest, 2)), 'UTC', tupleElement(latest, 2)),
        nullIf(tupleElement(latest, 3), ''),
        tupleElement(span, 1),
        tupleElement(span, 2),
        arrayMap(m -> tupleElement(m, 1), file),
        mapFromArrays(
            arrayFlatten(arrayMap(m -> arrayMap(s -> concat(tupleElement(m, 1), '\0', s), if(empty(tupleElement(m, 3)), tupleElement(m, 2), tupleElement(m, 3))), file)),
            arrayFlatten(arrayMap(m -> arrayEnumerate(if(empty(tupleElement(m, 3)), tupleElement(m, 2), tupleElement(m, 3))), file)))
    ), 'Tuple(generation UInt16, definition String, timezone String, currency Nullable(String), first_instant Nullable(DateTime64(3, ''UTC'')), clock Nullable(DateTime64(3, ''UTC'')), models Array(String), places Map(String, UInt32))') AS known
FROM
(
    SELECT
        argMax((toString(name), toString(timezone), ifNull(toString(currency), ''), models), (activated_at, version)) AS latest,
        JSONExtract(tupleElement(latest, 4), 'Array(Tuple(name String, stages Array(String), `order` Array(String)))') AS file,
        (
            -- As in kpi_clock: the projection range answers without reading the rows.
            SELECT (minOrNull(earliest), maxOrNull(latest))
            FROM
            (
                SELECT count() AS n, min(event_time) AS earliest, max(event_time) AS latest
                FROM {{db}}.activity_log
                WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
                UNION ALL
                SELECT count() AS n, min(effective_at) AS earliest, max(effective_at) AS latest
                FROM {{db}}.stage_changes_log
                WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
                UNION ALL
                SELECT count() AS n, min(effective_at) AS earliest, max(effective_at) AS latest
                FROM {{db}}.segment_changes_log
                WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
            )
            WHERE n > 0
        ) AS span
    FROM {{db}}.definitions_log FINAL
    WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
)
COMMENT 'What is live, in one row: what the KPI views over totals begin with.';

CREATE OR REPLACE VIEW {{db}}.kpi_periods
(
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period.',
    next_period Date32 COMMENT 'First local date of the next period.',
    starts_at DateTime64(3, 'UTC') COMMENT 'Start of the period, as an instant.',
    ends_at DateTime64(3, 'UTC') COMMENT 'End of the period, as an instant that is no longer in it.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    grain,
    period,
    next_period,
    toDateTime64(period, 3, tupleElement(known, 'timezone')) AS starts_at,
    toDateTime64(next_period, 3, tupleElement(known, 'timezone')) AS ends_at,
    CAST(next_period <= today AS Bool) AS closed
FROM
(
    SELECT
        grain,
        today,
        multiIf(grain = 'day', first_date, grain = 'week', first_date - (toDayOfWeek(first_date) - 1), first_date - (toDayOfMonth(first_date) - 1)) AS first_period,
        arrayJoin(range(toUInt64(multiIf(grain = 'day', dateDiff('day', first_period, today), grain = 'week', intDiv(dateDiff('day', first_period, today), 7), dateDiff('month', first_period, today)) + 1))) AS n,
        multiIf(grain = 'day', first_period + n, grain = 'week', first_period + 7 * n, addMonths(first_period, n)) AS period,
        multiIf(grain = 'day', period + 1, grain = 'week', period + 7, addMonths(period, 1)) AS next_period
    FROM
    (
        SELECT
            toDate32(assumeNotNull(tupleElement(known, 'first_instant')), tupleElement(known, 'timezone')) AS first_date,
            toDate32(assumeNotNull(tupleElement(known, 'clock')), tupleElement(known, 'timezone')) AS today
        WHERE tupleElement(known, 'clock') IS NOT NULL
    )
    ARRAY JOIN ['day', 'week', 'month'] AS grain
)
COMMENT 'The periods from the first instant in the data to the clock.';

CREATE OR REPLACE VIEW {{db}}.period_changes
(
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period of effective_at.',
    model LowCardinality(String) COMMENT 'Stage model.',
    customer_id String COMMENT 'The customer.',
    effective_at DateTime64(3, 'UTC') COMMENT 'When the change became true.',
    sequence UInt64 COMMENT 'Sequence of the change; with effective_at it orders the changes of a customer and model.',
    from_stage String COMMENT 'Stage left; empty the first time.',
    to_stage String COMMENT 'Stage entered; empty in the last record of a customer.',
    cause_type LowCardinality(String) COMMENT 'Why the change became true.'
)
AS SELECT
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    model,
    customer_id,
    effective_at,
    sequence,
    from_stage,
    to_stage,
    cause_type
FROM
(
    SELECT
        model,
        customer_id,
        effective_at,
        sequence,
        CAST(ifNull(`from`, ''), 'String') AS from_stage,
        CAST(ifNull(`to`, ''), 'String') AS to_stage,
        cause_type,
        toDate32(effective_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date
    FROM {{db}}.stage_changes
    WHERE definition = (SELECT name FROM {{db}}.live_definition)
) AS c
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
COMMENT 'Stage changes of the live definition, once for each grain, with the period they belong to.';

CREATE OR REPLACE VIEW {{db}}.period_steps
(
    model_number UInt8 COMMENT 'Place of the stage model among those of the live definition, by name; 0 if it is none of them.',
    grain_number UInt8 COMMENT '1 for days, 2 for weeks, 3 for months.',
    period Date32 COMMENT 'First local date of the period of the change.',
    customer FixedString(16) COMMENT 'Hash of the customer: among millions quicker to tell apart than names.',
    at UInt128 COMMENT 'When the change became true and its sequence, as one number: it orders the changes of a customer and model.',
    `from` UInt32 COMMENT 'Stage left: 0 if none; else 1, and 2 if it is the first of the order, 4 if it is churned, 8 if it is at risk, and 16 times its position in the order.',
    `to` UInt32 COMMENT 'Stage entered, in the same way.',
    cause UInt8 COMMENT 'Why: 1 event, 2 deadline, 3 late_event, 4 identity, 5 definition, 0 another.'
)
AS SELECT
    model_number,
    grain_number,
    multiIf(grain_number = 1, date, grain_number = 2, date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    customer,
    at,
    `from`,
    `to`,
    cause
FROM
(
    WITH (
        SELECT arrayPushFront(groupArray((concat(model, ' ', stage), toUInt32(1 + 2 * first + 4 * churned + 8 * at_risk + 16 * position))), ('', toUInt32(1)))
        FROM {{db}}.model_stages
    ) AS stages
    SELECT
        toUInt8(indexOf((SELECT arraySort(groupUniqArray(model)) FROM {{db}}.model_stages), toString(s.model))) AS model_number,
        sipHash128(s.customer_id) AS customer,
        bitShiftLeft(toUInt128(toUnixTimestamp64Milli(s.effective_at)), 64) + s.sequence AS at,
        if(s.`from` IS NULL, 0, transform(concat(toString(s.model), ' ', toString(assumeNotNull(s.`from`))), tupleElement(stages, 1), tupleElement(stages, 2), toUInt32(1))) AS `from`,
        if(s.`to` IS NULL, 0, transform(concat(toString(s.model), ' ', toString(assumeNotNull(s.`to`))), tupleElement(stages, 1), tupleElement(stages, 2), toUInt32(1))) AS `to`,
        toUInt8(indexOf(['event', 'deadline', 'late_event', 'identity', 'definition'], toString(s.cause_type))) AS cause,
        toDate32(s.effective_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date
    FROM {{db}}.stage_changes AS s
    WHERE s.definition = (SELECT name FROM {{db}}.live_definition)
) AS c
CROSS JOIN (SELECT toUInt8(arrayJoin([1, 2, 3])) AS grain_number) AS g
COMMENT 'period_changes in numbers, for what counts millions of customers per period.';

CREATE OR REPLACE VIEW {{db}}.period_transitions
(
    model LowCardinality(String) COMMENT 'Stage model.',
    grain LowCardinality(String) COMMENT 'hour, day, week (from Monday) or month, in the time zone of the live definition.',
    starts_at DateTime64(3, 'UTC') COMMENT 'Start of the period, as an instant.',
    from_stage LowCardinality(String) COMMENT 'Stage left; empty the first time.',
    to_stage LowCardinality(String) COMMENT 'Stage entered; empty in the last record of a customer.',
    cause LowCardinality(String) COMMENT 'Why the changes became true.',
    changes Int64 COMMENT 'How many, in all lanes.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    substringIndex(_group, '\0', 1) AS model,
    grain,
    starts_at,
    substringIndex(substringIndex(_group, '\0', 4), '\0', -1) AS from_stage,
    substringIndex(substringIndex(_group, '\0', 5), '\0', -1) AS to_stage,
    substringIndex(substringIndex(_group, '\0', 6), '\0', -1) AS cause,
    changes
FROM
(
    SELECT grain, period AS starts_at, _group, sum(count) AS changes
    FROM {{db}}.aggregates_log FINAL
    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND measure = 'transition'
    GROUP BY grain, starts_at, _group
)
SETTINGS optimize_move_to_prewhere_if_final = 1
COMMENT 'Stage changes of the live definition, counted per period and cause. A change that was found after its period had closed stands in the first period that had not.';

CREATE OR REPLACE VIEW {{db}}.kpi_flow
(
    model LowCardinality(String) COMMENT 'Stage model.',
    grain LowCardinality(String) COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period of effective_at.',
    from_stage LowCardinality(Nullable(String)) COMMENT 'Stage left; null for a customer''s first change.',
    to_stage LowCardinality(Nullable(String)) COMMENT 'Stage entered; null for a customer''s last record.',
    direction String COMMENT 'up or down in the model''s order; begin, end, or other if the live definition lacks a stage.',
    changes Int64 COMMENT 'Changes in the period with cause event or deadline.',
    by_event Int64 COMMENT 'Of the changes, those with cause event.',
    by_deadline Int64 COMMENT 'Of the changes, those with cause deadline.',
    by_late_event Int64 COMMENT 'Corrections by a late event; not in changes.',
    by_identity Int64 COMMENT 'Corrections by a merge of customers; not in changes.',
    by_definition Int64 COMMENT 'Changes by a new definition; not in changes.',
    by_end Int64 COMMENT 'Last records with cause expired or erasure; not in changes.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    substringIndex(way, '\0', 1) AS model,
    grain,
    date AS period,
    nullIf(of_from, '') AS from_stage,
    nullIf(of_to, '') AS to_stage,
    multiIf(of_from = '', 'begin', of_to = '', 'end', place_from = 0 OR place_to = 0, 'other', place_to > place_from, 'up', 'down') AS direction,
    by_event + by_deadline AS changes,
    by_event,
    by_deadline,
    by_late_event,
    by_identity,
    by_definition,
    by_end,
    CAST(multiIf(grain = 'day', period + 1, grain = 'week', period + 7, addMonths(period, 1)) <= toDate32(assumeNotNull(tupleElement(known, 'clock')), tupleElement(known, 'timezone')) AS Bool) AS closed
FROM
(
    -- The first five parts of _group are model, event, stage, from and to.
    SELECT
        grain,
        toDate32(period + toIntervalHour(12), tupleElement(known, 'timezone')) AS date,
        substringIndex(_group, '\0', 5) AS way,
        substringIndex(substringIndex(way, '\0', 4), '\0', -1) AS of_from,
        substringIndex(way, '\0', -1) AS of_to,
        tupleElement(known, 'places')[concat(substringIndex(way, '\0', 1), '\0', of_from)] AS place_from,
        tupleElement(known, 'places')[concat(substringIndex(way, '\0', 1), '\0', of_to)] AS place_to,
        sumIf(count, cause = 'event') AS by_event,
        sumIf(count, cause = 'deadline') AS by_deadline,
        sumIf(count, cause = 'late_event') AS by_late_event,
        sumIf(count, cause = 'identity') AS by_identity,
        sumIf(count, cause = 'definition') AS by_definition,
        sumIf(count, cause IN ('expired', 'erasure')) AS by_end
    FROM {{db}}.aggregates_log FINAL
    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
        AND measure = 'transition' AND grain IN ('day', 'week', 'month')
    GROUP BY grain, date, way
)
SETTINGS optimize_move_to_prewhere_if_final = 1
COMMENT 'Flow: stage changes from -> to per period. Counted are those of cause event and deadline.';

CREATE OR REPLACE VIEW {{db}}.kpi_flow_by_hour
(
    model LowCardinality(String) COMMENT 'Stage model.',
    hour DateTime64(3, 'UTC') COMMENT 'Start of the hour of effective_at. Hours are kept for some weeks (close_after_ms in settings).',
    from_stage LowCardinality(Nullable(String)) COMMENT 'Stage left; null for a customer''s first change.',
    to_stage LowCardinality(Nullable(String)) COMMENT 'Stage entered; null for a customer''s last record.',
    changes Int64 COMMENT 'Changes in the hour with cause event or deadline.',
    others Int64 COMMENT 'Changes in the hour with any other cause.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    substringIndex(way, '\0', 1) AS model,
    hour,
    nullIf(substringIndex(substringIndex(way, '\0', 4), '\0', -1), '') AS from_stage,
    nullIf(substringIndex(way, '\0', -1), '') AS to_stage,
    changes,
    every - changes AS others
FROM
(
    -- The first five parts of _group are model, event, stage, from and to.
    SELECT substringIndex(_group, '\0', 5) AS way, period AS hour, sumIf(count, cause IN ('event', 'deadline')) AS changes, sum(count) AS every
    FROM {{db}}.aggregates_log FINAL
    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
        AND measure = 'transition' AND grain = 'hour'
    GROUP BY way, hour
)
SETTINGS optimize_move_to_prewhere_if_final = 1
COMMENT 'Flow: stage changes from -> to per hour.';

CREATE OR REPLACE VIEW {{db}}.kpi_stage_population
(
    model String COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period.',
    stage String COMMENT 'Stage of the model.',
    position UInt32 COMMENT 'Place of the stage in the model''s order, worst to best, from 1; 0 if the live definition lacks it.',
    customers UInt64 COMMENT 'Customers in the stage at the end of the period; in the running period, at the clock.',
    share Nullable(Float64) COMMENT 'customers / customers in any stage of the model at that time, 0 to 1; null if there are none.',
    entered Int64 COMMENT 'Changes into the stage in the period, of any cause.',
    left Int64 COMMENT 'Changes out of the stage in the period, of any cause.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known,
    tupleElement(known, 'places') AS places,
    toDate32(assumeNotNull(tupleElement(known, 'first_instant')), tupleElement(known, 'timezone')) AS first_day,
    first_day - (toDayOfWeek(first_day) - 1) AS first_week,
    first_day - (toDayOfMonth(first_day) - 1) AS first_month,
    toDate32(assumeNotNull(tupleElement(known, 'clock')), tupleElement(known, 'timezone')) AS today
SELECT
    model,
    grain,
    multiIf(grain = 'day', first_day + n, grain = 'week', first_week + 7 * n, addMonths(first_month, n)) AS period,
    stage,
    places[concat(model, '\0', stage)] AS position,
    toUInt64(standing) AS customers,
    if(total = 0, NULL, standing / total) AS share,
    entered,
    left,
    CAST(multiIf(grain = 'day', period + 1, grain = 'week', period + 7, addMonths(period, 1)) <= today AS Bool) AS closed
FROM
(
    SELECT model, grain, last, tupleElement(series, 1) AS stage, tupleElement(series, 2) AS ins, tupleElement(series, 3) AS outs, tupleElement(series, 4) AS sums, totals
    FROM
    (
        SELECT model, grain, any(last) AS last, groupArray((stage, ins, outs, standing)) AS all, sumForEach(standing) AS totals
        FROM
        (
            -- Series over all periods, from what was before the first (-1) to the running one.
            SELECT
                model,
                grain,
                stage,
                if(tupleElement(known, 'clock') IS NULL, -1, multiIf(grain = 'day', dateDiff('day', first_day, today), grain = 'week', intDiv(dateDiff('day', first_week, today), 7), dateDiff('month', first_month, today))) AS last,
                mapValues(mapPopulateSeries(sumMap(map(index, into)), last)) AS ins,
                mapValues(mapPopulateSeries(sumMap(map(index, out)), last)) AS outs,
                arrayCumSum((i, o) -> i - o, ins, outs) AS standing
            FROM
            (
                SELECT
                    CAST(substringIndex(way, '\0', 1), 'String') AS model,
                    CAST(length_of, 'String') AS grain,
                    stage,
                    toDate32(starts_at + toIntervalHour(12), tupleElement(known, 'timezone')) AS date,
                    greatest(-1, multiIf(grain = 'day', dateDiff('day', first_day, date), grain = 'week', intDiv(dateDiff('day', first_week, date), 7), dateDiff('month', first_month, date))) AS index,
                    changes * (nth = 1) AS into,
                    changes * (nth = 2) AS out
                FROM
                (
                    -- The first five parts of _group are model, event, stage, from and to.
                    SELECT grain AS length_of, period AS starts_at, substringIndex(_group, '\0', 5) AS way, sum(count) AS changes
                    FROM {{db}}.aggregates_log FINAL
                    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
                        AND measure = 'transition' AND grain IN ('day', 'week', 'month')
                    GROUP BY length_of, starts_at, way
                )
                ARRAY JOIN
                    [CAST(substringIndex(way, '\0', -1), 'String'), CAST(substringIndex(substringIndex(way, '\0', 4), '\0', -1), 'String')] AS stage,
                    [1, 2] AS nth
                WHERE stage != ''
                UNION ALL
                SELECT substringIndex(place, '\0', 1) AS model, grain, substringIndex(place, '\0', -1) AS stage, toDate32(0) AS date, toInt64(-1) AS index, toInt64(0) AS into, toInt64(0) AS out
                FROM (SELECT arrayJoin(mapKeys(places)) AS place, arrayJoin(['day', 'week', 'month']) AS grain)
            )
            GROUP BY model, grain, stage
        )
        GROUP BY model, grain
    )
    ARRAY JOIN all AS series
)
ARRAY JOIN
    range(toUInt64(last + 1)) AS n,
    arrayPopFront(ins) AS entered,
    arrayPopFront(outs) AS left,
    arrayPopFront(sums) AS standing,
    arrayPopFront(totals) AS total
SETTINGS optimize_move_to_prewhere_if_final = 1
COMMENT 'Population: customers per stage at the end of each period. A row for every stage and period, also for none.';

CREATE OR REPLACE VIEW {{db}}.kpi_churn
(
    model String COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period.',
    at_start UInt64 COMMENT 'Denominator: customers at the start of the period in a stage that is neither churned nor the first of the order.',
    churned UInt64 COMMENT 'Numerator: of them, those in a churned stage at the end of the period, which they entered by cause event or deadline.',
    churn_rate Nullable(Float64) COMMENT 'churned / at_start, 0 to 1; null if at_start is 0.',
    by_late_event UInt64 COMMENT 'Of at_start, in a churned stage at the end by a late event; not in churned.',
    by_identity UInt64 COMMENT 'Of at_start, in a churned stage at the end by a merge of customers; not in churned.',
    by_definition UInt64 COMMENT 'Of at_start, in a churned stage at the end by a new definition; not in churned.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period; until then churned may rise and fall.'
)
AS SELECT
    s.model AS model,
    s.grain AS grain,
    s.period AS period,
    s.at_start AS at_start,
    e.churned AS churned,
    if(s.at_start = 0, NULL, e.churned / s.at_start) AS churn_rate,
    e.by_late_event AS by_late_event,
    e.by_identity AS by_identity,
    e.by_definition AS by_definition,
    s.closed AS closed
FROM
(
    SELECT
        model,
        grain,
        period,
        closed,
        lagInFrame(eligible, 1, 0) OVER (PARTITION BY model, grain ORDER BY period ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS at_start
    FROM
    (
        SELECT
            model,
            grain,
            period,
            any(closed) AS closed,
            sumIf(customers, (model, stage) NOT IN (SELECT model, stage FROM {{db}}.model_stages WHERE churned OR first)) AS eligible
        FROM {{db}}.kpi_stage_population
        GROUP BY model, grain, period
    )
) AS s
LEFT JOIN
(
    SELECT
        (SELECT arraySort(groupUniqArray(model)) FROM {{db}}.model_stages)[model_number] AS model,
        ['day', 'week', 'month'][grain_number] AS grain,
        period,
        countIf(cause IN (1, 2)) AS churned,
        countIf(cause = 3) AS by_late_event,
        countIf(cause = 4) AS by_identity,
        countIf(cause = 5) AS by_definition
    FROM
    (
        SELECT
            model_number,
            grain_number,
            period,
            argMin(`from` > 0 AND bitAnd(`from`, 2 + 4) = 0, at) AS eligible_at_start,
            argMax(bitTest(`to`, 2), at) AS churned_at_end,
            argMaxIf(cause, at, bitTest(`to`, 2) AND NOT bitTest(`from`, 2)) AS cause
        FROM {{db}}.period_steps
        GROUP BY model_number, grain_number, period, customer
    )
    WHERE eligible_at_start AND churned_at_end
    GROUP BY model_number, grain_number, period
) AS e ON e.model = s.model AND e.grain = s.grain AND e.period = s.period
SETTINGS join_use_nulls = 0
COMMENT 'Churn per period: customers who were in a stage neither churned nor first at its start and in a churned one at its end / the former.';

CREATE OR REPLACE VIEW {{db}}.kpi_reactivation
(
    model String COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period.',
    at_start UInt64 COMMENT 'Denominator: customers in a churned or at-risk stage at the start of the period.',
    reactivated UInt64 COMMENT 'Numerator: of them, those who in the period left these stages upward, to one that is neither churned nor at risk, by cause event.',
    reactivation_rate Nullable(Float64) COMMENT 'reactivated / at_start, 0 to 1; null if at_start is 0.',
    by_late_event UInt64 COMMENT 'Of at_start, left upward by a late event and not by an event; not in reactivated.',
    by_identity UInt64 COMMENT 'Of at_start, left upward by a merge of customers and not by an event; not in reactivated.',
    by_definition UInt64 COMMENT 'Of at_start, left upward by a new definition and not by an event; not in reactivated.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period; until then reactivated may rise.'
)
AS SELECT
    s.model AS model,
    s.grain AS grain,
    s.period AS period,
    s.at_start AS at_start,
    e.reactivated AS reactivated,
    if(s.at_start = 0, NULL, e.reactivated / s.at_start) AS reactivation_rate,
    e.by_late_event AS by_late_event,
    e.by_identity AS by_identity,
    e.by_definition AS by_definition,
    s.closed AS closed
FROM
(
    SELECT
        model,
        grain,
        period,
        closed,
        lagInFrame(eligible, 1, 0) OVER (PARTITION BY model, grain ORDER BY period ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS at_start
    FROM
    (
        SELECT
            model,
            grain,
            period,
            any(closed) AS closed,
            sumIf(customers, (model, stage) IN (SELECT model, stage FROM {{db}}.model_stages WHERE churned OR at_risk)) AS eligible
        FROM {{db}}.kpi_stage_population
        GROUP BY model, grain, period
    )
) AS s
LEFT JOIN
(
    SELECT
        (SELECT arraySort(groupUniqArray(model)) FROM {{db}}.model_stages)[model_number] AS model,
        ['day', 'week', 'month'][grain_number] AS grain,
        period,
        countIf(has(causes, 1)) AS reactivated,
        countIf(NOT has(causes, 1) AND has(causes, 3)) AS by_late_event,
        countIf(NOT has(causes, 1) AND has(causes, 4)) AS by_identity,
        countIf(NOT has(causes, 1) AND has(causes, 5)) AS by_definition
    FROM
    (
        SELECT
            model_number,
            grain_number,
            period,
            argMin(bitAnd(`from`, 4 + 8) > 0, at) AS low_at_start,
            groupUniqArrayIf(cause, bitAnd(`from`, 4 + 8) > 0 AND bitAnd(`to`, 4 + 8) = 0 AND intDiv(`to`, 16) > intDiv(`from`, 16)) AS causes
        FROM {{db}}.period_steps
        GROUP BY model_number, grain_number, period, customer
    )
    WHERE low_at_start
    GROUP BY model_number, grain_number, period
) AS e ON e.model = s.model AND e.grain = s.grain AND e.period = s.period
SETTINGS join_use_nulls = 0
COMMENT 'Reactivation per period: customers in churned or at-risk stages at its start who left them upward by an event in it / those at its start.';

CREATE OR REPLACE VIEW {{db}}.kpi_time_in_stage
(
    model LowCardinality(String) COMMENT 'Stage model.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period in which the spells began.',
    stage String COMMENT 'Stage of the model.',
    spells UInt64 COMMENT 'Stays in the stage that began in the period by cause event or deadline.',
    ended UInt64 COMMENT 'Of the spells, those that ended by cause event or deadline.',
    open UInt64 COMMENT 'Of the spells, those that last: censored at the clock.',
    cut UInt64 COMMENT 'Of the spells, those cut short by another cause (late_event, identity, definition, expired, erasure): censored when left.',
    median_days Nullable(Float64) COMMENT 'Kaplan-Meier median of the time in the stage, in days of 24 hours; null if not reached.',
    median String COMMENT 'The median for people: days with one decimal, or not reached.',
    begun_by_late_event UInt64 COMMENT 'Stays that began by a late event; not in spells.',
    begun_by_identity UInt64 COMMENT 'Stays that began by a merge of customers; not in spells.',
    begun_by_definition UInt64 COMMENT 'Stays that began by a new definition; not in spells.'
)
AS SELECT
    model,
    grain,
    period,
    stage,
    sum(n) AS spells,
    sum(ends) AS ended,
    sum(opens) AS open,
    spells - ended - open AS cut,
    minOrNullIf(duration, n > 0 AND survival <= 0.5 + 1e-9) / 86400000 AS median_days,
    if(median_days IS NULL, 'not reached', concat(toDecimalString(round(assumeNotNull(median_days), 1), 1), ' days')) AS median,
    sum(late_events) AS begun_by_late_event,
    sum(identities) AS begun_by_identity,
    sum(definitions) AS begun_by_definition
FROM
(
    SELECT
        *,
        exp(sum(if(n = 0, 0, log(1 - ends / standing))) OVER (PARTITION BY model, grain, period, stage ORDER BY duration ASC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS survival
    FROM
    (
        SELECT
            *,
            sum(n) OVER (PARTITION BY model, grain, period, stage ORDER BY duration DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS standing
        FROM
        (
            SELECT
                model,
                grain,
                multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
                stage,
                duration,
                countIf(counted) AS n,
                countIf(counted AND left_cause IN ('event', 'deadline')) AS ends,
                countIf(counted AND left_at IS NULL) AS opens,
                countIf(entered_cause = 'late_event') AS late_events,
                countIf(entered_cause = 'identity') AS identities,
                countIf(entered_cause = 'definition') AS definitions
            FROM
            (
                SELECT
                    model,
                    CAST(stage, 'String') AS stage,
                    left_at,
                    entered_cause,
                    CAST(ifNull(left_cause, ''), 'String') AS left_cause,
                    entered_cause IN ('event', 'deadline') AS counted,
                    toDate32(entered_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
                    toUnixTimestamp64Milli(ifNull(left_at, assumeNotNull((SELECT clock FROM {{db}}.kpi_clock)))) - toUnixTimestamp64Milli(entered_at) AS duration
                FROM {{db}}.stage_intervals
                WHERE definition = (SELECT name FROM {{db}}.live_definition)
            ) AS c
            CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
            GROUP BY model, grain, period, stage, duration
        )
    )
)
GROUP BY model, grain, period, stage
COMMENT 'Time in stage: Kaplan-Meier median of the spells begun in the period, those still in it censored.';

CREATE OR REPLACE VIEW {{db}}.kpi_totals
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    orders UInt64 COMMENT 'Orders to date.',
    customers UInt64 COMMENT 'Distinct customers who ordered to date.',
    revenue Decimal(38, 4) COMMENT 'Sum of the orders'' values, refunds taken off, in currency.',
    refunded Decimal(38, 4) COMMENT 'What was refunded, in currency.',
    average_order_value Float64 COMMENT 'revenue / orders, in currency.',
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of the money; each currency has a row of its own.',
    first_order DateTime64(3, 'UTC') COMMENT 'Time of the first order.',
    last_order DateTime64(3, 'UTC') COMMENT 'Time of the last order.'
)
AS SELECT
    event,
    count() AS orders,
    uniqExact(customer_id) AS customers,
    sum(order_value) AS revenue,
    sum(refunds) AS refunded,
    toFloat64(revenue) / orders AS average_order_value,
    toString(money) AS currency,
    min(ordered_at) AS first_order,
    max(ordered_at) AS last_order
FROM
(
    SELECT event, customer_id, order_value, refunded AS refunds, currency AS money, ordered_at
    FROM {{db}}.order_items
    WHERE item = 1
)
GROUP BY event, money
COMMENT 'Orders, customers and revenue to date.';

CREATE OR REPLACE VIEW {{db}}.kpi_repeat_rate
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    customers UInt64 COMMENT 'Denominator: customers with at least one order to date.',
    repeat_customers UInt64 COMMENT 'Numerator: customers with at least two orders to date.',
    repeat_rate Float64 COMMENT 'repeat_customers / customers, 0 to 1.'
)
AS SELECT
    event,
    count() AS customers,
    countIf(orders >= 2) AS repeat_customers,
    repeat_customers / customers AS repeat_rate
FROM
(
    SELECT event, customer_id, count() AS orders
    FROM {{db}}.order_items_log FINAL
    WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND item = 1
    GROUP BY event, customer_id
)
GROUP BY event
COMMENT 'Repeat purchase: customers with at least 2 orders / with at least 1, to date.';

CREATE OR REPLACE VIEW {{db}}.kpi_new_to_second
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    cohort Date32 COMMENT 'Month of the first order ever, by its first local date, in the time zone of the live definition.',
    first_buyers UInt64 COMMENT 'Denominator: customers whose first order ever lies in the month.',
    within_30 Nullable(UInt64) COMMENT 'Of them, with a second order at most 30 days of 24 hours after the first; null until the cohort closes: 30 days after its month at the clock.',
    rate_30 Nullable(Float64) COMMENT 'within_30 / first_buyers, 0 to 1; null until the cohort closes.',
    within_60 Nullable(UInt64) COMMENT 'The same within 60 days; null until 60 days after the month.',
    rate_60 Nullable(Float64) COMMENT 'within_60 / first_buyers, 0 to 1; null until the cohort closes.',
    within_90 Nullable(UInt64) COMMENT 'The same within 90 days; null until 90 days after the month.',
    rate_90 Nullable(Float64) COMMENT 'within_90 / first_buyers, 0 to 1; null until the cohort closes.',
    within_180 Nullable(UInt64) COMMENT 'The same within 180 days; null until 180 days after the month.',
    rate_180 Nullable(Float64) COMMENT 'within_180 / first_buyers, 0 to 1; null until the cohort closes.',
    within_365 Nullable(UInt64) COMMENT 'The same within 365 days; null until 365 days after the month.',
    rate_365 Nullable(Float64) COMMENT 'within_365 / first_buyers, 0 to 1; null until the cohort closes.'
)
AS SELECT
    event,
    cohort,
    count() AS first_buyers,
    if(any(age_ms) >= 30 * 86400000, countIf(gap_ms <= 30 * 86400000), NULL) AS within_30,
    within_30 / first_buyers AS rate_30,
    if(any(age_ms) >= 60 * 86400000, countIf(gap_ms <= 60 * 86400000), NULL) AS within_60,
    within_60 / first_buyers AS rate_60,
    if(any(age_ms) >= 90 * 86400000, countIf(gap_ms <= 90 * 86400000), NULL) AS within_90,
    within_90 / first_buyers AS rate_90,
    if(any(age_ms) >= 180 * 86400000, countIf(gap_ms <= 180 * 86400000), NULL) AS within_180,
    within_180 / first_buyers AS rate_180,
    if(any(age_ms) >= 365 * 86400000, countIf(gap_ms <= 365 * 86400000), NULL) AS within_365,
    within_365 / first_buyers AS rate_365
FROM
(
    SELECT
        event,
        toDate32(orders[1], assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        date - (toDayOfMonth(date) - 1) AS cohort,
        toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock)))
            - toUnixTimestamp64Milli(toDateTime64(addMonths(cohort, 1), 3, assumeNotNull((SELECT timezone FROM {{db}}.live_definition)))) AS age_ms,
        if(length(orders) < 2, NULL, toUnixTimestamp64Milli(orders[2]) - toUnixTimestamp64Milli(orders[1])) AS gap_ms
    FROM
    (
        SELECT event, customer_id, groupArraySorted(2)(ordered_at) AS orders
        FROM {{db}}.order_items_log FINAL
        WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND item = 1
        GROUP BY event, customer_id
    )
)
GROUP BY event, cohort
COMMENT 'New -> second purchase: first buyers of the month with a second order within 30, 60, 90, 180, 365 days / first buyers; closed cohorts only.';

CREATE OR REPLACE VIEW {{db}}.kpi_revenue_by_stage
(
    model String COMMENT 'Stage model.',
    grain LowCardinality(String) COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period of the orders.',
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    stage Nullable(String) COMMENT 'Stage the customer was in just before the order; null if the order was the customer''s first event.',
    orders Int64 COMMENT 'Orders in the period by customers who were in the stage.',
    revenue Decimal(38, 4) COMMENT 'Sum of their values, refunds taken off, in currency.',
    average_order_value Nullable(Float64) COMMENT 'revenue / orders, in currency; null without orders.',
    share Nullable(Float64) COMMENT 'revenue / revenue of all stages of the model in the period, 0 to 1; null if that is 0.',
    currency Nullable(String) COMMENT 'Currency of the live definition.',
    closed Bool COMMENT 'Whether the clock has passed the end of the period.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    model,
    grain,
    period,
    event,
    nullIf(standing, '') AS stage,
    orders,
    revenue,
    if(orders = 0, NULL, toFloat64(revenue) / orders) AS average_order_value,
    if(total = 0, NULL, toFloat64(revenue) / toFloat64(total)) AS share,
    tupleElement(known, 'currency') AS currency,
    CAST(multiIf(grain = 'day', period + 1, grain = 'week', period + 7, addMonths(period, 1)) <= toDate32(assumeNotNull(tupleElement(known, 'clock')), tupleElement(known, 'timezone')) AS Bool) AS closed
FROM
(
    SELECT *, sum(revenue) OVER (PARTITION BY model, grain, period, event) AS total
    FROM
    (
        -- Orders before a customer's first evaluation have no stage: they are what the
        -- totals (model '') hold beyond the stages.
        SELECT
            tupleElement(part, 1) AS model,
            grain,
            toDate32(starts_at + toIntervalHour(12), tupleElement(known, 'timezone')) AS period,
            event,
            tupleElement(part, 2) AS standing,
            sum(n * tupleElement(part, 3)) AS orders,
            sum(if(tupleElement(part, 3) = 1, money, -money)) AS revenue
        FROM
        (
            SELECT
                CAST(substringIndex(_group, '\0', 1), 'String') AS of_model,
                grain,
                starts_at,
                substringIndex(substringIndex(_group, '\0', 2), '\0', -1) AS event,
                CAST(substringIndex(substringIndex(_group, '\0', 3), '\0', -1), 'String') AS of_stage,
                n,
                money
            FROM
            (
                SELECT grain, period AS starts_at, _group, sum(count) AS n, sum(sum) AS money
                FROM {{db}}.aggregates_log FINAL
                WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
                    AND measure = 'event' AND segment = '' AND grain IN ('day', 'week', 'month')
                    AND event IN (SELECT event FROM {{db}}.order_items_log WHERE _generation = tupleElement(known, 'generation') GROUP BY event)
                GROUP BY grain, starts_at, _group
            )
        )
        ARRAY JOIN if(of_model = '', arrayMap(m -> (m, '', toInt8(1)), tupleElement(known, 'models')), [(of_model, of_stage, toInt8(1)), (of_model, '', toInt8(-1))]) AS part
        WHERE has(tupleElement(known, 'models'), model)
        GROUP BY model, grain, period, event, standing
        HAVING orders != 0 OR revenue != 0
    )
)
SETTINGS optimize_move_to_prewhere_if_final = 1
COMMENT 'Revenue per period by the stage held just before the order.';

CREATE OR REPLACE VIEW {{db}}.kpi_events_by_hour
(
    event LowCardinality(String) COMMENT 'Event of the definition.',
    model LowCardinality(Nullable(String)) COMMENT 'Stage model; null: all customers, whatever their stage.',
    stage LowCardinality(Nullable(String)) COMMENT 'Stage of the model held just before the event; null in the row of all customers, and before a customer''s first evaluation.',
    hour DateTime64(3, 'UTC') COMMENT 'Start of the hour of the events. Hours are kept for some weeks (close_after_ms in settings).',
    occurrences Int64 COMMENT 'Occurrences in the hour.',
    value Decimal(38, 4) COMMENT 'Sum of their values, refunds taken off, in currency.',
    currency Nullable(String) COMMENT 'Currency of the live definition.'
)
AS WITH
    assumeNotNull((SELECT known FROM {{db}}.live)) AS known
SELECT
    substringIndex(substringIndex(_group, '\0', 2), '\0', -1) AS event,
    nullIf(substringIndex(_group, '\0', 1), '') AS model,
    nullIf(substringIndex(substringIndex(_group, '\0', 3), '\0', -1), '') AS stage,
    hour,
    occurrences,
    value,
    tupleElement(known, 'currency') AS currency
FROM
(
    SELECT _group, period AS hour, sum(count) AS occurrences, sum(sum) AS value
    FROM {{db}}.aggregates_log FINAL
    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
        AND measure = 'event' AND segment = '' AND grain = 'hour'
    GROUP BY _group, hour
)
SETTINGS optimize_move_to_prewhere_if_final = 1
COMMENT 'Occurrences and values of events per hour, by the stage held just before.';
