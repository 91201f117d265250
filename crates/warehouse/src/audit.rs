//! Compares what the log holds with what the tables hold.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use zhili_eventlog::{EventLog, LogError, ReadLimit, TopicPartition};

use crate::column::Instant;
use crate::rows::rows_of;
use crate::sink::OffsetRange;
use crate::{Origin, RowKey, Table, Warehouse, WarehouseError};

/// A row that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// In which table.
    pub table: Table,
    /// Which row.
    pub key: RowKey,
}

/// What an audit of a range found. Nothing but `rows` and `replaced` is nothing wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Records read.
    pub records: usize,
    /// Rows that the records give.
    pub rows: usize,
    /// Rows that gave way to another row of their identity, as corrections make them.
    pub replaced: usize,
    /// Rows that are missing.
    pub holes: Vec<Finding>,
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

/// Keeps a statement with its parameters below ClickHouse's 256 KiB of query text.
const IDENTITIES_AT_ONCE: usize = 1_000;

/// What a row is about, and its rank among those about the same.
struct Expected {
    tenant: String,
    identity: String,
    version: i64,
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
    let log_id = log.topic(&partition.topic).await?.log_id;
    let mut total = Audit::default();
    let mut at = from;
    while at < to {
        let limit = ReadLimit::default();
        let batch = log.read(partition, at, limit).await?;
        let end = batch.next.min(to);
        if end <= at {
            break;
        }
        let mut expected: BTreeMap<(Table, RowKey), Expected> = BTreeMap::new();
        for record in batch.records.iter().filter(|record| record.offset < to) {
            total.records += 1;
            let origin = Origin {
                log_id: log_id.as_str().into(),
                topic: (&*partition.topic).into(),
                partition: partition.partition,
                offset: record.offset,
                append_at: Instant(record.append_ms),
            };
            let Ok(rows) = rows_of(&partition.topic, &origin, record) else {
                total.poison += 1;
                continue;
            };
            let mut indexes: HashMap<Table, u16> = HashMap::new();
            for row in rows {
                let index = indexes.entry(row.table()).or_insert(0);
                let key = RowKey { offset: record.offset, index: *index };
                *index += 1;
                let expects = Expected {
                    tenant: row.tenant().to_owned(),
                    identity: row.identity().to_owned(),
                    version: row.version(),
                };
                expected.insert((row.table(), key), expects);
            }
        }
        let range = OffsetRange { first: at, last: end - 1 };
        compare(warehouse, &log_id, partition, range, &expected, &mut total).await?;
        at = end;
    }
    Ok(total)
}

#[derive(clickhouse::Row, Deserialize)]
struct Present {
    log_offset: u64,
    log_index: u16,
    copies: u64,
}

async fn compare(
    warehouse: &Warehouse,
    log_id: &str,
    partition: &TopicPartition,
    range: OffsetRange,
    expected: &BTreeMap<(Table, RowKey), Expected>,
    total: &mut Audit,
) -> Result<(), AuditError> {
    total.rows += expected.len();
    let fed = Table::ALL.into_iter().filter(|table| table.topic() == &*partition.topic);
    for table in fed {
        let query = warehouse
            .client()
            .query(&format!(
                "SELECT log_offset, log_index, count() AS copies FROM {table} \
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
                total.strays.push(finding);
            } else if row.copies > 1 {
                total.duplicates.push(finding);
            }
        }
        let staying = staying(warehouse, table, &missing).await?;
        for (key, expected) in missing {
            let identity = (expected.tenant.clone(), expected.identity.clone());
            match staying.get(&identity) {
                Some(version) if *version >= expected.version => total.replaced += 1,
                _ => total.holes.push(Finding { table, key }),
            }
        }
    }
    Ok(())
}

/// For each identity that has a row, the version of the one that stays.
async fn staying(
    warehouse: &Warehouse,
    table: Table,
    missing: &BTreeMap<RowKey, &Expected>,
) -> Result<HashMap<(String, String), i64>, WarehouseError> {
    let Some(column) = table.identity() else {
        return Ok(HashMap::new());
    };
    let version = table.version();
    let wanted: Vec<&str> = missing.values().map(|expected| expected.identity.as_str()).collect();
    let mut found = HashMap::new();
    for wanted in wanted.chunks(IDENTITIES_AT_ONCE) {
        let query = warehouse
            .client()
            .query(&format!(
                "SELECT toString(tenant), {column}, toInt64(max({version})) FROM {table} \
                 WHERE {column} IN {{wanted:Array(String)}} GROUP BY tenant, {column}"
            ))
            .param("wanted", wanted);
        let doing = format!("audit the identities of table {table}");
        let rows: Vec<(String, String, i64)> = warehouse.run(&doing, query.fetch_all()).await?;
        found.extend(
            rows.into_iter().map(|(tenant, identity, version)| ((tenant, identity), version)),
        );
    }
    Ok(found)
}
