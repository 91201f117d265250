//! `zhili restore`: a new data folder of a backup.
//!
//! Who was erased after the backup was made is in it. So a restore wants the receipts of erasures:
//! their marks recognise the erased among what was restored, and log and tables are rid of them
//! before anything is served. What folds have saved of them goes when the system starts, and a new
//! receipt is made then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use zhili_erasure::names::Names;
use zhili_erasure::receipt::Signed;
use zhili_erasure::register::note_job;
use zhili_erasure::restored::{job_again, names_marked};
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, TopicPartition, system_clock};
use zhili_runtime::{Failure, unusable};
use zhili_warehouse::backup::Source;
use zhili_warehouse::erase::{Person, erase};
use zhili_warehouse::{Address, Layout, Warehouse, backup, migrate};

use crate::backup::{LOG, MANIFEST, Manifest, TABLES, VERSION, io, sha256_of};
use crate::client::print;
use crate::files::{Folder, loopback, read_keys};
use crate::store::Supervised;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder of the backup.
    backup: PathBuf,
    /// Data folder to make; must hold no log yet.
    #[arg(long, default_value = ".zhili", env = "ZHILI_DATA")]
    data: PathBuf,
    /// Folder of the receipts of erasures, as `zhili erase receipt` prints them, in files *.json.
    #[arg(long, value_name = "FOLDER", required_unless_present = "no_receipts")]
    receipts: Option<PathBuf>,
    /// Nobody was erased since the backup was made.
    #[arg(long, conflicts_with = "receipts")]
    no_receipts: bool,
    /// Public key that the receipts are signed with (`zhili erase public-key`).
    #[arg(long, value_name = "BASE64", requires = "receipts")]
    public_key: Option<String>,
    /// File of the keys of pseudonyms, which are in no backup; else that in the data folder.
    #[arg(long, value_name = "FILE")]
    pseudonym_key: Option<PathBuf>,
    /// Port for the store while the tables are written.
    #[arg(long, default_value_t = 7404)]
    port: u16,
    /// libchdb.so; else the one in the cache.
    #[arg(long, env = "ZHILI_LIBCHDB")]
    libchdb: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let manifest = manifest(&arguments.backup)?;
    // Everything is checked before anything is made.
    for file in &manifest.tables {
        let path = arguments.backup.join(TABLES).join(&file.file);
        if sha256_of(&path)? != file.sha256 {
            let path = path.display();
            return Err(Failure::Problems(format!("{path} is damaged: take another backup")));
        }
    }
    let receipts = match &arguments.receipts {
        Some(folder) => read_receipts(folder, arguments.public_key.as_deref())?,
        None => Vec::new(),
    };
    let since: Vec<Signed> = receipts
        .into_iter()
        .filter(|signed| !manifest.erased.contains(&signed.receipt.erasure_id))
        .collect();
    let folder = Folder::new(&arguments.data);
    folder.create()?;
    let log_file = folder.log().join("log.redb");
    if log_file.exists() {
        let message =
            format!("{} holds a log already: give another --data", folder.path().display());
        return Err(Failure::Usage(message));
    }
    take_key(&folder, arguments.pseudonym_key.as_deref())?;
    let token = folder.ensure_token()?;

    let shutdown = CancellationToken::new();
    let listen = loopback(arguments.port);
    let store =
        Supervised::start(&folder, listen, arguments.libchdb.clone(), shutdown.clone()).await?;
    let restored = async {
        let address = Address {
            url: format!("http://{listen}"),
            user: "default".to_owned(),
            password: token.expose().to_owned(),
            database: "zhili".to_owned(),
        };
        let warehouse = Warehouse::new(&address, false)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let failed = |error: zhili_warehouse::WarehouseError| Failure::Problems(error.to_string());
        migrate(&warehouse, &Layout::default()).await.map_err(failed)?;
        for file in &manifest.tables {
            let into = Source::named(&file.table).ok_or_else(|| {
                Failure::Problems(format!("a newer version wrote this backup: table {}", file.table))
            })?;
            backup::import(&warehouse, into, &arguments.backup.join(TABLES).join(&file.file))
                .await
                .map_err(|error| Failure::Problems(error.to_string()))?;
        }
        // Last: with its log the folder is a system, and a restore that was cut off is none.
        std::fs::create_dir_all(folder.log()).map_err(|error| io(&folder.log(), &error))?;
        let unfinished = folder.log().join("log.redb.new");
        let copied = arguments.backup.join(LOG).join("log.redb");
        std::fs::copy(&copied, &unfinished).map_err(|error| io(&copied, &error))?;
        std::fs::rename(&unfinished, &log_file).map_err(|error| io(&log_file, &error))?;
        let log =
            EmbeddedLog::open(&folder.log(), system_clock()).map_err(|error| unusable(&error))?;
        let mut again = 0;
        for signed in &since {
            again += usize::from(erase_again(&log, &warehouse, signed).await?);
        }
        let rows: u64 = manifest.tables.iter().map(|file| file.rows).sum();
        print(&format!(
            "restored into {}: the log of {} and {rows} rows; {again} erasures made again, of {} receipts \
             since\n",
            folder.path().display(),
            manifest.made_at,
            since.len()
        ))
    }
    .await;
    shutdown.cancel();
    store.ended().await;
    restored
}

