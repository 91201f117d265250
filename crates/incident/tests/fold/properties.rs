//! Random signals, commands, claims, results, configurations and leaps of time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use zhili_incident::*;

use crate::desk::{START, config, on_call, one_webhook, signal, two_steps};

/// 2026-03-08T06:55:00Z and 2026-11-01T05:55:00Z, five minutes before clocks change.
const SPRING: i64 = 1_772_952_900_000;
const AUTUMN: i64 = 1_793_512_500_000;

#[derive(Debug, Clone)]
enum Op {
    Signal {
        id: u8,
        conversation: u8,
        crisis: bool,
        severity: Severity,
        historical: bool,
        warning: bool,
    },
    Command {
        incident: prop::sample::Index,
        id: u8,
        action: Action,
        actor: bool,
        version: Seen,
    },
    /// Claims what is wanted.
    Claim {
        nth: prop::sample::Index,
        owner: bool,
    },
    /// Claims anything.
    StrayClaim {
        nth: prop::sample::Index,
        attempt: u32,
    },
    Result {
        nth: prop::sample::Index,
        outcome: Outcome,
        retry_after_ms: i64,
    },
    StrayResult {
        nth: prop::sample::Index,
        attempt: u32,
        outcome: Outcome,
    },
    Redeliver {
        nth: prop::sample::Index,
        id: u8,
    },
    Wait {
        ms: i64,
    },
    /// To just before clocks change in New York.
    ClockChange {
        at_ms: i64,
    },
    /// To when the next timer is due.
    Due,
    Configure {
        nth: u8,
    },
    Silence {
        id: u8,
        /// Conversation to silence; beyond those there are, every complaint.
        conversation: u8,
        maintenance: bool,
        in_ms: i64,
        ms: i64,
    },
    Expire {
        nth: prop::sample::Index,
    },
    Presence {
        conversation: u8,
        actor: bool,
        here: bool,
    },
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    Any,
    Current,
    Earlier,
}

fn op() -> impl Strategy<Value = Op> {
    let severity = prop::sample::select(vec![
        Severity::Info,
        Severity::Warning,
        Severity::High,
        Severity::Critical,
    ]);
    let outcome =
        || prop::sample::select(vec![Outcome::Delivered, Outcome::Failed, Outcome::Rejected]);
    let action = prop_oneof![
        4 => Just(Action::Acknowledge),
        2 => Just(Action::Resolve),
        2 => (-1..700_000_i64).prop_map(|ms| Action::Snooze(Until::For(ms))),
        1 => (START..START + 900_000_000).prop_map(|at| Action::Snooze(Until::At(at))),
        2 => prop::sample::select(vec!["floor", "managers", "nobody"])
            .prop_map(|name| Action::Reassign(Assignee::Destination(name.to_owned()))),
        1 => prop::sample::select(vec!["default", "nothing"])
            .prop_map(|name| Action::Reassign(Assignee::Policy(name.to_owned()))),
        2 => Just(Action::EscalateNow),
        1 => Just(Action::MarkFalsePositive),
    ];
    let seen = prop::sample::select(vec![Seen::Any, Seen::Current, Seen::Earlier]);
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (
            0..40_u8,
            0..3_u8,
            any::<bool>(),
            severity,
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.3),
        )
            .prop_map(|(id, conversation, crisis, severity, historical, warning)| Op::Signal {
                id, conversation, crisis, severity, historical, warning
            }),
        3 => (index(), 0..12_u8, action, any::<bool>(), seen).prop_map(
            |(incident, id, action, actor, version)| Op::Command {
                incident, id, action, actor, version
            }
        ),
        8 => (index(), any::<bool>()).prop_map(|(nth, owner)| Op::Claim { nth, owner }),
        1 => (index(), 0..5_u32).prop_map(|(nth, attempt)| Op::StrayClaim { nth, attempt }),
        8 => (index(), outcome(), prop_oneof![Just(0), 0..200_000_i64]).prop_map(
            |(nth, outcome, retry_after_ms)| Op::Result { nth, outcome, retry_after_ms }
        ),
        1 => (index(), 0..5_u32, outcome()).prop_map(
            |(nth, attempt, outcome)| Op::StrayResult { nth, attempt, outcome }
        ),
        4 => prop_oneof![0..5_000_i64, 0..600_000_i64, 0..100_000_000_i64]
            .prop_map(|ms| Op::Wait { ms }),
        1 => prop::sample::select(vec![SPRING, AUTUMN]).prop_map(|at_ms| Op::ClockChange { at_ms }),
        6 => Just(Op::Due),
        1 => (0..11_u8).prop_map(|nth| Op::Configure { nth }),
        2 => (0..12_u8, 0..4_u8, any::<bool>(), 0..200_000_i64, 0..400_000_i64).prop_map(
            |(id, conversation, maintenance, in_ms, ms)| Op::Silence {
                id, conversation, maintenance, in_ms, ms
            }
        ),
        1 => index().prop_map(|nth| Op::Expire { nth }),
        2 => (index(), 0..12_u8).prop_map(|(nth, id)| Op::Redeliver { nth, id }),
        2 => (0..3_u8, any::<bool>(), prop::bool::weighted(0.6)).prop_map(
            |(conversation, actor, here)| Op::Presence { conversation, actor, here }
        ),
    ]
}

