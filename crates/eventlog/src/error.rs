use crate::TopicPartition;

/// Why the log did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The log cannot be reached just now; trying again may help.
    #[error("cannot reach the log: {0}")]
    Unavailable(String),
    /// The outcome is unknown: the records may be stored or not. Appending them again may store
    /// them twice, which readers recognise by their ids.
    #[error("the log did not confirm in time, so the records may or may not be stored: {0}")]
    Ambiguous(String),
    /// The partition belongs to somebody else now; nothing was committed.
    #[error("{0} is no longer owned by this member")]
    Revoked(TopicPartition),
    /// A position before the first or beyond the last record. Never repaired silently: it means
    /// lost input or a recreated topic.
    #[error(
        "position {offset} of {partition} is outside of what the log holds ({start}..{end}): \
         records were lost or the topic was recreated"
    )]
    OutOfRange {
        /// Where.
        partition: TopicPartition,
        /// The position asked for.
        offset: u64,
        /// First offset held.
        start: u64,
        /// Offset of the next record.
        end: u64,
    },
    /// No such topic.
    #[error("topic {0} does not exist; create it with `zhili topics apply`")]
    UnknownTopic(String),
    /// No such partition.
    #[error("{0} does not exist")]
    UnknownPartition(TopicPartition),
    /// A topic is not what this version needs it to be.
    #[error("topic {topic} has {actual}, needs {needed}; {advice}")]
    TopicMismatch {
        /// Which topic.
        topic: String,
        /// What it has, such as `6 partitions`.
        actual: String,
        /// What it must have.
        needed: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A record beyond the limit.
    #[error("record for {partition} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Where it was meant to go.
        partition: TopicPartition,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Offset metadata that is not short ASCII.
    #[error("offset metadata must be at most 1,024 bytes of printable ASCII, got {0} bytes")]
    InvalidMetadata(usize),
    /// The disk refused; nothing was stored. Free space and it goes on.
    #[error("cannot write the log: {0}")]
    Storage(String),
    /// Another process owns the log file.
    #[error("the log at {0} is in use by another process; stop it or give another --data folder")]
    InUse(String),
    /// What is stored cannot be read.
    #[error("the log is damaged: {0}")]
    Corrupt(String),
    /// The log will not do this however often it is asked: not authorised, misconfigured, or against
    /// its rules.
    #[error("the log refused: {0}")]
    Refused(String),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    /// Whether trying again later may succeed without anybody doing anything about it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Ambiguous(_) | Self::Storage(_))
    }

    /// Label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Ambiguous(_) => "ambiguous",
            Self::Revoked(_) => "revoked",
            Self::OutOfRange { .. } => "out_of_range",
            Self::UnknownTopic(_) => "unknown_topic",
            Self::UnknownPartition(_) => "unknown_partition",
            Self::TopicMismatch { .. } => "topic_mismatch",
            Self::TooLarge { .. } => "too_large",
            Self::InvalidMetadata(_) => "invalid_metadata",
            Self::Storage(_) => "storage",
            Self::InUse(_) => "in_use",
            Self::Corrupt(_) => "corrupt",
            Self::Refused(_) => "refused",
            Self::Closed => "closed",
        }
    }
}
