//! `zhili up`: everything on loopback, in one terminal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::runner::Bundles;
use zhili_eventlog::{EventLog, system_clock, topics};
use zhili_ingest::Keys;
use zhili_ingest::adapters::{Platform, Sender};
use zhili_proto::conversation::v1::Event;
use zhili_runtime::auth::{Authenticator, Tenant};
use zhili_runtime::config::Secret;
use zhili_runtime::log_service::LogReader;
use zhili_runtime::standalone::GROUPS;
use zhili_runtime::telemetry::TelemetryConfig;
use zhili_runtime::{Condition, Context, Failure, Health, RuntimeConfig, bind, unusable};
use zhili_warehouse::{Address, Layout, Warehouse};

use crate::client::print;
use crate::files::{Addresses, Folder, loopback};
use crate::publish;
use crate::store::Supervised;

/// Partitions of a log in one process: enough to use a few cores.
const PARTITIONS: u32 = 4;
/// How long the parts may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what was published may take to reach the tables before the table of `--publish` is
/// printed without it.
const SETTLE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder of everything that is kept.
    #[arg(long, default_value = ".zhili", env = "ZHILI_DATA")]
    data: PathBuf,
    /// First of five ports: ingest, scoring, escalation, metrics, store.
    #[arg(long, default_value_t = 7400)]
    port_base: u16,
    /// ClickHouse to use instead of a store of our own, as http://HOST:PORT or https://HOST:PORT.
    #[arg(long)]
    clickhouse_url: Option<String>,
    /// User of that ClickHouse.
    #[arg(long, default_value = "default", requires = "clickhouse_url")]
    clickhouse_user: String,
    /// Password of that ClickHouse.
    #[arg(long, env = "ZHILI_CLICKHOUSE_PASSWORD", hide_env_values = true, default_value = "")]
    clickhouse_password: Secret,
    /// libchdb.so; else the one in the cache.
    #[arg(long, env = "ZHILI_LIBCHDB")]
    libchdb: Option<PathBuf>,
    /// Where people open the console, for the links of pages; else on this machine.
    #[arg(long, value_name = "URL")]
    console_url: Option<String>,
    /// Webhook that pages the person on call.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Where the secret of its signatures (whsec_...) is: env:NAME or file:PATH.
    #[arg(long, value_name = "WHERE", default_value = "", requires = "webhook")]
    webhook_secret: String,
    /// A secret with which a platform proves itself, as chatwoot=WHERE or sunshine=WHERE, where it is
    /// env:NAME or file:PATH. Repeatable.
    #[arg(long = "sender", value_name = "PLATFORM=WHERE", value_parser = sender)]
    senders: Vec<Sender>,
    /// Let everybody on this machine in without a token.
    #[arg(long)]
    insecure: bool,
    /// Collector for traces, as http://HOST:PORT of OTLP/gRPC.
    #[arg(long, value_name = "URL", default_value = "")]
    otlp: String,
    /// What to log, in the form of the `tracing` crate.
    #[arg(long, default_value = "warn,zhili=info")]
    log: String,
    /// Memory that the services together may take, MiB; 0 for what the machine has. From four fifths
    /// of it on publishers are told to come again. The store is not counted.
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    memory_limit: u64,
    /// Publish these files or folders of dialogues once everything is up.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    publish: Vec<PathBuf>,
}

/// A platform and where its secret is.
fn sender(text: &str) -> Result<Sender, String> {
    let (platform, secret) = text.split_once('=').ok_or("must be PLATFORM=WHERE")?;
    let known = Platform::ALL.into_iter().find(|known| known.name() == platform);
    Ok(Sender {
        platform: known.ok_or("the platform must be chatwoot or sunshine")?,
        tenant: Tenant::default_tenant(),
        secret: secret.to_owned(),
    })
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    // Before anything is started or made: a file that cannot be read is mended first.
    let events = publish::read_paths(&arguments.publish)?;
    let folder = Folder::new(&arguments.data);
    folder.create()?;
    let token = folder.ensure_token()?;
    let auth = if arguments.insecure {
        Authenticator::insecure(loopback(arguments.port_base))?
    } else {
        Authenticator::from_file(&folder.tokens())?
    };
    let config = RuntimeConfig {
        telemetry: TelemetryConfig {
            filter: arguments.log.clone(),
            otlp: arguments.otlp.clone(),
            ..TelemetryConfig::default()
        },
        memory_mib: arguments.memory_limit,
        ..RuntimeConfig::default()
    };
    zhili_runtime::run("zhili", &config, auth, |context| {
        up(arguments, events, folder, token, context)
    })
}

