//! What a browser is told with every answer of HTTP, unless the answer says something of its own.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};

/// An answer is data: it is not kept, not taken for anything else than it says, runs nothing, is
/// not framed, and whoever follows a link in it says nothing of where they were.
const DEFAULTS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// For a year a browser comes back over TLS only.
const OVER_TLS: &str = "max-age=31536000";

/// Adds what is missing; `encrypted` tells whether this server speaks TLS itself.
pub(crate) async fn guard(State(encrypted): State<bool>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.starts_with(b"application/grpc") {
        return response;
    }
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if encrypted {
        let name = header::STRICT_TRANSPORT_SECURITY;
        headers.entry(name).or_insert(HeaderValue::from_static(OVER_TLS));
    }
    response
}
