//! What the log shows to whom: records of the caller's own tenant only, texts only to those who
//! may read them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use prost::Message;
use tonic::{Code, Request};
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, NewRecord, ReadLimit, TopicPartition, system_clock, topics};
use zhili_proto::conversation::v1::{Event, LogEntry, log_entry};
use zhili_proto::log::v1::log_service_server::LogService;
use zhili_proto::log::v1::{
    ApplyConfigRequest, ConfigHead, DeadLetter, DeadLetterRecord, GetConfigRequest,
    GetConfigResponse, ListDeadLettersRequest, ListGroupsRequest, ListTopicsRequest, Marker,
    ReplayDeadLettersRequest, TailRequest, Tick,
};
use zhili_runtime::auth::{Principal, Role, Tenant};
use zhili_runtime::log_service::LogReader;

struct Bench {
    log: EmbeddedLog,
    reader: LogReader,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        let groups = [("zhili.scoring", &[topics::EVENTS][..])];
        let reader = LogReader::new(Arc::new(log.clone()), 1, groups);
        Self { log, reader, _folder: folder }
    }

    async fn put(&self, topic: &str, key: Option<&str>, value: Vec<u8>) {
        let key = key.map(|key| Bytes::from(key.to_owned()));
        let record = NewRecord::new(TopicPartition::new(topic, 0), key, Bytes::from(value));
        self.log.append(vec![record]).await.remove(0).unwrap();
    }

    /// The values that a caller sees in a topic, or how the call was refused.
    async fn tail(&self, topic: &str, caller: &Principal) -> Result<Vec<Bytes>, Code> {
        let request = TailRequest { topic: topic.to_owned(), last: u64::MAX, until_now: true };
        let stream = self.reader.tail(by(caller, request)).await.map_err(|status| status.code())?;
        Ok(stream.into_inner().map(|record| record.unwrap().value).collect().await)
    }

    async fn letters(&self, caller: &Principal, limit: u32) -> Vec<DeadLetterRecord> {
        let request = by(caller, ListDeadLettersRequest { limit });
        self.reader.list_dead_letters(request).await.unwrap().into_inner().dead_letters
    }
}

fn caller(tenant: &str, roles: &[Role]) -> Principal {
    let tenant = Tenant::try_from(tenant.to_owned()).unwrap();
    Principal::new("someone", tenant, roles.iter().copied().collect())
}

