use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Number of the partition, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// A record's place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Where.
    pub partition: TopicPartition,
    /// Which record there.
    pub offset: u64,
}

impl fmt::Display for Position {
    /// `topic:partition:offset`, the form of the `zhili-source` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.partition.topic, self.partition.partition, self.offset)
    }
}

/// Names and values beside the record itself, in order; a name may occur twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Bytes)>);

impl Headers {
    /// Adds a header.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// The last value of that name as text; `None` when it is absent or not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(candidate, _)| candidate == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Where to.
    pub partition: TopicPartition,
    /// What the record is about; compaction keeps the last record of each key.
    pub key: Option<Bytes>,
    /// `None` is a tombstone: compaction forgets the key.
    pub value: Option<Bytes>,
    /// Trace context, schema, source.
    pub headers: Headers,
}

impl NewRecord {
    /// A record without headers.
    pub fn new(
        partition: TopicPartition,
        key: impl Into<Option<Bytes>>,
        value: impl Into<Option<Bytes>>,
    ) -> Self {
        Self { partition, key: key.into(), value: value.into(), headers: Headers::default() }
    }

    /// Bytes that count against the 1 MiB limit: key, value, header names and values.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize =
            self.headers.0.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + headers
    }
}

/// A record as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Place in its partition.
    pub offset: u64,
    /// When the log appended it, milliseconds since the Unix epoch; may be equal to or, when the
    /// log's clock steps, before that of an earlier record.
    pub append_ms: i64,
    /// See [`NewRecord::key`].
    pub key: Option<Bytes>,
    /// See [`NewRecord::value`].
    pub value: Option<Bytes>,
    /// See [`NewRecord::headers`].
    pub headers: Headers,
}