/// Rids log and tables of whom a receipt marks; false if there is nobody.
async fn erase_again(
    log: &EmbeddedLog,
    warehouse: &Warehouse,
    signed: &Signed,
) -> Result<bool, Failure> {
    let problem = |error: zhili_erasure::ErasureError| Failure::Problems(error.to_string());
    let known = names_marked(log, warehouse, &signed.receipt).await.map_err(problem)?;
    if known.is_empty() {
        return Ok(false);
    }
    let job = job_again(&signed.receipt, &known).map_err(problem)?;
    note_job(log, &job).await.map_err(|error| unusable(&error))?;
    let names: BTreeSet<String> = known;
    let person = Person {
        tenant: signed.receipt.tenant.clone(),
        conversations: job.stand_ins.into_iter().collect::<BTreeMap<_, _>>(),
        names: names.clone(),
        salt: job.salt,
        cuts: Vec::new(),
    };
    erase(warehouse, &Layout::default(), &person)
        .await
        .map_err(|error| Failure::Problems(error.to_string()))?;
    let spoken_for = [zhili_eventlog::topics::SNAPSHOTS, zhili_eventlog::topics::ERASURES];
    let names = Names::new(&names);
    let condemned = move |place: &TopicPartition, record: &zhili_eventlog::Record| {
        !spoken_for.contains(&&*place.topic) && names.are_in_record(record)
    };
    log.purge(Arc::new(condemned)).await.map_err(|error| unusable(&error))?;
    Ok(true)
}

fn manifest(backup: &Path) -> Result<Manifest, Failure> {
    let path = backup.join(MANIFEST);
    let text = std::fs::read(&path).map_err(|error| {
        Failure::Usage(format!("{} is no finished backup: {error}", backup.display()))
    })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    if manifest.version != VERSION {
        let version = manifest.version;
        return Err(Failure::Usage(format!("a newer Zhili wrote this backup, in form {version}")));
    }
    Ok(manifest)
}

fn read_receipts(folder: &Path, public_key: Option<&str>) -> Result<Vec<Signed>, Failure> {
    let mut receipts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| io(folder, &error))? {
        let path = entry.map_err(|error| io(folder, &error))?.path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| io(&path, &error))?;
        let signed = Signed::verify(&text, public_key)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        receipts.push(signed);
    }
    Ok(receipts)
}

/// Puts the keys of pseudonyms in place. Without them the next contact of everybody is a first one, so
/// none is made up.
fn take_key(folder: &Folder, from: Option<&Path>) -> Result<(), Failure> {
    let place = folder.pseudonym_key();
    if let Some(from) = from {
        read_keys(from)?;
        let bytes = std::fs::read(from).map_err(|error| io(from, &error))?;
        return zhili_runtime::auth::write_private(&place, &bytes);
    }
    if place.exists() {
        return Ok(());
    }
    Err(Failure::Usage(
        "give --pseudonym-key: it is in no backup, and without it nobody is recognised again"
            .to_owned(),
    ))
}
