//! `zhili store`, and the store as a child process of `zhili up`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use zhili_runtime::Failure;
use zhili_store::{StoreArguments, StoreError};

use crate::files::Folder;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.store.config().map_err(|error| failure(&error))?;
    zhili_store::run(config, |address| {
        // Whoever started the store may not listen; it serves all the same.
        writeln!(std::io::stdout(), "listening on {address}").unwrap_or_default();
    })
    .map_err(|error| failure(&error))
}

fn failure(error: &StoreError) -> Failure {
    let message = error.to_string();
    match error.exit_code() {
        64 => Failure::Usage(message),
        69 => Failure::Unavailable(message),
        74 => Failure::Io(message),
        _ => Failure::TryAgain(message),
    }
}

/// First and longest pause before the store is started again.
const RESTART: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long the store may take to end by itself: above the 16 s that it gives to requests and then
/// to statements.
const GRACE: Duration = Duration::from_secs(20);

/// The store of `zhili up`: a child process that is started again whenever it ends.
pub(crate) struct Supervised {
    task: tokio::task::JoinHandle<()>,
    up: Arc<AtomicBool>,
}

impl Supervised {
    /// Starts the store and waits until it answers.
    ///
    /// # Errors
    /// What the store said, with its exit code, when it does not start at all.
    pub(crate) async fn start(
        folder: &Folder,
        listen: SocketAddr,
        libchdb: Option<PathBuf>,
        shutdown: CancellationToken,
    ) -> Result<Self, Failure> {
        let launch = Launch { folder: folder.clone(), listen, libchdb };
        let child = launch.start().await?;
        let up = Arc::new(AtomicBool::new(true));
        let task = tokio::spawn(watch(child, launch, Arc::clone(&up), shutdown));
        Ok(Self { task, up })
    }

    /// Whether it runs, to be asked at any time.
    pub(crate) fn running(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.up)
    }

    /// Waits until it has ended, after the shutdown.
    pub(crate) async fn ended(self) {
        // A panic of the watcher was reported by the runtime.
        let _ = self.task.await;
    }
}

struct Launch {
    folder: Folder,
    listen: SocketAddr,
    libchdb: Option<PathBuf>,
}

impl Launch {
    async fn start(&self) -> Result<Child, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::Io(format!("cannot find this program: {error}")))?;
        let mut command = Command::new(program);
        command
            .arg("store")
            .arg("--data")
            .arg(self.folder.store())
            .arg("--listen")
            .arg(self.listen.to_string())
            .arg("--key-file")
            .arg(self.folder.token_file())
            .arg("--die-with-parent")
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Not into the signals of the terminal: the store ends after the services.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(libchdb) = &self.libchdb {
            command.arg("--libchdb").arg(libchdb);
        }
        let mut child = command
            .spawn()
            .map_err(|error| Failure::Io(format!("cannot start the store: {error}")))?;
        if let Some(out) = child.stdout.take() {
            let mut lines = BufReader::new(out).lines();
            if let Ok(Some(line)) = lines.next_line().await
                && line.starts_with("listening on ")
            {
                return Ok(child);
            }
        }
        // It has said why on standard error already.
        let status = child
            .wait()
            .await
            .map_err(|error| Failure::Io(format!("cannot wait for the store: {error}")))?;
        let message = "the store did not start".to_owned();
        Err(match status.code() {
            Some(64) => Failure::Usage(message),
            Some(74) => Failure::Io(message),
            Some(75) => Failure::TryAgain(message),
            _ => Failure::Unavailable(message),
        })
    }
}

async fn watch(mut child: Child, launch: Launch, up: Arc<AtomicBool>, shutdown: CancellationToken) {
    let mut pause = RESTART.0;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            status = child.wait() => match status {
                Ok(status) => tracing::warn!(%status, "the store ended, starting it again"),
                Err(error) => tracing::error!(%error, "cannot watch the store"),
            },
        }
        up.store(false, Ordering::Relaxed);
        child = loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RESTART.1);
            match launch.start().await {
                Ok(child) => break child,
                Err(error) => tracing::error!(%error, "cannot start the store, trying again"),
            }
        };
        pause = RESTART.0;
        up.store(true, Ordering::Relaxed);
    }
    if let Some(pid) = child.id() {
        let stopped = std::process::Command::new("kill").arg(pid.to_string()).status();
        if stopped.is_ok_and(|status| status.success())
            && tokio::time::timeout(GRACE, child.wait()).await.is_ok()
        {
            return;
        }
    }
    // It did not end in time; what it acknowledged is on disk.
    let _ = child.kill().await;
}
