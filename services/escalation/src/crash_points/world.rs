//! What outlives every process: a simulated log, and what receivers saw.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

use prost::Message;
use zhili_eventlog::testkit::simulated::{self, Faults};
use zhili_eventlog::{Record, TopicPartition, topics};
use zhili_incident::Outcome;
use zhili_proto::escalation::v1 as pb;

/// One copy of one page at its receiver.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) page_id: String,
    pub(super) incident_id: String,
    pub(super) destination: String,
    /// Incidents that it tells of as well.
    pub(super) others: Vec<String>,
    /// When its sender was sure that it may start, log time.
    pub(super) asked_ms: i64,
    /// What the sender was told; nothing if it was left in the dark.
    pub(super) answer: Option<Outcome>,
}

pub(super) struct World {
    simulated: Arc<simulated::World>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) received: Vec<Received>,
    /// Crashes and takeovers during which a page was claimed or under way.
    pub(super) exposed: BTreeMap<String, usize>,
}

/// As far as it is a log.
impl Deref for World {
    type Target = Arc<simulated::World>;

    fn deref(&self) -> &Self::Target {
        &self.simulated
    }
}

impl World {
    pub(super) fn new(faults: Faults) -> Arc<Self> {
        Arc::new(Self { simulated: simulated::World::new(1, faults), state: Mutex::default() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Notes that whatever is claimed and not settled now may be sent once more.
    pub(super) fn expose(&self) {
        let claims = self.claims();
        let mut state = self.lock();
        for (page_id, attempts) in claims {
            if attempts.iter().any(|attempt| !attempt.settled) {
                *state.exposed.entry(page_id).or_default() += 1;
            }
        }
    }

    /// The attempts that the log knows of each page, each once.
    pub(super) fn claims(&self) -> BTreeMap<String, Vec<Claimed>> {
        let mut claims = BTreeMap::<String, Vec<Claimed>>::new();
        for (offset, entry) in self.entries().into_iter().enumerate() {
            match entry {
                pb::log_entry::Entry::Claim(claim) => {
                    let attempts = claims.entry(claim.page_id).or_default();
                    if attempts.iter().all(|known| known.attempt != claim.attempt) {
                        let attempt = claim.attempt;
                        attempts.push(Claimed { attempt, offset, settled: false });
                    }
                }
                pb::log_entry::Entry::Result(result) => {
                    for claimed in claims.get_mut(&result.page_id).into_iter().flatten() {
                        claimed.settled |= claimed.attempt == result.attempt;
                    }
                }
                _ => {}
            }
        }
        claims
    }

    /// Everything in the partition, in order.
    pub(super) fn entries(&self) -> Vec<pb::log_entry::Entry> {
        let decode = |record: Record| {
            pb::LogEntry::decode(record.value.as_deref().unwrap()).unwrap().entry.unwrap()
        };
        self.records(&place()).into_iter().map(decode).collect()
    }

    /// Page ids that were received, how often.
    pub(super) fn copies(&self) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for received in &self.lock().received {
            *copies.entry(received.page_id.clone()).or_default() += 1;
        }
        copies
    }

    /// Incidents that people at a destination were told of and said so.
    pub(super) fn accepted(&self, destination: &str) -> BTreeSet<String> {
        let state = self.lock();
        let there = state.received.iter().filter(|it| it.destination == destination);
        let accepted = there.filter(|it| it.answer == Some(Outcome::Delivered));
        accepted
            .flat_map(|it| it.others.iter().chain([&it.incident_id]).cloned().collect::<Vec<_>>())
            .collect()
    }
}

/// An attempt in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    pub(super) attempt: u32,
    pub(super) offset: usize,
    /// Its result is there too.
    settled: bool,
}

/// The one partition of this world.
pub(super) fn place() -> TopicPartition {
    TopicPartition::new(topics::ESCALATION, 0)
}
