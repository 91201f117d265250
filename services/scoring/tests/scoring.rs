//! Events go in, scores, facts and signals come out, once.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prost::Message;
use redb::backends::InMemoryBackend;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::{Bundles, publish_bundle};
use zhili_eventlog::{EventLog, NewRecord, ReadLimit, TopicPartition, topics};
use zhili_proto::conversation::v1::author::Role;
use zhili_proto::conversation::v1::{
    Author, Customer, Event, EventType, LogEntry, event, log_entry,
};
use zhili_proto::escalation::v1 as escalation;
use zhili_proto::escalation::v1::incident::Severity;
use zhili_proto::log::v1::{DeadLetter, Tick};
use zhili_proto::scoring::v1::{Fact, ScoredEvent, complaint, fact};
use zhili_runtime::Context;
use zhili_runtime::auth::Authenticator;
use zhili_scoring::{CUSTOMERS_GROUP, Config, GROUP, PULSE_GROUP};

struct Bench {
    log: Arc<EmbeddedLog>,
    time: Arc<AtomicI64>,
    count: usize,
}

impl Bench {
    async fn new() -> Self {
        let time = Arc::new(AtomicI64::new(1_000_000));
        let clock = Arc::clone(&time);
        let clock = Arc::new(move || clock.load(Ordering::SeqCst));
        let log = EmbeddedLog::open_on(InMemoryBackend::new, clock).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        Self { log: Arc::new(log), time, count: 0 }
    }

    /// Somebody says something `at` seconds after the start.
    fn says(&mut self, at: i64, role: Role, text: &str) -> Event {
        self.count += 1;
        let sent_ms = 1_000_000 + at * 1_000;
        self.time.store(sent_ms, Ordering::SeqCst);
        Event {
            tenant: "default".into(),
            source: "test".into(),
            event_id: format!("e{}", self.count),
            conversation_id: "v1".into(),
            r#type: EventType::Message.into(),
            sent_at: Some(zhili_proto::timestamp(sent_ms)),
            author: Some(Author { id: "a1".into(), role: role.into(), ..Author::default() }),
            text: text.into(),
            mode: event::Mode::Live.into(),
            ..Event::default()
        }
    }

    async fn publish(&self, event: &Event) {
        let entry = LogEntry { entry: Some(log_entry::Entry::Event(event.clone())) };
        self.put(entry.encode_to_vec()).await;
    }

    async fn put(&self, value: Vec<u8>) {
        let at = TopicPartition::new(topics::EVENTS, 0);
        let record = NewRecord::new(at, None, bytes::Bytes::from(value));
        self.log.append(vec![record]).await.remove(0).unwrap();
    }

    /// Lets the service work until it has read everything, then stops it.
    async fn score_all(&self) {
        let end = self.end().await;
        self.score_until(end).await;
    }

    async fn end(&self) -> u64 {
        self.log.bounds(&TopicPartition::new(topics::EVENTS, 0)).await.unwrap().end
    }

    /// Puts a bundle in force from the end of the events on: the service appends its marker.
    async fn configure(&self, bundle: &str) {
        let bundle = bytes::Bytes::from(bundle.to_owned());
        publish_bundle(&*self.log, "default", bundle, "test", 0).await.unwrap();
        self.score_until(self.end().await + 1).await;
    }

