//! The fold of incidents, fitted to the runner.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zhili_eventlog::runner::{Entry, Erasure, Fold, Frozen, Marker, Outputs, Undecodable};
use zhili_eventlog::{Record, topics, trace};
use zhili_incident::{self as incident, EventKind, IncidentEvent, IncidentId, Partition};
use zhili_state::{Open, Parts};

use crate::{bundle, convert};

/// Version of everything that incidents and their events depend on besides the records.
const ENGINE: &str = "12";

/// The incidents of one partition of `zhili.escalation.v1`.
#[derive(Clone, Debug, Default)]
pub struct Incidents {
    partition: Partition,
    /// W3C trace context of the signal that opened an incident, while it is open, so that the
    /// pages of every step belong to the trace of the message that caused them.
    traces: Parts<IncidentId, Open<String>>,
    /// Room for the events of one record.
    events: Vec<IncidentEvent>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    partition: Vec<u8>,
    traces: Parts<IncidentId, Open<String>>,
}

impl Incidents {
    /// The incidents themselves.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The `traceparent` under which an incident was opened, if there was one.
    pub fn traceparent(&self, incident: IncidentId) -> Option<&str> {
        self.traces.get(&incident).map(String::as_str)
    }

    /// Tells what has happened to whom it may concern.
    fn tell(&mut self, opened_by: Option<&Record>, outputs: &mut Outputs) {
        for event in self.events.drain(..) {
            if let Some(incident) = &event.incident {
                let id = incident.incident_id;
                match (event.kind, opened_by) {
                    (EventKind::Resolved, _) => {
                        self.traces.remove(&id);
                    }
                    (EventKind::Triggered | EventKind::Suppressed, Some(record)) => {
                        if let Some(parent) = record.headers.text(trace::TRACEPARENT)
                            && self.traces.get(&id).is_none()
                        {
                            self.traces.insert(id, parent.to_owned());
                        }
                    }
                    _ => {}
                }
            }
            let key = convert::key(&event.tenant, &event.team);
            outputs.emit(topics::INCIDENTS, &key, convert::event_record(event));
        }
    }
}

impl Fold for Incidents {
    type Input = incident::Entry;

    fn name(&self) -> &'static str {
        "escalation"
    }

    fn engine(&self) -> &str {
        ENGINE
    }

    fn decode(&self, record: &Record) -> Result<Entry<Self::Input>, Undecodable> {
        convert::entry(record.value.as_deref())
    }

    fn encode_tick(&self, at_ms: i64) -> Bytes {
        convert::tick_record(at_ms)
    }

    fn encode_marker(&self, marker: &Marker) -> Bytes {
        convert::marker_record(marker)
    }

    fn advance(&mut self, now_ms: i64, outputs: &mut Outputs) {
        self.partition.advance(now_ms, &mut self.events);
        self.tell(None, outputs);
    }

    fn apply(&mut self, now_ms: i64, record: &Record, input: Self::Input, outputs: &mut Outputs) {
        let opened_by = matches!(input, incident::Entry::Signal(_)).then_some(record);
        if let Some(ignored) = self.partition.apply(now_ms, input, &mut self.events) {
            tracing::debug!(offset = record.offset, reason = ignored.code(), "without effect");
        }
        self.tell(opened_by, outputs);
    }

    fn configure(
        &mut self,
        now_ms: i64,
        marker: &Marker,
        bundle: &[u8],
        outputs: &mut Outputs,
    ) -> Result<(), String> {
        let (tenant, sequence) = (marker.tenant.clone(), marker.sequence);
        let config = bundle::parse(bundle).map_err(|error| error.to_string())?;
        let entry = match config {
            Some(config) => {
                let bundle = marker.bundle.clone();
                incident::Entry::Config { tenant, bundle, sequence, config }
            }
            None => incident::Entry::NoConfig { tenant, sequence },
        };
        self.partition.apply(now_ms, entry, &mut self.events);
        self.tell(None, outputs);
        Ok(())
    }

    fn erase(&mut self, now_ms: i64, erasure: &Erasure, outputs: &mut Outputs) {
        let gone = |tenant: &str, name: &str| erasure.names(tenant, name);
        let mut erased = self.partition.erase(gone, &mut self.events);
        self.tell(None, outputs);
        // Every replica shows what the log told of them until it is told this.
        erased.sort_by(|one, other| one.team.cmp(&other.team));
        for of_team in erased.chunk_by(|one, other| one.team == other.team) {
            let key = convert::key(erasure.tenant(), &of_team[0].team);
            let record = convert::erased_record(now_ms, &erasure.id, of_team);
            outputs.emit(topics::INCIDENTS, &key, record);
        }
        // Traces lead to spans, which tell of conversations.
        let partition = &self.partition;
        let gone = self.traces.iter().map(|(id, _)| *id).filter(|id| partition.get(*id).is_none());
        for id in gone.collect::<Vec<_>>() {
            self.traces.remove(&id);
        }
    }

    fn config_sequence(&self, tenant: &str) -> u64 {
        self.partition.config_sequence(tenant).unwrap_or(0)
    }

    fn next_due(&self) -> Option<i64> {
        self.partition.next_due()
    }

    fn freeze(&self) -> Frozen {
        let (partition, traces) = (self.partition.freeze(), self.traces.clone());
        Box::new(move || {
            let saved = partition.to_bytes().map_err(|error| error.to_string());
            let saved = saved.and_then(|partition| {
                let saved = Saved { partition, traces };
                postcard::to_stdvec(&saved).map_err(|error| error.to_string())
            });
            saved.unwrap_or_else(|error| {
                // An empty snapshot cannot be loaded and is passed over.
                tracing::error!(%error, "cannot save the incidents, a restart will replay the log");
                Vec::new()
            })
        })
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        let saved: Saved = postcard::from_bytes(state).map_err(|error| error.to_string())?;
        self.partition = Partition::restore(&saved.partition).map_err(|error| error.to_string())?;
        self.traces = saved.traces;
        Ok(())
    }

    fn hash(&mut self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.partition.hash().unwrap_or_default());
        hasher.update(self.traces.hash());
        hasher.finalize().into()
    }
}
