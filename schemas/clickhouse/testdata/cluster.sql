CREATE DATABASE IF NOT EXISTS lapwing ON CLUSTER 'main';

CREATE TABLE IF NOT EXISTS lapwing.migrations ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/lapwing/migrations', '{shard}-{replica}')
ORDER BY (version, checksum, cluster)
COMMENT 'Migrations carried out in this database; lapwing migrate writes it.';

CREATE TABLE IF NOT EXISTS lapwing.generations_log ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/lapwing/generations_log', '{shard}-{replica}')
ORDER BY (switched_at, generation)
COMMENT 'Which generation the views show: one row for each switch.';

CREATE TABLE IF NOT EXISTS lapwing.stage_changes_log_local ON CLUSTER 'main'
(
    …
    PROJECTION range (SELECT _generation, count(), min(effective_at), max(effective_at) GROUP BY _generation)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/stage_changes_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, definition, model, customer_id, effective_at, sequence, id)
SETTINGS deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Stage changes as read from Kafka, repeats included: query stage_changes instead.';

CREATE TABLE IF NOT EXISTS lapwing.stage_changes_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'stage_changes_log_local', cityHash64(customer_id))
COMMENT 'Stage changes as read from Kafka, repeats included: query stage_changes instead.';

CREATE TABLE IF NOT EXISTS lapwing.segment_changes_log_local ON CLUSTER 'main'
(
    …
    PROJECTION range (SELECT _generation, count(), min(effective_at), max(effective_at) GROUP BY _generation)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/segment_changes_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, definition, segment, customer_id, effective_at, sequence, id)
SETTINGS deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Segment changes as read from Kafka, repeats included: query segment_changes instead.';

CREATE TABLE IF NOT EXISTS lapwing.segment_changes_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'segment_changes_log_local', cityHash64(customer_id))
COMMENT 'Segment changes as read from Kafka, repeats included: query segment_changes instead.';

CREATE TABLE IF NOT EXISTS lapwing.assignments_log_local ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/assignments_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, definition, campaign, customer_id, effective_at, sequence, id)
COMMENT 'Assignments as read from Kafka, repeats included: query assignments instead.';

CREATE TABLE IF NOT EXISTS lapwing.assignments_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'assignments_log_local', cityHash64(customer_id))
COMMENT 'Assignments as read from Kafka, repeats included: query assignments instead.';

CREATE TABLE IF NOT EXISTS lapwing.conversions_log_local ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/conversions_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, definition, campaign, goal, customer_id, assigned_at, sequence, id)
COMMENT 'Conversions as read from Kafka, repeats included: query conversions instead.';

CREATE TABLE IF NOT EXISTS lapwing.conversions_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'conversions_log_local', cityHash64(customer_id))
COMMENT 'Conversions as read from Kafka, repeats included: query conversions instead.';

CREATE TABLE IF NOT EXISTS lapwing.profiles_log_local ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/profiles_log_local', '{replica}', _version, _deleted)
PARTITION BY _generation
ORDER BY (_generation, customer_id)
COMMENT 'Profiles as read from Kafka, older versions and tombstones included: query profiles instead.';

CREATE TABLE IF NOT EXISTS lapwing.profiles_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'profiles_log_local', cityHash64(customer_id))
COMMENT 'Profiles as read from Kafka, older versions and tombstones included: query profiles instead.';

CREATE TABLE IF NOT EXISTS lapwing.activity_log_local ON CLUSTER 'main'
(
    …
    PROJECTION range (SELECT _generation, count(), min(event_time), max(event_time) GROUP BY _generation)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/activity_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, toDate32(event_time), event, customer_id, event_time, _topic, _partition, _offset)
SETTINGS min_bytes_for_wide_part = 67108864, deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Accepted messages as read from Kafka, repeats included: query activity instead.';

CREATE TABLE IF NOT EXISTS lapwing.activity_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'activity_log_local', cityHash64(customer_id))
COMMENT 'Accepted messages as read from Kafka, repeats included: query activity instead.';

CREATE TABLE IF NOT EXISTS lapwing.order_items_log_local ON CLUSTER 'main'
(
    …
    PROJECTION events (SELECT _generation, event, count() GROUP BY _generation, event)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/order_items_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, event, customer_id, order_key, ordered_at, item)
SETTINGS deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Products of orders as read from Kafka, repeats included, refunds left out: query order_items instead.';

CREATE TABLE IF NOT EXISTS lapwing.order_items_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'order_items_log_local', cityHash64(customer_id))
COMMENT 'Products of orders as read from Kafka, repeats included, refunds left out: query order_items instead.';

CREATE TABLE IF NOT EXISTS lapwing.refunds_log_local ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/refunds_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, event, customer_id, order_key, ordered_at, _topic, _partition, _offset, _occurrence)
COMMENT 'Refunds as read from Kafka, repeats included: query order_items, where they are taken off.';

