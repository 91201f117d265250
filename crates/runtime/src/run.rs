use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::log_service::LogReader;
use crate::telemetry::{self, TelemetryConfig};
use crate::{Condition, Endpoint, Failure, Folds, Health, Memory, Quota, Tls, TlsSettings};

/// The part of every service that is the process itself.
const PROCESS: &str = "process";

/// Settings that every process has.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Certificates.
    pub tls: TlsSettings,
    /// Requests that one tenant may make in a second, of each kind of service; 0 for no limit.
    pub tenant_requests_per_s: u32,
    /// Resident memory that the process may take, MiB; 0 for what the machine has, or the control
    /// group of the process allows. From four fifths of it on ingest takes no new events, and every
    /// service warns.
    pub memory_mib: u64,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            telemetry: TelemetryConfig::default(),
            tls: TlsSettings::default(),
            tenant_requests_per_s: TENANT_REQUESTS_PER_S,
            memory_mib: 0,
        }
    }
}

/// Far more than consoles and platforms ask for, and far less than keeps a service from others.
const TENANT_REQUESTS_PER_S: u32 = 2_000;

/// What a service is given to live in. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Cancelled when the process should end.
    pub shutdown: CancellationToken,
    /// Where its parts say how they are.
    pub health: Health,
    /// Where its folds say how far they are.
    pub folds: Folds,
    /// Where its metrics are registered.
    pub metrics: Arc<Mutex<Registry>>,
    /// Recognises callers.
    pub auth: Authenticator,
    /// Certificates of servers and clients.
    pub tls: Tls,
    /// Requests that tenants may make.
    pub requests: Quota,
    /// What the process takes of what it may.
    pub memory: Memory,
    /// The log that every server of the process shows, if it has one.
    pub log: Option<LogReader>,
    /// What its server answers, once it does.
    pub endpoints: Arc<Mutex<Vec<Endpoint>>>,
}

impl Context {
    /// A context of its own for a service among others in one process: it stops with them.
    #[must_use]
    pub fn child(&self) -> Self {
        let (log, tls, requests) = (self.log.clone(), self.tls.clone(), self.requests.another());
        let memory = self.memory.clone();
        let own = Self::new(self.shutdown.child_token(), self.auth.clone());
        Self { tls, requests, memory, log, ..own }
    }

    /// A context that `shutdown` ends.
    #[must_use]
    pub fn new(shutdown: CancellationToken, auth: Authenticator) -> Self {
        let health = Health::default();
        // Parts that nobody has added yet cannot complain.
        health.add(PROCESS, || Condition::NotReady("starting".to_owned()));
        let folds = Folds::default();
        let mut registry = Registry::with_prefix("zhili");
        registry.register_collector(Box::new(health.clone()));
        registry.register_collector(Box::new(folds.clone()));
        let metrics = Arc::new(Mutex::new(registry));
        let requests = Quota::new("requests", TENANT_REQUESTS_PER_S);
        let (tls, memory, endpoints) = (Tls::default(), Memory::default(), Arc::default());
        Self { shutdown, health, folds, metrics, auth, tls, requests, memory, log: None, endpoints }
    }

    /// The service has added its parts and answers from here on, until the shutdown.
    pub(crate) fn serving(&self) {
        let memory = self.memory.clone();
        let mut registry = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(memory.clone()));
        drop(registry);
        self.health.add("memory", move || memory.condition());
        let stopping = self.shutdown.clone();
        self.health.add(PROCESS, move || {
            if stopping.is_cancelled() {
                Condition::NotReady("shutting down".to_owned())
            } else {
                Condition::Ready
            }
        });
    }
}

/// Runs a service until it ends or a signal says so: telemetry first, then the service, then
/// what was collected is sent.
///
/// # Errors
/// What the service ends with, and [`Failure::Io`] when there are no threads to be had.
pub fn run<F>(
    name: &'static str,
    config: &RuntimeConfig,
    auth: Authenticator,
    service: impl FnOnce(Context) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Io(format!("cannot start threads: {error}")))?;
    let tls = Tls::read(&config.tls)?;
    let outcome = runtime.block_on(async {
        let _telemetry = telemetry::start(name, &config.telemetry)?;
        let shutdown = CancellationToken::new();
        let requests = Quota::new("requests", config.tenant_requests_per_s);
        let memory = Memory::of_process(config.memory_mib.saturating_mul(1 << 20));
        let context = Context { tls, requests, memory, ..Context::new(shutdown.clone(), auth) };
        tokio::spawn(async move {
            if let Err(error) = signalled().await {
                tracing::error!(%error, "cannot listen for signals");
                return;
            }
            tracing::info!("stopping");
            shutdown.cancel();
        });
        service(context).await
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

/// Waits for SIGTERM or SIGINT.
async fn signalled() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
