//! What the embedded log keeps in its redb file.

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};

use crate::{Bounds, Committed, LogError, TopicInfo};

/// Topic name -> (number, partitions, compacted, retention in ms or -1, log id).
pub(super) const TOPICS: TableDefinition<&str, (u32, u32, bool, i64, &str)> =
    TableDefinition::new("topics");
/// (topic, partition) -> (first offset held, next offset).
pub(super) const BOUNDS: TableDefinition<(u32, u32), (u64, u64)> = TableDefinition::new("bounds");
/// (topic, partition, base offset) -> encoded batch.
pub(super) const BATCHES: TableDefinition<(u32, u32, u64), &[u8]> = TableDefinition::new("batches");
/// (topic, partition, key) -> offset of the key's last record; compacted topics only.
pub(super) const KEYS: TableDefinition<(u32, u32, &[u8]), u64> = TableDefinition::new("keys");
/// (group, topic, partition) -> (offset, metadata).
pub(super) const POSITIONS: TableDefinition<(&str, u32, u32), (u64, &str)> =
    TableDefinition::new("positions");

/// "commits" -> number of commits of the writer, so that after an I/O error the file itself says
/// whether the last one reached it.
pub(super) const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const COMMITS: &str = "commits";

/// A topic with the number that stands for it in keys.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) number: u32,
    pub(super) info: TopicInfo,
}

pub(super) fn storage(error: impl std::fmt::Display) -> LogError {
    LogError::Storage(error.to_string())
}

/// Creates the tables, so that readers need not wonder whether they exist.
pub(super) fn create(database: &Database) -> Result<(), LogError> {
    let transaction = database.begin_write().map_err(storage)?;
    transaction.open_table(TOPICS).map_err(storage)?;
    transaction.open_table(BOUNDS).map_err(storage)?;
    transaction.open_table(BATCHES).map_err(storage)?;
    transaction.open_table(KEYS).map_err(storage)?;
    transaction.open_table(POSITIONS).map_err(storage)?;
    transaction.open_table(COUNTERS).map_err(storage)?;
    transaction.commit().map_err(storage)
}

pub(super) fn read(database: &Database) -> Result<ReadTransaction, LogError> {
    database.begin_read().map_err(storage)
}

/// Counts the transaction and returns its number.
pub(super) fn count(transaction: &WriteTransaction) -> Result<u64, LogError> {
    let mut table = transaction.open_table(COUNTERS).map_err(storage)?;
    let number = table.get(COMMITS).map_err(storage)?.map_or(0, |value| value.value()) + 1;
    table.insert(COMMITS, number).map_err(storage)?;
    Ok(number)
}

/// Number of the last counted transaction that is in the file.
pub(super) fn counted(database: &Database) -> Result<u64, LogError> {
    let table = read(database)?.open_table(COUNTERS).map_err(storage)?;
    Ok(table.get(COMMITS).map_err(storage)?.map_or(0, |value| value.value()))
}

pub(super) fn topics(database: &Database) -> Result<Vec<Topic>, LogError> {
    let table = read(database)?.open_table(TOPICS).map_err(storage)?;
    let mut topics = Vec::new();
    for entry in table.iter().map_err(storage)? {
        let (name, value) = entry.map_err(storage)?;
        let (number, partitions, compacted, retention, log_id) = value.value();
        topics.push(Topic {
            number,
            info: TopicInfo {
                name: name.value().to_owned(),
                partitions,
                log_id: log_id.to_owned(),
                compacted,
                retention_ms: (retention >= 0).then_some(retention),
            },
        });
    }
    Ok(topics)
}

pub(super) fn bounds(database: &Database, topic: u32, partition: u32) -> Result<Bounds, LogError> {
    let table = read(database)?.open_table(BOUNDS).map_err(storage)?;
    let (start, end) =
        table.get((topic, partition)).map_err(storage)?.map_or((0, 0), |value| value.value());
    Ok(Bounds { start, end })
}

pub(super) fn position(
    database: &Database,
    group: &str,
    topic: u32,
    partition: u32,
) -> Result<Option<Committed>, LogError> {
    let table = read(database)?.open_table(POSITIONS).map_err(storage)?;
    Ok(table.get((group, topic, partition)).map_err(storage)?.map(|value| {
        let (offset, metadata) = value.value();
        Committed { offset, metadata: metadata.to_owned() }
    }))
}
