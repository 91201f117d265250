//! Scores every message and folds conversations into facts and signals.
//!
//! Reads `zhili.events.v1`; for every accepted event writes one scored event, for every turn and
//! cycle its facts and their corrections, and for whatever a person should look at a signal.

mod assessor;
mod bundle;
mod convert;
mod engines;
mod fold;
mod score;
pub mod text;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use zhili_eventlog::runner::{Bundles, Observation, Progress, RunnerOptions, run_group};
use zhili_eventlog::{Clock, EventLog, Membership, TopicPartition, topics};
use zhili_proto::scoring::v1::scoring_service_server::ScoringServiceServer;
use zhili_runtime::{Condition, Context, Failure, Server, together};

pub use assessor::Assessor;
pub use bundle::{Bundle, Phrases};
pub use engines::Engines;
pub use fold::ScoringFold;
pub use zhili_dialogue::Config as DialogueConfig;

/// Group whose positions say how far scoring has come.
pub const GROUP: &str = "zhili.scoring";

/// A partition that has work and does not move for this long is not ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of the scoring service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of gRPC and HTTP.
    pub listen: SocketAddr,
    /// Name of this member in its group, stable over restarts.
    pub member: String,
    /// Partitions of the keyed topics: a property of the log, told by whoever opens it.
    #[serde(skip)]
    pub partitions: u32,
    /// When conversations leave memory, and how long silence ends one. For a new log: a partition
    /// that has a snapshot goes on with the settings that it began with, and says so.
    pub dialogue: zhili_dialogue::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7401)),
            member: "scoring-0".to_owned(),
            partitions: 12,
            dialogue: zhili_dialogue::Config::default(),
        }
    }
}

/// Runs until shutdown.
///
/// # Errors
/// When the group membership ends or the port is lost; the process should start again.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    log: Arc<dyn EventLog>,
    bundles: Arc<Bundles>,
    clock: Clock,
    context: Context,
) -> Result<(), Failure> {
    let engines =
        Engines::new().map_err(|error| Failure::Problems(format!("phrase library: {error}")))?;
    let progress = Progress::default();
    let (watched, now) = (progress.clone(), Arc::clone(&clock));
    context.health.add("fold", move || {
        let complaints = watched.complaints(now(), PATIENCE.as_millis() as i64);
        if complaints.is_empty() {
            Condition::Ready
        } else {
            Condition::NotReady(complaints.join("; "))
        }
    });
    let scored = Counter::<u64>::default();
    if let Ok(mut metrics) = context.metrics.lock() {
        metrics.register("scored_events", "Records folded by scoring", scored.clone());
    }

    let options = RunnerOptions::new(config.partitions, clock);
    let membership = Membership {
        group: GROUP.to_owned(),
        member: config.member.clone(),
        topics: vec![topics::EVENTS.to_owned()],
    };
    let (shared, dialogue) = (engines.clone(), config.dialogue);
    let seen = progress.clone();
    let make = move |at: &TopicPartition| {
        let fold = ScoringFold::new(shared.clone(), dialogue, at.partition);
        let (seen, scored) = (seen.clone(), scored.clone());
        let mut before = 0;
        let observer = Box::new(move |_: &ScoringFold, at: &Observation<'_>| {
            let records = seen.all().get(at.partition).map_or(0, |progress| progress.records);
            scored.inc_by(records.saturating_sub(before));
            before = records;
        });
        (fold, observer as _)
    };
    let service = score::Service::new(engines, Arc::clone(&bundles));
    let folding =
        run_group(log, membership, make, bundles, options, progress, context.shutdown.clone());

    let server = Server::default()
        .http(score::routes(service.clone()))
        .grpc(ScoringServiceServer::new(service));
    let folding =
        async { folding.await.map_err(|error| Failure::Unavailable(format!("scoring: {error}"))) };
    together(folding, server.serve(listener, &context), &context.shutdown).await
}