fn by<T>(caller: &Principal, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

fn event(tenant: &str, id: &str) -> Vec<u8> {
    let event = Event {
        tenant: tenant.to_owned(),
        event_id: id.to_owned(),
        conversation_id: "c".to_owned(),
        ..Event::default()
    };
    LogEntry { entry: Some(log_entry::Entry::Event(event)) }.encode_to_vec()
}

fn letter(tenant: &str, id: &str) -> Vec<u8> {
    DeadLetter {
        topic: topics::EVENTS.to_owned(),
        reason: "invalid".to_owned(),
        payload: Bytes::from(event(tenant, id)),
        tenant: tenant.to_owned(),
        ..DeadLetter::default()
    }
    .encode_to_vec()
}

fn ids(letters: &[DeadLetterRecord]) -> Vec<&str> {
    letters.iter().map(|letter| letter.id.as_str()).collect()
}

/// What `zhili up` gives whoever starts it.
const OPERATOR: &[Role] = &[Role::Admin, Role::Supervisor, Role::Qa];

#[tokio::test]
async fn a_tail_shows_the_records_of_the_callers_tenant_only() {
    let bench = Bench::new().await;
    for topic in [topics::EVENTS, topics::SCORES, topics::FACTS, topics::ESCALATION] {
        bench.put(topic, Some("a/c"), b"of a".to_vec()).await;
        bench.put(topic, Some("ab/c"), b"of ab".to_vec()).await;
        bench.put(topic, Some("b/c"), b"of b".to_vec()).await;
        assert_eq!(bench.tail(topic, &caller("a", OPERATOR)).await.unwrap(), ["of a"], "{topic}");
    }
    bench.put(topics::DEAD_LETTERS, Some("s"), letter("a", "1")).await;
    bench.put(topics::DEAD_LETTERS, Some("s"), letter("b", "1")).await;
    let seen = bench.tail(topics::DEAD_LETTERS, &caller("b", OPERATOR)).await.unwrap();
    assert_eq!(seen, [letter("b", "1")]);
    bench.put(topics::CONFIG, Some("head/a"), b"of a".to_vec()).await;
    bench.put(topics::CONFIG, Some("head/b"), b"of b".to_vec()).await;
    bench.put(topics::CONFIG, Some("head/a/1-0"), b"of a too".to_vec()).await;
    bench.put(topics::CONFIG, Some("head/b/1-0"), b"of b too".to_vec()).await;
    bench.put(topics::CONFIG, Some("blob/0"), b"of whom".to_vec()).await;
    let seen = bench.tail(topics::CONFIG, &caller("b", &[Role::Admin])).await.unwrap();
    assert_eq!(seen, ["of b", "of b too"]);
}

#[tokio::test]
async fn ticks_are_for_every_tenant_and_markers_for_their_own() {
    let bench = Bench::new().await;
    let entry = |entry| LogEntry { entry: Some(entry) }.encode_to_vec();
    let tick = entry(log_entry::Entry::Tick(Tick { at_ms: 1 }));
    let marker = |tenant: &str| {
        entry(log_entry::Entry::Marker(Marker { tenant: tenant.to_owned(), ..Marker::default() }))
    };
    for value in [tick.clone(), marker("a"), marker("b")] {
        bench.put(topics::EVENTS, None, value).await;
    }
    let seen = bench.tail(topics::EVENTS, &caller("b", OPERATOR)).await.unwrap();
    assert_eq!(seen, [tick, marker("b")]);
}

#[tokio::test]
async fn what_a_topic_tells_decides_who_may_tail_it() {
    let bench = Bench::new().await;
    let may = |topic: &'static str, role: Role| {
        let (bench, caller) = (&bench, caller("a", &[role]));
        async move { bench.tail(topic, &caller).await.map(|_| ()) }
    };
    let denied = Err(Code::PermissionDenied);
    for topic in [topics::EVENTS, topics::SCORES, topics::FACTS] {
        assert_eq!(may(topic, Role::Qa).await, Ok(()), "{topic}");
        assert_eq!(may(topic, Role::Supervisor).await, Ok(()), "{topic}");
        assert_eq!(may(topic, Role::Admin).await, denied, "{topic}");
        assert_eq!(may(topic, Role::Analyst).await, denied, "{topic}");
    }
    for topic in [topics::ESCALATION, topics::INCIDENTS] {
        assert_eq!(may(topic, Role::Supervisor).await, Ok(()), "{topic}");
        assert_eq!(may(topic, Role::Admin).await, Ok(()), "{topic}");
        assert_eq!(may(topic, Role::Qa).await, denied, "{topic}");
    }
    assert_eq!(may(topics::CONFIG, Role::Admin).await, Ok(()));
    assert_eq!(may(topics::CONFIG, Role::Qa).await, denied);
    assert_eq!(may(topics::DEAD_LETTERS, Role::Admin).await, denied);
    // Of all tenants at once, and raw texts.
    let everything = caller("a", OPERATOR);
    for topic in [topics::SNAPSHOTS, "zhili.inbound.v1"] {
        assert_eq!(bench.tail(topic, &everything).await.map(|_| ()), denied, "{topic}");
    }
}

#[tokio::test]
async fn dead_letters_are_those_of_the_callers_tenant_however_many_others_there_are() {
    let bench = Bench::new().await;
    bench.put(topics::DEAD_LETTERS, Some("s"), letter("a", "1")).await;
    for number in 0..20 {
        bench.put(topics::DEAD_LETTERS, Some("s"), letter("b", &number.to_string())).await;
    }
    assert_eq!(ids(&bench.letters(&caller("a", OPERATOR), 2).await), ["0:0"]);
    assert_eq!(bench.letters(&caller("b", OPERATOR), 2).await.len(), 2);
}

