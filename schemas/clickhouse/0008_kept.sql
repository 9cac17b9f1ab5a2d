-- SPDX-License-Identifier: Apache-2.0
--
-- KPIs over millions of customers take seconds to compute. The sink, or lapwing kpi keep,
-- computes them now and then and keeps the rows of the slow ones here, for lapwing kpi to
-- read. One KPI is one row, written by one INSERT: so it is there whole or not at all, and
-- of two the newer one stands. Values are text, since each KPI has columns of its own.

CREATE TABLE IF NOT EXISTS {{db}}.kept_log
(
    name LowCardinality(String) COMMENT 'The KPI, as lapwing kpi names it; the view, for KPIs of a view without parameters.',
    taken_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it began to be computed (wall clock of the server, UTC): of a KPI the newest row counts.',
    kept Bool COMMENT 'False if nothing is kept, because it is fast, or has too many rows.',
    took_ms UInt32 COMMENT 'How long it took, in milliseconds.',
    clock Nullable(DateTime64(3, 'UTC')) COMMENT 'The clock of the KPIs then: what was "now".',
    generation UInt16 COMMENT 'Generation that the views showed.',
    definition String COMMENT 'Name of the definition that was live.',
    definition_version UInt32 COMMENT 'Version of that definition.',
    source String COMMENT 'Hash of the schema and of what was selected: another release may mean something else by the same name.',
    row_count UInt64 COMMENT 'How many rows the KPI had, whether or not they are kept.',
    columns Array(String) COMMENT 'Names of its columns.',
    types Array(String) COMMENT 'Their types.',
    `rows` Array(Array(Nullable(String))) COMMENT 'Its rows: the values as text, floating-point numbers as the whole number of the same bits.' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(taken_at)
ORDER BY name
SETTINGS index_granularity = 1
COMMENT 'KPIs that are kept, as written by the sink or lapwing kpi keep: query kept instead.';

CREATE OR REPLACE VIEW {{db}}.kept
(
    name LowCardinality(String) COMMENT 'The KPI, as lapwing kpi names it; the view, for KPIs of a view without parameters.',
    taken_at DateTime64(3, 'UTC') COMMENT 'As of when its rows are (wall clock of the server, UTC).',
    clock Nullable(DateTime64(3, 'UTC')) COMMENT 'The clock of the KPIs then: what was "now".',
    took_ms UInt32 COMMENT 'How long computing them took, in milliseconds.',
    source String COMMENT 'Hash of the schema and of what was selected.',
    row_count UInt64 COMMENT 'How many rows there are.',
    columns Array(String) COMMENT 'Names of its columns.',
    types Array(String) COMMENT 'Their types.'
)
AS SELECT
    name,
    taken_at,
    clock,
    took_ms,
    source,
    row_count,
    columns,
    types
FROM {{db}}.kept_log FINAL
WHERE kept
    AND generation = (SELECT generation FROM {{db}}.current_generation)
    AND (definition, definition_version) = (SELECT (name, version) FROM {{db}}.live_definition)
COMMENT 'KPIs whose rows are kept, of the generation and definition that are live.';
