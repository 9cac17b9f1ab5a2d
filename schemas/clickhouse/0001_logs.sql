-- SPDX-License-Identifier: Apache-2.0
--
-- Storage tables. Each row is a fact with its place in Kafka, or an absolute value
-- with a version; never a delta. A repeated, split, merged or reordered insert
-- leaves the same rows behind the views of 0002. So the server need not remember what
-- it has taken, and must not: killed between remembering an insert and keeping its rows,
-- it says yes to the next attempt and lacks them for ever.
--
-- A partition is a generation: it is part of the ordering key, so all versions of a
-- row meet in one partition, and a generation that is no longer wanted is dropped
-- whole. The projections answer, from a row per part, from when to when the rows are
-- and which events are orders: repeated rows change neither. _version = generation << 48 | offset grows within one Kafka partition,
-- which is where all versions of one key are written.

CREATE TABLE IF NOT EXISTS {{db}}.generations_log
(
    generation UInt16 COMMENT 'Generation whose rows the views show; the row switched to last counts.',
    switched_at DateTime64(3, 'UTC') COMMENT 'When it became the one that the views show (wall clock, UTC).'
)
ENGINE = ReplacingMergeTree
ORDER BY (switched_at, generation)
COMMENT 'Which generation the views show: one row for each switch.';

CREATE TABLE IF NOT EXISTS {{db}}.stage_changes_log
(
    id FixedString(32) COMMENT 'Identifier of the change, lower hex: the same change has the same id on every replay.' CODEC(ZSTD(1)),
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    definition LowCardinality(String) COMMENT 'Name of the definition that evaluated the change.',
    definition_version UInt32 COMMENT 'Version of that definition.' CODEC(T64, ZSTD(1)),
    model LowCardinality(String) COMMENT 'Stage model.',
    sequence UInt64 COMMENT 'From 1, by one, per customer and model; begins anew after an anonymous customer was forgotten.' CODEC(T64, ZSTD(1)),
    `from` LowCardinality(Nullable(String)) COMMENT 'Stage left; null the first time.',
    `to` LowCardinality(Nullable(String)) COMMENT 'Stage entered; null in the last record of a customer.',
    effective_at DateTime64(3, 'UTC') COMMENT 'When it became true: the time of the event, or the exact deadline.' CODEC(Delta, ZSTD(1)),
    detected_at DateTime64(3, 'UTC') COMMENT 'The clock when it was found.' CODEC(Delta, ZSTD(1)),
    since Nullable(DateTime64(3, 'UTC')) COMMENT 'When `from` was entered; null the first time.' CODEC(ZSTD(1)),
    next_stage LowCardinality(Nullable(String)) COMMENT 'The first stage to follow if nothing happens; null if none.',
    next_deadline Nullable(DateTime64(3, 'UTC')) COMMENT 'When next_stage is entered if nothing happens; null if never.' CODEC(ZSTD(1)),
    merged_into Nullable(String) COMMENT 'The customer that continues this one; only with cause identity.' CODEC(ZSTD(1)),
    backfill Bool COMMENT 'True for history: not published, known here only.',
    cause_type LowCardinality(String) COMMENT 'event, deadline, late_event, identity, definition, erasure or expired.',
    cause_condition LowCardinality(Nullable(String)) COMMENT 'Condition of the stage entered.',
    cause_left LowCardinality(Nullable(String)) COMMENT 'Condition of the stage left, if it no longer holds.',
    cause_event LowCardinality(Nullable(String)) COMMENT 'The event of the message that caused it, else its type.',
    cause_message_id Nullable(String) COMMENT 'messageId of that message.' CODEC(ZSTD(1)),
    cause_event_time Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of that message; before effective_at for a late event.' CODEC(ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1)),
    PROJECTION range (SELECT _generation, count(), min(effective_at), max(effective_at) GROUP BY _generation)
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, definition, model, customer_id, effective_at, sequence, id)
SETTINGS deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Stage changes as read from Kafka, repeats included: query stage_changes instead.';