#[tokio::test]
async fn a_letter_that_could_not_be_read_is_known_to_every_operator() {
    let bench = Bench::new().await;
    let unread = DeadLetter { reason: "undecodable".to_owned(), ..DeadLetter::default() };
    bench.put(topics::DEAD_LETTERS, Some("s"), unread.encode_to_vec()).await;
    let kept = DeadLetter {
        payload: Bytes::from(event("b", "1")),
        tenant: String::new(),
        ..DeadLetter::default()
    };
    bench.put(topics::DEAD_LETTERS, Some("s"), kept.encode_to_vec()).await;
    assert_eq!(ids(&bench.letters(&caller("a", OPERATOR), 10).await), ["0:0"]);
}

#[tokio::test]
async fn who_may_not_read_transcripts_learns_of_a_dead_letter_without_its_payload() {
    let bench = Bench::new().await;
    bench.put(topics::DEAD_LETTERS, Some("s"), letter("a", "1")).await;
    let payload = |roles: &'static [Role]| {
        let (bench, caller) = (&bench, caller("a", roles));
        async move { bench.letters(&caller, 10).await.remove(0).dead_letter.unwrap().payload }
    };
    assert_eq!(payload(&[Role::Admin]).await, "");
    assert_eq!(payload(OPERATOR).await, event("a", "1"));
}

#[tokio::test]
async fn a_dead_letter_of_another_tenant_cannot_be_replayed() {
    let bench = Bench::new().await;
    bench.put(topics::DEAD_LETTERS, Some("s"), letter("a", "1")).await;
    let replay = |tenant: &'static str| {
        let request = ReplayDeadLettersRequest { ids: vec!["0:0".to_owned()] };
        let (reader, request) = (&bench.reader, by(&caller(tenant, OPERATOR), request));
        async move {
            reader.replay_dead_letters(request).await.unwrap().into_inner().results.remove(0).error
        }
    };
    assert_eq!(replay("b").await, "there is no such dead letter");
    let events = TopicPartition::new(topics::EVENTS, 0);
    assert_eq!(bench.log.bounds(&events).await.unwrap().end, 0);
    assert_eq!(replay("a").await, "");
    let batch = bench.log.read(&events, 0, ReadLimit::default()).await.unwrap();
    assert_eq!(batch.records[0].key.as_deref(), Some(&b"a/c"[..]));
}

#[tokio::test]
async fn only_who_runs_the_log_sees_its_topics_and_groups() {
    let bench = Bench::new().await;
    let (admin, qa) = (caller("a", &[Role::Admin]), caller("a", &[Role::Qa]));
    assert!(bench.reader.list_topics(by(&admin, ListTopicsRequest {})).await.is_ok());
    assert!(bench.reader.list_groups(by(&admin, ListGroupsRequest {})).await.is_ok());
    let refused = bench.reader.list_topics(by(&qa, ListTopicsRequest {})).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = bench.reader.list_groups(by(&qa, ListGroupsRequest {})).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_bundle_is_in_force_for_the_callers_tenant_until_the_next() {
    let bench = Bench::new().await;
    let (acme, other) = (caller("acme", &[Role::Admin]), caller("other", &[Role::Admin]));
    let apply = async |who: &Principal, content: &'static str, expected: Option<u64>| {
        let content = Bytes::from_static(content.as_bytes());
        let request = ApplyConfigRequest { content, expected_sequence: expected };
        let applied = bench.reader.apply_config(by(who, request)).await;
        applied.map(|applied| applied.into_inner().head.unwrap()).map_err(|error| error.code())
    };
    let get = async |who: &Principal, bundle: &str| {
        let request = GetConfigRequest { bundle: bundle.to_owned() };
        let got = bench.reader.get_config(by(who, request)).await;
        got.map(tonic::Response::into_inner).map_err(|error| error.code())
    };
    assert_eq!(get(&acme, "").await.unwrap(), GetConfigResponse::default());

    let first = apply(&acme, "a = 1", Some(0)).await.unwrap();
    let second = apply(&acme, "a = 2", Some(1)).await.unwrap();
    assert_eq!((first.sequence, second.sequence), (1, 2));
    assert_eq!(second.previous, first.bundle);
    assert_eq!(get(&acme, "").await.unwrap().content, "a = 2");
    assert_eq!(get(&acme, &first.bundle).await.unwrap().content, "a = 1");
    assert_eq!(get(&other, "").await.unwrap(), GetConfigResponse::default());

    assert_eq!(apply(&acme, "a = 3", Some(1)).await, Err(Code::FailedPrecondition));
    assert_eq!(apply(&acme, "a = ", None).await, Err(Code::InvalidArgument));
    assert_eq!(get(&acme, "no such bundle").await.map(|got| got.content), Err(Code::NotFound));
    let analyst = caller("acme", &[Role::Analyst]);
    assert_eq!(apply(&analyst, "a = 3", None).await, Err(Code::PermissionDenied));
    assert_eq!(get(&analyst, "").await.map(|got| got.content), Err(Code::PermissionDenied));
    assert_eq!(get(&acme, "").await.unwrap().content, "a = 2");
}

