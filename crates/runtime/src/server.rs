use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{StatusCode, header};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tonic::server::NamedService;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use zhili_eventlog::trace::TRACEPARENT;
use zhili_proto::log::v1::log_service_server::LogServiceServer;

use crate::audit::{self, Audit};
use crate::auth::Authenticator;
use crate::connections;
use crate::error::worded;
use crate::headers;
use crate::tls::TlsListener;
use crate::{Context, Endpoint, Failure, Health, Quota, Routes, ServiceError, Sessions};

/// How long calls in progress may take to end after the signal to stop.
const DRAIN: Duration = Duration::from_secs(8);

/// gRPC and HTTP of one service on one port.
#[derive(Default)]
pub struct Server {
    grpc: tonic::service::Routes,
    services: Vec<&'static str>,
    http: Routes,
    open: Routes,
    sessions: Option<Sessions>,
}

/// Takes a port.
///
/// # Errors
/// [`Failure::Unavailable`] that names the address when it is taken.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Unavailable(format!(
            "cannot listen on {address}: {error}; stop what uses it or give another port"
        ))
    })
}

impl Server {
    /// Adds a gRPC service.
    #[must_use]
    pub fn grpc<S>(mut self, service: S) -> Self
    where
        S: tonic::codegen::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.grpc = self.grpc.add_service(service);
        self.services.push(S::NAME);
        self
    }

    /// Adds HTTP routes.
    #[must_use]
    pub fn http(mut self, routes: Routes) -> Self {
        self.http = self.http.merge(routes);
        self
    }

    /// Adds HTTP routes that need no token: such as show nothing of any tenant, or know their
    /// callers in another way.
    #[must_use]
    pub fn open(mut self, routes: Routes) -> Self {
        self.open = self.open.merge(routes);
        self
    }

    /// Lets browsers log in: `/session` opens one, and its cookie stands for a token.
    #[must_use]
    pub fn sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Serves until the context's shutdown, then lets calls in progress end. A service is not ready
    /// before it is called, so whatever readiness depends on is added to the context first.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when the port is lost.
    pub async fn serve(self, listener: TcpListener, context: &Context) -> Result<(), Failure> {
        context.serving();
        let (reporter, health) = tonic_health::server::health_reporter();
        // The overall service; what it says follows readiness.
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(zhili_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let unreflected = |error| Failure::Problems(format!("gRPC reflection: {error}"));
        let this = match context.log.clone() {
            Some(log) => self.grpc(LogServiceServer::new(log)),
            None => self,
        };
        let this = this
            .grpc(reflection().build_v1().map_err(unreflected)?)
            // What the clients of most languages ask for, some of them nothing else.
            .grpc(reflection().build_v1alpha().map_err(unreflected)?);
        let sessions = this.sessions.map(|sessions| sessions.over_tls(context.tls.is_served()));
        let mut open = own_routes(context).merge(this.open);
        if let Some(sessions) = &sessions {
            open = open.merge(sessions.routes());
        }
        let health_name = name_of(&health);
        let mut endpoints: Vec<Endpoint> = this.http.endpoints(false).collect();
        endpoints.extend(open.endpoints(true));
        endpoints
            .extend(this.services.iter().map(|service| Endpoint::Grpc { service, open: false }));
        endpoints.push(Endpoint::Grpc { service: health_name, open: true });
        *context.endpoints.lock().unwrap_or_else(PoisonError::into_inner) = endpoints;

        let door = Door {
            auth: context.auth.clone(),
            requests: context.requests.clone(),
            audit: context.log.as_ref().map(|log| {
                log.audit(&mut context.metrics.lock().unwrap_or_else(PoisonError::into_inner))
            }),
        };
        let protected = this
            .grpc
            .prepare()
            .into_axum_router()
            // What nobody serves is 404, which gRPC clients read as UNIMPLEMENTED.
            .reset_fallback()
            .merge(this.http.into_router())
            .layer(middleware::from_fn_with_state(door, authenticate));
        let protected = match sessions {
            Some(sessions) => {
                protected.layer(middleware::from_fn_with_state(sessions, crate::sessions::unlock))
            }
            None => protected,
        };
        let app = protected
            .merge(open.into_router())
            .route_service(&format!("/{health_name}/{{method}}"), health)
            .layer(middleware::map_response(worded))
            .layer(middleware::from_fn_with_state(context.tls.is_served(), headers::guard));

        let watched = context.health.clone();
        let stopping = context.shutdown.clone();
        let follow = tokio::spawn(async move { follow_health(watched, reporter, stopping).await });
        let stop = context.shutdown.clone();
        let serving = if context.tls.is_served() {
            let listener = TlsListener::new(listener, context.tls.clone());
            connections::serve(listener, app, stop).boxed()
        } else {
            connections::serve(listener, app, stop).boxed()
        };
        let deadline = context.shutdown.clone();
        tokio::select! {
            () = serving => {}
            // Streams that their clients keep open do not end by themselves.
            () = async { deadline.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
        }
        follow.abort();
        Ok(())
    }
}

/// What every server answers to anybody.
fn own_routes(context: &Context) -> Routes {
    let ready = context.health.clone();
    let registry = context.metrics.clone();
    Routes::default()
        .get("/livez", || async { "ok\n" })
        .get("/readyz", move || async move { readiness(&ready) })
        .get("/metrics", move || async move { exposition(&registry) })
}

const fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

fn readiness(health: &Health) -> Response {
    let complaints = health.complaints();
    if complaints.is_empty() {
        let warnings = health.warnings().into_iter().map(|warning| format!("warning: {warning}\n"));
        return format!("ready\n{}", warnings.collect::<String>()).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, complaints.join("\n") + "\n").into_response()
}

fn exposition(registry: &std::sync::Mutex<Registry>) -> Response {
    let mut text = String::new();
    let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What every request that is not open passes.
#[derive(Clone)]
struct Door {
    auth: Authenticator,
    audit: Option<Audit>,
    requests: Quota,
}

/// Recognises the caller once for gRPC and HTTP, answers each in its own way, and writes down what
/// the caller has done that others must be able to look up.
async fn authenticate(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let caller = door.auth.authenticate(header, now).await;
    let caller = caller.and_then(|it| door.requests.take(&it.tenant, 1).map(|()| it));
    match caller {
        Ok(principal) => {
            let span = tracing::info_span!(
                "serve",
                otel.kind = "server",
                otel.name = %span_name(&request, grpc)
            );
            let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
                propagator.extract(&RequestHeaders(request.headers()))
            });
            // Fails only where no trace is collected, and then there is nothing to continue.
            let _ = span.set_parent(parent);
            let endpoint = if grpc {
                request.uri().path().trim_start_matches('/').to_owned()
            } else {
                format!("{} {}", request.method(), request.uri().path())
            };
            request.extensions_mut().insert(principal.clone());
            let response = next.run(request).instrument(span).await;
            if let Some(audit) = &door.audit {
                let outcome = audit::outcome(&response);
                for deed in principal.take_deeds() {
                    audit.write(&principal, deed, &endpoint, &outcome).await;
                }
            }
            response
        }
        Err(error) if grpc => grpc_error(error),
        Err(error) => error.into_response(),
    }
}

