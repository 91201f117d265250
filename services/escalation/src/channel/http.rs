//! HTTP requests to destinations: only where they may go, bounded in time and size, one attempt
//! each.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use zhili_incident::Outcome;

use crate::address::{AddressError, Guard};
use crate::channel::answer::{Answer, Sent};

/// From the look-up of the name to the first line of the answer. Pagers are quick; who needs
/// longer gets another attempt.
const TIMEOUT: Duration = Duration::from_secs(8);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections are kept for the pages of one incident, not longer.
const IDLE: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read; every provider's answer is far shorter.
const MOST_BYTES: usize = 16 << 10;
/// From the first line of an answer to what is read of the rest: who drips is cut off.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

type Client = legacy::Client<HttpsConnector<HttpConnector<Guard>>, Full<Bytes>>;

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    guarded: Client,
    open: Client,
    timeouts: Timeouts,
}

#[derive(Debug, Clone, Copy)]
struct Timeouts {
    answer: Duration,
    body: Duration,
}

/// What is to be sent, without the address.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) content_type: &'static str,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Http {
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        Ok(Self::with(&tls()?))
    }

    fn with(tls: &rustls::ClientConfig) -> Self {
        let timeouts = Timeouts { answer: TIMEOUT, body: BODY_TIMEOUT };
        Self { guarded: client(false, tls.clone()), open: client(true, tls.clone()), timeouts }
    }

    /// Makes one request and reads what it takes of the answer. Redirects are not followed.
    pub(crate) async fn post(
        &self,
        guard: Guard,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Sent> {
        let client = if guard.allow_private { &self.open } else { &self.guarded };
        let response = match tokio::time::timeout(self.timeouts.answer, client.request(request))
            .await
        {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(unanswered(&error)),
            Err(_) => {
                let seconds = self.timeouts.answer.as_secs();
                return Err(Sent::new(Outcome::Failed, format!("no answer within {seconds} s")));
            }
        };
        let at = SystemTime::now();
        let (parts, body) = response.into_parts();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: self.start(body).await,
            at,
        })
    }

    /// The start of a body: as much as is wanted, as far as it comes in time and unbroken.
    async fn start(&self, mut body: Incoming) -> Bytes {
        let mut bytes = BytesMut::new();
        let reading = async {
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else { continue };
                let room = MOST_BYTES - bytes.len();
                bytes.extend_from_slice(&data[..data.len().min(room)]);
                if bytes.len() == MOST_BYTES {
                    break;
                }
            }
        };
        // What came until then is judged.
        let _ = tokio::time::timeout(self.timeouts.body, reading).await;
        bytes.freeze()
    }
}

/// The request of a page, or why it cannot be one.
pub(crate) fn request(
    url: &str,
    guard: Guard,
    body: Body,
    traceparent: Option<&[u8]>,
) -> Result<Request<Full<Bytes>>, Sent> {
    let invalid = || Sent::new(Outcome::Rejected, "the address of the destination is not valid");
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let host = uri.host().ok_or_else(invalid)?;
    guard.check_literal(host).map_err(|error| Sent::new(Outcome::Rejected, error.to_string()))?;
    let mut request = Request::post(&uri)
        .header(header::CONTENT_TYPE, body.content_type)
        .header(header::USER_AGENT, concat!("zhili/", env!("CARGO_PKG_VERSION")));
    if let Some(headers) = request.headers_mut() {
        headers.extend(body.headers);
        let parent = traceparent.and_then(|parent| HeaderValue::from_bytes(parent).ok());
        headers.extend(parent.map(|parent| (HeaderName::from_static("traceparent"), parent)));
    }
    request.body(Full::new(body.bytes)).map_err(|_| invalid())
}

fn client(allow_private: bool, tls: rustls::ClientConfig) -> Client {
    let mut connector = HttpConnector::new_with_resolver(Guard { allow_private });
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector)
}

/// Trusts what the machine trusts, so that an authority of one's own is installed in one place.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let builder = || {
        let provider = rustls::crypto::ring::default_provider();
        rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
    };
    match builder()?.with_native_roots() {
        Ok(builder) => Ok(builder.with_no_client_auth()),
        Err(error) => {
            tracing::error!(%error, "no certificate authorities on this machine: pages over https will fail; install ca-certificates");
            let none = rustls::RootCertStore::empty();
            Ok(builder()?.with_root_certificates(none).with_no_client_auth())
        }
    }
}