    /// Lets the service work until it has read so many records, then stops it.
    async fn score_until(&self, end: u64) {
        let shutdown = CancellationToken::new();
        let context = Context::new(shutdown.clone(), Authenticator::from_records(Vec::new()));
        let log: Arc<dyn EventLog> = Arc::clone(&self.log) as _;
        let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config { partitions: 1, ..Config::default() };
        let time = Arc::clone(&self.time);
        let clock = Arc::new(move || time.load(Ordering::SeqCst));
        let mut task =
            tokio::spawn(zhili_scoring::serve(listener, config, log, bundles, clock, context));
        let at = TopicPartition::new(topics::EVENTS, 0);
        let until = async |end: u64| {
            while self.log.committed(GROUP, &at).await.unwrap().is_none_or(|c| c.offset < end) {
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            until(end).await;
            // What that stated for the other folds, too.
            for (group, topic) in
                [(CUSTOMERS_GROUP, topics::CUSTOMERS), (PULSE_GROUP, topics::PULSE)]
            {
                let at = TopicPartition::new(topic, 0);
                let end = self.log.bounds(&at).await.unwrap().end;
                while end > 0
                    && self.log.committed(group, &at).await.unwrap().is_none_or(|c| c.offset < end)
                {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::select! {
            read = tokio::time::timeout(Duration::from_secs(60), read) => read.unwrap(),
            ended = &mut task => panic!("the service ended: {ended:?}"),
        }
        shutdown.cancel();
        task.await.unwrap().unwrap();
    }

    async fn read<M: Message + Default>(&self, topic: &str) -> Vec<M> {
        let at = TopicPartition::new(topic, 0);
        let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
        let batch = self.log.read(&at, 0, limit).await.unwrap();
        assert!(batch.caught_up);
        let decode = |value: Option<bytes::Bytes>| M::decode(value.unwrap()).unwrap();
        batch.records.into_iter().map(|record| decode(record.value)).collect()
    }
}

#[tokio::test]
async fn a_message_gets_its_score_its_turn_and_its_signal() {
    let mut bench = Bench::new().await;
    let complaint = bench.says(0, Role::Customer, "再不退款我就去12315举报你们");
    bench.publish(&complaint).await;
    let answer = bench.says(40, Role::Agent, "非常抱歉给您带来不便,我马上为您核实退款进度。");
    bench.publish(&answer).await;
    bench.score_all().await;

    let scores: Vec<ScoredEvent> = bench.read(topics::SCORES).await;
    assert_eq!(scores.len(), 2);
    let first = scores[0].assessment.as_ref().unwrap();
    assert_eq!(first.complaint.as_ref().unwrap().label(), complaint::Label::Urgent);
    assert!(!first.evidence.is_empty());
    assert!(scores[1].assessment.as_ref().unwrap().politeness.is_some());

    let facts: Vec<Fact> = bench.read(topics::FACTS).await;
    let turn = facts.iter().find_map(|f| match &f.fact {
        Some(fact::Fact::Turn(turn)) => Some(turn),
        _ => None,
    });
    assert_eq!(turn.unwrap().rt_first_unanswered_ms, Some(40_000));

    let entries: Vec<escalation::LogEntry> = bench.read(topics::ESCALATION).await;
    let Some(escalation::log_entry::Entry::Signal(signal)) = &entries[0].entry else {
        panic!("a signal")
    };
    assert_eq!((signal.kind.as_str(), signal.category.as_str()), ("urgent_complaint", "regulator"));
    assert_eq!(signal.event_id, complaint.event_id);
    assert!(signal.excerpt.contains("12315"));
    assert_eq!(signal.team, "default");
}

#[tokio::test]
async fn publishing_again_has_no_effect() {
    let mut bench = Bench::new().await;
    let event = bench.says(0, Role::Customer, "我要去法院起诉你们");
    bench.publish(&event).await;
    let answer = bench.says(40, Role::Agent, "我马上为您核实退款进度。");
    bench.publish(&answer).await;
    bench.score_all().await;
    let facts: Vec<Fact> = bench.read(topics::FACTS).await;
    assert!(!facts.is_empty());
    for again in [&event, &answer, &event] {
        bench.publish(again).await;
    }
    bench.score_all().await;
    assert_eq!(bench.read::<Fact>(topics::FACTS).await, facts);
    assert_eq!(bench.read::<ScoredEvent>(topics::SCORES).await.len(), 2);
    assert_eq!(bench.read::<escalation::LogEntry>(topics::ESCALATION).await.len(), 1);
    assert!(bench.read::<DeadLetter>(topics::DEAD_LETTERS).await.is_empty());
}

#[tokio::test]
async fn the_same_id_with_another_text_is_a_dead_letter() {
    let mut bench = Bench::new().await;
    let event = bench.says(0, Role::Customer, "你好");
    bench.publish(&event).await;
    bench.publish(&Event { text: "再见".into(), ..event }).await;
    bench.score_all().await;
    assert_eq!(bench.read::<ScoredEvent>(topics::SCORES).await.len(), 1);
    let letters: Vec<DeadLetter> = bench.read(topics::DEAD_LETTERS).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].reason.as_str(), letters[0].offset), ("conflicting_duplicate", 1));
    assert!(!letters[0].payload.is_empty());
}

#[tokio::test]
async fn a_poison_record_does_not_block_what_comes_after() {
    let mut bench = Bench::new().await;
    bench.put(vec![0xff, 0xff, 0xff]).await;
    let event = bench.says(0, Role::Customer, "你好");
    bench.publish(&event).await;
    bench.score_all().await;
    assert_eq!(bench.read::<ScoredEvent>(topics::SCORES).await.len(), 1);
    assert_eq!(bench.read::<DeadLetter>(topics::DEAD_LETTERS).await[0].reason, "undecodable");
}

#[tokio::test]
async fn a_private_note_is_stored_and_answers_nobody() {
    let mut bench = Bench::new().await;
    for (at, role, private) in
        [(0, Role::Customer, false), (5, Role::Agent, true), (9, Role::Agent, false)]
    {
        let event = Event { private, ..bench.says(at, role, "请问订单什么时候发货?") };
        bench.publish(&event).await;
    }
    bench.score_all().await;
    assert_eq!(bench.read::<ScoredEvent>(topics::SCORES).await.len(), 3);
    let facts: Vec<Fact> = bench.read(topics::FACTS).await;
    let times: Vec<_> = facts
        .iter()
        .filter_map(|fact| match &fact.fact {
            Some(fact::Fact::Turn(turn)) => turn.rt_first_unanswered_ms,
            _ => None,
        })
        .collect();
    assert_eq!(times, [9_000]);
}

impl Bench {
    /// Lets time reach `at` seconds after the start, as the log's owner would.
    async fn tick(&self, at: i64) {
        let tick = Tick { at_ms: 1_000_000 + at * 1_000 };
        let entry = LogEntry { entry: Some(log_entry::Entry::Tick(tick)) };
        self.put(entry.encode_to_vec()).await;
    }

