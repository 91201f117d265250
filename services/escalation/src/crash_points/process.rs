//! One process of the service: the runner and the owner as they are, in a simulated world.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhili_eventlog::runner::{Bundles, Observation, Progress, RunnerOptions, run_group};
use zhili_eventlog::testkit::simulated::{self, Fault, Operation};
use zhili_eventlog::{EventLog, Membership, TopicPartition, topics};
use zhili_incident::{Outcome, State};

use super::world::{Received, World};
use crate::attempts::{Attempts, Limits};
use crate::channel::{Courier, Send, Sent};
use crate::fold::Incidents;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::owner::{Owner, Pager};
use crate::reach::Reach;

/// Until a receiver's answer, usually.
const ANSWER: Duration = Duration::from_millis(20);
/// Until an attempt without an answer is given up.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Small, so that restarts find snapshots of all ages.
const SNAPSHOT_RECORDS: u64 = 12;

/// One that is simulated, and what it sends to.
#[derive(Clone)]
pub(super) struct Process {
    simulated: simulated::Process,
    world: Arc<World>,
}

impl Process {
    /// Starts the service.
    pub(super) async fn start(world: &Arc<World>, simulated: simulated::Process) {
        let number = simulated.number();
        let log: Arc<dyn EventLog> = Arc::new(simulated.clone());
        let process = Self { simulated, world: Arc::clone(world) };
        let shutdown = CancellationToken::new();
        let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();
        let pager = Pager {
            log: Arc::clone(&log),
            clock: world.clock(),
            name: Arc::from(format!("p{number}")),
            courier: process,
            links: Links::default(),
            metrics: Metrics::register(&mut Registry::default()),
            reach: Reach::new(Arc::clone(&bundles)),
            tasks: TaskTracker::new(),
            attempts: Arc::new(Mutex::new(Attempts::new(Limits { all: 8, per_destination: 8 }))),
            owned: Arc::new(Mutex::new(HashMap::new())),
        };
        let make = move |partition: &TopicPartition| {
            let mut owner = Owner::new(pager.clone(), partition.clone());
            let observer = Box::new(move |fold: &Incidents, seen: &Observation<'_>| {
                check(fold);
                owner.observe(fold, seen);
            });
            (Incidents::default(), observer as _)
        };
        let membership = Membership {
            group: "escalation".to_owned(),
            member: format!("p{number}"),
            topics: vec![topics::ESCALATION.to_owned()],
        };
        let mut options = RunnerOptions::new(1, world.clock());
        options.snapshot_records = SNAPSHOT_RECORDS;
        let progress = Progress::default();
        tokio::spawn(run_group(log, membership, make, bundles, options, progress, shutdown));
    }
}

/// No open incident is ever without somebody, a timer, or a word that there is nobody left.
fn check(fold: &Incidents) {
    let now_ms = fold.partition().now_ms();
    for incident in fold.partition().incidents() {
        let waits = incident.next_at_ms.is_some_and(|at| at > now_ms);
        match incident.state {
            State::Triggered => {
                assert!(waits != incident.exhausted.is_some(), "forgotten: {incident:?}");
            }
            State::Acknowledged => assert!(waits && !incident.owner.is_empty()),
            State::Suppressed | State::Snoozed => assert!(waits),
            State::Resolved => {}
        }
    }
}

/// The receivers. Of the incident of c1 the first page fails, the second one is taken and not
/// answered; the managers refuse it. They are slow to fail that of c2.
fn receive(conversation: &str, destination: &str, nth: usize) -> (Duration, Option<Outcome>) {
    match (conversation, destination, nth) {
        ("c1", "floor", 1) => (ANSWER, Some(Outcome::Failed)),
        ("c1", "floor", 2) => (TIMEOUT, None),
        ("c1", "managers", _) => (ANSWER, Some(Outcome::Rejected)),
        ("c2", "managers", _) => (TIMEOUT / 2, Some(Outcome::Failed)),
        _ => (ANSWER, Some(Outcome::Delivered)),
    }
}

impl Courier for Process {
    async fn send(
        &self,
        page: Send<'_>,
        started: impl FnOnce() -> bool + std::marker::Send,
    ) -> Option<Sent> {
        self.simulated.operate(Operation::Ask).await;
        if !started() {
            return None;
        }
        let asked_ms = self.world.now_ms();
        let fault = self.simulated.operate(Operation::Request).await;
        let unanswered = || Sent::new(Outcome::Failed, "no answer within 8 s");
        match fault {
            Some(Fault::Refused) => return Some(Sent::new(Outcome::Failed, "no connection")),
            Some(Fault::Lost) => {
                tokio::time::sleep(TIMEOUT).await;
                self.simulated.alive().await;
                return Some(unanswered());
            }
            _ => {}
        }
        let card = page.card;
        let (wait, mut answer) = {
            let mut state = self.world.lock();
            let same = state.received.iter().filter(|it| it.page_id == card.page_id);
            let nth = same.count() + 1;
            let (mut wait, mut answer) = receive(&card.conversation_id, &card.destination, nth);
            if fault == Some(Fault::Unheard) {
                (wait, answer) = (TIMEOUT, None);
            }
            state.received.push(Received {
                page_id: card.page_id.clone(),
                incident_id: card.incident_id.clone(),
                destination: card.destination.clone(),
                others: card.others.iter().map(|other| other.incident_id.clone()).collect(),
                asked_ms,
                answer,
            });
            (wait, answer)
        };
        tokio::time::sleep(wait).await;
        self.simulated.survive(fault).await;
        Some(match answer.take() {
            Some(outcome) => Sent::new(outcome, "an answer"),
            None => unanswered(),
        })
    }
}
