//! All services in this process, with two tenants that have one of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::Bundles;
use zhili_eventlog::{EventLog, system_clock, topics};
use zhili_redact::PseudonymKey;
use zhili_runtime::auth::{Authenticator, Role, Tenant, new_token};
use zhili_runtime::log_service::LogReader;
use zhili_runtime::standalone::GROUPS;
use zhili_runtime::{Context, Endpoint, Failure};
use zhili_tests::{Receiver, eventually, samples};
use zhili_warehouse::Layout;

use super::engine::{Engine, engine};
use super::table::ROLES;

const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// The tenant whose things are asked for, and the one that asks for them.
pub(crate) const TENANTS: [&str; 2] = ["hongqiao", "pudong"];

/// A running service.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) channel: Channel,
    context: Context,
}

impl Service {
    /// What it says that it answers.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.context.endpoints.lock().unwrap().clone()
    }
}

/// Everything that runs, and what the first tenant has.
pub(crate) struct Stage {
    pub(crate) services: Vec<Service>,
    pub(crate) tokens: BTreeMap<(&'static str, Role), String>,
    pub(crate) expired: String,
    /// Values of the table's `$names`.
    pub(crate) names: BTreeMap<&'static str, String>,
    /// Texts that are found only in what belongs to the first tenant.
    pub(crate) marks: Vec<String>,
    pub(crate) http: reqwest::Client,
    shutdown: CancellationToken,
    tasks: JoinSet<Result<(), Failure>>,
    /// They end with it.
    held: (Option<Engine>, tempfile::TempDir, Receiver),
}

fn bundle(tenant: &str, url: &str) -> String {
    format!(
        "[escalation.teams.default.destinations.desk-of-{tenant}.webhook]\n\
         url = \"{url}\"\nallow_private = true\n\
         [escalation.teams.default.schedules.shift-of-{tenant}]\ntz = \"Asia/Shanghai\"\n\
         [[escalation.teams.default.schedules.shift-of-{tenant}.layers]]\n\
         members = [\"desk-of-{tenant}\"]\nrotation = \"weekly\"\nstarts = \"2026-01-05T09:00\"\n"
    )
}

impl Stage {
    /// Starts the services; without a store there is no metrics, which is said in one line.
    pub(crate) async fn start(test: &str) -> Self {
        let receiver = Receiver::start().await;
        let (mut records, mut tokens) = (Vec::new(), BTreeMap::new());
        let mut make = |tenant: &'static str, role: Role, expires: Option<u64>| {
            let name = format!("{role:?}");
            let of = Tenant::try_from(tenant.to_owned()).unwrap();
            let (token, record) = new_token(&name, of, BTreeSet::from([role]), expires);
            records.push(record);
            token.expose().to_owned()
        };
        for tenant in TENANTS {
            for role in ROLES {
                tokens.insert((tenant, role), make(tenant, role, None));
            }
        }
        let expired = make(TENANTS[0], Role::Admin, Some(1));

        let folder = tempfile::tempdir().unwrap();
        let clock = system_clock();
        let log = EmbeddedLog::open(folder.path(), Arc::clone(&clock)).unwrap();
        log.ensure_topics(&topics::all(PARTITIONS)).await.unwrap();
        let log: Arc<dyn EventLog> = Arc::new(log);
        let shutdown = CancellationToken::new();
        let mut root = Context::new(shutdown.clone(), Authenticator::from_records(records));
        root.log = Some(LogReader::new(Arc::clone(&log), PARTITIONS, GROUPS));
        let bundles = Bundles::follow(Arc::clone(&log), shutdown.clone()).await.unwrap();

        let mut stage = Self {
            services: Vec::new(),
            tokens,
            expired,
            names: BTreeMap::new(),
            marks: vec![TENANTS[0].to_owned()],
            http: reqwest::Client::new(),
            shutdown,
            tasks: JoinSet::new(),
            held: (engine(test), folder, receiver),
        };
        let (listener, context) = stage.add("ingest", &root).await;
        let key = PseudonymKey::new([7; 32]);
        let config = zhili_ingest::Config::default();
        stage.tasks.spawn(zhili_ingest::serve(listener, config, Arc::clone(&log), key, context));

        let (listener, context) = stage.add("scoring", &root).await;
        let config = zhili_scoring::Config { partitions: PARTITIONS, ..Default::default() };
        let parts = (Arc::clone(&log), Arc::clone(&bundles), Arc::clone(&clock));
        stage.tasks.spawn(async move {
            zhili_scoring::serve(listener, config, parts.0, parts.1, parts.2, context).await
        });

        let (listener, context) = stage.add("escalation", &root).await;
        let parts = (Arc::clone(&log), Arc::clone(&bundles), Arc::clone(&clock));
        stage.tasks.spawn(async move {
            let config = zhili_escalation::Config::default();
            zhili_escalation::serve(listener, config, parts.0, parts.1, parts.2, context).await
        });

