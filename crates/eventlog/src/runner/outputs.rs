use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use zhili_proto::log::v1::DeadLetter;

use crate::trace::TRACEPARENT;
use crate::{Headers, NewRecord, Record, TopicPartition, partition_of, topics};

/// Header of derived records: `topic:partition:offset` of the input.
pub const SOURCE: &str = "zhili-source";

/// Collects what a fold has to say of one batch. Every record carries where it came from and the
/// trace that it belongs to.
#[derive(Debug)]
pub struct Outputs {
    partitions: u32,
    records: Vec<NewRecord>,
    input: Option<TopicPartition>,
    source: Bytes,
    traceparent: Option<Bytes>,
    names: Vec<(&'static str, Arc<str>)>,
    dead_letters: u64,
}

impl Outputs {
    /// No outputs yet; keyed topics have `partitions` partitions.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        Self {
            partitions,
            records: Vec::new(),
            input: None,
            source: Bytes::new(),
            traceparent: None,
            names: Vec::new(),
            dead_letters: 0,
        }
    }

    /// Adds a record; its partition follows from its key.
    pub fn emit(&mut self, topic: &'static str, key: &[u8], value: Bytes) {
        let partition = partition_of(key, self.partitions);
        self.emit_to(topic, partition, Some(Bytes::copy_from_slice(key)), Some(value));
    }

    /// Adds a dead letter about the input record. `payload` is what of it was masked already;
    /// without one, only hash and length are kept, since who could not read it could not mask it.
    pub fn dead_letter(&mut self, record: &Record, letter: DeadLetter) {
        let value = record.value.clone().unwrap_or_default();
        let hash = letter.payload.is_empty().then(|| Sha256::digest(&value).to_vec());
        let (topic, partition) = self
            .input
            .as_ref()
            .map_or((String::new(), 0), |input| (input.topic.to_string(), input.partition));
        let letter = DeadLetter {
            topic,
            partition,
            offset: record.offset,
            payload_sha256: hash.unwrap_or_default().into(),
            payload_length: value.len() as u64,
            ..letter
        };
        let key = letter.topic.clone();
        self.dead_letters += 1;
        self.emit(topics::DEAD_LETTERS, key.as_bytes(), letter.encode_to_vec().into());
    }

    pub(super) fn emit_to(
        &mut self,
        topic: &'static str,
        partition: u32,
        key: Option<Bytes>,
        value: Option<Bytes>,
    ) {
        let mut headers = Headers::default();
        if !self.source.is_empty() {
            headers.push(SOURCE, self.source.clone());
        }
        if let Some(traceparent) = &self.traceparent {
            headers.push(TRACEPARENT, traceparent.clone());
        }
        let topic = self.name(topic);
        self.records.push(NewRecord {
            partition: TopicPartition { topic, partition },
            key,
            value,
            headers,
        });
    }

    /// Outputs from here on come from this input record, in this trace.
    pub(super) fn begin(
        &mut self,
        input: &TopicPartition,
        offset: u64,
        traceparent: Option<Bytes>,
    ) {
        if self.input.as_ref() != Some(input) {
            self.input = Some(input.clone());
        }
        self.source = Bytes::from(format!("{}:{}:{offset}", input.topic, input.partition));
        self.traceparent = traceparent;
    }

    pub(super) fn take(&mut self) -> Vec<NewRecord> {
        std::mem::take(&mut self.records)
    }

    /// Dead letters from the beginning on.
    pub(super) const fn dead_letters(&self) -> u64 {
        self.dead_letters
    }

    /// What was collected, for tests of folds.
    #[must_use]
    pub fn records(&self) -> &[NewRecord] {
        &self.records
    }

    fn name(&mut self, topic: &'static str) -> Arc<str> {
        if let Some((_, name)) = self.names.iter().find(|(known, _)| *known == topic) {
            return Arc::clone(name);
        }
        let name: Arc<str> = Arc::from(topic);
        self.names.push((topic, Arc::clone(&name)));
        name
    }
}
