//! `zhili.conversation.v1.IngestService`.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use futures::{StreamExt, stream};
use tonic::codegen::{BoxStream, Service};
use tonic::server::NamedService;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::Instrument;
use zhili_eventlog::trace::TRACEPARENT;
use zhili_proto::conversation::v1::ingest_service_server::{IngestService, IngestServiceServer};
use zhili_proto::conversation::v1::{
    Event, PublishRequest, PublishResponse, PublishStreamRequest, PublishStreamResponse,
};
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};

use crate::budget::{Held, Meter};
use crate::parse::Element;
use crate::publish::{Answer, Batch, Publisher};

/// Bytes in front of every message of gRPC: a flag and the length.
const PREFIX: usize = 5;

/// The service, with the bytes of every call metered.
pub(crate) fn service(publisher: Arc<Publisher>) -> Metered<IngestServiceServer<Api>> {
    let limit = publisher.limits.batch_bytes as usize;
    let inner = IngestServiceServer::new(Api { publisher: Arc::clone(&publisher) })
        .max_decoding_message_size(limit);
    Metered { inner, publisher }
}

/// The calls of the contract.
pub(crate) struct Api {
    publisher: Arc<Publisher>,
}

/// Who calls, and what the call brought besides events.
struct Caller {
    principal: Principal,
    traceparent: Option<String>,
    meter: Option<Arc<Meter>>,
}

impl Caller {
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let principal = request
            .extensions()
            .get::<Principal>()
            .ok_or_else(|| Status::unauthenticated("the caller is not known"))?;
        principal.require(Permission::Publish)?;
        let traceparent = request.metadata().get(TRACEPARENT);
        Ok(Self {
            principal: principal.clone(),
            traceparent: traceparent.and_then(|value| value.to_str().ok()).map(str::to_owned),
            meter: request.extensions().get::<Arc<Meter>>().cloned(),
        })
    }

    fn hand_over(&self) -> Option<Held> {
        self.meter.as_ref().and_then(|meter| meter.hand_over())
    }
}

impl Api {
    async fn take(
        publisher: &Publisher,
        caller: &Caller,
        events: Vec<Event>,
        held: Option<Held>,
        protocol: &'static str,
    ) -> Result<Answer, Status> {
        let limit = publisher.limits.batch_events;
        if events.len() > limit {
            publisher.metrics.refused("size");
            return Err(Status::invalid_argument(format!(
                "{} events in one batch, at most {limit} are taken; send fewer",
                events.len()
            )));
        }
        let batch = Batch {
            principal: &caller.principal,
            elements: events.into_iter().map(Element::from).collect(),
            traceparent: caller.traceparent.as_deref(),
            held,
            protocol,
        };
        Ok(publisher.publish(batch).await?)
    }
}

#[tonic::async_trait]
impl IngestService for Api {
    type PublishStreamStream = BoxStream<PublishStreamResponse>;

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let caller = Caller::of(&request)?;
        let held = caller.hand_over();
        let events = request.into_inner().events;
        let Answer { results, accepted } =
            Self::take(&self.publisher, &caller, events, held, "grpc").await?;
        Ok(Response::new(PublishResponse { results, accepted }))
    }

    /// Reads on while earlier batches wait for the log, up to a number of batches; answers in
    /// order. The first failure ends the stream: what was not answered is to be published again.
    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let caller = Arc::new(Caller::of(&request)?);
        let span = tracing::Span::current();
        let publisher = Arc::clone(&self.publisher);
        let in_flight = publisher.stream_in_flight;
        let batches = until_stopped(request.into_inner(), Arc::clone(&publisher));
        let answers = batches
            .map(move |batch| {
                let publisher = Arc::clone(&publisher);
                let caller = Arc::clone(&caller);
                // Now, not when the future runs: later batches have their own.
                let held = caller.hand_over();
                let answer = async move {
                    let events = batch.map_err(|status| in_our_words(status, &publisher))?.events;
                    let Answer { results, accepted } =
                        Self::take(&publisher, &caller, events, held, "stream").await?;
                    Ok(PublishStreamResponse { results, accepted })
                };
                answer.instrument(span.clone())
            })
            // First polls are in order, and a first poll hands the records to the log.
            .buffered(in_flight);
        Ok(Response::new(answers.boxed()))
    }
}

/// The batches of a stream; when the service stops, an error after those read so far.
fn until_stopped(
    batches: Streaming<PublishStreamRequest>,
    publisher: Arc<Publisher>,
) -> impl futures::Stream<Item = Result<PublishStreamRequest, Status>> {
    let stopped = publisher.shutdown.clone();
    batches.take_until(stopped.cancelled_owned()).chain(
        stream::once(async move {
            if publisher.shutdown.is_cancelled() {
                let message = "the service is stopping; publish what was not answered again";
                Some(Err(ServiceError::new(ErrorCode::Unavailable, message).into()))
            } else {
                None
            }
        })
        .filter_map(|last| async { last }),
    )
}

/// gRPC's own word for a message over the limit is `OUT_OF_RANGE`; the contract says otherwise.
fn in_our_words(status: Status, publisher: &Publisher) -> Status {
    if status.code() == Code::OutOfRange { too_large(publisher) } else { status }
}

fn too_large(publisher: &Publisher) -> Status {
    publisher.metrics.refused("size");
    let limit = publisher.limits.batch_bytes;
    Status::invalid_argument(format!(
        "a batch has more than {limit} bytes; send fewer events at once"
    ))
}

/// Counts the bytes of every call against the budget while they come in, before they are
/// decoded, and refuses the call when there is no room.
#[derive(Clone)]
pub(crate) struct Metered<S> {
    inner: S,
    publisher: Arc<Publisher>,
}

impl<S: NamedService> NamedService for Metered<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<tonic::body::Body>> for Metered<S>
where
    S: Service<http::Request<tonic::body::Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let meter = Arc::new(self.publisher.budget.meter());
        parts.extensions.insert(Arc::clone(&meter));
        // A stream may go on for ever; the size of its messages is checked one by one.
        let unary = parts.uri.path().ends_with("/Publish");
        let limit =
            if unary { self.publisher.limits.batch_bytes as usize + PREFIX } else { usize::MAX };
        let publisher = Arc::clone(&self.publisher);
        let mut read = 0_usize;
        let chunks = AxumBody::new(body).into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(|error| Status::from_error(Box::new(error)))?;
            read = read.saturating_add(chunk.len());
            if read > limit {
                return Err(too_large(&publisher));
            }
            meter.take(chunk.len()).inspect_err(|_| publisher.metrics.refused("budget"))?;
            publisher.metrics.bytes.inc_by(chunk.len() as u64);
            Ok(chunk)
        });
        let body = tonic::body::Body::new(AxumBody::from_stream(chunks));
        self.inner.call(http::Request::from_parts(parts, body))
    }
}
