//! W3C trace context in record headers, so that one trace runs from the publisher to the page.

use bytes::Bytes;
use opentelemetry::propagation::{Extractor, Injector};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::Headers;

/// Header that carries the trace context, as in HTTP and gRPC.
pub const TRACEPARENT: &str = "traceparent";

/// The trace and no more: nobody of ours writes another header of a trace.
impl Extractor for Headers {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then(|| self.text(key)).flatten()
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

impl Injector for Headers {
    fn set(&mut self, key: &str, value: String) {
        self.0.retain(|(name, _)| name != key);
        self.push(key, value);
    }
}

/// Makes `span` a child of the context that the headers carry, if they carry one.
pub fn continue_from(span: &Span, headers: &Headers) {
    if headers.text(TRACEPARENT).is_some() {
        let context = opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.extract(headers)
        });
        // Fails only where no trace is collected, and then there is nothing to continue.
        let _ = span.set_parent(context);
    }
}

/// The context of `span` as a `traceparent`; where no trace is collected, the one that came in,
/// so that a trace is not cut by a process that does not take part in it.
pub fn traceparent_of(span: &Span, incoming: &Headers) -> Option<Bytes> {
    let mut headers = Headers::default();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&span.context(), &mut headers);
    });
    let headers = if headers.0.is_empty() { incoming } else { &headers };
    headers.text(TRACEPARENT).map(|value| Bytes::copy_from_slice(value.as_bytes()))
}
