//! Compares what the log holds with what the tables hold, and writes what they lack.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use zhili_eventlog::{EventLog, LogError, ReadLimit, Record, TopicPartition};

use crate::column::Instant;
use crate::erase::STANDS_FOR;
use crate::rows::{columns, rows_of};
use crate::sink::{Batch, OffsetRange};
use crate::{Identity, Origin, RowKey, Table, Tables, Warehouse, WarehouseError};

/// A row that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// In which table.
    pub table: Table,
    /// Which row.
    pub key: RowKey,
}

/// What an audit of a range found. [`Audit::is_clean`] says whether all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Records read.
    pub records: usize,
    /// Rows that the records give.
    pub rows: usize,
    /// Rows that gave way to another row of their identity, as corrections make them.
    pub replaced: usize,
    /// Rows that are missing; after a repair, those that still are.
    pub holes: Vec<Finding>,
    /// Rows that were missing and that a repair wrote.
    pub repaired: usize,
    /// Rows that are there more than once; the views show them once.
    pub duplicates: Vec<Finding>,
    /// Rows that no record gives.
    pub strays: Vec<Finding>,
    /// Records that can never be stored; each must have a dead letter.
    pub poison: usize,
}

impl Audit {
    /// Whether every row is there and none that should not be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.holes.is_empty() && self.duplicates.is_empty() && self.strays.is_empty()
    }
}

/// Why an audit could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log cannot be read, above all because the range is not all there any more.
    #[error(transparent)]
    Log(#[from] LogError),
    /// ClickHouse cannot be asked.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

/// What a row is about, and its rank among those about the same.
pub(crate) struct Expected {
    pub(crate) identity: Identity,
    pub(crate) version: i64,
}

/// The rows that records of a partition give, and how many records can never be stored.
pub(crate) fn expected<'a>(
    log_id: &str,
    partition: &TopicPartition,
    records: impl IntoIterator<Item = &'a Record>,
) -> (BTreeMap<(Table, RowKey), Expected>, usize) {
    let mut expected = BTreeMap::new();
    let mut poison = 0;
    for record in records {
        let origin = Origin {
            log_id: log_id.into(),
            topic: (&*partition.topic).into(),
            partition: partition.partition,
            offset: record.offset,
            append_at: Instant(record.append_ms),
        };
        let Ok(rows) = rows_of(&partition.topic, &origin, record) else {
            poison += 1;
            continue;
        };
        let mut indexes: HashMap<Table, u16> = HashMap::new();
        for row in rows {
            let index = indexes.entry(row.table()).or_insert(0);
            let key = RowKey { offset: record.offset, index: *index };
            *index += 1;
            let expects = Expected { identity: row.identity(), version: row.version() };
            expected.insert((row.table(), key), expects);
        }
    }
    (expected, poison)
}

/// Of rows that a table lacks, those that no row of their identity has replaced.
pub(crate) async fn unexplained(
    tables: &dyn Tables,
    table: Table,
    missing: &BTreeMap<RowKey, &Expected>,
) -> Result<Vec<RowKey>, WarehouseError> {
    let wanted: Vec<Identity> =
        missing.values().map(|expected| expected.identity.clone()).collect();
    let staying = tables.staying(table, &wanted).await?;
    Ok(missing
        .iter()
        .filter(|(_, expected)| {
            staying.get(&expected.identity).is_none_or(|version| *version < expected.version)
        })
        .map(|(key, _)| *key)
        .collect())
}

/// Compares the records from `from` to before `to` of a partition with the rows that name them.
/// The range should be done, that is, lie before the sink's position.
///
/// # Errors
/// The log does not hold the range any more, or either side cannot be reached.
pub async fn audit(
    log: &dyn EventLog,
    warehouse: &Warehouse,
    partition: &TopicPartition,
    from: u64,
    to: u64,
) -> Result<Audit, AuditError> {
    look(log, warehouse, partition, from, to, false).await
}

/// [`audit()`], and writes the rows that are missing, under tokens that no sink uses. The range
/// must be done, or announced by a sink that is halted: a sink that is still at it would write
/// the same rows.
///
/// # Errors
/// As of [`audit()`].
pub async fn repair(
    log: &dyn EventLog,
    warehouse: &Warehouse,
    partition: &TopicPartition,
    from: u64,
    to: u64,
) -> Result<Audit, AuditError> {
    look(log, warehouse, partition, from, to, true).await
}

