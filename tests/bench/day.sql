-- A day of a busy desk, made up: 222,228 messages in conversations of nine, of 200 agents in three shifts,
-- what people did besides, and what was folded from it. The same day gives the same rows. `c` is the
-- number of a conversation, `h` what chance gave it, `r` what chance gave one of its rows. Some turns
-- are corrected a day later; promises are settled a day later, recontacts after 30.
-- {conversations} is replaced by the query below the last semicolon, {day} and {start} by numbers.

INSERT INTO events (log_id, log_topic, log_partition, log_offset, log_append_at, precedence, tenant, source, event_id,
    conversation_id, type, sent_at, received_at, accepted_at, event_partition, event_offset, channel, queue, team,
    author, role, customer, text, mode, csat_score, csat_max, status,
    lang, sentiment, sentiment_value, politeness, politeness_score, complaint, complaint_category, forbidden, acts,
    evidence_start, evidence_end, evidence_class, evidence_rule, evidence_points, evidence_target, engine, library)
SELECT 'bench' AS log_id, 'zhili.scores.v1' AS log_topic, c % 4 AS log_partition,
    intDiv(c * 11 + m, 4) AS log_offset, sent_at + toIntervalMillisecond(40) AS log_append_at,
    -toUnixTimestamp64Milli(log_append_at) AS precedence, 'shop' AS tenant, 'desk' AS source,
    concat('e', toString(c), '-', toString(m)) AS event_id, conversation_id,
    multiIf(m = 9, 'status', m = 10, 'csat', 'message') AS type,
    began + toIntervalMillisecond(m * 25000 + r % 20000) AS sent_at, sent_at + toIntervalMillisecond(15) AS received_at,
    sent_at + toIntervalMillisecond(20) AS accepted_at, log_partition AS event_partition, log_offset AS event_offset,
    channel, queue, team,
    multiIf(role = 'agent', agent, role = 'customer', customer, '') AS author,
    multiIf(m IN (0, 2, 3, 6, 10), 'customer', m = 9, 'system', 'agent') AS role, customer,
    if(type != 'message', '', concat(
        ['您好，很高兴为您服务，请问有什么可以帮您？', '我的订单还没有收到，已经等了三天了', '请您稍等，我马上为您查询物流信息', '怎么还没有处理好，太慢了', '根据您的描述，我建议您先申请退款', '好的，谢谢', '感谢您的耐心等待，祝您生活愉快', '什么时候能发货'][r % 8 + 1],
        if(r % 16 = 0, '，电话 [PHONE]', ''), ' ', toString(r % 997))) AS text, 'live' AS mode,
    if(m = 10, 1 + (h % 10 < 9) * 3 + h % 2, NULL) AS csat_score, if(m = 10, 5, NULL) AS csat_max,
    if(m = 9, 'resolved', '') AS status,
    if(type = 'message', 'zh', '') AS lang,
    if(role = 'customer' AND type = 'message', ['neg', 'neutral', 'neutral', 'neutral', 'pos'][r % 5 + 1], '') AS sentiment,
    if(sentiment != '', round((r % 5 - 2) / 2 * 0.6 + (r % 1000) / 4000, 4), NULL) AS sentiment_value,
    if(role = 'agent', if(r % 50 = 0, 'impolite', 'polite'), '') AS politeness,
    if(role = 'agent', 55 + (r % 45) + (r % 7) / 4, NULL) AS politeness_score,
    if(sentiment = '', '', multiIf(complains AND m = 3 AND h % 5 = 0, 'urgent', complains AND m < 7, 'complaint', 'normal')) AS complaint,
    if(complaint = 'urgent', ['regulator', 'legal', 'media', 'loss'][h % 4 + 1], '') AS complaint_category,
    role = 'agent' AND r % 400 = 0 AS forbidden,
    if(type = 'message', [if(role = 'agent', ['greeting', 'advice', 'closing'][r % 3 + 1], 'question')], []) AS acts,
    if(role = 'agent', [0, 3], []) AS evidence_start, if(role = 'agent', [2, 6], []) AS evidence_end,
    if(role = 'agent', ['greeting', 'thanks'], []) AS evidence_class,
    if(role = 'agent', [['您好', '请'][r % 2 + 1], ['感谢', '谢谢', '马上'][r % 3 + 1]], []) AS evidence_rule,
    if(role = 'agent', [6.0, 4.0], []) AS evidence_points,
    if(role = 'agent', ['politeness', 'politeness'], []) AS evidence_target,
    'tone 1' AS engine, concat('library', toString(intDiv({day}, 30))) AS library
FROM (SELECT *, arrayJoin(if(h % 5 = 0, range(11), range(10))) AS m, cityHash64(c, m) AS r FROM {conversations});

