//! The processes of a run, and the ways and disks between and below them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::broker::{self, Broker};
use super::clock::{self, WallClock};
use super::disk::Disk;
use super::process::{Process, command};
use super::proxy::Proxy;
use crate::conservation::plan::{BROKERS, Home, Part};
use crate::{Receiver, Tables, eventually, free_ports};

/// Services in the order of their ports.
const SERVICES: [&str; 4] = ["ingest", "scoring", "escalation", "metrics"];
const REPLICAS: u16 = 2;
/// As `zhili up` has it.
pub(crate) const PARTITIONS: u32 = 4;
/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The folder of programs that a part is of, from its next start on.
#[derive(Clone)]
pub(crate) struct Build(Arc<Mutex<PathBuf>>);

impl Build {
    fn new(folder: &Path) -> Self {
        Self(Arc::new(Mutex::new(folder.to_owned())))
    }

    /// The part is of another build from its next start on.
    pub(crate) fn set(&self, folder: &Path) {
        folder.clone_into(&mut self.0.lock().unwrap());
    }

    fn command(&self, program: &str) -> Command {
        let program = self.0.lock().unwrap().join(program);
        assert!(program.is_file(), "{} is not built", program.display());
        command(&program)
    }
}

/// A system with every part a process of its own, reached over ways that can be broken.
pub(crate) struct Stage {
    // Fields are dropped in this order: processes before the disks that they write to.
    pub(crate) parts: BTreeMap<Part, Process>,
    /// Of all parts but the brokers.
    pub(crate) builds: BTreeMap<Part, Build>,
    pub(crate) store_way: Proxy,
    /// Of the log, where it is not embedded.
    pub(crate) brokers: Vec<Broker>,
    pub(crate) pages_way: Proxy,
    /// Of everything that has one of its own.
    pub(crate) clocks: BTreeMap<Part, Arc<WallClock>>,
    pub(crate) store_disk: Option<Disk>,
    pub(crate) log_disk: Option<Disk>,
    pub(crate) receiver: Receiver,
    pub(crate) http: reqwest::Client,
    pub(crate) token: String,
    pub(crate) home: Home,
    /// Ports of the first and of the second replicas.
    bases: [u16; 2],
    pages_port: u16,
    folder: TempDir,
}

