//! Two weeks of simulated traffic against the reference: every fact in force, every missed target
//! and the figures made of them. `ZHILI_WEEK_EVENTS` asks for more than the usual number of events.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "in a test a panic is the message, and figures are told"
)]

mod dice;
mod figures;
mod hours;
mod reference;
mod traffic;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Instant;

use zhili_dialogue::{
    Author, Config, Event, EventKind, Fact, FactBody, Former, Marks, Mode, Output, Partition, Role,
    Signal, SignalKind, SlaState, Status, Subtype,
};

use figures::{by_rank, by_sorting};
use reference::{Breach, Cycle, Figures, State, Target, Turn};
use traffic::{Record, Says, What, Who};

const EVENTS: usize = 60_000;
const SEED: u64 = 20_261_001;

fn event(record: &Record) -> Option<Event<'_>> {
    let kind = match record.what {
        What::Message => EventKind::Message,
        What::Edit => EventKind::Edit { target: "some" },
        What::Delete => EventKind::Delete { target: "some" },
        What::Join => EventKind::Join,
        What::Leave => EventKind::Leave,
        What::Handoff => EventKind::Handoff,
        What::Assign => EventKind::Assign,
        What::Open => EventKind::Status(Status::Open),
        What::Resolved => EventKind::Status(Status::Resolved),
        What::Reopened => EventKind::Status(Status::Reopened),
        What::Closed => EventKind::Status(Status::Closed),
        What::Tick => return None,
    };
    let (role, subtype) = match record.who {
        Who::Customer => (Role::Customer, Subtype::None),
        Who::Agent | Who::Note => (Role::Agent, Subtype::None),
        Who::Assist => (Role::Agent, Subtype::Assist),
        Who::Template => (Role::Agent, Subtype::Template),
        Who::Auto => (Role::Agent, Subtype::Auto),
        Who::Ai => (Role::Agent, Subtype::Ai),
        Who::Bot => (Role::Bot, Subtype::None),
        Who::System => (Role::System, Subtype::None),
        Who::Supervisor => (Role::Supervisor, Subtype::None),
    };
    Some(Event {
        tenant: record.tenant,
        source: "week",
        event_id: &record.id,
        conversation_id: &record.conversation,
        kind,
        sent_ms: record.sent_ms,
        author: Some(Author { id: &record.by, role, subtype }),
        private: record.who == Who::Note,
        mode: if record.backfill { Mode::Backfill } else { Mode::Live },
        channel: "chat",
        queue: record.queue,
        team: "",
        customer: "",
        former: Former::default(),
        fingerprint: [0; 16],
        marks: Marks {
            greeting_only: record.says == Says::GreetingAlone,
            holding_only: record.says == Says::HoldingAlone,
            thanks_or_farewell_only: record.says == Says::ThanksAlone,
            ..Marks::default()
        },
    })
}

fn fold(log: &[Record]) -> Vec<Output> {
    let mut partition = Partition::new(Config::default());
    let mut out = Vec::new();
    for (number, tenant) in traffic::tenants().into_iter().enumerate() {
        let settings = serde_json::from_value(tenant.settings).expect("valid settings");
        partition.configure(i64::MIN, tenant.name, number as u64 + 1, Some(settings), &mut out);
    }
    for record in log {
        match event(record) {
            Some(event) => {
                partition.apply(record.at_ms, &event, &mut out);
            }
            None => partition.advance(record.at_ms, &mut out),
        }
    }
    out
}

/// A cycle of a conversation, and for turns the first message.
type Key = (String, String, usize, String);

/// The facts in force and the missed targets, as the reference writes them.
struct Found {
    turns: BTreeMap<Key, Turn>,
    cycles: BTreeMap<Key, Cycle>,
    breaches: Vec<Breach>,
}

