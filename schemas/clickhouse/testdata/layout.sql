CREATE TABLE IF NOT EXISTS d.people_log_local ON CLUSTER 'c'
(
    `customer_id` String COMMENT 'It''s a customer, (one).' CODEC(ZSTD(1)),
    `from` LowCardinality(Nullable(String)) COMMENT 'From, where.',
    `n` Map(String, Tuple(a String, b DateTime64(3, 'UTC'))) COMMENT 'N.',
    `_version` UInt64 MATERIALIZED bitOr(1, 2) COMMENT 'Version.' CODEC(Delta, ZSTD(1)),
    PROJECTION p (SELECT max(n) GROUP BY customer_id)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/d/people_log_local', '{replica}', _version)
PARTITION BY n
ORDER BY (customer_id, n)
SETTINGS index_granularity = 8192
COMMENT 'People.';

CREATE TABLE IF NOT EXISTS d.people_log ON CLUSTER 'c'
(
    `customer_id` String COMMENT 'It''s a customer, (one).',
    `from` LowCardinality(Nullable(String)) COMMENT 'From, where.',
    `n` Map(String, Tuple(a String, b DateTime64(3, 'UTC'))) COMMENT 'N.',
    `_version` UInt64 MATERIALIZED bitOr(1, 2) COMMENT 'Version.'
)
ENGINE = Distributed('c', 'd', 'people_log_local', cityHash64(customer_id))
COMMENT 'People.';

CREATE TABLE IF NOT EXISTS d.small_log ON CLUSTER 'c'
(
    `n` Int8 COMMENT 'N.'
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/d/small_log', '{shard}-{replica}')
ORDER BY n
COMMENT 'Small.';

CREATE OR REPLACE VIEW d.people ON CLUSTER 'c'
(
    n Int8 COMMENT 'N.'
)
AS SELECT n
FROM d.people_log FINAL
COMMENT 'People, once.';

ALTER TABLE d.people_log_local ON CLUSTER 'c'
ADD COLUMN IF NOT EXISTS `more` String COMMENT 'More.' CODEC(ZSTD(3));

ALTER TABLE d.people_log ON CLUSTER 'c'
ADD COLUMN IF NOT EXISTS `more` String COMMENT 'More.';

ALTER TABLE d.small_log ON CLUSTER 'c'
ADD COLUMN IF NOT EXISTS `more` String COMMENT 'More.';
