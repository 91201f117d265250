//! Moves scores, facts, signals and incidents from the log into ClickHouse, exactly once, and
//! answers questions about them.

mod clickhouse;
mod console;
mod forward;
mod observer;
mod privacy;
mod questions;
mod rollups;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use zhili_erasure::Owner;
use zhili_eventlog::runner::Bundles;
use zhili_eventlog::{EventLog, system_clock};
use zhili_proto::metrics::v1::metrics_service_server::MetricsServiceServer;
use zhili_proto::privacy::v1::privacy_service_server::PrivacyServiceServer;
use zhili_runtime::{Condition, Context, Failure, Server, Sessions, Tls, together};
use zhili_warehouse::sink::{SinkOptions, run_sinks};
use zhili_warehouse::{Layout, Warehouse, WarehouseError, check_windows, migrate};

pub use clickhouse::ClickHouseSettings;
pub use settings::Settings;

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
    /// Where escalation is, `http://HOST:PORT` or `https://HOST:PORT`: the console's incidents are asked
    /// for there, with the caller's token.
    pub escalation: String,
    /// Where ingest is, in the same way: the console asks there what an id of the platform is called here.
    pub ingest: String,
    /// File of the 32 bytes that receipts of erasures are signed with, the same for all replicas.
    /// Without it nobody is erased.
    pub receipt_key: Option<PathBuf>,
}

impl Config {
    /// Whether the settings can be used.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the setting.
    pub fn check(&self) -> Result<(), Failure> {
        forward::Peer::escalation(&self.escalation, Tls::default())?;
        forward::Peer::ingest(&self.ingest, Tls::default())?;
        self.receipt_key.as_deref().map_or(Ok(()), |file| privacy::signer(file).map(|_| ()))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7403)),
            member: "metrics-0".to_owned(),
            escalation: "http://127.0.0.1:7402".to_owned(),
            ingest: "http://127.0.0.1:7400".to_owned(),
            receipt_key: None,
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
    let escalation = forward::Peer::escalation(&config.escalation, context.tls.clone())?;
    let ingest = forward::Peer::ingest(&config.ingest, context.tls.clone())?;
    let observer = Arc::new(observer::Observed::new(&context));
    let watched = Arc::clone(&observer);
    context.health.add("sink", move || match watched.complaint() {
        None => Condition::Ready,
        Some(complaint) => Condition::NotReady(complaint),
    });
    let bundles = Bundles::follow(Arc::clone(&log), context.shutdown.clone())
        .await
        .map_err(|error| Failure::Unavailable(format!("cannot read what is in force: {error}")))?;
    let service = questions::Service::new(
        warehouse.clone(),
        Arc::clone(&log),
        Arc::clone(&observer),
        bundles,
        context.shutdown.clone(),
    );
    let signer = config.receipt_key.as_deref().map(privacy::signer).transpose()?;
    let subjects = privacy::Service::new(
        Arc::clone(&log),
        warehouse.clone(),
        system_clock(),
        signer.is_some(),
    );
    let server = Server::default()
        .sessions(Sessions::new(context.auth.clone()))
        .open(console::routes())
        .http(questions::routes(service.clone()))
        .http(escalation.incidents())
        .http(ingest.pseudonyms())
        .http(privacy::routes(subjects.clone()))
        .grpc(PrivacyServiceServer::new(subjects))
        .grpc(MetricsServiceServer::new(service));
    let sinks = async {
        prepare(&warehouse, &layout, &observer, &context).await?;
        let shutdown = context.shutdown.clone();
        if let Some(signer) = signer {
            let (log, warehouse) = (Arc::clone(&log), warehouse.clone());
            let owner = Owner::new(log, warehouse, layout.clone(), signer, system_clock());
            let (member, shutdown) = (config.member.clone(), shutdown.clone());
            tokio::spawn(async move {
                if let Err(error) = owner.run(&member, shutdown).await {
                    tracing::error!(%error, "erasures are not done any more, restart the service");
                }
            });
        }
        let rolling = rollups::keep(warehouse.clone(), layout.clone(), &context);
        tokio::spawn(rolling);
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
