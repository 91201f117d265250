//! Incidents belong to escalation and the keys of pseudonyms to ingest; the console asks for them
//! here, and what it asks is handed on with the caller's own token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{Connector, ErrorCode, Failure, Protocol, Routes, ServiceError, Tls};

/// Longest wait for a TCP connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for an answer to begin: just above the 25 s that escalation takes for a command.
const PATIENCE: Duration = Duration::from_secs(28);

type HttpClient = Client<Connector, Body>;

/// Another service, and what a caller must be allowed for it to be asked.
#[derive(Clone)]
pub(crate) struct Peer {
    name: &'static str,
    permission: Permission,
    tls: Tls,
    /// With the generation of the certificates that it was made of.
    client: Arc<Mutex<Option<(u64, HttpClient)>>>,
    base: String,
}

impl Peer {
    /// # Errors
    /// [`Failure::Usage`] for an address that is none.
    pub(crate) fn escalation(base: &str, tls: Tls) -> Result<Self, Failure> {
        Self::new("escalation", Permission::Incidents, base, tls)
    }

    /// # Errors
    /// [`Failure::Usage`] for an address that is none.
    pub(crate) fn ingest(base: &str, tls: Tls) -> Result<Self, Failure> {
        Self::new("ingest", Permission::Transcripts, base, tls)
    }

    fn new(
        name: &'static str,
        permission: Permission,
        base: &str,
        tls: Tls,
    ) -> Result<Self, Failure> {
        let wrong = |cause: &str| {
            Failure::Usage(format!(
                "metrics.{name}: `{base}` is not http://HOST:PORT or https://HOST:PORT: {cause}"
            ))
        };
        let uri: Uri = base.parse().map_err(|_| wrong("it is no URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("it begins with neither http:// nor https://"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it ends after the port"));
        }
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { name, permission, tls, client: Arc::default(), base })
    }

    /// A client with the certificates in force. Connections of one with older ones end when what
    /// is under way on them does.
    fn client(&self) -> Result<HttpClient, Failure> {
        let (generation, connector) = self.tls.connector(Protocol::Http1, CONNECT)?;
        let mut held = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*held
            && *of == generation
        {
            return Ok(client.clone());
        }
        let client: HttpClient = Client::builder(TokioExecutor::new()).build(connector);
        *held = Some((generation, client.clone()));
        Ok(client)
    }

    /// The paths of incidents, which escalation answers.
    pub(crate) fn incidents(self) -> Routes {
        Routes::default()
            .get("/v1/incidents", forward)
            .get("/v1/incidents:watch", forward)
            .get("/v1/incidents/{target}", forward)
            .post("/v1/incidents/{target}", forward)
            .with_state(self)
    }

    /// The path of pseudonyms, which ingest answers.
    pub(crate) fn pseudonyms(self) -> Routes {
        Routes::default().post("/v1/pseudonyms", forward).with_state(self)
    }
}

async fn forward(
    State(peer): State<Peer>,
    Extension(caller): Extension<Principal>,
    request: Request,
) -> Result<Response, ServiceError> {
    // The service asks again; this spares it what it would refuse.
    caller.require(peer.permission)?;
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut onward = Request::builder()
        .method(parts.method)
        .uri(format!("{}{target}", peer.base))
        .body(body)
        .map_err(|error| ServiceError::new(ErrorCode::Invalid, error.to_string()))?;
    // No cookie: the service has no use for it.
    for name in [
        header::AUTHORIZATION,
        header::ACCEPT,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::HeaderName::from_static("last-event-id"),
        header::HeaderName::from_static("traceparent"),
    ] {
        if let Some(value) = parts.headers.get(&name) {
            onward.headers_mut().insert(name, value.clone());
        }
    }
    let unavailable = |cause: String| {
        let message = format!("{} cannot be asked at {}: {cause}", peer.name, peer.base);
        ServiceError::new(ErrorCode::Unavailable, message).retry_after(Duration::from_secs(1))
    };
    let client = peer.client().map_err(|error| unavailable(error.to_string()))?;
    let asked = tokio::time::timeout(PATIENCE, client.request(onward)).await;
    let answer = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(unavailable(causes(&error))),
        Err(_) => return Err(unavailable(format!("no answer within {} s", PATIENCE.as_secs()))),
    };
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = parts.status;
    for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// An error with its causes: that of the client alone says no more than that it failed.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_a_usage_error_that_names_the_setting() {
        for wrong in ["", "escalation", "ftp://a:1", "http://a:1/v1", "http://a:1/?x"] {
            let error = Peer::escalation(wrong, Tls::default()).map(|_| ()).unwrap_err();
            assert_eq!(error.code(), 64, "{wrong}");
            assert!(error.to_string().contains("metrics.escalation"), "{error}");
        }
        for right in ["http://127.0.0.1:7402/", "https://escalation.example:7402"] {
            assert!(Peer::escalation(right, Tls::default()).is_ok(), "{right}");
        }
    }
}
