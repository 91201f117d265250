//! `zhili.conversation.v1.IngestService`.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body as AxumBody, BodyDataStream};
use bytes::Bytes;
use futures::future::ready;
use futures::{StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, BoxStream, Service};
use tonic::server::NamedService;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{Instrument, Span};
use zhili_eventlog::trace::TRACEPARENT;
use zhili_proto::conversation::v1::ingest_service_server::{IngestService, IngestServiceServer};
use zhili_proto::conversation::v1::{
    Event, PublishRequest, PublishResponse, PublishStreamRequest, PublishStreamResponse,
};
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};

use crate::budget::Meter;
use crate::count::{EventCount, TooMany};
use crate::parse::Element;
use crate::publish::{Answer, Batch, Pending, Publisher};

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
}

/// Puts one message of a call in the form of all batches. That it has no more events than are
/// taken was seen while it came in.
fn batch<'a>(caller: &'a Caller, events: Vec<Event>, protocol: &'static str) -> Batch<'a> {
    Batch {
        principal: &caller.principal,
        elements: events.into_iter().map(Element::from).collect(),
        traceparent: caller.traceparent.as_deref(),
        held: caller.meter.as_ref().and_then(|meter| meter.hand_over()),
        protocol,
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
        let batch = batch(&caller, request.into_inner().events, "grpc");
        let Answer { results, accepted } = self.publisher.publish(batch).await?;
        Ok(Response::new(PublishResponse { results, accepted }))
    }

    /// Reads on while the log is busy, up to a number of batches, and then appends them together:
    /// only one append of a stream is under way, so what a stream says stays in its order. The
    /// first failure ends the stream: what was not answered is to be published again. Batches are
    /// appended whether or not the publisher reads its answers, for they hold a part of the
    /// budget; if it reads none for too long, the stream ends.
    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let caller = Caller::of(&request)?;
        let in_flight = self.publisher.stream_in_flight;
        let (read, waiting) = mpsc::channel(in_flight);
        let reading = read_ahead(request.into_inner(), Arc::clone(&self.publisher), caller, read);
        // Each ends with the other: a client that is gone ends the batches, or the answers.
        tokio::spawn(reading.instrument(Span::current()));
        let (answer, answers) = mpsc::channel(in_flight);
        let (end, ended) = oneshot::channel();
        let appending = append_in_turn(Arc::clone(&self.publisher), waiting, answer, end);
        tokio::spawn(appending.instrument(Span::current()));
        let ending = stream::once(ended).filter_map(|end| ready(end.ok().map(Err)));
        Ok(Response::new(ReceiverStream::new(answers).map(Ok).chain(ending).boxed()))
    }
}

/// Prepares the batches of a stream and hands them on, the first fault last.
async fn read_ahead(
    batches: Streaming<PublishStreamRequest>,
    publisher: Arc<Publisher>,
    caller: Caller,
    waiting: mpsc::Sender<Result<Pending, Status>>,
) {
    let mut batches = pin!(until_stopped(batches, &publisher.shutdown));
    loop {
        let next = tokio::select! {
            next = batches.next() => next,
            () = waiting.closed() => return,
        };
        let Some(next) = next else { return };
        if let Ok(next) = &next {
            // Meanwhile nothing more is read of it, which its publisher notices.
            tokio::select! {
                () = publisher.may_publish(&caller.principal.tenant, next.events.len()) => {}
                () = waiting.closed() => return,
            }
        }
        let pending = next
            .map_err(|status| in_our_words(status, &publisher))
            .map(|next| publisher.prepare(batch(&caller, next.events, "stream")));
        let last = pending.is_err();
        if waiting.send(pending).await.is_err() || last {
            return;
        }
    }
}

/// Appends what is waiting and passes the answers on. `end` is why the stream ends, if not
/// because the publisher ended it.
async fn append_in_turn(
    publisher: Arc<Publisher>,
    waiting: mpsc::Receiver<Result<Pending, Status>>,
    answers: mpsc::Sender<PublishStreamResponse>,
    end: oneshot::Sender<Status>,
) {
    let mut waiting = ReceiverStream::new(waiting).ready_chunks(publisher.stream_in_flight);
    while let Some(batches) = waiting.next().await {
        for answer in append(&publisher, batches).await {
            let fault = match answer {
                Ok(answer) => match timeout(publisher.idle_timeout, answers.send(answer)).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) => return,
                    Err(_) => publisher.stalled("no answer of the stream was read").into(),
                },
                Err(fault) => fault,
            };
            // The receiver is gone with its client, who needs no reason.
            let _ = end.send(fault);
            return;
        }
    }
}