INSERT INTO turns (log_id, log_topic, log_partition, log_offset, log_index, log_append_at, precedence, revision, tenant,
    conversation_id, fact_id, at, engine, agent, customer, channel, queue, team, cycle, turn,
    first_event_id, last_event_id, answer_event_id, started_at, rt_first_unanswered_ms, rt_last_msg_ms, rt_human_ms,
    customer_messages, sla_nrt, sla_nrt_target_ms)
SELECT 'bench' AS log_id, 'zhili.facts.v1' AS log_topic, c % 4 AS log_partition, intDiv(c * 12 + t, 4) AS log_offset, revision AS log_index,
    at + toIntervalMillisecond(ifNull(rt_first_unanswered_ms, 600000) + 60 + revision * 86400000) AS log_append_at, toInt64(revision) AS precedence, revision, 'shop' AS tenant,
    conversation_id, concat(conversation_id, '/1/t', toString(t)) AS fact_id,
    began + toIntervalMillisecond([0, 50000, 150000][t] + r % 20000) AS at, 'tone 1' AS engine,
    agent, customer, channel, queue, team, 1 AS cycle, t AS turn,
    concat('e', toString(c), '-', toString([0, 2, 6][t])) AS first_event_id, first_event_id AS last_event_id,
    if(r % 40 = 0, '', concat('e', toString(c), '-', toString([1, 4, 7][t]))) AS answer_event_id, at AS started_at,
    if(r % 40 = 0, NULL, toInt64(1500 + intExp2(r % 17) * 2 + r % 15013) - revision * 100) AS rt_first_unanswered_ms,
    rt_first_unanswered_ms - if(t = 2, r % 1400, 0) AS rt_last_msg_ms, rt_first_unanswered_ms AS rt_human_ms,
    if(t = 2, 2, 1) AS customer_messages,
    if(t = 1, '', if(rt_first_unanswered_ms > 60000, 'breached', 'met')) AS sla_nrt, if(t = 1, NULL, 60000) AS sla_nrt_target_ms
FROM (SELECT *, arrayJoin([1, 2, 3]) AS t, cityHash64(c, t, 't') AS r, arrayJoin(if(r % 100 = 0, [0, 1], [0])) AS revision FROM {conversations});

INSERT INTO cycles (log_id, log_topic, log_partition, log_offset, log_index, log_append_at, precedence, revision, tenant,
    conversation_id, fact_id, at, engine, agent, customer, channel, queue, team, cycle, started_at, ended_at,
    frt_any_ms, frt_human_ms, frt_substantive_ms, frt_join_ms, sla_frt, sla_resolution, silences_agent, silences_agent_ms,
    silences_customer, silences_customer_ms, resolved, provisional, reopened, turns, unanswered)
SELECT 'bench' AS log_id, 'zhili.facts.v1' AS log_topic, c % 4 AS log_partition, intDiv(c * 12 + 4 + revision, 4) AS log_offset, 10 + revision AS log_index,
    at + toIntervalMillisecond(30000 + revision * 300000) AS log_append_at, toInt64(revision) AS precedence, revision, 'shop' AS tenant,
    conversation_id, concat(conversation_id, '/1') AS fact_id, began AS at, 'tone 1' AS engine,
    agent, customer, channel, queue, team, 1 AS cycle, began AS started_at,
    if(revision = 0, NULL, began + toIntervalMillisecond(240000 + h % 90000)) AS ended_at,
    900 + h % 1400 AS frt_any_ms, 1500 + h % 40009 AS frt_human_ms, frt_human_ms + h % 8191 AS frt_substantive_ms,
    600 + h % 5003 AS frt_join_ms, if(frt_human_ms > 30000, 'breached', 'met') AS sla_frt,
    multiIf(revision = 0, 'pending', h % 20 = 0, 'breached', 'met') AS sla_resolution,
    h % 3 AS silences_agent, silences_agent * 40000 AS silences_agent_ms, h % 2 AS silences_customer, silences_customer * 35000 AS silences_customer_ms,
    revision = 1 AND h % 12 != 0 AS resolved, revision = 0 AS provisional, h % 50 = 0 AS reopened, 3 AS turns, h % 40 = 0 AS unanswered
FROM (SELECT *, arrayJoin([0, 1]) AS revision FROM {conversations});

INSERT INTO sessions (log_id, log_topic, log_partition, log_offset, log_index, log_append_at, precedence, tenant,
    conversation_id, fact_id, at, engine, agent, customer, channel, queue, team, cycle, sentiments, positive, negative,
    mood_begin, mood_end, cl5, cl5_progressive, gc100, unhappy, converted, aggravations, complaint, urgent, topic,
    identified, felt, solved, followed_up, soothing, agent_messages, holding, first_is_holding, empathy100,
    open_questions, closed_questions, stint_agents, stint_messages, stint_active_ms, stint_mechanical)