CREATE TABLE IF NOT EXISTS lapwing.refunds_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'refunds_log_local', cityHash64(customer_id))
COMMENT 'Refunds as read from Kafka, repeats included: query order_items, where they are taken off.';

CREATE TABLE IF NOT EXISTS lapwing.exposures_log_local ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/exposures_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, campaign, customer_id, exposed_at, _topic, _partition, _offset, _occurrence)
COMMENT 'Exposures as read from Kafka, repeats included: query exposures instead.';

CREATE TABLE IF NOT EXISTS lapwing.exposures_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'exposures_log_local', cityHash64(customer_id))
COMMENT 'Exposures as read from Kafka, repeats included: query exposures instead.';

CREATE TABLE IF NOT EXISTS lapwing.settings_log_local ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/settings_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, lane, since)
COMMENT 'Settings as read from Kafka, repeats included: query settings instead.';

CREATE TABLE IF NOT EXISTS lapwing.settings_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'settings_log_local', cityHash64(lane))
COMMENT 'Settings as read from Kafka, repeats included: query settings instead.';

CREATE TABLE IF NOT EXISTS lapwing.aggregates_log_local ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/aggregates_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, definition, measure, grain, period, _group, lane)
COMMENT 'Absolute counts and sums as read from Kafka, older versions included: query aggregates instead.';

CREATE TABLE IF NOT EXISTS lapwing.aggregates_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'aggregates_log_local', cityHash64(lane))
COMMENT 'Absolute counts and sums as read from Kafka, older versions included: query aggregates instead.';

CREATE TABLE IF NOT EXISTS lapwing.customers_log_local ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/lapwing/customers_log_local', '{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, definition, grain, model, event, stage, period, lane)
COMMENT 'Distinct customers as counted, older versions included: query aggregates instead, measure customers.';

CREATE TABLE IF NOT EXISTS lapwing.customers_log ON CLUSTER 'main'
(
    …
)
ENGINE = Distributed('main', 'lapwing', 'customers_log_local', cityHash64(lane))
COMMENT 'Distinct customers as counted, older versions included: query aggregates instead, measure customers.';

CREATE TABLE IF NOT EXISTS lapwing.definitions_log ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/lapwing/definitions_log', '{shard}-{replica}', _version)
PARTITION BY _generation
ORDER BY (_generation, name, version)
COMMENT 'Definitions that went live, as read from Kafka, repeats included: query definitions instead.';

CREATE TABLE IF NOT EXISTS lapwing.rates_log ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/lapwing/rates_log', '{shard}-{replica}', inserted_at)
ORDER BY (currency, day)
COMMENT 'Exchange rates, written with plain INSERTs by people or a job: query rates instead.';

CREATE TABLE IF NOT EXISTS lapwing.unreadable_log ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/lapwing/unreadable_log', '{shard}-{replica}')
PARTITION BY _generation
ORDER BY (_generation, _topic, _partition, _offset)
COMMENT 'Records the sink could not read, repeats included: query unreadable instead. No other table has a row of them.';

CREATE OR REPLACE VIEW lapwing.current_generation ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.stage_changes ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.segment_changes ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.assignments ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.conversions ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.profiles ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.activity ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.exposures ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.settings ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.aggregates ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.definitions ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.rates ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.unreadable ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.order_items ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.stage_intervals ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.sessions ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.activity_mode ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.live_definition ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.model_stages ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaigns ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_variants ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_goals ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_clock ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.live ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_periods ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.period_changes ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.period_steps ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.period_transitions ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_flow ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_flow_by_hour ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_stage_population ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_churn ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_reactivation ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_time_in_stage ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_totals ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_repeat_rate ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_new_to_second ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_revenue_by_stage ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_events_by_hour ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.orders ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.customer_orders ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.customer_rfm ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_rfm ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_lifetime_value ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_retention ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.baskets ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_bought_together ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_stage_moves ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_stage_retention ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_segment_population ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.activity_refusal ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.event_occurrences ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.session_totals ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_sessions ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_session_events ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_events_per_order ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_engagement ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_visits_without_order ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_stage_visits ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_event_customers ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_followed ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_time_to_order ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_onboarding ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_carts ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_messages ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_targeted_events ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_invitations ON CLUSTER 'main'
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_thresholds ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE TABLE IF NOT EXISTS lapwing.kept_log ON CLUSTER 'main'
(
    …
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/lapwing/kept_log', '{shard}-{replica}', taken_at)
ORDER BY name
SETTINGS index_granularity = 1
COMMENT 'KPIs that are kept, as written by the sink or lapwing kpi keep: query kept instead.';

CREATE OR REPLACE VIEW lapwing.kept ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_clock ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_former ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_assigned ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_converted ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_comparisons ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_rate_tests ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_lift ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_factors ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_mean_tests ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_revenue ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_rise ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_costs ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.campaign_reached ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_conversion ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_funnel ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_journey ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_time_to_convert ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_by_period ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_observed ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_attributed_revenue ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_return ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_trust ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.global_holdout ON CLUSTER 'main'
(
    …
)
AS SELECT …;
