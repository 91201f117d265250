-- One row for every record that the log holds of an event, a fact, a signal, an incident event or
-- a dead letter. The log_* columns name that record, so that any range of offsets can be compared
-- with the rows it should have given; log_index tells rows of one record in one table apart.
--
-- A table is partitioned by the day on which its record was appended: an INSERT then touches one
-- or two partitions however old the events in it are, and retention drops whole parts. Sorting
-- keys begin with tenant and time because almost every question does; they end with the row's
-- identity, so that a row written twice is read once (views read FINAL).

CREATE TABLE IF NOT EXISTS {db}.events {on_cluster}
(
    log_id LowCardinality(String) COMMENT 'identity of the log; a recreated topic has another',
    log_topic LowCardinality(String) COMMENT 'topic of the record behind this row',
    log_partition UInt32 COMMENT 'partition of that record',
    log_offset UInt64 COMMENT 'offset of that record',
    log_index UInt16 COMMENT 'which of the rows that the record gave to this table, from 0',
    log_append_at DateTime64(3, 'UTC') COMMENT 'when that record was appended',
    precedence Int64 COMMENT 'of two rows of one event the one with the higher value stays: the first appended',
    tenant LowCardinality(String) COMMENT 'whose event this is',
    source LowCardinality(String) COMMENT 'publishing system; event_id is unique per tenant and source',
    event_id String COMMENT 'identity given by the source',
    conversation_id String COMMENT 'keyed pseudonym',
    type LowCardinality(String) COMMENT 'message, edit, delete, join, leave, handoff, assign, status, csat',
    sent_at DateTime64(3, 'UTC') COMMENT 'the platform''s clock',
    received_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when ingest took it in',
    accepted_at DateTime64(3, 'UTC') COMMENT 'when zhili.events.v1 appended it',
    event_partition UInt32 COMMENT 'partition in zhili.events.v1',
    event_offset UInt64 COMMENT 'offset in zhili.events.v1',
    seq Nullable(Int64) COMMENT 'the platform''s own order',
    channel LowCardinality(String),
    queue LowCardinality(String),
    team LowCardinality(String),
    scene LowCardinality(String) COMMENT 'faq, complaint, after_sales, emergency, sales',
    author String COMMENT 'keyed pseudonym of who did it',
    role LowCardinality(String) COMMENT 'customer, agent, bot, system, supervisor',
    subtype LowCardinality(String) COMMENT 'auto, assist, template, ai; empty: a person',
    customer String COMMENT 'keyed pseudonym',
    customer_segment LowCardinality(String),
    vip Bool,
    private Bool COMMENT 'a note that the customer does not see',
    text String COMMENT 'masked' CODEC(ZSTD(3)),
    content_type LowCardinality(String),
    lang_hint LowCardinality(String) COMMENT 'language as the platform says it',
    reply_to String,
    order_number String,
    mode LowCardinality(String) COMMENT 'live or backfill',
    status LowCardinality(String) COMMENT 'open, resolved, reopened, closed; for type status',
    csat_score Nullable(Float64),
    csat_max Nullable(Float64),
    target String COMMENT 'event_id that an edit or delete is about',
    supersedes String COMMENT 'event_id whose text this one replaces',
    deletes String COMMENT 'event_id that this one withdraws',
    historical Bool COMMENT 'older than the horizon when it arrived: counted, never paged',
    attrs Map(String, String),
    voice_begin_ms Nullable(Int64),
    voice_end_ms Nullable(Int64),
    voice_rate Nullable(Float64) COMMENT 'syllables or words a minute',
    voice_overlap Nullable(Bool),
    asr_confidence Nullable(Float64) COMMENT '0..1',
    lang LowCardinality(String) COMMENT 'zh, zh-Hant, en, mixed, unknown; empty: not scored',
    sentiment LowCardinality(String) COMMENT 'neg, neutral, pos; empty: not scored (customers only)',
    sentiment_value Nullable(Float64) COMMENT '-1..1',
    sentiment_confidence Nullable(Float64) COMMENT '0..1',
    politeness LowCardinality(String) COMMENT 'impolite, neutral, polite; empty: not scored (agents only)',
    politeness_score Nullable(Float64) COMMENT '0..100',
    complaint LowCardinality(String) COMMENT 'normal, complaint, urgent; empty: not scored (customers only)',
    complaint_category LowCardinality(String) COMMENT 'regulator, legal, media, police, safety, loss, repeat, crisis',
    urgent_probability Nullable(Float64) COMMENT '0..1',
    satisfaction LowCardinality(String) COMMENT 'dissatisfied, indifferent, satisfied',
    forbidden Bool COMMENT 'holds wording that is never acceptable',
    acts Array(LowCardinality(String)) COMMENT 'dialogue acts',
    evidence_start Array(UInt32) COMMENT 'reasons for the scores: first Unicode scalar of the masked text',
    evidence_end Array(UInt32) COMMENT 'one past the last',
    evidence_class Array(LowCardinality(String)),
    evidence_rule Array(LowCardinality(String)),
    evidence_points Array(Float64),
    evidence_target Array(LowCardinality(String)) COMMENT 'the score that the points add to',
    engine LowCardinality(String) COMMENT 'version of the engine that scored',
    library LowCardinality(String) COMMENT 'hash of its phrase library',
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, sent_at)
ORDER BY (tenant, sent_at, conversation_id, source, event_id)
SETTINGS {table_settings}
COMMENT 'Accepted events with their scores, from zhili.scores.v1; read v_events';

