use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use zhili_dialogue::{Applied, Config, Output, Partition};
use zhili_eventlog::runner::{Entry, Fold, Marker, Outputs, Undecodable};
use zhili_eventlog::{Record, topics};
use zhili_proto::conversation::v1::{Event, EventType, LogEntry, log_entry};
use zhili_proto::escalation::v1 as escalation;
use zhili_proto::log::v1::{DeadLetter, Tick};
use zhili_proto::scoring::v1::ScoredEvent;
use zhili_tone::{Assessment, Engine, Message as Text};

use crate::{convert, text};

/// Conversations of one partition: scores each text, folds what it means.
#[derive(Clone)]
pub struct ScoringFold {
    engine: Arc<Engine>,
    /// What every result carries: the versions that it depends on.
    version: Arc<str>,
    number: u32,
    partition: Partition,
    /// As configured. A partition restored from a snapshot goes on with those of its first day.
    configured: Config,
    /// Kept so that a batch does not allocate it anew.
    stated: Vec<Output>,
}

/// An event with what the engine says of it. Assessing depends on the text alone, so it is done
/// while decoding.
#[derive(Debug)]
pub struct Assessed {
    event: Event,
    assessment: Option<Assessment>,
}

impl ScoringFold {
    /// The fold of partition `number` that has seen nothing.
    #[must_use]
    pub fn new(engine: Arc<Engine>, config: Config, number: u32) -> Self {
        let version = format!(
            "scoring {}; tone {}; library {:.16}",
            env!("CARGO_PKG_VERSION"),
            engine.version(),
            engine.library_hash()
        );
        Self {
            engine,
            version: Arc::from(version),
            number,
            partition: Partition::new(config),
            configured: config,
            stated: Vec::new(),
        }
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

    fn state(&mut self, text: &str, outputs: &mut Outputs) {
        for output in self.stated.drain(..) {
            match output {
                Output::Fact(fact) => {
                    let key = format!("{}/{}", fact.tenant, fact.conversation_id);
                    let fact = convert::fact(fact, &self.version);
                    outputs.emit(topics::FACTS, key.as_bytes(), fact.encode_to_vec().into());
                }
                Output::Signal(signal) => {
                    let signal = convert::signal(signal, text, &self.version);
                    let key = format!("{}/{}", signal.tenant, signal.team);
                    let entry = escalation::LogEntry {
                        entry: Some(escalation::log_entry::Entry::Signal(signal)),
                    };
                    outputs.emit(topics::ESCALATION, key.as_bytes(), entry.encode_to_vec().into());
                }
            }
        }
    }
}

fn entry(entry: log_entry::Entry) -> Bytes {
    LogEntry { entry: Some(entry) }.encode_to_vec().into()
}

impl Fold for ScoringFold {
    type Input = Assessed;

    fn name(&self) -> &'static str {
        "scoring"
    }

    fn engine(&self) -> &str {
        &self.version
    }

    fn decode(&self, record: &Record) -> Result<Entry<Assessed>, Undecodable> {
        let poison = |detail: String| Undecodable::Poison { reason: "undecodable", detail };
        let value = record.value.as_deref().unwrap_or_default();
        let decoded = LogEntry::decode(value).map_err(|error| poison(error.to_string()))?;
        match decoded.entry {
            None if value.is_empty() => Err(poison("the record is empty".to_owned())),
            None => Err(Undecodable::UnknownKind),
            Some(log_entry::Entry::Tick(tick)) => Ok(Entry::Tick { at_ms: tick.at_ms }),
            Some(log_entry::Entry::Marker(marker)) => Ok(Entry::Marker(Marker {
                tenant: marker.tenant,
                bundle: marker.bundle,
                sequence: marker.sequence,
            })),
            Some(log_entry::Entry::Event(event)) => {
                let assessment = convert::judged_role(&event).map(|role| {
                    self.engine.assess(&Text {
                        role,
                        text: &event.text,
                        lang: text::language(&event.lang),
                        context: &[],
                    })
                });
                Ok(Entry::Input(Assessed { event, assessment }))
            }
        }
    }

    fn encode_tick(&self, at_ms: i64) -> Bytes {
        entry(log_entry::Entry::Tick(Tick { at_ms }))
    }

    fn encode_marker(&self, marker: &Marker) -> Bytes {
        entry(log_entry::Entry::Marker(zhili_proto::log::v1::Marker {
            tenant: marker.tenant.clone(),
            bundle: marker.bundle.clone(),
            sequence: marker.sequence,
        }))
    }

    fn advance(&mut self, now_ms: i64, outputs: &mut Outputs) {
        self.partition.advance(now_ms, &mut self.stated);
        self.state("", outputs);
    }

    fn apply(&mut self, now_ms: i64, record: &Record, input: Assessed, outputs: &mut Outputs) {
        let Assessed { event, assessment } = input;
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
                let target = |of: EventType| {
                    if event.r#type() == of { event.target.clone() } else { String::new() }
                };
                let key = format!("{}/{}", event.tenant, event.conversation_id);
                let (supersedes, deletes) = (target(EventType::Edit), target(EventType::Delete));
                let text = event.text.clone();
                let scored = ScoredEvent {
                    assessment: assessment.as_ref().map(|a| convert::assessment(a, &self.engine)),
                    event: Some(event),
                    partition: self.number,
                    offset: record.offset,
                    append_ms: record.append_ms,
                    historical,
                    supersedes,
                    deletes,
                };
                outputs.emit(topics::SCORES, key.as_bytes(), scored.encode_to_vec().into());
                self.state(&text, outputs);
                return;
            }
        }
        // Timers that were due before a duplicate have spoken.
        self.state("", outputs);
    }

    fn configure(&mut self, _: i64, _: &Marker, _: &[u8], _: &mut Outputs) -> Result<(), String> {
        // Nothing in a bundle concerns scoring yet.
        Ok(())
    }

    fn config_sequence(&self, _: &str) -> u64 {
        // So no marker is wanted in the events either.
        u64::MAX
    }

    fn next_due(&self) -> Option<i64> {
        self.partition.next_due()
    }

    fn save(&self) -> Vec<u8> {
        self.partition.snapshot()
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        self.partition = Partition::restore(state).map_err(|error| error.to_string())?;
        if let Some(warning) = self.unheeded_settings() {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    fn hash(&self) -> [u8; 32] {
        self.partition.hash()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_a_snapshot_overrules_are_named() {
        let engine = Arc::new(Engine::new().unwrap());
        let first = Config { horizon_ms: 1_000, ..Config::default() };
        let state = ScoringFold::new(Arc::clone(&engine), first, 3).save();
        let mut same = ScoringFold::new(Arc::clone(&engine), first, 3);
        same.load(&state).unwrap();
        assert_eq!(same.unheeded_settings(), None);
        let changed = Config { horizon_ms: 2_000, ..Config::default() };
        let mut other = ScoringFold::new(engine, changed, 3);
        assert_eq!(other.unheeded_settings(), None);
        other.load(&state).unwrap();
        let warning = other.unheeded_settings().unwrap();
        assert!(warning.contains("horizon_ms 2000") && warning.contains("the 1000"), "{warning}");
    }
}
