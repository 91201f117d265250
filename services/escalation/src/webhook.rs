//! Sends pages over HTTP: Standard Webhooks headers, one attempt each, status taken seriously.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use zhili_incident::Outcome;
use zhili_runtime::config::Secret;

use crate::address::{AddressError, Guard};
use crate::signature;

/// From the look-up of the name to the first line of the answer. Pagers are quick; who needs
/// longer gets another attempt.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Less than the lease of a claim: a page that was called off for its lease would be claimed
/// again at once, for ever and untold.
const SIGNING_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections are kept for the pages of one incident, not longer.
const IDLE: Duration = Duration::from_secs(30);

type Http = Client<HttpsConnector<HttpConnector<Guard>>, Full<Bytes>>;

/// Sends pages. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks {
    guarded: Http,
    open: Http,
    /// Secret of the default webhook, if it stands in the settings.
    own_secret: Secret,
}

/// One attempt to be made.
pub(crate) struct Send<'a> {
    pub(crate) webhook: &'a zhili_incident::Webhook,
    /// Private addresses are fine whatever the webhook says.
    pub(crate) allow_private: bool,
    /// The page's id, the same on every attempt.
    pub(crate) id: &'a str,
    /// Seconds since the Unix epoch, of this attempt.
    pub(crate) timestamp: i64,
    pub(crate) body: Bytes,
    pub(crate) traceparent: Option<Bytes>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// HTTP status or a short cause, never the address.
    pub(crate) detail: String,
    pub(crate) retry_after_ms: i64,
}

impl Sent {
    fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: detail.into(), retry_after_ms: 0 }
    }
}

impl Webhooks {
    pub(crate) fn new(own_secret: Secret) -> Result<Self, rustls::Error> {
        let tls = tls()?;
        Ok(Self { guarded: client(false, tls.clone()), open: client(true, tls), own_secret })
    }

    /// Makes one attempt. `started` is asked right before the request and may call it off; then
    /// `None` is returned and nothing was sent.
    pub(crate) async fn send(
        &self,
        send: Send<'_>,
        started: impl FnOnce() -> bool,
    ) -> Option<Sent> {
        let guard = Guard { allow_private: send.allow_private || send.webhook.allow_private };
        let request = match in_time(request(&send, guard, &self.own_secret)).await {
            Ok(request) => request,
            Err(refused) => return Some(refused),
        };
        if !started() {
            return None;
        }
        let client = if guard.allow_private { &self.open } else { &self.guarded };
        Some(match tokio::time::timeout(TIMEOUT, client.request(request)).await {
            Ok(Ok(response)) => answered(response.status(), response.headers(), SystemTime::now()),
            Ok(Err(error)) => unanswered(&error),
            Err(_) => {
                let seconds = TIMEOUT.as_secs();
                Sent::new(Outcome::Failed, format!("no answer within {seconds} s"))
            }
        })
    }
}

fn client(allow_private: bool, tls: rustls::ClientConfig) -> Http {
    let mut connector = HttpConnector::new_with_resolver(Guard { allow_private });
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector)
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

/// Gives up on a request that cannot even be made: whatever a secret is read from may hang.
async fn in_time<T>(made: impl Future<Output = Result<T, Sent>>) -> Result<T, Sent> {
    let late = |_| {
        let seconds = SIGNING_TIMEOUT.as_secs();
        Sent::new(Outcome::Failed, format!("cannot read the signing secret within {seconds} s"))
    };
    tokio::time::timeout(SIGNING_TIMEOUT, made).await.map_err(late)?
}

async fn request(
    send: &Send<'_>,
    guard: Guard,
    own_secret: &Secret,
) -> Result<Request<Full<Bytes>>, Sent> {
    let invalid = || Sent::new(Outcome::Rejected, "the address of the webhook is not a valid one");
    let uri: Uri = send.webhook.url.parse().map_err(|_| invalid())?;
    let host = uri.host().ok_or_else(invalid)?;
    guard.check_literal(host).map_err(|error| Sent::new(Outcome::Rejected, error.to_string()))?;
    let mut request = Request::post(&uri)
        .header(header::CONTENT_TYPE, "application/cloudevents+json")
        .header(header::USER_AGENT, concat!("zhili/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", send.id)
        .header("webhook-timestamp", send.timestamp);
    if let Some(reference) = &send.webhook.secret {
        // It may be put right without a change of configuration, so the page is tried again.
        let keys = signature::keys(reference, own_secret)
            .await
            .map_err(|error| Sent::new(Outcome::Failed, format!("cannot sign: {error}")))?;
        let signature = signature::sign(&keys, send.id, send.timestamp, &send.body);
        request = request.header("webhook-signature", signature);
    }
    let parent =
        send.traceparent.as_deref().and_then(|parent| HeaderValue::from_bytes(parent).ok());
    if let Some(parent) = parent {
        request = request.header("traceparent", parent);
    }
    request.body(Full::new(send.body.clone())).map_err(|_| invalid())
}

/// What a status means: only 2xx is delivered; what may pass is tried again.
fn answered(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Sent {
    let words = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let detail = format!("HTTP {}{words}", status.as_u16());
    if status.is_success() {
        return Sent::new(Outcome::Delivered, detail);
    }
    if status.is_redirection() {
        let detail = format!("{detail}: redirects are not followed, configure where it leads");
        return Sent::new(Outcome::Rejected, detail);
    }
    let passes = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    if !passes {
        return Sent::new(Outcome::Rejected, detail);
    }
    let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asks = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let retry_after_ms = asked.filter(|_| asks).and_then(|value| retry_after_ms(value, now));
    Sent { retry_after_ms: retry_after_ms.unwrap_or(0), ..Sent::new(Outcome::Failed, detail) }
}

/// `Retry-After` as seconds or as a date (RFC 9110, 10.2.3); `None` for anything else.
fn retry_after_ms(value: &str, now: SystemTime) -> Option<i64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(i64::from(seconds) * 1_000);
    }
    let wait = httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default();
    i64::try_from(wait.as_millis()).ok()
}

