//! ClickHouse on one machine: a process that loads libchdb (ClickHouse 26.7 as a library) and
//! answers ClickHouse's HTTP interface, so that services use one client and one SQL for the
//! laptop and for the cluster.
//!
//! # What is answered
//!
//! - `GET /ping`, `GET /replicas_status`, `GET /` without a query: `Ok.`
//! - `POST /` and `GET /`: one statement, in the parameter `query`, in the body, in both (the
//!   body follows the parameter), or in a form field. A GET may only read.
//! - `INSERT` with its data behind `FORMAT x` or `VALUES` in the text or in the body, in every
//!   input format of the engine. All or nothing: the body is taken whole before the engine sees
//!   it, and is one block of the engine (up to [`Limits::insert_block_rows`]), so it takes one
//!   `insert_deduplication_token`.
//! - Bodies with `Content-Encoding` gzip, deflate or lz4, and ClickHouse's native frames
//!   (`decompress=1`, checksums verified). Answers in gzip or native frames when asked.
//! - Every output format. Results stream in `RowBinary`, `RowBinaryWithNamesAndTypes`,
//!   `Native`, `JSONEachRow`, `TabSeparated` and `CSV`; others are sent whole.
//! - Settings and `param_x` in the URL; they hold for the one request.
//! - Users `reader_TENANT` see the rows of one tenant, and only read.
//! - User and key by `X-ClickHouse-User`/`-Key`, Basic authorization or parameters.
//! - `X-ClickHouse-Summary`, `-Format`, `-Timezone`, `-Query-Id`, `-Exception-Code`; an error
//!   within a result stands between tags named by `-Exception-Tag`, then the connection breaks.
//!
//! # What is not
//!
//! - More than one statement per request, sessions (`session_id` is taken and ignored: no
//!   temporary tables, no `SET` that lasts), external data, progress headers, `compress=1` with
//!   another method than LZ4, zstd and brotli, the native TCP protocol, quotas.
//! - `ON CLUSTER`, Distributed and Replicated tables: there is one machine.
//! - Users beside the one: `CREATE USER`, roles, row policies.
//! - What reaches outside the data folder: table functions and engines over files, URLs, other
//!   servers and programs, dictionaries, `INTO OUTFILE`, `FROM INFILE`, `file()`, disks of a
//!   table's own (code 497). Backups go to `File('name')` within `DATA/backups`,
//!   a folder per backup (libchdb has no zip).
//!
//! Time zone of the session: UTC. Tables are made with `fsync_after_insert` and
//! `fsync_part_directory`: an INSERT is acknowledged when its part is synced to disk. What a kill
//! leaves of an INSERT is put right at the next start, see the README.

mod arguments;
mod chdb;
mod compression;
mod dedup_log;
mod exception;
mod execute;
mod folder;
mod format;
#[cfg(test)]
mod fuzzed;
mod http;
mod library;
mod limits;
mod parent;
mod part;
mod reader;
mod request;
mod sql;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

pub use crate::arguments::StoreArguments;
pub use crate::library::{LIBCHDB_VERSION, MissingLibrary, cached as cached_library};
pub use crate::limits::Limits;
pub use crate::reader::{reader_key, reader_name};

use crate::chdb::{Engine, LoadError};
use crate::folder::DataFolder;

/// How a store is run.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The store's data folder; made when absent. One process owns it at a time.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines reach.
    pub allow_remote: bool,
    /// The user who may do everything.
    pub user: String,
    /// The user's key.
    pub key: Key,
    /// libchdb; the cached one when absent.
    pub libchdb: Option<PathBuf>,
    /// Pid of the parent with which the store is to die.
    pub die_with_parent: Option<u32>,
    /// How long to wait for a data folder whose owner is about to end.
    pub lock_wait: Duration,
    /// Bounds of memory, threads, sizes and times.
    pub limits: Limits,
}

impl StoreConfig {
    /// A store at `data` on a free port of the loopback interface, for the user `default`.
    pub fn new(data: impl Into<PathBuf>, key: Key) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            allow_remote: false,
            user: "default".into(),
            key,
            libchdb: None,
            die_with_parent: None,
            lock_wait: Duration::from_secs(3),
            limits: Limits::of_this_machine(),
        }
    }
}

/// A key that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A key; surrounding white space, as a file's last line break, does not count.
    ///
    /// # Errors
    ///
    /// [`StoreError::EmptyKey`].
    pub fn new(text: &str) -> Result<Self, StoreError> {
        let text = text.trim();
        if text.is_empty() { Err(StoreError::EmptyKey) } else { Ok(Self(text.to_owned())) }
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why a store does not run.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The key is empty.
    #[error("the store's key is empty")]
    EmptyKey,
    /// The address is not on the loopback interface.
    #[error("{0} is not a loopback address: allow remote clients explicitly, behind TLS")]
    NotLoopback(SocketAddr),
    /// There is no libchdb for this machine.
    #[error(transparent)]
    MissingLibrary(#[from] MissingLibrary),
    /// libchdb cannot be loaded.
    #[error("cannot load {}: {reason}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What the linker or the engine said.
        reason: String,
    },
    /// Another store has the data folder.
    #[error("{} is in use by another store: stop it first", path.display())]
    DataInUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The process that the store is to die with is not its parent.
    #[error("cannot watch the parent process {pid}: {source}")]
    Parent {
        /// The pid that was given.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file of the store.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The running engine would swallow rows; see [`run`].
    #[error(
        "the engine has a deduplication token without its rows, or a part that its disk did not \
         take: start the store again"
    )]
    Unsound,
    /// The server failed.
    #[error("cannot serve: {0}")]
    Serve(#[source] io::Error),
}

