//! Scores every message and folds conversations into facts and signals.
//!
//! Reads `zhili.events.v1`; for every accepted event writes one scored event, for every turn and
//! cycle its facts and their corrections, and for whatever a person should look at a signal.
//! Two further folds live on what conversations say: of their customers, `zhili.customers.v1`, and
//! of what is complained about, `zhili.pulse.v1`.

mod agents;
mod assessor;
mod bundle;
mod convert;
mod customers;
mod engines;
mod fold;
mod pulse;
mod recent;
mod records;
mod score;
mod settings;
pub mod text;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use zhili_eventlog::runner::{
    Bundles, Fold, Observation, Observer, Progress, RunnerOptions, run_group,
};
use zhili_eventlog::{Clock, EventLog, Membership, TopicPartition, topics};
use zhili_proto::scoring::v1::scoring_service_server::ScoringServiceServer;
use zhili_runtime::{Condition, Context, Failure, Server, together};

pub use assessor::Assessor;
pub use bundle::{AgentSettings, Bundle, CustomerSettings, Phrases};
pub use customers::CustomerFold;
pub use engines::Engines;
pub use fold::ScoringFold;
pub use pulse::PulseFold;
pub use settings::Settings;
pub use zhili_dialogue::Config as DialogueConfig;

/// Group whose positions say how far scoring has come.
pub const GROUP: &str = "zhili.scoring";
/// The same for the fold of customers.
pub const CUSTOMERS_GROUP: &str = "zhili.scoring.customers";
/// The same for the fold of complaints.
pub const PULSE_GROUP: &str = "zhili.scoring.pulse";

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
    let scored = Counter::<u64>::default();
    if let Ok(mut metrics) = context.metrics.lock() {
        metrics.register("scored_events", "Records folded by scoring", scored.clone());
    }
    let (shared, dialogue) = (engines.clone(), config.dialogue);
    let groups = Groups {
        log,
        member: config.member,
        bundles: Arc::clone(&bundles),
        options: RunnerOptions::new(config.partitions, clock),
        context: &context,
    };
    let conversations = groups.run(GROUP, topics::EVENTS, move |number, progress| {
        let mut before = 0;
        let (seen, scored) = (progress.clone(), scored.clone());
        let observer = Box::new(move |_: &ScoringFold, at: &Observation<'_>| {
            let records = seen.all().get(at.partition).map_or(0, |progress| progress.records);
            scored.inc_by(records.saturating_sub(before));
            before = records;
        });
        (ScoringFold::new(shared.clone(), dialogue, number), observer as _)
    });
    let customers =
        groups.run(CUSTOMERS_GROUP, topics::CUSTOMERS, |_, _| unwatched(CustomerFold::new()));
    let pulse = groups.run(PULSE_GROUP, topics::PULSE, |_, _| unwatched(PulseFold::new()));
    let folding = async { tokio::try_join!(conversations, customers, pulse).map(|_| ()) };

    let service = score::Service::new(engines, Arc::clone(&bundles));
    let server = Server::default()
        .http(score::routes(service.clone()))
        .grpc(ScoringServiceServer::new(service));
    together(folding, server.serve(listener, &context), &context.shutdown).await
}

/// What all groups of this service share.
struct Groups<'a> {
    log: Arc<dyn EventLog>,
    member: String,
    bundles: Arc<Bundles>,
    options: RunnerOptions,
    context: &'a Context,
}

impl Groups<'_> {
    /// Runs the folds of one topic; this process is not ready while one of them does not move.
    fn run<F: Fold>(
        &self,
        group: &'static str,
        topic: &'static str,
        make: impl Fn(u32, &Progress) -> (F, Observer<F>) + Send,
    ) -> impl Future<Output = Result<(), Failure>> {
        let progress = Progress::default();
        let (watched, now) = (progress.clone(), Arc::clone(&self.options.clock));
        self.context.folds.watch(group, progress.clone(), Arc::clone(&now));
        self.context.health.add(group, move || {
            let complaints = watched.complaints(now(), PATIENCE.as_millis() as i64);
            if complaints.is_empty() {
                Condition::Ready
            } else {
                Condition::NotReady(complaints.join("; "))
            }
        });
        let membership = Membership {
            group: group.to_owned(),
            member: self.member.clone(),
            topics: vec![topic.to_owned()],
        };
        let (log, bundles) = (Arc::clone(&self.log), Arc::clone(&self.bundles));
        let (options, shutdown) = (self.options.clone(), self.context.shutdown.clone());
        Box::pin(async move {
            let seen = progress.clone();
            let make = move |at: &TopicPartition| make(at.partition, &seen);
            let running = run_group(log, membership, make, bundles, options, progress, shutdown);
            running.await.map_err(|error| Failure::Unavailable(format!("{group}: {error}")))
        })
    }
}

/// A fold whose states nobody looks at.
fn unwatched<F: Fold>(fold: F) -> (F, Observer<F>) {
    (fold, Box::new(|_: &F, _: &Observation<'_>| {}))
}