CREATE TABLE IF NOT EXISTS {db}.turns {on_cluster}
(
    log_id LowCardinality(String),
    log_topic LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64,
    log_index UInt16,
    log_append_at DateTime64(3, 'UTC'),
    precedence Int64 COMMENT 'of two rows of one fact the one with the higher value stays: a live one, then the last correction, then the first appended',
    revision UInt32 COMMENT '0 for the first statement, one more for each correction',
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
    turn UInt32,
    first_event_id String COMMENT 'first unanswered customer message',
    last_event_id String COMMENT 'last customer message',
    answer_event_id String COMMENT 'empty: not answered',
    started_at DateTime64(3, 'UTC') COMMENT 'when the first unanswered message was sent',
    rt_first_unanswered_ms Nullable(Int64) COMMENT 'rt.first_unanswered.v1, milliseconds',
    rt_last_msg_ms Nullable(Int64) COMMENT 'rt.last_msg.v1, milliseconds',
    rt_human_ms Nullable(Int64) COMMENT 'rt.human.v1, milliseconds',
    customer_messages UInt32,
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, conversation_id, fact_id)
SETTINGS {table_settings}
COMMENT 'Customer runs and the agent runs that answer them, from zhili.facts.v1; read v_turns';

CREATE TABLE IF NOT EXISTS {db}.cycles {on_cluster}
(
    log_id LowCardinality(String),
    log_topic LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64,
    log_index UInt16,
    log_append_at DateTime64(3, 'UTC'),
    precedence Int64 COMMENT 'of two rows of one fact the one with the higher value stays: a live one, then the last correction, then the first appended',
    revision UInt32 COMMENT '0 for the first statement, one more for each correction',
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
    started_at DateTime64(3, 'UTC'),
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'NULL while open',
    frt_any_ms Nullable(Int64) COMMENT 'frt.any.v1, milliseconds',
    frt_human_ms Nullable(Int64) COMMENT 'frt.human.v1, milliseconds',
    frt_substantive_ms Nullable(Int64) COMMENT 'frt.substantive.v1, milliseconds',
    resolved Bool,
    provisional Bool COMMENT 'still open: values may change',
    reopened Bool,
    turns UInt32,
    unanswered UInt32 COMMENT 'turns without an answer',
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, conversation_id, fact_id)
SETTINGS {table_settings}
COMMENT 'Care cycles, from zhili.facts.v1; read v_sessions';

CREATE TABLE IF NOT EXISTS {db}.signals {on_cluster}
(
    log_id LowCardinality(String),
    log_topic LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64,
    log_index UInt16,
    log_append_at DateTime64(3, 'UTC'),
    precedence Int64 COMMENT 'of two rows of one signal the one with the higher value stays: the first appended',
    tenant LowCardinality(String),
    team LowCardinality(String),
    signal_id String COMMENT 'identity',
    conversation_id String,
    family LowCardinality(String) COMMENT 'complaint, wording, sla, crisis',
    kind LowCardinality(String) COMMENT 'urgent_complaint, forbidden_wording, ...',
    category LowCardinality(String) COMMENT 'regulator, legal, media, ...',
    severity LowCardinality(String) COMMENT 'info, warning, high, critical',
    event_id String COMMENT 'the event that caused it',
    effective_at DateTime64(3, 'UTC') COMMENT 'when it became true',
    probability Float64 COMMENT '0..1',
    rules Array(LowCardinality(String)) COMMENT 'rules that matched',
    excerpt String COMMENT 'masked, at most 500 characters' CODEC(ZSTD(3)),
    agent String,
    customer String,
    channel LowCardinality(String),
    queue LowCardinality(String),
    historical Bool COMMENT 'recorded, never paged',
    engine LowCardinality(String),
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, effective_at)
ORDER BY (tenant, effective_at, signal_id)
SETTINGS {table_settings}
COMMENT 'What a person should look at, from zhili.escalation.v1; read v_signals';

