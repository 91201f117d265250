//! `POST /v1/events`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::time::timeout;
use zhili_eventlog::trace::TRACEPARENT;
use zhili_proto::conversation::v1::PublishResponse;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, Routes, ServiceError};

use crate::budget::Meter;
use crate::parse::{BodyError, Form, binary_cloud_event, elements};
use crate::publish::{Answer, Batch, Publisher};

/// The routes of the service.
pub(crate) fn routes(publisher: Arc<Publisher>) -> Routes {
    Routes::default().post("/v1/events", events).with_state(publisher)
}

async fn events(State(publisher): State<Arc<Publisher>>, request: Request) -> Response {
    publish(&publisher, request).await.map_or_else(refused, answered)
}

/// Why a request as a whole is not taken.
pub(crate) enum Refusal {
    Service(ServiceError),
    MediaType,
    /// The publisher's silence, not ours: 408, where the code alone would say 504.
    Stalled(ServiceError),
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

/// The answer to a request that is not taken.
pub(crate) fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Service(error) => error.into_response(),
        Refusal::MediaType => unsupported(),
        Refusal::Stalled(error) => stalled(&error),
    }
}

async fn publish(publisher: &Publisher, request: Request) -> Result<Answer, Refusal> {
    let (parts, body) = request.into_parts();
    let principal = parts
        .extensions
        .get::<Principal>()
        .ok_or_else(|| ServiceError::new(ErrorCode::Unauthenticated, "the caller is not known"))?;
    principal.require(Permission::Publish)?;
    let form = header_text(&parts.headers, header::CONTENT_TYPE.as_str())
        .and_then(Form::of)
        .ok_or(Refusal::MediaType)?;
    let (body, meter) = read_body(publisher, &parts.headers, body).await?;
    let limit = publisher.limits.batch_events;
    let one = (form == Form::Json).then(|| binary_cloud_event(&parts.headers, &body)).flatten();
    let elements = match one {
        Some(element) => vec![element],
        None => elements(form, &body, limit).map_err(|error| body_error(publisher, error))?,
    };
    drop(body);
    make_room(publisher, &meter, elements.len()).await?;
    let batch = Batch {
        principal,
        elements,
        traceparent: header_text(&parts.headers, TRACEPARENT),
        held: meter.hand_over(),
        protocol: "http",
    };
    Ok(publisher.publish(batch).await?)
}

/// Why a body cannot be taken apart.
pub(crate) fn body_error(publisher: &Publisher, error: BodyError) -> ServiceError {
    match error {
        BodyError::Malformed(message) => {
            publisher.metrics.refused("malformed");
            ServiceError::new(
                ErrorCode::Invalid,
                format!("the body cannot be read as what it should be: {message}"),
            )
        }
        BodyError::TooMany(count) => {
            publisher.metrics.refused("size");
            let limit = publisher.limits.batch_events;
            ServiceError::new(
                ErrorCode::TooLarge,
                format!("{count} events in one request, at most {limit} are taken; send fewer"),
            )
        }
    }
}

/// A body within the limits, and what it holds of the budget.
pub(crate) async fn read_body(
    publisher: &Publisher,
    headers: &http::HeaderMap,
    body: Body,
) -> Result<(Vec<u8>, Meter), Refusal> {
    let announced = header_text(headers, header::CONTENT_LENGTH.as_str())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::from(publisher.limits.batch_bytes)) {
        return Err(too_large(publisher).into());
    }
    let announced = announced.map_or(0, |length| u32::try_from(length).unwrap_or(u32::MAX));
    let room = publisher.budget.has_room(announced);
    room.inspect_err(|_| publisher.metrics.refused("budget"))?;
    let meter = publisher.budget.meter();
    let body = read(publisher, body, &meter).await?;
    Ok((body, meter))
}

/// Takes room for the events of a body.
pub(crate) async fn make_room(
    publisher: &Publisher,
    meter: &Meter,
    events: usize,
) -> Result<(), ServiceError> {
    meter.take(0, events).await.inspect_err(|_| publisher.metrics.refused("budget"))
}

async fn read(publisher: &Publisher, body: Body, meter: &Meter) -> Result<Vec<u8>, Refusal> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let next = timeout(publisher.idle_timeout, chunks.next()).await;
        let Some(chunk) =
            next.map_err(|_| Refusal::Stalled(publisher.stalled("nothing came of the body")))?
        else {
            return Ok(bytes);
        };
        let chunk = chunk.map_err(|error| {
            ServiceError::new(ErrorCode::Invalid, format!("the body ended early: {error}"))
        })?;
        if bytes.len() + chunk.len() > publisher.limits.batch_bytes as usize {
            return Err(too_large(publisher).into());
        }
        meter.take(chunk.len(), 0).await.inspect_err(|_| publisher.metrics.refused("budget"))?;
        publisher.metrics.bytes.inc_by(chunk.len() as u64);
        bytes.extend_from_slice(&chunk);
    }
}

fn too_large(publisher: &Publisher) -> ServiceError {
    publisher.metrics.refused("size");
    let limit = publisher.limits.batch_bytes;
    ServiceError::new(
        ErrorCode::TooLarge,
        format!("the body has more than {limit} bytes; send fewer events at once"),
    )
}

pub(crate) fn header_text<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// 200 with the results; 400 with the same results when there were events and none was taken.
pub(crate) fn answered(answer: Answer) -> Response {
    let Answer { results, accepted } = answer;
    if accepted > 0 || results.is_empty() {
        return axum::Json(PublishResponse { results, accepted }).into_response();
    }
    let detail = format!("none of {} events was accepted; `results` says why", results.len());
    problem(
        StatusCode::BAD_REQUEST,
        &json!({
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": detail,
            "accepted": 0,
            "results": results,
        }),
    )
}

fn unsupported() -> Response {
    problem(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        &json!({
            "type": "about:blank",
            "title": "Unsupported Media Type",
            "status": 415,
            "detail": format!("the Content-Type must be one of {}", Form::ACCEPTED),
        }),
    )
}

fn stalled(error: &ServiceError) -> Response {
    problem(
        StatusCode::REQUEST_TIMEOUT,
        &json!({
            "type": "about:blank",
            "title": "Request Timeout",
            "status": 408,
            "detail": error.message,
        }),
    )
}

fn problem(status: StatusCode, body: &serde_json::Value) -> Response {
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}
