use clickhouse::error::Error as ClientError;
use zhili_eventlog::{LogError, TopicPartition};

use crate::Table;
use crate::sink::OffsetRange;

/// Why ClickHouse did not do what it was asked, or what it holds is not what was expected.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// ClickHouse cannot be reached or did not answer in time. The statement may or may not have
    /// taken effect.
    #[error("cannot reach ClickHouse to {doing}: {cause}")]
    Unavailable {
        /// What was being done.
        doing: String,
        /// The client's words.
        cause: String,
    },
    /// ClickHouse is there and cannot do it just now: memory, parts, locks, a replica.
    #[error("ClickHouse cannot {doing} at the moment: {cause}")]
    Busy {
        /// What was being done.
        doing: String,
        /// ClickHouse's words.
        cause: String,
    },
    /// ClickHouse refuses, and will refuse again: a missing table, another schema, no permission.
    #[error("ClickHouse refuses to {doing}: {cause}")]
    Refused {
        /// What was being done.
        doing: String,
        /// ClickHouse's words.
        cause: String,
    },
    /// A migration that was applied has another text now.
    #[error(
        "migration {name} was changed after it was applied; restore its text and put the change \
         into a new migration"
    )]
    MigrationChanged {
        /// File name without its ending.
        name: String,
    },
    /// The database was migrated by a newer version.
    #[error(
        "the database has migration {version}, which this version does not know; run the version \
         that applied it, or a newer one"
    )]
    MigrationUnknown {
        /// The highest one applied.
        version: u32,
    },
    /// A table's memory of deduplication tokens is too short to cover a late INSERT.
    #[error(
        "table {table} remembers {actual} INSERT tokens, needs {needed} to recognise a late INSERT; \
         set non_replicated_deduplication_window, or replicated_deduplication_window of a replicated \
         table, to that with ALTER TABLE {table} MODIFY SETTING"
    )]
    WindowTooSmall {
        /// Which table.
        table: Table,
        /// What it is set to.
        actual: u64,
        /// What it must be at least.
        needed: u64,
    },
    /// A name that must go into a statement as it is, and is not plain.
    #[error("{what} must be letters, digits and underscores, got `{value}`")]
    NotAName {
        /// Which setting.
        what: &'static str,
        /// What it was.
        value: String,
    },
    /// The address of ClickHouse is none.
    #[error("`{url}` is not the URL of a ClickHouse, such as https://HOST:8443: {cause}")]
    InvalidUrl {
        /// The URL, without what stands before its host.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A metric that this version cannot compute.
    #[error("metric `{0}` is not known here")]
    UnknownMetric(String),
    /// A metric that is not split that way.
    #[error("metric {metric} cannot be split by {by}")]
    NoSuchDimension {
        /// Which metric.
        metric: &'static str,
        /// Asked for.
        by: &'static str,
    },
    /// A metric of yes and no, which is not spread over anything.
    #[error("metric {0} is a rate: its values are yes or no and have no distribution")]
    NoDistribution(&'static str),
    /// A time zone that nobody knows.
    #[error("time zone `{0}` is not known; give an IANA name such as Asia/Shanghai")]
    UnknownZone(String),
    /// A time range or bucket that makes no sense.
    #[error("{0}")]
    InvalidRange(&'static str),
}

impl WarehouseError {
    /// Whether the same statement may succeed later without anybody doing anything about it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy { .. })
    }

    /// Label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Busy { .. } => "busy",
            Self::Refused { .. } => "refused",
            Self::MigrationChanged { .. } => "migration_changed",
            Self::MigrationUnknown { .. } => "migration_unknown",
            Self::WindowTooSmall { .. } => "window_too_small",
            Self::NotAName { .. } => "not_a_name",
            Self::InvalidUrl { .. } => "invalid_url",
            Self::UnknownMetric(_) => "unknown_metric",
            Self::NoSuchDimension { .. } => "no_such_dimension",
            Self::NoDistribution(_) => "no_distribution",
            Self::UnknownZone(_) => "unknown_zone",
            Self::InvalidRange(_) => "invalid_range",
        }
    }

    pub(crate) fn from_client(doing: impl Into<String>, error: &ClientError) -> Self {
        let doing = doing.into();
        let cause = words(error);
        match error {
            ClientError::Network(_) | ClientError::TimedOut => Self::Unavailable { doing, cause },
            ClientError::BadResponse(text) => match exception_code(text) {
                Some(code) if TRANSIENT_CODES.contains(&code) => Self::Busy { doing, cause },
                // Without a code it is not ClickHouse that speaks but something on the way to it,
                // or a server that is going down.
                None => Self::Unavailable { doing, cause },
                Some(_) => Self::Refused { doing, cause },
            },
            // The answer was cut off.
            ClientError::NotEnoughData | ClientError::Decompression(_) => {
                Self::Unavailable { doing, cause }
            }
            _ => Self::Refused { doing, cause },
        }
    }
}

