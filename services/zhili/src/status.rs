//! `zhili status`: how the running system is.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use zhili_proto::log::v1::ListGroupsRequest;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_runtime::{Connector, Failure, Protocol};

use crate::client::{PATIENCE, System, print, print_json, said};
use crate::files::Addresses;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// One JSON object instead of words.
    #[arg(long)]
    json: bool,
}

/// How the system is.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    version: &'static str,
    pub(crate) services: BTreeMap<&'static str, Service>,
}

/// How one service is.
#[derive(Debug, Serialize)]
pub(crate) struct Service {
    url: String,
    pub(crate) ready: bool,
    /// Why it is not ready, or what a person should know.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// Records that it has not processed, and how long the oldest has waited; only for services
    /// that read the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_messages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let state = state(&arguments.system).await?;
    if arguments.json {
        print_json(&state)?;
    } else {
        print(&state.words())?;
    }
    let down: Vec<_> = state.services.iter().filter(|(_, service)| !service.ready).collect();
    match down.first() {
        None => Ok(()),
        Some((name, _)) => Err(Failure::Problems(format!("{name} is not ready"))),
    }
}

/// Asks every service.
pub(crate) async fn state(system: &System) -> Result<State, Failure> {
    let addresses = system.addresses()?;
    let (_, connector) = system.tls()?.connector(Protocol::Http1, PATIENCE)?;
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let mut services = BTreeMap::new();
    for (name, url) in addresses.each() {
        services.insert(name, ask(&client, name, url).await);
    }
    if services.values().all(|service| !service.ready) {
        return Err(Failure::Unavailable(
            "no service answers; start the system with `zhili up`".to_owned(),
        ));
    }
    for (name, (messages, ms)) in lags(system, &addresses).await? {
        if let Some(service) = services.get_mut(name) {
            service.lag_messages = Some(messages);
            service.lag_seconds = Some(ms as f64 / 1_000.0);
        }
    }
    Ok(State { version: env!("CARGO_PKG_VERSION"), services })
}

async fn ask(client: &Client<Connector, Empty<Bytes>>, name: &str, url: &str) -> Service {
    let path = if name == "store" { "ping" } else { "readyz" };
    let answer = async {
        let response = client.get(format!("{url}/{path}").parse().ok()?).await.ok()?;
        let ready = response.status().is_success();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((ready, String::from_utf8_lossy(&body).into_owned()))
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
    let (ready, text) = answer.unwrap_or_else(|| (false, "it does not answer".to_owned()));
    let text = text.trim();
    let text = text.strip_prefix("ready").or_else(|| text.strip_prefix("Ok.")).unwrap_or(text);
    let reason = text.trim().to_owned();
    Service { url: url.to_owned(), ready, reason, lag_messages: None, lag_seconds: None }
}

/// Lag of each service that reads the log: records and milliseconds.
async fn lags(
    system: &System,
    addresses: &Addresses,
) -> Result<BTreeMap<&'static str, (u64, i64)>, Failure> {
    let mut client = LogServiceClient::new(system.connect(&addresses.ingest).await?);
    let groups = client.list_groups(ListGroupsRequest {}).await.map_err(|s| said(&s))?;
    let mut lags = BTreeMap::new();
    for position in groups.into_inner().positions {
        let name = match position.group.as_str() {
            zhili_scoring::GROUP => "scoring",
            zhili_escalation::GROUP => "escalation",
            zhili_metrics::GROUP => "metrics",
            _ => continue,
        };
        let lag: &mut (u64, i64) = lags.entry(name).or_default();
        lag.0 += position.end.saturating_sub(position.committed);
        lag.1 = lag.1.max(position.lag_ms);
    }
    Ok(lags)
}

impl State {
    fn words(&self) -> String {
        let mut text = format!("zhili {}\n", self.version);
        for (name, service) in &self.services {
            let ready = if service.ready { "ready" } else { "NOT READY" };
            text += &format!("{name:<11} {ready:<10} {:<26}", service.url);
            if let (Some(messages), Some(seconds)) = (service.lag_messages, service.lag_seconds) {
                text += &format!(" {messages} to do, oldest {seconds:.1} s");
            }
            if !service.reason.is_empty() {
                text += &format!(" {}", service.reason.replace('\n', "; "));
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }
}