async fn look(
    log: &dyn EventLog,
    warehouse: &Warehouse,
    partition: &TopicPartition,
    from: u64,
    to: u64,
    mend: bool,
) -> Result<Audit, AuditError> {
    let log_id = log.topic(&partition.topic).await?.log_id;
    let mut total = Audit::default();
    let mut at = from;
    while at < to {
        let batch = log.read(partition, at, ReadLimit::default()).await?;
        let end = batch.next.min(to);
        if end <= at {
            break;
        }
        let records: Vec<Record> =
            batch.records.into_iter().filter(|record| record.offset < to).collect();
        let (expected, poison) = expected(&log_id, partition, &records);
        total.records += records.len();
        total.poison += poison;
        let range = OffsetRange { first: at, last: end - 1 };
        let mut found = compare(warehouse, &log_id, partition, range, &expected).await?;
        if mend && !found.holes.is_empty() {
            write(warehouse, &log_id, partition, &records, &found.holes).await?;
            let before = found.holes.len();
            found = compare(warehouse, &log_id, partition, range, &expected).await?;
            found.repaired = before.saturating_sub(found.holes.len());
        }
        total.rows += found.rows;
        total.replaced += found.replaced;
        total.repaired += found.repaired;
        total.holes.extend(found.holes);
        total.duplicates.extend(found.duplicates);
        total.strays.extend(found.strays);
        at = end;
    }
    Ok(total)
}

/// Writes the rows of `holes`, which `records` give.
async fn write(
    warehouse: &Warehouse,
    log_id: &str,
    partition: &TopicPartition,
    records: &[Record],
    holes: &[Finding],
) -> Result<(), WarehouseError> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Ok(());
    };
    let mut batch = Batch::new(first.offset);
    for record in records {
        batch.push(log_id, partition, record, "");
    }
    // A token that a table knows without the rows is what a hole comes from.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    for block in batch.blocks() {
        let there: HashSet<RowKey> = block
            .keys()
            .filter(|key| !holes.contains(&Finding { table: block.table(), key: *key }))
            .collect();
        let rest = block.without(&there);
        if rest.rows() > 0 {
            let token =
                format!("repair:{log_id}:{partition}:{}-{}:{now}", first.offset, last.offset);
            warehouse.insert(&token, &rest).await?;
        }
    }
    Ok(())
}

#[derive(clickhouse::Row, Deserialize)]
struct Present {
    log_offset: u64,
    log_index: u16,
    copies: u64,
    /// Of a person who was erased: the record may be gone.
    erased: bool,
}

async fn compare(
    warehouse: &Warehouse,
    log_id: &str,
    partition: &TopicPartition,
    range: OffsetRange,
    expected: &BTreeMap<(Table, RowKey), Expected>,
) -> Result<Audit, AuditError> {
    let mut found = Audit { rows: expected.len(), ..Audit::default() };
    let fed = Table::ALL.into_iter().filter(|table| table.topic() == &*partition.topic);
    for table in fed {
        let erased = if columns(table).iter().any(|(name, _)| *name == "conversation_id") {
            format!("max(startsWith(conversation_id, '{STANDS_FOR}'))")
        } else {
            "0".to_owned()
        };
        let query = warehouse
            .written(&format!(
                "SELECT log_offset, log_index, count() AS copies, toBool({erased}) AS erased FROM {table} \
                 WHERE log_id = {{log_id:String}} AND log_topic = {{topic:String}} \
                 AND log_partition = {{partition:UInt32}} \
                 AND log_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}} \
                 GROUP BY log_offset, log_index"
            ))
            .param("log_id", log_id)
            .param("topic", &*partition.topic)
            .param("partition", partition.partition)
            .param("first", range.first)
            .param("last", range.last);
        let present: Vec<Present> =
            warehouse.run(&format!("audit table {table}"), query.fetch_all()).await?;
        let mut missing: BTreeMap<RowKey, &Expected> = expected
            .iter()
            .filter(|((of, _), _)| *of == table)
            .map(|((_, key), expected)| (*key, expected))
            .collect();
        for row in present {
            let key = RowKey { offset: row.log_offset, index: row.log_index };
            let finding = Finding { table, key };
            if missing.remove(&key).is_none() {
                if row.erased {
                    continue;
                }
                found.strays.push(finding);
            } else if row.copies > 1 {
                found.duplicates.push(finding);
            }
        }
        let holes = unexplained(warehouse, table, &missing).await?;
        found.replaced += missing.len() - holes.len();
        found.holes.extend(holes.into_iter().map(|key| Finding { table, key }));
    }
    Ok(found)
}
