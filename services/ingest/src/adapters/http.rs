//! `POST /v1/adapters/{platform}`: who sends is found out before the body is read, or, where the
//! body is signed, before it is looked into.

use std::sync::Arc;

use axum::extract::{Query, Request};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use zhili_eventlog::trace::TRACEPARENT;
use zhili_proto::conversation::v1::{author, event};
use zhili_runtime::auth::{Authenticator, Permission, Principal};
use zhili_runtime::{Context, ErrorCode, Quota, Routes, ServiceError};

use super::senders::Signed;
use super::{Delivery, Platform, Senders, read};
use crate::http::{Refusal, answered, body_error, header_text, make_room, read_body, refused};
use crate::publish::{Answer, Batch, Publisher};

const SIGNATURE: &str = "x-chatwoot-signature";
const TIMESTAMP: &str = "x-chatwoot-timestamp";
const API_KEY: &str = "x-api-key";
const FIREHOSE_KEY: &str = "x-amz-firehose-access-key";
const FIREHOSE_REQUEST: &str = "x-amz-firehose-request-id";

/// What may be written behind the address.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    source: Option<String>,
    mode: Mode,
    business: Business,
    /// A token, for platforms that can send no header.
    token: Option<zhili_runtime::config::Secret>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Live,
    Backfill,
}

/// Who writes for the business where it is not said.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Business {
    #[default]
    Bot,
    Agent,
}

struct Adapters {
    publisher: Arc<Publisher>,
    senders: Senders,
    auth: Authenticator,
    requests: Quota,
}

/// The routes, one for each platform. They find out themselves who calls.
pub(crate) fn routes(publisher: Arc<Publisher>, senders: Senders, context: &Context) -> Routes {
    let (auth, requests) = (context.auth.clone(), context.requests.clone());
    let adapters = Arc::new(Adapters { publisher, senders, auth, requests });
    Platform::ALL.into_iter().fold(Routes::default(), |routes, platform| {
        let adapters = Arc::clone(&adapters);
        let path = format!("/v1/adapters/{}", platform.name());
        routes.post(&path, move |request: Request| async move {
            adapters.answer(platform, request).await
        })
    })
}

/// How far a sender is known before the body is there.
enum Sender {
    Known(Principal),
    Signed(Signed),
}

fn unauthenticated(message: &str) -> ServiceError {
    ServiceError::new(ErrorCode::Unauthenticated, message)
}

impl Adapters {
    async fn answer(&self, platform: Platform, request: Request) -> Response {
        let firehose = header_text(request.headers(), FIREHOSE_REQUEST).map(str::to_owned);
        match self.take(platform, request).await {
            // The stream is told in its own words that its records are safe.
            Ok(answer) if answer.accepted > 0 || answer.results.is_empty() => match firehose {
                Some(id) if platform == Platform::ContactLens => {
                    let now_ms = self.publisher.now_ms();
                    axum::Json(json!({ "requestId": id, "timestamp": now_ms })).into_response()
                }
                _ => answered(answer),
            },
            Ok(answer) => answered(answer),
            Err(refusal) => refused(refusal),
        }
    }

