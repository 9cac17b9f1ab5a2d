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
    stages Map(LowCardinality(String), String) COMMENT 'Stage per model just before the message; a model is missing before the customer''s first evaluation.',
    segments Array(LowCardinality(String)) COMMENT 'Segments just before the message, sorted.',
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
    stages,
    segments,
    currency,
    products,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.activity_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Messages that counted as an event of the definition, one row each, with the stages and segments just before.';

CREATE OR REPLACE VIEW {{db}}.aggregates
(
    definition LowCardinality(String) COMMENT 'Name of the definition.',
    lane UInt32 COMMENT 'Lane that keeps this count; a total is the sum over lanes.',
    measure LowCardinality(String) COMMENT 'event: occurrences of an event; transition: stage changes.',
    grain LowCardinality(String) COMMENT 'Length of the period: hour, day, week (from Monday) or month.',
    period DateTime64(3, 'UTC') COMMENT 'Start of the period, in the time zone of the definition, as an instant.',
    event LowCardinality(String) COMMENT 'Event of the definition; empty for transitions.',
    model LowCardinality(String) COMMENT 'Stage model; empty: all customers, whatever their stage.',
    stage LowCardinality(String) COMMENT 'Stage held just before the event; empty for transitions, for rows without a model, and before the customer''s first evaluation.',
    `from` LowCardinality(String) COMMENT 'Stage left; empty for events and the first time.',
    `to` LowCardinality(String) COMMENT 'Stage entered; empty for events and in the last record of a customer.',
    cause LowCardinality(String) COMMENT 'Cause of the transitions; empty for events.',
    count Int64 COMMENT 'How many, in this lane and period: an absolute value.',
    sum Decimal(18, 4) COMMENT 'Sum of the values, refunds taken off, in the currency of the definition: an absolute value.',
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
    count,
    sum,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.aggregates_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Counts and sums per lane, key and period, kept by the stream: a total is the sum over lanes.';

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
    source,
    _topic,
    _partition,
    _offset,
    _generation
FROM {{db}}.definitions_log FINAL
WHERE _generation = (SELECT generation FROM {{db}}.current_generation)
COMMENT 'Definitions that went live, one row per name and version.';

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
    left_cause LowCardinality(Nullable(String)) COMMENT 'cause_type of the change that left it; null while the customer is in it.',
    next_stage LowCardinality(Nullable(String)) COMMENT 'Stage entered next; null while the customer is in it, and if the customer ended.'
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
