//! One process of the service: the runner and the owner as they are, in a simulated world.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhili_eventlog::runner::{Bundles, Observation, Progress, RunnerOptions, run_group};
use zhili_eventlog::{EventLog, Membership, TopicPartition, topics};
use zhili_incident::{Outcome, State};

use super::world::{Fault, Operation, Received, World};
use crate::attempts::{Attempts, Limits};
use crate::channel::{Courier, Send, Sent};
use crate::fold::Incidents;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::owner::{Owner, Pager};
use crate::reach::Reach;

/// Longer than a lease, shorter than a session.
const PAUSE: Duration = Duration::from_secs(5);
/// Until another process takes over from one that stands still.
pub(super) const SESSION: Duration = Duration::from_secs(10);
/// Until one that stood still for longer goes on.
const STALL: Duration = Duration::from_secs(15);
/// Until a receiver's answer, usually.
const ANSWER: Duration = Duration::from_millis(20);
/// Until an attempt without an answer is given up.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Small, so that restarts find snapshots of all ages.
const SNAPSHOT_RECORDS: u64 = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    StandingStill,
    Dead,
}

/// Cheap to clone: every clone is the same process.
#[derive(Clone)]
pub(super) struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    world: Arc<World>,
    number: usize,
    /// Beyond faults: what people and other services do is not what is tried here.
    immortal: bool,
    life: watch::Sender<Life>,
    /// Told when it dies or stalls: somebody else has to take over.
    gone: CancellationToken,
    /// What it owns, and in which ownership.
    owned: watch::Sender<Option<(CancellationToken, u64)>>,
}

impl Process {
    fn new(world: &Arc<World>, number: usize, immortal: bool) -> Self {
        let inner = Inner {
            world: Arc::clone(world),
            number,
            immortal,
            life: watch::Sender::new(Life::Running),
            gone: CancellationToken::new(),
            owned: watch::Sender::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Somebody whom nothing happens to.
    pub(super) fn immortal(world: &Arc<World>) -> Self {
        Self::new(world, 0, true)
    }

    /// Starts the service.
    pub(super) async fn start(world: &Arc<World>, number: usize) -> Self {
        let process = Self::new(world, number, false);
        let log: Arc<dyn EventLog> = Arc::new(process.clone());
        let shutdown = CancellationToken::new();
        let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();
        let pager = Pager {
            log: Arc::clone(&log),
            clock: world.clock(),
            name: Arc::from(format!("p{number}")),
            courier: process.clone(),
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
        process
    }

    pub(super) fn world(&self) -> &Arc<World> {
        &self.inner.world
    }

    /// Waits until it is dead or others take it for dead.
    pub(super) async fn gone(&self) {
        self.inner.gone.cancelled().await;
    }

    /// Waits for as long as the process stands still; for ever if it is dead.
    pub(super) async fn alive(&self) {
        let mut life = self.inner.life.subscribe();
        // The sender is kept by this process.
        let _ = life.wait_for(|life| *life == Life::Running).await;
    }

    /// Comes to an operation, and says what goes wrong with it, if that is for the operation
    /// itself to do.
    pub(super) async fn operate(&self, operation: Operation) -> Option<Fault> {
        self.alive().await;
        if self.inner.immortal {
            return None;
        }
        let fault = self.world().next(operation)?;
        match fault {
            Fault::DiesBefore => self.die().await,
            Fault::Pauses => self.stand_still(PAUSE),
            Fault::Stalls => {
                self.stand_still(STALL);
                self.inner.gone.cancel();
            }
            Fault::DiesAfter | Fault::Refused | Fault::Lost | Fault::Unheard => {}
        }
        self.alive().await;
        Some(fault)
    }

    /// Hears that an operation is done, unless it dies first.
    pub(super) async fn survive(&self, fault: Option<Fault>) {
        if fault == Some(Fault::DiesAfter) {
            self.die().await;
        }
        self.alive().await;
    }

    async fn die(&self) {
        self.inner.life.send_replace(Life::Dead);
        self.inner.gone.cancel();
        std::future::pending::<()>().await;
    }

    fn stand_still(&self, long: Duration) {
        self.inner.life.send_replace(Life::StandingStill);
        let process = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(long).await;
            process.inner.life.send_replace(Life::Running);
        });
    }

    /// Owns the partition from now on.
    pub(super) fn watch(&self, revoked: CancellationToken, epoch: u64) {
        self.inner.owned.send_replace(Some((revoked, epoch)));
    }

    /// Waits until what it owns is taken from it, and says which ownership that was.
    pub(super) async fn lost(&self) -> u64 {
        let owned = self.inner.owned.borrow().clone();
        let Some((revoked, epoch)) = owned else { std::future::pending().await };
        revoked.cancelled().await;
        self.inner.owned.send_replace(None);
        epoch
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
        self.operate(Operation::Ask).await;
        if !started() {
            return None;
        }
        let asked_ms = self.world().now_ms();
        let fault = self.operate(Operation::Request).await;
        let unanswered = || Sent::new(Outcome::Failed, "no answer within 8 s");
        match fault {
            Some(Fault::Refused) => return Some(Sent::new(Outcome::Failed, "no connection")),
            Some(Fault::Lost) => {
                tokio::time::sleep(TIMEOUT).await;
                self.alive().await;
                return Some(unanswered());
            }
            _ => {}
        }
        let card = page.card;
        let (wait, mut answer) = {
            let mut state = self.world().lock();
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
        self.survive(fault).await;
        Some(match answer.take() {
            Some(outcome) => Sent::new(outcome, "an answer"),
            None => unanswered(),
        })
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p{}", self.inner.number)
    }
}
