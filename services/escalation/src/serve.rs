//! The service put together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use zhili_eventlog::runner::{Bundles, Observation, Progress, RunnerOptions, run_group};
use zhili_eventlog::{Clock, EventLog, LogError, Membership, TopicPartition, partition_of, topics};
use zhili_proto::escalation::v1::escalation_service_server::EscalationServiceServer;
use zhili_runtime::auth::Authenticator;
use zhili_runtime::{Condition, Context, Failure, Server};

use crate::api::{self, Api};
use crate::attempts::{Attempts, Limits};
use crate::board::Board;
use crate::bundle::publish_default;
use crate::canary::Canary;
use crate::channel::Sender;
use crate::config::Config;
use crate::convert;
use crate::fold::Incidents;
use crate::heartbeat;
use crate::link::{LEAST_SECRET, Links};
use crate::metrics::Metrics;
use crate::owner::{Owner, Pager};
use crate::reach::Reach;
use crate::warning::Warning;
use crate::watch::Watching;

/// Consumer group of the service.
pub const GROUP: &str = "escalation";

/// Bytes of a link's address, without the token of a signed one.
const LONGEST_LINK: usize = 512;
/// A partition that has work and makes no progress for so long makes the service unready.
const PATIENCE_MS: i64 = 30_000;
/// A timer that is later than this is missed.
const MOST_OVERDUE_S: f64 = 60.0;
/// How often to look whether somebody has become unreachable.
const LOOK: Duration = Duration::from_secs(5);
/// How long sends under way may take to end after the signal to stop: their own time-out and
/// the append of their result.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until the context's shutdown: folds the partitions that the group gives this process,
/// sends pages, answers calls on `listener`.
///
/// The topics of [`topics::all`] must exist. `bundles` must follow the same log. Publishes
/// [`Config::default_webhook`] when it is not in force already.
///
/// # Errors
/// [`Failure::Usage`] for settings that cannot be used, [`Failure::Unavailable`] when the log or
/// the port cannot be used any more.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    log: Arc<dyn EventLog>,
    bundles: Arc<Bundles>,
    clock: Clock,
    context: Context,
) -> Result<(), Failure> {
    check(&config)?;
    let unavailable = |error: LogError| Failure::Unavailable(error.to_string());
    publish_default(&*log, &config, clock()).await.map_err(|error| match error {
        crate::DefaultError::Log(error) => unavailable(error),
        wrong => Failure::Usage(wrong.to_string()),
    })?;
    let partitions = log.topic(topics::ESCALATION).await.map_err(unavailable)?.partitions;
    let metrics = {
        let mut registry = context.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        Metrics::register(&mut registry)
    };
    let board = Board::open(Arc::clone(&log), config.watch_buffer).await.map_err(unavailable)?;
    let reach = Reach::new(Arc::clone(&bundles));
    let tasks = TaskTracker::new();
    let own_secret = config.default_webhook.as_ref().map(|webhook| webhook.secret.clone());
    let sender = Sender::new(config.allow_private_destinations, own_secret.unwrap_or_default())
        .map_err(|error| Failure::Unavailable(error.to_string()))?;
    let links = Links::new(&config.link, &config.public_url, &config.link_secret);
    let pager = Pager {
        log: Arc::clone(&log),
        clock: Arc::clone(&clock),
        name: Arc::from(format!("{}/{:016x}", config.member, rand::random::<u64>())),
        courier: sender.clone(),
        links: links.clone(),
        metrics: metrics.clone(),
        reach: reach.clone(),
        tasks: tasks.clone(),
        attempts: Arc::new(Mutex::new(Attempts::new(Limits {
            all: config.max_sends,
            per_destination: config.max_sends_per_destination,
        }))),
        owned: Arc::default(),
    };
    let progress = Progress::default();
    add_health(&context, &progress, &board, &reach, &clock);
    context.folds.watch(GROUP, progress.clone(), Arc::clone(&clock));

    let audit = {
        let (progress, board, metrics) = (progress.clone(), Arc::clone(&board), metrics.clone());
        let clock = Arc::clone(&clock);
        move || audit(&progress, &board, &metrics, clock())
    };
    let _beating = (!config.heartbeat_url.is_empty()).then(|| {
        let (url, shutdown) = (config.heartbeat_url.clone(), context.shutdown.clone());
        let beating = heartbeat::beat(sender.clone(), url, heartbeat::EVERY, audit, shutdown);
        AbortOnDropHandle::new(tokio::spawn(beating))
    });

    let canary = Canary {
        reach: reach.clone(),
        sender: sender.clone(),
        clock: Arc::clone(&clock),
        metrics: metrics.clone(),
        owns: owns(&pager, partitions),
    };
    let _flying = (config.canary_every_s > 0).then(|| {
        let every = Duration::from_secs(config.canary_every_s);
        let flying = canary.fly(every, context.shutdown.clone());
        AbortOnDropHandle::new(tokio::spawn(flying))
    });

    let api = Api {
        log: Arc::clone(&log),
        board: Arc::clone(&board),
        reach: reach.clone(),
        watching: Watching {
            log: Arc::clone(&log),
            board: Arc::clone(&board),
            metrics: metrics.clone(),
            shutdown: context.shutdown.clone(),
        },
        metrics,
        sender,
        clock: Arc::clone(&clock),
        links,
        partitions,
    };
    let server = Server::default()
        .grpc(EscalationServiceServer::new(api.clone()))
        .open(api::page::routes(api.clone()))
        .open(api::http::open_routes(api.clone()))
        .http(api::http::routes(api));

    // All of these end with this future, however it ends.
    let mut following: FuturesUnordered<_> = (0..board.partitions())
        .map(|partition| {
            let board = Arc::clone(&board);
            AbortOnDropHandle::new(tokio::spawn(async move { board.follow(partition).await }))
        })
        .collect();
    let _telling = AbortOnDropHandle::new(tokio::spawn(tell(
        reach,
        context.auth.clone(),
        context.shutdown.clone(),
    )));
    let membership = Membership {
        group: GROUP.to_owned(),
        member: config.member.clone(),
        topics: vec![topics::ESCALATION.to_owned()],
    };
    let make = move |partition: &TopicPartition| {
        let mut owner = Owner::new(pager.clone(), partition.clone());
        let observer = Box::new(move |fold: &Incidents, seen: &Observation<'_>| {
            owner.observe(fold, seen);
        });
        (Incidents::default(), observer as _)
    };
    let options = RunnerOptions::new(partitions, clock);
    let stop = context.shutdown.clone();
    let folding = Box::pin(run_group(log, membership, make, bundles, options, progress, stop));
    let serving = async {
        let outcome = Box::pin(server.serve(listener, &context)).await;
        // Without a port nobody can acknowledge: the process should start again.
        context.shutdown.cancel();
        outcome
    };
    let folding = async {
        let outcome = folding.await;
        context.shutdown.cancel();
        outcome.map_err(unavailable)
    };
    let both = async {
        let (fold, server) = tokio::join!(folding, serving);
        fold.and(server)
    };
    let outcome = tokio::select! {
        outcome = both => outcome,
        Some(ended) = following.next() => Err(Failure::Unavailable(match ended {
            Ok(error) => format!("cannot follow {}: {error}", topics::INCIDENTS),
            Err(_) => format!("the reader of {} failed", topics::INCIDENTS),
        })),
    };
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(
            sends = tasks.len(),
            "stopping with sends under way, their pages may be sent again"
        );
    }
    outcome
}

