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
SETTINGS deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild'
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
ORDER BY (_generation, definition, measure, grain, period, model, event, stage, `from`, `to`, cause, segment, platform, lane)
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
COMMENT 'KPIs that are kept, as written by lapwing kpi keep: query kept instead.';

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

CREATE OR REPLACE VIEW lapwing.campaign_assigned ON CLUSTER 'main'
(
    …
)
AS WITH
    (SELECT known FROM lapwing.campaign_clock) AS known,
    tupleElement(known, 'now_ms') AS now_ms,
    tupleElement(known, 'windows') AS windows,
    tupleElement(known, 'campaigns') AS campaigns,
    tupleElement(known, 'goals') AS goals,
    tupleElement(known, 'shares_since') AS shares_since,
    tupleElement(known, 'again') AS again
SELECT
    campaign,
    tupleElement(aim, 1) AS goal,
    tupleElement(aim, 3) AS kind,
    tupleElement(held, 1) AS by,
    tupleElement(held, 2) AS model,
    tupleElement(held, 3) AS target,
    arm,
    holdout,
    ifNull(closed[indexOf(windows, tupleElement(aim, 2))], 0) AS assigned,
    toUInt64(customers - assigned) AS open,
    of_the_shares AS comparable
FROM
(
    SELECT campaign, arm, holdout, held, sum(customers) AS customers, sumForEach(closed) AS closed, sum(of_the_shares) AS of_the_shares
    FROM
    (
        SELECT
            campaign,
            arm,
            holdout,
            held,
            if(who = '', sum(n), 1) AS customers,
            if(who = '', sumForEach(passed), arrayMap(p -> toUInt64(p > 0), sumForEach(passed))) AS closed,
            if(who = '', sum(m), toUInt64(sum(m) > 0)) AS of_the_shares
        FROM
        (
            SELECT
                who,
                n,
                passed,
                m,
                CAST(_group, 'Tuple(String, Nullable(String), Bool, Map(String, String), Array(String))') AS kept,
                tupleElement(kept, 1) AS campaign,
                ifNull(tupleElement(kept, 2), '') AS arm,
                tupleElement(kept, 3) AS holdout,
                arrayJoin(arrayConcat(
                    [('everyone', '', '')],
                    arrayMap((m, s) -> ('stage', m, s), mapKeys(tupleElement(kept, 4)), mapValues(tupleElement(kept, 4))),
                    arrayMap(s -> ('segment', '', s), tupleElement(kept, 5)))) AS held
            FROM
            (
                SELECT
                    _group,
                    if(notEmpty(again), if(has(again, campaign), customer_id, ''), '') AS who,
                    count() AS n,
                    sumForEach(arrayMap(w -> toUInt64(toUnixTimestamp64Milli(effective_at) + w <= now_ms), windows)) AS passed,
                    countIf(round = 1 AND definition_version >= transform(campaign, campaigns, shares_since, toUInt32(0))) AS m
                FROM lapwing.assignments_log FINAL
                WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
                GROUP BY _group, who
            )
        )
        GROUP BY campaign, arm, holdout, held, who
    )
    GROUP BY campaign, arm, holdout, held
)
ARRAY JOIN goals[indexOf(campaigns, campaign)] AS aim
COMMENT 'Customers assigned, by campaign, goal, targeted segment and arm.';

CREATE OR REPLACE VIEW lapwing.campaign_converted ON CLUSTER 'main'
(
    …
)
AS WITH
    (SELECT known FROM lapwing.campaign_clock) AS known,
    tupleElement(known, 'now_ms') AS now_ms,
    tupleElement(known, 'windows') AS windows,
    tupleElement(known, 'campaigns') AS campaigns,
    tupleElement(known, 'goals') AS goals,
    tupleElement(known, 'again') AS again,
    tupleElement(known, 'currency') AS currency_of_all
SELECT
    campaign,
    goal,
    kind,
    tupleElement(held, 1) AS by,
    tupleElement(held, 2) AS model,
    tupleElement(held, 3) AS target,
    arm,
    holdout,
    sum(customers) AS converted,
    sum(records) AS conversions,
    sum(amount) AS total,
    sum(squared) AS squares,
    sum(unrated) AS without_rate
FROM
(
    SELECT
        campaign,
        goal,
        kind,
        arm,
        holdout,
        held,
        if(who = '', sum(n), 1) AS customers,
        sum(n) AS records,
        sum(s) AS amount,
        if(who = '', sum(ss), sum(s) * sum(s)) AS squared,
        sum(u) AS unrated
    FROM
    (
        SELECT
            who,
            n,
            s,
            ss,
            u,
            CAST(_group, 'Tuple(String, Nullable(String), Bool, Map(String, String), Array(String), String)') AS kept,
            tupleElement(kept, 1) AS campaign,
            ifNull(tupleElement(kept, 2), '') AS arm,
            tupleElement(kept, 3) AS holdout,
            tupleElement(kept, 6) AS goal,
            arrayFirst(g -> tupleElement(g, 1) = goal, goals[indexOf(campaigns, campaign)]) AS live,
            tupleElement(live, 3) AS kind,
            arrayJoin(arrayConcat(
                [('everyone', '', '')],
                arrayMap((m, s) -> ('stage', m, s), mapKeys(tupleElement(kept, 4)), mapValues(tupleElement(kept, 4))),
                arrayMap(s -> ('segment', '', s), tupleElement(kept, 5)))) AS held
        FROM
        (
            SELECT
                _group,
                if(notEmpty(again), if(has(again, campaign), customer_id, ''), '') AS who,
                arrayCount(w -> toUnixTimestamp64Milli(assigned_at) + w <= now_ms, windows) AS passed,
                count() AS n,
                toInt256(0) AS s,
                toInt256(0) AS ss,
                toUInt64(0) AS u
            FROM lapwing.conversions_log FINAL
            WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND value IS NULL
            GROUP BY _group, who, passed
            UNION ALL
            SELECT
                _group,
                who,
                arrayCount(w -> toUnixTimestamp64Milli(at) + w <= now_ms, windows) AS passed,
                count() AS n,
                sum(ifNull(units, 0)) AS s,
                sum(ifNull(units, 0) * ifNull(units, 0)) AS ss,
                countIf(units IS NULL) AS u
            FROM
            (
                SELECT
                    c._group AS _group,
                    c.who AS who,
                    c.at AS at,
                    toInt256(multiIf(
                        c.money IN ('', currency_of_all) OR currency_of_all = '', toDecimal128(c.latest, 4),
                        r.rate > 0, roundBankers(toDecimal128(c.latest, 4) * r.rate, 4),
                        NULL) * 10000) AS units
                FROM
                (
                    SELECT
                        _group,
                        if(notEmpty(again), if(has(again, campaign), customer_id, ''), '') AS who,
                        assigned_at AS at,
                        assumeNotNull(value) AS latest,
                        ifNull(toString(currency), '') AS money,
                        toDate(effective_at, tupleElement(known, 'timezone')) AS day
                    FROM lapwing.conversions_log FINAL
                    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND value IS NOT NULL
                        AND _once NOT IN (SELECT _once FROM lapwing.conversions_log WHERE _generation = tupleElement(known, 'generation') AND sequence > 1)
                    UNION ALL
                    SELECT
                        any(_group) AS _group,
                        any(if(notEmpty(again), if(has(again, campaign), customer_id, ''), '')) AS who,
                        any(assigned_at) AS at,
                        argMax(assumeNotNull(value), sequence) AS latest,
                        argMax(ifNull(toString(currency), ''), sequence) AS money,
                        toDate(argMax(effective_at, sequence), tupleElement(known, 'timezone')) AS day
                    FROM lapwing.conversions_log FINAL
                    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND value IS NOT NULL
                        AND _once IN (SELECT _once FROM lapwing.conversions_log WHERE _generation = tupleElement(known, 'generation') AND sequence > 1)
                    GROUP BY _once
                ) AS c
                LEFT JOIN lapwing.rates AS r ON r.currency = c.money AND r.day = c.day
            )
            GROUP BY _group, who, passed
        )
        WHERE notEmpty(tupleElement(live, 1)) AND indexOf(windows, tupleElement(live, 2)) <= passed
    )
    GROUP BY campaign, goal, kind, arm, holdout, held, who
)
GROUP BY campaign, goal, kind, held, arm, holdout
SETTINGS join_use_nulls = 0
COMMENT 'Customers who converted and what it was worth, by campaign, goal, targeted segment and arm; closed windows only.';