fn configuration(nth: u8) -> Config {
    let with = |change: &dyn Fn(&mut Team)| {
        let mut team = two_steps().teams()["default"].clone();
        change(&mut team);
        Config::new([("default".to_owned(), team)].into()).expect("a valid config")
    };
    match nth {
        0 => two_steps(),
        1 => one_webhook(),
        2 => Config::default(),
        3 => with(&|team| team.page_on_rise = true),
        4 => with(&|team| {
            team.ack_timeout_ms = 0;
            team.cool_down_ms = 0;
            let policy = team.policies.get_mut("default").expect("defined");
            policy.fallback = vec!["managers".to_owned()];
            policy.repeat = 0;
        }),
        6 => on_call(),
        8 | 9 => config(
            r#"{"teams": {"default": {
                "policies": {"default": {"repeat": 9, "steps": [
                    {"destinations": ["floor", "managers"], "delay_ms": 10000}]}},
                "destinations": {
                    "floor": {"slack": {"url": "env:FLOOR"}},
                    "managers": {"dingtalk": {"url": "env:MANAGERS"}}
                }
            }}}"#,
        ),
        7 => with(&|team| team.most_open_per_queue = 2),
        10 => config(
            r#"{"teams": {"default": {"destinations": {
                "floor": {"pagerduty": {"routing_key": "env:FLOOR"}},
                "managers": {"webhook": {"url": "https://hooks.example/managers"}}
            }}}}"#,
        ),
        _ => config(
            r#"{"teams": {"default": {"destinations": {
                "console": {"watch": {}}, "floor": {"watch": {}},
                "managers": {"webhook": {"url": "https://hooks.example/other"}}
            }}}}"#,
        ),
    }
}

/// A record as it was read from the log; none is a tick.
type Logged = (i64, Option<Entry>);

fn fold(partition: &mut Partition, logged: &Logged) -> (Vec<IncidentEvent>, Option<Ignored>) {
    let mut events = Vec::new();
    let ignored = if let Some(entry) = &logged.1 {
        partition.apply(logged.0, entry.clone(), &mut events)
    } else {
        partition.advance(logged.0, &mut events);
        None
    };
    (events, ignored)
}

/// What the fold must have come to, kept apart from it.
#[derive(Default)]
struct Model {
    versions: BTreeMap<IncidentId, u64>,
    event_ids: BTreeSet<(Option<IncidentId>, String)>,
    claims: BTreeMap<PageId, u32>,
    paged: BTreeMap<PageId, IncidentId>,
    /// Every page seen of incidents in memory, and whether it was settled then.
    pages: BTreeMap<PageId, (IncidentId, bool)>,
    answers: BTreeMap<(IncidentId, String), Answer>,
    signals: BTreeSet<(IncidentId, String)>,
    /// The log's claims so far, also those without effect.
    claimed: Vec<(PageId, u32)>,
    resolved: BTreeSet<IncidentId>,
    now: i64,
}