async fn up(
    arguments: Arguments,
    events: Vec<Event>,
    folder: Folder,
    token: Secret,
    context: Context,
) -> Result<(), Failure> {
    let base = arguments.port_base;
    // Ports first: a busy one is said before anything is touched.
    let mut listeners = Vec::new();
    for offset in 0..4 {
        listeners.push(bind(loopback(base + offset)).await?);
    }
    let [ingest, scoring, escalation, metrics]: [_; 4] = listeners
        .try_into()
        .map_err(|_| Failure::Problems("four services have four ports".to_owned()))?;

    let clock = system_clock();
    let log =
        EmbeddedLog::open(&folder.log(), Arc::clone(&clock)).map_err(|error| unusable(&error))?;
    log.ensure_topics(&topics::all(PARTITIONS)).await.map_err(|error| unusable(&error))?;
    let log: Arc<dyn EventLog> = Arc::new(log);
    let reader = LogReader::new(Arc::clone(&log), PARTITIONS, GROUPS).with_copies(folder.backups());
    let context = Context { log: Some(reader), ..context };

    // The store ends after the services that write to it.
    let store_shutdown = CancellationToken::new();
    let addresses = Addresses::from_base("http", "127.0.0.1", base);
    let (store, address) = match &arguments.clickhouse_url {
        Some(url) => {
            let address = Address {
                url: url.clone(),
                user: arguments.clickhouse_user.clone(),
                password: arguments.clickhouse_password.expose().to_owned(),
                database: "zhili".to_owned(),
            };
            (None, address)
        }
        None => {
            let listen = loopback(base + 4);
            let libchdb = arguments.libchdb.clone();
            let store = Supervised::start(&folder, listen, libchdb, store_shutdown.clone()).await?;
            let running = store.running();
            context.health.add("store", move || {
                if running.load(Ordering::Relaxed) {
                    Condition::Ready
                } else {
                    Condition::NotReady("it ended and is being started again".to_owned())
                }
            });
            let address = Address {
                url: addresses.store.clone(),
                user: "default".to_owned(),
                password: token.expose().to_owned(),
                database: "zhili".to_owned(),
            };
            (Some(store), address)
        }
    };
    let warehouse = Warehouse::new(&address, false)
        .map_err(|error| Failure::Usage(format!("--clickhouse-url: {error}")))?;
    let bundles = Bundles::follow(Arc::clone(&log), context.shutdown.clone())
        .await
        .map_err(|error| unusable(&error))?;
    let console = arguments.console_url.as_deref().unwrap_or(&addresses.metrics);
    let console = console.trim_end_matches('/');
    let escalation_config = zhili_escalation::Config {
        // Everything is on this machine, so a receiver may be too.
        allow_private_destinations: true,
        link: format!("{console}/incidents/{{incident_id}}"),
        default_webhook: arguments.webhook.as_ref().map(|url| zhili_escalation::DefaultWebhook {
            url: Secret::new(url.as_str()),
            secret: Secret::new(arguments.webhook_secret.as_str()),
            allow_private: true,
        }),
        ..zhili_escalation::Config::default()
    };

    let mut services: JoinSet<(&'static str, Result<(), Failure>)> = JoinSet::new();
    let mut healths = Vec::new();
    let mut context_of = |name: &'static str| {
        let context = context.child();
        healths.push((name, context.health.clone()));
        context
    };
    {
        let context = context_of("ingest");
        let config = zhili_ingest::Config {
            senders: arguments.senders.clone(),
            ..zhili_ingest::Config::default()
        };
        config.check()?;
        let (log, keys) = (Arc::clone(&log), Keys::of_file(&folder.ensure_keys()?)?);
        services.spawn(async move {
            ("ingest", zhili_ingest::serve(ingest, config, log, keys, context).await)
        });
    }
    {
        let context = context_of("scoring");
        let config = zhili_scoring::Config { partitions: PARTITIONS, ..Default::default() };
        let (log, bundles, clock) = (Arc::clone(&log), Arc::clone(&bundles), Arc::clone(&clock));
        services.spawn(async move {
            ("scoring", zhili_scoring::serve(scoring, config, log, bundles, clock, context).await)
        });
    }
    {
        let context = context_of("escalation");
        let (log, bundles, clock) = (Arc::clone(&log), Arc::clone(&bundles), Arc::clone(&clock));
        let config = escalation_config;
        services.spawn(async move {
            let ended =
                zhili_escalation::serve(escalation, config, log, bundles, clock, context).await;
            ("escalation", ended)
        });
    }
    {
        let context = context_of("metrics");
        let (escalation, ingest) = (addresses.escalation.clone(), addresses.ingest.clone());
        let receipt_key = Some(folder.ensure_receipt_key()?);
        let config =
            zhili_metrics::Config { escalation, ingest, receipt_key, ..Default::default() };
        let (log, warehouse) = (Arc::clone(&log), warehouse.clone());
        services.spawn(async move {
            let layout = Layout::default();
            let ended =
                zhili_metrics::serve(metrics, config, log, warehouse, layout, context).await;
            ("metrics", ended)
        });
    }

    let announced = folder.announce(&addresses)?;
    let started = async {
        until_ready(&healths).await?;
        if !events.is_empty() {
            // Events that are refused are told of; the rest of the system is there all the same.
            if let Err(failure) = publish::publish_all(&addresses, &token, events).await {
                print(&format!("warning     --publish: {failure}\n"))?;
            }
            settle(&*log).await;
            print(&publish::overview(&addresses, &token).await?)?;
        }
        print(&greeting(&addresses, &folder, &arguments))?;
        print("ready\n")?;
        context.shutdown.cancelled().await;
        Ok(())
    };
    let outcome = tokio::select! {
        // A service that ends because of the shutdown has not ended by itself.
        biased;
        outcome = started => outcome,
        () = context.shutdown.cancelled() => Ok(()),
        Some(ended) = services.join_next() => Err(ended_early(ended)),
    };
    context.shutdown.cancel();
    let mut outcome = outcome;
    while let Some(ended) = services.join_next().await {
        if let Ok((name, Err(failure))) = ended {
            tracing::error!(service = name, %failure, "service failed while stopping");
            outcome = outcome.and(Err(failure));
        }
    }
    drop(announced);
    store_shutdown.cancel();
    if let Some(store) = store {
        store.ended().await;
    }
    outcome
}