impl Bench {
    async fn apply(
        &self,
        who: &Principal,
        content: &str,
        expected_sequence: Option<u64>,
    ) -> Result<ConfigHead, Code> {
        let content = Bytes::from(content.to_owned());
        let request = by(who, ApplyConfigRequest { content, expected_sequence });
        let applied = self.reader.apply_config(request).await;
        applied.map(|applied| applied.into_inner().head.unwrap()).map_err(|error| error.code())
    }

    async fn bundle(&self, who: &Principal, name: &str) -> Result<Bytes, Code> {
        let request = by(who, GetConfigRequest { bundle: name.to_owned() });
        let got = self.reader.get_config(request).await;
        got.map(|got| got.into_inner().content).map_err(|error| error.code())
    }
}

#[tokio::test]
async fn of_changes_that_expect_the_same_one_is_made_and_the_others_are_told() {
    let bench = Bench::new().await;
    let acme = caller("acme", &[Role::Admin]);
    let contents = ["a = 1", "a = 2", "a = 3", "a = 4"];
    let answers =
        join_all(contents.iter().map(|content| bench.apply(&acme, content, Some(0)))).await;
    let (made, told): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), told.len()), (1, 3));
    assert!(told.iter().all(|answer| *answer == Err(Code::FailedPrecondition)), "{told:?}");
    let head = made[0].as_ref().unwrap();
    let in_force = bench.bundle(&acme, "").await.unwrap();
    assert_eq!(bench.bundle(&acme, &head.bundle).await, Ok(in_force));
}

#[tokio::test]
async fn changes_that_expect_nothing_are_all_made_one_after_another() {
    let bench = Bench::new().await;
    let acme = caller("acme", &[Role::Admin]);
    let contents = ["a = 1", "a = 2", "a = 3", "a = 4"];
    let answers = join_all(contents.iter().map(|content| bench.apply(&acme, content, None))).await;
    let sequences: BTreeSet<u64> =
        answers.into_iter().map(|answer| answer.unwrap().sequence).collect();
    assert_eq!(sequences, BTreeSet::from([1, 2, 3, 4]));
}

#[tokio::test]
async fn a_tenant_is_shown_all_bundles_that_it_ever_had_and_none_of_another() {
    let bench = Bench::new().await;
    let (acme, other) = (caller("acme", &[Role::Admin]), caller("other", &[Role::Admin]));
    let mut names = Vec::new();
    for content in ["a = 1", "a = 2", "a = 3"] {
        names.push(bench.apply(&acme, content, None).await.unwrap().bundle);
    }
    bench.apply(&other, "a = 4", None).await.unwrap();
    for name in &names {
        assert!(bench.bundle(&acme, name).await.is_ok(), "{name}");
        assert_eq!(bench.bundle(&other, name).await, Err(Code::NotFound));
    }
}