impl Model {
    fn check_events(&mut self, events: &[IncidentEvent], partition: &Partition) {
        for event in events {
            let of = event.incident.as_ref().map(|incident| incident.incident_id);
            let id = (of, event.event_id.clone());
            assert!(self.event_ids.insert(id), "an event id came twice");
            assert_eq!(event.at_ms, partition.now_ms());
            let Some(incident) = &event.incident else {
                let about_silences = matches!(
                    event.kind,
                    EventKind::Silenced | EventKind::SilenceExpired | EventKind::Repeated
                );
                assert!(about_silences == event.silence.is_some());
                assert!(about_silences || event.kind == EventKind::Refused);
                continue;
            };
            let id = incident.incident_id;
            let version = self.versions.entry(id).or_default();
            if matches!(event.kind, EventKind::Refused | EventKind::Repeated | EventKind::Attempted)
            {
                assert_eq!(incident.version, *version, "a reply changes nothing");
            } else {
                *version += 1;
                assert_eq!(incident.version, *version, "versions grow by one");
            }
            if let Some(answer) = &event.answer
                && event.answer != Some(Answer::Refused(Refusal::CommandIdReused))
            {
                let key = (id, event.command_id.clone());
                let known = self.answers.entry(key).or_insert_with(|| answer.clone());
                assert_eq!(known, answer, "the same command gets the same answer");
            }
            match event.kind {
                EventKind::Paged => {
                    let page = event.page.as_ref().expect("of a page");
                    let before = self.paged.insert(page.page_id, id);
                    assert_eq!(before, None, "a page is delivered once");
                    assert!(!incident.historical, "history pages nobody");
                }
                EventKind::Resolved => assert!(self.resolved.insert(id), "resolved is final"),
                EventKind::Triggered | EventKind::Escalated | EventKind::Exhausted => {
                    assert!(!self.resolved.contains(&id), "resolved is final");
                }
                _ => {}
            }
        }
    }

    /// Ids are unique for as long as their incident is in memory. A signal that comes again
    /// later than that opens the same incident again: scoring calls it historical by then.
    fn forget(&mut self, partition: &Partition) {
        let kept = |id: &IncidentId| partition.get(*id).is_some();
        self.versions.retain(|id, _| kept(id));
        self.event_ids.retain(|(id, _)| id.as_ref().is_none_or(kept));
        self.answers.retain(|(id, _), _| kept(id));
        self.signals.retain(|(id, _)| kept(id));
        self.resolved.retain(kept);
        self.pages.retain(|_, (id, _)| kept(id));
        self.claims.retain(|page, _| self.pages.contains_key(page));
        self.paged.retain(|_, id| kept(id));
    }

    fn check_state(&mut self, partition: &Partition) {
        let now = partition.now_ms();
        assert!(now >= self.now);
        self.now = now;
        assert!(partition.next_due().is_none_or(|due| due > now), "what was due has happened");
        let wanted: BTreeSet<PageId> = partition
            .effects(now, "nobody", |_, _| false)
            .iter()
            .map(|effect| match effect {
                Effect::Claim { page_id, .. } => *page_id,
                Effect::Send { .. } => panic!("nobody has claimed anything"),
            })
            .collect();
        let mut open = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for incident in partition.incidents() {
            self.check_incident(incident, now);
            if incident.is_open() {
                let key = (&incident.tenant, &incident.conversation_id, incident.family);
                assert!(open.insert(key), "one open incident per key");
            }
            for page in &incident.pages {
                seen.insert(page.page_id);
                self.check_page(incident, page, now, wanted.contains(&page.page_id));
            }
        }
        for (page, (_, settled)) in &self.pages {
            assert!(*settled || seen.contains(page), "a page was lost on its way");
        }
    }