/// What a request asks for, in words of ours: what callers put into an address is not masked.
fn span_name(request: &Request, grpc: bool) -> String {
    let Some(route) = request.extensions().get::<MatchedPath>() else {
        return "no route".to_owned();
    };
    // The router knows the services of gRPC and not their methods, whose names are one word.
    let path = request.uri().path();
    let method = path.rsplit('/').next().unwrap_or_default();
    let known = grpc && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    if known { path.to_owned() } else { route.as_str().to_owned() }
}

/// Trace context as it comes over HTTP and gRPC: the trace and no more, for `tracestate` is a text
/// of the caller's.
struct RequestHeaders<'a>(&'a http::HeaderMap);

impl opentelemetry::propagation::Extractor for RequestHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let known = (key == TRACEPARENT).then(|| self.0.get(key)).flatten();
        known.and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

fn grpc_error(error: ServiceError) -> Response {
    tonic::Status::from(error).into_http()
}

/// Keeps `grpc.health.v1` in step with readiness.
async fn follow_health(
    health: Health,
    reporter: tonic_health::server::HealthReporter,
    stopping: tokio_util::sync::CancellationToken,
) {
    loop {
        let serving = !stopping.is_cancelled() && health.complaints().is_empty();
        let status = if serving {
            tonic_health::ServingStatus::Serving
        } else {
            tonic_health::ServingStatus::NotServing
        };
        reporter.set_service_status("", status).await;
        tokio::select! {
            () = stopping.cancelled() => {
                reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
                return;
            }
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
}
