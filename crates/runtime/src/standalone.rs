//! A service as a process of its own: `zhili-<service> --config FILE`.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use zhili_eventlog::{EventLog, topics};

use crate::auth::{Authenticator, OidcSettings};
use crate::log_service::LogReader;
use crate::{Context, Failure, KafkaSettings, RuntimeConfig, bind, config, open_log};

/// The groups that read the log, and what they read. Every service shows how far all of them
/// are, so it is known here and not only in the service that is the group.
pub const GROUPS: [(&str, &[&str]); 5] = [
    ("zhili.scoring", &[topics::EVENTS]),
    ("zhili.scoring.customers", &[topics::CUSTOMERS]),
    ("zhili.scoring.pulse", &[topics::PULSE]),
    ("escalation", &[topics::ESCALATION]),
    (
        "zhili.metrics",
        &[
            topics::SCORES,
            topics::FACTS,
            topics::ESCALATION,
            topics::INCIDENTS,
            topics::DEAD_LETTERS,
        ],
    ),
];

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSettings {
    /// File of token hashes, as `zhili token` keeps it; read again when it changes.
    pub tokens: PathBuf,
    /// An identity provider whose tokens count too.
    pub oidc: Option<OidcSettings>,
    /// Let everybody in, without a token; refused unless `listen` is on loopback.
    pub insecure: bool,
}

impl AuthSettings {
    fn authenticator(&self, listen: SocketAddr) -> Result<Authenticator, Failure> {
        if self.insecure {
            return Authenticator::insecure(listen);
        }
        let file = (!self.tokens.as_os_str().is_empty()).then_some(self.tokens.as_path());
        match (file, &self.oidc) {
            (file, Some(provider)) => Authenticator::with_provider(file, provider),
            (Some(file), None) => Authenticator::from_file(file),
            (None, None) => Err(Failure::Usage(
                "auth.tokens: empty; name the file of tokens that `zhili token create` keeps, or \
                 an identity provider in auth.oidc"
                    .to_owned(),
            )),
        }
    }
}

/// All settings of one service's process.
pub trait Settings: Default + Serialize + DeserializeOwned {
    /// Those that every service has.
    fn common(&self) -> Common<'_>;

    /// Whether the others agree with each other.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the setting.
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Settings that every service has.
pub struct Common<'a> {
    /// Where gRPC and HTTP are served.
    pub listen: SocketAddr,
    /// The log.
    pub kafka: &'a KafkaSettings,
    /// Who may call.
    pub auth: &'a AuthSettings,
    /// Logs and traces.
    pub runtime: &'a RuntimeConfig,
}

/// What a service is given when everything it depends on was reached.
pub struct Process {
    /// Where it serves.
    pub listener: TcpListener,
    /// The log, whose topics were checked.
    pub log: Arc<dyn EventLog>,
    /// What it lives in.
    pub context: Context,
}

/// The command line of a service.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, about = "One service of Zhili, on a log kept by Kafka")]
struct Arguments {
    /// Settings as TOML; `ZHILI_...` variables go over it, such as ZHILI_KAFKA__BROKERS.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the settings, print them with secrets withheld, and end.
    #[arg(long)]
    check_config: bool,
    /// End when standard input is closed, so as not to outlive whoever started this.
    #[arg(long)]
    tied: bool,
}

/// The whole of a service's `main`: reads the settings, takes the port, reaches the log, serves
/// until a signal.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to people")]
pub fn start<S, F>(name: &'static str, service: impl FnOnce(S, Process) -> F) -> ExitCode
where
    S: Settings,
    F: Future<Output = Result<(), Failure>>,
{
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no misuse.
            error.print().unwrap_or_default();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let outcome = checked::<S>(&arguments).and_then(|settings| {
        if arguments.check_config {
            println!("{}", config::show(&settings));
            return Ok(());
        }
        serve(name, arguments.tied, settings, service)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(name),
    }
}

fn checked<S: Settings>(arguments: &Arguments) -> Result<S, Failure> {
    let settings: S = config::load(arguments.config.as_deref())?;
    settings.common().kafka.config("")?;
    settings.check()?;
    Ok(settings)
}

fn serve<S, F>(
    name: &'static str,
    tied: bool,
    settings: S,
    service: impl FnOnce(S, Process) -> F,
) -> Result<(), Failure>
where
    S: Settings,
    F: Future<Output = Result<(), Failure>>,
{
    let Common { listen, kafka, auth, runtime } = settings.common();
    let auth = auth.authenticator(listen)?;
    let (kafka, runtime) = (kafka.clone(), runtime.clone());
    crate::run(name, &runtime, auth, |mut context| async move {
        if tied {
            let shutdown = context.shutdown.clone();
            std::thread::spawn(move || {
                // Whatever is said, and an error too, means nothing; only the end does.
                let _ = std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut std::io::sink());
                shutdown.cancel();
            });
        }
        let listener = bind(listen).await?;
        let log = open_log(&kafka, name).await?;
        context.log = Some(LogReader::new(Arc::clone(&log), kafka.partitions, GROUPS));
        tracing::info!(%listen, brokers = kafka.brokers, "serving");
        service(settings, Process { listener, log, context }).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_of_tokens_nobody_is_let_in_by_mistake() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 7400));
        let error = AuthSettings::default().authenticator(listen).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), 64);
        assert!(error.to_string().starts_with("auth.tokens"), "{error}");
    }

    #[test]
    fn insecure_is_refused_where_others_can_reach_it() {
        let settings = AuthSettings { insecure: true, ..AuthSettings::default() };
        let listen = SocketAddr::from(([0, 0, 0, 0], 7400));
        assert_eq!(settings.authenticator(listen).map(|_| ()).unwrap_err().code(), 64);
    }
}
