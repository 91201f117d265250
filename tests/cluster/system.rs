//! Zhili over a real Kafka: one broker, the store and two replicas of each service, each a process
//! of its own on loopback, all of them gone when this process is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tempfile::TempDir;
use zhili_eventlog::kafka::KafkaLog;
use zhili_eventlog::testkit::kafka_server::{KafkaServer, StartError, skip_or_fail};
use zhili_eventlog::{EventLog, ReadLimit, TopicPartition};
use zhili_runtime::standalone::GROUPS;
use zhili_runtime::{KafkaSettings, KafkaTls};

use crate::rights::Certificates;

/// The services, in the order of their ports.
pub(crate) const SERVICES: [&str; 4] = ["ingest", "scoring", "escalation", "metrics"];
/// Replicas of each.
pub(crate) const REPLICAS: u16 = 2;

const PARTITIONS: u32 = 4;
/// Ports between those of the replicas, as `make run-cluster` has them.
const APART: u16 = 10;
/// How long anything may take that is bound to happen, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often to look whether it has happened.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) struct System {
    pub(crate) broker: KafkaServer,
    pub(crate) log: KafkaLog,
    http: reqwest::Client,
    token: String,
    base: u16,
    replicas: BTreeMap<(&'static str, u16), Child>,
    store: Child,
    /// What is shown to the broker, if it asks.
    certificates: Option<Certificates>,
    folder: TempDir,
}

impl System {
    /// Starts everything; `None` where there is no Kafka or no store, after a line that says so.
    pub(crate) async fn start() -> Option<Self> {
        Self::on(&[], None, |_| ()).await
    }