/// Why there was no answer, without the address that the error would name.
fn unanswered(error: &(dyn Error + 'static)) -> Sent {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<AddressError>() {
            let outcome = match error {
                AddressError::Refused => Outcome::Rejected,
                AddressError::Lookup(_) => Outcome::Failed,
            };
            return Sent::new(outcome, error.to_string());
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Sent::new(Outcome::Failed, format!("no secure connection: {error}"));
        }
        let io = cause.downcast_ref::<std::io::Error>();
        // The error inside of an I/O error is not among its causes.
        let inner = io.and_then(std::io::Error::get_ref);
        if let Some(inner) = inner {
            next = Some(inner);
            continue;
        }
        if let Some(io) = io {
            return Sent::new(Outcome::Failed, format!("no connection: {}", io.kind()));
        }
        next = cause.source();
    }
    Sent::new(Outcome::Failed, "the connection ended without an answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, retry_after: Option<&str>) -> Sent {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        }
        // 1994-11-06 08:49:27 UTC, ten seconds before the date of RFC 9110's example.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        answered(StatusCode::from_u16(status).unwrap(), &headers, now)
    }

    #[test]
    fn only_success_is_delivered_and_what_may_pass_is_tried_again() {
        for (statuses, outcome) in [
            (&[200, 201, 202, 204, 299][..], Outcome::Delivered),
            (&[408, 425, 429, 500, 502, 503, 504], Outcome::Failed),
            (&[301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422], Outcome::Rejected),
        ] {
            for status in statuses {
                assert_eq!(told(*status, None).outcome, outcome, "{status}");
            }
        }
    }

    #[test]
    fn a_receiver_that_is_busy_says_how_long_to_wait() {
        assert_eq!(told(429, Some("120")).retry_after_ms, 120_000);
        assert_eq!(told(503, Some("Sun, 06 Nov 1994 08:49:37 GMT")).retry_after_ms, 10_000);
        assert_eq!(told(503, Some("Sun, 06 Nov 1994 08:49:07 GMT")).retry_after_ms, 0);
        assert_eq!(told(503, Some("soon")).retry_after_ms, 0);
        assert_eq!(told(500, Some("120")).retry_after_ms, 0);
    }

    #[tokio::test]
    async fn a_connection_that_is_refused_says_so_without_the_address() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let webhook = |url: String, allow_private| zhili_incident::Webhook {
            url,
            secret: None,
            allow_private,
        };
        let attempt = async |webhook: &zhili_incident::Webhook| {
            let send = Send {
                webhook,
                allow_private: false,
                id: "ntf_a",
                timestamp: 0,
                body: Bytes::new(),
                traceparent: None,
            };
            Webhooks::new(Secret::default()).unwrap().send(send, || true).await.unwrap()
        };
        let sent = attempt(&webhook(format!("http://{closed}/t0ken"), true)).await;
        let expected = Sent::new(Outcome::Failed, "no connection: connection refused");
        assert_eq!(sent, expected);
        for url in [format!("http://{closed}/"), format!("http://localhost:{}/", closed.port())] {
            let sent = attempt(&webhook(url, false)).await;
            assert_eq!(sent.outcome, Outcome::Rejected);
            assert!(sent.detail.contains("allow_private"), "{}", sent.detail);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_that_cannot_be_read_in_time_is_a_failure_before_the_lease_ends() {
        let begun = tokio::time::Instant::now();
        let sent = in_time(std::future::pending::<Result<(), Sent>>()).await.unwrap_err();
        assert_eq!(sent.outcome, Outcome::Failed);
        assert!(sent.detail.contains("signing secret"), "{}", sent.detail);
        assert!(begun.elapsed().as_millis() < zhili_incident::LEASE_MS as u128);
    }

    #[tokio::test]
    async fn a_send_that_is_called_off_never_leaves() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook = zhili_incident::Webhook {
            url: format!("http://{}/", listener.local_addr().unwrap()),
            secret: None,
            allow_private: true,
        };
        let send = Send {
            webhook: &webhook,
            allow_private: false,
            id: "ntf_a",
            timestamp: 0,
            body: Bytes::new(),
            traceparent: None,
        };
        let webhooks = Webhooks::new(Secret::default()).unwrap();
        assert_eq!(webhooks.send(send, || false).await, None);
        drop(webhooks);
        let waiting = futures::FutureExt::now_or_never(listener.accept());
        assert!(waiting.is_none(), "somebody has connected");
    }
}
