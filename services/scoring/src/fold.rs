use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};
use zhili_dialogue::{Applied, Config, Contact, Count, Dimensions, Output, Partition};
use zhili_eventlog::runner::{Entry, Erasure, Fold, Frozen, Marker, Outputs, Undecodable};
use zhili_eventlog::{Record, topics};
use zhili_proto::conversation::v1::author::Role;
use zhili_proto::conversation::v1::{Event, EventType, LogEntry, log_entry};
use zhili_proto::log::v1::{DeadLetter, Tick};
use zhili_proto::scoring::v1::{
    CustomerEntry, PulseEntry, ScoredEvent, customer_entry, pulse_entry,
};
use zhili_state::encode;
use zhili_tone::Engine;

use crate::agents::Scored;
use crate::assessor::{Assessor, about};
use crate::bundle::{Bundle, Phrases};
use crate::engines::{ANY_TENANT, Engines};
use crate::recent::{self, Recent};
use crate::{convert, records};

/// Changes with what is saved beside conversations and recent words.
const STATE_VERSION: u16 = 2;

/// Conversations of one partition: scores each text, folds what it means.
#[derive(Clone)]
pub struct ScoringFold {
    engines: Engines,
    /// What every result carries: the versions that it depends on.
    version: Arc<str>,
    /// That, and the layout of the state.
    engine: String,
    number: u32,
    partition: Partition,
    recent: Recent,
    /// Tenants with phrases of their own.
    phrases: BTreeMap<String, Own>,
    /// Tenants whose agents are scored.
    scored: Scored,
    /// As configured. A partition restored from a snapshot goes on with those of its first day.
    configured: Config,
    /// Kept so that a batch does not allocate it anew.
    stated: Vec<Output>,
}

/// A tenant's phrases, and the engine that knows them.
#[derive(Clone)]
struct Own {
    phrases: Phrases,
    engine: Arc<Engine>,
    version: Arc<str>,
}

impl Own {
    fn new(phrases: Phrases, engine: Arc<Engine>) -> Self {
        let version = version(&engine);
        Self { phrases, engine, version }
    }
}

/// What a result depends on besides the records.
fn version(engine: &Engine) -> Arc<str> {
    Arc::from(format!(
        "scoring {}; tone {}; library {:.16}",
        env!("CARGO_PKG_VERSION"),
        engine.version(),
        engine.library_hash()
    ))
}

/// State as it is saved.
#[derive(Deserialize)]
struct Saved {
    partition: Vec<u8>,
    phrases: BTreeMap<String, Phrases>,
    scored: Scored,
    recent: Recent,
}

/// The same as [`Saved`], from a copy that shares its parts.
#[derive(Serialize)]
struct ToSave<R> {
    partition: Vec<u8>,
    phrases: BTreeMap<String, Phrases>,
    scored: Scored,
    recent: R,
}

impl ScoringFold {
    /// The fold of partition `number` that has seen nothing.
    #[must_use]
    pub fn new(engines: Engines, config: Config, number: u32) -> Self {
        let version = version(engines.base());
        Self {
            engines,
            engine: format!(
                "{version}; state {}.{}.{STATE_VERSION}",
                Partition::STATE_VERSION,
                recent::STATE_VERSION
            ),
            version,
            number,
            partition: Partition::new(config),
            recent: Recent::default(),
            phrases: BTreeMap::new(),
            scored: Scored::default(),
            configured: config,
            stated: Vec::new(),
        }
    }

    /// A tenant's phrases, or those of tenants without any.
    fn own(&self, tenant: &str) -> Option<&Own> {
        self.phrases.get(tenant).or_else(|| self.phrases.get(ANY_TENANT))
    }

    /// Phrases by tenant.
    fn phrases(&self) -> BTreeMap<String, Phrases> {
        let phrases = |(tenant, own): (&String, &Own)| (tenant.clone(), own.phrases.clone());
        self.phrases.iter().map(phrases).collect()
    }

    /// The engine that judges a tenant's texts.
    fn assessor(&self, tenant: &str) -> Assessor {
        let engine = self.own(tenant).map_or_else(|| self.engines.base(), |own| &own.engine);
        Assessor::with(Arc::clone(engine))
    }

    /// What a tenant's results carry.
    fn version_of(&self, tenant: &str) -> Arc<str> {
        Arc::clone(self.own(tenant).map_or(&self.version, |own| &own.version))
    }

