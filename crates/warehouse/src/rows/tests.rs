use bytes::Bytes;
use zhili_eventlog::Headers;
use zhili_proto::conversation::v1::{Author, Event, EventType, author, event};
use zhili_proto::escalation::v1::{Family, Incident, Page, Signal, incident, incident_event, page};
use zhili_proto::log::v1::Tick;
use zhili_proto::scoring::v1::{
    Assessment, Complaint, Cycle, Evidence, Politeness, Sentiment, Turn, complaint, fact,
    politeness, sentiment,
};
use zhili_proto::timestamp;

use super::*;

const APPENDED: i64 = 1_760_000_000_500;
const SENT: i64 = 1_760_000_000_123;

fn origin(topic: &str) -> Origin {
    Origin {
        log_id: "log-a".into(),
        topic: topic.into(),
        partition: 3,
        offset: 42,
        append_at: Instant(APPENDED),
    }
}

fn record(value: Vec<u8>) -> Record {
    Record {
        offset: 42,
        append_ms: APPENDED,
        key: None,
        value: Some(Bytes::from(value)),
        headers: Headers::default(),
    }
}

fn rows(topic: &str, message: &impl Message) -> Result<Vec<Row>, Poison> {
    rows_of(topic, &origin(topic), &record(message.encode_to_vec()))
}