fn found(outputs: &[Output]) -> Found {
    // Cycles are numbered as they come up: a conversation that left memory begins again.
    let mut numbers: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let mut in_force: BTreeMap<&str, (usize, &Fact)> = BTreeMap::new();
    let mut told: BTreeMap<&str, (&Signal, bool)> = BTreeMap::new();
    for output in outputs {
        match output {
            Output::Fact(fact) => {
                if let FactBody::Correction(correction) = &fact.body {
                    let told = told.get_mut(correction.signal_id.as_str());
                    told.expect("a correction of something told").1 = true;
                    continue;
                }
                let conversation = (fact.tenant.as_str(), fact.conversation_id.as_str());
                let cycle = fact.fact_id.split('/').nth(1).expect("the cycle's key");
                let known = numbers.entry(conversation).or_default();
                let number = known.iter().position(|known| *known == cycle).unwrap_or_else(|| {
                    known.push(cycle);
                    known.len() - 1
                });
                in_force.insert(&fact.fact_id, (number, fact));
            }
            Output::Complaint(_) | Output::Presence(_) => {}
            Output::Signal(signal) => {
                let before = told.insert(&signal.signal_id, (signal, false));
                assert_eq!(before, None, "told twice");
            }
        }
    }
    let mut found = Found { turns: BTreeMap::new(), cycles: BTreeMap::new(), breaches: Vec::new() };
    for (number, fact) in in_force.into_values() {
        let key = |first: &str| {
            (fact.tenant.clone(), fact.conversation_id.clone(), number, first.to_owned())
        };
        match &fact.body {
            FactBody::Turn(turn) => {
                let (agent, queue) = (fact.agent.clone(), fact.queue.clone());
                let before = found.turns.insert(
                    key(&turn.first_event_id),
                    Turn {
                        tenant: fact.tenant.clone(),
                        conversation: fact.conversation_id.clone(),
                        cycle: number,
                        first: turn.first_event_id.clone(),
                        last: turn.last_event_id.clone(),
                        messages: turn.customer_messages as usize,
                        started_ms: turn.started_ms,
                        answered_ms: turn.answered_ms,
                        first_unanswered: turn.rt_first_unanswered_ms,
                        last_msg: turn.rt_last_msg_ms,
                        human: turn.rt_human_ms,
                        business: [
                            turn.business.rt_first_unanswered_ms,
                            turn.business.rt_last_msg_ms,
                            turn.business.rt_human_ms,
                        ],
                        nrt: turn.sla_nrt.map(|sla| target(sla.state, sla.due_ms)),
                        agent,
                        queue,
                    },
                );
                assert_eq!(before, None, "two turns begin with one message");
            }
            FactBody::Cycle(cycle) => {
                let silences = cycle.silences;
                found.cycles.insert(
                    key(""),
                    Cycle {
                        tenant: fact.tenant.clone(),
                        conversation: fact.conversation_id.clone(),
                        started_ms: cycle.started_ms,
                        ended_ms: cycle.ended_ms,
                        is_final: !cycle.provisional,
                        resolved: cycle.resolved,
                        reopened: cycle.reopened,
                        handed_over: cycle.handed_over,
                        first: [cycle.frt_any_ms, cycle.frt_human_ms, cycle.frt_substantive_ms],
                        join: cycle.frt_join_ms,
                        business: [
                            cycle.business.frt_any_ms,
                            cycle.business.frt_human_ms,
                            cycle.business.frt_substantive_ms,
                        ],
                        frt: cycle.sla_frt.map(|sla| target(sla.state, sla.due_ms)),
                        resolution: cycle.sla_resolution.map(|sla| state(sla.state)),
                        silences: [
                            i64::from(silences.agent),
                            silences.agent_ms,
                            i64::from(silences.customer),
                            silences.customer_ms,
                            i64::from(silences.restated),
                        ],
                        turns: cycle.turns as usize,
                        unanswered: cycle.unanswered as usize,
                        agent: fact.agent.clone(),
                        queue: fact.queue.clone(),
                    },
                );
            }
            _ => {}
        }
    }
    let missed = [SignalKind::FrtBreach, SignalKind::NrtBreach, SignalKind::ResolutionBreach];
    for (signal, corrected) in told.into_values().filter(|told| missed.contains(&told.0.kind)) {
        found.breaches.push(Breach {
            tenant: signal.tenant.clone(),
            conversation: signal.conversation_id.clone(),
            kind: signal.kind.name(),
            effective_ms: signal.effective_ms,
            corrected,
        });
    }
    found.breaches.sort();
    found
}

fn state(state: SlaState) -> State {
    match state {
        // A warning is a signal of its own.
        SlaState::Pending | SlaState::Warned => State::Pending,
        SlaState::Breached => State::Breached,
        SlaState::Met => State::Met,
        SlaState::Cancelled => State::Cancelled,
    }
}

