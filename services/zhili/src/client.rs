//! Finding the running system and speaking to it.

use std::path::PathBuf;

use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use zhili_runtime::Failure;
use zhili_runtime::config::Secret;

use crate::files::{Addresses, Folder};

/// Which system to speak to.
#[derive(Debug, clap::Args)]
pub(crate) struct System {
    /// Data folder of a system on this machine.
    #[arg(long, default_value = ".zhili", env = "ZHILI_DATA", global = true)]
    pub(crate) data: PathBuf,
    /// Address of a system elsewhere: that of ingest, the others are on the next ports.
    #[arg(long, value_name = "http://HOST:PORT", global = true)]
    url: Option<String>,
    /// Token; else the one in the data folder.
    #[arg(long, env = "ZHILI_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
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

    pub(crate) fn addresses(&self) -> Result<Addresses, Failure> {
        let Some(url) = &self.url else { return self.folder().addresses() };
        let wrong = || Failure::Usage(format!("--url {url}: give it as http://HOST:PORT"));
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let scheme = uri.scheme_str().ok_or_else(wrong)?;
        let host = uri.host().ok_or_else(wrong)?;
        Ok(Addresses::from_base(scheme, host, uri.port_u16().ok_or_else(wrong)?))
    }

    pub(crate) fn token(&self) -> Result<Secret, Failure> {
        match &self.token {
            Some(token) => Ok(Secret::new(token.as_str())),
            None => self.folder().token(),
        }
    }

    /// Connects to the service at `address`.
    pub(crate) async fn connect(&self, address: &str) -> Result<Connection, Failure> {
        connect(address, &self.token()?).await
    }
}

/// Connects with a token.
pub(crate) async fn connect(address: &str, token: &Secret) -> Result<Connection, Failure> {
    let unreachable = |error: tonic::transport::Error| {
        Failure::Unavailable(format!("cannot reach {address}: {error}; is `zhili up` running?"))
    };
    let channel = Endpoint::from_shared(address.to_owned())
        .map_err(unreachable)?
        .connect_timeout(std::time::Duration::from_secs(5))
        .connect()
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
