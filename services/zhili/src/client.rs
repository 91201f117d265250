//! Finding the running system and speaking to it.

use std::path::PathBuf;
use std::time::Duration;

use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use zhili_runtime::config::Secret;
use zhili_runtime::{Failure, Protocol, Tls, TlsSettings};

use crate::files::{Addresses, Folder};

/// Which system to speak to.
#[derive(Debug, clap::Args)]
pub(crate) struct System {
    /// Data folder of a system on this machine.
    #[arg(long, default_value = ".zhili", env = "ZHILI_DATA", global = true)]
    pub(crate) data: PathBuf,
    /// Address of a system elsewhere: that of ingest, the others are on the next ports.
    #[arg(long, value_name = "http[s]://HOST:PORT", global = true)]
    url: Option<String>,
    /// Roots that vouch for the services of https://HOST:PORT, as PEM; else those of the machine.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Certificate to show them, as PEM, where they ask for one.
    #[arg(long, value_name = "FILE", requires = "certificate_key", global = true)]
    certificate: Option<PathBuf>,
    /// Private key of that certificate.
    #[arg(long, value_name = "FILE", requires = "certificate", global = true)]
    certificate_key: Option<PathBuf>,
    /// Token; else the one in the data folder.
    #[arg(long, env = "ZHILI_TOKEN", hide_env_values = true, global = true)]
    token: Option<Secret>,
}

/// Adds the token to every call.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A channel that sends the token.
pub(crate) type Connection = InterceptedService<Channel, Bearer>;

impl System {
    pub(crate) fn folder(&self) -> Folder {
        Folder::new(&self.data)
    }

    /// Whether it is the system of the data folder.
    pub(crate) const fn is_here(&self) -> bool {
        self.url.is_none()
    }

    pub(crate) fn addresses(&self) -> Result<Addresses, Failure> {
        let Some(url) = &self.url else { return self.folder().addresses() };
        let wrong = || {
            Failure::Usage(format!("--url {url}: give it as http://HOST:PORT or https://HOST:PORT"))
        };
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let scheme = uri.scheme_str().ok_or_else(wrong)?;
        let host = uri.host().ok_or_else(wrong)?;
        Ok(Addresses::from_base(scheme, host, uri.port_u16().ok_or_else(wrong)?))
    }

    pub(crate) fn token(&self) -> Result<Secret, Failure> {
        match &self.token {
            Some(token) => Ok(token.clone()),
            None => self.folder().token(),
        }
    }

    /// Connects to the service at `address`.
    pub(crate) async fn connect(&self, address: &str) -> Result<Connection, Failure> {
        connect_by(address, &self.token()?, &self.tls()?).await
    }

    /// Whom to believe, and what to show.
    pub(crate) fn tls(&self) -> Result<Tls, Failure> {
        let file = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        Tls::read(&TlsSettings {
            certificate: file(&self.certificate),
            key: file(&self.certificate_key),
            ca: file(&self.ca),
            ..TlsSettings::default()
        })
    }
}

/// Connects with a token to a system on this machine.
pub(crate) async fn connect(address: &str, token: &Secret) -> Result<Connection, Failure> {
    connect_by(address, token, &Tls::default()).await
}

/// Longest wait for a connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

async fn connect_by(address: &str, token: &Secret, tls: &Tls) -> Result<Connection, Failure> {
    let unreachable = |error: tonic::transport::Error| {
        // The error alone says no more than that it failed: a certificate is named by its causes.
        let first: &dyn std::error::Error = &error;
        let all = std::iter::successors(Some(first), |error| error.source());
        let causes: Vec<String> = all.map(ToString::to_string).collect();
        let causes = causes.join(": ");
        let message = format!("cannot reach {address}: {causes}; is `zhili up` running?");
        Failure::Unavailable(message)
    };
    let (_, connector) = tls.connector(Protocol::Http2, PATIENCE)?;
    let channel = Endpoint::from_shared(address.to_owned())
        .map_err(unreachable)?
        .connect_timeout(PATIENCE)
        .connect_with_connector(connector)
        .await
        .map_err(unreachable)?;
    let bearer = format!("Bearer {}", token.expose())
        .parse()
        .map_err(|_| Failure::Usage("the token has characters that no token has".to_owned()))?;
    Ok(InterceptedService::new(channel, Bearer(bearer)))
}

/// What the other side said, with the exit code that fits.
pub(crate) fn said(status: &Status) -> Failure {
    let message = status.message().to_owned();
    match status.code() {
        tonic::Code::Unavailable | tonic::Code::DeadlineExceeded => Failure::Unavailable(message),
        tonic::Code::ResourceExhausted => Failure::TryAgain(message),
        tonic::Code::InvalidArgument | tonic::Code::Unauthenticated => Failure::Usage(message),
        _ => Failure::Problems(message),
    }
}

/// Runs a command that speaks to the system; ends quietly when its output is cut off.
pub(crate) fn block_on<F>(command: F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Io(format!("cannot start threads: {error}")))?
        .block_on(command)
}

/// Writes to standard output. A reader that went away (`| head`) is no failure: the process ends.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::Io(format!("cannot write the output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Writes a value as one line of JSON.
pub(crate) fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::Problems(format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}