        if let Some(store) = &stage.held.0 {
            let warehouse = store.warehouse("zhili");
            let escalation = stage.service("escalation").url.clone();
            let (listener, context) = stage.add("metrics", &root).await;
            let ingest = stage.service("ingest").url.clone();
            let config = zhili_metrics::Config { escalation, ingest, ..Default::default() };
            stage.tasks.spawn(async move {
                let layout = Layout::default();
                zhili_metrics::serve(listener, config, log, warehouse, layout, context).await
            });
        }
        for service in &stage.services {
            let url = format!("{}/readyz", service.url);
            eventually("it is ready", PATIENCE, async || {
                let answer = stage.http.get(&url).send().await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
        }
        stage.fill().await;
        stage
    }

    async fn add(&mut self, name: &'static str, root: &Context) -> (TcpListener, Context) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let channel = Channel::from_shared(url.clone()).unwrap().connect_lazy();
        let context = root.child();
        self.services.push(Service { name, url, channel, context: context.clone() });
        (listener, context)
    }

    pub(crate) fn service(&self, name: &str) -> &Service {
        self.services.iter().find(|service| service.name == name).unwrap()
    }

    async fn json(&self, service: &str, tenant: &'static str, role: Role, path: &str) -> Value {
        let url = format!("{}{path}", self.service(service).url);
        let request = self.http.get(url).bearer_auth(&self.tokens[&(tenant, role)]);
        request.send().await.unwrap().json().await.unwrap_or_default()
    }

    /// Gives each tenant a bundle, a conversation, an incident, a silence and a dead letter.
    async fn fill(&mut self) {
        use zhili_proto::log::v1::log_service_client::LogServiceClient;
        use zhili_proto::log::v1::{ApplyConfigRequest, ListDeadLettersRequest};
        let hook = self.held.2.target().0;
        for tenant in TENANTS {
            let admin: tonic::metadata::MetadataValue<_> =
                format!("Bearer {}", self.tokens[&(tenant, Role::Admin)]).parse().unwrap();
            let channel = self.service("ingest").channel.clone();
            let mut client =
                LogServiceClient::with_interceptor(channel, move |mut it: tonic::Request<()>| {
                    it.metadata_mut().insert("authorization", admin.clone());
                    Ok(it)
                });
            let content = bundle(tenant, &hook);
            let request = ApplyConfigRequest {
                content: content.clone().into_bytes().into(),
                expected_sequence: None,
            };
            let head = client.apply_config(request).await.unwrap().into_inner().head.unwrap();

            let message = |id: &str, text: &str| {
                json!({
                    "event_id": id, "source": "desk", "conversation_id": "c-1", "type": "message",
                    "sent_at": samples::now(), "queue": format!("queue-of-{tenant}"),
                    "customer": {"id": "kunde"}, "author": {"id": "kunde", "role": "customer"},
                    "text": text,
                })
            };
            let events = [
                message("m-1", "再不退款我就打12315投诉你们，律师函也准备好了"),
                message("m-1", "另一句话，同一个编号"),
            ];
            let mut answer = message("a-1", "您好，请问有什么可以帮您？");
            answer["author"] = json!({"id": "agent", "role": "agent"});
            let mut question = message("m-2", "你好，我的快递到哪里了");
            // An answered conversation has facts.
            for event in [&mut question, &mut answer] {
                event["conversation_id"] = "c-2".into();
            }
            for event in events.into_iter().chain([question, answer]) {
                let url = format!("{}/v1/events", self.service("ingest").url);
                let token = &self.tokens[&(tenant, Role::Publisher)];
                let sent = self.http.post(url).bearer_auth(token).json(&event).send().await;
                assert!(sent.unwrap().status().is_success());
            }
            let incident = eventually("an incident", PATIENCE, async || {
                let list =
                    self.json("escalation", tenant, Role::Supervisor, "/v1/incidents?all").await;
                list["incidents"].as_array()?.first().cloned()
            })
            .await;
            let text = |field: &str| incident[field].as_str().unwrap().to_owned();
            let (incident, conversation) = (text("incident_id"), text("conversation_id"));
            let letter = eventually("a dead letter", PATIENCE, async || {
                let letters = client.list_dead_letters(ListDeadLettersRequest::default()).await;
                Some(letters.unwrap().into_inner().dead_letters.first()?.id.clone())
            })
            .await;
            let url = format!("{}/v1/silences", self.service("escalation").url);
            let request = self.http.post(url).bearer_auth(&self.tokens[&(tenant, Role::Admin)]);
            let silence = json!({
                "matcher": {"kind": [format!("none.of.{tenant}")]}, "duration": "3600s",
                "comment": "a test",
            });
            let made: Value = request.json(&silence).send().await.unwrap().json().await.unwrap();
            let silence = made["silence"]["silence_id"]
                .as_str()
                .unwrap_or_else(|| panic!("{made}"))
                .to_owned();
            if self.services.iter().any(|service| service.name == "metrics") {
                eventually("the tables have it", PATIENCE, async || {
                    let path = format!("/v1/incidents/{incident}/events");
                    let events = self.json("metrics", tenant, Role::Admin, &path).await;
                    events["events"].as_array()?.first()?;
                    let path = format!("/v1/conversations/{conversation}");
                    let found = self.json("metrics", tenant, Role::Qa, &path).await;
                    found["messages"].as_array()?.first().map(|_| ())
                })
                .await;
            }
            if tenant == TENANTS[0] {
                self.marks.extend([incident.clone(), conversation.clone(), silence.clone()]);
                let hour_ms = 3_600_000;
                let now = system_clock()();
                self.names = BTreeMap::from([
                    ("$incident", incident),
                    ("$conversation", conversation),
                    ("$silence", silence),
                    ("$letter", letter),
                    ("$bundle", head.bundle),
                    (
                        "$content",
                        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, content),
                    ),
                    ("$now", samples::now()),
                    ("$from", samples::time(now - hour_ms)),
                    ("$to", samples::time(now + hour_ms)),
                ]);
            }
        }
    }

    /// Address of the store, if there is one.
    pub(crate) fn store(&self) -> Option<String> {
        self.held.0.as_ref().map(|store| store.address("zhili").url)
    }

    /// Ends the services, which must end well.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}
