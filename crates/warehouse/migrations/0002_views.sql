CREATE OR REPLACE VIEW {db}.v_events {on_cluster} AS
SELECT * EXCEPT (precedence)
FROM {db}.events FINAL
ORDER BY precedence DESC, log_offset
LIMIT 1 BY tenant, source, event_id
COMMENT 'One row for every accepted event, with its scores where it has any. Identity: tenant, source, event_id; of an event that came again the first counts, also if it came under another time or conversation. count() equals the events acknowledged by ingest, less those in dead_letters. Of conditions only that on the tenant narrows what is read.';

CREATE OR REPLACE VIEW {db}.v_messages {on_cluster} AS
SELECT
    tenant, source, event_id, conversation_id, type, sent_at, received_at, accepted_at, seq,
    channel, queue, team, scene, author, role, subtype, customer, customer_segment, vip, private,
    text, supersedes, historical, mode,
    lang,
    sentiment, sentiment_value, sentiment_confidence, 'sentiment.v1' AS sentiment_metric_id,
    politeness, politeness_score, 'politeness.v1' AS politeness_metric_id,
    complaint, complaint_category, urgent_probability, satisfaction, forbidden, acts,
    evidence_start, evidence_end, evidence_class, evidence_rule, evidence_points, evidence_target,
    engine, library,
    log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.v_events
WHERE type IN ('message', 'edit')
COMMENT 'Messages and edits with their scores. An edit is a row of its own that names in supersedes the message whose text it replaces. sentiment is of customers, politeness of agents; NULL or empty where it does not apply.';

CREATE OR REPLACE VIEW {db}.v_turns {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, revision, at, cycle, turn, started_at,
    agent, customer, channel, queue, team, historical,
    first_event_id, last_event_id, answer_event_id, customer_messages,
    rt_first_unanswered_ms, 'rt.first_unanswered.v1' AS rt_first_unanswered_metric_id,
    rt_last_msg_ms, 'rt.last_msg.v1' AS rt_last_msg_metric_id,
    rt_human_ms, 'rt.human.v1' AS rt_human_metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.turns FINAL
COMMENT 'One row for every turn, corrections applied: a customer run and the agent run that answers it. Response times in milliseconds; NULL: not measured, as in a turn without an answer.';

CREATE OR REPLACE VIEW {db}.v_sessions {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, revision, at, cycle, started_at, ended_at,
    agent, customer, channel, queue, team, historical,
    resolved, provisional, reopened, turns, unanswered,
    frt_any_ms, 'frt.any.v1' AS frt_any_metric_id,
    frt_human_ms, 'frt.human.v1' AS frt_human_metric_id,
    frt_substantive_ms, 'frt.substantive.v1' AS frt_substantive_metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.cycles FINAL
COMMENT 'One row for every session, which is a care cycle, corrections applied: from open, first customer message or reopen to resolve or idle. First response times in milliseconds; NULL: not measured. provisional rows may still change.';

CREATE OR REPLACE VIEW {db}.v_signals {on_cluster} AS
SELECT * EXCEPT (precedence)
FROM {db}.signals FINAL
COMMENT 'One row for every signal: something in a conversation that a person should look at. historical ones are recorded and never paged.';

CREATE OR REPLACE VIEW {db}.v_incidents {on_cluster} AS
SELECT
    tenant, team, incident_id, conversation_id, family, kind, category, state, severity, version,
    triggered_at, acknowledged_at, resolved_at,
    date_diff('millisecond', triggered_at, acknowledged_at) AS mtta_ms, 'mtta.v1' AS mtta_metric_id,
    date_diff('millisecond', triggered_at, resolved_at) AS mttr_ms, 'mttr.v1' AS mttr_metric_id,
    owner, signals, policy, step, loop, next_at, exhausted,
    type AS last_event_type, at AS last_event_at,
    log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.incidents FINAL
ORDER BY version DESC, at DESC, log_offset DESC
LIMIT 1 BY tenant, incident_id
COMMENT 'One row for every incident as its latest event left it. mtta_ms and mttr_ms are milliseconds from triggered to acknowledged and to resolved; NULL: not yet.';

CREATE OR REPLACE VIEW {db}.v_deliveries {on_cluster} AS
SELECT * EXCEPT (precedence)
FROM {db}.deliveries FINAL
COMMENT 'One row for every known outcome of a page: delivered or given up. sent_at is the append time of the claim from which it was sent, at the time its outcome was known.';

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