/// Why there was no answer, without the address that the error would name.
fn unanswered(error: &(dyn Error + 'static)) -> Sent {
    let unknown = || Sent::new(Outcome::Failed, "the connection ended without an answer");
    lost_connection(error).unwrap_or_else(unknown)
}

/// What became of a connection, if that is what an error or one of its causes is about.
pub(crate) fn lost_connection(error: &(dyn Error + 'static)) -> Option<Sent> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<AddressError>() {
            let outcome = match error {
                AddressError::Refused => Outcome::Rejected,
                AddressError::Lookup(_) => Outcome::Failed,
            };
            return Some(Sent::new(outcome, error.to_string()));
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Some(Sent::new(Outcome::Failed, format!("no secure connection: {error}")));
        }
        let io = cause.downcast_ref::<std::io::Error>();
        // The error inside of an I/O error is not among its causes.
        if let Some(inner) = io.and_then(std::io::Error::get_ref) {
            next = Some(inner);
            continue;
        }
        if let Some(io) = io {
            return Some(Sent::new(Outcome::Failed, format!("no connection: {}", io.kind())));
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use rustls::pki_types::CertificateDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    const OPEN: Guard = Guard { allow_private: true };

    fn impatient() -> Http {
        let timeouts =
            Timeouts { answer: Duration::from_millis(300), body: Duration::from_millis(100) };
        Http { timeouts, ..Http::new().unwrap() }
    }

    /// Does something with the first connection, once it has read from it.
    async fn server<F: Future<Output = ()> + Send + 'static>(
        answer: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> (String, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4_096]).await;
            answer(stream).await;
        });
        (address.to_string(), AbortOnDropHandle::new(serving))
    }

    async fn post(url: &str) -> Result<Answer, Sent> {
        let request = request(url, OPEN, Body::default(), None).unwrap();
        impatient().post(OPEN, request).await
    }

    /// Writes the same again and again, with pauses, for as long as somebody reads.
    async fn drip(mut stream: TcpStream, head: &'static str, again: &'static [u8]) {
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(again).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn an_answer_that_drips_in_ends_with_the_timeout() {
        let (address, _server) =
            server(|stream| drip(stream, "HTTP/1.1 200 OK\r\nx-slow: ", b"a")).await;
        let sent = post(&format!("http://{address}/")).await.unwrap_err();
        assert_eq!(sent.outcome, Outcome::Failed);
        assert!(sent.detail.starts_with("no answer within"), "{}", sent.detail);
    }

    #[tokio::test]
    async fn a_receiver_that_never_answers_ends_with_the_timeout() {
        let (address, _server) = server(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let sent = post(&format!("http://{address}/")).await.unwrap_err();
        assert!(sent.detail.starts_with("no answer within"), "{}", sent.detail);
    }

    #[tokio::test]
    async fn a_body_that_drips_in_is_judged_as_far_as_it_came() {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{";
        let (address, _server) = server(|stream| drip(stream, head, b" ")).await;
        let answer = post(&format!("http://{address}/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body.starts_with(b"{") && answer.body.len() < 1_000);
    }

    #[tokio::test]
    async fn a_body_without_end_is_read_no_further_than_it_is_of_use() {
        const CHUNK: &[u8] = &[b'x'; 1_000];
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        let (address, _server) = server(move |mut stream| async move {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(CHUNK).await.is_ok() {}
        })
        .await;
        let answer = post(&format!("http://{address}/")).await.unwrap();
        assert_eq!(answer.body.len(), MOST_BYTES);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let location = elsewhere.local_addr().unwrap();
        let (address, _server) = server(move |mut stream| async move {
            let head = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{location}/\r\ncontent-length: 0\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
        })
        .await;
        let answer = post(&format!("http://{address}/")).await.unwrap();
        let sent = answer.judged_by_status();
        assert_eq!(sent.outcome, Outcome::Rejected);
        assert!(sent.detail.contains("redirects are not followed"), "{}", sent.detail);
        let followed = futures::FutureExt::now_or_never(elsewhere.accept());
        assert!(followed.is_none(), "somebody has connected");
    }

    /// Takes one request over TLS with this certificate.
    async fn secure_server(
        certificate: CertificateDer<'static>,
        key: &rcgen::KeyPair,
    ) -> (u16, AbortOnDropHandle<()>) {
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) =
                tokio_rustls::TlsAcceptor::from(Arc::new(tls)).accept(stream).await
            else {
                return;
            };
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        });
        (port, AbortOnDropHandle::new(serving))
    }

    /// What comes of a request to `localhost`, whose certificate is for `name` until the end of
    /// `year` and signed by whom the sender trusts.
    async fn post_to_certified(name: &str, year: i32) -> Result<Answer, Sent> {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let (port, _server) = secure_server(certificate.der().clone(), &key).await;

        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let url = format!("https://localhost:{port}/");
        let request = request(&url, OPEN, Body::default(), None).unwrap();
        Http::with(&tls).post(OPEN, request).await
    }

    #[tokio::test]
    async fn a_certificate_of_another_name_or_of_the_past_is_a_failure_that_says_so() {
        let answer = post_to_certified("localhost", 4_000).await.unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        for (name, year, why) in
            [("elsewhere.example", 4_000, "not valid for name"), ("localhost", 2_020, "expired")]
        {
            let sent = post_to_certified(name, year).await.unwrap_err();
            assert_eq!(sent.outcome, Outcome::Failed);
            assert!(sent.detail.starts_with("no secure connection"), "{}", sent.detail);
            assert!(sent.detail.contains(why), "{}", sent.detail);
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_not_secure_carries_nothing() {
        let (address, _server) = server(|mut stream| async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        })
        .await;
        let sent = post(&format!("https://{address}/")).await.unwrap_err();
        assert_eq!(sent.outcome, Outcome::Failed);
        assert!(sent.detail.starts_with("no secure connection"), "{}", sent.detail);

        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (port, _server) =
            secure_server(certified.cert.der().clone(), &certified.signing_key).await;
        let sent = post(&format!("https://localhost:{port}/")).await.unwrap_err();
        assert_eq!(sent.outcome, Outcome::Failed);
        assert!(sent.detail.contains("certificate"), "{}", sent.detail);
    }
}
