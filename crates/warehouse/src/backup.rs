//! Rows of the tables as files, in ClickHouse's own `Native` form: a day of a table in each, so that
//! no statement takes long. They can be read by any ClickHouse, also without Zhili.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clickhouse::query::Query;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zhili_eventlog::TopicPartition;

use crate::erase::Before;
use crate::rows::columns;
use crate::scores::{COLUMNS, OUTSIDE_SCORES};
use crate::{Table, Warehouse, WarehouseError};

/// Bytes of a file that are sent at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Why rows were not written or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// ClickHouse cannot be asked.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// A file cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> BackupError + '_ {
    |cause| BackupError::File { path: path.to_owned(), cause }
}

/// A table that is backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What the sink writes from the log.
    Log(Table),
    /// Scores of exams and reviews, which are in no log.
    OutsideScores,
}

impl Source {
    /// Name of the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log(table) => table.name(),
            Self::OutsideScores => OUTSIDE_SCORES,
        }
    }

    /// The table of a name; `None` if this version has none.
    pub fn named(name: &str) -> Option<Self> {
        let tables = Table::ALL.into_iter().map(Self::Log);
        tables.chain([Self::OutsideScores]).find(|source| source.name() == name)
    }

    fn columns(self) -> String {
        let names: Vec<&str> = match self {
            Self::Log(table) => columns(table).iter().map(|(name, _)| *name).collect(),
            Self::OutsideScores => COLUMNS.to_vec(),
        };
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of which table.
    pub source: Source,
    /// Its name, `table.YYYY-MM-DD.native`.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
}

/// Writes the rows of every table into files in `folder`: those of records before `cuts`, which are
/// the positions of the sink in the log that the backup goes with. Rows of partitions without a cut
/// are all written.
///
/// # Errors
/// [`BackupError`]; what was written so far stays.
pub async fn export(
    warehouse: &Warehouse,
    cuts: &[(TopicPartition, u64)],
    folder: &Path,
) -> Result<Vec<Part>, BackupError> {
    let Before { condition: before, places, offsets } = Before::new(cuts);
    let mut parts = Vec::new();
    for table in Table::ALL {
        let source = Source::Log(table);
        let doing = format!("read {table} for a backup");
        let days = warehouse
            .written(&format!(
                "SELECT toString(toDate(log_append_at)) AS day, count() AS rows FROM {table} \
                 WHERE {before} GROUP BY day ORDER BY day"
            ))
            .param("places", &places)
            .param("offsets", &offsets);
        let days: Vec<(String, u64)> = warehouse.run(&doing, days.fetch_all()).await?;
        for (day, rows) in days {
            let query = warehouse
                .written(&format!(
                    "SELECT {} FROM {table} WHERE toDate(log_append_at) = toDate({{day:String}}) AND {before}",
                    source.columns()
                ))
                .param("day", &day)
                .param("places", &places)
                .param("offsets", &offsets);
            let file = format!("{table}.{day}.native");
            write(query, &doing, &folder.join(&file)).await?;
            parts.push(Part { source, file, rows });
        }
    }
    parts.extend(outside_scores(warehouse, folder).await?);
    Ok(parts)
}

/// The scores in force, by when they were brought in; they follow from no place in the log.
async fn outside_scores(warehouse: &Warehouse, folder: &Path) -> Result<Vec<Part>, BackupError> {
    let source = Source::OutsideScores;
    let doing = format!("read {OUTSIDE_SCORES} for a backup");
    let days = warehouse.written(&format!(
        "SELECT toString(toDate(brought_at)) AS day, count() AS rows FROM {OUTSIDE_SCORES} FINAL \
         GROUP BY day ORDER BY day"
    ));
    let days: Vec<(String, u64)> = warehouse.run(&doing, days.fetch_all()).await?;
    let mut parts = Vec::new();
    for (day, rows) in days {
        let query = warehouse
            .written(&format!(
                "SELECT {} FROM {OUTSIDE_SCORES} FINAL WHERE toDate(brought_at) = toDate({{day:String}})",
                source.columns()
            ))
            .param("day", &day);
        let file = format!("{OUTSIDE_SCORES}.{day}.native");
        write(query, &doing, &folder.join(&file)).await?;
        parts.push(Part { source, file, rows });
    }
    Ok(parts)
}

async fn write(query: Query, doing: &str, path: &Path) -> Result<(), BackupError> {
    let failed = |error| WarehouseError::from_client(doing, &error);
    let mut cursor = query.fetch_bytes("Native").map_err(failed)?;
    let mut out = File::create(path).await.map_err(file_error(path))?;
    while let Some(bytes) = cursor.next().await.map_err(failed)? {
        out.write_all(&bytes).await.map_err(file_error(path))?;
    }
    out.sync_all().await.map_err(file_error(path))
}

/// Writes the rows of a file that [`export`] made into its table.
///
/// # Errors
/// [`BackupError`]. The rows of a file are written all or not at all.
pub async fn import(warehouse: &Warehouse, into: Source, path: &Path) -> Result<(), BackupError> {
    let (table, names) = (into.name(), into.columns());
    let doing = format!("write a backup into {table}");
    let mut insert = warehouse
        .client()
        .insert_formatted_with(format!("INSERT INTO {table} ({names}) FORMAT Native"))
        .with_setting("insert_deduplicate", "0")
        .with_setting("optimize_on_insert", "0")
        .with_setting("async_insert", "0");
    let mut file = File::open(path).await.map_err(file_error(path))?;
    let failed = |error| WarehouseError::from_client(&doing, &error);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await;
        if read.map_err(file_error(path))? == 0 {
            break;
        }
        insert.send(Bytes::from(chunk)).await.map_err(failed)?;
    }
    insert.end().await.map_err(failed)?;
    Ok(())
}