    /// Starts everything, on a broker with these properties that is `prepared` first.
    pub(crate) async fn on(
        properties: &[&str],
        certificates: Option<Certificates>,
        prepare: impl FnOnce(&KafkaServer),
    ) -> Option<Self> {
        let broker = match KafkaServer::start(properties) {
            Ok(broker) => broker,
            Err(error) => {
                skip_or_fail(&error);
                return None;
            }
        };
        prepare(&broker);
        if !has_store() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let base = free_base();
        std::fs::write(path.join("pseudonym.key"), [7; 32]).unwrap();
        std::fs::write(path.join("receipt.key"), [8; 32]).unwrap();
        let roles = ["admin", "supervisor", "dpo"].into_iter().flat_map(|role| ["--role", role]);
        let made = command("zhili")
            .args(["token", "create", "test", "--data"])
            .arg(path)
            .args(roles)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        std::fs::write(path.join("token"), &token).unwrap();

        let brokers = broker.bootstrap_servers();
        let partitions = PARTITIONS.to_string();
        let mut apply = command("zhili");
        apply
            .args(["topics", "apply", "--replication", "1", "--kafka", &brokers])
            .args(["--partitions", &partitions]);
        if let Some(KafkaTls { ca, certificate, key }) =
            certificates.as_ref().map(|them| them.of("zhili-topics"))
        {
            apply.args(["--tls-ca".into(), ca.unwrap()]);
            apply.args(["--tls-certificate".into(), certificate.unwrap()]);
            apply.args(["--tls-key".into(), key.unwrap()]);
        }
        let applied = apply.output().unwrap();
        assert!(applied.status.success(), "{applied:?}");
        let tls = certificates.as_ref().map(|them| them.of("admin"));
        let partitions = PARTITIONS;
        let settings =
            KafkaSettings { brokers, partitions, replication: 1, tls, ..Default::default() };
        let log = settings.connect("tests").await.unwrap();

        let store = command("zhili")
            .args(["store", "--listen", &format!("127.0.0.1:{}", base + 4)])
            .args(["--die-with-parent", &std::process::id().to_string(), "--data"])
            .arg(path.join("store"))
            .arg("--key-file")
            .arg(path.join("token"))
            .stdin(Stdio::null())
            .stdout(output(path, "store"))
            .stderr(output(path, "store"))
            .spawn()
            .unwrap();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(70)).build().unwrap();
        let replicas = BTreeMap::new();
        let mut system =
            Self { broker, log, http, token, base, replicas, store, certificates, folder };
        system.until_ok("the store", &format!("http://127.0.0.1:{}/ping", base + 4)).await;
        for replica in 0..REPLICAS {
            for service in SERVICES {
                system.launch(service, replica);
            }
        }
        for replica in 0..REPLICAS {
            for service in SERVICES {
                system.until_ready(service, replica).await;
            }
        }
        Some(system)
    }

    /// Address of ingest's first replica, from which the others follow.
    pub(crate) fn url(&self) -> String {
        self.address("ingest", 0)
    }

    /// `host:port` of the store.
    pub(crate) fn store(&self) -> String {
        format!("127.0.0.1:{}", self.base + 4)
    }

    pub(crate) fn address(&self, service: &str, replica: u16) -> String {
        let place = SERVICES.iter().position(|name| *name == service).unwrap() as u16;
        format!("http://127.0.0.1:{}", self.base + APART * replica + place)
    }

    /// Starts a replica.
    pub(crate) fn launch(&mut self, service: &'static str, replica: u16) {
        let name = format!("{service}-{replica}");
        let file = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, self.settings(service, replica)).unwrap();
        let child = command(&format!("zhili-{service}"))
            .arg("--config")
            .arg(file)
            .arg("--tied")
            .stdin(Stdio::piped())
            .stdout(output(self.folder.path(), &name))
            .stderr(output(self.folder.path(), &name))
            .spawn()
            .unwrap();
        self.replicas.insert((service, replica), child);
    }

    /// Ends a replica with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self, service: &'static str, replica: u16) {
        let mut child = self.replicas.remove(&(service, replica)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Fails when a replica has ended that nobody killed: whatever its surroundings do, it waits.
    fn check_alive(&mut self) {
        for (&(service, replica), child) in &mut self.replicas {
            if let Some(status) = child.try_wait().unwrap() {
                let log = self.folder.path().join(format!("{service}-{replica}.log"));
                let said = last_lines(&log, 20);
                panic!("{service}-{replica} ended by itself, {status}:\n{said}");
            }
        }
    }

    /// Exit code and words of a replica that cannot start, with its settings changed.
    pub(crate) fn refusal(&self, service: &str, from: &str, to: &str) -> (Option<i32>, String) {
        let output = self.another(service, from, to).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// A replica that runs with something else in its settings, and where it says whether it is ready.
    pub(crate) fn altered(&self, service: &str, from: &str, to: &str) -> (Child, String) {
        let child = self.another(service, from, to).spawn().unwrap();
        (child, format!("{}/readyz", self.address(service, 7)))
    }

    fn another(&self, service: &str, from: &str, to: &str) -> Command {
        let settings = self.settings(service, 7);
        assert!(settings.contains(from), "{settings}");
        let file = self.folder.path().join("another.toml");
        std::fs::write(&file, settings.replace(from, to)).unwrap();
        let mut program = command(&format!("zhili-{service}"));
        // It says why it ends however little it is to say.
        program.env("ZHILI_RUNTIME__TELEMETRY__FILTER", "warn");
        program.arg("--config").arg(file);
        program
    }

    fn settings(&self, service: &str, replica: u16) -> String {
        let path = self.folder.path().display();
        let listen = self.address(service, replica).replace("http://", "");
        let mut text = match service {
            "ingest" => format!("pseudonym_key = \"{path}/pseudonym.key\"\n[ingest]\n"),
            name => format!("[{name}]\nmember = \"{name}-{replica}\"\n"),
        };
        text += &format!("listen = \"{listen}\"\n[auth]\ntokens = \"{path}/tokens.json\"\n");
        if service == "metrics" {
            text = text.replace(
                "[metrics]\n",
                &format!("[metrics]\nreceipt_key = \"{path}/receipt.key\"\n"),
            );
            text += &format!(
                "[clickhouse]\nurl = \"http://127.0.0.1:{}\"\npassword_file = \"{path}/token\"\n",
                self.base + 4
            );
        }
        // Short, so that a replica that stays away is replaced while the test watches.
        text += &format!(
            "[kafka]\nbrokers = \"{}\"\npartitions = {PARTITIONS}\nreplication = 1\n\
             session_timeout_ms = 4000\ntransaction_timeout_ms = 8000\n",
            self.broker.bootstrap_servers()
        );
        if let Some(certificates) = &self.certificates {
            let KafkaTls { ca, certificate, key } = certificates.of(&format!("zhili-{service}"));
            let [ca, certificate, key] =
                [ca, certificate, key].map(|file| file.unwrap().display().to_string());
            text += &format!(
                "[kafka.tls]\nca = \"{ca}\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
            );
        }
        text
    }

    /// A command of the command line, told where this system is.
    pub(crate) fn zhili(&self, arguments: &[&str]) -> std::process::Output {
        command("zhili")
            .args(arguments)
            .args(["--url", &self.url(), "--token", &self.token])
            .output()
            .unwrap()
    }

    /// The answer of ClickHouse, tab-separated.
    pub(crate) async fn query(&self, sql: &str) -> Result<String, String> {
        let failed = |error: reqwest::Error| error.to_string();
        let response = self
            .http
            .post(format!("http://127.0.0.1:{}/?database=zhili", self.base + 4))
            .header("X-ClickHouse-User", "default")
            .header("X-ClickHouse-Key", &self.token)
            .body(sql.to_owned())
            .send()
            .await
            .map_err(failed)?;
        let ok = response.status().is_success();
        let text = response.text().await.map_err(failed)?;
        if ok { Ok(text.trim().to_owned()) } else { Err(text) }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) async fn until_ready(&mut self, service: &'static str, replica: u16) {
        let url = format!("{}/readyz", self.address(service, replica));
        self.until_ok(&format!("{service}-{replica}"), &url).await;
    }

    async fn until_ok(&mut self, what: &str, url: &str) {
        let begun = Instant::now();
        loop {
            let complaint = match self.http.get(url).send().await {
                Ok(response) if response.status().is_success() => return,
                Ok(response) => response.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            let said = || std::fs::read_to_string(self.folder.path().join(format!("{what}.log")));
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: {complaint}\n{}",
                said().unwrap_or_default()
            );
            self.check_alive();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until `sql` answers `expected`.
    pub(crate) async fn until_answers(&mut self, sql: &str, expected: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.query(sql).await;
            if answer.as_deref() == Ok(expected) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{sql}: {answer:?} instead of {expected}\n{}",
                self.said()
            );
            self.check_alive();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until every group has read, in the order in which they feed one another, what was
    /// in its topics when it was its turn.
    pub(crate) async fn settle(&mut self) {
        for (group, names) in GROUPS {
            for name in names {
                for number in 0..PARTITIONS {
                    let at = TopicPartition::new(*name, number);
                    let bounds = self.log.bounds(&at).await.unwrap();
                    self.until_read(group, &at, bounds.start, bounds.end).await;
                }
            }
        }
    }

    async fn until_read(&mut self, group: &str, at: &TopicPartition, start: u64, end: u64) {
        let begun = Instant::now();
        if start == end {
            return;
        }
        loop {
            let committed = self.log.committed(group, at).await;
            if let Ok(Some(committed)) = &committed
                && !committed.metadata.contains("pending")
                && (committed.offset >= end || self.is_gap(at, committed.offset).await)
            {
                return;
            }
            let said = || self.said();
            assert!(
                begun.elapsed() < PATIENCE,
                "{group} has not read {at} to {end}: {committed:?}\n{}",
                said()
            );
            self.check_alive();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether no record is left from `offset` on: what ends a transaction takes an offset, too.
    async fn is_gap(&self, at: &TopicPartition, offset: u64) -> bool {
        let batch = self.log.read(at, offset, ReadLimit::default()).await;
        batch.is_ok_and(|batch| batch.records.is_empty() && batch.caught_up)
    }

    /// The last lines that every process said, and what keeps it from being ready.
    pub(crate) fn said(&self) -> String {
        let mut text = String::new();
        for &(service, replica) in self.replicas.keys() {
            let log = self.folder.path().join(format!("{service}-{replica}.log"));
            let url = format!("{}/readyz", self.address(service, replica));
            let ready = Command::new("curl").args(["-sS", "-m", "2", &url]).output().unwrap();
            let ready =
                String::from_utf8_lossy(&[ready.stdout, ready.stderr].concat()).into_owned();
            text += &format!("-- {service}-{replica}: {ready}{}\n", last_lines(&log, 12));
        }
        text += &format!("-- store\n{}\n", last_lines(&self.folder.path().join("store.log"), 12));
        text + &format!("-- broker\n{}\n", last_lines(&self.broker.log_file(), 12))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // Not in order: what was not killed otherwise has no more to show.
        for child in self.replicas.values_mut().chain([&mut self.store]) {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Publishes a JSON array of events; an error where the publisher learns of no outcome.
pub(crate) async fn publish(
    http: &reqwest::Client,
    ingest: &str,
    token: &str,
    body: String,
) -> Result<u64, String> {
    let failed = |error: reqwest::Error| error.to_string();
    let response = http
        .post(format!("{ingest}/v1/events"))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .map_err(failed)?;
    let status = response.status();
    let text = response.text().await.map_err(failed)?;
    if status != 200 {
        return Err(format!("{status}: {text}"));
    }
    let answer: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    answer["accepted"].as_u64().ok_or(text)
}

fn last_lines(file: &Path, count: usize) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn output(folder: &Path, name: &str) -> File {
    let path = folder.join(format!("{name}.log"));
    File::options().create(true).append(true).open(path).unwrap()
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether the store can run; where it cannot, after a line that says why.
fn has_store() -> bool {
    let Err(why) = fetched_libchdb() else { return true };
    assert!(std::env::var("CI").is_err(), "tests that need the store cannot run: {why}");
    eprintln!("skipped: tests that need the store: {why}");
    false
}

/// Whether Kafka and the store can run, and all programs are up to date.
pub(crate) fn is_possible() -> bool {
    let fetched = Command::new(repository().join("deploy/kafka/fetch.sh")).output().unwrap();
    if !fetched.status.success() {
        let why = String::from_utf8_lossy(&fetched.stderr).trim().to_owned();
        skip_or_fail(&StartError::Unavailable(why));
        return false;
    }
    drop(command("zhili"));
    has_store()
}

fn fetched_libchdb() -> Result<(), String> {
    let fetched = Command::new("sh")
        .arg(repository().join("deploy/libchdb/fetch.sh"))
        .output()
        .map_err(|error| error.to_string())?;
    if fetched.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&fetched.stderr).trim().to_owned())
}

/// A program of the workspace, brought up to date, with none of our own variables.
pub(crate) fn command(program: &str) -> Command {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        // target/PROFILE/deps/TEST
        let folder = test.parent().and_then(Path::parent).unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--bins", "--package", "zhili"]);
        for service in SERVICES {
            build.args(["--package", &format!("zhili-{service}")]);
        }
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(repository()).status().unwrap();
        assert!(status.success(), "the programs cannot be built");
        folder
    });
    let mut command = Command::new(folder.join(program));
    for (name, _) in std::env::vars_os() {
        let own = name.to_string_lossy();
        if own.starts_with("ZHILI_") && own != "ZHILI_CACHE" && own != "ZHILI_LIBCHDB" {
            command.env_remove(&name);
        }
    }
    command
}

/// A port with enough free ones behind it, below those that the system hands out by itself.
pub(crate) fn free_base() -> u16 {
    let mut random = StdRng::seed_from_u64(u64::from(std::process::id()));
    loop {
        let base: u16 = random.random_range(15_000..30_000);
        let wanted = (0..5).chain(APART..APART + 4).map(|offset| base + offset);
        let taken = wanted.map(|port| TcpListener::bind(("127.0.0.1", port)));
        if taken.collect::<Result<Vec<_>, _>>().is_ok() {
            return base;
        }
    }
}

/// Says where the test is, for whoever watches it run.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}
