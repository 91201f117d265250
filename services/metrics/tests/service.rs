//! The service over gRPC and HTTP on the real store: who may ask what, and of which tenant.
#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

#[allow(dead_code, reason = "the tests of the warehouse use more of it")]
#[path = "../../../crates/warehouse/tests/engine/mod.rs"]
mod engine;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use engine::{Engine, engine};
use prost::Message;
use reqwest::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, NewRecord, TopicPartition, topics};
use zhili_metrics::{Config, GROUP, serve};
use zhili_proto::metrics::v1::metrics_service_client::MetricsServiceClient;
use zhili_proto::metrics::v1::{
    AuditRequest, BringInScoresRequest, CompareRequest, Filter, GetConversationRequest,
    GetDistributionRequest, GetScorecardRequest, GetScorecardResponse, GetSummaryRequest,
    GetWallRequest, ListIncidentEventsRequest, ListMetricsRequest, ListObservationsRequest,
    OutsideScore, QueryRequest, RankRequest, ScorecardIndicator,
};
use zhili_proto::scoring::v1::{Fact, Turn, fact};
use zhili_proto::timestamp;
use zhili_runtime::auth::{Authenticator, Role, Tenant, new_token};
use zhili_runtime::{Context, Failure};
use zhili_warehouse::{Layout, Warehouse, migrate};

const ROLES: [Role; 7] = [
    Role::Publisher,
    Role::Agent,
    Role::Supervisor,
    Role::Qa,
    Role::Analyst,
    Role::Dpo,
    Role::Admin,
];

