//! `zhili backup`: log and tables of the running system, in a folder.
//!
//! The log is copied first, as it is at one moment; of the tables then go those rows that the sink
//! had written by that moment. What the sink had not, it writes again from the copied log.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zhili_erasure::register::Register;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, TopicPartition, system_clock};
use zhili_proto::log::v1::CopyLogRequest;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_runtime::auth::write_private;
use zhili_runtime::{Failure, unusable};
use zhili_warehouse::{Address, Warehouse, backup};

use crate::client::{System, print, said};

/// What a backup holds, in `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Form of the backup: 1.
    pub(crate) version: u32,
    /// When its log was copied.
    pub(crate) made_at: String,
    /// Version of Zhili that made it.
    pub(crate) software: String,
    /// Files of rows.
    pub(crate) tables: Vec<TableDay>,
    /// Erasures that were done when it was made; it holds nothing of their subjects.
    pub(crate) erased: Vec<String>,
}

/// A day of a table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TableDay {
    pub(crate) table: String,
    pub(crate) file: String,
    pub(crate) rows: u64,
    pub(crate) sha256: String,
}

pub(crate) const VERSION: u32 = 1;
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const TABLES: &str = "tables";
pub(crate) const LOG: &str = "log";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// Name of the backup, a folder below `backups` in the data folder; else the time.
    name: Option<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let system = arguments.system;
    let made_at = Timestamp::now();
    let name = arguments.name.unwrap_or_else(|| made_at.strftime("%Y%m%d-%H%M%S").to_string());
    let addresses = system.addresses()?;
    let mut client = LogServiceClient::new(system.connect(&addresses.ingest).await?);
    client.copy_log(CopyLogRequest { name: name.clone() }).await.map_err(|s| said(&s))?;
    let folder = system.folder().backups().join(name);
    let log = EmbeddedLog::open(&folder.join(LOG), system_clock()).map_err(|it| unusable(&it))?;
    let cuts = sink_positions(&log).await.map_err(|error| unusable(&error))?;
    let register = Register::read(&log).await.map_err(|error| unusable(&error))?;
    drop(log);

    let tables = folder.join(TABLES);
    std::fs::create_dir_all(&tables).map_err(|error| io(&tables, &error))?;
    let warehouse = Warehouse::new(
        &Address {
            url: addresses.store,
            user: "default".to_owned(),
            password: system.token()?.expose().to_owned(),
            database: "zhili".to_owned(),
        },
        false,
    )
    .map_err(|error| Failure::Usage(error.to_string()))?;
    let parts = backup::export(&warehouse, &cuts, &tables)
        .await
        .map_err(|error| Failure::Problems(format!("cannot write the tables: {error}")))?;
    let done = |job: &zhili_proto::privacy::v1::Job| {
        let erasure = job.erasure.as_ref()?;
        erasure.done_at.as_ref().map(|_| erasure.erasure_id.clone())
    };
    let manifest = Manifest {
        version: VERSION,
        made_at: made_at.to_string(),
        software: concat!("zhili ", env!("CARGO_PKG_VERSION")).to_owned(),
        tables: parts
            .into_iter()
            .map(|part| {
                Ok(TableDay {
                    sha256: sha256_of(&tables.join(&part.file))?,
                    table: part.source.name().to_owned(),
                    file: part.file,
                    rows: part.rows,
                })
            })
            .collect::<Result<_, Failure>>()?,
        erased: register.jobs.values().filter_map(done).collect(),
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Failure::Io(format!("cannot write the manifest: {error}")))?;
    // Last: a backup without it is none.
    write_private(&folder.join(MANIFEST), &text)?;
    let rows: u64 = manifest.tables.iter().map(|file| file.rows).sum();
    print(&format!(
        "{}: the log and {rows} rows\nnot in it: the keys of pseudonyms and receipts, and tokens; \
         keep them elsewhere\n",
        folder.display()
    ))
}

/// How far the sink had come in each partition of a log: rows before are in the tables.
pub(crate) async fn sink_positions(
    log: &dyn EventLog,
) -> Result<Vec<(TopicPartition, u64)>, zhili_eventlog::LogError> {
    let mut positions = Vec::new();
    for topic in zhili_metrics::TOPICS {
        for number in 0..log.topic(topic).await?.partitions {
            let place = TopicPartition::new(*topic, number);
            let committed = log.committed(zhili_metrics::GROUP, &place).await?;
            positions.push((place, committed.map_or(0, |committed| committed.offset)));
        }
    }
    Ok(positions)
}

pub(crate) fn sha256_of(path: &Path) -> Result<String, Failure> {
    let mut file = std::fs::File::open(path).map_err(|error| io(path, &error))?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut chunk).map_err(|error| io(path, &error))?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
    }
    Ok(hasher.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

pub(crate) fn io(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Io(format!("{}: {error}", path.display()))
}