fn ended_early(
    ended: Result<(&'static str, Result<(), Failure>), tokio::task::JoinError>,
) -> Failure {
    match ended {
        Ok((_, Err(failure))) => failure,
        Ok((name, Ok(()))) => Failure::Problems(format!("{name} ended by itself")),
        Err(error) => Failure::Problems(format!("a service failed: {error}")),
    }
}

async fn until_ready(healths: &[(&'static str, Health)]) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let complaints: Vec<String> = healths
            .iter()
            .flat_map(|(name, health)| {
                health.complaints().into_iter().map(move |reason| format!("{name}: {reason}"))
            })
            .collect();
        if complaints.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let reasons = complaints.join("; ");
            return Err(Failure::Unavailable(format!("not ready after {PATIENCE:?}: {reasons}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until every group has read what it is to read, in the order in which they feed one
/// another.
async fn settle(log: &dyn EventLog) {
    let deadline = Instant::now() + SETTLE;
    for (group, names) in GROUPS {
        for name in names {
            for number in 0..PARTITIONS {
                let at = zhili_eventlog::TopicPartition::new(*name, number);
                let Ok(bounds) = log.bounds(&at).await else { return };
                while bounds.end > bounds.start && Instant::now() < deadline {
                    match log.committed(group, &at).await {
                        Ok(Some(committed))
                            if committed.offset >= bounds.end
                                && !committed.metadata.contains("pending") =>
                        {
                            break;
                        }
                        _ => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
            }
        }
    }
}

fn greeting(addresses: &Addresses, folder: &Folder, arguments: &Arguments) -> String {
    let mut text = String::new();
    for (name, address) in addresses.each() {
        if name == "store" && arguments.clickhouse_url.is_some() {
            continue;
        }
        text += &format!("{name:<11} {address}\n");
    }
    text += &format!("{:<11} {}/\n", "console", addresses.metrics);
    text += &format!("{:<11} {}\n", "data", folder.path().display());
    if arguments.insecure {
        text += "access      everybody on this machine, without a token\n";
    } else {
        text += &format!("{:<11} {}\n", "token", folder.token_file().display());
    }
    if arguments.webhook.is_none() {
        text += "warning     no --webhook: incidents are seen with `zhili tail` and `zhili incidents`, and page nobody\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_that_are_shown_are_those_of_the_services() {
        assert_eq!(
            GROUPS,
            [
                (zhili_scoring::GROUP, &[topics::EVENTS][..]),
                (zhili_scoring::CUSTOMERS_GROUP, &[topics::CUSTOMERS]),
                (zhili_scoring::PULSE_GROUP, &[topics::PULSE]),
                (zhili_escalation::GROUP, &[topics::ESCALATION]),
                (zhili_metrics::GROUP, zhili_metrics::TOPICS),
            ]
        );
    }
}
