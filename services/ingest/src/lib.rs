//! Takes events from contact-centre platforms, masks them and appends them to the log.
//!
//! gRPC `IngestService` and HTTP `POST /v1/events` share one path: every event is checked on its
//! own, what fails is rejected in its place and the rest stands; personal data is masked and ids
//! become keyed pseudonyms before anything is appended; the answer comes when the log has made
//! the events durable. A publisher that got no answer publishes again, which is harmless.
//!
//! Platforms that send by themselves have addresses of their own, [`adapters`].

pub mod accept;
pub mod adapters;
mod budget;
mod check;
mod config;
mod count;
#[cfg(test)]
mod fuzzed;
mod grpc;
mod http;
mod keys;
mod leads;
mod log_health;
mod metrics;
mod parse;
mod pseudonyms;
mod publish;
mod rejection;
mod settings;

use std::sync::{Arc, PoisonError};

use tokio::net::TcpListener;
use zhili_eventlog::{EventLog, system_clock, topics};
use zhili_runtime::{Context, Failure, Server, watch_groups};

pub use check::check;
pub use config::{Config, Limits};
pub use keys::Keys;
pub use parse::{BodyError, Element, parse_event};
pub use rejection::{Code, Rejection};
pub use settings::Settings;

use crate::log_health::LogHealth;
use crate::metrics::Metrics;
use crate::publish::Publisher;

/// Serves on `listener` until the context's shutdown. `zhili.events.v1` must exist in `log`.
///
/// `config.listen` is not read here: whoever binds the listener reads it.
///
/// # Errors
/// [`Failure::Usage`] for settings that contradict each other, [`Failure::Unavailable`] when the
/// log does not have the topic or the port is lost.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    log: Arc<dyn EventLog>,
    keys: impl Into<Keys>,
    context: Context,
) -> Result<(), Failure> {
    config.check()?;
    let senders = adapters::Senders::read(&config.senders)?;
    let topic = log
        .topic(topics::EVENTS)
        .await
        .map_err(|error| Failure::Unavailable(format!("cannot take events in: {error}")))?;
    let metrics =
        Metrics::register(&mut context.metrics.lock().unwrap_or_else(PoisonError::into_inner));
    let health = LogHealth::new(system_clock());
    let shown = health.clone();
    context.health.add("log", move || shown.condition());

    let keys = Arc::new(keys.into());
    let publisher = Arc::new(Publisher::new(
        Arc::clone(&log),
        topic.partitions,
        Arc::clone(&keys),
        &config,
        metrics,
        health.clone(),
        &context,
    ));
    let server = Server::default()
        .grpc(grpc::service(Arc::clone(&publisher)))
        .grpc(pseudonyms::service(Arc::clone(&keys)))
        .http(http::routes(Arc::clone(&publisher)))
        .http(pseudonyms::routes(keys))
        .open(adapters::http::routes(Arc::clone(&publisher), senders, &context));
    tokio::select! {
        outcome = server.serve(listener, &context) => outcome,
        never = health.probe(&*log) => match never {},
        // Here, because this is the one service that is not a member of any of them.
        never = watch_groups(&context) => match never {},
    }
}