CREATE TABLE IF NOT EXISTS {{db}}.segment_changes_log
(
    id FixedString(32) COMMENT 'Identifier of the change, lower hex: the same change has the same id on every replay.' CODEC(ZSTD(1)),
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    definition LowCardinality(String) COMMENT 'Name of the definition that evaluated the change.',
    definition_version UInt32 COMMENT 'Version of that definition.' CODEC(T64, ZSTD(1)),
    segment LowCardinality(String) COMMENT 'The segment; country=FR for one of many values.',
    sequence UInt64 COMMENT 'From 1, by one, per customer and segment; begins anew after an anonymous customer was forgotten.' CODEC(T64, ZSTD(1)),
    entered Bool COMMENT 'True if the customer entered the segment, false if it left.',
    effective_at DateTime64(3, 'UTC') COMMENT 'When it became true: the time of the event, or the exact deadline.' CODEC(Delta, ZSTD(1)),
    detected_at DateTime64(3, 'UTC') COMMENT 'The clock when it was found.' CODEC(Delta, ZSTD(1)),
    backfill Bool COMMENT 'True for history: not published, known here only.',
    cause_type LowCardinality(String) COMMENT 'event, deadline, late_event, identity, definition, erasure or expired.',
    cause_condition LowCardinality(Nullable(String)) COMMENT 'Condition of the segment, when entered.',
    cause_left LowCardinality(Nullable(String)) COMMENT 'Condition of the segment, when left.',
    cause_event LowCardinality(Nullable(String)) COMMENT 'The event of the message that caused it, else its type.',
    cause_message_id Nullable(String) COMMENT 'messageId of that message.' CODEC(ZSTD(1)),
    cause_event_time Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of that message; before effective_at for a late event.' CODEC(ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1)),
    PROJECTION range (SELECT _generation, count(), min(effective_at), max(effective_at) GROUP BY _generation)
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, definition, segment, customer_id, effective_at, sequence, id)
SETTINGS deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Segment changes as read from Kafka, repeats included: query segment_changes instead.';

CREATE TABLE IF NOT EXISTS {{db}}.assignments_log
(
    id FixedString(32) COMMENT 'Identifier of the assignment, lower hex: the same assignment has the same id on every replay.' CODEC(ZSTD(1)),
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    definition LowCardinality(String) COMMENT 'Name of the definition that evaluated the assignment.',
    definition_version UInt32 COMMENT 'Version of that definition.' CODEC(T64, ZSTD(1)),
    campaign LowCardinality(String) COMMENT 'Campaign of the definition.',
    variant LowCardinality(Nullable(String)) COMMENT 'Variant given; null in the holdout.',
    holdout Bool COMMENT 'Whether the customer is in the holdout.',
    round UInt32 COMMENT 'From 1: which of the customer''s assignments to the campaign.' CODEC(T64, ZSTD(1)),
    sequence UInt64 COMMENT 'From 1, by one, per customer and campaign; begins anew after an anonymous customer was forgotten.' CODEC(T64, ZSTD(1)),
    effective_at DateTime64(3, 'UTC') COMMENT 'When the customer was assigned.' CODEC(Delta, ZSTD(1)),
    detected_at DateTime64(3, 'UTC') COMMENT 'The clock when it was found.' CODEC(Delta, ZSTD(1)),
    backfill Bool COMMENT 'True for history: not published, known here only.',
    stages Map(LowCardinality(String), String) COMMENT 'Stage per model at the assignment, after the evaluation of that instant: the targeted segment, with segments.',
    segments Array(LowCardinality(String)) COMMENT 'Segments at the assignment, sorted.',
    cause_type LowCardinality(String) COMMENT 'event, deadline, late_event, identity, definition, erasure or expired.',
    cause_condition LowCardinality(Nullable(String)) COMMENT 'Audience of the campaign; null if another system assigns.',
    cause_left LowCardinality(Nullable(String)) COMMENT 'Always null: nothing is left by an assignment.',
    cause_event LowCardinality(Nullable(String)) COMMENT 'The event of the message that caused it, else its type.',
    cause_message_id Nullable(String) COMMENT 'messageId of that message.' CODEC(ZSTD(1)),
    cause_event_time Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of that message; before effective_at for a late event.' CODEC(ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _group LowCardinality(String) MATERIALIZED toString((CAST(campaign, 'String'), CAST(variant, 'Nullable(String)'), holdout, mapSort(CAST(stages, 'Map(String, String)')), CAST(segments, 'Array(String)'))) COMMENT 'Campaign, arm, stages and segments as one text: what KPIs group by, several times faster than by the columns.',
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, definition, campaign, customer_id, effective_at, sequence, id)
COMMENT 'Assignments as read from Kafka, repeats included: query assignments instead.';