    fn check_incident(&self, incident: &Incident, now: i64) {
        match incident.state {
            State::Triggered => {
                let waits = incident.next_at_ms.is_some_and(|at| at > now);
                assert!(waits != incident.exhausted.is_some(), "a timer, or exhausted");
                assert!(incident.owner.is_empty());
            }
            State::Acknowledged => {
                assert!(incident.next_at_ms.is_none_or(|at| at > now));
                assert!(!incident.owner.is_empty() && incident.acknowledged_at_ms.is_some());
            }
            State::Suppressed => {
                assert!(incident.next_at_ms.is_some_and(|at| at > now));
                assert!(incident.owner.is_empty() && incident.exhausted.is_none());
            }
            State::Snoozed => {
                let ends = incident.next_at_ms.is_some_and(|at| at > now);
                assert!(ends && !incident.owner.is_empty());
                assert!(incident.next_at_ms <= Some(now + LONGEST_SNOOZE_MS));
            }
            State::Resolved => {
                let at = incident.resolved_at_ms.expect("since when");
                assert!(now < at + RESOLVED_FOR_MS, "forgotten in time");
            }
        }
        assert_eq!(incident.suppression.is_some(), incident.state == State::Suppressed);
        assert_eq!(self.versions.get(&incident.incident_id), Some(&incident.version));
        assert!(incident.evidence.len() <= KEPT_EVIDENCE);
        assert!(incident.evidence.len() as u64 <= incident.signals);
        let live = incident.evidence.iter().filter(|signal| !signal.historical);
        let worst = live.map(|signal| signal.severity).max();
        assert!(incident.historical || worst <= Some(incident.severity));
        let under_way = incident.pages.iter().filter(|page| !page.is_settled()).count();
        assert!(incident.pages.len() <= KEPT_PAGES.max(under_way));
    }

    fn check_page(&mut self, incident: &Incident, page: &Page, now: i64, wanted: bool) {
        let claims = self.claims.get(&page.page_id).copied().unwrap_or_default();
        assert_eq!(page.attempts, claims, "an attempt is a claim that counted");
        assert!(page.log.len() <= KEPT_ATTEMPTS);
        match page.state {
            PageState::Pending { not_before_ms } | PageState::Waiting { not_before_ms } => {
                assert!(not_before_ms > now && page.stop.is_none());
            }
            PageState::Bundled { with } => {
                let leader = self.pages.get(&with);
                assert!(leader.is_some() && page.stop.is_none(), "it goes with a page");
            }
            PageState::Ready { .. } | PageState::Unsettled { .. } => {
                assert!(wanted && page.stop.is_none());
            }
            PageState::Sending { lease_until_ms, .. } => assert!(lease_until_ms > now),
            PageState::Delivered => assert!(self.paged.contains_key(&page.page_id)),
            PageState::Failed | PageState::Cancelled => {}
        }
        let stands_still = incident
            .suppression
            .as_ref()
            .is_some_and(|it| it.remaining_ms.is_some() && matches!(it.held, Held::Maintenance(_)));
        let last_hope = page.reason == Reason::Fallback && incident.state == State::Suppressed;
        let meant = !page.is_of_policy();
        if incident.state != State::Triggered && !stands_still && !last_hope && !meant {
            assert!(!wanted, "nothing is claimed for what somebody has answered or silenced");
        }
        self.pages.insert(page.page_id, (incident.incident_id, page.is_settled()));
    }
}

fn about_silences(command_id: String, action: SilenceAction) -> Entry {
    Entry::Silence(SilenceCommand {
        command_id,
        tenant: "acme".to_owned(),
        team: "default".to_owned(),
        actor: "ann".to_owned(),
        action,
    })
}