    async fn signals(&self) -> Vec<escalation::Signal> {
        let entries: Vec<escalation::LogEntry> = self.read(topics::ESCALATION).await;
        let signals = entries.into_iter().filter_map(|entry| match entry.entry {
            Some(escalation::log_entry::Entry::Signal(signal)) => Some(signal),
            _ => None,
        });
        signals.collect()
    }
}

#[tokio::test]
async fn a_supervisor_who_writes_is_in_the_conversation_until_they_leave() {
    let mut bench = Bench::new().await;
    let calm = bench.says(0, Role::Customer, "请问订单什么时候发货?");
    bench.publish(&Event { team: "after_sales".into(), ..calm }).await;
    let note = Event { private: true, ..bench.says(5, Role::Supervisor, "我来看一下") };
    bench.publish(&note).await;
    let old =
        Event { mode: event::Mode::Backfill.into(), ..bench.says(6, Role::Supervisor, "好") };
    bench.publish(&old).await;
    let left = Event {
        r#type: EventType::Leave.into(),
        text: String::new(),
        ..bench.says(9, Role::Supervisor, "")
    };
    bench.publish(&left).await;
    bench.score_all().await;
    let entries: Vec<escalation::LogEntry> = bench.read(topics::ESCALATION).await;
    let presences: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.entry {
            Some(escalation::log_entry::Entry::Presence(it)) => {
                Some((&*it.team, &*it.conversation_id, &*it.actor, it.here, it.at_ms))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        presences,
        [
            ("after_sales", "v1", "a1", true, 1_005_000),
            ("after_sales", "v1", "a1", false, 1_009_000)
        ]
    );
}

const TARGETS: &str = "
[dialogue]
policy = 'standard'
policies.standard.frt = { target_ms = 60000, warn_ms = 45000 }
";

#[tokio::test]
async fn a_target_is_missed_without_a_further_message() {
    let mut bench = Bench::new().await;
    bench.configure(TARGETS).await;
    let question = bench.says(0, Role::Customer, "请问订单什么时候发货?");
    bench.publish(&question).await;
    bench.score_all().await;
    assert!(bench.signals().await.is_empty());
    bench.tick(61).await;
    bench.score_all().await;
    let told: Vec<_> =
        bench.signals().await.into_iter().map(|s| (s.kind, s.event_id, s.effective_ms)).collect();
    assert_eq!(
        told,
        [
            ("sla.frt.warning".to_owned(), question.event_id.clone(), 1_045_000),
            ("sla.frt.breach".to_owned(), question.event_id, 1_060_000),
        ]
    );
}

#[tokio::test]
async fn the_owner_lets_time_pass_when_a_target_is_due() {
    let mut bench = Bench::new().await;
    bench.configure(TARGETS).await;
    let question = bench.says(0, Role::Customer, "请问订单什么时候发货?");
    bench.publish(&question).await;
    bench.score_all().await;
    bench.time.store(1_200_000, Ordering::SeqCst);
    // One tick: it is appended when both are due.
    bench.score_until(bench.end().await + 1).await;
    assert_eq!(bench.signals().await.len(), 2);
}

#[tokio::test]
async fn a_cycle_goes_on_with_the_targets_that_it_began_with() {
    let mut bench = Bench::new().await;
    bench.configure(TARGETS).await;
    let question = bench.says(0, Role::Customer, "请问订单什么时候发货?");
    bench.publish(&question).await;
    bench.configure("").await;
    bench.tick(61).await;
    let other = Event { conversation_id: "v2".into(), ..bench.says(70, Role::Customer, "在吗?") };
    bench.publish(&other).await;
    bench.tick(1_000).await;
    bench.score_all().await;
    let told: Vec<_> = bench.signals().await.into_iter().map(|s| s.conversation_id).collect();
    assert_eq!(told, ["v1", "v1"]);
}

#[tokio::test]
async fn phrases_of_a_tenants_own_count_from_their_place_in_the_log_on() {
    let mut bench = Bench::new().await;
    let text = "这个问题建议您去问隔壁老王哈";
    for bundle in [
        "",
        "[phrases]\n'own.zh' = '''\n[dismissive] politeness=-34 forbidden\n去问隔壁老王\n'''",
        // Refused: what was in force stays.
        "[phrases]\n'own.zh' = '[nonsense] politeness=much'",
        "[dialogue]\npolicy = 'no such policy'",
    ] {
        if !bundle.is_empty() {
            bench.configure(bundle).await;
        }
        let at = 10 * bench.count as i64;
        let said = bench.says(at, Role::Agent, text);
        bench.publish(&said).await;
        bench.score_all().await;
    }
    let scores: Vec<ScoredEvent> = bench.read(topics::SCORES).await;
    let assessments: Vec<_> = scores.into_iter().map(|s| s.assessment.unwrap()).collect();
    let forbidden: Vec<bool> = assessments.iter().map(|a| a.forbidden).collect();
    assert_eq!(forbidden, [false, true, true, true]);
    assert_ne!(assessments[0].library, assessments[1].library);
    assert_eq!(assessments[1].library, assessments[3].library);
}

/// An event of another conversation and customer.
fn of(event: Event, conversation: &str, customer: &str) -> Event {
    Event {
        conversation_id: conversation.into(),
        customer: Some(Customer { id: customer.into(), ..Customer::default() }),
        ..event
    }
}

#[tokio::test]
async fn a_customer_who_complains_again_elsewhere_is_told_with_the_first_conversation() {
    let mut bench = Bench::new().await;
    for (at, conversation) in [(0, "v1"), (3_600, "v2")] {
        let event = bench.says(at, Role::Customer, "你们的服务太差了,我要投诉");
        bench.publish(&of(event, conversation, "kunde")).await;
    }
    let other = bench.says(3_601, Role::Customer, "你们的服务太差了,我要投诉");
    bench.publish(&of(other, "v3", "jemand")).await;
    bench.score_all().await;
    let told: Vec<_> = bench
        .signals()
        .await
        .into_iter()
        .filter(|signal| signal.kind == "repeat_complaint")
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].conversation_id.as_str(), told[0].customer.as_str()), ("v2", "kunde"));
    assert_eq!(told[0].related, ["v1"]);
}

