//! A real ClickHouse for a test: a `zhili-store` process of its own.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a module of a test binary")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use zhili_warehouse::{Address, Warehouse};

const KEY: &str = "key-of-the-tests";

pub(crate) struct Engine {
    program: PathBuf,
    folder: tempfile::TempDir,
    child: Child,
    address: String,
}

/// Starts a store; `None`, after one line that says why, where there is none. With `CI=true` that
/// is a failure.
pub(crate) fn engine(test: &str) -> Option<Engine> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let started = PROGRAM.get_or_init(program).clone().and_then(Engine::start);
    match started {
        Ok(engine) => Some(engine),
        Err(reason) => {
            let line = format!("{test}: no store to test with: {reason}");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
            eprintln!("skipped: {line}");
            None
        }
    }
}

/// The store's program: `ZHILI_STORE_BIN`, else what cargo builds.
fn program() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("ZHILI_STORE_BIN") {
        return Ok(path.into());
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "zhili-store", "--bin", "zhili-store"])
        .args(if cfg!(debug_assertions) { &[][..] } else { &["--release"] })
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !built.status.success() {
        let words = String::from_utf8_lossy(&built.stderr);
        return Err(format!("cannot build it: {}", words.lines().last().unwrap_or_default()));
    }
    // This test runs from `deps` below the folder of the programs.
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = test.parent().and_then(|deps| deps.parent());
    let program = folder.map(|folder| folder.join("zhili-store"));
    program
        .filter(|program| program.is_file())
        .ok_or_else(|| "it was built elsewhere; set ZHILI_STORE_BIN".to_owned())
}

impl Engine {
    fn start(program: PathBuf) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (child, address) = spawn(&program, &folder, "127.0.0.1:0")?;
        Ok(Self { program, folder, child, address })
    }

    pub(crate) fn address(&self, database: &str) -> Address {
        Address {
            url: format!("http://{}", self.address),
            user: "default".into(),
            password: KEY.into(),
            database: database.into(),
        }
    }

    pub(crate) fn warehouse(&self, database: &str) -> Warehouse {
        Warehouse::new(&self.address(database), false).unwrap()
    }

    /// Notes a token without its rows in the store's files, as a commit that fails halfway does.
    #[allow(dead_code, reason = "not every test binary needs it")]
    pub(crate) fn plant_orphan_token(&self) {
        let folders =
            |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let log = folders(self.folder.path().join("engine/store"))
            .flat_map(folders)
            .flat_map(|table| std::fs::read_dir(table.join("deduplication_logs")).into_iter())
            .flatten()
            .map(|entry| entry.unwrap().path())
            .next()
            .unwrap();
        let mut lines = std::fs::read_to_string(&log).unwrap();
        lines.push_str("1\tall_999999_999999_0\tall_1_2\n");
        std::fs::write(&log, lines).unwrap();
    }

    /// Waits until the store has ended by itself and starts another at the same place; returns
    /// the code it ended with.
    #[allow(dead_code, reason = "not every test binary needs it")]
    pub(crate) fn restart_when_ended(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        let (child, _) = spawn(&self.program, &self.folder, &self.address).unwrap();
        self.child = child;
        code
    }

    /// Whether any file of the store holds one of the texts, as it is.
    #[allow(dead_code, reason = "not every test binary needs it")]
    pub(crate) fn files_hold(&self, texts: &[&str]) -> bool {
        fn files(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() { files(&entry, found) } else { found.push(entry) }
            }
        }
        let mut all = Vec::new();
        files(self.folder.path(), &mut all);
        all.iter().any(|file| {
            let bytes = std::fs::read(file).unwrap_or_default();
            texts.iter().any(|text| bytes.windows(text.len()).any(|it| it == text.as_bytes()))
        })
    }

    /// Ends the process as a power cut of its memory would, and starts another at the same place.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (child, _) = spawn(&self.program, &self.folder, &self.address).unwrap();
        self.child = child;
    }
}

fn spawn(
    program: &PathBuf,
    folder: &tempfile::TempDir,
    listen: &str,
) -> Result<(Child, String), String> {
    let mut child = Command::new(program)
        .arg("--data")
        .arg(folder.path())
        .args(["--listen", listen, "--memory-mib", "1024"])
        .args(["--die-with-parent", &std::process::id().to_string()])
        .env("ZHILI_STORE_KEY", KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    }
    let mut stderr = child.stderr.take();
    if let Some(address) = line.trim().strip_prefix("listening on ") {
        // Drained, so that the store never waits for a reader of its log.
        std::thread::spawn(move || {
            stderr.map(|mut stderr| std::io::copy(&mut stderr, &mut std::io::sink()))
        });
        return Ok((child, address.to_owned()));
    }
    let mut words = String::new();
    if let Some(stderr) = &mut stderr {
        stderr.read_to_string(&mut words).unwrap_or_default();
    }
    child.wait().map_err(|error| error.to_string())?;
    Err(words.lines().last().unwrap_or("it ended").to_owned())
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}
