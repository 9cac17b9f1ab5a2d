-- SPDX-License-Identifier: Apache-2.0
--
-- The views that people query: one row per fact, the newest version of each value,
-- of the generation that is live. FINAL makes them exact whatever was inserted how
-- often and whether or not ClickHouse has merged it yet.

CREATE OR REPLACE VIEW {{db}}.current_generation
(
    generation UInt16 COMMENT 'Generation whose rows the views show; 0 before the first sink has started.'
)
AS SELECT argMax(generation, switched_at) AS generation
FROM {{db}}.generations_log
COMMENT 'The generation that the views show: one row.';

CREATE OR REPLACE VIEW {{db}}.stage_changes
(
    id FixedString(32) COMMENT 'Identifier of the change, lower hex: the same change has the same id on every replay.',
    customer_id String COMMENT 'The customer.',
    definition LowCardinality(String) COMMENT 'Name of the definition that evaluated the change.',
    definition_version UInt32 COMMENT 'Version of that definition.',
    model LowCardinality(String) COMMENT 'Stage model.',
    sequence UInt64 COMMENT 'From 1, by one, per customer and model; begins anew after an anonymous customer was forgotten.',
    `from` LowCardinality(Nullable(String)) COMMENT 'Stage left; null the first time.',
    `to` LowCardinality(Nullable(String)) COMMENT 'Stage entered; null in the last record of a customer.',
    effective_at DateTime64(3, 'UTC') COMMENT 'When it became true: the time of the event, or the exact deadline.',
    detected_at DateTime64(3, 'UTC') COMMENT 'The clock when it was found.',
    since Nullable(DateTime64(3, 'UTC')) COMMENT 'When `from` was entered; null the first time.',
    next_stage LowCardinality(Nullable(String)) COMMENT 'The first stage to follow if nothing happens; null if none.',
    next_deadline Nullable(DateTime64(3, 'UTC')) COMMENT 'When next_stage is entered if nothing happens; null if never.',
    merged_into Nullable(String) COMMENT 'The customer that continues this one; only with cause identity.',
    backfill Bool COMMENT 'True for history: not published, known here only.',
    cause_type LowCardinality(String) COMMENT 'event, deadline, late_event, identity, definition, erasure or expired.',
    cause_condition LowCardinality(Nullable(String)) COMMENT 'Condition of the stage entered.',
    cause_left LowCardinality(Nullable(String)) COMMENT 'Condition of the stage left, if it no longer holds.',
    cause_event LowCardinality(Nullable(String)) COMMENT 'The event of the message that caused it, else its type.',
    cause_message_id Nullable(String) COMMENT 'messageId of that message.',
    cause_event_time Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of that message; before effective_at for a late event.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    id,
    customer_id,
    definition,
    definition_version,
    model,
    sequence,
    `from`,
    `to`,
    effective_at,
    detected_at,
    since,
    next_stage,
    next_deadline,
    merged_into,
    backfill,
    cause_type,
    cause_condition,
    cause_left,
    cause_event,
    cause_message_id,
    cause_event_time,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.stage_changes_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Stage changes, one row each, history included: the public record with its place in Kafka.';

CREATE OR REPLACE VIEW {{db}}.segment_changes
(
    id FixedString(32) COMMENT 'Identifier of the change, lower hex: the same change has the same id on every replay.',
    customer_id String COMMENT 'The customer.',
    definition LowCardinality(String) COMMENT 'Name of the definition that evaluated the change.',
    definition_version UInt32 COMMENT 'Version of that definition.',
    segment LowCardinality(String) COMMENT 'The segment; country=FR for one of many values.',
    sequence UInt64 COMMENT 'From 1, by one, per customer and segment; begins anew after an anonymous customer was forgotten.',
    entered Bool COMMENT 'True if the customer entered the segment, false if it left.',
    effective_at DateTime64(3, 'UTC') COMMENT 'When it became true: the time of the event, or the exact deadline.',
    detected_at DateTime64(3, 'UTC') COMMENT 'The clock when it was found.',
    backfill Bool COMMENT 'True for history: not published, known here only.',
    cause_type LowCardinality(String) COMMENT 'event, deadline, late_event, identity, definition, erasure or expired.',
    cause_condition LowCardinality(Nullable(String)) COMMENT 'Condition of the segment, when entered.',
    cause_left LowCardinality(Nullable(String)) COMMENT 'Condition of the segment, when left.',
    cause_event LowCardinality(Nullable(String)) COMMENT 'The event of the message that caused it, else its type.',
    cause_message_id Nullable(String) COMMENT 'messageId of that message.',
    cause_event_time Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of that message; before effective_at for a late event.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    id,
    customer_id,
    definition,
    definition_version,
    segment,
    sequence,
    entered,
    effective_at,
    detected_at,
    backfill,
    cause_type,
    cause_condition,
    cause_left,
    cause_event,
    cause_message_id,
    cause_event_time,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.segment_changes_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Segment changes, one row each, history included: the public record with its place in Kafka.';

CREATE OR REPLACE VIEW {{db}}.assignments
(
    id FixedString(32) COMMENT 'Identifier of the assignment, lower hex: the same assignment has the same id on every replay.',
    customer_id String COMMENT 'The customer.',
    definition LowCardinality(String) COMMENT 'Name of the definition that evaluated the assignment.',
    definition_version UInt32 COMMENT 'Version of that definition.',
    campaign LowCardinality(String) COMMENT 'Campaign of the definition.',
    variant LowCardinality(Nullable(String)) COMMENT 'Variant given; null in the holdout.',
    holdout Bool COMMENT 'Whether the customer is in the holdout.',
    round UInt32 COMMENT 'From 1: which of the customer''s assignments to the campaign.',
    sequence UInt64 COMMENT 'From 1, by one, per customer and campaign; begins anew after an anonymous customer was forgotten.',
    effective_at DateTime64(3, 'UTC') COMMENT 'When the customer was assigned.',
    detected_at DateTime64(3, 'UTC') COMMENT 'The clock when it was found.',
    backfill Bool COMMENT 'True for history: not published, known here only.',
    stages Map(LowCardinality(String), String) COMMENT 'Stage per model at the assignment, after the evaluation of that instant: the targeted segment, with segments.',
    segments Array(LowCardinality(String)) COMMENT 'Segments at the assignment, sorted.',
    cause_type LowCardinality(String) COMMENT 'event, deadline, late_event, identity, definition, erasure or expired.',
    cause_condition LowCardinality(Nullable(String)) COMMENT 'Audience of the campaign; null if another system assigns.',
    cause_left LowCardinality(Nullable(String)) COMMENT 'Always null: nothing is left by an assignment.',
    cause_event LowCardinality(Nullable(String)) COMMENT 'The event of the message that caused it, else its type.',
    cause_message_id Nullable(String) COMMENT 'messageId of that message.',
    cause_event_time Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of that message; before effective_at for a late event.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    id,
    customer_id,
    definition,
    definition_version,
    campaign,
    variant,
    holdout,
    round,
    sequence,
    effective_at,
    detected_at,
    backfill,
    stages,
    segments,
    cause_type,
    cause_condition,
    cause_left,
    cause_event,
    cause_message_id,
    cause_event_time,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.assignments_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Customers who entered a campaign, one row per customer, campaign and round, history included: the public record with its place in Kafka.';

CREATE OR REPLACE VIEW {{db}}.conversions
(
    id FixedString(32) COMMENT 'Identifier of the conversion, lower hex: the same conversion has the same id on every replay.',
    customer_id String COMMENT 'The customer.',
    definition LowCardinality(String) COMMENT 'Name of the definition that evaluated the conversion.',
    definition_version UInt32 COMMENT 'Version of that definition.',
    campaign LowCardinality(String) COMMENT 'Campaign of the definition.',
    goal LowCardinality(String) COMMENT 'Goal of the campaign.',
    variant LowCardinality(Nullable(String)) COMMENT 'Variant of the assignment; null in the holdout.',
    holdout Bool COMMENT 'Whether the customer is in the holdout.',
    round UInt32 COMMENT 'Round of the assignment, from 1. Where rounds overlap (every below within), one event converts each open round: a row for each.',
    assigned_at DateTime64(3, 'UTC') COMMENT 'When the customer was assigned: effective_at of the assignment.',
    value Nullable(Decimal(18, 4)) COMMENT 'Value of the goal, in currency; null if the goal asks for none.',
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of value; null if none is known.',
    occurrences Nullable(UInt32) COMMENT 'How many of the goal''s event are in value, such as orders: those in the window, or the one that converted; null without a value.',
    unpriced UInt32 COMMENT 'Of a total: how many occurrences in the window have money of another currency than the definition''s, of which value has nothing.',
    sequence UInt64 COMMENT 'From 1, by one, per customer, campaign and goal; begins anew after an anonymous customer was forgotten.',
    effective_at DateTime64(3, 'UTC') COMMENT 'When it counted: the time of the event, or the close of the window for a total.',
    detected_at DateTime64(3, 'UTC') COMMENT 'The clock when it was found.',
    backfill Bool COMMENT 'True for history: not published, known here only.',
    stages Map(LowCardinality(String), String) COMMENT 'Stage per model at the assignment, after the evaluation of that instant: the targeted segment, with segments.',
    segments Array(LowCardinality(String)) COMMENT 'Segments at the assignment, sorted.',
    cause_type LowCardinality(String) COMMENT 'event, deadline, late_event, identity, definition, erasure or expired.',
    cause_condition LowCardinality(Nullable(String)) COMMENT 'Condition of the goal; null if its goal is an event.',
    cause_left LowCardinality(Nullable(String)) COMMENT 'Always null: nothing is left by a conversion.',
    cause_event LowCardinality(Nullable(String)) COMMENT 'The event of the message that caused it, else its type.',
    cause_message_id Nullable(String) COMMENT 'messageId of that message.',
    cause_event_time Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of that message; before effective_at for a late event.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    id,
    customer_id,
    definition,
    definition_version,
    campaign,
    goal,
    variant,
    holdout,
    round,
    assigned_at,
    value,
    currency,
    occurrences,
    unpriced,
    sequence,
    effective_at,
    detected_at,
    backfill,
    stages,
    segments,
    cause_type,
    cause_condition,
    cause_left,
    cause_event,
    cause_message_id,
    cause_event_time,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.conversions_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Goals reached, one row per record, history included. A value that was corrected has a row each time: of a customer, campaign, goal and round the greatest sequence counts.';

CREATE OR REPLACE VIEW {{db}}.profiles
(
    customer_id String COMMENT 'The customer.',
    stages Map(LowCardinality(String), Tuple(stage String, since DateTime64(3, 'UTC'), sequence UInt64, next_stage Nullable(String), next_deadline Nullable(DateTime64(3, 'UTC')))) COMMENT 'Per model the stage, since when, the sequence of its last change, and what comes next if nothing happens.',
    segments Array(LowCardinality(String)) COMMENT 'Segments the customer is in, sorted.',
    traits String COMMENT 'Traits, as a JSON object.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    customer_id,
    stages,
    segments,
    traits,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.profiles_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'The current profile of each customer; customers that ended are not here.';

CREATE OR REPLACE VIEW {{db}}.activity
(
    customer_id String COMMENT 'The customer.',
    event_time DateTime64(3, 'UTC') COMMENT 'Time of the message.',
    message_id Nullable(String) COMMENT 'messageId of the message; null if it had none.',
    type LowCardinality(String) COMMENT 'Type of the message: track, identify, page, ….',
    event LowCardinality(String) COMMENT 'The event of the message, else its type.',
    occurrences Array(Tuple(event String, at DateTime64(3, 'UTC'), value Nullable(Decimal(18, 4)), key Nullable(String), refund Bool)) COMMENT 'What the message counted as: event of the definition, its own time, value (negative for a refund), deduplication key, whether it took a refund.',
    exposures Array(Tuple(campaign String, channel String, step String, machine Bool)) COMMENT 'What the message tells of: campaign, channel, step, whether a machine did it. As rows: exposures.',
    stages Map(LowCardinality(String), String) COMMENT 'Stage per model just before the message; a model is missing before the customer''s first evaluation.',
    segments Array(LowCardinality(String)) COMMENT 'Segments just before the message, sorted.',
    session_stages Map(LowCardinality(String), String) COMMENT 'Stage per model just before the first message of the session: KPIs by stage use it.',
    session_start DateTime64(3, 'UTC') COMMENT 'When the session began: with the customer, which session it is.',
    platform LowCardinality(String) COMMENT 'app or site; empty if the message does not tell.',
    too_late Bool COMMENT 'Whether it came after its period had closed: no count or sum has it.',
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of the values: that of the message, else that of the definition.',
    products Nullable(String) COMMENT 'The products of an order, as JSON text; null for other messages.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    customer_id,
    event_time,
    message_id,
    type,
    event,
    occurrences,
    exposures,
    stages,
    segments,
    session_stages,
    session_start,
    platform,
    too_late,
    currency,
    products,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.activity_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Accepted messages, one row each, with the stages and segments just before: all, or only those that count as something (settings).';

CREATE OR REPLACE VIEW {{db}}.exposures
(
    customer_id String COMMENT 'The customer.',
    exposed_at DateTime64(3, 'UTC') COMMENT 'When it happened: the time of the message that told so.',
    campaign LowCardinality(String) COMMENT 'Campaign that the message names; empty if it names none.',
    channel LowCardinality(String) COMMENT 'Channel: email, push, sms, ….',
    step LowCardinality(String) COMMENT 'What happened: sent, delivered, opened, clicked, unsubscribed, bounced, ….',
    machine Bool COMMENT 'Whether a machine did it, such as a mail scanner that opens everything, and no person.',
    message_id Nullable(String) COMMENT 'messageId of the message that told so; null if it had none.',
    event LowCardinality(String) COMMENT 'The event of that message, else its type.',
    _occurrence UInt32 COMMENT 'Position within the record, from 0: a message may tell of several.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    customer_id,
    exposed_at,
    campaign,
    channel,
    step,
    machine,
    message_id,
    event,
    _occurrence,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.exposures_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'What customers were shown: a message sent, delivered, opened, clicked, …, one row each.';

CREATE OR REPLACE VIEW {{db}}.settings
(
    lane UInt32 COMMENT 'The lane.',
    since DateTime64(3, 'UTC') COMMENT 'Clock of the lane from which on it works so; 1970 for a lane that began so.',
    activity LowCardinality(String) COMMENT 'What activity has: all (each accepted message), referenced (only messages that count as an event or exposure) or off (nothing).',
    aggregates Bool COMMENT 'Whether counts and sums of periods are kept (setting stream.aggregates).',
    session_gap_ms Int64 COMMENT 'Silence after which a session has ended, in milliseconds.',
    close_after_ms Int64 COMMENT 'How far behind the lane''s clock totals still change, in milliseconds.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    lane,
    since,
    activity,
    aggregates,
    session_gap_ms,
    close_after_ms,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.settings_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'By which settings each lane counts, and since when: one row per lane and change of them.';

CREATE OR REPLACE VIEW {{db}}.aggregates
(
    definition LowCardinality(String) COMMENT 'Name of the definition.',
    lane UInt32 COMMENT 'Lane that keeps this count; a total is the sum over lanes.',
    measure LowCardinality(String) COMMENT 'event: occurrences of an event, by the stage just before; session: sessions begun, and session_event: occurrences, by the stage just before the session; transition: stage changes; customers: distinct customers; too_late: what came after its period had closed.',
    grain LowCardinality(String) COMMENT 'Length of the period: hour, day, week (from Monday) or month.',
    period DateTime64(3, 'UTC') COMMENT 'Start of the period, in the time zone of the definition, as an instant.',
    event LowCardinality(String) COMMENT 'Event of the definition; empty for transitions, sessions, and customers of any message.',
    model LowCardinality(String) COMMENT 'Stage model; empty: all customers, whatever their stage.',
    stage LowCardinality(String) COMMENT 'Stage held just before the event or session; empty for transitions, for rows without a model, and before the customer''s first evaluation.',
    `from` LowCardinality(String) COMMENT 'Stage left; empty but for transitions, and the first time.',
    `to` LowCardinality(String) COMMENT 'Stage entered; empty but for transitions, and in the last record of a customer.',
    cause LowCardinality(String) COMMENT 'Cause of the transitions; else empty.',
    segment LowCardinality(String) COMMENT 'Segment held just before, of those that the definition asks for; empty: all customers. Segments overlap: they do not add up.',
    platform LowCardinality(String) COMMENT 'app or site, of sessions and their events; empty if unknown, and for other measures.',
    count Int64 COMMENT 'How many, in this lane and period: an absolute value.',
    sum Decimal(18, 4) COMMENT 'Sum of the values, refunds taken off, in the currency of the definition: an absolute value.',
    sum_squares Decimal(38, 8) COMMENT 'Sum of the squares of the occurrences'' values, refunds taken off each: with count and sum, the variance.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    definition,
    lane,
    measure,
    grain,
    period,
    event,
    model,
    stage,
    `from`,
    `to`,
    cause,
    segment,
    platform,
    count,
    sum,
    sum_squares,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.aggregates_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
UNION ALL
SELECT
    definition,
    lane,
    CAST('customers', 'LowCardinality(String)') AS measure,
    grain,
    period,
    event,
    model,
    stage,
    CAST('', 'LowCardinality(String)') AS `from`,
    CAST('', 'LowCardinality(String)') AS `to`,
    CAST('', 'LowCardinality(String)') AS cause,
    CAST('', 'LowCardinality(String)') AS segment,
    CAST('', 'LowCardinality(String)') AS platform,
    count,
    toDecimal64(0, 4) AS sum,
    toDecimal128(0, 8) AS sum_squares,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.customers_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND grain != '' AND count != 0
COMMENT 'Counts and sums per lane, key and period: a total is the sum over lanes, but for customers, who are distinct within one period and key alone. Kept by the stream; customers are counted in ClickHouse.';

CREATE OR REPLACE VIEW {{db}}.definitions
(
    name LowCardinality(String) COMMENT 'Name of the definition.',
    version UInt32 COMMENT 'Its version.',
    hash String COMMENT 'SHA-256 of the file, lower hex.',
    timezone LowCardinality(String) COMMENT 'Time zone of days, Monday weeks and months.',
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of its money; null if the file names none.',
    activated_at DateTime64(3, 'UTC') COMMENT 'When it went live.',
    models String COMMENT 'Its stage models, as JSON: name, stages, order, churned and at_risk of each.',
    segments String COMMENT 'Its segments, as JSON.',
    campaigns String COMMENT 'Its campaigns, as JSON: what the views campaigns, campaign_variants and campaign_goals show.',
    global_holdout Float64 COMMENT 'Share of the customers that is kept out of every campaign, 0 to 1.',
    source String COMMENT 'The file.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    name,
    version,
    hash,
    timezone,
    currency,
    activated_at,
    models,
    segments,
    campaigns,
    global_holdout,
    source,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.definitions_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Definitions that went live, one row per name and version.';

CREATE OR REPLACE VIEW {{db}}.rates
(
    currency LowCardinality(String) COMMENT 'Currency of the money, for example USD.',
    day Date COMMENT 'Day the rate is of; an amount counts at the rate of its own day.',
    rate Decimal(18, 8) COMMENT 'What one unit of it is worth in the currency of the definition.'
)
AS SELECT
    currency,
    day,
    rate
FROM {{db}}.rates_log FINAL
COMMENT 'Exchange rates to the currency of the definition, one row per currency and day.';

CREATE OR REPLACE VIEW {{db}}.unreadable
(
    reason String COMMENT 'Why the record could not be read.',
    value String COMMENT 'Its bytes, unchanged.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the sink that met the record.'
)
AS SELECT
    reason,
    value,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.unreadable_log FINAL
COMMENT 'Records that could not be read or written as rows, one row each.';

CREATE OR REPLACE VIEW {{db}}.order_items
(
    customer_id String COMMENT 'The customer.',
    event LowCardinality(String) COMMENT 'Event of the definition that the order counted as, for example purchase.',
    order_key String COMMENT 'The order: the deduplication key of the event.',
    item UInt32 COMMENT 'Number of the product in the order, from 1.',
    ordered_at DateTime64(3, 'UTC') COMMENT 'Time of the order.',
    product_id Nullable(String) COMMENT 'Product; null if the order names none.',
    name Nullable(String) COMMENT 'Name of the product.',
    category LowCardinality(Nullable(String)) COMMENT 'Category of the product.',
    quantity Nullable(Decimal(18, 4)) COMMENT 'How many of it; 1 if the product does not say; null without a product.',
    price Nullable(Decimal(18, 4)) COMMENT 'Price of one, in currency.',
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of the money in this row.',
    order_value Decimal(18, 4) COMMENT 'Value of the whole order, refunds taken off, on item 1; 0 on the others: sum(order_value) is revenue.',
    refunded Decimal(18, 4) COMMENT 'What was refunded of the order so far, as a positive amount, on item 1; 0 on the others. order_value + refunded is the order''s value before refunds.',
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.',
    _offset UInt64 COMMENT 'Kafka offset of the record.',
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.'
)
AS SELECT
    i.customer_id AS customer_id,
    i.event AS event,
    i.order_key AS order_key,
    i.item AS item,
    i.ordered_at AS ordered_at,
    i.product_id AS product_id,
    i.name AS name,
    i.category AS category,
    i.quantity AS quantity,
    i.price AS price,
    i.currency AS currency,
    i.order_value + r.change AS order_value,
    -r.change AS refunded,
    i._topic AS _topic,
    i._partition AS _partition,
    i._offset AS _offset,
    i._generation AS _generation
FROM
(
    SELECT *
    FROM {{db}}.order_items_log FINAL
    WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
) AS i
LEFT JOIN
(
    SELECT customer_id, event, order_key, ordered_at, toUInt32(1) AS item, sum(value) AS change
    FROM {{db}}.refunds_log FINAL
    WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
    GROUP BY customer_id, event, order_key, ordered_at
) AS r USING (customer_id, event, order_key, ordered_at, item)
SETTINGS join_use_nulls = 0
COMMENT 'One row per product of an order; an order is an occurrence of an event with a key. An order without products has one row.';

CREATE OR REPLACE VIEW {{db}}.stage_intervals
(
    definition LowCardinality(String) COMMENT 'Name of the definition.',
    model LowCardinality(String) COMMENT 'Stage model.',
    customer_id String COMMENT 'The customer.',
    stage LowCardinality(String) COMMENT 'Stage the customer was in.',
    entered_at DateTime64(3, 'UTC') COMMENT 'When it was entered.',
    left_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was left; equal to entered_at if another event of that instant led on; null while the customer is in it.',
    sequence UInt64 COMMENT 'Sequence of the change that entered it.',
    entered_cause LowCardinality(String) COMMENT 'cause_type of the change that entered it.',
    left_cause Nullable(String) COMMENT 'cause_type of the change that left it; null while the customer is in it.',
    next_stage Nullable(String) COMMENT 'Stage entered next; null while the customer is in it, and if the customer ended.'
)
AS SELECT
    definition,
    model,
    customer_id,
    assumeNotNull(entered) AS stage,
    entered_at,
    if(followed, next_at, NULL) AS left_at,
    sequence,
    entered_cause,
    if(followed, next_cause, NULL) AS left_cause,
    if(followed, next_stage, NULL) AS next_stage
FROM
(
    SELECT
        definition,
        model,
        customer_id,
        `to` AS entered,
        effective_at AS entered_at,
        sequence,
        cause_type AS entered_cause,
        leadInFrame(1, 1, 0) OVER following = 1 AS followed,
        leadInFrame(effective_at) OVER following AS next_at,
        leadInFrame(cause_type) OVER following AS next_cause,
        leadInFrame(`to`) OVER following AS next_stage
    FROM {{db}}.stage_changes
    WINDOW following AS (PARTITION BY definition, model, customer_id ORDER BY effective_at ASC, sequence ASC ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
WHERE entered IS NOT NULL
COMMENT 'When each customer was in which stage: from entered_at on, up to but not including left_at.';

CREATE OR REPLACE VIEW {{db}}.sessions
(
    customer_id String COMMENT 'The customer.',
    session_start DateTime64(3, 'UTC') COMMENT 'When the session began, as known when its first message came: with the customer, which session it is.',
    started_at DateTime64(3, 'UTC') COMMENT 'Time of its earliest message; before session_start if one came late.',
    ended_at DateTime64(3, 'UTC') COMMENT 'Time of its latest message.',
    messages UInt64 COMMENT 'Messages in it.',
    pages UInt64 COMMENT 'Pages and screens seen.',
    platform String COMMENT 'app or site, of the earliest message that tells; empty if none does.',
    stages Map(String, String) COMMENT 'Stage per model just before its first message.'
)
AS SELECT
    customer_id,
    session_start,
    min(event_time) AS started_at,
    max(event_time) AS ended_at,
    count() AS messages,
    countIf(type IN ('page', 'screen')) AS pages,
    argMinIf(platform, (event_time, _offset), platform != '') AS platform,
    any(session_stages) AS stages
FROM {{db}}.activity
WHERE empty(exposures) OR type IN ('page', 'screen') OR arrayExists(e -> tupleElement(e, 'step') = 'clicked' AND NOT tupleElement(e, 'machine'), exposures)
GROUP BY customer_id, session_start
COMMENT 'Sessions of customers: messages with no gap of 30 minutes (settings) or more between them, without what customers only received. Whole only with activity: all.';

CREATE OR REPLACE VIEW {{db}}.activity_mode
(
    activity String COMMENT 'What activity has in every lane now: all, referenced or off; empty if no lane has told yet.',
    since Nullable(DateTime64(3, 'UTC')) COMMENT 'Clock from which on every lane has had at least that without a break, 1970 if it always has; null if no lane has told yet.',
    referenced_since Nullable(DateTime64(3, 'UTC')) COMMENT 'Clock from which on every lane has had at least the messages that count as an event or exposure, without a break; null if not now.',
    aggregates Nullable(Bool) COMMENT 'Whether every lane keeps counts and sums of periods now; null if no lane has told yet.',
    aggregates_since Nullable(DateTime64(3, 'UTC')) COMMENT 'Clock from which on every lane has kept them without a break; null if not now.'
)
AS SELECT
    multiIf(empty(lanes), '', least_rank = 2, 'all', least_rank = 1, 'referenced', 'off') AS activity,
    if(empty(lanes), NULL, arrayMax(arrayMap(told -> tupleElement(told[arrayLastIndex(s -> tupleElement(s, 2) < least_rank, told) + 1], 1), lanes))) AS since,
    if(empty(lanes) OR least_rank < 1, NULL, arrayMax(arrayMap(told -> tupleElement(told[arrayLastIndex(s -> tupleElement(s, 2) < 1, told) + 1], 1), lanes))) AS referenced_since,
    if(empty(lanes), NULL, CAST(least_counting AS Bool)) AS aggregates,
    if(empty(lanes) OR least_counting = 0, NULL, arrayMax(arrayMap(told -> tupleElement(told[arrayLastIndex(s -> NOT tupleElement(s, 3), told) + 1], 1), lanes))) AS aggregates_since
FROM
(
    SELECT
        groupArray(settings) AS lanes,
        min(tupleElement(settings[-1], 2)) AS least_rank,
        min(toUInt8(tupleElement(settings[-1], 3))) AS least_counting
    FROM
    (
        SELECT arraySort(groupArray((since, transform(toString(activity), ['all', 'referenced', 'off'], [2, 1, 0], 0), aggregates))) AS settings
        FROM {{db}}.settings
        GROUP BY lane
    )
)
COMMENT 'What can be asked of activity and of totals: one row. A KPI that needs more than is kept says so instead of answering zero; the views over totals cannot, so look here before you believe their zeros.';
