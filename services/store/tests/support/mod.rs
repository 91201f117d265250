//! Starts real stores for the tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a module of test binaries, each of which uses a part of it"
)]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use clickhouse::Client;

/// The key of every store that the tests start.
pub const KEY: &str = "key of the tests";

/// Whether libchdb is there; says in one line why the test does nothing when it is not. On CI
/// that is a failure.
pub fn has_library(test: &str) -> bool {
    let library =
        env::var_os("ZHILI_LIBCHDB").map_or_else(zhili_store::cached_library, PathBuf::from);
    if library.is_file() {
        return true;
    }
    let reason = format!("{test}: no {}, run deploy/libchdb/fetch.sh", library.display());
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

/// An empty folder of this name, for one test.
pub fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}"));
    match fs::remove_dir_all(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => panic!("{}: {error}", folder.display()),
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The program with a data folder and the key in its environment.
pub fn command(data: &Path) -> Command {
    with_settings(Command::new(env!("CARGO_BIN_EXE_zhili-store")), data)
}

fn with_settings(mut command: Command, data: &Path) -> Command {
    command
        .arg("--data")
        .arg(data)
        .args(["--listen", "127.0.0.1:0"])
        .env("ZHILI_STORE_KEY", KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A store process; killed when dropped.
pub struct Store {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Store {
    /// Starts a store on `data` and waits until it answers.
    pub fn start(data: &Path) -> Self {
        Self::spawn(&mut command(data))
    }

    /// Starts a store whose writes fail from [`Store::break_disk`] on, instead of ending it.
    pub fn start_on_disk_that_will_break(data: &Path) -> Self {
        let mut program = Command::new("env");
        program.args(["--ignore-signal=XFSZ", env!("CARGO_BIN_EXE_zhili-store")]);
        Self::spawn(&mut with_settings(program, data))
    }

    /// Starts what `command` says and waits for its line.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.args(["--die-with-parent", &std::process::id().to_string()]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            let output = child.wait_with_output().unwrap();
            panic!("no store: {}", String::from_utf8_lossy(&output.stderr));
        };
        // Drained, so that the store never waits for a reader of its log.
        let mut log = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { url: format!("http://{address}"), child }
    }

    /// The official client, for the database `database`.
    pub fn client(&self, database: &str) -> Client {
        Client::default()
            .with_url(&self.url)
            .with_user("default")
            .with_password(KEY)
            .with_database(database)
    }

    /// A plain POST with user and key.
    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .post(format!("{}{path}", self.url))
            .header("X-ClickHouse-User", "default")
            .header("X-ClickHouse-Key", KEY)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// From here on no file takes more than so many bytes.
    pub fn break_disk(&self, bytes: u64) {
        let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).unwrap();
    }

    /// Kills the process as a power cut of its memory would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for the process's end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Creates the database of one test and returns the client for it.
pub async fn database(store: &Store, name: &str) -> Client {
    store
        .client("default")
        .query("CREATE DATABASE IF NOT EXISTS ?")
        .bind(clickhouse::sql::Identifier(name))
        .execute()
        .await
        .unwrap();
    store.client(name)
}

/// The number in a `SELECT` of one.
pub async fn number(client: &Client, sql: &str) -> u64 {
    client.query(sql).fetch_one().await.unwrap()
}

/// `text` as it stands in a URL.
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() {
            url.push(byte.into());
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}
