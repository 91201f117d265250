//! A server with a certificate, and clients that look at it closely.
#![allow(clippy::unwrap_used, reason = "what helps the tests may fail as they may")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use zhili_runtime::auth::Authenticator;
use zhili_runtime::{Context, Failure, Protocol, Server, Tls, TlsSettings};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn valid(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn expired(host: &str) -> CertificateParams {
    let mut params = valid(host);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    params
}

/// A folder with a certificate, its key and its issuer's certificate.
struct Files(tempfile::TempDir);

impl Files {
    fn new(issuer: &Issuer, params: &CertificateParams) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(issuer, params);
        files
    }

    fn write(&self, issuer: &Issuer, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        // A file that is written within the clock tick of its file system would not look changed.
        let before = std::fs::metadata(self.path("cert.pem")).and_then(|it| it.modified()).ok();
        loop {
            std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
            std::fs::write(self.path("cert.pem"), certificate.pem()).unwrap();
            let now = std::fs::metadata(self.path("cert.pem")).and_then(|it| it.modified()).ok();
            if now != before {
                break;
            }
        }
        std::fs::write(self.path("ca.pem"), issuer.pem()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn server(&self) -> TlsSettings {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        TlsSettings { certificate, key, ..TlsSettings::default() }
    }
}

/// What a client believes, and shows if it shows something.
fn believing(issuer: &Issuer, shows: Option<&Files>) -> (tempfile::TempDir, Tls) {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, issuer.pem()).unwrap();
    let settings = shows.map(Files::server).unwrap_or_default();
    let tls = Tls::read(&TlsSettings { ca, ..settings }).unwrap();
    (folder, tls)
}

struct Running {
    port: u16,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
}

impl Running {
    async fn start(settings: &TlsSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shutdown = CancellationToken::new();
        let context = Context {
            tls: Tls::read(settings).unwrap(),
            ..Context::new(shutdown.clone(), Authenticator::from_records(Vec::new()))
        };
        let task = tokio::spawn(async move { Server::default().serve(listener, &context).await });
        Self { port, shutdown, task }
    }

    /// A connection whose handshake is done: the server has been told of the client's certificate
    /// by then, and says what it thinks of it with the first answer.
    async fn connect(&self, host: &str, tls: &Tls) -> Result<TlsStream<TcpStream>, String> {
        let (_, config) = tls.client().unwrap();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let host = host.to_owned().try_into().unwrap();
        let connector = TlsConnector::from(config);
        let mut stream =
            connector.connect(host, stream).await.map_err(|error| error.to_string())?;
        live(&mut stream).await.map_err(|error| error.to_string())?;
        Ok(stream)
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Asks over a connection that stays open, and reads the answer.
async fn live(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: zhili.test\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let mut some = [0; 256];
        let read = stream.read(&mut some).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&some[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    Ok(())
}

/// The certificate that a server has shown.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

const HOST: &str = "zhili.test";

#[tokio::test]
async fn a_client_believes_the_right_host_of_the_right_issuer_only() {
    let authority = issuer("ours");
    let files = Files::new(&authority, &valid(HOST));
    let server = Running::start(&files.server()).await;
    let (_folder, ours) = believing(&authority, None);
    server.connect(HOST, &ours).await.unwrap();
    let error = server.connect("other.test", &ours).await.unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
    let (_folder, theirs) = believing(&issuer("theirs"), None);
    let error = server.connect(HOST, &theirs).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_refuses_an_expired_certificate() {
    let authority = issuer("ours");
    let files = Files::new(&authority, &expired(HOST));
    let server = Running::start(&files.server()).await;
    let (_folder, ours) = believing(&authority, None);
    let error = server.connect(HOST, &ours).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_while_old_ones_live() {
    let authority = issuer("ours");
    let files = Files::new(&authority, &valid(HOST));
    let server = Running::start(&files.server()).await;
    let (_folder, ours) = believing(&authority, None);
    let mut before = server.connect(HOST, &ours).await.unwrap();
    files.write(&authority, &valid(HOST));
    let after = server.connect(HOST, &ours).await.unwrap();
    assert_ne!(shown(&before), shown(&after));
    live(&mut before).await.unwrap();

    // Files that cannot be used change nothing.
    std::fs::write(files.path("cert.pem"), "half of a certif").unwrap();
    let still = server.connect(HOST, &ours).await.unwrap();
    assert_eq!(shown(&after), shown(&still));
    files.write(&authority, &expired(HOST));
    let error = server.connect(HOST, &ours).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
    server.stop().await;
}

/// Asks over gRPC, by a connection of its own, as the programs of the project do.
async fn ask(port: u16, host: &str, tls: &Tls) -> Result<(), String> {
    let causes = |error: tonic::transport::Error| {
        let first: &dyn std::error::Error = &error;
        let all = std::iter::successors(Some(first), |error| error.source());
        all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    let (_, connector) = tls.connector(Protocol::Http2, Duration::from_secs(30)).unwrap();
    let endpoint = Endpoint::from_shared(format!("https://{host}:{port}")).unwrap();
    let channel = endpoint.connect_with_connector(connector).await.map_err(causes)?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await;
    answer.map(drop).map_err(|status| status.to_string())
}

#[tokio::test]
async fn over_grpc_wrong_hosts_and_expired_certificates_are_refused_and_renewed_ones_taken() {
    let authority = issuer("ours");
    let files = Files::new(&authority, &valid("localhost"));
    let server = Running::start(&files.server()).await;
    let (_folder, ours) = believing(&authority, None);
    ask(server.port, "localhost", &ours).await.unwrap();
    let error = ask(server.port, "127.0.0.1", &ours).await.unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
    files.write(&authority, &expired("localhost"));
    let error = ask(server.port, "localhost", &ours).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
    files.write(&authority, &valid("localhost"));
    ask(server.port, "localhost", &ours).await.unwrap();
    // What is believed is read again, too.
    let others = issuer("theirs");
    let (folder, believes) = believing(&others, None);
    let error = ask(server.port, "localhost", &believes).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    std::fs::write(folder.path().join("ca.pem"), authority.pem() + "\n").unwrap();
    ask(server.port, "localhost", &believes).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn with_roots_of_clients_nobody_connects_without_a_certificate_of_theirs() {
    let (authority, others) = (issuer("ours"), issuer("theirs"));
    let files = Files::new(&authority, &valid(HOST));
    let settings = TlsSettings { client_ca: files.path("ca.pem"), ..files.server() };
    let server = Running::start(&settings).await;
    let (_folder, nothing) = believing(&authority, None);
    let error = server.connect(HOST, &nothing).await.unwrap_err();
    assert!(error.contains("CertificateRequired"), "{error}");

    let good = Files::new(&authority, &valid("client.test"));
    let (_folder, client) = believing(&authority, Some(&good));
    server.connect(HOST, &client).await.unwrap();
    for bad in [
        Files::new(&others, &valid("client.test")),
        Files::new(&authority, &expired("client.test")),
    ] {
        let (_folder, client) = believing(&authority, Some(&bad));
        let refused = server.connect(HOST, &client).await;
        assert!(refused.is_err());
    }
    // A renewed certificate of a client is shown from its next connection on.
    let (before, _) = client.client().unwrap();
    good.write(&authority, &expired("client.test"));
    assert!(server.connect(HOST, &client).await.is_err());
    assert!(client.client().unwrap().0 > before);
    server.stop().await;
}

#[tokio::test]
async fn who_speaks_in_the_clear_or_not_at_all_holds_up_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let authority = issuer("ours");
    let files = Files::new(&authority, &valid(HOST));
    let server = Running::start(&files.server()).await;
    let _silent = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let mut clear = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    clear.write_all(b"GET /livez HTTP/1.1\r\nhost: zhili.test\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = clear.read_to_end(&mut answer);
    // An alert, or the end; what matters is that it is no answer.
    let _ = tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    let (_folder, ours) = believing(&authority, None);
    server.connect(HOST, &ours).await.unwrap();
    server.stop().await;
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let authority = issuer("ours");
    let files = Files::new(&authority, &valid(HOST));
    let other = Files::new(&authority, &valid(HOST));
    let told = |settings: TlsSettings| Tls::read(&settings).map(|_| ()).unwrap_err();
    let half = TlsSettings { key: PathBuf::new(), ..files.server() };
    assert!(told(half).to_string().contains("certificate and key"));
    let clear = TlsSettings { client_ca: files.path("ca.pem"), ..TlsSettings::default() };
    assert!(told(clear).to_string().starts_with("runtime.tls.client_ca"));
    let missing = TlsSettings { ca: Path::new("no-such.pem").to_owned(), ..files.server() };
    assert!(told(missing).to_string().starts_with("runtime.tls.ca: cannot use no-such.pem"));
    let foreign = TlsSettings { key: other.path("key.pem"), ..files.server() };
    let error = told(foreign);
    assert_eq!(error.code(), 64);
    assert!(error.to_string().starts_with("runtime.tls.certificate"), "{error}");
}