fn target(sla: SlaState, due_ms: Option<i64>) -> Target {
    Target { state: state(sla), due_ms }
}

/// Differences, to be told together.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        found: Option<&T>,
        expected: Option<&T>,
    ) {
        if found != expected {
            self.0.push(format!("{what}\n   found {found:?}\nexpected {expected:?}"));
        }
    }

    fn none(&self) {
        let first: Vec<_> = self.0.iter().take(8).map(String::as_str).collect();
        assert!(self.0.is_empty(), "{} differences:\n{}", self.0.len(), first.join("\n"));
    }
}

/// What of an open cycle is stated when it ends, and not before.
fn without_what_goes_on(cycle: &Cycle) -> Cycle {
    Cycle {
        handed_over: false,
        frt: None,
        resolution: None,
        silences: [0; 5],
        turns: 0,
        unanswered: 0,
        agent: String::new(),
        queue: String::new(),
        ..cycle.clone()
    }
}

#[test]
fn two_weeks_of_three_tenants_have_the_figures_of_the_reference() {
    let asked = std::env::var("ZHILI_WEEK_EVENTS").ok();
    let events = asked.map_or(EVENTS, |text| text.parse().expect("a number of events"));
    let log = traffic::log(SEED, events);
    let begin = Instant::now();
    let outputs = fold(&log);
    let folded = begin.elapsed();
    let found = found(&outputs);
    let begin = Instant::now();
    let Figures { turns, cycles, mut breaches } = reference::figures(&traffic::tenants(), &log);
    let referred = begin.elapsed();
    eprintln!(
        "{} events: {} turns, {} cycles, {} missed targets ({} taken back); folded in {folded:.1?}, \
         the reference took {referred:.1?}",
        log.iter().filter(|record| record.what != What::Tick).count(),
        turns.len(),
        cycles.len(),
        breaches.len(),
        breaches.iter().filter(|breach| breach.corrected).count(),
    );

    let mut differences = Differences::default();
    let mut expected_turns = BTreeMap::new();
    for turn in &turns {
        let key = (turn.tenant.clone(), turn.conversation.clone(), turn.cycle, turn.first.clone());
        differences.compare("turn", found.turns.get(&key), Some(turn));
        expected_turns.insert(key, turn);
    }
    for (key, turn) in &found.turns {
        if !expected_turns.contains_key(key) {
            differences.compare("turn", Some(turn), None);
        }
    }
    let mut number: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for cycle in &cycles {
        let number = number.entry((&cycle.tenant, &cycle.conversation)).or_default();
        let key = (cycle.tenant.clone(), cycle.conversation.clone(), *number, String::new());
        *number += 1;
        match found.cycles.get(&key) {
            Some(stated) if !cycle.is_final => differences.compare(
                "open cycle",
                Some(&without_what_goes_on(stated)),
                Some(&without_what_goes_on(cycle)),
            ),
            None if !cycle.is_final && cycle.first == [None; 3] => {}
            stated => differences.compare("cycle", stated, Some(cycle)),
        }
    }
    let expected = number.values().sum::<usize>();
    assert!(found.cycles.len() <= expected, "{} cycles of {expected}", found.cycles.len());
    breaches.sort();
    let told = |breaches: &[Breach]| {
        let mut by_conversation: BTreeMap<(String, String), Vec<Breach>> = BTreeMap::new();
        for breach in breaches {
            let key = (breach.tenant.clone(), breach.conversation.clone());
            by_conversation.entry(key).or_default().push(breach.clone());
        }
        by_conversation
    };
    let (ours, theirs) = (told(&found.breaches), told(&breaches));
    for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
        differences.compare("breaches", ours.get(key), theirs.get(key));
    }
    differences.none();

    let stated: Vec<Turn> = found.turns.into_values().collect();
    let (ours, theirs) = (by_sorting(&stated), by_rank(&turns));
    assert!(theirs.len() > 500, "{} figures", theirs.len());
    for (key, figure) in &theirs {
        differences.compare(&format!("{key:?}"), ours.get(key), Some(figure));
    }
    assert_eq!(ours.len(), theirs.len());
    differences.none();
}