/// The record that an operation comes to in this state.
fn record(op: &Op, partition: &Partition, model: &Model, sequence: &mut u64) -> Logged {
    let now = partition.now_ms().max(START);
    let incidents: Vec<&Incident> = partition.incidents().collect();
    let pages: Vec<PageId> = model.pages.keys().copied().collect();
    let nobody = || "ntf_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse::<PageId>().expect("an id");
    let pick = |nth: &prop::sample::Index| {
        if pages.is_empty() { nobody() } else { *nth.get(&pages) }
    };
    let result = |page_id, attempt, outcome, retry_after_ms| {
        Entry::Result(DeliveryResult {
            page_id,
            attempt,
            outcome,
            detail: "HTTP".to_owned(),
            duration_ms: 3,
            retry_after_ms,
            code: "500".to_owned(),
            excerpt: "busy".to_owned(),
        })
    };
    let claim = |page_id, attempt, owner: bool| {
        let owner = if owner { "a" } else { "b" }.to_owned();
        Entry::Claim(Claim { page_id, attempt, owner })
    };
    match op {
        Op::Signal { id, conversation, crisis, severity, historical, warning } => {
            let signal = Signal {
                conversation_id: format!("c{conversation}"),
                family: if *crisis { Family::Crisis } else { Family::Complaint },
                historical: *historical,
                kind: if *warning { "sla.frt.warning" } else { "urgent_complaint" }.to_owned(),
                ..signal(&format!("s{id}"), *severity)
            };
            (now, Some(Entry::Signal(signal)))
        }
        Op::Command { incident, id, action, actor, version } => {
            let incident = (!incidents.is_empty()).then(|| *incident.get(&incidents));
            let current = incident.map_or(1, |incident| incident.version);
            let command = Command {
                command_id: format!("k{id}"),
                tenant: "acme".to_owned(),
                team: "default".to_owned(),
                incident_id: incident.map_or_else(String::new, |i| i.incident_id.to_string()),
                expected_version: match version {
                    Seen::Any => 0,
                    Seen::Current => current,
                    Seen::Earlier => current.saturating_sub(1).max(1),
                },
                actor: if *actor { "ann" } else { "bob" }.to_owned(),
                note: String::new(),
                action: action.clone(),
            };
            (now, Some(Entry::Command(command)))
        }
        Op::Claim { nth, owner } => {
            let effects = partition.effects(now, "nobody", |_, _| false);
            let entry = match (!effects.is_empty()).then(|| nth.get(&effects)) {
                Some(Effect::Claim { page_id, attempt, .. }) => claim(*page_id, *attempt, *owner),
                _ => claim(pick(nth), 1, *owner),
            };
            (now, Some(entry))
        }
        Op::StrayClaim { nth, attempt } => (now, Some(claim(pick(nth), *attempt, true))),
        Op::Result { nth, outcome, retry_after_ms } => {
            let claimed = (!model.claimed.is_empty()).then(|| *nth.get(&model.claimed));
            let (page, attempt) = claimed.unwrap_or_else(|| (nobody(), 1));
            (now, Some(result(page, attempt, *outcome, *retry_after_ms)))
        }
        Op::StrayResult { nth, attempt, outcome } => {
            (now, Some(result(pick(nth), *attempt, *outcome, 0)))
        }
        Op::Redeliver { nth, id } => {
            let page_id = pick(nth);
            let incident = model.pages.get(&page_id).map(|(id, _)| id.to_string());
            let command = Command {
                command_id: format!("r{id}"),
                tenant: "acme".to_owned(),
                team: "default".to_owned(),
                incident_id: incident.unwrap_or_default(),
                expected_version: 0,
                actor: "ann".to_owned(),
                note: String::new(),
                action: Action::Redeliver(page_id),
            };
            (now, Some(Entry::Command(command)))
        }
        Op::Wait { ms } => (now + ms, None),
        Op::ClockChange { at_ms } => (now.max(*at_ms), None),
        Op::Due => (partition.next_due().unwrap_or(now), None),
        Op::Silence { id, conversation, maintenance, in_ms, ms } => {
            let matcher = if *conversation < 3 {
                let conversation = Pattern::new(format!("c{conversation}"));
                Matcher { conversation_id: vec![conversation], ..Matcher::default() }
            } else {
                Matcher { family: vec![Family::Complaint], ..Matcher::default() }
            };
            let action = SilenceAction::Create(Box::new(NewSilence {
                matcher,
                mode: if *maintenance { Mode::Maintenance } else { Mode::Silence },
                starts_at_ms: (*in_ms > 50_000).then_some(now + in_ms),
                ends: Until::For(*ms),
                comment: "at random".to_owned(),
            }));
            (now, Some(about_silences(format!("z{id}"), action)))
        }
        Op::Presence { conversation, actor, here } => {
            let presence = Presence {
                tenant: "acme".to_owned(),
                team: "default".to_owned(),
                conversation_id: format!("c{conversation}"),
                actor: if *actor { "ann" } else { "bob" }.to_owned(),
                here: *here,
                at_ms: None,
            };
            (now, Some(Entry::Presence(presence)))
        }
        Op::Expire { nth } => {
            let silences = partition.silences("acme");
            let silence_id = (!silences.is_empty()).then(|| nth.get(&silences).silence_id);
            let silence_id = silence_id.map_or_else(String::new, |id| id.to_string());
            (now, Some(about_silences("end".to_owned(), SilenceAction::Expire { silence_id })))
        }
        Op::Configure { nth } => {
            *sequence += 1;
            let entry = Entry::Config {
                tenant: "acme".to_owned(),
                bundle: format!("bundle-{sequence}"),
                sequence: *sequence,
                config: configuration(*nth),
            };
            (now, Some(entry))
        }
    }
}

