//! Two members of every group in one process, one of which is dropped at seeded points: nothing is
//! lost or there twice, and the facts are those of a run without faults.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::Bundles;
use zhili_eventlog::{Clock, EventLog, TopicPartition, system_clock, topics};
use zhili_redact::PseudonymKey;
use zhili_runtime::auth::Authenticator;
use zhili_runtime::config::Secret;
use zhili_runtime::standalone::GROUPS;
use zhili_runtime::{Context, Failure, Health};
use zhili_tests::{Receiver, Tables, chaos, eventually, free_ports, has_library, program};
use zhili_warehouse::{Address, Layout, Warehouse};

use crate::kills::{BATCH, check_pages, events};

const POINTS: usize = 3;
const PARTITIONS: u32 = 4;
/// Members of each group.
const MEMBERS: u16 = 2;
/// The groups, and the service that ingest is.
const SERVICES: [&str; 3] = ["scoring", "escalation", "metrics"];
/// Key of the store; of no use outside of tests.
const KEY: &str = "members";
/// How long the way through the system may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything of `zhili up` in this process, with two members of each group; the store is a process
/// of its own, as always.
struct Process {
    _folder: TempDir,
    log: Arc<dyn EventLog>,
    bundles: Arc<Bundles>,
    clock: Clock,
    warehouse: Warehouse,
    webhook: (String, String),
    context: Context,
    ingest: SocketAddr,
    members: BTreeMap<(&'static str, u16), JoinHandle<Result<(), Failure>>>,
    healths: Vec<(String, Health)>,
    tables: Tables,
    http: reqwest::Client,
    store: Child,
}

impl Process {
    async fn start(webhook: (String, String)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key");
        std::fs::write(&key_file, KEY).unwrap();
        let store_at = format!("127.0.0.1:{}", free_ports());
        let store = Command::new(program())
            .args(["store", "--listen", &store_at, "--die-with-parent"])
            .arg(std::process::id().to_string())
            .arg("--data")
            .arg(folder.path().join("store"))
            .arg("--key-file")
            .arg(&key_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://{store_at}");
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let ping = format!("{url}/ping");
        eventually("the store answers", PATIENCE, async || {
            let answer = http.get(&ping).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;

        let clock = system_clock();
        let log = EmbeddedLog::open(&folder.path().join("log"), Arc::clone(&clock)).unwrap();
        log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
        let log: Arc<dyn EventLog> = Arc::new(log);
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ingest = listener.local_addr().unwrap();
        let context = Context::new(shutdown.clone(), Authenticator::insecure(ingest).unwrap());
        let bundles = Bundles::follow(Arc::clone(&log), shutdown).await.unwrap();
        let address = Address {
            url: url.clone(),
            user: "default".to_owned(),
            password: KEY.to_owned(),
            database: "zhili".to_owned(),
        };
        tokio::spawn(zhili_ingest::serve(
            listener,
            zhili_ingest::Config::default(),
            Arc::clone(&log),
            PseudonymKey::new([7; 32]),
            context.child(),
        ));
        let mut process = Self {
            _folder: folder,
            log,
            bundles,
            clock,
            warehouse: Warehouse::new(&address, false).unwrap(),
            webhook,
            context,
            ingest,
            members: BTreeMap::new(),
            healths: Vec::new(),
            tables: Tables::new(http.clone(), url, KEY.to_owned()),
            http,
            store,
        };
        for member in 0..MEMBERS {
            for service in SERVICES {
                process.join(service, member).await;
            }
        }
        process
    }

    /// Starts a member.
    async fn join(&mut self, service: &'static str, number: u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let member = format!("{service}-{number}");
        let (log, context) = (Arc::clone(&self.log), self.context.child());
        self.healths.push((member.clone(), context.health.clone()));
        let (bundles, clock) = (Arc::clone(&self.bundles), Arc::clone(&self.clock));
        let running: JoinHandle<Result<(), Failure>> = match service {
            "scoring" => {
                let config =
                    zhili_scoring::Config { partitions: PARTITIONS, member, ..Default::default() };
                spawn(zhili_scoring::serve(listener, config, log, bundles, clock, context))
            }
            "escalation" => {
                let config = zhili_escalation::Config {
                    member,
                    default_webhook: Some(zhili_escalation::DefaultWebhook {
                        url: Secret::new(self.webhook.0.as_str()),
                        secret: Secret::new(self.webhook.1.as_str()),
                        allow_private: true,
                    }),
                    ..Default::default()
                };
                spawn(zhili_escalation::serve(listener, config, log, bundles, clock, context))
            }
            _ => {
                let config = zhili_metrics::Config { member, ..Default::default() };
                let warehouse = self.warehouse.clone();
                let layout = Layout::default();
                spawn(zhili_metrics::serve(listener, config, log, warehouse, layout, context))
            }
        };
        self.members.insert((service, number), running);
    }

    /// Drops a member in the middle of whatever it does.
    async fn drop_member(&mut self, service: &'static str, number: u16) {
        let running = self.members.remove(&(service, number)).unwrap();
        running.abort();
        let ended = running.await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "{service}-{number} had ended");
    }

    async fn publish(&self, batch: &[Value]) {
        let url = format!("http://{}/v1/events", self.ingest);
        let answer = self.http.post(url).json(batch).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["accepted"], batch.len(), "{answer}");
    }

    /// Waits until every group has read, in the order in which they feed one another, what was in
    /// its topics when it was its turn.
    async fn settle(&self) {
        for (group, names) in GROUPS {
            for name in names {
                for number in 0..PARTITIONS {
                    let at = TopicPartition::new(*name, number);
                    let bounds = self.log.bounds(&at).await.unwrap();
                    let what = format!("{group} has read {at} to {}", bounds.end);
                    eventually(&what, PATIENCE, async || {
                        let committed = self.log.committed(group, &at).await.unwrap();
                        let read = committed.is_some_and(|committed| {
                            committed.offset >= bounds.end
                                && !committed.metadata.contains("pending")
                        });
                        (read || bounds.end == bounds.start).then_some(())
                    })
                    .await;
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (member, health) in &self.healths {
                eprintln!("{member}: {:?} {:?}", health.complaints(), health.warnings());
            }
        }
        self.context.shutdown.cancel();
        self.store.kill().ok();
        self.store.wait().ok();
    }
}

fn spawn(
    service: impl Future<Output = Result<(), Failure>> + Send + 'static,
) -> JoinHandle<Result<(), Failure>> {
    tokio::spawn(service)
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_one_of_two_members_loses_and_doubles_nothing() {
    if !has_library("dropping_one_of_two_members_loses_and_doubles_nothing") {
        return;
    }
    let seed = 1_225;
    let events = events();
    let batches = events.len().div_ceil(BATCH);
    let pages = Receiver::start().await;
    let mut process = Process::start(pages.target()).await;
    let mut random = StdRng::seed_from_u64(seed);
    let faults = chaos::plan(seed, chaos::points(POINTS), batches);
    let mut planned = faults.iter().peekable();
    let mut away = None;
    let mut dropped = BTreeMap::new();
    for (number, batch) in events.chunks(BATCH).enumerate() {
        process.publish(batch).await;
        while let Some(fault) = planned.next_if(|fault| fault.after_batches <= number) {
            // The fault's moment.
            tokio::time::sleep(Duration::from_millis(fault.after_ms)).await;
            if let Some((service, member)) = away.take() {
                process.join(service, member).await;
            }
            let service = SERVICES[random.random_range(0..SERVICES.len())];
            let member = random.random_range(0..MEMBERS);
            process.drop_member(service, member).await;
            *dropped.entry(service).or_insert(0) += 1;
            away = Some((service, member));
        }
    }
    // What is still away stays so: the other one has to do all of it.
    process.settle().await;

    let rows = process.tables.number("SELECT count() FROM v_events").await;
    let duplicates = process.tables.duplicates().await;
    eprintln!(
        "members dropped, seed {seed}: {dropped:?} while {} events were published, {rows} rows, \
         {duplicates} duplicate rows, {} pages",
        events.len(),
        pages.pages().len(),
    );
    assert_eq!(rows, events.len() as u64);
    assert_eq!(duplicates, 0);

    let calm = Receiver::start().await;
    let clean = Process::start(calm.target()).await;
    for batch in events.chunks(BATCH) {
        clean.publish(batch).await;
    }
    clean.settle().await;
    let facts = process.tables.facts().await;
    assert_eq!(facts, clean.tables.facts().await, "facts differ from a run without faults");
    check_pages(&pages, &calm, dropped.get("escalation").copied().unwrap_or(0)).await;
}