fn scored() -> ScoredEvent {
    ScoredEvent {
        event: Some(Event {
            tenant: "shop".into(),
            source: "desk".into(),
            event_id: "e1".into(),
            conversation_id: "c1".into(),
            r#type: EventType::Message.into(),
            sent_at: Some(timestamp(SENT)),
            author: Some(Author {
                id: "u1".into(),
                role: author::Role::Customer.into(),
                ..Author::default()
            }),
            text: "我要投诉".into(),
            mode: event::Mode::Live.into(),
            attrs: [("b", "2"), ("a", "1")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..Event::default()
        }),
        assessment: Some(Assessment {
            lang: "zh".into(),
            sentiment: Some(Sentiment {
                label: sentiment::Label::Neg.into(),
                value: -0.5,
                confidence: 0.9,
            }),
            complaint: Some(Complaint {
                label: complaint::Label::Urgent.into(),
                category: complaint::Category::Regulator.into(),
                probability: 0.97,
                dissatisfaction: 0.8,
            }),
            evidence: vec![Evidence {
                start: 2,
                end: 4,
                class: "complaint".into(),
                rule: "投诉".into(),
                points: 1.5,
                target: "urgency".into(),
            }],
            ..Assessment::default()
        }),
        partition: 1,
        offset: 7,
        append_ms: SENT + 10,
        ..ScoredEvent::default()
    }
}

fn event_row(scored: &ScoredEvent) -> EventRow {
    match rows(topics::SCORES, scored).unwrap().remove(0) {
        Row::Event(row) => *row,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_scored_event_is_one_row_in_the_words_of_the_contract() {
    let row = event_row(&scored());
    assert_eq!(row.r#type.0, "message");
    assert_eq!(row.role.0, "customer");
    assert_eq!(row.subtype.0, "");
    assert_eq!(row.sent_at, Instant(SENT));
    assert_eq!(row.accepted_at, Instant(SENT + 10));
    assert_eq!(row.sentiment.0, "neg");
    assert_eq!(row.sentiment_value, Some(-0.5));
    assert_eq!(row.complaint.0, "urgent");
    assert_eq!(row.complaint_category.0, "regulator");
    assert_eq!(row.evidence_rule, [Word::from("投诉")]);
    assert_eq!(row.precedence, -APPENDED);
}

#[test]
fn what_was_not_scored_is_null_and_not_zero() {
    let row = event_row(&scored());
    assert_eq!(row.politeness_score, None);
    assert_eq!(row.politeness.0, "");
    assert_eq!(row.csat_score, None);
    assert_eq!(row.voice_rate, None);

    let mut agent = scored();
    agent.assessment = Some(Assessment {
        politeness: Some(Politeness { label: politeness::Label::Polite.into(), score: 70.0 }),
        ..Assessment::default()
    });
    let row = event_row(&agent);
    assert_eq!(row.politeness_score, Some(70.0));
    assert_eq!(row.sentiment_value, None);
    assert_eq!(row.urgent_probability, None);
}

#[test]
fn the_same_record_gives_the_same_bytes_whatever_the_order_of_its_maps() {
    let bytes = || {
        let mut out = Vec::new();
        Row::Event(Box::new(event_row(&scored()))).put(&origin(topics::SCORES), 0, &mut out);
        out
    };
    let first = bytes();
    for _ in 0..20 {
        assert_eq!(bytes(), first);
    }
}

#[test]
fn an_event_without_a_time_is_invalid_and_names_the_field() {
    let mut scored = scored();
    scored.event.as_mut().unwrap().sent_at = None;
    let poison = rows(topics::SCORES, &scored).unwrap_err();
    assert_eq!(poison.reason, "invalid");
    assert_eq!(poison.tenant, "shop");
    assert!(poison.detail.contains("event.sent_at"), "{}", poison.detail);
}

#[test]
fn a_time_that_clickhouse_cannot_hold_is_invalid() {
    let mut scored = scored();
    scored.event.as_mut().unwrap().sent_at = Some(timestamp(20_000_000_000_000));
    assert_eq!(rows(topics::SCORES, &scored).unwrap_err().reason, "invalid");
}

#[test]
fn a_dead_letter_of_an_undecodable_record_keeps_its_hash_and_not_its_bytes() {
    let record = record(vec![0xff, 0xff, 0xff]);
    let poison = rows_of(topics::SCORES, &origin(topics::SCORES), &record).unwrap_err();
    assert_eq!(poison.reason, "undecodable");
    let partition = TopicPartition::new(topics::SCORES, 3);
    let letter = poison.dead_letter(&partition, &record, "metrics 1");
    assert!(letter.payload.is_empty());
    assert_eq!(letter.payload_sha256.len(), 32);
    assert_eq!(letter.payload_length, 3);
    assert_eq!((letter.partition, letter.offset), (3, 42));
    assert_eq!(letter.failed_at, Some(timestamp(APPENDED)));
}

#[test]
fn a_dead_letter_of_an_invalid_record_keeps_it() {
    let value = ScoredEvent::default().encode_to_vec();
    let record = record([value, vec![0x18, 0x05]].concat());
    let poison = rows_of(topics::SCORES, &origin(topics::SCORES), &record).unwrap_err();
    let partition = TopicPartition::new(topics::SCORES, 3);
    let letter = poison.dead_letter(&partition, &record, "metrics 1");
    assert_eq!(letter.payload, record.value.unwrap());
    assert!(letter.payload_sha256.is_empty());
}

#[test]
fn turns_and_cycles_go_to_tables_of_their_own() {
    let fact = Fact {
        tenant: "shop".into(),
        conversation_id: "c1".into(),
        fact_id: "c1/1/t1".into(),
        revision: 2,
        at_ms: SENT,
        ..Fact::default()
    };
    let turn = Fact {
        fact: Some(fact::Fact::Turn(Turn {
            cycle: 1,
            turn: 1,
            started_ms: SENT,
            rt_last_msg_ms: Some(7_000),
            ..Turn::default()
        })),
        ..fact.clone()
    };
    let cycle = Fact {
        fact: Some(fact::Fact::Cycle(Cycle {
            cycle: 1,
            started_ms: SENT,
            ended_ms: None,
            frt_any_ms: Some(0),
            ..Cycle::default()
        })),
        ..fact.clone()
    };
    match &rows(topics::FACTS, &turn).unwrap()[..] {
        [Row::Turn(row)] => {
            assert_eq!(row.revision, 2);
            assert_eq!(row.rt_last_msg_ms, Some(7_000));
            assert_eq!(row.rt_first_unanswered_ms, None);
        }
        other => panic!("{other:?}"),
    }
    match &rows(topics::FACTS, &cycle).unwrap()[..] {
        [Row::Cycle(row)] => {
            assert_eq!(row.frt_any_ms, Some(0));
            assert_eq!(row.ended_at, None);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rows(topics::FACTS, &fact).unwrap_err().reason, "invalid");
}

#[test]
fn of_the_escalation_log_only_signals_are_rows() {
    let tick = LogEntry { entry: Some(log_entry::Entry::Tick(Tick { at_ms: SENT })) };
    assert_eq!(rows(topics::ESCALATION, &tick), Ok(vec![]));
    let signal = LogEntry {
        entry: Some(log_entry::Entry::Signal(Signal {
            signal_id: "s1".into(),
            tenant: "shop".into(),
            family: Family::Complaint.into(),
            severity: incident::Severity::Critical.into(),
            effective_ms: SENT,
            ..Signal::default()
        })),
    };
    match &rows(topics::ESCALATION, &signal).unwrap()[..] {
        [Row::Signal(row)] => {
            assert_eq!(row.family.0, "complaint");
            assert_eq!(row.severity.0, "critical");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_incident_event_about_a_page_is_a_delivery_too() {
    let mut event = IncidentEvent {
        r#type: incident_event::Type::Acknowledged.into(),
        incident: Some(Incident {
            incident_id: "inc1".into(),
            tenant: "shop".into(),
            state: incident::State::Acknowledged.into(),
            triggered_at: Some(timestamp(SENT)),
            ..Incident::default()
        }),
        at_ms: SENT + 60_000,
        event_id: "ie1".into(),
        ..IncidentEvent::default()
    };
    assert_eq!(rows(topics::INCIDENTS, &event).unwrap().len(), 1);

    event.r#type = incident_event::Type::Paged.into();
    event.effective_ms = SENT + 50_000;
    event.page = Some(Page {
        page_id: "ntf_1".into(),
        destination: "hook".into(),
        state: page::State::Delivered.into(),
        attempts: 1,
        ..Page::default()
    });
    match &rows(topics::INCIDENTS, &event).unwrap()[..] {
        [Row::Incident(incident), Row::Delivery(delivery)] => {
            assert_eq!(incident.r#type.0, "paged");
            assert_eq!(incident.identity(), delivery.identity());
            assert_eq!(delivery.state.0, "delivered");
            assert_eq!(delivery.sent_at, Some(Instant(SENT + 50_000)));
        }
        other => panic!("{other:?}"),
    }

    // Tried in vain, and tried again: no outcome yet.
    event.r#type = incident_event::Type::Attempted.into();
    let attempted = rows(topics::INCIDENTS, &event).unwrap();
    assert!(matches!(attempted[..], [Row::Incident(_)]), "{attempted:?}");
}

#[test]
fn a_tombstone_gives_no_rows() {
    let record = Record { value: None, ..record(Vec::new()) };
    for topic in crate::sink::TOPICS {
        assert_eq!(rows_of(topic, &origin(topic), &record), Ok(vec![]));
    }
}

/// Name and type in a line that defines a column.
fn column(line: &str) -> (String, String) {
    let line = line.trim().trim_end_matches([',', ';']);
    let line = line.split(" COMMENT ").next().unwrap();
    let line = line.split(" AFTER ").next().unwrap();
    let line = line.split(" CODEC").next().unwrap();
    let (name, r#type) = line.split_once(' ').unwrap();
    (name.to_owned(), r#type.to_owned())
}

/// Names and types of a table's columns as the migrations leave them, `precedence` and all.
fn created(table: Table) -> Vec<(String, String)> {
    let text = concat!(
        include_str!("../../migrations/0001_tables.sql"),
        include_str!("../../migrations/0003_facts.sql"),
        include_str!("../../migrations/0004_recontacts.sql"),
        include_str!("../../migrations/0005_care.sql"),
    );
    let start = text
        .find(&format!("CREATE TABLE IF NOT EXISTS {{db}}.{} {{on_cluster}}\n(\n", table.name()))
        .unwrap_or_else(|| panic!("no table {table}"));
    let mut columns: Vec<_> = text[start..]
        .lines()
        .skip(2)
        .take_while(|line| *line != ")")
        .filter(|line| !line.trim_start().starts_with("INDEX "))
        .map(column)
        .collect();
    let altered = format!("ALTER TABLE {{db}}.{} {{on_cluster}}\n", table.name());
    for (start, _) in text.match_indices(&altered) {
        let added = text[start..]
            .lines()
            .skip(1)
            .map_while(|line| line.trim_start().strip_prefix("ADD COLUMN IF NOT EXISTS "));
        for line in added {
            let after = line.rsplit_once(" AFTER ").unwrap().1.trim_end_matches([',', ';']);
            let place = columns.iter().position(|(name, _)| name == after).unwrap();
            columns.insert(place + 1, column(line));
        }
    }
    columns
}

#[test]
fn every_row_has_the_columns_that_the_migrations_create() {
    for table in Table::ALL {
        let written: Vec<(String, String)> =
            columns(table).into_iter().map(|(name, r#type)| (name.to_owned(), r#type)).collect();
        assert_eq!(written, created(table), "{table}");
    }
}
