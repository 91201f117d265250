-- Hours put together beforehand. What lands in a table is told by when it landed, whatever its own
-- time: hours in which something landed since they were put together are read from the facts. Rows
-- from before this migration landed at the beginning of time, or when it came.

ALTER TABLE {db}.events {on_cluster}
    ADD COLUMN IF NOT EXISTS landed_at DateTime64(3, 'UTC') MATERIALIZED toDateTime64(0, 3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock',
    ADD INDEX IF NOT EXISTS by_landing landed_at TYPE minmax GRANULARITY 1;
ALTER TABLE {db}.events {on_cluster} MATERIALIZE COLUMN landed_at;
ALTER TABLE {db}.events {on_cluster} MATERIALIZE INDEX by_landing;
ALTER TABLE {db}.events {on_cluster}
    MODIFY COLUMN landed_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock';

ALTER TABLE {db}.turns {on_cluster}
    ADD COLUMN IF NOT EXISTS landed_at DateTime64(3, 'UTC') MATERIALIZED toDateTime64(0, 3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock',
    ADD INDEX IF NOT EXISTS by_landing landed_at TYPE minmax GRANULARITY 1;
ALTER TABLE {db}.turns {on_cluster} MATERIALIZE COLUMN landed_at;
ALTER TABLE {db}.turns {on_cluster} MATERIALIZE INDEX by_landing;
ALTER TABLE {db}.turns {on_cluster}
    MODIFY COLUMN landed_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock';

ALTER TABLE {db}.cycles {on_cluster}
    ADD COLUMN IF NOT EXISTS landed_at DateTime64(3, 'UTC') MATERIALIZED toDateTime64(0, 3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock',
    ADD INDEX IF NOT EXISTS by_landing landed_at TYPE minmax GRANULARITY 1;
ALTER TABLE {db}.cycles {on_cluster} MATERIALIZE COLUMN landed_at;
ALTER TABLE {db}.cycles {on_cluster} MATERIALIZE INDEX by_landing;
ALTER TABLE {db}.cycles {on_cluster}
    MODIFY COLUMN landed_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock';

ALTER TABLE {db}.sessions {on_cluster}
    ADD COLUMN IF NOT EXISTS landed_at DateTime64(3, 'UTC') MATERIALIZED toDateTime64(0, 3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock',
    ADD INDEX IF NOT EXISTS by_landing landed_at TYPE minmax GRANULARITY 1;
ALTER TABLE {db}.sessions {on_cluster} MATERIALIZE COLUMN landed_at;
ALTER TABLE {db}.sessions {on_cluster} MATERIALIZE INDEX by_landing;
ALTER TABLE {db}.sessions {on_cluster}
    MODIFY COLUMN landed_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock';

ALTER TABLE {db}.slots {on_cluster}
    ADD COLUMN IF NOT EXISTS landed_at DateTime64(3, 'UTC') MATERIALIZED toDateTime64(0, 3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock',
    ADD INDEX IF NOT EXISTS by_landing landed_at TYPE minmax GRANULARITY 1;
ALTER TABLE {db}.slots {on_cluster} MATERIALIZE COLUMN landed_at;
ALTER TABLE {db}.slots {on_cluster} MATERIALIZE INDEX by_landing;
ALTER TABLE {db}.slots {on_cluster}
    MODIFY COLUMN landed_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock';

ALTER TABLE {db}.promises {on_cluster}
    ADD COLUMN IF NOT EXISTS landed_at DateTime64(3, 'UTC') MATERIALIZED toDateTime64(0, 3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock',
    ADD INDEX IF NOT EXISTS by_landing landed_at TYPE minmax GRANULARITY 1;
ALTER TABLE {db}.promises {on_cluster} MATERIALIZE COLUMN landed_at;
ALTER TABLE {db}.promises {on_cluster} MATERIALIZE INDEX by_landing;
ALTER TABLE {db}.promises {on_cluster}
    MODIFY COLUMN landed_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock';

ALTER TABLE {db}.recontacts {on_cluster}
    ADD COLUMN IF NOT EXISTS landed_at DateTime64(3, 'UTC') MATERIALIZED toDateTime64(0, 3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock',
    ADD INDEX IF NOT EXISTS by_landing landed_at TYPE minmax GRANULARITY 1;
ALTER TABLE {db}.recontacts {on_cluster} MATERIALIZE COLUMN landed_at;
ALTER TABLE {db}.recontacts {on_cluster} MATERIALIZE INDEX by_landing;
ALTER TABLE {db}.recontacts {on_cluster}
    MODIFY COLUMN landed_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC') COMMENT 'when the INSERT of this row began, by the server''s clock';

CREATE TABLE IF NOT EXISTS {db}.rollups {on_cluster}
(
    source LowCardinality(String) COMMENT 'the facts that it is of: turns, cycles, care, slots, promises, recontacts, events',
    version UInt64 COMMENT 'which time this was put together; rollup_marks says which one counts',
    tenant LowCardinality(String),
    metric LowCardinality(String) COMMENT 'id in the metric book',
    hour DateTime('UTC') COMMENT 'begin of the hour',
    agent LowCardinality(String) COMMENT 'keyed pseudonym; empty if the metric has no agents',
    channel LowCardinality(String),
    queue LowCardinality(String),
    team LowCardinality(String),
    kind LowCardinality(String) COMMENT 'standard phrase, topic, category or promise; empty if the metric has none',
    n UInt64 COMMENT 'observations',
    total Float64 COMMENT 'sum of their values',
    values Array(Float64) COMMENT 'their values in order; empty for a rate' CODEC(ZSTD(1))
)
ENGINE = {merge_tree}
PARTITION BY (source, toDate(hour), version)
ORDER BY (tenant, metric, hour, agent, channel, queue, team, kind)
SETTINGS index_granularity = 512
COMMENT 'Observations of each hour by agent, channel, queue and team, from the facts; figures are asked for at the API';

CREATE TABLE IF NOT EXISTS {db}.rollup_marks {on_cluster}
(
    source LowCardinality(String),
    day Date,
    version UInt64 COMMENT 'the rows of rollups that count',
    rolled_at DateTime64(3, 'UTC') COMMENT 'when they were put together',
    confirmed_at DateTime64(3, 'UTC') COMMENT 'when nothing had landed since',
    rows UInt64 COMMENT 'rows of the facts of that day when they were put together',
    raw_hours Array(UInt32) COMMENT 'hours that cannot be put together, as hours since 1970'
)
ENGINE = {replacing confirmed_at}
ORDER BY (source, day)
SETTINGS {table_settings}
COMMENT 'Which version of a day in rollups counts';