impl StoreError {
    /// The exit code of the process: 64 usage, 69 unavailable, 74 I/O, 75 try again.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::EmptyKey | Self::NotLoopback(_) => 64,
            Self::MissingLibrary(_)
            | Self::Load { .. }
            | Self::Parent { .. }
            | Self::Listen { .. } => 69,
            Self::Io { .. } | Self::Serve(_) => 74,
            Self::DataInUse { .. } | Self::Unsound => 75,
        }
    }
}

/// Runs a store until SIGTERM or SIGINT; `ready` is called with the bound address once
/// statements are answered.
///
/// The store also ends by itself, with [`StoreError::Unsound`], when an INSERT failed after the
/// engine had noted its deduplication token: the running engine would take the rows, sent again,
/// for a duplicate; and when a statement met a part whose files are not what was written. Whoever
/// runs the store starts it again; the start puts that right.
///
/// Blocks the calling thread and owns the process's signals; the engine can be started once per
/// process.
///
/// # Errors
///
/// Everything that keeps the store from serving; see [`StoreError::exit_code`].
pub fn run(config: StoreConfig, ready: impl FnOnce(SocketAddr)) -> Result<(), StoreError> {
    if !config.listen.ip().is_loopback() && !config.allow_remote {
        return Err(StoreError::NotLoopback(config.listen));
    }
    if let Some(parent) = config.die_with_parent {
        parent::die_with(parent)?;
    }
    let library = library::find(config.libchdb.as_deref())?;
    // Before the engine starts: a busy port is told at once.
    let listener = listen(config.listen)?;
    let folder = DataFolder::open(&config.data, config.lock_wait)?;
    let repaired = folder.repair()?;
    if repaired != dedup_log::Repaired::default() {
        tracing::warn!(
            orphans = repaired.orphans,
            torn = repaired.torn,
            "forgot deduplication tokens that an interrupted INSERT left without its rows"
        );
    }
    let argument = folder.configure(&config.limits)?;
    let refused = |reason: String| StoreError::Load { path: library.clone(), reason };
    let engine = Engine::start(&library, &folder.path_argument(), &[argument])
        .map_err(|error: LoadError| refused(error.to_string()))?;
    let version = engine
        .connect()
        .and_then(|mut connection| connection.query("SELECT version()", "TSVRaw", &[]))
        .map_err(|error| refused(error.to_string()))?;
    let version = String::from_utf8_lossy(&version.0).trim().to_owned();
    // Of parts that the engine took out just now.
    let looked = dedup_log::lasting_orphan(&folder.engine());
    let failed = |source| StoreError::Io { what: "look at", path: folder.engine(), source };
    if looked.map_err(failed)? {
        return Err(StoreError::Unsound);
    }

    let drain_time = config.limits.drain_time;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(StoreError::Serve)?;
    let served = runtime.block_on(serve(config, listener, engine, folder.engine(), version, ready));
    runtime.shutdown_timeout(drain_time);
    // A statement that did not end in time may still write, so the folder stays ours until the
    // kernel takes the lock back with the process.
    std::mem::forget(folder);
    served
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, StoreError> {
    std::net::TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| StoreError::Listen { address, source })
}

async fn serve(
    config: StoreConfig,
    listener: std::net::TcpListener,
    engine: Engine,
    engine_folder: PathBuf,
    version: String,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), StoreError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StoreError::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StoreError::Serve)?;
    let listener = TcpListener::from_std(listener).map_err(StoreError::Serve)?;
    let bound = listener.local_addr().map_err(StoreError::Serve)?;
    let drain_time = config.limits.drain_time;
    tracing::info!(%bound, engine = version, data = %config.data.display(), "store serves");
    let facade = Arc::new(http::Facade::new(engine, engine_folder, version, config));
    let unsound = Arc::clone(&facade.unsound);

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let wait_for_stop = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        // An error says that the sender is gone, which is a stop too.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let server = axum::serve(
        listener.tap_io(|stream| {
            stream.set_nodelay(true).unwrap_or_default();
        }),
        http::router(facade),
    )
    .with_graceful_shutdown(wait_for_stop(stopped.clone()));
    ready(bound);

    let end = async move {
        let outcome = tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            () = unsound.noticed() => Err(StoreError::Unsound),
        };
        tracing::info!("store drains");
        stop.send_replace(true);
        outcome
    };
    let server = server.into_future();
    tokio::pin!(server);
    let outcome = tokio::select! {
        failed = &mut server => return failed.map_err(StoreError::Serve),
        outcome = end => outcome,
    };
    if tokio::time::timeout(drain_time, server).await.is_err() {
        tracing::warn!("requests were still running when the store stopped");
    }
    outcome
}
