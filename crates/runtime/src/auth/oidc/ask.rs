//! Requests to a provider: over TLS or on this machine, bounded in time and in length.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::settings::{OidcSettings, address};
use crate::{Connector, Failure, Protocol, Tls, TlsSettings};

/// Longest wait for one answer of the provider.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a provider says of itself is asked for again after this long.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// A provider that did not answer is asked no more often than this, whoever wants to log in.
const PAUSE: Duration = Duration::from_secs(10);
/// Keys of a provider take a few KiB, and so do its tokens.
const LARGEST: usize = 256 << 10;

/// A client of one provider. Cheap to clone.
#[derive(Clone)]
pub(super) struct Provider {
    issuer: String,
    client: Client<Connector, axum::body::Body>,
    /// What it said last and when. Held while it is asked: others wait for that answer instead of
    /// asking too.
    told: Arc<Mutex<Option<Told>>>,
}

/// When a provider was asked, and what it said of itself or why it did not.
type Told = (Instant, Result<Discovery, String>);

/// What of the discovery document is of use here (OpenID Connect Discovery 1.0, section 3).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Discovery {
    issuer: String,
    pub(super) jwks_uri: String,
    #[serde(default)]
    pub(super) authorization_endpoint: String,
    #[serde(default)]
    pub(super) token_endpoint: String,
}

impl Provider {
    pub(super) fn new(settings: &OidcSettings) -> Result<Self, Failure> {
        let tls = Tls::read(&TlsSettings { ca: settings.ca.clone(), ..TlsSettings::default() })
            .map_err(|error| Failure::Usage(format!("auth.oidc.ca: {error}")))?;
        let (_, connector) = tls.connector(Protocol::Http1, PATIENCE)?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { issuer: settings.issuer.clone(), client, told: Arc::default() })
    }

    /// What the provider says of itself, as of a few minutes ago at most.
    pub(super) async fn discover(&self) -> Result<Discovery, String> {
        let mut told = self.told.lock().await;
        if let Some((at, said)) = &*told
            && at.elapsed() < if said.is_ok() { FRESH } else { PAUSE }
        {
            return said.clone();
        }
        let said = self.ask_of_itself().await;
        *told = Some((Instant::now(), said.clone()));
        said
    }

    async fn ask_of_itself(&self) -> Result<Discovery, String> {
        let base = self.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let found: Discovery = self.get(&address(&url)?).await?;
        // Section 4.3 of the same: otherwise anybody could speak for the issuer.
        if found.issuer != self.issuer {
            return Err(format!("{url} is of another issuer, {:.200?}", found.issuer));
        }
        Ok(found)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, url: &Uri) -> Result<T, String> {
        let request = Request::get(url).body(axum::body::Body::empty());
        let (status, body) = self.ask(url, request).await?;
        if !status.is_success() {
            return Err(format!("{url} answers {status}"));
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }

    /// Posts a form, as whom `authorization` says; status and body of the answer.
    pub(super) async fn post(
        &self,
        url: &Uri,
        form: &[(&str, &str)],
        authorization: Option<HeaderValue>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.ask(url, request.body(axum::body::Body::from(encoded(form)))).await
    }

    async fn ask(
        &self,
        url: &Uri,
        request: Result<Request<axum::body::Body>, http::Error>,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = request.map_err(|error| error.to_string())?;
        let answered = async {
            let response =
                self.client.request(request).await.map_err(|error| format!("{url}: {error}"))?;
            let status = response.status();
            let mut chunks = axum::body::Body::new(response.into_body()).into_data_stream();
            let mut whole = BytesMut::new();
            while let Some(chunk) = chunks.next().await {
                let chunk: Bytes = chunk.map_err(|error| format!("{url}: {error}"))?;
                if whole.len() + chunk.len() > LARGEST {
                    return Err(format!("{url}: more than {LARGEST} bytes"));
                }
                whole.extend_from_slice(&chunk);
            }
            Ok((status, whole.freeze()))
        };
        tokio::time::timeout(PATIENCE, answered)
            .await
            .map_err(|_| format!("{url}: no answer within {} s", PATIENCE.as_secs()))?
    }
}

/// Names and values as a form or a query has them.
pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A text of which nothing but unreserved characters (RFC 3986) stands as it is.
pub(super) fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut whole, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                whole.push(char::from(byte));
            }
            _ => whole += &format!("%{byte:02X}"),
        }
        whole
    })
}