impl Stage {
    /// Starts everything, of the build in a folder, on folders of its own, with disks of their own if
    /// `disks`, and waits until it is ready. `zhili up` may take so many MiB of memory, 0 for all.
    pub(crate) async fn start(home: Home, disks: bool, build: &Path, memory_mib: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("zhili-chaos-").tempdir().unwrap();
        let path = folder.path();
        for name in ["words", "store", "log"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        let mount = |name: &str| match Disk::mount(&path.join(name)) {
            Ok(disk) => Some(disk),
            Err(why) => {
                eprintln!("no disk of its own, so none is filled: {why}");
                None
            }
        };
        let store_disk = if disks { mount("store") } else { None };
        let log_disk = if disks && home == Home::Embedded { mount("log") } else { None };
        let (bases, ways) = ([free_ports(), free_ports()], free_ports());
        let build = Build::new(build);
        let token = token(&build, &path.join("log"));
        let receiver = Receiver::start().await;
        let store_way = Proxy::start(ways, bases[0] + 4).await;
        let pages_way = Proxy::start(ways + 4, receiver.port()).await;
        let mut brokers = Vec::new();
        for number in 0..if home == Home::Kafka { BROKERS } else { 0 } {
            let folder = path.join(format!("broker-{number}"));
            std::fs::create_dir(&folder).unwrap();
            let disk = if disks { mount(&format!("broker-{number}")) } else { None };
            brokers.push(Broker::new(folder, disk).await);
        }
        let mut stage = Self {
            parts: BTreeMap::new(),
            builds: BTreeMap::new(),
            store_way,
            brokers,
            pages_way,
            clocks: BTreeMap::new(),
            store_disk,
            log_disk,
            receiver,
            http: reqwest::Client::builder().timeout(Duration::from_secs(120)).build().unwrap(),
            token,
            home,
            bases,
            pages_port: ways + 4,
            folder,
        };
        clock::build(stage.folder.path());
        stage.add_store(&build);
        match home {
            Home::Embedded => stage.add_everything(&build, ways, memory_mib),
            Home::Kafka => stage.add_cluster(&build, ways).await,
        }
        stage.until_ready(PATIENCE).await;
        stage
    }

    fn add(&mut self, part: Part, process: Process) {
        self.parts.entry(part).or_insert(process).want();
    }

    /// A part can be of another build than others.
    fn add_build(&mut self, part: Part, build: &Build) -> Build {
        let own = Build::new(&build.0.lock().unwrap());
        self.builds.insert(part, own.clone());
        own
    }

    /// A clock of its own for a part.
    fn add_clock(&mut self, part: Part) -> Arc<WallClock> {
        let file = self.path(&format!("clock-{}", self.clocks.len()));
        let clock = Arc::new(WallClock::new(file, &self.path("clock.so")));
        self.clocks.insert(part, Arc::clone(&clock));
        clock
    }

    fn words(&self, name: &str) -> PathBuf {
        self.folder.path().join("words").join(format!("{name}.log"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn add_store(&mut self, build: &Build) {
        let build = self.add_build(Part::Store, build);
        let data = self.path("store").join("data");
        let key = self.path("log").join("token");
        let listen = format!("127.0.0.1:{}", self.bases[0] + 4);
        let parent = std::process::id();
        let store = Process::new("store", self.words("store"), move || {
            // The shell becomes the store, so that its parent is this process.
            let mut command = build.command("zhili");
            command.args(["store", "--listen", &listen, "--data"]).arg(&data);
            command.arg("--key-file").arg(&key);
            command.args(["--die-with-parent", &parent.to_string()]);
            command
        });
        self.add(Part::Store, store);
    }

    fn add_everything(&mut self, build: &Build, way: u16, memory_mib: u64) {
        let build = self.add_build(Part::Everything, build);
        let data = self.path("log");
        let base = self.bases[0].to_string();
        let (token, (webhook, secret)) =
            (self.token.clone(), self.receiver.target_behind(self.pages_port));
        let clock = self.add_clock(Part::Everything);
        let up = Process::new("zhili up", self.words("up"), move || {
            let mut command = build.command("zhili");
            command
                .args(["up", "--log", "warn", "--port-base", &base, "--data"])
                .arg(&data)
                .args(["--clickhouse-url", &format!("http://127.0.0.1:{way}")])
                .args(["--webhook", &webhook, "--webhook-secret", "env:ZHILI_TEST_WEBHOOK_SECRET"])
                .env("ZHILI_TEST_WEBHOOK_SECRET", &secret)
                .env("ZHILI_CLICKHOUSE_PASSWORD", &token);
            // A version of before may not know it.
            if memory_mib > 0 {
                command.args(["--memory-limit", &memory_mib.to_string()]);
            }
            clock.give(&mut command);
            command
        });
        self.add(Part::Everything, up);
    }

    async fn add_cluster(&mut self, build: &Build, ways: u16) {
        for number in 0..BROKERS {
            let process =
                broker::process(&self.brokers, number, self.words(&format!("broker-{number}")));
            self.add(Part::Broker(number), process);
        }
        eventually("there are as many brokers as topics want", PATIENCE, async || {
            self.apply_topics(build).ok()
        })
        .await;
        let data = self.path("log");
        std::fs::write(data.join("pseudonym.key"), [7; 32]).unwrap();
        std::fs::write(data.join("receipt.key"), [8; 32]).unwrap();
        for replica in 0..REPLICAS {
            for service in SERVICES {
                let name = format!("{service}-{replica}");
                let file = data.join(format!("{name}.toml"));
                std::fs::write(&file, self.settings(service, replica, ways)).unwrap();
                let member = Part::Service(service, replica);
                let (build, clock) = (self.add_build(member, build), self.add_clock(member));
                let process = Process::new(service, self.words(&name), move || {
                    let mut command = build.command(&format!("zhili-{service}"));
                    command.arg("--config").arg(&file).arg("--tied");
                    clock.give(&mut command);
                    command
                });
                self.add(member, process);
            }
        }
    }

    /// Makes what another build has need of before it starts.
    pub(crate) fn prepare(&self, build: &Path) {
        if self.home == Home::Kafka {
            self.apply_topics(&Build::new(build)).unwrap();
        }
    }

    /// What `zhili topics apply` says when it cannot.
    fn apply_topics(&self, build: &Build) -> Result<(), String> {
        let made = build
            .command("zhili")
            .args(["topics", "apply", "--kafka", &self.bootstrap_servers()])
            .args(["--replication", &BROKERS.to_string()])
            .args(["--partitions", &PARTITIONS.to_string()])
            .output()
            .unwrap();
        made.status.success().then_some(()).ok_or_else(|| format!("{made:?}"))
    }

    fn settings(&self, service: &str, replica: u16, store: u16) -> String {
        let data = self.path("log");
        let data = data.display();
        let listen = self.address(service, replica).replace("http://", "");
        let mut text = match service {
            "ingest" => format!("pseudonym_key = \"{data}/pseudonym.key\"\n[ingest]\n"),
            name => format!("[{name}]\nmember = \"{name}-{replica}\"\n"),
        };
        text += &format!("listen = \"{listen}\"\n");
        if service == "escalation" {
            let (url, secret) = self.receiver.target_behind(self.pages_port);
            text += "allow_private_destinations = true\n[escalation.default_webhook]\n";
            text += &format!("url = \"{url}\"\nsecret = \"{secret}\"\nallow_private = true\n");
        }
        if service == "metrics" {
            text += &format!("receipt_key = \"{data}/receipt.key\"\n[clickhouse]\n");
            text += &format!("url = \"http://127.0.0.1:{store}\"\n");
            text += &format!("password_file = \"{data}/token\"\n");
        }
        text += &format!("[auth]\ntokens = \"{data}/tokens.json\"\n");
        // Short, so that a replica that stays away is replaced while the run goes on.
        text += &format!(
            "[kafka]\nbrokers = \"{}\"\npartitions = {PARTITIONS}\nreplication = {BROKERS}\n\
             session_timeout_ms = 6000\ntransaction_timeout_ms = 10000\n",
            self.bootstrap_servers()
        );
        text + "[runtime.telemetry]\nfilter = \"warn\"\n"
    }

    /// Where brokers are found, over the ways that can be broken.
    pub(crate) fn bootstrap_servers(&self) -> String {
        let addresses: Vec<String> = self.brokers.iter().map(Broker::advertised).collect();
        addresses.join(",")
    }

    /// Whether there are disks that can be filled.
    pub(crate) fn has_disks(&self) -> bool {
        let log = self.log_disk.is_some() || self.brokers.iter().any(|it| it.disk.is_some());
        self.store_disk.is_some() && log
    }

    pub(crate) fn address(&self, service: &str, replica: u16) -> String {
        let place = SERVICES.iter().position(|name| *name == service).unwrap() as u16;
        format!("http://127.0.0.1:{}", self.bases[usize::from(replica)] + place)
    }

    /// The store itself, whatever the way to it is like.
    pub(crate) fn store(&self) -> String {
        format!("http://127.0.0.1:{}", self.bases[0] + 4)
    }

    /// What it holds.
    pub(crate) fn tables(&self) -> Tables {
        Tables::new(self.http.clone(), self.store(), self.token.clone())
    }

    fn replicas(&self) -> u16 {
        if self.home == Home::Kafka { REPLICAS } else { 1 }
    }

    /// Where events are taken.
    pub(crate) fn ingest(&self) -> Vec<String> {
        (0..self.replicas()).map(|replica| self.address("ingest", replica)).collect()
    }

    /// What is not ready, in its own words.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let mut asked = vec![("store".to_owned(), format!("{}/ping", self.store()))];
        for replica in 0..self.replicas() {
            for service in SERVICES {
                let name = format!("{service}-{replica}");
                asked.push((name, format!("{}/readyz", self.address(service, replica))));
            }
        }
        let mut complaints = Vec::new();
        for (name, url) in asked {
            let request = self.http.get(url).timeout(Duration::from_secs(5));
            match request.send().await {
                Ok(response) if response.status().is_success() => {}
                Ok(response) => {
                    let words = response.text().await.unwrap_or_default();
                    complaints.push(format!("{name}: {}", words.trim()));
                }
                Err(_) => complaints.push(format!("{name}: it does not answer")),
            }
        }
        complaints
    }

    async fn until_ready(&mut self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let complaints = self.complaints().await;
            if complaints.is_empty() {
                return;
            }
            for process in self.parts.values_mut() {
                process.supervise();
            }
            let late = tokio::time::Instant::now() > deadline;
            assert!(!late, "not ready within {patience:?}: {complaints:?}\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last lines of every part.
    pub(crate) fn said(&self) -> String {
        let mut text = String::new();
        for file in std::fs::read_dir(self.path("words")).unwrap().map(|file| file.unwrap()) {
            let words = std::fs::read_to_string(file.path()).unwrap_or_default();
            let lines: Vec<&str> = words.lines().collect();
            let last = lines[lines.len().saturating_sub(12)..].join("\n");
            text += &format!("-- {}\n{last}\n", file.path().display());
        }
        text
    }

    /// How often a broker says that it deleted a segment which it found damaged.
    pub(crate) fn deleted_by_brokers(&self) -> u64 {
        let count = |number| {
            let words = std::fs::read_to_string(self.words(&format!("broker-{number}")));
            words.unwrap_or_default().matches("Deleting the corrupt segment").count() as u64
        };
        (0..self.brokers.len()).map(count).sum()
    }

    /// Copies everything that any part has said into a folder.
    pub(crate) fn keep_words(&self, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for file in std::fs::read_dir(self.path("words")).unwrap().map(|file| file.unwrap()) {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// A token with every right that a run needs, which the folder knows.
fn token(build: &Build, data: &Path) -> String {
    let roles = ["admin", "supervisor", "qa"].into_iter().flat_map(|role| ["--role", role]);
    let made = build
        .command("zhili")
        .args(["token", "create", "chaos", "--data"])
        .arg(data)
        .args(roles)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    std::fs::write(data.join("token"), &token).unwrap();
    token
}