CREATE TABLE IF NOT EXISTS {{db}}.conversions_log
(
    id FixedString(32) COMMENT 'Identifier of the conversion, lower hex: the same conversion has the same id on every replay.' CODEC(ZSTD(1)),
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    definition LowCardinality(String) COMMENT 'Name of the definition that evaluated the conversion.',
    definition_version UInt32 COMMENT 'Version of that definition.' CODEC(T64, ZSTD(1)),
    campaign LowCardinality(String) COMMENT 'Campaign of the definition.',
    goal LowCardinality(String) COMMENT 'Goal of the campaign.',
    variant LowCardinality(Nullable(String)) COMMENT 'Variant of the assignment; null in the holdout.',
    holdout Bool COMMENT 'Whether the customer is in the holdout.',
    round UInt32 COMMENT 'Round of the assignment, from 1.' CODEC(T64, ZSTD(1)),
    assigned_at DateTime64(3, 'UTC') COMMENT 'When the customer was assigned: effective_at of the assignment.' CODEC(Delta, ZSTD(1)),
    value Nullable(Decimal(18, 4)) COMMENT 'Value of the goal, in currency; null if the goal asks for none.' CODEC(ZSTD(1)),
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of value; null if none is known.',
    occurrences Nullable(UInt32) COMMENT 'How many of the goal''s event are in value, such as orders: those in the window, or the one that converted; null without a value.' CODEC(ZSTD(1)),
    unpriced UInt32 COMMENT 'Of a total: how many occurrences in the window have money of another currency than the definition''s, of which value has nothing.' CODEC(T64, ZSTD(1)),
    sequence UInt64 COMMENT 'From 1, by one, per customer, campaign and goal; begins anew after an anonymous customer was forgotten.' CODEC(T64, ZSTD(1)),
    effective_at DateTime64(3, 'UTC') COMMENT 'When it counted: the time of the event, or the close of the window for a total.' CODEC(Delta, ZSTD(1)),
    detected_at DateTime64(3, 'UTC') COMMENT 'The clock when it was found.' CODEC(Delta, ZSTD(1)),
    backfill Bool COMMENT 'True for history: not published, known here only.',
    stages Map(LowCardinality(String), String) COMMENT 'Stage per model at the assignment, after the evaluation of that instant: the targeted segment, with segments.',
    segments Array(LowCardinality(String)) COMMENT 'Segments at the assignment, sorted.',
    cause_type LowCardinality(String) COMMENT 'event, deadline, late_event, identity, definition, erasure or expired.',
    cause_condition LowCardinality(Nullable(String)) COMMENT 'Condition of the goal; null if its goal is an event.',
    cause_left LowCardinality(Nullable(String)) COMMENT 'Always null: nothing is left by a conversion.',
    cause_event LowCardinality(Nullable(String)) COMMENT 'The event of the message that caused it, else its type.',
    cause_message_id Nullable(String) COMMENT 'messageId of that message.' CODEC(ZSTD(1)),
    cause_event_time Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of that message; before effective_at for a late event.' CODEC(ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _group LowCardinality(String) MATERIALIZED toString((CAST(campaign, 'String'), CAST(variant, 'Nullable(String)'), holdout, mapSort(CAST(stages, 'Map(String, String)')), CAST(segments, 'Array(String)'), CAST(goal, 'String'))) COMMENT 'Campaign, arm, stages, segments and goal as one text: what KPIs group by, several times faster than by the columns.',
    _once UInt128 MATERIALIZED reinterpretAsUInt128(sipHash128(definition, campaign, goal, customer_id, round, assigned_at)) COMMENT 'Hash of what counts once: of the records that share it, the one with the greatest sequence counts.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, definition, campaign, goal, customer_id, assigned_at, sequence, id)
COMMENT 'Conversions as read from Kafka, repeats included: query conversions instead.';

CREATE TABLE IF NOT EXISTS {{db}}.profiles_log
(
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    stages Map(LowCardinality(String), Tuple(stage String, since DateTime64(3, 'UTC'), sequence UInt64, next_stage Nullable(String), next_deadline Nullable(DateTime64(3, 'UTC')))) COMMENT 'Per model the stage, since when, the sequence of its last change, and what comes next if nothing happens.',
    segments Array(LowCardinality(String)) COMMENT 'Segments the customer is in, sorted.',
    traits String COMMENT 'Traits, as a JSON object.' CODEC(ZSTD(3)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _deleted UInt8 COMMENT '1 for a tombstone: the customer ended.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version, _deleted)
PARTITION BY _generation
ORDER BY (_generation, customer_id)
COMMENT 'Profiles as read from Kafka, older versions and tombstones included: query profiles instead.';

CREATE TABLE IF NOT EXISTS {{db}}.activity_log
(
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    event_time DateTime64(3, 'UTC') COMMENT 'Time of the message.' CODEC(Delta, ZSTD(1)),
    message_id Nullable(String) COMMENT 'messageId of the message; null if it had none.' CODEC(ZSTD(1)),
    type LowCardinality(String) COMMENT 'Type of the message: track, identify, page, ….',
    event LowCardinality(String) COMMENT 'The event of the message, else its type.',
    occurrences Array(Tuple(event String, at DateTime64(3, 'UTC'), value Nullable(Decimal(18, 4)), key Nullable(String), refund Bool)) COMMENT 'What the message counted as: event of the definition, its own time, value (negative for a refund), deduplication key, whether it took a refund.',
    exposures Array(Tuple(campaign String, channel String, step String, machine Bool)) COMMENT 'What the message tells of: campaign, channel, step, whether a machine did it. As rows: exposures.',
    stages Map(LowCardinality(String), String) COMMENT 'Stage per model just before the message; a model is missing before the customer''s first evaluation.',
    segments Array(LowCardinality(String)) COMMENT 'Segments just before the message, sorted.',
    session_stages Map(LowCardinality(String), String) COMMENT 'Stage per model just before the first message of the session: KPIs by stage use it.',
    session_start DateTime64(3, 'UTC') COMMENT 'When the session began: with the customer, which session it is; the message''s own time for what the customer only received, which is in no session.' CODEC(Delta, ZSTD(1)),
    platform LowCardinality(String) COMMENT 'app or site; empty if the message does not tell.',
    too_late Bool COMMENT 'Whether it came after its period had closed: no count or sum has it.',
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of the values: that of the message, else that of the definition.',
    products Nullable(String) COMMENT 'The products of an order, as JSON text; null for other messages.' CODEC(ZSTD(3)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1)),
    INDEX session_start_range session_start TYPE minmax GRANULARITY 1,
    INDEX offset_range _offset TYPE minmax GRANULARITY 1,
    PROJECTION range (SELECT _generation, count(), min(event_time), max(event_time) GROUP BY _generation)
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, toDate32(event_time), event, customer_id, event_time, _topic, _partition, _offset)
SETTINGS min_bytes_for_wide_part = 67108864, deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Accepted messages as read from Kafka, repeats included: query activity instead.';

CREATE TABLE IF NOT EXISTS {{db}}.order_items_log
(
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    event LowCardinality(String) COMMENT 'Event of the definition that the order counted as, for example purchase.',
    order_key String COMMENT 'The order: the deduplication key of the event.' CODEC(ZSTD(1)),
    item UInt32 COMMENT 'Number of the product in the order, from 1.' CODEC(T64, ZSTD(1)),
    ordered_at DateTime64(3, 'UTC') COMMENT 'Time of the order.' CODEC(Delta, ZSTD(1)),
    product_id Nullable(String) COMMENT 'Product; null if the order names none.' CODEC(ZSTD(1)),
    name Nullable(String) COMMENT 'Name of the product.' CODEC(ZSTD(1)),
    category LowCardinality(Nullable(String)) COMMENT 'Category of the product.',
    quantity Nullable(Decimal(18, 4)) COMMENT 'How many of it; 1 if the product does not say; null without a product.' CODEC(ZSTD(1)),
    price Nullable(Decimal(18, 4)) COMMENT 'Price of one, in currency.' CODEC(ZSTD(1)),
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of the money in this row.',
    order_value Decimal(18, 4) COMMENT 'Value of the whole order, before refunds, on item 1; 0 on the others and if the order had no number.' CODEC(ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1)),
    PROJECTION events (SELECT _generation, event, count() GROUP BY _generation, event)
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, event, customer_id, order_key, ordered_at, item)
SETTINGS deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Products of orders as read from Kafka, repeats included, refunds left out: query order_items instead.';

CREATE TABLE IF NOT EXISTS {{db}}.refunds_log
(
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    event LowCardinality(String) COMMENT 'Event of the definition that the refunded order counted as.',
    order_key String COMMENT 'The refunded order.' CODEC(ZSTD(1)),
    ordered_at DateTime64(3, 'UTC') COMMENT 'Time of the refunded order.' CODEC(Delta, ZSTD(1)),
    refunded_at DateTime64(3, 'UTC') COMMENT 'Time of the message by which the refund was taken.' CODEC(Delta, ZSTD(1)),
    value Decimal(18, 4) COMMENT 'Change of the order''s value: negative.' CODEC(ZSTD(1)),
    message_id Nullable(String) COMMENT 'messageId of that message; null if it had none.' CODEC(ZSTD(1)),
    _occurrence UInt32 COMMENT 'Position within the record, from 0: a message may take several refunds.' CODEC(T64, ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, event, customer_id, order_key, ordered_at, _topic, _partition, _offset, _occurrence)
COMMENT 'Refunds as read from Kafka, repeats included: query order_items, where they are taken off.';

CREATE TABLE IF NOT EXISTS {{db}}.exposures_log
(
    customer_id String COMMENT 'The customer.' CODEC(ZSTD(1)),
    exposed_at DateTime64(3, 'UTC') COMMENT 'When it happened: the time of the message that told so.' CODEC(Delta, ZSTD(1)),
    campaign LowCardinality(String) COMMENT 'Campaign that the message names; empty if it names none.',
    channel LowCardinality(String) COMMENT 'Channel: email, push, sms, ….',
    step LowCardinality(String) COMMENT 'What happened: sent, delivered, opened, clicked, unsubscribed, bounced, ….',
    machine Bool COMMENT 'Whether a machine did it, such as a mail scanner that opens everything, and no person.',
    message_id Nullable(String) COMMENT 'messageId of the message that told so; null if it had none.' CODEC(ZSTD(1)),
    event LowCardinality(String) COMMENT 'The event of that message, else its type.',
    _occurrence UInt32 COMMENT 'Position within the record, from 0: a message may tell of several.' CODEC(T64, ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, campaign, customer_id, exposed_at, _topic, _partition, _offset, _occurrence)
COMMENT 'Exposures as read from Kafka, repeats included: query exposures instead.';

CREATE TABLE IF NOT EXISTS {{db}}.settings_log
(
    lane UInt32 COMMENT 'The lane.' CODEC(T64, ZSTD(1)),
    since DateTime64(3, 'UTC') COMMENT 'Clock of the lane from which on it works so; 1970 for a lane that began so.' CODEC(Delta, ZSTD(1)),
    activity LowCardinality(String) COMMENT 'What activity has: all (each accepted message), referenced (only messages that count as an event or exposure) or off (nothing).',
    aggregates Bool COMMENT 'Whether counts and sums of periods are kept (setting stream.aggregates).' CODEC(ZSTD(1)),
    session_gap_ms Int64 COMMENT 'Silence after which a session has ended, in milliseconds.' CODEC(T64, ZSTD(1)),
    close_after_ms Int64 COMMENT 'How far behind the lane''s clock totals still change, in milliseconds.' CODEC(T64, ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, lane, since)
COMMENT 'Settings as read from Kafka, repeats included: query settings instead.';

CREATE TABLE IF NOT EXISTS {{db}}.aggregates_log
(
    definition LowCardinality(String) COMMENT 'Name of the definition.',
    lane UInt32 COMMENT 'Lane that keeps this count; a total is the sum over lanes.' CODEC(T64, ZSTD(1)),
    measure LowCardinality(String) COMMENT 'event: occurrences of an event, by the stage just before; session: sessions begun, and session_event: occurrences, by the stage just before the session; transition: stage changes; customers: distinct customers; too_late: what came after its period had closed.',
    grain LowCardinality(String) COMMENT 'Length of the period: hour, day, week (from Monday) or month.',
    period DateTime64(3, 'UTC') COMMENT 'Start of the period, in the time zone of the definition, as an instant.' CODEC(Delta, ZSTD(1)),
    event LowCardinality(String) COMMENT 'Event of the definition; empty for transitions, sessions, and customers of any message.',
    model LowCardinality(String) COMMENT 'Stage model; empty: all customers, whatever their stage.',
    stage LowCardinality(String) COMMENT 'Stage held just before the event or session; empty for transitions, for rows without a model, and before the customer''s first evaluation.',
    `from` LowCardinality(String) COMMENT 'Stage left; empty but for transitions, and the first time.',
    `to` LowCardinality(String) COMMENT 'Stage entered; empty but for transitions, and in the last record of a customer.',
    cause LowCardinality(String) COMMENT 'Cause of the transitions; else empty.',
    segment LowCardinality(String) COMMENT 'Segment held just before, of those that the definition asks for; empty: all customers. Segments overlap: they do not add up.',
    platform LowCardinality(String) COMMENT 'app or site, of sessions and their events; empty if unknown, and for other measures.',
    count Int64 COMMENT 'How many, in this lane and period: an absolute value.' CODEC(T64, ZSTD(1)),
    sum Decimal(18, 4) COMMENT 'Sum of the values, refunds taken off, in the currency of the definition: an absolute value.' CODEC(ZSTD(1)),
    sum_squares Decimal(38, 8) COMMENT 'Sum of the squares of the occurrences'' values, refunds taken off each: with count and sum, the variance.' CODEC(ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _group LowCardinality(String) MATERIALIZED concat(model, '\0', event, '\0', stage, '\0', `from`, '\0', `to`, '\0', cause, '\0', segment, '\0', platform) COMMENT 'All that is counted apart within a period, as one text, NUL between its parts: what KPIs group by, several times faster than by the columns.',
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, definition, measure, grain, period, _group, lane)
COMMENT 'Absolute counts and sums as read from Kafka, older versions included: query aggregates instead.';

CREATE TABLE IF NOT EXISTS {{db}}.customers_log
(
    definition LowCardinality(String) COMMENT 'Name of the definition.',
    lane UInt32 COMMENT 'Lane whose customers are counted; each customer has one, so a total is the sum over lanes.' CODEC(T64, ZSTD(1)),
    grain LowCardinality(String) COMMENT 'Length of the period: hour, day, week (from Monday) or month; empty for the mark up to where all has been counted.',
    period DateTime64(3, 'UTC') COMMENT 'Start of the period, in the time zone of the definition, as an instant.' CODEC(Delta, ZSTD(1)),
    event LowCardinality(String) COMMENT 'Event of the definition; empty: any message.',
    model LowCardinality(String) COMMENT 'Stage model; empty: all customers, whatever their stage.',
    stage LowCardinality(String) COMMENT 'Stage held just before one of the messages; a customer counts in each.',
    count Int64 COMMENT 'Distinct customers: an absolute value; 0 if they have since been counted by the dates of another time zone. Of the mark, the next offset of activity to count.' CODEC(T64, ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the activity that was counted.',
    _partition UInt32 COMMENT 'Its partition: the lane.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Last offset that was counted.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the activity.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, definition, grain, model, event, stage, period, lane)
COMMENT 'Distinct customers as counted, older versions included: query aggregates instead, measure customers.';

CREATE TABLE IF NOT EXISTS {{db}}.definitions_log
(
    name LowCardinality(String) COMMENT 'Name of the definition.',
    version UInt32 COMMENT 'Its version.' CODEC(T64, ZSTD(1)),
    hash String COMMENT 'SHA-256 of the file, lower hex.' CODEC(ZSTD(1)),
    timezone LowCardinality(String) COMMENT 'Time zone of days, Monday weeks and months.',
    currency LowCardinality(Nullable(String)) COMMENT 'Currency of its money; null if the file names none.',
    activated_at DateTime64(3, 'UTC') COMMENT 'When it went live.' CODEC(ZSTD(1)),
    models String COMMENT 'Its stage models, as JSON: name, stages, order, churned and at_risk of each.' CODEC(ZSTD(3)),
    segments String COMMENT 'Its segments, as JSON.' CODEC(ZSTD(3)),
    campaigns String COMMENT 'Its campaigns, as JSON: what the views campaigns, campaign_variants and campaign_goals show.' CODEC(ZSTD(3)),
    global_holdout Float64 COMMENT 'Share of the customers that is kept out of every campaign, 0 to 1.' CODEC(ZSTD(1)),
    source String COMMENT 'The file.' CODEC(ZSTD(3)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the stream that wrote the record.' CODEC(ZSTD(1)),
    _version UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(_generation), 48), _offset) COMMENT 'Generation and offset: of two rows of one key the greater counts.' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY _generation
ORDER BY (_generation, name, version)
COMMENT 'Definitions that went live, as read from Kafka, repeats included: query definitions instead.';

CREATE TABLE IF NOT EXISTS {{db}}.rates_log
(
    currency LowCardinality(String) COMMENT 'Currency of the money, for example USD.',
    day Date COMMENT 'Day the rate is of; an amount counts at the rate of its own day.',
    rate Decimal(18, 8) COMMENT 'What one unit of it is worth in the currency of the definition.',
    inserted_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When the row was written: of a currency and day the newest counts.'
)
ENGINE = ReplacingMergeTree(inserted_at)
ORDER BY (currency, day)
COMMENT 'Exchange rates, written with plain INSERTs by people or a job: query rates instead.';

CREATE TABLE IF NOT EXISTS {{db}}.unreadable_log
(
    reason String COMMENT 'Why the record could not be read.' CODEC(ZSTD(1)),
    value String COMMENT 'Its bytes, unchanged.' CODEC(ZSTD(3)),
    _topic LowCardinality(String) COMMENT 'Kafka topic the record was read from.',
    _partition UInt32 COMMENT 'Kafka partition the record was read from.' CODEC(T64, ZSTD(1)),
    _offset UInt64 COMMENT 'Kafka offset of the record.' CODEC(Delta, ZSTD(1)),
    _generation UInt16 COMMENT 'Generation of the sink that met the record.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY _generation
ORDER BY (_generation, _topic, _partition, _offset)
COMMENT 'Records the sink could not read, repeats included: query unreadable instead. No other table has a row of them.';