fn check(config: &Config) -> Result<(), Failure> {
    if config.member.is_empty() {
        return Err(Failure::Usage("member: empty; give this replica a name".to_owned()));
    }
    if config.public_url.is_empty() != config.link_secret.is_empty() {
        return Err(Failure::Usage(
            "public_url and link_secret: give both for signed links in pages, or neither"
                .to_owned(),
        ));
    }
    let secret = config.link_secret.expose();
    if !secret.is_empty() && secret.len() < LEAST_SECRET {
        return Err(Failure::Usage(format!(
            "link_secret: {} bytes; give at least {LEAST_SECRET} that nobody can guess",
            secret.len()
        )));
    }
    // A link is never cut from a card, so it must not fill one.
    if config.link.len().max(config.public_url.len()) > LONGEST_LINK {
        return Err(Failure::Usage(format!("link, public_url: over {LONGEST_LINK} bytes")));
    }
    for (name, value) in [
        ("max_sends", config.max_sends),
        ("max_sends_per_destination", config.max_sends_per_destination),
        ("watch_buffer", config.watch_buffer),
    ] {
        if value == 0 {
            return Err(Failure::Usage(format!("{name}: must be at least 1")));
        }
    }
    Ok(())
}

fn add_health(
    context: &Context,
    progress: &Progress,
    board: &Arc<Board>,
    reach: &Reach,
    clock: &Clock,
) {
    let (progress, clock) = (progress.clone(), Arc::clone(clock));
    context.health.add("incidents", move || {
        let complaints = progress.complaints(clock(), PATIENCE_MS);
        if complaints.is_empty() {
            Condition::Ready
        } else {
            Condition::NotReady(complaints.join("; "))
        }
    });
    let board = Arc::clone(board);
    context.health.add("list of incidents", move || {
        if board.is_complete() {
            Condition::Ready
        } else {
            Condition::NotReady("still reading the incidents of the log".to_owned())
        }
    });
    let (reach, auth) = (reach.clone(), context.auth.clone());
    context.health.add("pages", move || {
        let warnings = reach.all(auth.tenants());
        let words: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        if words.is_empty() { Condition::Ready } else { Condition::Warning(words.join("; ")) }
    });
}

/// Whether the partition of a tenant's team is owned here at the time.
fn owns<C>(pager: &Pager<C>, partitions: u32) -> impl Fn(&str, &str) -> bool + use<C> {
    let owned = Arc::clone(&pager.owned);
    move |tenant, team| {
        let partition = partition_of(&convert::key(tenant, team), partitions);
        let place = TopicPartition::new(topics::ESCALATION, partition);
        owned.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&place)
    }
}

/// What keeps pages from leaving in time, if anything does.
fn audit(progress: &Progress, board: &Board, metrics: &Metrics, now_ms: i64) -> Vec<String> {
    let mut complaints = progress.complaints(now_ms, PATIENCE_MS);
    if !board.is_complete() {
        complaints.push("still reading the incidents of the log".to_owned());
    }
    let overdue_s = metrics.overdue.get();
    if overdue_s > MOST_OVERDUE_S {
        complaints.push(format!("a timer is {overdue_s:.0} s overdue"));
    }
    complaints
}

/// Says loudly who cannot be reached, at the start and whenever that changes.
async fn tell(reach: Reach, auth: Authenticator, shutdown: CancellationToken) {
    let mut told: Vec<Warning> = Vec::new();
    loop {
        let warnings = reach.all(auth.tenants());
        for warning in warnings.iter().filter(|warning| !told.contains(*warning)) {
            tracing::error!("{warning}");
        }
        if warnings.is_empty() && !told.is_empty() {
            tracing::info!("everybody can be reached again");
        }
        told = warnings;
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