/// A customer who complains urgently, and an agent who answers as nobody should.
async fn quarrel(bench: &mut Bench, conversation: &str) {
    let at = 100 * bench.count as i64;
    let said = [(Role::Customer, "再不退款我就打12315投诉你们"), (Role::Agent, "去问隔壁老王")];
    for (number, (role, text)) in said.into_iter().enumerate() {
        let event = bench.says(at + number as i64, role, text);
        bench.publish(&of(event, conversation, "kunde")).await;
    }
    let resolved = Event {
        r#type: EventType::Status.into(),
        status: event::Status::Resolved.into(),
        ..bench.says(at + 2, Role::System, "")
    };
    bench.publish(&of(resolved, conversation, "kunde")).await;
    bench.score_all().await;
}

#[tokio::test]
async fn where_agents_are_not_scored_nothing_rates_them_and_customers_are_heard() {
    let mut bench = Bench::new().await;
    let phrases =
        "[phrases]\n'own.zh' = '''\n[dismissive] politeness=-34 forbidden\n去问隔壁老王\n'''\n";
    bench.configure(&format!("{phrases}[agents]\nscored = false")).await;
    quarrel(&mut bench, "v1").await;
    bench.configure(phrases).await;
    quarrel(&mut bench, "v2").await;

    let scores: Vec<ScoredEvent> = bench.read(topics::SCORES).await;
    let assessed = |conversation: &str, role: Role| {
        let of = |it: &&ScoredEvent| {
            let event = it.event.as_ref().unwrap();
            let author = event.author.as_ref().unwrap();
            event.conversation_id == conversation && author.role() == role
        };
        scores.iter().find(of).unwrap().assessment.clone()
    };
    assert_eq!(assessed("v1", Role::Agent), None);
    assert!(assessed("v1", Role::Customer).unwrap().sentiment.is_some());
    assert!(assessed("v2", Role::Agent).unwrap().forbidden, "it was set back");

    let facts: Vec<Fact> = bench.read(topics::FACTS).await;
    let of = |conversation: &'static str| {
        facts.iter().filter(move |fact| fact.conversation_id == conversation)
    };
    assert!(of("v2").any(|fact| fact.agent == "a1"));
    assert!(of("v1").all(|fact| fact.agent.is_empty()));
    let is_slot = |fact: &Fact| matches!(fact.fact, Some(fact::Fact::Slot(_)));
    assert!(of("v2").any(is_slot) && !of("v1").any(is_slot));
    let waits: Vec<_> = of("v1")
        .filter_map(|fact| match &fact.fact {
            Some(fact::Fact::Turn(turn)) => Some(turn.rt_human_ms),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [Some(1_000)], "the customer's wait is measured");
    let session = |conversation| {
        of(conversation).find_map(|fact| match &fact.fact {
            Some(fact::Fact::Session(session)) => Some(session.clone()),
            _ => None,
        })
    };
    let (without, with) = (session("v1").unwrap(), session("v2").unwrap());
    assert_eq!((without.stints.len(), with.stints.len()), (0, 1));
    assert!(without.urgent && without.sentiments == with.sentiments);
    assert_eq!((without.first_is_holding, without.soothing), (None, None));

    let signals = bench.signals().await;
    let kinds = |conversation: &str| -> Vec<_> {
        let of = signals.iter().filter(|signal| signal.conversation_id == conversation);
        of.map(|signal| (signal.kind.as_str(), signal.agent.as_str())).collect()
    };
    assert!(kinds("v1").iter().any(|(kind, _)| *kind == "urgent_complaint"));
    assert!(
        kinds("v1").iter().all(|(kind, agent)| *kind != "forbidden_wording" && agent.is_empty())
    );
    assert!(kinds("v2").contains(&("forbidden_wording", "a1")));
}

