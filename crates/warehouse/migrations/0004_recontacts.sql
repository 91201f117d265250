-- Who comes back after an ended cycle, and what other conversations a signal comes from.

ALTER TABLE {db}.signals {on_cluster}
    ADD COLUMN IF NOT EXISTS related Array(String) COMMENT 'other conversations that it comes from, latest first' AFTER rules;

CREATE TABLE IF NOT EXISTS {db}.recontacts {on_cluster}
(
    log_id LowCardinality(String),
    log_topic LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64,
    log_index UInt16,
    log_append_at DateTime64(3, 'UTC'),
    precedence Int64 COMMENT 'of two rows of one fact the one with the higher value stays: a live one, then the last revision, then the first appended',
    revision UInt32 COMMENT '0 for the first statement, one more for each later one',
    tenant LowCardinality(String),
    conversation_id String,
    fact_id String COMMENT 'identity',
    at DateTime64(3, 'UTC') COMMENT 'where the fact counts in time: when the cycle began; the same in every revision',
    engine LowCardinality(String),
    agent String COMMENT 'keyed pseudonym',
    customer String COMMENT 'keyed pseudonym',
    channel LowCardinality(String),
    queue LowCardinality(String),
    team LowCardinality(String),
    historical Bool,
    ended_at DateTime64(3, 'UTC') COMMENT 'when the cycle ended',
    resolved Bool COMMENT 'it ended resolved',
    next_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the customer next asked for something, in whatever conversation; NULL: not so far',
    reopened_at Nullable(DateTime64(3, 'UTC')) COMMENT 'the same in this conversation',
    settled Bool COMMENT 'more than 30 days have passed since: this is how it stays',
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, conversation_id, fact_id)
SETTINGS {table_settings}
COMMENT 'Whether the customers of ended cycles came back, from zhili.facts.v1; read v_recontacts';

CREATE OR REPLACE VIEW {db}.v_recontacts {on_cluster} AS
SELECT * EXCEPT (known, stayed)
FROM
(
    SELECT
        tenant, conversation_id, fact_id, revision, at, ended_at, resolved, next_at, reopened_at,
        arrayMap(days -> next_at IS NOT NULL OR settled OR now() >= ended_at + toIntervalDay(days), [1, 3, 7, 30]) AS known,
        arrayMap(days -> toBool(ifNull(next_at > ended_at + toIntervalDay(days), 1)), [1, 3, 7, 30]) AS stayed,
        known[1] AS known_1d, resolved AND stayed[1] AS fcr_1d,
        known[2] AS known_3d, resolved AND stayed[2] AS fcr_3d,
        known[3] AS known_7d, resolved AND stayed[3] AS fcr_7d,
        known[4] AS known_30d, resolved AND stayed[4] AS fcr_30d,
        'fcr.v1' AS fcr_metric_id,
        toBool(ifNull(reopened_at <= ended_at + toIntervalDay(7), 0)) AS reopened_7d,
        'reopen.v1' AS reopened_metric_id,
        agent, customer, channel, queue, team, historical, settled,
        engine, log_id, log_topic, log_partition, log_offset, log_append_at
    FROM {db}.recontacts FINAL
)
COMMENT 'One row for every ended cycle in which a known customer asked for something: whether they came back. fcr_Nd: resolved, and no contact of the same customer within N days of the end; it counts where known_Nd, before that it is provisional. reopened_7d: asked again in the same conversation within 7 days.';

CREATE OR REPLACE VIEW {db}.v_care {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, at, cycle,
    agent, customer, channel, queue, team, historical,
    sentiments, positive, negative, mood_begin, mood_end,
    cl5, 'cl5.v1' AS cl5_metric_id,
    cl5_progressive, 'cl5.progressive.v1' AS cl5_progressive_metric_id,
    gc100, 'gc100.v1' AS gc100_metric_id,
    unhappy, converted, 'emo.conv.v1' AS converted_metric_id,
    aggravations, 'aggravation.v1' AS aggravations_metric_id,
    complaint, urgent, topic,
    identified, felt, if(s.solved IS NULL, NULL, s.solved AND NOT came_back_7d) AS solved, followed_up, 'funnel.v1' AS funnel_metric_id,
    (tenant, replaceRegexpOne(fact_id, '/s$', '/r')) IN
        (SELECT tenant, fact_id FROM {db}.recontacts FINAL WHERE next_at <= ended_at + toIntervalDay(7)) AS came_back_7d,
    soothing, 'soothing.v1' AS soothing_metric_id,
    agent_messages, holding, first_is_holding, 'stall.v1' AS stall_metric_id,
    empathy100, 'empathy100.v1' AS empathy100_metric_id,
    open_questions, closed_questions, clarifying_questions, follow_up_questions, 'questions.v1' AS questions_metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.sessions AS s FINAL
COMMENT 'One row for every ended session: how the customer felt from begin to end, and what the agents did for a customer who complained. NULL: not measured, or no complaint. solved does not hold for a complaint whose customer came back within 7 days.';

CREATE OR REPLACE VIEW {db}.v_signals {on_cluster} AS
SELECT
    * EXCEPT (precedence),
    (tenant, signal_id) IN (SELECT tenant, signal_id FROM {db}.corrections FINAL) AS corrected
FROM {db}.signals FINAL
COMMENT 'One row for every signal: something in a conversation that a person should look at. historical ones are recorded and never paged. corrected ones told of a missed deadline, and an answer sent in time came to light later.';

CREATE OR REPLACE VIEW {db}.v_health {on_cluster} AS
SELECT
    table_name, log_id, log_topic, log_partition,
    rows, first_offset, last_offset, last_append_at
FROM
(
    SELECT 'events' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.events WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'turns' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.turns WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'cycles' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.cycles WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'sessions' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.sessions WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'slots' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.slots WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'promises' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.promises WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'recontacts' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.recontacts WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'corrections' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.corrections WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'signals' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.signals WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'incidents' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.incidents WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'deliveries' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.deliveries WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
    UNION ALL
    SELECT 'dead_letters' AS table_name, log_id, log_topic, log_partition, count() AS rows,
        min(log_offset) AS first_offset, max(log_offset) AS last_offset, max(log_append_at) AS last_append_at
    FROM {db}.dead_letters WHERE log_append_at > now() - INTERVAL 7 DAY GROUP BY ALL
)
COMMENT 'What each table received from each partition of the log in the last seven days: rows as stored, offsets, and when the newest record was appended.';
