//! A collector of traces: OTLP over gRPC, kept in memory.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::task::AbortHandle;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Request, Response, Status};

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct Span {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits; empty for a root.
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// Attributes with text or number values, as text.
    pub attributes: Vec<(String, String)>,
}

impl Span {
    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// Ends when dropped.
pub struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    exports: Arc<Mutex<Vec<Vec<u8>>>>,
    server: AbortHandle,
}

impl Collector {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (spans, exports) = <(Arc<_>, Arc<_>)>::default();
        let sink = Sink { spans: Arc::clone(&spans), exports: Arc::clone(&exports) };
        let service = TraceServiceServer::new(sink);
        let serving =
            Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { url, spans, exports, server: server.abort_handle() }
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Everything that was exported so far, as messages of protobuf: resources, events, states and
    /// all else that [`Span`] leaves out.
    pub fn exports(&self) -> Vec<Vec<u8>> {
        self.exports.lock().unwrap().clone()
    }

    /// The spans of one trace so far.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Sink {
    spans: Arc<Mutex<Vec<Span>>>,
    exports: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        self.exports.lock().unwrap().push(request.encode_to_vec());
        let resources = request.resource_spans;
        let spans = resources.into_iter().flat_map(|resource| resource.scope_spans);
        let spans = spans.flat_map(|scope| scope.spans).map(|span| Span {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            name: span.name,
            attributes: span
                .attributes
                .into_iter()
                .filter_map(|attribute| {
                    let value = match attribute.value?.value? {
                        Value::StringValue(text) => text,
                        Value::IntValue(number) => number.to_string(),
                        _ => return None,
                    };
                    Some((attribute.key, value))
                })
                .collect(),
        });
        self.spans.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
