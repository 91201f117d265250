//! Moves scores, facts, signals and incidents from the log into ClickHouse, exactly once, and
//! answers questions about them.

mod clickhouse;
mod console;
mod forward;
mod observer;
mod questions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use zhili_eventlog::EventLog;
use zhili_proto::metrics::v1::metrics_service_server::MetricsServiceServer;
use zhili_runtime::{Condition, Context, Failure, Server, Sessions, Tls, together};
use zhili_warehouse::sink::{SinkOptions, run_sinks};
use zhili_warehouse::{Layout, Warehouse, WarehouseError, check_windows, migrate};

pub use clickhouse::ClickHouseSettings;

/// Group whose positions say how far the tables have come.
pub const GROUP: &str = "zhili.metrics";

/// The topics that the group reads.
pub const TOPICS: &[&str] = &zhili_warehouse::sink::TOPICS;

/// Pause before ClickHouse is asked again while it cannot be reached.
const RETRY: Duration = Duration::from_secs(1);

/// Settings of the metrics service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of gRPC, HTTP and the console.
    pub listen: SocketAddr,
    /// Name of this member in its group, stable over restarts.
    pub member: String,
    /// Where escalation is, which the console's incidents come from.
    pub escalation: String,
}

impl Config {
    /// Whether the settings can be used.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the setting.
    pub fn check(&self) -> Result<(), Failure> {
        forward::Escalation::new(&self.escalation, Tls::default()).map(|_| ())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7403)),
            member: "metrics-0".to_owned(),
            escalation: "http://127.0.0.1:7402".to_owned(),
        }
    }
}

/// Runs until shutdown. While ClickHouse cannot be reached the service is up and not ready, and
/// the log keeps what is to be written.
///
/// # Errors
/// When the schema cannot be brought up to date, the group membership ends or the port is lost.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    log: Arc<dyn EventLog>,
    warehouse: Warehouse,
    layout: Layout,
    context: Context,
) -> Result<(), Failure> {
    let escalation = forward::Escalation::new(&config.escalation, context.tls.clone())?;
    let observer = Arc::new(observer::Observed::new(&context));
    let watched = Arc::clone(&observer);
    context.health.add("sink", move || match watched.complaint() {
        None => Condition::Ready,
        Some(complaint) => Condition::NotReady(complaint),
    });
    let service =
        questions::Service::new(warehouse.clone(), Arc::clone(&log), Arc::clone(&observer));
    let server = Server::default()
        .sessions(Sessions::new(context.auth.clone()))
        .open(console::routes())
        .http(questions::routes(service.clone()))
        .http(escalation.routes())
        .grpc(MetricsServiceServer::new(service));
    let sinks = async {
        prepare(&warehouse, &layout, &observer, &context).await?;
        let shutdown = context.shutdown.clone();
        let tables = Arc::new(warehouse.clone());
        let seen = Arc::clone(&observer) as _;
        run_sinks(log, tables, GROUP, &config.member, SinkOptions::default(), seen, shutdown)
            .await
            .map_err(|error| Failure::Unavailable(format!("metrics: {error}")))
    };
    together(sinks, server.serve(listener, &context), &context.shutdown).await
}

/// Brings the schema up to date once ClickHouse answers.
async fn prepare(
    warehouse: &Warehouse,
    layout: &Layout,
    observer: &observer::Observed,
    context: &Context,
) -> Result<(), Failure> {
    loop {
        let prepared = async {
            let migrated = migrate(warehouse, layout).await?;
            check_windows(warehouse).await?;
            Ok::<_, WarehouseError>(migrated)
        };
        match prepared.await {
            Ok(_) => {
                observer.prepared();
                return Ok(());
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "waiting for ClickHouse");
                observer.waiting(&error);
            }
            Err(error) => return Err(Failure::Problems(format!("ClickHouse schema: {error}"))),
        }
        tokio::select! {
            () = context.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}
