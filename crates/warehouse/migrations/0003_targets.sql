-- Business hours, targets of service and silences beside the times of turns and cycles, and the
-- signals that turned out not to hold.

ALTER TABLE {db}.turns {on_cluster}
    ADD COLUMN IF NOT EXISTS business_rt_first_unanswered_ms Nullable(Int64) COMMENT 'rt.first_unanswered.v1 inside business hours, milliseconds' AFTER rt_human_ms,
    ADD COLUMN IF NOT EXISTS business_rt_last_msg_ms Nullable(Int64) COMMENT 'rt.last_msg.v1 inside business hours' AFTER business_rt_first_unanswered_ms,
    ADD COLUMN IF NOT EXISTS business_rt_human_ms Nullable(Int64) COMMENT 'rt.human.v1 inside business hours' AFTER business_rt_last_msg_ms,
    ADD COLUMN IF NOT EXISTS sla_nrt LowCardinality(String) COMMENT 'sla.nrt.v1: breached, met, cancelled; empty: no target, or the first reply of a cycle' AFTER business_rt_human_ms,
    ADD COLUMN IF NOT EXISTS sla_nrt_target_ms Nullable(Int64) COMMENT 'milliseconds of the time that the target runs in' AFTER sla_nrt,
    ADD COLUMN IF NOT EXISTS sla_nrt_due_at Nullable(DateTime64(3, 'UTC')) AFTER sla_nrt_target_ms;

ALTER TABLE {db}.cycles {on_cluster}
    ADD COLUMN IF NOT EXISTS frt_join_ms Nullable(Int64) COMMENT 'frt.join.v1, milliseconds' AFTER frt_substantive_ms,
    ADD COLUMN IF NOT EXISTS business_frt_any_ms Nullable(Int64) COMMENT 'frt.any.v1 inside business hours, milliseconds' AFTER frt_join_ms,
    ADD COLUMN IF NOT EXISTS business_frt_human_ms Nullable(Int64) COMMENT 'frt.human.v1 inside business hours' AFTER business_frt_any_ms,
    ADD COLUMN IF NOT EXISTS business_frt_substantive_ms Nullable(Int64) COMMENT 'frt.substantive.v1 inside business hours' AFTER business_frt_human_ms,
    ADD COLUMN IF NOT EXISTS sla_frt LowCardinality(String) COMMENT 'sla.frt.v1: pending, warned, breached, met, cancelled; empty: no target' AFTER business_frt_substantive_ms,
    ADD COLUMN IF NOT EXISTS sla_frt_target_ms Nullable(Int64) AFTER sla_frt,
    ADD COLUMN IF NOT EXISTS sla_frt_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'NULL: it stands still' AFTER sla_frt_target_ms,
    ADD COLUMN IF NOT EXISTS sla_resolution LowCardinality(String) COMMENT 'sla.resolution.v1: as sla_frt' AFTER sla_frt_due_at,
    ADD COLUMN IF NOT EXISTS sla_resolution_target_ms Nullable(Int64) AFTER sla_resolution,
    ADD COLUMN IF NOT EXISTS sla_resolution_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'NULL: it stands still' AFTER sla_resolution_target_ms,
    ADD COLUMN IF NOT EXISTS silences_agent UInt32 COMMENT 'silence.v1: stretches of more than 30 s while the customer waited' AFTER sla_resolution_due_at,
    ADD COLUMN IF NOT EXISTS silences_agent_ms Int64 COMMENT 'their time' AFTER silences_agent,
    ADD COLUMN IF NOT EXISTS silences_customer UInt32 COMMENT 'the other stretches of more than 30 s' AFTER silences_agent_ms,
    ADD COLUMN IF NOT EXISTS silences_customer_ms Int64 COMMENT 'their time' AFTER silences_customer,
    ADD COLUMN IF NOT EXISTS silences_restated UInt32 COMMENT 'of the customer''s, those that an agent ended by speaking again' AFTER silences_customer_ms;

CREATE TABLE IF NOT EXISTS {db}.corrections {on_cluster}
(
    log_id LowCardinality(String),
    log_topic LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64,
    log_index UInt16,
    log_append_at DateTime64(3, 'UTC'),
    precedence Int64 COMMENT 'of two rows of one fact the one with the higher value stays: a live one, then the first appended',
    tenant LowCardinality(String),
    conversation_id String,
    fact_id String COMMENT 'identity',
    at DateTime64(3, 'UTC') COMMENT 'start of the turn or cycle that it is about',
    signal_id String COMMENT 'the signal that does not hold',
    kind LowCardinality(String) COMMENT 'what it said: sla.frt.breach, sla.nrt.breach',
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, conversation_id, fact_id)
SETTINGS {table_settings}
COMMENT 'Signals of deadlines that an answer in time took back, from zhili.facts.v1; read v_signals';

CREATE OR REPLACE VIEW {db}.v_turns {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, revision, at, cycle, turn, started_at,
    agent, customer, channel, queue, team, historical,
    first_event_id, last_event_id, answer_event_id, customer_messages,
    rt_first_unanswered_ms, 'rt.first_unanswered.v1' AS rt_first_unanswered_metric_id,
    rt_last_msg_ms, 'rt.last_msg.v1' AS rt_last_msg_metric_id,
    rt_human_ms, 'rt.human.v1' AS rt_human_metric_id,
    business_rt_first_unanswered_ms, business_rt_last_msg_ms, business_rt_human_ms,
    sla_nrt, sla_nrt_target_ms, sla_nrt_due_at, 'sla.nrt.v1' AS sla_nrt_metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.turns FINAL
COMMENT 'One row for every turn, corrections applied: a customer run and the agent run that answers it. Response times in milliseconds; NULL: not measured, as in a turn without an answer. business_* is the part inside business hours; NULL: no calendar, or all of it outside.';

CREATE OR REPLACE VIEW {db}.v_sessions {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, revision, at, cycle, started_at, ended_at,
    agent, customer, channel, queue, team, historical,
    resolved, provisional, reopened, turns, unanswered,
    frt_any_ms, 'frt.any.v1' AS frt_any_metric_id,
    frt_human_ms, 'frt.human.v1' AS frt_human_metric_id,
    frt_substantive_ms, 'frt.substantive.v1' AS frt_substantive_metric_id,
    frt_join_ms, 'frt.join.v1' AS frt_join_metric_id,
    business_frt_any_ms, business_frt_human_ms, business_frt_substantive_ms,
    sla_frt, sla_frt_target_ms, sla_frt_due_at, 'sla.frt.v1' AS sla_frt_metric_id,
    sla_resolution, sla_resolution_target_ms, sla_resolution_due_at, 'sla.resolution.v1' AS sla_resolution_metric_id,
    silences_agent, silences_agent_ms, silences_customer, silences_customer_ms, silences_restated,
    'silence.v1' AS silence_metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.cycles FINAL
COMMENT 'One row for every session, which is a care cycle, corrections applied: from open, first customer message or reopen to resolve or idle. First response times in milliseconds; NULL: not measured. business_* is the part inside business hours; NULL: no calendar, or all of it outside. provisional rows may still change.';

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