SELECT 'bench' AS log_id, 'zhili.facts.v1' AS log_topic, c % 4 AS log_partition, intDiv(c * 12 + 6, 4) AS log_offset, 20 AS log_index,
    at + toIntervalMillisecond(340000) AS log_append_at, 0 AS precedence, 'shop' AS tenant,
    conversation_id, concat(conversation_id, '/1/s') AS fact_id, began AS at, 'tone 1' AS engine,
    agent, customer, channel, queue, team, 1 AS cycle, 4 AS sentiments, h % 3 AS positive, h % 2 AS negative,
    round((h % 201) / 100 - 1, 4) AS mood_begin, round((h % 191) / 100 - 0.9, 4) AS mood_end,
    round(5 * (toInt64(positive) - toInt64(negative)) / 4, 4) AS cl5, cl5 AS cl5_progressive, round(100 * mood_end, 3) AS gc100,
    mood_begin <= -0.2 AS unhappy, if(unhappy, mood_end >= -0.05, NULL) AS converted, h % 37 = 0 AS aggravations,
    complains AS complaint, complains AND h % 5 = 0 AS urgent, ['refund', 'logistics', 'quality', 'account', 'invoice'][h % 5 + 1] AS topic,
    if(complains, h % 2 = 0, NULL) AS identified, if(complains, h % 3 = 0, NULL) AS felt, if(complains, h % 5 < 2, NULL) AS solved,
    if(complains, h % 3 > 0, NULL) AS followed_up, if(complains, h % 6, NULL) AS soothing, 4 AS agent_messages, h % 4 = 0 AS holding,
    h % 9 = 0 AS first_is_holding, if(h % 3 = 0, toFloat64(h % 201) - 100, NULL) AS empathy100, h % 3 AS open_questions, h % 2 AS closed_questions,
    [agent] AS stint_agents, [4] AS stint_messages, [60000 + h % 240007] AS stint_active_ms, [h % 25 = 0] AS stint_mechanical
FROM {conversations};

INSERT INTO slots (log_id, log_topic, log_partition, log_offset, log_index, log_append_at, precedence, tenant,
    conversation_id, fact_id, at, engine, agent, customer, channel, queue, team, cycle, slot, due_event_id, present, event_id)
SELECT 'bench' AS log_id, 'zhili.facts.v1' AS log_topic, c % 4 AS log_partition, intDiv(c * 12 + 6 + s, 4) AS log_offset, 30 + s AS log_index,
    at + toIntervalMillisecond(100000) AS log_append_at, 0 AS precedence, 'shop' AS tenant,
    conversation_id, concat(conversation_id, '/1/p', toString(s)) AS fact_id, began + toIntervalMillisecond(s * 40000) AS at, 'tone 1' AS engine,
    agent, customer, channel, queue, team, 1 AS cycle, ['greeting', 'professional', 'closing', 'emotion'][s] AS slot,
    concat('e', toString(c), '-0') AS due_event_id, r % 20 > 0 AS present, if(present, concat('e', toString(c), '-1'), '') AS event_id
FROM (SELECT *, arrayJoin(if(complains, [1, 2, 3, 4], [1, 2, 3])) AS s, cityHash64(c, s, 's') AS r FROM {conversations});

INSERT INTO promises (log_id, log_topic, log_partition, log_offset, log_index, log_append_at, precedence, revision, tenant,
    conversation_id, fact_id, at, engine, agent, customer, channel, queue, team, promise, due_at, made_event_id, state, settled_at, event_id)
SELECT 'bench' AS log_id, 'zhili.facts.v1' AS log_topic, c % 4 AS log_partition, intDiv(c * 12 + 10, 4) AS log_offset, 40 + revision AS log_index,
    at + toIntervalMillisecond(revision * 86400000 + 100) AS log_append_at, revision AS precedence, revision, 'shop' AS tenant,
    conversation_id, concat(conversation_id, '/1/m1') AS fact_id, began + toIntervalMillisecond(180000) AS at, 'tone 1' AS engine,
    agent, customer, channel, queue, team, ['callback', 'refund', 'ship'][h % 3 + 1] AS promise, at + toIntervalDay(1) AS due_at,
    concat('e', toString(c), '-7') AS made_event_id, multiIf(revision = 0, 'pending', h % 7 = 0, 'broken', 'kept') AS state,
    if(revision = 0, NULL, due_at) AS settled_at, '' AS event_id
FROM (SELECT *, arrayJoin([0, 1]) AS revision FROM {conversations} WHERE h % 10 = 0);