    /// What a person who changed the settings has to know: that conversations in memory, and so
    /// this partition, go on as before.
    fn unheeded_settings(&self) -> Option<String> {
        let (kept, configured) = (self.partition.config(), self.configured);
        (kept != configured).then(|| {
            format!(
                "dialogue.horizon_ms {} and dialogue.idle_close_ms {} are not heeded: partition {} \
                 goes on with the {} and {} that it began with, or its replay would differ; set \
                 them back, or begin with a new log",
                configured.horizon_ms,
                configured.idle_close_ms,
                self.number,
                kept.horizon_ms,
                kept.idle_close_ms
            )
        })
    }

    /// Writes what was stated at `now_ms`, and passes on what it says of customers and of the
    /// tenant as a whole. `text` is the masked text that it comes from, `about` what that is about.
    fn state(&mut self, now_ms: i64, text: &str, about: Dimensions<'_>, outputs: &mut Outputs) {
        let mut stated = std::mem::take(&mut self.stated);
        for output in stated.drain(..).filter_map(|output| self.scored.heed(output)) {
            for contact in Contact::of(&output) {
                let key = format!("{}/{}", contact.tenant, contact.customer);
                let entry = customer_entry::Entry::Contact(convert::contact(contact));
                let entry = CustomerEntry { entry: Some(entry) };
                outputs.emit(topics::CUSTOMERS, key.as_bytes(), entry.encode_to_vec().into());
            }
            match output {
                Output::Complaint(complaint) => {
                    for count in Count::of(&complaint, about, now_ms) {
                        let key = count.tenant.clone();
                        let entry = pulse_entry::Entry::Count(convert::count(count));
                        let entry = PulseEntry { entry: Some(entry) };
                        outputs.emit(topics::PULSE, key.as_bytes(), entry.encode_to_vec().into());
                    }
                }
                Output::Fact(fact) => {
                    let version = self.version_of(&fact.tenant);
                    records::fact(fact, &version, outputs);
                }
                Output::Signal(signal) => {
                    let version = self.version_of(&signal.tenant);
                    let about = self.recent.background(&signal.tenant, &signal.conversation_id);
                    records::signal(signal, text, about, &version, outputs);
                }
                Output::Presence(presence) => records::presence(presence, outputs),
            }
        }
        self.stated = stated;
    }
}

fn entry(entry: log_entry::Entry) -> Bytes {
    LogEntry { entry: Some(entry) }.encode_to_vec().into()
}

impl Fold for ScoringFold {
    type Input = Event;

