-- Business hours, targets of service and silences beside the times of turns and cycles; signals
-- that turned out not to hold; mood and care of cycles, phrases that were due, promises.

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
    ADD COLUMN IF NOT EXISTS silences_restated UInt32 COMMENT 'of the customer''s, those that an agent ended by speaking again' AFTER silences_customer_ms,
    ADD COLUMN IF NOT EXISTS handed_over Bool COMMENT 'somebody was asked to take over' AFTER reopened,
    ADD COLUMN IF NOT EXISTS bot_served Bool COMMENT 'a bot, not an automatic greeting, has spoken' AFTER handed_over;

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

CREATE TABLE IF NOT EXISTS {db}.sessions {on_cluster}
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
    at DateTime64(3, 'UTC') COMMENT 'where the fact counts in time; the same in every revision',
    engine LowCardinality(String),
    agent String COMMENT 'keyed pseudonym',
    customer String COMMENT 'keyed pseudonym',
    channel LowCardinality(String),
    queue LowCardinality(String),
    team LowCardinality(String),
    historical Bool,
    cycle UInt32,
    sentiments UInt32 COMMENT 'customer messages with a sentiment',
    positive UInt32,
    negative UInt32,
    mood_begin Nullable(Float64) COMMENT 'mean sentiment of the first third, one to four messages; -1..1',
    mood_end Nullable(Float64) COMMENT 'the same of the last third',
    cl5 Nullable(Float64) COMMENT 'cl5.v1, -5..5',
    cl5_progressive Nullable(Float64) COMMENT 'cl5.progressive.v1, -5..5',
    gc100 Nullable(Float64) COMMENT 'gc100.v1, -100..100',
    unhappy Bool COMMENT 'emo.conv.v1: began at -0.2 or below',
    converted Nullable(Bool) COMMENT 'emo.conv.v1: ended at -0.05 or above; NULL: did not begin unhappy, or not known',
    aggravations UInt32 COMMENT 'aggravation.v1: drops of 0.4 or more after an agent''s message',
    complaint Bool,
    urgent Bool,
    topic LowCardinality(String),
    identified Nullable(Bool) COMMENT 'funnel.v1: a question came before the first advice; NULL: no complaint, or no advice',
    felt Nullable(Bool) COMMENT 'funnel.v1: no emotion slot was missed; NULL: no complaint',
    solved Nullable(Bool) COMMENT 'funnel.v1: advised and resolved; NULL: no complaint',
    followed_up Nullable(Bool) COMMENT 'funnel.v1: no promise was broken so far, nobody was left waiting; NULL: no complaint',
    soothing Nullable(UInt32) COMMENT 'soothing.v1, 0..5; NULL: no complaint',
    agent_messages UInt32 COMMENT 'human messages',
    holding UInt32 COMMENT 'stall.v1: of them only asking to wait',
    first_is_holding Nullable(Bool) COMMENT 'stall.v1: so was the first; NULL: no message',
    empathy100 Nullable(Float64) COMMENT 'empathy100.v1, -100..100',
    open_questions UInt32 COMMENT 'questions.v1 of agents',
    closed_questions UInt32,
    clarifying_questions UInt32,
    follow_up_questions UInt32 COMMENT 'of all of them',
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, conversation_id, fact_id)
SETTINGS {table_settings}
COMMENT 'Mood and care of care cycles, from zhili.facts.v1; read v_sessions';

CREATE TABLE IF NOT EXISTS {db}.slots {on_cluster}
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
    at DateTime64(3, 'UTC') COMMENT 'where the fact counts in time; the same in every revision',
    engine LowCardinality(String),
    agent String COMMENT 'keyed pseudonym',
    customer String COMMENT 'keyed pseudonym',
    channel LowCardinality(String),
    queue LowCardinality(String),
    team LowCardinality(String),
    historical Bool,
    cycle UInt32,
    slot LowCardinality(String) COMMENT 'greeting, professional, emotion, apology, closing',
    due_event_id String COMMENT 'the message that made it due; empty for a closing',
    present Bool COMMENT 'it was said in time',
    event_id String COMMENT 'the message that said it',
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, conversation_id, fact_id)
SETTINGS {table_settings}
COMMENT 'Standard phrases that were due, from zhili.facts.v1; read v_slots';