/// The same under a key that replaced another; the customer's `speaker`-th name speaks.
fn after_rotation(event: Event, names: [&str; 2], speaker: u32) -> Event {
    let [id, former] = names.map(str::to_owned);
    let customer = Customer {
        id: id.clone(),
        former_ids: vec![former],
        speaker,
        vip: false,
        segment: String::new(),
    };
    let author = Author { id, ..event.author.unwrap_or_default() };
    Event { customer: Some(customer), author: Some(author), ..event }
}

#[tokio::test]
async fn a_customer_with_two_names_complains_again_under_the_one_that_speaks() {
    let mut bench = Bench::new().await;
    let complaint = "你们的服务太差了,我要投诉";
    let mut events = Vec::new();
    for (at, conversation) in [(0, "v1"), (3_600, "v2"), (7_200, "v3"), (10_800, "v4")] {
        events.push(of(bench.says(at, Role::Customer, complaint), conversation, "former"));
    }
    events[1] = after_rotation(events[1].clone(), ["newest", "former"], 1);
    // Its history goes back to the rotation.
    events[2] = after_rotation(events[2].clone(), ["newest", "former"], 0);
    events[3].customer = Some(Customer { id: "newest".into(), ..Customer::default() });
    for event in &events {
        bench.publish(event).await;
    }
    bench.score_all().await;
    let signals = bench.signals().await;
    let repeated = signals.iter().filter(|signal| signal.kind == "repeat_complaint");
    let told: Vec<_> =
        repeated.map(|it| (&*it.conversation_id, &*it.customer, it.related.join(" "))).collect();
    let by = |conversation, related: &str| (conversation, "newest", related.to_owned());
    assert_eq!(told, [by("v2", "v1"), by("v3", "v2"), by("v4", "v3 v2")]);
    let scores: Vec<ScoredEvent> = bench.read(topics::SCORES).await;
    let known = scores.iter().filter_map(|scored| scored.event.as_ref()?.customer.as_ref());
    assert!(known.clone().all(|customer| customer.former_ids.is_empty()), "who reads scores");
    assert_eq!(known.count(), 4);
}