    fn name(&self) -> &'static str {
        "scoring"
    }

    fn engine(&self) -> &str {
        &self.engine
    }

    fn decode(&self, record: &Record) -> Result<Entry<Event>, Undecodable> {
        records::decode(record, |decoded: LogEntry| {
            Some(match decoded.entry? {
                log_entry::Entry::Tick(tick) => Entry::Tick { at_ms: tick.at_ms },
                log_entry::Entry::Marker(marker) => Entry::Marker(records::marker(marker)),
                log_entry::Entry::Erasure(erasure) => return records::erasure(erasure),
                log_entry::Entry::Event(event) => Entry::Input(event),
            })
        })
    }

    fn encode_tick(&self, at_ms: i64) -> Bytes {
        entry(log_entry::Entry::Tick(Tick { at_ms }))
    }

    fn encode_marker(&self, marker: &Marker) -> Bytes {
        entry(log_entry::Entry::Marker(records::marker_record(marker)))
    }

    fn advance(&mut self, now_ms: i64, outputs: &mut Outputs) {
        self.partition.advance(now_ms, &mut self.stated);
        self.recent.advance(now_ms);
        self.state(now_ms, "", Dimensions::default(), outputs);
    }

    fn apply(&mut self, now_ms: i64, record: &Record, mut event: Event, outputs: &mut Outputs) {
        let assessor = self.assessor(&event.tenant);
        let assessment = assessor.assess(&event);
        let letter = |reason: &str, detail: &str| DeadLetter {
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            // Masked by ingest.
            payload: record.value.clone().unwrap_or_default(),
            component: self.version.to_string(),
            failed_at: Some(zhili_proto::timestamp(now_ms)),
            tenant: event.tenant.clone(),
            ..DeadLetter::default()
        };
        let Some(seen) = convert::dialogue_event(&event, assessment.as_ref()) else {
            let detail = "the event has no type, status or time that a conversation knows";
            outputs.dead_letter(record, letter("invalid", detail));
            return;
        };
        let applied = self.partition.apply(record.append_ms, &seen, &mut self.stated);
        match applied {
            Applied::Duplicate => {}
            Applied::Conflict => {
                let detail = "an event of the same tenant, source and id, but of another type, author or text came first";
                outputs.dead_letter(record, letter("conflicting_duplicate", detail));
            }
            Applied::Accepted { historical } => {
                let sentiment = assessment.as_ref().and_then(|it| it.sentiment.as_ref());
                self.recent.apply(now_ms, &event, sentiment.map(|it| it.value));
                let target = |of: EventType| {
                    if event.r#type() == of { event.target.clone() } else { String::new() }
                };
                let key = format!("{}/{}", event.tenant, event.conversation_id);
                let by_agent = event.author.as_ref().is_some_and(|it| it.role() == Role::Agent);
                let (supersedes, deletes) = (target(EventType::Edit), target(EventType::Delete));
                // Of no use to who reads scores.
                if let Some(customer) = &mut event.customer {
                    customer.former_ids.clear();
                    customer.speaker = 0;
                }
                let scored = ScoredEvent {
                    assessment: assessment
                        .as_ref()
                        .filter(|_| !by_agent || self.scored.are(&event.tenant))
                        .map(|a| convert::assessment(a, assessor.engine())),
                    event: Some(event),
                    partition: self.number,
                    offset: record.offset,
                    append_ms: record.append_ms,
                    historical,
                    supersedes,
                    deletes,
                };
                outputs.emit(topics::SCORES, key.as_bytes(), scored.encode_to_vec().into());
                if let Some(event) = &scored.event {
                    self.state(now_ms, &event.text, about(event, assessment.as_ref()), outputs);
                }
                return;
            }
        }
        // Timers that were due before a duplicate have spoken.
        self.state(now_ms, "", Dimensions::default(), outputs);
    }

    fn configure(
        &mut self,
        now_ms: i64,
        marker: &Marker,
        bundle: &[u8],
        outputs: &mut Outputs,
    ) -> Result<(), String> {
        let tenant = marker.tenant.as_str();
        let Bundle { phrases, dialogue, agents, .. } =
            Bundle::parse(bundle).map_err(|error| error.to_string())?;
        let own = phrases
            .map(|phrases| {
                let engine = self.engines.with(&phrases).map_err(|error| error.to_string())?;
                Ok::<_, String>(Own::new(phrases, engine))
            })
            .transpose()?;
        if marker.sequence > self.partition.config_sequence(tenant) {
            self.scored.set(tenant, agents);
            match own {
                Some(own) => self.phrases.insert(tenant.to_owned(), own),
                None => self.phrases.remove(tenant),
            };
        }
        self.partition.configure(now_ms, tenant, marker.sequence, dialogue, &mut self.stated);
        self.state(now_ms, "", Dimensions::default(), outputs);
        Ok(())
    }

    fn erase(&mut self, _: i64, erasure: &Erasure, _: &mut Outputs) {
        self.recent.erase(|tenant, name| erasure.names(tenant, name));
        self.partition.erase(|tenant, name| erasure.names(tenant, name));
    }

    fn config_sequence(&self, tenant: &str) -> u64 {
        self.partition.config_sequence(tenant)
    }

    fn next_due(&self) -> Option<i64> {
        self.partition.next_due()
    }

    fn freeze(&self) -> Frozen {
        let (partition, phrases) = (self.partition.freeze(), self.phrases());
        let scored = self.scored.clone();
        let recent = self.recent.conversations();
        Box::new(move || {
            encode(&ToSave { partition: partition.to_bytes(), phrases, scored, recent }, Vec::new())
        })
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        let saved: Saved = postcard::from_bytes(state).map_err(|error| error.to_string())?;
        self.partition = Partition::restore(&saved.partition).map_err(|error| error.to_string())?;
        self.recent = saved.recent;
        self.scored = saved.scored;
        self.phrases.clear();
        for (tenant, phrases) in saved.phrases {
            let engine = self.engines.with(&phrases).map_err(|error| error.to_string())?;
            self.phrases.insert(tenant, Own::new(phrases, engine));
        }
        if let Some(warning) = self.unheeded_settings() {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    fn hash(&mut self) -> [u8; 32] {
        let parts = (self.partition.hash(), self.phrases(), &self.scored, self.recent.hash());
        blake3::hash(&encode(&parts, Vec::new())).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_a_snapshot_overrules_are_named() {
        let engines = Engines::new().unwrap();
        let first = Config { horizon_ms: 1_000, ..Config::default() };
        let state = ScoringFold::new(engines.clone(), first, 3).save();
        let mut same = ScoringFold::new(engines.clone(), first, 3);
        same.load(&state).unwrap();
        assert_eq!(same.unheeded_settings(), None);
        let changed = Config { horizon_ms: 2_000, ..Config::default() };
        let mut other = ScoringFold::new(engines, changed, 3);
        assert_eq!(other.unheeded_settings(), None);
        other.load(&state).unwrap();
        let warning = other.unheeded_settings().unwrap();
        assert!(warning.contains("horizon_ms 2000") && warning.contains("the 1000"), "{warning}");
    }
}
