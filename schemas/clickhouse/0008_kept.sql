-- SPDX-License-Identifier: Apache-2.0
--
-- KPIs over millions of customers take seconds to compute. `lapwing kpi keep` computes
-- them now and then and keeps the rows in tables kept_…, which lapwing kpi reads; this
-- table says what is kept, and as of when.

CREATE TABLE IF NOT EXISTS {{db}}.kept_log
(
    name LowCardinality(String) COMMENT 'The table that keeps the rows.',
    taken_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When they were computed (wall clock of the server, UTC): of a table the newest row counts.',
    kept Bool COMMENT 'False if the KPI is so fast that nothing is kept.',
    clock Nullable(DateTime64(3, 'UTC')) COMMENT 'The clock of the KPIs then: what was "now".',
    took_ms UInt32 COMMENT 'How long it took, in milliseconds.',
    generation UInt16 COMMENT 'Generation that the views showed.',
    definition String COMMENT 'Name of the definition that was live.',
    definition_version UInt32 COMMENT 'Its version.'
)
ENGINE = ReplacingMergeTree(taken_at)
ORDER BY name
COMMENT 'KPIs that are kept, as written by lapwing kpi keep: query kept instead.';

CREATE OR REPLACE VIEW {{db}}.kept
(
    name LowCardinality(String) COMMENT 'The table that keeps the rows of a KPI''s view: kept_ and the name of the view or KPI.',
    taken_at DateTime64(3, 'UTC') COMMENT 'When they were computed (wall clock of the server, UTC).',
    clock Nullable(DateTime64(3, 'UTC')) COMMENT 'The clock of the KPIs then: what was "now".',
    took_ms UInt32 COMMENT 'How long it took, in milliseconds.'
)
AS SELECT
    name,
    taken_at,
    clock,
    took_ms
FROM {{db}}.kept_log FINAL
WHERE kept
    AND generation = (SELECT generation FROM {{db}}.current_generation)
    AND (definition, definition_version) = (SELECT (name, version) FROM {{db}}.live_definition)
COMMENT 'KPIs whose rows are kept, of the generation and definition that are live.';