async fn append(
    publisher: &Publisher,
    batches: Vec<Result<Pending, Status>>,
) -> Vec<Result<PublishStreamResponse, Status>> {
    let mut fault = None;
    let mut good = Vec::with_capacity(batches.len());
    for batch in batches {
        match batch {
            Ok(batch) => good.push(batch),
            Err(status) => fault = Some(Err(status)),
        }
    }
    let answered = match publisher.append(good).await {
        Ok(answers) => answers,
        Err(error) => return vec![Err(error.into())],
    };
    answered
        .into_iter()
        .map(|Answer { results, accepted }| Ok(PublishStreamResponse { results, accepted }))
        .chain(fault)
        .collect()
}

/// The batches of a stream; when the service stops, an error after those read so far.
fn until_stopped(
    batches: Streaming<PublishStreamRequest>,
    shutdown: &CancellationToken,
) -> impl futures::Stream<Item = Result<PublishStreamRequest, Status>> {
    let stopping = stream::once(async {
        let message = "the service is stopping; publish what was not answered again";
        Err(ServiceError::new(ErrorCode::Unavailable, message).into())
    });
    let stopped = shutdown.clone();
    batches
        .take_until(shutdown.clone().cancelled_owned())
        .chain(stopping.filter(move |_| ready(stopped.is_cancelled())))
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

/// What comes in of one call.
struct Incoming {
    chunks: BodyDataStream,
    meter: Arc<Meter>,
    count: EventCount,
    publisher: Arc<Publisher>,
}

impl Incoming {
    /// The next bytes, once they are counted against the budget and found to hold no more events
    /// than are taken. A publisher may be silent between messages for as long as it likes, but
    /// not within one.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Status> {
        let publisher = &self.publisher;
        let next = if self.count.is_between_messages() {
            self.chunks.next().await
        } else {
            timeout(publisher.idle_timeout, self.chunks.next())
                .await
                .map_err(|_| publisher.stalled("nothing came of the rest of a message"))?
        };
        let Some(chunk) = next else { return Ok(None) };
        let chunk = chunk.map_err(|error| Status::from_error(Box::new(error)))?;
        let events = self.count.read(&chunk).map_err(|TooMany| {
            publisher.metrics.refused("size");
            let limit = publisher.limits.batch_events;
            Status::invalid_argument(format!(
                "more than {limit} events in one batch; send fewer at once"
            ))
        })?;
        let taken = self.meter.take(chunk.len(), events).await;
        taken.inspect_err(|_| publisher.metrics.refused("budget"))?;
        publisher.metrics.bytes.inc_by(chunk.len() as u64);
        Ok(Some((chunk, self)))
    }
}

/// Counts the bytes and events of every call while they come in, before they are decoded,
/// refuses the call when there is no room, and puts gRPC's refusal of a large message
/// in the contract's words.
#[derive(Clone)]
pub(crate) struct Metered<S> {
    inner: S,
    publisher: Arc<Publisher>,
}

impl<S: NamedService> NamedService for Metered<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Metered<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // One message at least is to come, of which nothing is known.
        if let Err(error) = self.publisher.budget.has_room(0) {
            self.publisher.metrics.refused("budget");
            return Box::pin(async { Ok(Status::from(error).into_http()) });
        }
        let (mut parts, body) = request.into_parts();
        let meter = Arc::new(self.publisher.budget.meter());
        parts.extensions.insert(Arc::clone(&meter));
        let publisher = Arc::clone(&self.publisher);
        let count = EventCount::new(publisher.limits.batch_events);
        let chunks = AxumBody::new(body).into_data_stream();
        let incoming = Incoming { chunks, meter, count, publisher };
        let body = Body::new(AxumBody::from_stream(stream::try_unfold(incoming, Incoming::next)));
        let answer = self.inner.call(http::Request::from_parts(parts, body));
        let publisher = Arc::clone(&self.publisher);
        Box::pin(async move {
            let answer = answer.await?;
            let status = Status::from_header_map(answer.headers());
            Ok(match status {
                Some(status) if status.code() == Code::OutOfRange => {
                    too_large(&publisher).into_http()
                }
                _ => answer,
            })
        })
    }
}