fn live(ops: &[Op]) -> (Vec<Logged>, Vec<IncidentEvent>, Partition) {
    let (mut partition, mut model) = (Partition::new(), Model::default());
    let (mut log, mut all) = (Vec::new(), Vec::new());
    let mut sequence = 0;
    for op in ops {
        let logged = record(op, &partition, &model, &mut sequence);
        // Time first, so that what it did can be told from what the record did.
        let mut time = Vec::new();
        partition.advance(logged.0, &mut time);
        model.check_events(&time, &partition);
        model.forget(&partition);
        let (mut events, ignored) = fold(&mut partition, &logged);
        match &logged.1 {
            Some(Entry::Claim(claim)) => {
                model.claimed.push((claim.page_id, claim.attempt));
                if ignored.is_none() {
                    *model.claims.entry(claim.page_id).or_default() += 1;
                }
            }
            Some(Entry::Signal(signal)) if ignored.is_none() => {
                let into = events.iter().rev().find_map(|event| event.incident.as_ref());
                let of = |id: &str| {
                    events.iter().find_map(|event| {
                        let incident = event.incident.as_ref()?;
                        let known = incident.evidence.iter().any(|it| it.signal_id == id);
                        known.then_some(incident)
                    })
                };
                let into = of(&signal.signal_id).or(into);
                let id = into.expect("a signal is always told").incident_id;
                let key = (id, signal.signal_id.clone());
                assert!(model.signals.insert(key), "a signal counts once in an incident");
            }
            _ => {}
        }
        assert!(ignored.is_none() || events.is_empty(), "an ignored record does nothing");
        model.check_events(&events, &partition);
        model.check_state(&partition);
        log.push(logged);
        all.append(&mut time);
        all.append(&mut events);
    }
    (log, all, partition)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_or_done_twice(
        ops in prop::collection::vec(op(), 1..160),
    ) {
        let (_, _, partition) = live(&ops);
        prop_assert!(partition.index_is_consistent());
    }

    #[test]
    fn a_replay_and_a_restored_snapshot_come_to_the_same(
        ops in prop::collection::vec(op(), 1..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let (log, events, mut partition) = live(&ops);
        let mut replayed = Partition::new();
        let mut again = Vec::new();
        let cut = cut.index(log.len());
        for (position, logged) in log.iter().enumerate() {
            if position == cut {
                let bytes = replayed.snapshot().expect("writable");
                replayed = Partition::restore(&bytes).expect("readable");
                prop_assert_eq!(replayed.snapshot().expect("writable"), bytes);
            }
            again.extend(fold(&mut replayed, logged).0);
        }
        prop_assert_eq!(again, events);
        prop_assert_eq!(
            replayed.hash().expect("readable"),
            partition.hash().expect("readable")
        );
    }

    #[test]
    fn an_undisturbed_incident_always_comes_to_its_end(
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let (_, _, mut partition) = live(&ops);
        let mut events = Vec::new();
        // Every acknowledgement can time out once, then 20 steps at most are left.
        for _ in 0..2_000 {
            let Some(due) = partition.next_due() else { break };
            partition.advance(due, &mut events);
        }
        // Who has acknowledged for good takes room in a queue for good.
        let waits_for_room = |incident: &Incident| {
            incident.suppression.as_ref().is_some_and(|it| it.held == Held::Storm)
        };
        if !partition.incidents().any(waits_for_room) {
            prop_assert_eq!(partition.next_due(), None);
        }
        for incident in partition.incidents() {
            let held = incident.state == State::Acknowledged || !incident.is_open();
            let ended = held || incident.exhausted.is_some() || waits_for_room(incident);
            prop_assert!(ended, "{:?}", incident.state);
        }
    }
}