    async fn take(&self, platform: Platform, request: Request) -> Result<Answer, Refusal> {
        let publisher = &*self.publisher;
        let counted = |outcome| publisher.metrics.adapter(platform.name(), outcome);
        let (parts, body) = request.into_parts();
        let Query(parameters) = Query::<Parameters>::try_from_uri(&parts.uri).map_err(|_| {
            let words = "behind the address may stand source, mode (live or backfill), business \
                         (bot or agent) and token";
            ServiceError::new(ErrorCode::Invalid, words)
        })?;
        let sender = self.sender(platform, &parts.headers, &parameters).await;
        let sender = sender.inspect_err(|_| counted("unknown_sender"))?;
        let (body, meter) = read_body(publisher, &parts.headers, body).await?;
        let principal = match sender {
            Sender::Known(principal) => principal,
            Sender::Signed(signed) => {
                let principal = self.senders.of_signature(platform, &signed, &body);
                principal.ok_or_else(|| {
                    counted("unknown_sender");
                    unauthenticated("the signature is by no secret of `ingest.senders`")
                })?
            }
        };
        self.requests.take(&principal.tenant, 1)?;
        let limit = publisher.limits.batch_events;
        let mut delivery = Delivery::new(platform, publisher.now_ms(), limit);
        if let Some(source) = parameters.source {
            delivery.source = source;
        }
        delivery.mode = match parameters.mode {
            Mode::Live => event::Mode::Live,
            Mode::Backfill => event::Mode::Backfill,
        };
        delivery.business = match parameters.business {
            Business::Bot => author::Role::Bot,
            Business::Agent => author::Role::Agent,
        };
        let elements = read(platform, &body, &delivery).map_err(|error| {
            counted("unreadable");
            body_error(publisher, error)
        })?;
        drop(body);
        counted(if elements.is_empty() { "nothing" } else { "events" });
        if elements.is_empty() {
            return Ok(Answer::default());
        }
        make_room(publisher, &meter, elements.len()).await?;
        let batch = Batch {
            principal: &principal,
            elements,
            traceparent: header_text(&parts.headers, TRACEPARENT),
            held: meter.hand_over(),
            protocol: "adapter",
        };
        Ok(publisher.publish(batch).await?)
    }

    /// Who sends, by what the platform can send: a signature, a secret, or a token of ours in one
    /// of several places.
    async fn sender(
        &self,
        platform: Platform,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<Sender, ServiceError> {
        let now_ms = self.publisher.now_ms();
        let has_secrets = self.senders.knows(platform);
        if platform == Platform::Chatwoot
            && has_secrets
            && let Some(signature) = header_text(headers, SIGNATURE)
        {
            let timestamp = header_text(headers, TIMESTAMP).unwrap_or_default();
            let signed = Signed::of(timestamp, signature, now_ms);
            let refuse = || unauthenticated("the signature cannot be read, or is not of now");
            return signed.map(Sender::Signed).ok_or_else(refuse);
        }
        let key = header_text(headers, API_KEY);
        if platform == Platform::Sunshine
            && has_secrets
            && let Some(key) = key
        {
            let known = self.senders.of_key(platform, key);
            let refuse = || unauthenticated("the key is no secret of `ingest.senders`");
            return known.map(Sender::Known).ok_or_else(refuse);
        }
        let of_stream = header_text(headers, FIREHOSE_KEY).or(key);
        let of_address = parameters.token.as_ref();
        let bearer = |token: &str| format!("Bearer {token}");
        let given = header_text(headers, http::header::AUTHORIZATION.as_str()).map(str::to_owned);
        let of_stream = of_stream.filter(|_| platform == Platform::ContactLens).map(bearer);
        let by_header = given.or(of_stream);
        let in_address = by_header.is_none();
        let token = by_header.or_else(|| of_address.map(|token| bearer(token.expose())));
        let seconds = now_ms.div_euclid(1000).unsigned_abs();
        let principal = self.auth.authenticate(token.as_deref(), seconds).await?;
        principal.require(Permission::Publish)?;
        if in_address && token.is_some() && !publishes_only(&principal) {
            let words = "a token in an address is seen on its way: use one of the role publisher";
            return Err(ServiceError::new(ErrorCode::Denied, words));
        }
        Ok(Sender::Known(principal))
    }
}

/// Whether nothing is lost with the principal's token but the right to publish.
fn publishes_only(principal: &Principal) -> bool {
    use Permission as P;
    let others =
        [P::Transcripts, P::Aggregates, P::Incidents, P::Library, P::Config, P::Erase, P::Audit];
    !others.into_iter().any(|permission| principal.may(permission))
}