CREATE OR REPLACE VIEW lapwing.campaign_comparisons ON CLUSTER 'main'
(
    …
)
AS WITH

(k, n) -> (k + 1.9207294103470617 - 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonLow,
(k, n) -> (k + 1.9207294103470617 + 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonHigh,

(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 - sqrt(pow(k1 / n1 - wilsonLow(k1, n1), 2) + pow(wilsonHigh(k0, n0) - k0 / n0, 2)) AS newcombeLow,
(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 + sqrt(pow(wilsonHigh(k1, n1) - k1 / n1, 2) + pow(k0 / n0 - wilsonLow(k0, n0), 2)) AS newcombeHigh,

(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0)) AS ratioOf,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(-1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioLow,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioHigh,

(z) -> erfc(abs(z) / 1.4142135623730951) AS normalTails,

(k1, n1, k0, n0) -> if(k1 + k0 = 0 OR k1 + k0 = n1 + n0, NULL, (k1 / n1 - k0 / n0) / sqrt((k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0))) AS pooledZ,

(deviation, n1, n0) -> 2.8015852181129685 * deviation * sqrt(1 / n1 + 1 / n0) AS detectable,

(x, df) -> if(df % 2 = 0,
    exp(-x / 2) * arraySum(j -> pow(x / 2, j) / tgamma(j + 1), range(toUInt64(intDiv(df, 2)))),
    erfc(sqrt(x / 2)) + exp(-x / 2) * arraySum(j -> pow(x / 2, j + 0.5) / tgamma(j + 1.5), range(toUInt64(intDiv(df, 2))))) AS chiSquareTail,

(n, scatter) -> toFloat64(scatter) / n / (n - 1) AS varianceOf,
(n1, v1, n0, v0) -> sqrt(v1 / n1 + v0 / n0) AS welchError,
(n1, v1, n0, v0) -> pow(v1 / n1 + v0 / n0, 2) / (pow(v1 / n1, 2) / (n1 - 1) + pow(v0 / n0, 2) / (n0 - 1)) AS welchFreedom,

(df) -> 1.95996398454014459 + (2.37227123018175785 + (2.82249864150137945 + (2.55584742629891168 + (1.58963528126427842 + (0.73028811524158219 + (0.667705266775355282 - 0.235279153062060956 / df) / df) / df) / df) / df) / df) / df AS studentPoint,
(df) -> if(df < 200, exp(lgamma((df + 1) / 2) - lgamma(df / 2)), sqrt(df / 2) * (1 - 1 / (4 * df) + 1 / (32 * df * df) + 5 / (128 * pow(df, 3)) - 21 / (2048 * pow(df, 4)))) / 1.7724538509055159 AS studentFactor,
(t, df) -> atan(least(abs(t), 7.5 + 300 / df) / sqrt(df)) AS studentAngle,
(t, df) -> greatest(0, 1 - 2 * studentFactor(df) * studentAngle(t, df) * arraySum((x, w) -> w * exp((1 - df) / 2 * log1p(pow(tan(studentAngle(t, df) * x), 2))),
    [0.0052995325041750307, 0.0277124884633837, 0.067184398806084122, 0.1222977958224985, 0.19106187779867811, 0.27099161117138632, 0.35919822461037054, 0.45249374508118129, 0.54750625491881877, 0.64080177538962946, 0.72900838882861363, 0.80893812220132189, 0.87770220417750155, 0.93281560119391593, 0.9722875115366163, 0.99470046749582497],
    [0.013576229705877088, 0.031126761969323728, 0.047579255841246303, 0.062314485627767036, 0.074797994408288354, 0.084578259697501323, 0.09130170752246182, 0.09472530522753432, 0.09472530522753432, 0.09130170752246182, 0.084578259697501323, 0.074797994408288354, 0.062314485627767036, 0.047579255841246303, 0.031126761969323728, 0.013576229705877088])) AS studentTails,

(k1, n1, k0, n0) -> sqrt(greatest(
    (k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0),
    (k1 + 1) * (n1 - k1 + 1) / pow(n1 + 2, 2) / n1 + (k0 + 1) * (n0 - k0 + 1) / pow(n0 + 2, 2) / n0)) AS sequentialError,
(z, m) -> least(1, sqrt(1 + 0.01 * m) * exp(-z * z / 2 * (0.01 * m) / (1 + 0.01 * m))) AS sequentialTail,
(m) -> sqrt((1 + 1 / (0.01 * m)) * (log(1 + 0.01 * m) + 5.991464547107982)) AS sequentialPoint,
    (list) -> ('', arraySum(a -> tupleElement(a, 2), list), arraySum(a -> tupleElement(a, 3), list), arraySum(a -> tupleElement(a, 4), list), arraySum(a -> tupleElement(a, 5), list), arraySum(a -> tupleElement(a, 6), list), arraySum(a -> tupleElement(a, 7), list)) AS together,
    (SELECT known FROM lapwing.campaign_clock) AS known
SELECT
    campaign,
    goal,
    kind,
    by,
    model,
    target,
    tupleElement(pair, 1) AS comparison,
    tupleElement(pair, 2) AS variant,
    tupleElement(pair, 3) AS factor,
    tupleElement(pair, 4) AS level,
    toFloat64(tupleElement(one, 2)) AS n1,
    toFloat64(tupleElement(one, 3)) AS k1,
    tupleElement(one, 4) AS t1,
    tupleElement(one, 5) AS q1,
    toFloat64(tupleElement(other, 2)) AS n0,
    toFloat64(tupleElement(other, 3)) AS k0,
    tupleElement(other, 4) AS t0,
    tupleElement(other, 5) AS q0,
    tupleElement(one, 6) AS conversions,
    tupleElement(one, 7) + tupleElement(other, 7) AS without_rate,
    open,
    held AS held_out,
    CAST(has_ended AND open = 0 AS Bool) AS planned,
    sample_ratio AS sample_ratio_p
FROM
(
    SELECT *, tupleElement(pair, 5)[1] AS one, tupleElement(pair, 5)[2] AS other
    FROM
    (
        SELECT
            *,
            arrayJoin(arrayConcat(
                arrayMap(a -> ('variant', tupleElement(a, 1), '', '', [a, control]), treated),
                if(length(treated) > 1, [('variants', '', '', '', [together(treated), control])], []),
                arrayMap(l -> ('factor', '', tupleElement(l, 1), tupleElement(l, 2), [
                        together(arrayFilter(a -> has(properties, (tupleElement(a, 1), tupleElement(l, 1), tupleElement(l, 2))), treated)),
                        together(arrayFilter(a -> arrayExists(p -> tupleElement(p, 1) = tupleElement(a, 1) AND tupleElement(p, 2) = tupleElement(l, 1) AND tupleElement(p, 3) != tupleElement(l, 2), properties), treated))]),
                    if(by = 'everyone', arraySort(arrayDistinct(arrayMap(p -> (tupleElement(p, 2), tupleElement(p, 3)), properties))), [])))) AS pair
        FROM
        (
            SELECT
                *,
                together(held_out) AS control,
                multiIf(
                    length(shares) < 2 OR customers = 0, NULL,
                    arrayExists(o -> tupleElement(o, 2) > 0 AND NOT has(arrayMap(a -> tupleElement(a, 1), shares), tupleElement(o, 1)), observed), 0,
                    arrayMin(a -> customers * tupleElement(a, 2), shares) < 5, NULL,
                    chiSquareTail(arraySum(a -> pow(arraySum(o -> if(tupleElement(o, 1) = tupleElement(a, 1), tupleElement(o, 2), 0), observed) - customers * tupleElement(a, 2), 2) / (customers * tupleElement(a, 2)), shares), length(shares) - 1)) AS sample_ratio
            FROM
            (
                SELECT *, arraySum(o -> tupleElement(o, 2), observed) AS customers
                FROM
                (
                    SELECT
                        *,
                        indexOf(tupleElement(known, 'campaigns'), campaign) AS n,
                        tupleElement(known, 'factors')[n] AS properties,
                        tupleElement(known, 'ended')[n] AS has_ended,
                        arrayFilter(a -> tupleElement(a, 2) > 0, tupleElement(known, 'arms')[n]) AS shares,
                        anyIf(seen, by = 'everyone') OVER (PARTITION BY campaign) AS observed
                    FROM
                    (
                        SELECT
                            a.campaign AS campaign,
                            a.goal AS goal,
                            a.kind AS kind,
                            a.by AS by,
                            a.model AS model,
                            a.target AS target,
                            arraySort(groupArrayIf((a.arm, a.assigned, c.converted, c.total, c.squares, c.conversions, c.without_rate), NOT a.holdout)) AS treated,
                            groupArrayIf((a.arm, a.assigned, c.converted, c.total, c.squares, c.conversions, c.without_rate), a.holdout) AS held_out,
                            groupArray((a.arm, a.comparable)) AS seen,
                            sum(a.open) AS open,
                            sumIf(a.assigned + a.open, a.holdout) AS held
                        FROM lapwing.campaign_assigned AS a
                        LEFT JOIN lapwing.campaign_converted AS c
                            ON c.campaign = a.campaign AND c.goal = a.goal AND c.by = a.by AND c.model = a.model AND c.target = a.target AND c.arm = a.arm AND c.holdout = a.holdout
                        GROUP BY a.campaign, a.goal, a.kind, a.by, a.model, a.target
                    )
                )
            )
        )
    )
)
SETTINGS join_use_nulls = 0
COMMENT 'What the statistics of campaigns compare: treated customers (1) with others (0).';

CREATE OR REPLACE VIEW lapwing.campaign_rate_tests ON CLUSTER 'main'
(
    …
)
AS WITH -- SPDX-License-Identifier: Apache-2.0

(k, n) -> (k + 1.9207294103470617 - 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonLow,
(k, n) -> (k + 1.9207294103470617 + 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonHigh,

(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 - sqrt(pow(k1 / n1 - wilsonLow(k1, n1), 2) + pow(wilsonHigh(k0, n0) - k0 / n0, 2)) AS newcombeLow,
(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 + sqrt(pow(wilsonHigh(k1, n1) - k1 / n1, 2) + pow(k0 / n0 - wilsonLow(k0, n0), 2)) AS newcombeHigh,

(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0)) AS ratioOf,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(-1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioLow,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioHigh,

(z) -> erfc(abs(z) / 1.4142135623730951) AS normalTails,

(k1, n1, k0, n0) -> if(k1 + k0 = 0 OR k1 + k0 = n1 + n0, NULL, (k1 / n1 - k0 / n0) / sqrt((k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0))) AS pooledZ,

(deviation, n1, n0) -> 2.8015852181129685 * deviation * sqrt(1 / n1 + 1 / n0) AS detectable,

(x, df) -> if(df % 2 = 0,
    exp(-x / 2) * arraySum(j -> pow(x / 2, j) / tgamma(j + 1), range(toUInt64(intDiv(df, 2)))),
    erfc(sqrt(x / 2)) + exp(-x / 2) * arraySum(j -> pow(x / 2, j + 0.5) / tgamma(j + 1.5), range(toUInt64(intDiv(df, 2))))) AS chiSquareTail,

(n, scatter) -> toFloat64(scatter) / n / (n - 1) AS varianceOf,
(n1, v1, n0, v0) -> sqrt(v1 / n1 + v0 / n0) AS welchError,
(n1, v1, n0, v0) -> pow(v1 / n1 + v0 / n0, 2) / (pow(v1 / n1, 2) / (n1 - 1) + pow(v0 / n0, 2) / (n0 - 1)) AS welchFreedom,

(df) -> 1.95996398454014459 + (2.37227123018175785 + (2.82249864150137945 + (2.55584742629891168 + (1.58963528126427842 + (0.73028811524158219 + (0.667705266775355282 - 0.235279153062060956 / df) / df) / df) / df) / df) / df) / df AS studentPoint,
(df) -> if(df < 200, exp(lgamma((df + 1) / 2) - lgamma(df / 2)), sqrt(df / 2) * (1 - 1 / (4 * df) + 1 / (32 * df * df) + 5 / (128 * pow(df, 3)) - 21 / (2048 * pow(df, 4)))) / 1.7724538509055159 AS studentFactor,
(t, df) -> atan(least(abs(t), 7.5 + 300 / df) / sqrt(df)) AS studentAngle,
(t, df) -> greatest(0, 1 - 2 * studentFactor(df) * studentAngle(t, df) * arraySum((x, w) -> w * exp((1 - df) / 2 * log1p(pow(tan(studentAngle(t, df) * x), 2))),
    [0.0052995325041750307, 0.0277124884633837, 0.067184398806084122, 0.1222977958224985, 0.19106187779867811, 0.27099161117138632, 0.35919822461037054, 0.45249374508118129, 0.54750625491881877, 0.64080177538962946, 0.72900838882861363, 0.80893812220132189, 0.87770220417750155, 0.93281560119391593, 0.9722875115366163, 0.99470046749582497],
    [0.013576229705877088, 0.031126761969323728, 0.047579255841246303, 0.062314485627767036, 0.074797994408288354, 0.084578259697501323, 0.09130170752246182, 0.09472530522753432, 0.09472530522753432, 0.09130170752246182, 0.084578259697501323, 0.074797994408288354, 0.062314485627767036, 0.047579255841246303, 0.031126761969323728, 0.013576229705877088])) AS studentTails,

(k1, n1, k0, n0) -> sqrt(greatest(
    (k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0),
    (k1 + 1) * (n1 - k1 + 1) / pow(n1 + 2, 2) / n1 + (k0 + 1) * (n0 - k0 + 1) / pow(n0 + 2, 2) / n0)) AS sequentialError,
(z, m) -> least(1, sqrt(1 + 0.01 * m) * exp(-z * z / 2 * (0.01 * m) / (1 + 0.01 * m))) AS sequentialTail,
(m) -> sqrt((1 + 1 / (0.01 * m)) * (log(1 + 0.01 * m) + 5.991464547107982)) AS sequentialPoint
SELECT
    campaign,
    goal,
    by,
    model,
    target,
    comparison,
    variant,
    factor,
    level,
    toUInt64(a.n1) AS n1,
    toUInt64(a.k1) AS k1,
    toUInt64(a.n0) AS n0,
    toUInt64(a.k0) AS k0,
    open,
    held_out,
    if(told, r1 - r0, NULL) AS difference,
    if(told, newcombeLow(a.k1, a.n1, a.k0, a.n0), NULL) AS difference_low,
    if(told, newcombeHigh(a.k1, a.n1, a.k0, a.n0), NULL) AS difference_high,
    if(told, ratioOf(a.k1, a.n1, a.k0, a.n0), NULL) AS ratio,
    if(told, ratioLow(a.k1, a.n1, a.k0, a.n0), NULL) AS ratio_low,
    if(told, ratioHigh(a.k1, a.n1, a.k0, a.n0), NULL) AS ratio_high,
    p AS always_valid_p,
    if(p IS NULL, NULL, max(least(1, tests_left * p)) OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY p ASC NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS always_valid_p_holm,
    if(tested, r1 - r0 - margin, NULL) AS always_valid_low,
    if(tested, r1 - r0 + margin, NULL) AS always_valid_high,
    q AS p_value,
    if(q IS NULL, NULL, max(least(1, fixed_tests_left * q)) OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY q ASC NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS p_value_holm,
    if(told AND pooled > 0, detectable(sqrt(pooled * (1 - pooled)), a.n1, a.n0), NULL) AS minimum_detectable_effect,
    sample_ratio_p,
    enough
FROM
(
    SELECT
        *,
        count(p) OVER (PARTITION BY campaign, goal, by, comparison, factor) + 1 - row_number() OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY p ASC NULLS LAST) AS tests_left,
        count(q) OVER (PARTITION BY campaign, goal, by, comparison, factor) + 1 - row_number() OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY q ASC NULLS LAST) AS fixed_tests_left
    FROM
    (
        SELECT
            *,
            sequentialPoint(pairs) * error AS margin,
            if(tested, sequentialTail((r1 - r0) / error, pairs), NULL) AS p,
            if(tested AND planned, normalTails(pooledZ(k1, n1, k0, n0)), NULL) AS q
        FROM
        (
            SELECT
                *,
                CAST(least(n1, n0) * least(pooled, 1 - pooled) >= 5 AS Bool) AS enough,
                told AND enough AS tested,
                sequentialError(k1, n1, k0, n0) AS error,
                n1 * n0 / (n1 + n0) AS pairs
            FROM
            (
                SELECT
                    *,
                    k1 / n1 AS r1,
                    k0 / n0 AS r0,
                    n1 > 0 AND n0 > 0 AND NOT ifNull(sample_ratio_p < 0.001, false) AS told,
                    if(n1 + n0 = 0, 0, (k1 + k0) / (n1 + n0)) AS pooled
                FROM lapwing.campaign_comparisons
                WHERE kind != 'rise'
            )
        )
    )
) AS a
COMMENT 'Conversion rates compared, with all statistics: what kpi_campaign_lift and kpi_campaign_factors show.';

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
AS WITH -- SPDX-License-Identifier: Apache-2.0

(k, n) -> (k + 1.9207294103470617 - 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonLow,
(k, n) -> (k + 1.9207294103470617 + 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonHigh,

(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 - sqrt(pow(k1 / n1 - wilsonLow(k1, n1), 2) + pow(wilsonHigh(k0, n0) - k0 / n0, 2)) AS newcombeLow,
(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 + sqrt(pow(wilsonHigh(k1, n1) - k1 / n1, 2) + pow(k0 / n0 - wilsonLow(k0, n0), 2)) AS newcombeHigh,

(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0)) AS ratioOf,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(-1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioLow,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioHigh,

(z) -> erfc(abs(z) / 1.4142135623730951) AS normalTails,

(k1, n1, k0, n0) -> if(k1 + k0 = 0 OR k1 + k0 = n1 + n0, NULL, (k1 / n1 - k0 / n0) / sqrt((k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0))) AS pooledZ,

(deviation, n1, n0) -> 2.8015852181129685 * deviation * sqrt(1 / n1 + 1 / n0) AS detectable,

(x, df) -> if(df % 2 = 0,
    exp(-x / 2) * arraySum(j -> pow(x / 2, j) / tgamma(j + 1), range(toUInt64(intDiv(df, 2)))),
    erfc(sqrt(x / 2)) + exp(-x / 2) * arraySum(j -> pow(x / 2, j + 0.5) / tgamma(j + 1.5), range(toUInt64(intDiv(df, 2))))) AS chiSquareTail,

(n, scatter) -> toFloat64(scatter) / n / (n - 1) AS varianceOf,
(n1, v1, n0, v0) -> sqrt(v1 / n1 + v0 / n0) AS welchError,
(n1, v1, n0, v0) -> pow(v1 / n1 + v0 / n0, 2) / (pow(v1 / n1, 2) / (n1 - 1) + pow(v0 / n0, 2) / (n0 - 1)) AS welchFreedom,

(df) -> 1.95996398454014459 + (2.37227123018175785 + (2.82249864150137945 + (2.55584742629891168 + (1.58963528126427842 + (0.73028811524158219 + (0.667705266775355282 - 0.235279153062060956 / df) / df) / df) / df) / df) / df) / df AS studentPoint,
(df) -> if(df < 200, exp(lgamma((df + 1) / 2) - lgamma(df / 2)), sqrt(df / 2) * (1 - 1 / (4 * df) + 1 / (32 * df * df) + 5 / (128 * pow(df, 3)) - 21 / (2048 * pow(df, 4)))) / 1.7724538509055159 AS studentFactor,
(t, df) -> atan(least(abs(t), 7.5 + 300 / df) / sqrt(df)) AS studentAngle,
(t, df) -> greatest(0, 1 - 2 * studentFactor(df) * studentAngle(t, df) * arraySum((x, w) -> w * exp((1 - df) / 2 * log1p(pow(tan(studentAngle(t, df) * x), 2))),
    [0.0052995325041750307, 0.0277124884633837, 0.067184398806084122, 0.1222977958224985, 0.19106187779867811, 0.27099161117138632, 0.35919822461037054, 0.45249374508118129, 0.54750625491881877, 0.64080177538962946, 0.72900838882861363, 0.80893812220132189, 0.87770220417750155, 0.93281560119391593, 0.9722875115366163, 0.99470046749582497],
    [0.013576229705877088, 0.031126761969323728, 0.047579255841246303, 0.062314485627767036, 0.074797994408288354, 0.084578259697501323, 0.09130170752246182, 0.09472530522753432, 0.09472530522753432, 0.09130170752246182, 0.084578259697501323, 0.074797994408288354, 0.062314485627767036, 0.047579255841246303, 0.031126761969323728, 0.013576229705877088])) AS studentTails,

(k1, n1, k0, n0) -> sqrt(greatest(
    (k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0),
    (k1 + 1) * (n1 - k1 + 1) / pow(n1 + 2, 2) / n1 + (k0 + 1) * (n0 - k0 + 1) / pow(n0 + 2, 2) / n0)) AS sequentialError,
(z, m) -> least(1, sqrt(1 + 0.01 * m) * exp(-z * z / 2 * (0.01 * m) / (1 + 0.01 * m))) AS sequentialTail,
(m) -> sqrt((1 + 1 / (0.01 * m)) * (log(1 + 0.01 * m) + 5.991464547107982)) AS sequentialPoint
SELECT
    campaign,
    goal,
    kind,
    by,
    model,
    target,
    comparison,
    variant,
    factor,
    level,
    toUInt64(a.n1) AS n1,
    toUInt64(a.k1) AS k1,
    conversions,
    CAST(toDecimal256(t1, 4) / 10000 AS Decimal(38, 4)) AS total1,
    if(a.n1 = 0, NULL, m1) AS mean1,
    toUInt64(a.n0) AS n0,
    toUInt64(a.k0) AS k0,
    CAST(toDecimal256(t0, 4) / 10000 AS Decimal(38, 4)) AS total0,
    if(a.n0 = 0, NULL, m0) AS mean0,
    without_rate,
    open,
    held_out,
    if(told, m1 - m0, NULL) AS difference,
    if(tested, m1 - m0 - studentPoint(freedom) * error, NULL) AS difference_low,
    if(tested, m1 - m0 + studentPoint(freedom) * error, NULL) AS difference_high,
    p AS always_valid_p,
    if(p IS NULL, NULL, max(least(1, tests_left * p)) OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY p ASC NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS always_valid_p_holm,
    if(tested, m1 - m0 - margin, NULL) AS always_valid_low,
    if(tested, m1 - m0 + margin, NULL) AS always_valid_high,
    if(tested AND planned, studentTails((m1 - m0) / error, freedom), NULL) AS p_value,
    if(tested, detectable(sqrt(pooled), a.n1, a.n0), NULL) AS minimum_detectable_effect,
    sample_ratio_p,
    enough
FROM
(
    SELECT
        *,
        count(p) OVER (PARTITION BY campaign, goal, by, comparison, factor) + 1 - row_number() OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY p ASC NULLS LAST) AS tests_left
    FROM
    (
        SELECT
            *,
            toFloat64(t1) / 10000 / n1 AS m1,
            toFloat64(t0) / 10000 / n0 AS m0,
            varianceOf(n1, toInt256(n1) * q1 - t1 * t1) / 1e8 AS v1,
            varianceOf(n0, toInt256(n0) * q0 - t0 * t0) / 1e8 AS v0,
            varianceOf(n1 + n0, toInt256(n1 + n0) * (q1 + q0) - (t1 + t0) * (t1 + t0)) / 1e8 AS pooled,
            n1 > 0 AND n0 > 0 AND NOT ifNull(sample_ratio_p < 0.001, false) AS told,
            CAST(least(n1, n0) >= 30 AND least(k1, k0) >= 5 AND least(v1, v0) > 0 AS Bool) AS enough,
            told AND enough AS tested,
            welchError(n1, v1, n0, v0) AS error,
            welchFreedom(n1, v1, n0, v0) AS freedom,
            n1 * n0 / (n1 + n0) AS pairs,
            greatest(error, sqrt(pooled / pairs)) AS wide,
            sequentialPoint(pairs) * wide AS margin,
            if(tested, sequentialTail((m1 - m0) / wide, pairs), NULL) AS p
        FROM lapwing.campaign_comparisons
        WHERE kind != 'none'
    )
) AS a
COMMENT 'Values per assigned customer compared, with all statistics: what kpi_campaign_revenue and kpi_campaign_rise show.';

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
AS WITH
    (SELECT known FROM lapwing.campaign_clock) AS known,
    tupleElement(known, 'now_ms') AS now_ms,
    tupleElement(known, 'windows') AS windows,
    tupleElement(known, 'campaigns') AS campaigns,
    tupleElement(known, 'goals') AS goals,
    tupleElement(known, 'again') AS again,
    (list) -> arrayMap(x -> toUInt64(x > 0), list) AS once
SELECT
    campaign,
    tupleElement(aim, 1) AS goal,
    tupleElement(aim, 3) AS kind,
    tupleElement(held, 1) AS by,
    tupleElement(held, 2) AS model,
    tupleElement(held, 3) AS target,
    arm,
    holdout,
    ifNull(closed[indexOf(windows, tupleElement(aim, 2))], 0) AS assigned,
    toUInt64(customers - assigned) AS open,
    ifNull(e[indexOf(windows, tupleElement(aim, 2))], 0) AS exposed,
    ifNull(r[indexOf(windows, tupleElement(aim, 2))], 0) AS reached,
    ifNull(o[indexOf(windows, tupleElement(aim, 2))], 0) AS opened,
    ifNull(m[indexOf(windows, tupleElement(aim, 2))], 0) AS machine_opened,
    ifNull(c[indexOf(windows, tupleElement(aim, 2))], 0) AS clicked
FROM
(
    SELECT
        campaign, arm, holdout, held, sum(customers) AS customers, sumForEach(closed) AS closed,
        sumForEach(e) AS e, sumForEach(r) AS r, sumForEach(o) AS o, sumForEach(m) AS m, sumForEach(c) AS c
    FROM
    (
        SELECT
            campaign,
            arm,
            holdout,
            held,
            if(who = '', sum(n), 1) AS customers,
            if(who = '', sumForEach(passed), once(sumForEach(passed))) AS closed,
            if(who = '', sumForEach(e), once(sumForEach(e))) AS e,
            if(who = '', sumForEach(r), once(sumForEach(r))) AS r,
            if(who = '', sumForEach(o), once(sumForEach(o))) AS o,
            if(who = '', sumForEach(m), once(sumForEach(m))) AS m,
            if(who = '', sumForEach(c), once(sumForEach(c))) AS c
        FROM
        (
            SELECT
                *,
                CAST(_group, 'Tuple(String, Nullable(String), Bool, Map(String, String), Array(String))') AS kept,
                tupleElement(kept, 1) AS campaign,
                ifNull(tupleElement(kept, 2), '') AS arm,
                tupleElement(kept, 3) AS holdout,
                arrayJoin(arrayConcat(
                    [('everyone', '', '')],
                    arrayMap((m, s) -> ('stage', m, s), mapKeys(tupleElement(kept, 4)), mapValues(tupleElement(kept, 4))),
                    arrayMap(s -> ('segment', '', s), tupleElement(kept, 5)))) AS held
            FROM
            (
                SELECT
                    _group,
                    who,
                    count() AS n,
                    sumForEach(gone) AS passed,
                    sumForEach(if(x.any_ms > at_ms, gone, none)) AS e,
                    sumForEach(if(x.reached_ms > at_ms, gone, none)) AS r,
                    sumForEach(if(x.opened_ms > at_ms, gone, none)) AS o,
                    sumForEach(if(x.machine_ms > at_ms, gone, none)) AS m,
                    sumForEach(if(x.clicked_ms > at_ms, gone, none)) AS c
                FROM
                (
                    SELECT
                        _group,
                        if(notEmpty(again), if(has(again, campaign), customer_id, ''), '') AS who,
                        toUnixTimestamp64Milli(effective_at) AS at_ms,
                        arrayMap(w -> toUInt64(at_ms + w <= now_ms), windows) AS gone,
                        arrayMap(w -> toUInt64(0), windows) AS none,
                        sipHash64(campaign, customer_id) AS k
                    FROM lapwing.assignments_log FINAL
                    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
                ) AS a
                LEFT ANY JOIN
                (
                    SELECT
                        sipHash64(campaign, customer_id) AS k,
                        max(toUnixTimestamp64Milli(exposed_at) + 1) AS any_ms,
                        maxIf(toUnixTimestamp64Milli(exposed_at) + 1, step IN ('delivered', 'opened', 'clicked')) AS reached_ms,
                        maxIf(toUnixTimestamp64Milli(exposed_at) + 1, step = 'opened' AND NOT machine) AS opened_ms,
                        maxIf(toUnixTimestamp64Milli(exposed_at) + 1, step = 'opened' AND machine) AS machine_ms,
                        maxIf(toUnixTimestamp64Milli(exposed_at) + 1, step = 'clicked' AND NOT machine) AS clicked_ms
                    FROM lapwing.exposures_log
                    WHERE _generation = tupleElement(known, 'generation')
                    GROUP BY k
                ) AS x ON x.k = a.k
                GROUP BY _group, who
            )
        )
        GROUP BY campaign, arm, holdout, held, who
    )
    GROUP BY campaign, arm, holdout, held
)
ARRAY JOIN goals[indexOf(campaigns, campaign)] AS aim
SETTINGS join_use_nulls = 0
COMMENT 'Customers assigned and what reached them, by campaign, goal, targeted segment and arm.';

CREATE OR REPLACE VIEW lapwing.kpi_campaign_conversion ON CLUSTER 'main'
(
    …
)
AS WITH -- SPDX-License-Identifier: Apache-2.0

(k, n) -> (k + 1.9207294103470617 - 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonLow,
(k, n) -> (k + 1.9207294103470617 + 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonHigh,

(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 - sqrt(pow(k1 / n1 - wilsonLow(k1, n1), 2) + pow(wilsonHigh(k0, n0) - k0 / n0, 2)) AS newcombeLow,
(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 + sqrt(pow(wilsonHigh(k1, n1) - k1 / n1, 2) + pow(k0 / n0 - wilsonLow(k0, n0), 2)) AS newcombeHigh,

(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0)) AS ratioOf,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(-1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioLow,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioHigh,

(z) -> erfc(abs(z) / 1.4142135623730951) AS normalTails,

(k1, n1, k0, n0) -> if(k1 + k0 = 0 OR k1 + k0 = n1 + n0, NULL, (k1 / n1 - k0 / n0) / sqrt((k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0))) AS pooledZ,

(deviation, n1, n0) -> 2.8015852181129685 * deviation * sqrt(1 / n1 + 1 / n0) AS detectable,

(x, df) -> if(df % 2 = 0,
    exp(-x / 2) * arraySum(j -> pow(x / 2, j) / tgamma(j + 1), range(toUInt64(intDiv(df, 2)))),
    erfc(sqrt(x / 2)) + exp(-x / 2) * arraySum(j -> pow(x / 2, j + 0.5) / tgamma(j + 1.5), range(toUInt64(intDiv(df, 2))))) AS chiSquareTail,

(n, scatter) -> toFloat64(scatter) / n / (n - 1) AS varianceOf,
(n1, v1, n0, v0) -> sqrt(v1 / n1 + v0 / n0) AS welchError,
(n1, v1, n0, v0) -> pow(v1 / n1 + v0 / n0, 2) / (pow(v1 / n1, 2) / (n1 - 1) + pow(v0 / n0, 2) / (n0 - 1)) AS welchFreedom,

(df) -> 1.95996398454014459 + (2.37227123018175785 + (2.82249864150137945 + (2.55584742629891168 + (1.58963528126427842 + (0.73028811524158219 + (0.667705266775355282 - 0.235279153062060956 / df) / df) / df) / df) / df) / df) / df AS studentPoint,
(df) -> if(df < 200, exp(lgamma((df + 1) / 2) - lgamma(df / 2)), sqrt(df / 2) * (1 - 1 / (4 * df) + 1 / (32 * df * df) + 5 / (128 * pow(df, 3)) - 21 / (2048 * pow(df, 4)))) / 1.7724538509055159 AS studentFactor,
(t, df) -> atan(least(abs(t), 7.5 + 300 / df) / sqrt(df)) AS studentAngle,
(t, df) -> greatest(0, 1 - 2 * studentFactor(df) * studentAngle(t, df) * arraySum((x, w) -> w * exp((1 - df) / 2 * log1p(pow(tan(studentAngle(t, df) * x), 2))),
    [0.0052995325041750307, 0.0277124884633837, 0.067184398806084122, 0.1222977958224985, 0.19106187779867811, 0.27099161117138632, 0.35919822461037054, 0.45249374508118129, 0.54750625491881877, 0.64080177538962946, 0.72900838882861363, 0.80893812220132189, 0.87770220417750155, 0.93281560119391593, 0.9722875115366163, 0.99470046749582497],
    [0.013576229705877088, 0.031126761969323728, 0.047579255841246303, 0.062314485627767036, 0.074797994408288354, 0.084578259697501323, 0.09130170752246182, 0.09472530522753432, 0.09472530522753432, 0.09130170752246182, 0.084578259697501323, 0.074797994408288354, 0.062314485627767036, 0.047579255841246303, 0.031126761969323728, 0.013576229705877088])) AS studentTails,

(k1, n1, k0, n0) -> sqrt(greatest(
    (k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0),
    (k1 + 1) * (n1 - k1 + 1) / pow(n1 + 2, 2) / n1 + (k0 + 1) * (n0 - k0 + 1) / pow(n0 + 2, 2) / n0)) AS sequentialError,
(z, m) -> least(1, sqrt(1 + 0.01 * m) * exp(-z * z / 2 * (0.01 * m) / (1 + 0.01 * m))) AS sequentialTail,
(m) -> sqrt((1 + 1 / (0.01 * m)) * (log(1 + 0.01 * m) + 5.991464547107982)) AS sequentialPoint
SELECT
    a.campaign AS campaign,
    p.journey AS journey,
    p.step AS step,
    a.goal AS goal,
    a.by AS by,
    a.model AS model,
    a.target AS target,
    nullIf(a.arm, '') AS variant,
    a.holdout AS holdout,
    a.assigned AS targeted,
    a.reached AS reached,
    a.opened AS opened,
    a.machine_opened AS machine_opened,
    a.clicked AS clicked,
    c.converted AS converted,
    if(targeted = 0, NULL, converted / targeted) AS conversion_rate,
    if(targeted = 0, NULL, wilsonLow(toFloat64(c.converted), toFloat64(a.assigned))) AS rate_low,
    if(targeted = 0, NULL, wilsonHigh(toFloat64(c.converted), toFloat64(a.assigned))) AS rate_high,
    a.open AS open,
    if(a.holdout, a.exposed, 0) AS leaked
FROM lapwing.campaign_reached AS a
LEFT JOIN lapwing.campaign_converted AS c
    ON c.campaign = a.campaign AND c.goal = a.goal AND c.by = a.by AND c.model = a.model AND c.target = a.target AND c.arm = a.arm AND c.holdout = a.holdout
LEFT JOIN lapwing.campaigns AS p ON p.campaign = a.campaign
WHERE a.kind != 'rise'
SETTINGS join_use_nulls = 0
COMMENT 'Conversion rate: customers assigned with at least one conversion / customers assigned, per targeted segment and arm; closed windows only.';

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
AS WITH
    (SELECT known FROM lapwing.campaign_clock) AS known,
    arrayFirst(g -> tupleElement(g, 1) = goal, tupleElement(known, 'goals')[indexOf(tupleElement(known, 'campaigns'), toString(campaign))]) AS live
SELECT
    CAST(c.campaign, 'String') AS campaign,
    CAST(c.goal, 'String') AS goal,
    CAST(c.variant, 'Nullable(String)') AS variant,
    c.holdout AS holdout,
    length(days) AS conversions,
    tupleElement(quartiles, 1) AS median_days,
    tupleElement(quartiles, 2) AS p25_days,
    tupleElement(quartiles, 3) AS p75_days,
    tupleElement(quartiles, 4) AS p90_days
FROM
(
    SELECT
        campaign,
        goal,
        variant,
        holdout,
        groupArray(took) AS days,
        (quantileExactInclusive(0.5)(took), quantileExactInclusive(0.25)(took), quantileExactInclusive(0.75)(took), quantileExactInclusive(0.9)(took)) AS quartiles
    FROM
    (
        SELECT
            campaign,
            goal,
            variant,
            holdout,
            (toUnixTimestamp64Milli(effective_at) - toUnixTimestamp64Milli(assigned_at)) / 86400000 AS took
        FROM lapwing.conversions_log FINAL
        WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
            AND tupleElement(live, 3) IN ('none', 'first') AND toUnixTimestamp64Milli(assigned_at) + tupleElement(live, 2) <= tupleElement(known, 'now_ms')
    )
    GROUP BY campaign, goal, variant, holdout
) AS c
COMMENT 'Time from assignment to conversion.';

CREATE OR REPLACE VIEW lapwing.kpi_campaign_by_period ON CLUSTER 'main'
(
    …
)
AS WITH

(k, n) -> (k + 1.9207294103470617 - 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonLow,
(k, n) -> (k + 1.9207294103470617 + 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236) AS wilsonHigh,

(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 - sqrt(pow(k1 / n1 - wilsonLow(k1, n1), 2) + pow(wilsonHigh(k0, n0) - k0 / n0, 2)) AS newcombeLow,
(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 + sqrt(pow(wilsonHigh(k1, n1) - k1 / n1, 2) + pow(k0 / n0 - wilsonLow(k0, n0), 2)) AS newcombeHigh,

(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0)) AS ratioOf,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(-1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioLow,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioHigh,

(z) -> erfc(abs(z) / 1.4142135623730951) AS normalTails,

(k1, n1, k0, n0) -> if(k1 + k0 = 0 OR k1 + k0 = n1 + n0, NULL, (k1 / n1 - k0 / n0) / sqrt((k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0))) AS pooledZ,

(deviation, n1, n0) -> 2.8015852181129685 * deviation * sqrt(1 / n1 + 1 / n0) AS detectable,

(x, df) -> if(df % 2 = 0,
    exp(-x / 2) * arraySum(j -> pow(x / 2, j) / tgamma(j + 1), range(toUInt64(intDiv(df, 2)))),
    erfc(sqrt(x / 2)) + exp(-x / 2) * arraySum(j -> pow(x / 2, j + 0.5) / tgamma(j + 1.5), range(toUInt64(intDiv(df, 2))))) AS chiSquareTail,

(n, scatter) -> toFloat64(scatter) / n / (n - 1) AS varianceOf,
(n1, v1, n0, v0) -> sqrt(v1 / n1 + v0 / n0) AS welchError,
(n1, v1, n0, v0) -> pow(v1 / n1 + v0 / n0, 2) / (pow(v1 / n1, 2) / (n1 - 1) + pow(v0 / n0, 2) / (n0 - 1)) AS welchFreedom,

(df) -> 1.95996398454014459 + (2.37227123018175785 + (2.82249864150137945 + (2.55584742629891168 + (1.58963528126427842 + (0.73028811524158219 + (0.667705266775355282 - 0.235279153062060956 / df) / df) / df) / df) / df) / df) / df AS studentPoint,
(df) -> if(df < 200, exp(lgamma((df + 1) / 2) - lgamma(df / 2)), sqrt(df / 2) * (1 - 1 / (4 * df) + 1 / (32 * df * df) + 5 / (128 * pow(df, 3)) - 21 / (2048 * pow(df, 4)))) / 1.7724538509055159 AS studentFactor,
(t, df) -> atan(least(abs(t), 7.5 + 300 / df) / sqrt(df)) AS studentAngle,
(t, df) -> greatest(0, 1 - 2 * studentFactor(df) * studentAngle(t, df) * arraySum((x, w) -> w * exp((1 - df) / 2 * log1p(pow(tan(studentAngle(t, df) * x), 2))),
    [0.0052995325041750307, 0.0277124884633837, 0.067184398806084122, 0.1222977958224985, 0.19106187779867811, 0.27099161117138632, 0.35919822461037054, 0.45249374508118129, 0.54750625491881877, 0.64080177538962946, 0.72900838882861363, 0.80893812220132189, 0.87770220417750155, 0.93281560119391593, 0.9722875115366163, 0.99470046749582497],
    [0.013576229705877088, 0.031126761969323728, 0.047579255841246303, 0.062314485627767036, 0.074797994408288354, 0.084578259697501323, 0.09130170752246182, 0.09472530522753432, 0.09472530522753432, 0.09130170752246182, 0.084578259697501323, 0.074797994408288354, 0.062314485627767036, 0.047579255841246303, 0.031126761969323728, 0.013576229705877088])) AS studentTails,

(k1, n1, k0, n0) -> sqrt(greatest(
    (k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0),
    (k1 + 1) * (n1 - k1 + 1) / pow(n1 + 2, 2) / n1 + (k0 + 1) * (n0 - k0 + 1) / pow(n0 + 2, 2) / n0)) AS sequentialError,
(z, m) -> least(1, sqrt(1 + 0.01 * m) * exp(-z * z / 2 * (0.01 * m) / (1 + 0.01 * m))) AS sequentialTail,
(m) -> sqrt((1 + 1 / (0.01 * m)) * (log(1 + 0.01 * m) + 5.991464547107982)) AS sequentialPoint,
    (SELECT known FROM lapwing.campaign_clock) AS known,
    tupleElement(known, 'now_ms') AS now_ms,
    tupleElement(known, 'windows') AS windows,
    tupleElement(known, 'again') AS again
SELECT
    CAST(campaign, 'String') AS campaign,
    tupleElement(aim, 1) AS goal,
    grain,
    assumeNotNull(period) AS period,
    CAST(nullIf(arm, ''), 'Nullable(String)') AS variant,
    holdout,
    ifNull(closed[indexOf(windows, tupleElement(aim, 2))], 0) AS assigned,
    if(indexOf(bought_goals, goal) = 0, 0, bought[indexOf(bought_goals, goal)]) AS converted,
    if(assigned = 0, NULL, converted / assigned) AS conversion_rate,
    if(assigned = 0, NULL, wilsonLow(toFloat64(converted), toFloat64(assigned))) AS rate_low,
    if(assigned = 0, NULL, wilsonHigh(toFloat64(converted), toFloat64(assigned))) AS rate_high,
    toUInt64(customers - assigned) AS open
FROM
(
    SELECT
        a.campaign AS campaign,
        a.arm AS arm,
        a.holdout AS holdout,
        a.grain AS grain,
        a.period AS period,
        any(a.customers) AS customers,
        any(a.closed) AS closed,
        groupArray(c.goal) AS bought_goals,
        groupArray(c.converted) AS bought
    FROM
    (
        SELECT campaign, arm, holdout, grain, period, sum(customers) AS customers, sumForEach(closed) AS closed
        FROM
        (
            SELECT
                campaign, arm, holdout, grain, who,
                multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
                if(who = '', sum(n), 1) AS customers,
                if(who = '', sumForEach(passed), arrayMap(p -> toUInt64(p > 0), sumForEach(passed))) AS closed
            FROM
            (
                SELECT
                    toString(l.campaign) AS campaign,
                    ifNull(toString(l.variant), '') AS arm,
                    l.holdout AS holdout,
                    toDate32(l.effective_at, tupleElement(known, 'timezone')) AS date,
                    if(notEmpty(again), if(has(again, l.campaign), l.customer_id, ''), '') AS who,
                    count() AS n,
                    sumForEach(arrayMap(w -> toUInt64(toUnixTimestamp64Milli(l.effective_at) + w <= now_ms), windows)) AS passed
                FROM lapwing.assignments_log AS l FINAL
                WHERE l._generation = tupleElement(known, 'generation') AND l.definition = tupleElement(known, 'definition')
                GROUP BY l.campaign, l.variant, l.holdout, date, who
            ) AS d
            CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
            GROUP BY campaign, arm, holdout, grain, who, period
        )
        GROUP BY campaign, arm, holdout, grain, period
    ) AS a
    LEFT JOIN
    (
        SELECT campaign, goal, arm, holdout, grain, period, sum(customers) AS converted
        FROM
        (
            SELECT
                campaign, goal, arm, holdout, grain, who,
                multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
                if(who = '', sum(n), 1) AS customers
            FROM
            (
                SELECT
                    toString(l.campaign) AS campaign,
                    toString(l.goal) AS goal,
                    ifNull(toString(l.variant), '') AS arm,
                    l.holdout AS holdout,
                    toDate32(l.assigned_at, tupleElement(known, 'timezone')) AS date,
                    if(notEmpty(again), if(has(again, l.campaign), l.customer_id, ''), '') AS who,
                    arrayFirst(g -> tupleElement(g, 1) = goal, tupleElement(known, 'goals')[indexOf(tupleElement(known, 'campaigns'), campaign)]) AS live,
                    uniqExact(l._once) AS n
                FROM lapwing.conversions_log AS l FINAL
                WHERE l._generation = tupleElement(known, 'generation') AND l.definition = tupleElement(known, 'definition')
                    AND toUnixTimestamp64Milli(l.assigned_at) + tupleElement(live, 2) <= now_ms
                GROUP BY l.campaign, l.goal, l.variant, l.holdout, date, who
            ) AS d
            CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
            GROUP BY campaign, goal, arm, holdout, grain, who, period
        )
        GROUP BY campaign, goal, arm, holdout, grain, period
    ) AS c ON c.campaign = a.campaign AND c.arm = a.arm AND c.holdout = a.holdout AND c.grain = a.grain AND c.period = a.period
    GROUP BY a.campaign, a.arm, a.holdout, a.grain, a.period
)
ARRAY JOIN arrayFilter(g -> tupleElement(g, 3) != 'rise', tupleElement(known, 'goals')[indexOf(tupleElement(known, 'campaigns'), campaign)]) AS aim
SETTINGS join_use_nulls = 0
COMMENT 'Conversion rate by the date of the assignment.';

CREATE OR REPLACE VIEW lapwing.kpi_campaign_observed ON CLUSTER 'main'
(
    …
)
AS WITH
    (SELECT known FROM lapwing.campaign_clock) AS known
SELECT
    campaign,
    channel,
    step AS from_step,
    tupleElement(aim, 1) AS goal,
    countIf(first_ms + tupleElement(aim, 2) <= tupleElement(known, 'now_ms')) AS customers,
    countIf(first_ms + tupleElement(aim, 2) <= tupleElement(known, 'now_ms')
        AND arrayExists(c -> tupleElement(c, 1) = tupleElement(aim, 1) AND tupleElement(c, 2) > first_ms AND tupleElement(c, 2) <= first_ms + tupleElement(aim, 2), times)) AS converted,
    if(customers = 0, NULL, converted / customers) AS observed_rate,
    count() - customers AS open,
    CAST(NULL, 'Nullable(Float64)') AS lift,
    CAST(NULL, 'Nullable(Float64)') AS p_value,
    'not randomised' AS verdict
FROM
(
    SELECT
        CAST(x.campaign, 'String') AS campaign,
        CAST(x.channel, 'String') AS channel,
        CAST(x.step, 'String') AS step,
        x.first_ms AS first_ms,
        c.times AS times
    FROM
    (
        SELECT campaign, channel, step, sipHash64(campaign, customer_id) AS k, toUnixTimestamp64Milli(min(exposed_at)) AS first_ms
        FROM lapwing.exposures_log
        WHERE _generation = tupleElement(known, 'generation') AND step IN ('delivered', 'opened', 'clicked') AND NOT machine
        GROUP BY campaign, channel, step, customer_id
    ) AS x
    LEFT ANY JOIN
    (
        SELECT sipHash64(campaign, customer_id) AS k, groupArray((toString(goal), toUnixTimestamp64Milli(effective_at))) AS times
        FROM lapwing.conversions_log
        WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
        GROUP BY campaign, customer_id
    ) AS c ON c.k = x.k
)
ARRAY JOIN arrayFilter(g -> tupleElement(g, 3) IN ('none', 'first'), tupleElement(known, 'goals')[indexOf(tupleElement(known, 'campaigns'), campaign)]) AS aim
WHERE (SELECT count() FROM lapwing.activity_refusal) = 0
GROUP BY campaign, channel, step, aim
SETTINGS join_use_nulls = 0
COMMENT 'Observed rates, counted from delivery, open or click, per channel: what followed, not what was caused.';

CREATE OR REPLACE VIEW lapwing.kpi_attributed_revenue ON CLUSTER 'main'
(
    …
)
AS WITH
    (SELECT known FROM lapwing.campaign_clock) AS known,
    (
        SELECT groupArray((toString(campaign), e, w))
        FROM (SELECT campaign, assumeNotNull(event) AS e, max(within_ms) AS w FROM lapwing.campaign_goals WHERE event IS NOT NULL GROUP BY campaign, event)
    ) AS aims
SELECT
    attribution,
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    event,
    nullIf(by_campaign, '') AS campaign,
    if(by_campaign = '', NULL, by_channel) AS channel,
    sum(n) AS orders,
    CAST(sum(worth) AS Decimal(38, 4)) AS revenue,
    sum(unrated) AS without_rate,
    assumeNotNull(tupleElement(known, 'currency')) AS currency
FROM
(
    SELECT
        tupleElement(one, 1) AS attribution,
        date,
        event,
        tupleElement(one, 2) AS by_campaign,
        tupleElement(one, 3) AS by_channel,
        count() AS n,
        sum(ifNull(money, 0)) AS worth,
        countIf(money IS NULL) AS unrated
    FROM
    (
        SELECT
            o.date AS date,
            CAST(o.event, 'String') AS event,
            multiIf(o.currency IN ('', tupleElement(known, 'currency')) OR tupleElement(known, 'currency') = '', toDecimal128(o.value, 4), r.rate > 0, roundBankers(toDecimal128(o.value, 4) * r.rate, 4), NULL) AS money,
            arraySort(arrayFilter(t -> o.ms > tupleElement(t, 1) AND arrayExists(a -> tupleElement(a, 1) = tupleElement(t, 2) AND tupleElement(a, 2) = o.event AND o.ms <= tupleElement(t, 1) + tupleElement(a, 3), assumeNotNull(aims)), x.touches)) AS touched,
            arrayJoin([
                ('last touch', tupleElement(touched[-1], 2), tupleElement(touched[-1], 3)),
                ('first touch', tupleElement(touched[1], 2), tupleElement(touched[1], 3))]) AS one
        FROM
        (
            SELECT
                customer_id,
                toString(i.event) AS event,
                toUnixTimestamp64Milli(ordered_at) AS ms,
                assumeNotNull(toDate32(ordered_at, tupleElement(known, 'timezone'))) AS date,
                toDate(ordered_at, tupleElement(known, 'timezone')) AS day,
                ifNull(toString(i.currency), '') AS currency,
                order_value AS value
            FROM lapwing.order_items AS i
            WHERE item = 1
        ) AS o
        LEFT ANY JOIN
        (
            SELECT customer_id, groupArray((toUnixTimestamp64Milli(exposed_at), toString(l.campaign), toString(l.channel))) AS touches
            FROM lapwing.exposures_log AS l FINAL
            WHERE _generation = tupleElement(known, 'generation') AND step IN ('delivered', 'opened', 'clicked') AND NOT machine
                AND has(arrayMap(a -> tupleElement(a, 1), assumeNotNull(aims)), l.campaign)
            GROUP BY customer_id
        ) AS x ON x.customer_id = o.customer_id
        LEFT JOIN lapwing.rates AS r ON r.currency = o.currency AND r.day = o.day
    )
    GROUP BY attribution, date, event, by_campaign, by_channel
) AS d
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
WHERE (SELECT count() FROM lapwing.activity_refusal) = 0
GROUP BY attribution, grain, period, event, by_campaign, by_channel
SETTINGS join_use_nulls = 0
COMMENT 'Revenue shared out by last and by first touch: a message delivered, opened or clicked before the order and within the window of the campaign''s goals on the event.';

CREATE OR REPLACE VIEW lapwing.kpi_campaign_return ON CLUSTER 'main'
(
    …
)
AS SELECT …;

CREATE OR REPLACE VIEW lapwing.kpi_campaign_trust ON CLUSTER 'main'
(
    …
)
AS WITH
    (SELECT known FROM lapwing.campaign_clock) AS known,
    (
        SELECT groupArray((a, b, wa, wb))
        FROM
        (
            SELECT toString(x.campaign) AS a, toString(y.campaign) AS b, max(x.within_ms) AS wa, max(y.within_ms) AS wb
            FROM lapwing.campaign_goals AS x
            CROSS JOIN lapwing.campaign_goals AS y
            WHERE x.campaign != y.campaign AND ifNull(x.event, '') = ifNull(y.event, '') AND ifNull(x.condition, '') = ifNull(y.condition, '')
            GROUP BY a, b
        )
    ) AS pairs
SELECT
    CAST(a.campaign, 'String') AS campaign,
    CAST(nullIf(a.arm, ''), 'Nullable(String)') AS variant,
    a.holdout AS holdout,
    a.assigned AS assigned,
    r.comparable AS comparable,
    if(r.all_shares > 0, r.share, NULL) AS share,
    if(r.all_shares > 0, r.share * r.everyone, NULL) AS expected,
    r.sample_ratio_p AS sample_ratio_p,
    a.leaked AS leaked,
    a.crossed AS crossed,
    a.merged AS merged,
    multiIf(r.all_shares = 0, 'assigned elsewhere', ifNull(r.sample_ratio_p < 0.001, false), 'assignment is broken', r.sample_ratio_p IS NULL, 'not enough data yet', 'as planned') AS verdict
FROM
(
    SELECT
        campaign,
        arm,
        holdout,
        count() AS assigned,
        countIf(holdout AND exposed_ms > first_ms) AS leaked,
        countIf(arrayExists(o -> tupleElement(o, 1) != campaign AND arrayExists(p -> tupleElement(p, 1) = campaign AND tupleElement(p, 2) = tupleElement(o, 1)
            AND arrayExists(s -> s < tupleElement(o, 2) + tupleElement(p, 4) AND tupleElement(o, 2) < s + tupleElement(p, 3), starts), assumeNotNull(pairs)), others)) AS crossed,
        countIf(arrayExists(o -> tupleElement(o, 1) = campaign AND (tupleElement(o, 2), tupleElement(o, 3)) != (arm, holdout) AND first_ms <= tupleElement(o, 4), absorbed)) AS merged
    FROM
    (
        SELECT a.*, x.exposed_ms AS exposed_ms, o.others AS others, m.absorbed AS absorbed
        FROM
        (
            SELECT
                toString(l.campaign) AS campaign,
                customer_id,
                ifNull(any(toString(variant)), '') AS arm,
                any(l.holdout) AS holdout,
                groupArray(toUnixTimestamp64Milli(effective_at)) AS starts,
                arrayMin(starts) AS first_ms,
                sipHash64(campaign, customer_id) AS k
            FROM lapwing.assignments_log AS l FINAL
            WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
            GROUP BY l.campaign, customer_id
        ) AS a
        LEFT ANY JOIN
        (
            SELECT sipHash64(toString(campaign), customer_id) AS k, max(toUnixTimestamp64Milli(exposed_at) + 1) AS exposed_ms
            FROM lapwing.exposures_log
            WHERE _generation = tupleElement(known, 'generation')
            GROUP BY k
        ) AS x ON x.k = a.k
        LEFT ANY JOIN
        (
            SELECT customer_id, groupArray((toString(campaign), toUnixTimestamp64Milli(effective_at))) AS others
            FROM lapwing.assignments_log FINAL
            WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND notEmpty(assumeNotNull(pairs))
            GROUP BY customer_id
            HAVING uniqExact(campaign) > 1
        ) AS o ON o.customer_id = a.customer_id
        LEFT ANY JOIN
        (
            SELECT s.into AS into, groupArray((toString(l.campaign), ifNull(toString(l.variant), ''), l.holdout, toUnixTimestamp64Milli(l.effective_at))) AS absorbed
            FROM lapwing.assignments_log AS l
            INNER JOIN
            (
                SELECT DISTINCT customer_id, assumeNotNull(merged_into) AS into
                FROM lapwing.stage_changes_log
                WHERE _generation = tupleElement(known, 'generation') AND merged_into IS NOT NULL
            ) AS s ON s.customer_id = l.customer_id
            WHERE l._generation = tupleElement(known, 'generation') AND l.definition = tupleElement(known, 'definition')
            GROUP BY into
        ) AS m ON m.into = a.customer_id
    )
    GROUP BY campaign, arm, holdout
) AS a
INNER JOIN
(
    SELECT
        campaign,
        arm,
        holdout,
        comparable,
        tupleElement(arrayFirst(x -> tupleElement(x, 1) = arm, tupleElement(known, 'arms')[indexOf(tupleElement(known, 'campaigns'), campaign)]), 2) AS share,
        arraySum(x -> tupleElement(x, 2), tupleElement(known, 'arms')[indexOf(tupleElement(known, 'campaigns'), campaign)]) AS all_shares,
        sum(comparable) OVER (PARTITION BY campaign) AS everyone,
        t.p AS sample_ratio_p
    FROM
    (
        SELECT campaign, arm, holdout, any(comparable) AS comparable
        FROM lapwing.campaign_assigned
        WHERE by = 'everyone'
        GROUP BY campaign, arm, holdout
    ) AS c
    LEFT JOIN
    (
        SELECT campaign, any(sample_ratio_p) AS p
        FROM lapwing.campaign_comparisons
        WHERE by = 'everyone'
        GROUP BY campaign
    ) AS t ON t.campaign = c.campaign
) AS r ON r.campaign = a.campaign AND r.arm = a.arm AND r.holdout = a.holdout
SETTINGS join_use_nulls = 0
COMMENT 'Whether a campaign can be trusted: arms against their planned shares, leaks into the holdout, crossings, merges.';