/// ClickHouse's exceptions that pass by themselves. Anything else, above all a schema that does
/// not fit, would fail for ever.
const TRANSIENT_CODES: [u32; 34] = [
    3,   // UNEXPECTED_END_OF_FILE: the request was cut off
    75,  // CANNOT_WRITE_TO_FILE_DESCRIPTOR: a full or failing disk
    76,  // CANNOT_OPEN_FILE: too many open files
    88,  // CANNOT_TRUNCATE_FILE
    159, // TIMEOUT_EXCEEDED
    160, // TOO_SLOW
    164, // READONLY: a replica that is recovering, a disk that turned read-only
    173, // CANNOT_ALLOCATE_MEMORY
    198, // DNS_ERROR
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    204, // CANNOT_FSYNC
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER: a cluster without its Keeper
    236, // ABORTED: also a store that is about to start anew
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    279, // ALL_CONNECTION_TRIES_FAILED
    285, // TOO_FEW_LIVE_REPLICAS
    286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    289, // REPLICA_IS_NOT_IN_QUORUM
    294, // CANNOT_WRITE_TO_FILE
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED
    425, // SYSTEM_ERROR
    439, // CANNOT_SCHEDULE_TASK
    745, // SERVER_OVERLOADED
    999, // KEEPER_EXCEPTION
    // What is not ClickHouse's own: errors of the network, of files, of memory.
    1000, // POCO_EXCEPTION
    1001, // STD_EXCEPTION
    1002, // UNKNOWN_EXCEPTION
];

/// The number in `Code: 252. DB::Exception: ...`.
fn exception_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// The innermost cause says what happened; the client's outer errors only say where.
fn words(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    let text = text.strip_prefix("bad response: ").unwrap_or(&text);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Why the sink stopped writing a partition.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// ClickHouse refuses the rows and will go on doing so. Nothing is skipped: the partition
    /// waits until somebody mends it.
    #[error("{partition} is halted: {cause}")]
    Halted {
        /// Which partition.
        partition: TopicPartition,
        /// What ClickHouse said.
        cause: WarehouseError,
    },
    /// The group's position was noted for another log: the topic was deleted and created again.
    #[error(
        "{partition} is halted: its position belongs to log {noted}, but the topic is log {actual} \
         now; reset the group's position if the topic was recreated on purpose"
    )]
    LogChanged {
        /// Which partition.
        partition: TopicPartition,
        /// What the position says.
        noted: String,
        /// What the topic says.
        actual: String,
    },
    /// The position's metadata is not what this sink writes.
    #[error("{partition} is halted: cannot read its position's metadata `{metadata}`: {detail}")]
    UnreadablePosition {
        /// Which partition.
        partition: TopicPartition,
        /// The text.
        metadata: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// A range was announced that the log does not hold to its end.
    #[error(
        "{partition} is halted: records up to {last} were announced for ClickHouse, but the log \
         ends at {end}: it lost records"
    )]
    PendingBeyondEnd {
        /// Which partition.
        partition: TopicPartition,
        /// Last offset announced.
        last: u64,
        /// Next offset of the log.
        end: u64,
    },
    /// Rows were accepted again and again, and are not there.
    #[error(
        "{partition} is halted: table {table} accepted {rows} rows of the records {range} {times} \
         times and does not have them; run `zhili doctor --audit --repair` and start metrics again",
        times = crate::sink::ROUNDS
    )]
    Unverified {
        /// Which partition.
        partition: TopicPartition,
        /// Which table.
        table: Table,
        /// The range that is announced.
        range: OffsetRange,
        /// How many rows are not there and no newer ones in their place.
        rows: usize,
    },
    /// A bug.
    #[error(
        "{partition} is halted: its sink panicked: {detail}; start metrics again, and report it"
    )]
    Panicked {
        /// Which partition.
        partition: TopicPartition,
        /// The panic's words.
        detail: String,
    },
}

impl SinkError {
    /// Label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Log(error) => error.kind(),
            Self::Halted { cause, .. } => cause.kind(),
            Self::LogChanged { .. } => "log_changed",
            Self::UnreadablePosition { .. } => "unreadable_position",
            Self::PendingBeyondEnd { .. } => "pending_beyond_end",
            Self::Unverified { .. } => "unverified",
            Self::Panicked { .. } => "panicked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> WarehouseError {
        WarehouseError::from_client("insert", &ClientError::BadResponse(text.to_owned()))
    }

    #[test]
    fn an_exception_is_transient_only_if_it_passes_by_itself() {
        assert!(answered("Code: 252. DB::Exception: Too many parts (600)").is_transient());
        assert!(answered("503 Service Unavailable").is_transient());
        for disk in [75, 76, 88, 204, 294, 1001] {
            assert!(answered(&format!("Code: {disk}. DB::Exception: no space")).is_transient());
        }
        for cluster in [225, 279, 745, 1000, 1002] {
            assert!(answered(&format!("Code: {cluster}. DB::Exception: away")).is_transient());
        }
        assert!(!answered("Code: 60. DB::Exception: Table zhili.x does not exist").is_transient());
        assert!(!answered("Code: 516. DB::Exception: Authentication failed").is_transient());
        assert!(WarehouseError::from_client("insert", &ClientError::TimedOut).is_transient());
    }

    #[test]
    fn the_message_keeps_the_first_line_of_the_cause() {
        assert_eq!(
            answered("Code: 60. DB::Exception: no table\nstack").to_string(),
            "ClickHouse refuses to insert: Code: 60. DB::Exception: no table"
        );
    }
}