CREATE TABLE IF NOT EXISTS {db}.incidents {on_cluster}
(
    log_id LowCardinality(String),
    log_topic LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64,
    log_index UInt16,
    log_append_at DateTime64(3, 'UTC'),
    precedence Int64 COMMENT 'of two rows of one incident event the one with the higher value stays: the first appended',
    tenant LowCardinality(String),
    team LowCardinality(String),
    incident_id String,
    event_id String COMMENT 'identity',
    type LowCardinality(String) COMMENT 'triggered, paged, acknowledged, updated, resolved, exhausted, delivery_failed, refused',
    at DateTime64(3, 'UTC') COMMENT 'when it happened',
    effective_at Nullable(DateTime64(3, 'UTC')) COMMENT 'for pages: append time of the claim from which it was sent',
    actor String COMMENT 'principal whose command it was',
    note String,
    command_id String,
    conversation_id String,
    family LowCardinality(String),
    kind LowCardinality(String),
    category LowCardinality(String),
    state LowCardinality(String) COMMENT 'triggered, acknowledged, resolved: after this event',
    severity LowCardinality(String),
    version UInt64 COMMENT 'of the incident, after this event',
    triggered_at Nullable(DateTime64(3, 'UTC')),
    acknowledged_at Nullable(DateTime64(3, 'UTC')),
    resolved_at Nullable(DateTime64(3, 'UTC')),
    owner String COMMENT 'who answers for it',
    signals UInt64 COMMENT 'signals counted in',
    policy LowCardinality(String),
    step UInt32,
    loop UInt32,
    next_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the policy acts next',
    exhausted Bool COMMENT 'the policy ended without an acknowledgement',
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, incident_id, event_id)
SETTINGS {table_settings}
COMMENT 'What happened to incidents, from zhili.incidents.v1; read v_incidents';

CREATE TABLE IF NOT EXISTS {db}.deliveries {on_cluster}
(
    log_id LowCardinality(String),
    log_topic LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64,
    log_index UInt16,
    log_append_at DateTime64(3, 'UTC'),
    precedence Int64 COMMENT 'of two rows of one incident event the one with the higher value stays: the first appended',
    tenant LowCardinality(String),
    team LowCardinality(String),
    incident_id String,
    event_id String COMMENT 'identity',
    page_id String COMMENT 'the same on every attempt; also the webhook-id',
    destination LowCardinality(String),
    channel LowCardinality(String),
    type LowCardinality(String) COMMENT 'paged or delivery_failed',
    state LowCardinality(String) COMMENT 'pending, sending, delivered, failed, cancelled',
    attempts UInt32 COMMENT 'attempts so far',
    at DateTime64(3, 'UTC') COMMENT 'when the outcome was known',
    sent_at Nullable(DateTime64(3, 'UTC')) COMMENT 'append time of the claim from which it was sent',
    triggered_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the incident was triggered',
    detail String COMMENT 'HTTP status or a short cause',
    reason String COMMENT 'why this page was sent',
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
PRIMARY KEY (tenant, at)
ORDER BY (tenant, at, page_id, event_id)
SETTINGS {table_settings}
COMMENT 'Outcomes of pages, from zhili.incidents.v1; read v_deliveries';

CREATE TABLE IF NOT EXISTS {db}.dead_letters {on_cluster}
(
    log_id LowCardinality(String),
    log_topic LowCardinality(String),
    log_partition UInt32,
    log_offset UInt64,
    log_index UInt16,
    log_append_at DateTime64(3, 'UTC'),
    precedence Int64 COMMENT 'of two rows of one dead letter the one with the higher value stays: the first appended',
    tenant LowCardinality(String) COMMENT 'empty when the record could not be parsed',
    source_topic LowCardinality(String) COMMENT 'where the record was',
    source_partition UInt32,
    source_offset UInt64,
    reason LowCardinality(String) COMMENT 'undecodable, invalid, conflicting_duplicate, ...',
    detail String,
    payload String COMMENT 'the masked record; empty when it could not be parsed' CODEC(ZSTD(3)),
    payload_sha256 String COMMENT 'lower-case hex, when there is no payload',
    payload_length UInt64,
    component LowCardinality(String) COMMENT 'who gave up',
    failed_at DateTime64(3, 'UTC'),
    INDEX by_offset log_offset TYPE minmax GRANULARITY 4
)
ENGINE = {replacing precedence}
PARTITION BY toDate(log_append_at)
ORDER BY (source_topic, source_partition, source_offset, component, reason, log_id)
SETTINGS {table_settings}
COMMENT 'Records that can never be processed as they are, from zhili.dead-letters.v1';