INSERT INTO recontacts (log_id, log_topic, log_partition, log_offset, log_index, log_append_at, precedence, revision, tenant,
    conversation_id, fact_id, at, engine, agent, customer, channel, queue, team, ended_at, resolved, next_at, reopened_at, settled)
SELECT 'bench' AS log_id, 'zhili.facts.v1' AS log_topic, c % 4 AS log_partition, intDiv(c * 12 + 11, 4) AS log_offset, 50 + revision AS log_index,
    ended_at + toIntervalMillisecond(revision * 2592000000 + 100) AS log_append_at, revision AS precedence, revision, 'shop' AS tenant,
    conversation_id, concat(conversation_id, '/1/r') AS fact_id, began AS at, 'tone 1' AS engine,
    agent, customer, channel, queue, team, began + toIntervalMillisecond(240000 + h % 90000) AS ended_at, h % 12 != 0 AS resolved,
    if(h % 8 = 0 AND revision = 1, ended_at + toIntervalHour(h % 600), NULL) AS next_at, if(h % 40 = 0, next_at, NULL) AS reopened_at, revision = 1 AS settled
FROM (SELECT *, arrayJoin(if({day} < 60, [0, 1], [0])) AS revision FROM {conversations});

INSERT INTO signals (log_id, log_topic, log_partition, log_offset, log_append_at, precedence, tenant, team, signal_id,
    conversation_id, family, kind, category, severity, event_id, effective_at, probability, rules, excerpt, agent, customer, channel, queue, engine)
SELECT 'bench' AS log_id, 'zhili.escalation.v1' AS log_topic, c % 4 AS log_partition, intDiv(c, 4) AS log_offset,
    effective_at + toIntervalMillisecond(50) AS log_append_at, 0 AS precedence, 'shop' AS tenant, team, concat('s', toString(c)) AS signal_id,
    conversation_id, 'complaint' AS family, if(h % 7 = 0, 'repeat_complaint', 'urgent_complaint') AS kind, ['regulator', 'legal', 'media', 'loss'][h % 4 + 1] AS category,
    'high' AS severity, concat('e', toString(c), '-3') AS event_id, began + toIntervalMillisecond(75000) AS effective_at, 0.9 AS probability,
    ['complaints_2_in_30d'] AS rules, '怎么还没有处理好' AS excerpt, agent, customer, channel, queue, 'tone 1' AS engine
FROM {conversations} WHERE complains AND h % 5 = 0;

INSERT INTO incidents (log_id, log_topic, log_partition, log_offset, log_append_at, precedence, tenant, team, incident_id, event_id,
    type, at, conversation_id, family, kind, category, state, severity, version, triggered_at, acknowledged_at, resolved_at, owner, signals)
SELECT 'bench' AS log_id, 'zhili.incidents.v1' AS log_topic, c % 4 AS log_partition, intDiv(c * 3 + v, 4) AS log_offset,
    at + toIntervalMillisecond(50) AS log_append_at, 0 AS precedence, 'shop' AS tenant, team, concat('i', toString(c)) AS incident_id,
    concat('i', toString(c), '-', toString(v)) AS event_id, ['triggered', 'acknowledged', 'resolved'][v] AS type,
    triggered_at + toIntervalSecond((v - 1) * (60 + h % 400)) AS at, conversation_id, 'complaint' AS family, 'urgent_complaint' AS kind,
    'legal' AS category, type AS state, 'high' AS severity, v AS version, began + toIntervalMillisecond(75000) AS triggered_at,
    if(v > 1, triggered_at + toIntervalSecond(60 + h % 400), NULL) AS acknowledged_at,
    if(v > 2, at, NULL) AS resolved_at, if(v > 1, 'supervisor', '') AS owner, 1 AS signals
FROM (SELECT *, arrayJoin([1, 2, 3]) AS v FROM {conversations} WHERE complains AND h % 5 = 0);

(SELECT {day} * 24692 + number AS c, cityHash64(c) AS h,
    concat('c_', lower(hex(sipHash128(c)))) AS conversation_id, concat('u_', lower(hex(sipHash128(h % 400009)))) AS customer,
    fromUnixTimestamp64Milli(toInt64({start}) + {day} * 86400000 + toInt64(intDiv(number * 86000000, 24692)), 'UTC') AS began,
    h % 67 * 3 + intDiv(toHour(began), 8) AS who, concat('a_', toString(who)) AS agent, concat('team', toString(who % 10)) AS team,
    concat('queue', toString(who % 20)) AS queue, ['web', 'app', 'phone', 'wechat'][(who + intDiv(h, 67) % 2) % 4 + 1] AS channel,
    intDiv(h, 1000) % 25 = 0 AS complains
    FROM numbers(24692))