#[tokio::test]
async fn what_a_customer_wrote_is_no_conflict_when_it_comes_again_after_a_rotation() {
    let mut bench = Bench::new().await;
    let said = of(bench.says(0, Role::Customer, "请问什么时候发货?"), "v1", "former");
    bench.publish(&said).await;
    bench.publish(&after_rotation(said.clone(), ["newest", "former"], 1)).await;
    let other = Event { text: "我要投诉".into(), ..said };
    bench.publish(&after_rotation(other, ["newest", "former"], 1)).await;
    bench.score_all().await;
    let letters: Vec<DeadLetter> = bench.read(topics::DEAD_LETTERS).await;
    let reasons: Vec<_> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons, ["conflicting_duplicate"], "other words are one");
}

#[tokio::test]
async fn whether_a_customer_came_back_is_stated_and_corrected() {
    let mut bench = Bench::new().await;
    let question = bench.says(0, Role::Customer, "请问什么时候发货?");
    bench.publish(&of(question, "v1", "kunde")).await;
    let resolved = Event {
        r#type: EventType::Status.into(),
        status: event::Status::Resolved.into(),
        ..bench.says(60, Role::Agent, "")
    };
    bench.publish(&of(resolved, "v1", "kunde")).await;
    let again = bench.says(7_200, Role::Customer, "请问什么时候发货?");
    bench.publish(&of(again, "v2", "kunde")).await;
    let answer = bench.says(7_260, Role::Agent, "您好,今天就发货。");
    bench.publish(&of(answer, "v2", "kunde")).await;
    bench.score_all().await;
    let facts: Vec<Fact> = bench.read(topics::FACTS).await;
    let stated: Vec<_> = facts
        .iter()
        .filter_map(|fact| match &fact.fact {
            Some(fact::Fact::Recontact(it)) => Some((fact.revision, it.resolved, it.next_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(stated, [(0, true, None), (1, true, Some(1_000_000 + 7_200_000))]);
}

#[tokio::test]
async fn many_complaints_about_one_thing_are_a_crisis() {
    let mut bench = Bench::new().await;
    for number in 0..20 {
        let event = bench.says(number, Role::Customer, "一直不退款,我要投诉你们");
        bench.publish(&of(event, &format!("v{number}"), &format!("c{number}"))).await;
    }
    bench.score_all().await;
    let told: Vec<_> = bench
        .signals()
        .await
        .into_iter()
        .filter(|signal| signal.kind == "crisis.burst" && signal.conversation_id.contains("topic"))
        .collect();
    // From 10 on a warning, from 25 on high: of urgent ones the 9th and the 14th.
    let severities: Vec<_> = told.iter().map(escalation::Signal::severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::High], "{told:?}");
    let last = told.last().unwrap();
    assert_eq!(
        (last.conversation_id.as_str(), last.family()),
        ("pulse:topic:refund", escalation::Family::Crisis)
    );
    assert_eq!(last.rules, ["burst.topic", "14_in_10min_usual_1.0", "risk_26"]);
    assert_eq!(last.related.len(), 10);
}
