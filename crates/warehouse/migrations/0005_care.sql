-- What each agent does in a session, how many customers wait for one agent at once, and scores that
-- are brought in from outside: exams, reviews.

ALTER TABLE {db}.sessions {on_cluster}
    ADD COLUMN IF NOT EXISTS stint_agents Array(String) COMMENT 'keyed pseudonyms of the agents who spoke in it, the first first; read v_stints' AFTER follow_up_questions,
    ADD COLUMN IF NOT EXISTS stint_messages Array(UInt32) COMMENT 'messages of each to the customer' AFTER stint_agents,
    ADD COLUMN IF NOT EXISTS stint_active_ms Array(Int64) COMMENT 'aht.v1: time at work of each, milliseconds' AFTER stint_messages,
    ADD COLUMN IF NOT EXISTS stint_mechanical Array(UInt32) COMMENT 'mechanical.v1: messages of each that say the same again, or nothing to what the customer wants' AFTER stint_active_ms;

CREATE OR REPLACE VIEW {db}.v_stints {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, revision, at, cycle, part.1 AS agent, customer, channel, queue, team, historical,
    part.2 AS messages,
    part.3 AS active_ms, 'aht.v1' AS active_metric_id,
    part.4 AS mechanical, 'mechanical.v1' AS mechanical_metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM
(
    SELECT
        * EXCEPT (agent),
        arrayJoin(arrayZip(stint_agents, stint_messages, stint_active_ms, stint_mechanical)) AS part
    FROM {db}.sessions FINAL
)
COMMENT 'One row for every agent of every ended session, corrections applied. active_ms: from whatever was said before each message of the agent to the message, at most five minutes each. mechanical: messages that say again what the agent said before, and saved texts that say nothing to what the customer wants.';

CREATE OR REPLACE VIEW {db}.v_concurrency {on_cluster} AS
SELECT
    tenant, conversation_id, event_id, at, agent, channel, queue, team, historical,
    open_turns, 'concurrency.v1' AS metric_id
FROM
(
    SELECT
        *,
        sum(step) OVER (PARTITION BY tenant, agent ORDER BY at, rank ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS open_turns
    FROM
    (
        SELECT
            tenant, conversation_id, event_id, least(sent_at, accepted_at) AS at, author AS agent,
            channel, queue, team, historical, 1 AS rank, toInt64(0) AS step
        FROM {db}.v_events
        WHERE type = 'message' AND role = 'agent' AND NOT private AND subtype NOT IN ('auto', 'ai')
        UNION ALL
        SELECT
            tenant, '' AS conversation_id, '' AS event_id, change.1 AS at, agent,
            '' AS channel, '' AS queue, '' AS team, historical, change.2 AS rank, change.3 AS step
        FROM
        (
            SELECT
                waits.tenant AS tenant, waits.agent AS agent, waits.historical AS historical,
                if(waits.rt_first_unanswered_ms IS NULL, ends.ended_at, fromUnixTimestamp64Milli(toUnixTimestamp64Milli(waits.started_at) + waits.rt_first_unanswered_ms, 'UTC')) AS until,
                arrayJoin([(waits.started_at, 0, toInt64(1)), (assumeNotNull(until), 2, toInt64(-1))]) AS change
            FROM {db}.v_turns AS waits
            LEFT JOIN {db}.v_sessions AS ends
                ON ends.tenant = waits.tenant AND ends.fact_id = replaceRegexpOne(waits.fact_id, '/t[0-9]+$', '')
            WHERE waits.agent != '' AND until IS NOT NULL
        )
    )
)
WHERE rank = 1
COMMENT 'One row for every message of a person among the agents: how many turns of that agent were open then, in whatever conversations, the one that it answers included. A turn is the agent''s who answered it, else who was in charge when its session ended, and is known once it is answered or ended. Of conditions only those on tenant and agent narrow what is read.';

CREATE OR REPLACE VIEW {db}.v_promises {on_cluster} AS
SELECT
    tenant, conversation_id, fact_id, revision, at AS made_at, promise, due_at, state, settled_at,
    agent, customer, channel, queue, team, historical,
    made_event_id, event_id, 'promise.v1' AS metric_id,
    engine, log_id, log_topic, log_partition, log_offset, log_append_at
FROM {db}.promises FINAL
COMMENT 'One row for every promise of an agent with a due time. unknown: the conversation does not show whether it was kept. not_followed: nobody looked, because it is too far ahead or one too many at a time. Share kept = kept / (kept + broken).';

CREATE TABLE IF NOT EXISTS {db}.outside_scores {on_cluster}
(
    tenant LowCardinality(String),
    score_id String COMMENT 'identity given by whoever brings it in; a score of the same identity replaces it',
    metric LowCardinality(String) COMMENT 'what was scored: exam, review.personal, review.accuracy, ...',
    agent String COMMENT 'keyed pseudonym of who was scored',
    queue LowCardinality(String),
    team LowCardinality(String),
    at DateTime64(3, 'UTC') COMMENT 'when it was scored',
    value Float64 COMMENT '0..100',
    withdrawn Bool COMMENT 'it counts no more',
    brought_by String COMMENT 'name of who brought it in',
    brought_at DateTime64(3, 'UTC') COMMENT 'of two of one identity the last brought in stays'
)
ENGINE = {replacing brought_at}
PARTITION BY toYYYYMM(brought_at)
PRIMARY KEY (tenant, score_id)
ORDER BY (tenant, score_id)
SETTINGS {table_settings}
COMMENT 'Scores of people by exams and reviews, as they were brought in; read v_outside_scores';

CREATE OR REPLACE VIEW {db}.v_outside_scores {on_cluster} AS
SELECT
    tenant, score_id, metric, agent, queue, team, at, value, brought_by, brought_at,
    '' AS channel, '' AS conversation_id
FROM
(
    SELECT * FROM {db}.outside_scores ORDER BY brought_at DESC LIMIT 1 BY tenant, score_id
)
WHERE NOT withdrawn
COMMENT 'One row for every score of a person by an exam or a review, 0..100, as it was last brought in.';
