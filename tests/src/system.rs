//! A running `zhili up`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::Channel;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::log::v1::{TailRequest, TailResponse};

use crate::{Tables, eventually, program};

/// How long a start, a stop or the way through the system may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// How the system is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Address and secret (`whsec_...`) of the webhook that is paged.
    pub webhook: Option<(String, String)>,
    /// Address of an OTLP collector.
    pub otlp: Option<String>,
    /// What is logged, in the form of the `tracing` crate; warnings unless given.
    pub log: Option<String>,
    /// Secrets of platforms, as `--sender` takes them.
    pub senders: Vec<String>,
}

/// `zhili up` on a folder and ports of its own. Killed, with its store, when dropped.
pub struct System {
    folder: TempDir,
    base: u16,
    options: Options,
    child: Option<Child>,
    said: Arc<Mutex<String>>,
    http: reqwest::Client,
}

impl System {
    /// Starts on an empty folder and waits for the line `ready`.
    pub fn start(options: Options) -> Self {
        let mut system = Self::prepare(options);
        system.up();
        system
    }

    /// An empty folder that nothing runs on yet.
    pub fn prepare(options: Options) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            base: free_ports(),
            options,
            child: None,
            said: Arc::default(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap(),
        }
    }

    /// Starts the program on the folder, which may hold data, and waits for the line `ready`.
    ///
    /// # Panics
    /// With the program's own words when it does not get ready.
    pub fn up(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let errors = File::options().create(true).append(true).open(self.errors_file()).unwrap();
        let mut command = Command::new(program());
        command
            .args(["up", "--log", self.options.log.as_deref().unwrap_or("warn")])
            .args(["--port-base", &self.base.to_string(), "--data"])
            .arg(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        if let Some((url, secret)) = &self.options.webhook {
            command.args(["--webhook", url, "--webhook-secret", "env:ZHILI_TEST_WEBHOOK_SECRET"]);
            command.env("ZHILI_TEST_WEBHOOK_SECRET", secret);
        }
        if let Some(otlp) = &self.options.otlp {
            command.args(["--otlp", otlp]);
        }
        for sender in &self.options.senders {
            command.args(["--sender", sender]);
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (said, (tell, told)) = (Arc::clone(&self.said), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *said.lock().unwrap() += &format!("{line}\n");
                if line == "ready" {
                    // Nobody listens any more once it was heard.
                    let _ = tell.send(());
                }
            }
        });
        let ready = told.recv().is_ok();
        self.child = Some(child);
        assert!(ready, "zhili up did not get ready: {}", self.errors());
    }

    /// The data folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the pseudonyms of `other` those of this system, so that their rows can be compared.
    pub fn share_pseudonyms(&self, other: &Self) {
        let key = "pseudonym.key";
        std::fs::copy(other.path().join(key), self.path().join(key)).unwrap();
    }

    fn errors_file(&self) -> PathBuf {
        self.path().join("stderr.log")
    }

    /// Everything that the program has written to standard error, over all its starts.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.errors_file()).unwrap_or_default()
    }

    /// Everything that the program has written to standard output, over all its starts.
    pub fn output(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The administrator's token.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.path().join("token")).unwrap().trim().to_owned()
    }

    /// Address of the service `offset` ports above the first: ingest, scoring, escalation,
    /// metrics, store.
    pub fn url(&self, offset: u16) -> String {
        format!("http://127.0.0.1:{}", self.base + offset)
    }

    /// The tables, as ClickHouse's HTTP interface shows them.
    pub fn tables(&self) -> Tables {
        Tables::new(self.http.clone(), self.url(4), self.token())
    }

    /// Runs a command of the program against this system.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).arg("--data").arg(self.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What a command prints as one JSON value.
    ///
    /// # Panics
    /// When the command fails.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {words}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Publishes files with the command line; the number of accepted events.
    ///
    /// # Panics
    /// When an event is rejected.
    pub fn publish(&self, files: &[PathBuf]) -> u64 {
        let mut arguments = vec!["publish", "--json"];
        arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
        let tally = self.json(&arguments);
        assert_eq!(tally["rejected"], 0, "{tally}");
        tally["accepted"].as_u64().unwrap()
    }

    /// Posts events as a JSON array, with the headers given.
    ///
    /// # Errors
    /// When there is no complete answer.
    ///
    /// # Panics
    /// When every event is rejected.
    pub async fn post(
        &self,
        events: &[Value],
        headers: &[(&str, &str)],
    ) -> Result<Value, reqwest::Error> {
        let mut request = self.http.post(format!("{}/v1/events", self.url(0)));
        request = request.bearer_auth(self.token()).json(events);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let refused = response.status().is_client_error();
        let answer = response.json::<Value>().await?;
        assert!(!refused, "{answer}");
        Ok(answer)
    }

    /// Waits until every part has worked off what it reads.
    pub async fn settle(&self) {
        let (mut calm, deadline) = (0, Instant::now() + PATIENCE);
        while calm < 3 {
            let output = self.run(&["status", "--json"]);
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let lag = |name: &str| status["services"][name]["lag_messages"].as_u64();
            let done = ["scoring", "escalation", "metrics"].iter().all(|name| lag(name) == Some(0))
                && status["services"]["store"]["ready"] == true;
            // Once more: one part may have given another work after that one was asked.
            calm = if done { calm + 1 } else { 0 };
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(Instant::now() < deadline, "not at rest within {PATIENCE:?}: {status} {words}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All records of a topic.
    pub async fn records(&self, topic: &str) -> Vec<TailResponse> {
        let channel = Channel::from_shared(self.url(0)).unwrap().connect().await.unwrap();
        let mut client = LogServiceClient::new(channel);
        let mut request =
            Request::new(TailRequest { topic: topic.to_owned(), last: u64::MAX, until_now: true });
        let bearer = format!("Bearer {}", self.token()).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let mut stream = client.tail(request).await.unwrap().into_inner();
        let mut records = Vec::new();
        while let Some(record) = stream.message().await.unwrap() {
            records.push(record);
        }
        records
    }

    /// Process of the program.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// Process of the store, while there is one.
    pub fn store_pid(&self) -> Option<Pid> {
        children(self.pid()).into_iter().next()
    }

    /// SIGKILL to the program; returns when it and its store are gone.
    ///
    /// # Panics
    /// When the store outlives it.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let stores = children(Pid::from_child(&child));
        child.kill().unwrap();
        child.wait().unwrap();
        let deadline = Instant::now() + PATIENCE;
        for store in stores {
            while alive(store) {
                assert!(Instant::now() < deadline, "the store outlived the program");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Waits until the store answers.
    pub async fn store_answers(&self) {
        let ping = format!("{}/ping", self.url(4));
        eventually("the store answers", PATIENCE, async || {
            let answer = self.http.get(&ping).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// SIGKILL to the store alone; false when there was none to kill.
    pub fn kill_store(&self) -> bool {
        self.store_pid().is_some_and(|store| kill_process(store, Signal::KILL).is_ok())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        child.wait().unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let stores = children(Pid::from_child(&child));
            // It may have ended by itself; the store ends with it, and is not waited for.
            drop(child.kill());
            drop(child.wait());
            for store in stores {
                let _ = kill_process(store, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            let errors = self.errors();
            let last: Vec<&str> = errors.lines().rev().take(20).collect();
            eprintln!("last lines of zhili up:");
            for line in last.iter().rev() {
                eprintln!("  {line}");
            }
        }
    }
}

/// Processes whose parent is `parent`.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| {
            let pid: i32 = process.file_name().to_str()?.parse().ok()?;
            let (parent_of, state) = parent_and_state(pid)?;
            (parent_of == parent.as_raw_nonzero().get() && state != "Z").then_some(pid)
        })
        .filter_map(Pid::from_raw)
        .collect()
}

fn parent_and_state(pid: i32) -> Option<(i32, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((fields.next()?.parse().ok()?, state))
}

/// Whether a process runs; one that only waits to be reaped does not. Its first thread may have
/// ended while others still hold its ports and files.
fn alive(pid: Pid) -> bool {
    let number = pid.as_raw_nonzero().get();
    let threads = std::fs::read_dir(format!("/proc/{number}/task")).map_or(0, Iterator::count);
    test_kill_process(pid).is_ok()
        && parent_and_state(number).is_some_and(|(_, state)| state != "Z" || threads > 1)
}

/// The first of five ports in a row that are free, below those that the system gives out. They are this
/// process's until it ends: others look at the same file of each five.
///
/// # Panics
/// When no file can be made for them.
pub fn free_ports() -> u16 {
    const FIVES: u16 = 1_900;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static OURS: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("zhili-test-ports");
    std::fs::create_dir_all(&folder).unwrap();
    let start = (std::process::id() % u32::from(FIVES)) as u16;
    loop {
        let slot = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % FIVES;
        let base = 20_000 + slot * 6;
        let file = File::create(folder.join(base.to_string())).unwrap();
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if file.try_lock().is_ok() && (base..base + 5).all(free) {
            OURS.lock().unwrap().push(file);
            return base;
        }
    }
}