CREATE TABLE IF NOT EXISTS {db}.promises {on_cluster}
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
    at DateTime64(3, 'UTC') COMMENT 'where the fact counts in time; the same in every revision',
    engine LowCardinality(String),
    agent String COMMENT 'keyed pseudonym',
    customer String COMMENT 'keyed pseudonym',
    channel LowCardinality(String),
    queue LowCardinality(String),
    team LowCardinality(String),
    historical Bool,
    promise LowCardinality(String) COMMENT 'callback, refund, ship, solve, reply, other',
    due_at DateTime64(3, 'UTC'),
    made_event_id String,
    state LowCardinality(String) COMMENT 'pending, kept, broken, unknown',
    settled_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it was kept, or its due time; NULL: pending',
    event_id String COMMENT 'the message that kept it',
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, conversation_id, fact_id)
SETTINGS {table_settings}
COMMENT 'Promises with a due time, from zhili.facts.v1; read v_promises';

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

CREATE OR REPLACE VIEW {db}.v_signals {on_cluster} AS
SELECT
    * EXCEPT (precedence),
    (tenant, signal_id) IN (SELECT tenant, signal_id FROM {db}.corrections FINAL) AS corrected
FROM {db}.signals FINAL
COMMENT 'One row for every signal: something in a conversation that a person should look at. historical ones are recorded and never paged. corrected ones told of a missed deadline, and an answer sent in time came to light later.';

CREATE OR REPLACE VIEW {db}.v_slots {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, at, cycle, slot,
    multiIf(slot IN ('greeting', 'closing'), 'basic', slot = 'professional', 'professional', 'emotion') AS level,
    agent, customer, channel, queue, team, historical,
    due_event_id, present, event_id, 'phrase.coverage.v1' AS metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.slots FINAL
COMMENT 'One row for every standard phrase that was due and settled: present says whether it was said in time. avg(present) by agent and day is phrase.coverage.v1, target 0.95.';

CREATE OR REPLACE VIEW {db}.v_promises {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, revision, at AS made_at, promise, due_at, state, settled_at,
    agent, customer, channel, queue, team, historical,
    made_event_id, event_id, 'promise.v1' AS metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.promises FINAL
COMMENT 'One row for every promise of an agent with a due time. unknown: the conversation does not show whether it was kept. Share kept = kept / (kept + broken).';

CREATE OR REPLACE VIEW {db}.v_sessions {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, revision, at, cycle, started_at, ended_at,
    agent, customer, channel, queue, team, historical,
    resolved, provisional, reopened, handed_over, bot_served, turns, unanswered,
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
COMMENT 'One row for every session, which is a care cycle, corrections applied: from open, first customer message or reopen to resolve or idle. First response times in milliseconds; NULL: not measured. business_* is the part inside business hours; NULL: no calendar, or all of it outside. provisional rows may still change. Mood and care of ended ones are in v_care.';

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
    identified, felt, solved, followed_up, 'funnel.v1' AS funnel_metric_id,
    soothing, 'soothing.v1' AS soothing_metric_id,
    agent_messages, holding, first_is_holding, 'stall.v1' AS stall_metric_id,
    empathy100, 'empathy100.v1' AS empathy100_metric_id,
    open_questions, closed_questions, clarifying_questions, follow_up_questions, 'questions.v1' AS questions_metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.sessions FINAL
COMMENT 'One row for every ended session: how the customer felt from begin to end, and what the agents did for a customer who complained. NULL: not measured, or no complaint.';

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