/// A running service over a store that holds a conversation `c1` of tenant `shop` and another,
/// `c2`, of tenant `other`.
struct Running {
    address: String,
    tokens: BTreeMap<(&'static str, Role), String>,
    warehouse: Warehouse,
    log: EmbeddedLog,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Failure>>,
    /// Both end with it.
    held: (Engine, tempfile::TempDir),
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Answers as escalation would be asked: with the method, the path, and who it is.
async fn escalation() -> String {
    use axum::http::{HeaderMap, Method, Uri};
    let echo = async |method: Method, uri: Uri, headers: HeaderMap, body: String| {
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        axum::Json(serde_json::json!({
            "asked": format!("{method} {uri}"),
            "authorization": said("authorization"),
            "cookie": said("cookie"),
            "body": body,
        }))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(echo);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

impl Running {
    async fn start(test: &str) -> Option<Self> {
        let engine = engine(test)?;
        let warehouse = engine.warehouse("zhili");
        migrate(&warehouse, &Layout::default()).await.unwrap();
        for (tenant, conversation, messages) in [("shop", "c1", 3), ("other", "c2", 5)] {
            let statement = format!(
                "INSERT INTO events (tenant, source, event_id, conversation_id, type, sent_at, \
                 role, sentiment, sentiment_value, log_append_at) \
                 SELECT '{tenant}', 'desk', toString(number), '{conversation}', 'message', \
                 now64(3), 'customer', 'neg', -0.5, now64(3) FROM numbers({messages})"
            );
            warehouse.client().query(&statement).execute().await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), Arc::new(now_ms)).unwrap();
        log.ensure_topics(&topics::all(2)).await.unwrap();

        let mut records = Vec::new();
        let mut tokens = BTreeMap::new();
        for tenant in ["shop", "other"] {
            for role in ROLES {
                let name = format!("{tenant}-{role:?}");
                let tenant_of = Tenant::try_from(tenant.to_owned()).unwrap();
                let (token, record) = new_token(&name, tenant_of, BTreeSet::from([role]), None);
                records.push(record);
                tokens.insert((tenant, role), token.expose().to_owned());
            }
        }
        let shutdown = CancellationToken::new();
        let context = Context::new(shutdown.clone(), Authenticator::from_records(records));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared: Arc<dyn EventLog> = Arc::new(log.clone());
        let serving = warehouse.clone();
        let config = Config { escalation: escalation().await, ..Config::default() };
        let task = tokio::spawn(async move {
            serve(listener, config, shared, serving, Layout::default(), context).await
        });
        let held = (engine, folder);
        Some(Self { address, tokens, warehouse, log, shutdown, task, held })
    }

    async fn client(
        &self,
        tenant: &'static str,
        role: Role,
    ) -> MetricsServiceClient<
        InterceptedService<Channel, impl FnMut(Request<()>) -> Result<Request<()>, Status> + use<>>,
    > {
        let bearer: MetadataValue<Ascii> =
            format!("Bearer {}", self.tokens[&(tenant, role)]).parse().unwrap();
        let channel = Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        MetricsServiceClient::with_interceptor(channel, move |mut request: Request<()>| {
            request.metadata_mut().insert("authorization", bearer.clone());
            Ok(request)
        })
    }

    async fn get(&self, tenant: &'static str, role: Role, path: &str) -> reqwest::Response {
        let token = &self.tokens[&(tenant, role)];
        let url = format!("{}{path}", self.address);
        reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap()
    }

    async fn post(
        &self,
        tenant: &'static str,
        role: Role,
        path: &str,
        body: serde_json::Value,
    ) -> reqwest::Response {
        let token = &self.tokens[&(tenant, role)];
        let url = format!("{}{path}", self.address);
        reqwest::Client::new().post(url).bearer_auth(token).json(&body).send().await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        drop(self.held);
    }
}

fn sentiment() -> QueryRequest {
    QueryRequest {
        metric_id: "sentiment.v1".into(),
        from: Some(timestamp(now_ms() - 3_600_000)),
        to: Some(timestamp(now_ms() + 3_600_000)),
        ..QueryRequest::default()
    }
}

fn conversation(id: &str) -> GetConversationRequest {
    GetConversationRequest { conversation_id: id.into() }
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_ask_what_the_role_table_says() {
    let Some(service) = Running::start("roles").await else { return };
    for role in ROLES {
        let aggregates = matches!(role, Role::Supervisor | Role::Qa | Role::Analyst | Role::Admin);
        let transcripts = matches!(role, Role::Supervisor | Role::Qa);
        let runs_the_log = role == Role::Admin;
        let granted = |may: bool| if may { Code::Ok } else { Code::PermissionDenied };
        let mut client = service.client("shop", role).await;
        let audit = AuditRequest { topic: topics::SCORES.into(), ..AuditRequest::default() };
        assert_eq!(code(client.query(sentiment()).await), granted(aggregates), "{role:?}");
        let summary = client.get_summary(GetSummaryRequest::default()).await;
        assert_eq!(code(summary), granted(aggregates), "{role:?}");
        let found = client.get_conversation(conversation("c1")).await;
        assert_eq!(code(found), granted(transcripts), "{role:?}");
        let QueryRequest { metric_id, from, to, .. } = sentiment();
        let metrics = client.list_metrics(ListMetricsRequest {}).await;
        assert_eq!(code(metrics), granted(aggregates), "{role:?}");
        let wall = client.get_wall(GetWallRequest {}).await;
        assert_eq!(code(wall), granted(aggregates), "{role:?}");
        let rank = RankRequest {
            metric_id: metric_id.clone(),
            from,
            to,
            by: "queue".into(),
            ..RankRequest::default()
        };
        assert_eq!(code(client.rank(rank).await), granted(aggregates), "{role:?}");
        let spread = GetDistributionRequest {
            metric_id: metric_id.clone(),
            from,
            to,
            ..GetDistributionRequest::default()
        };
        assert_eq!(code(client.get_distribution(spread).await), granted(aggregates), "{role:?}");
        let compare =
            CompareRequest { metric_id: metric_id.clone(), from, to, ..CompareRequest::default() };
        assert_eq!(code(client.compare(compare).await), granted(aggregates), "{role:?}");
        let rows =
            ListObservationsRequest { metric_id, from, to, ..ListObservationsRequest::default() };
        assert_eq!(code(client.list_observations(rows).await), granted(transcripts), "{role:?}");
        let incidents = matches!(role, Role::Supervisor | Role::Admin);
        let happened = ListIncidentEventsRequest { incident_id: "none".into() };
        let expected = if incidents { Code::NotFound } else { Code::PermissionDenied };
        assert_eq!(code(client.list_incident_events(happened).await), expected, "{role:?}");
        assert_eq!(code(client.audit(audit).await), granted(runs_the_log), "{role:?}");
        let card = client.get_scorecard(scorecard(None)).await;
        assert_eq!(code(card), granted(aggregates), "{role:?}");
        let brings_in = matches!(role, Role::Qa | Role::Admin);
        let brought = client.bring_in_scores(BringInScoresRequest::default()).await;
        assert_eq!(code(brought), granted(brings_in), "{role:?}");

        let granted = |may: bool| if may { StatusCode::OK } else { StatusCode::FORBIDDEN };
        let summary = service.get("shop", role, "/v1/summary").await;
        assert_eq!(summary.status(), granted(aggregates), "{role:?}");
        let found = service.get("shop", role, "/v1/conversations/c1").await;
        assert_eq!(found.status(), granted(transcripts), "{role:?}");
    }
    let anonymous = reqwest::get(format!("{}/v1/summary", service.address)).await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_and_nothing_of_another() {
    let Some(service) = Running::start("tenants").await else { return };
    for (tenant, own, foreign, messages) in [("shop", "c1", "c2", 3), ("other", "c2", "c1", 5)] {
        let mut client = service.client(tenant, Role::Qa).await;
        let summary = client.get_summary(GetSummaryRequest::default()).await.unwrap();
        let summary = summary.into_inner();
        assert_eq!((summary.messages, summary.conversations), (messages, 1), "{tenant}");
        let answer = client.query(sentiment()).await.unwrap().into_inner();
        assert_eq!(answer.points[0].n, messages, "{tenant}");
        let wall = client.get_wall(GetWallRequest {}).await.unwrap().into_inner();
        let waiting: Vec<&str> =
            wall.waiting.iter().map(|one| one.conversation_id.as_str()).collect();
        assert_eq!((wall.open_conversations, waiting), (1, vec![own]), "{tenant}");
        let rows = ListObservationsRequest {
            metric_id: "sentiment.v1".into(),
            from: sentiment().from,
            to: sentiment().to,
            ..ListObservationsRequest::default()
        };
        let rows = client.list_observations(rows).await.unwrap().into_inner().observations;
        assert_eq!(rows.len() as u64, messages, "{tenant}");
        assert!(rows.iter().all(|row| row.conversation_id == own), "{tenant}");
        let found = client.get_conversation(conversation(own)).await.unwrap().into_inner();
        assert_eq!(found.messages.len() as u64, messages, "{tenant}");
        assert_eq!(code(client.get_conversation(conversation(foreign)).await), Code::NotFound);
        let path = format!("/v1/conversations/{foreign}");
        let found = service.get(tenant, Role::Qa, &path).await;
        assert_eq!(found.status(), StatusCode::NOT_FOUND, "{tenant}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_document_is_served_and_problems_say_what_to_do() {
    let Some(service) = Running::start("document").await else { return };
    let document = service.get("shop", Role::Publisher, "/v1/openapi.json").await;
    let document: serde_json::Value = document.json().await.unwrap();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let told = format!("{method} {path}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{told}");
            // What others answer, and what anybody may, is compared where all services are.
            let here = operation["tags"] == serde_json::json!(["metrics"]);
            if !here || operation.get("security").is_some() || path == "/v1/openapi.json" {
                continue;
            }
            let path = path
                .replace("{metric_id}", "art.v1")
                .replace("{conversation_id}", "c1")
                .replace("{scorecard_id}", "scorecard.v1")
                .replace("{erasure_id}", "era_none")
                .replace("{hold_id}", "hold_none")
                .replace("{incident_id}", "i1");
            assert!(!path.contains('{'), "{told} has a parameter that this test does not know");
            // A publisher may ask nothing, and is told so by what is there.
            let answer = match method.as_str() {
                "get" => service.get("shop", Role::Publisher, &path).await,
                _ => service.post("shop", Role::Publisher, &path, serde_json::json!({})).await,
            };
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{told}");
            operations += 1;
        }
    }
    assert!(operations >= 13, "{operations}");

    let problem = async |path: &str, body: serde_json::Value| {
        let answer = service.post("shop", Role::Qa, path, body).await;
        let status = answer.status();
        let problem: serde_json::Value = answer.json().await.unwrap();
        (status, problem["detail"].as_str().unwrap().to_owned())
    };
    let range = |more: serde_json::Value| {
        let mut body =
            serde_json::json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let nothing = serde_json::json!({});
    for (path, body, status, words) in [
        ("/v1/metrics/art.v1:query", nothing.clone(), StatusCode::BAD_REQUEST, "from: a time"),
        ("/v1/metrics/art.v1:sum", nothing.clone(), StatusCode::NOT_FOUND, "POST to"),
        ("/v1/metrics/art.v9:rank", range(nothing.clone()), StatusCode::BAD_REQUEST, "`art.v9`"),
        (
            "/v1/metrics/art.v1:rank",
            range(serde_json::json!({"by": "shoe size"})),
            StatusCode::BAD_REQUEST,
            "by: one of agent, channel",
        ),
        (
            "/v1/metrics/mtta.v1:rank",
            range(serde_json::json!({"by": "agent"})),
            StatusCode::BAD_REQUEST,
            "cannot be split by agent",
        ),
        (
            "/v1/metrics/emo.conv.v1:distribution",
            range(nothing.clone()),
            StatusCode::BAD_REQUEST,
            "is a rate",
        ),
        (
            "/v1/metrics/art.v1:query",
            range(serde_json::json!({"zone": "Mars/Olympus"})),
            StatusCode::BAD_REQUEST,
            "Asia/Shanghai",
        ),
        (
            "/v1/metrics/art.v1:query",
            range(serde_json::json!({"tenant": "other"})),
            StatusCode::BAD_REQUEST,
            "unknown field `tenant`",
        ),
    ] {
        let (got, detail) = problem(path, body).await;
        assert!(got == status && detail.contains(words), "{path}: {got} {detail}");
    }
    service.stop().await;
}

fn scorecard(agent: Option<&str>) -> GetScorecardRequest {
    GetScorecardRequest {
        scorecard_id: "scorecard.v1".into(),
        from: sentiment().from,
        to: sentiment().to,
        filter: Some(Filter { agent: agent.map(str::to_owned), ..Filter::default() }),
        ..GetScorecardRequest::default()
    }
}

fn exam(score_id: &str, agent: &str, value: f64) -> OutsideScore {
    OutsideScore {
        score_id: score_id.into(),
        metric_id: "exam.v1".into(),
        agent: agent.into(),
        at: Some(timestamp(now_ms())),
        value,
        ..OutsideScore::default()
    }
}

fn indicator<'a>(card: &'a GetScorecardResponse, metric_id: &str) -> &'a ScorecardIndicator {
    let mut indicators = card.dimensions.iter().flat_map(|dimension| &dimension.indicators);
    indicators.find(|indicator| indicator.metric_id == metric_id).unwrap()
}

/// Turns answered by `a1` of a tenant, each after so many milliseconds.
async fn answered(service: &Running, tenant: &str, waits_ms: &[i64]) {
    for (n, wait_ms) in waits_ms.iter().enumerate() {
        let statement = format!(
            "INSERT INTO turns (tenant, conversation_id, fact_id, at, agent, started_at, \
             rt_human_ms, log_append_at) \
             SELECT '{tenant}', 'c', 'f{n}', now64(3), 'a1', now64(3), {wait_ms}, now64(3)"
        );
        service.warehouse.client().query(&statement).execute().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scorecard_weighs_what_was_measured_of_one_tenant_and_says_what_was_not() {
    let Some(service) = Running::start("scorecard").await else { return };
    // Means of 315 s and of 30 s: half of the points, and all of them.
    answered(&service, "shop", &[30_000, 600_000]).await;
    answered(&service, "other", &[30_000]).await;
    let bring = async |tenant, score: OutsideScore| {
        let mut client = service.client(tenant, Role::Qa).await;
        let request = BringInScoresRequest { scores: vec![score] };
        client.bring_in_scores(request).await.unwrap().into_inner().accepted
    };
    assert_eq!(bring("shop", exam("q1", "a1", 60.0)).await, 1);
    assert_eq!(bring("other", exam("q1", "a1", 10.0)).await, 1);
    let card = async |tenant, agent| {
        let mut client = service.client(tenant, Role::Analyst).await;
        client.get_scorecard(scorecard(agent)).await.unwrap().into_inner()
    };

    let shop = card("shop", Some("a1")).await;
    assert_eq!((shop.scorecard_id.as_str(), shop.version), ("scorecard.v1", 2));
    assert_eq!(shop.dimensions.len(), 7);
    let response = indicator(&shop, "art.v1");
    assert_eq!((response.points, response.not_measured.as_str()), (Some(50.0), ""));
    assert_eq!(response.figure.as_ref().map(|figure| figure.n), Some(2));
    assert_eq!(indicator(&shop, "exam.v1").points, Some(60.0));
    let rating = indicator(&shop, "csat.v1");
    assert_eq!(rating.points, None);
    assert!(rating.not_measured.contains("cannot be split by agent"), "{}", rating.not_measured);
    assert_eq!(indicator(&shop, "resolved.v1").not_measured, "nothing was observed");
    // Knowledge weighs 15 and efficiency 15: 60 and 50 points.
    assert_eq!(shop.total, Some(55.0));
    // Two thirds of either, of 100.
    assert!((shop.measured - 0.2).abs() < 1e-9, "{}", shop.measured);
    assert!(!shop.fatal[0].happened);
    assert_eq!(shop.fatal[0].not_measured, "nothing was observed");

    let other = card("other", Some("a1")).await;
    assert_eq!(indicator(&other, "art.v1").points, Some(100.0));
    assert_eq!(indicator(&other, "exam.v1").points, Some(10.0));

    // A score of the same identity replaces it, and a withdrawn one counts no more.
    bring("shop", exam("q1", "a1", 80.0)).await;
    assert_eq!(indicator(&card("shop", None).await, "exam.v1").points, Some(80.0));
    bring("shop", OutsideScore { withdrawn: true, ..exam("q1", "a1", 80.0) }).await;
    assert_eq!(indicator(&card("shop", None).await, "exam.v1").points, None);
    assert_eq!(indicator(&card("other", None).await, "exam.v1").points, Some(10.0));

    let forbidden = "INSERT INTO events (tenant, source, event_id, conversation_id, type, sent_at, \
         role, author, forbidden, log_append_at) VALUES \
         ('shop', 'desk', 'rude', 'c1', 'message', now64(3), 'agent', 'a1', true, now64(3))";
    service.warehouse.client().query(forbidden).execute().await.unwrap();
    let fatal = card("shop", Some("a1")).await;
    assert_eq!((fatal.total, fatal.fatal[0].happened), (Some(0.0), true));
    assert_eq!(card("other", Some("a1")).await.fatal[0].figure.as_ref().unwrap().n, 0);

    // The same over HTTP.
    let range = serde_json::json!({
        "from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z", "filter": {"queue": "vip"}
    });
    let asked = service.post("shop", Role::Qa, "/v1/scorecards/scorecard.v1:query", range.clone());
    let asked: serde_json::Value = asked.await.json().await.unwrap();
    assert_eq!(asked["dimensions"].as_array().unwrap().len(), 7);
    assert_eq!(asked["total"], serde_json::Value::Null, "nothing was measured then");
    let unknown = service.post("shop", Role::Qa, "/v1/scorecards/other.v1:query", range).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let refused = serde_json::json!({"scores": [{"score_id": "q2", "metric_id": "art.v1"}]});
    let refused = service.post("shop", Role::Admin, "/v1/scores", refused).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_logs_in_with_a_token_and_then_needs_its_cookie_and_its_second_secret() {
    let Some(service) = Running::start("browser").await else { return };
    let url = |path: &str| format!("{}{path}", service.address);
    let client = reqwest::Client::new();
    let token = &service.tokens[&("shop", Role::Supervisor)];
    let wrong = client.post(url("/session")).json(&serde_json::json!({"token": "zhili_guess"}));
    assert_eq!(wrong.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let form = client.post(url("/session")).body(format!("token={token}"));
    assert_eq!(form.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let opened = client.post(url("/session")).json(&serde_json::json!({ "token": token }));
    let opened = opened.send().await.unwrap();
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(token.as_str()), "the token is in the cookie");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let welcome: serde_json::Value = opened.json().await.unwrap();
    assert_eq!(welcome["tenant"], "shop");

    let read = client.get(url("/v1/summary")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK);
    let act =
        || client.post(url("/v1/incidents/i1:acknowledge")).header("cookie", &cookie).body("{}");
    assert_eq!(act().send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let csrf = welcome["csrf"].as_str().unwrap();
    let done = act().header("x-csrf-token", csrf).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    let asked: serde_json::Value = done.json().await.unwrap();
    assert_eq!(asked["asked"], "POST /v1/incidents/i1:acknowledge");
    assert_eq!(asked["authorization"], format!("Bearer {token}"));
    assert_eq!((&asked["cookie"], &asked["body"]), (&serde_json::Value::Null, &"{}".into()));

    let ended = client.delete(url("/session")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    let read = client.get(url("/v1/summary")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::UNAUTHORIZED);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_asked_of_escalation_by_those_who_may_see_them() {
    let Some(service) = Running::start("forward").await else { return };
    for role in ROLES {
        let may = matches!(role, Role::Supervisor | Role::Admin);
        let expected = if may { StatusCode::OK } else { StatusCode::FORBIDDEN };
        for path in ["/v1/incidents?all", "/v1/incidents/i1", "/v1/incidents:watch?cursor=start"] {
            let answer = service.get("shop", role, path).await;
            assert_eq!(answer.status(), expected, "{role:?} {path}");
            if may {
                let asked: serde_json::Value = answer.json().await.unwrap();
                assert_eq!(asked["asked"], format!("GET {path}"));
            }
        }
    }
    // What is kept of an incident is ours.
    let happened = service.get("shop", Role::Admin, "/v1/incidents/i1/events").await;
    assert_eq!(happened.status(), StatusCode::NOT_FOUND);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_to_anybody_and_may_load_nothing_from_elsewhere() {
    let Some(service) = Running::start("page").await else { return };
    for path in ["/", "/overview", "/incidents/i1", "/conversations/c1"] {
        let page = reqwest::get(format!("{}{path}", service.address)).await.unwrap();
        if page.status() == StatusCode::NOT_FOUND {
            let words = page.text().await.unwrap();
            assert!(words.contains("make console"), "{words}");
            continue;
        }
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        let text = page.text().await.unwrap();
        let loaded = text.split('"').find(|part| part.starts_with("/assets/")).unwrap();
        let asset = reqwest::get(format!("{}{loaded}", service.address)).await.unwrap();
        assert_eq!(asset.status(), StatusCode::OK, "{loaded}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_what_is_missing_and_the_repair_writes_it() {
    let Some(service) = Running::start("audit").await else { return };
    let at = TopicPartition::new(topics::FACTS, 0);
    let records: Vec<NewRecord> = (0..10)
        .map(|n| {
            let turn = Fact {
                tenant: "shop".into(),
                conversation_id: "c1".into(),
                fact_id: format!("f{n}"),
                at_ms: now_ms(),
                fact: Some(fact::Fact::Turn(Turn::default())),
                ..Fact::default()
            };
            NewRecord::new(at.clone(), Bytes::from("c1"), Bytes::from(turn.encode_to_vec()))
        })
        .collect();
    for outcome in service.log.append(records).await {
        outcome.unwrap();
    }
    let done = |committed: Option<zhili_eventlog::Committed>| {
        committed.is_some_and(|at| at.offset == 10 && !at.metadata.contains("pending"))
    };
    // A position has no event of its own to wait for.
    while !done(service.log.committed(GROUP, &at).await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let lose = "DELETE FROM turns WHERE log_offset IN (3, 4)";
    service.warehouse.client().query(lose).execute().await.unwrap();

    let mut client = service.client("shop", Role::Admin).await;
    let request =
        |repair| AuditRequest { topic: topics::FACTS.into(), repair, ..AuditRequest::default() };
    let found = client.audit(request(false)).await.unwrap().into_inner();
    assert_eq!((found.partitions, found.next_offset, found.end_offset), (2, 10, 10));
    assert_eq!((found.rows, found.holes), (10, 2));
    let mended = client.audit(request(true)).await.unwrap().into_inner();
    assert_eq!((mended.holes, mended.repaired), (0, 2));
    let clean = client.audit(request(false)).await.unwrap().into_inner();
    assert_eq!((clean.holes, clean.duplicates, clean.strays), (0, 0, 0));
    let foreign = AuditRequest { topic: topics::EVENTS.into(), ..AuditRequest::default() };
    assert_eq!(code(client.audit(foreign).await), Code::InvalidArgument);
    service.stop().await;
}
