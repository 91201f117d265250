//! The store's data folder: who owns it, and the engine's configuration inside it.
//!
//! ```text
//! DATA/lock          flock of the owner; the kernel frees it when the process dies
//! DATA/engine/       the engine's own files
//! DATA/backups/      the only folder that BACKUP and RESTORE may name
//! DATA/config.xml    written anew at every start
//! DATA/users.xml     written anew at every start
//! ```

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::StoreError;
use crate::dedup_log::{self, Repaired};
use crate::limits::Limits;

/// How often a busy lock is looked at again.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// A data folder that this process owns; another process can have it once this is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    root: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if need be and takes its lock, waiting up to `patience` for an owner
    /// that is about to end.
    ///
    /// # Errors
    ///
    /// [`StoreError::DataInUse`] when another process keeps the lock, else I/O.
    pub(crate) fn open(root: &Path, patience: Duration) -> Result<Self, StoreError> {
        let failed =
            |source| StoreError::Io { what: "open the data folder", path: root.into(), source };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(root).map_err(failed)?;
        // The engine compares path strings, and its threads may run after a change of directory.
        let root = root.canonicalize().map_err(failed)?;
        builder.create(root.join("engine")).map_err(failed)?;
        builder.create(root.join("backups")).map_err(failed)?;

        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let give_up = Instant::now() + patience;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { root, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                    thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => return Err(StoreError::DataInUse { path: root }),
                Err(TryLockError::Error(source)) => {
                    return Err(StoreError::Io { what: "lock", path, source });
                }
            }
        }
    }

    /// Where the engine keeps its files.
    pub(crate) fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }

    /// The `--path=` argument of every connection.
    pub(crate) fn path_argument(&self) -> String {
        format!("--path={}", self.engine().display())
    }

    /// Makes the engine's files those of a stopped engine whose every token has its rows.
    ///
    /// # Errors
    ///
    /// I/O.
    pub(crate) fn repair(&self) -> Result<Repaired, StoreError> {
        let engine = self.engine();
        dedup_log::repair(&engine, &self.root.join("repaired.txt")).map_err(|source| {
            StoreError::Io { what: "repair the deduplication logs below", path: engine, source }
        })
    }

    /// Writes the engine's configuration and returns the argument that names it.
    ///
    /// # Errors
    ///
    /// I/O.
    pub(crate) fn configure(&self, limits: &Limits) -> Result<String, StoreError> {
        let users = self.root.join("users.xml");
        let config = self.root.join("config.xml");
        let write = |path: &Path, text: String| {
            fs::write(path, text).map_err(|source: io::Error| StoreError::Io {
                what: "write the engine's configuration",
                path: path.into(),
                source,
            })
        };
        write(&users, users_xml(limits))?;
        write(&config, config_xml(limits, &users, &self.root.join("backups")))?;
        Ok(format!("--config-file={}", config.display()))
    }
}

fn config_xml(limits: &Limits, users: &Path, backups: &Path) -> String {
    // An acknowledged INSERT must survive a power cut: the part's files and the folder entry
    // that makes it visible are synced before the engine answers.
    format!(
        "<clickhouse>\n\
         <users_config>{users}</users_config>\n\
         <max_server_memory_usage>{memory}</max_server_memory_usage>\n\
         <background_pool_size>{background}</background_pool_size>\n\
         <mark_cache_size>{cache}</mark_cache_size>\n\
         <uncompressed_cache_size>0</uncompressed_cache_size>\n\
         <backups><allowed_path>{backups}</allowed_path></backups>\n\
         <merge_tree>\n\
         <fsync_after_insert>1</fsync_after_insert>\n\
         <fsync_part_directory>1</fsync_part_directory>\n\
         </merge_tree>\n\
         </clickhouse>\n",
        users = escape(users),
        backups = escape(backups),
        memory = limits.memory_bytes,
        background = limits.background_threads,
        cache = limits.memory_bytes / 16,
    )
}

/// Settings that no request may change: each names a file or an address that the engine would
/// read or write (an engine that runs as a library does not confine them to a folder), or has
/// text read as something other than ClickHouse's SQL.
const FIXED_SETTINGS: [&str; 9] = [
    "allow_experimental_eval_table_function",
    "allow_introspection_functions",
    "dialect",
    "format_avro_schema_registry_url",
    "format_schema",
    "format_template_resultset",
    "format_template_row",
    "input_format_record_errors_file_path",
    "output_format_schema",
];

/// What the store's user may do. There is no CREATE DICTIONARY: its sources run programs and
/// open connections without asking for a further grant. There is no READ or WRITE on any
/// source: table functions and engines that reach outside the data folder are refused.
const GRANTS: [&str; 2] = [
    "GRANT SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, \
     CREATE TEMPORARY TABLE, CREATE FUNCTION, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, \
     BACKUP, KILL QUERY, dictGet ON *.*",
    "GRANT SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM VIEWS, SYSTEM FLUSH LOGS, \
     SYSTEM DROP MARK CACHE ON *.*",
];

fn users_xml(limits: &Limits) -> String {
    let mut settings = String::new();
    for (name, value) in [
        // One INSERT is one block, so that it is all or nothing and takes one deduplication
        // token. The body's size is bounded before the engine sees it.
        ("async_insert", 0),
        ("max_insert_block_size", limits.insert_block_rows),
        ("min_insert_block_size_rows", limits.insert_block_rows),
        ("min_insert_block_size_bytes", 0),
        ("max_threads", limits.threads_per_query),
        ("max_execution_time", limits.execution_time.as_secs()),
        ("implicit_select", 0),
        ("allow_introspection_functions", 0),
    ] {
        let _ = write!(settings, "<{name}>{value}</{name}>");
    }
    let constraints = FIXED_SETTINGS.iter().fold(String::new(), |mut text, name| {
        let _ = write!(text, "<{name}><readonly/></{name}>");
        text
    });
    let grants = GRANTS.iter().fold(String::new(), |mut text, grant| {
        let _ = write!(text, "<query>{grant}</query>");
        text
    });
    format!(
        "<clickhouse>\n\
         <profiles><default>{settings}<session_timezone>UTC</session_timezone>\n\
         <constraints>{constraints}</constraints></default></profiles>\n\
         <quotas><default></default></quotas>\n\
         <users><default><password></password><networks><ip>::/0</ip></networks>\n\
         <profile>default</profile><quota>default</quota>\n\
         <grants>{grants}</grants></default></users>\n\
         </clickhouse>\n"
    )
}

fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
