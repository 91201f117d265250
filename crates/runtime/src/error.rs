use std::time::Duration;

use axum::body::to_bytes;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// What kind of error a caller gets; mapped once to gRPC and once to HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request itself is wrong; sending it again will not help.
    Invalid,
    /// No token, or one that is not valid.
    Unauthenticated,
    /// A valid token without the right.
    Denied,
    /// There is no such thing.
    NotFound,
    /// It contradicts what has happened since.
    Conflict,
    /// Too large.
    TooLarge,
    /// Too much at the moment; try again after the hint.
    Exhausted,
    /// Something needed is not there at the moment.
    Unavailable,
    /// It took too long; the outcome may be unknown.
    Timeout,
    /// A defect of ours.
    Internal,
}

/// An error as the caller of a service sees it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// What kind.
    pub code: ErrorCode,
    /// One sentence: what is wrong and what to do.
    pub message: String,
    /// When to try again, if that helps.
    pub retry_after: Option<Duration>,
}

impl ServiceError {
    /// An error without a hint when to try again.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// With a hint when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl ErrorCode {
    /// The code of gRPC.
    #[must_use]
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::Invalid => tonic::Code::InvalidArgument,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::Denied => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::NotFound,
            Self::Conflict => tonic::Code::FailedPrecondition,
            Self::TooLarge | Self::Exhausted => tonic::Code::ResourceExhausted,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::Timeout => tonic::Code::DeadlineExceeded,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// The status of HTTP.
    #[must_use]
    pub const fn http(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<ServiceError> for tonic::Status {
    fn from(error: ServiceError) -> Self {
        let mut status = Self::new(error.code.grpc(), error.message);
        if let Some(after) = error.retry_after
            && let Ok(value) = after.as_millis().to_string().parse()
        {
            // Understood by gRPC clients that follow the retry design (gRFC A6).
            status.metadata_mut().insert("grpc-retry-pushback-ms", value);
        }
        status
    }
}

impl IntoResponse for ServiceError {
    /// RFC 9457 problem details.
    fn into_response(self) -> Response {
        let status = self.code.http();
        let mut response = problem(status, &self.message);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// RFC 9457 problem details.
fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}

/// Bytes of a refusal of the framework: it repeats a name at most.
const LONGEST_REFUSAL: usize = 64 << 10;

/// What the framework refuses by itself, a body that is no JSON or a path that is no UTF-8, comes as
/// plain text: the same as problem details, as everything else that is refused.
pub(crate) async fn worded(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_plain = kind.is_some_and(|kind| kind.starts_with(b"text/plain"));
    if !response.status().is_client_error() || !is_plain {
        return response;
    }
    let status = response.status();
    let words = to_bytes(response.into_body(), LONGEST_REFUSAL).await.unwrap_or_default();
    problem(status, &String::from_utf8_lossy(&words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_of_the_framework_is_told_as_any_other() {
        let refusal = (StatusCode::UNPROCESSABLE_ENTITY, "unknown field `x`").into_response();
        let told = worded(refusal).await;
        assert_eq!(told.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(told.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = to_bytes(told.into_body(), LONGEST_REFUSAL).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["status"], &body["detail"]), (&json!(422), &json!("unknown field `x`")));
    }

    #[tokio::test]
    async fn what_is_no_refusal_stays_as_it_is() {
        for status in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
            let told = worded((status, "ready\n").into_response()).await;
            let body = to_bytes(told.into_body(), LONGEST_REFUSAL).await.unwrap();
            assert_eq!(body, "ready\n");
        }
    }
}
