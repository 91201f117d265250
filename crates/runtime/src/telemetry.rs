//! Logs to standard error, traces to a collector if one is configured, W3C context everywhere.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::Failure;

/// How a process tells what it does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `pretty` for people, `json` for collectors.
    pub format: LogFormat,
    /// Filter in the form of the `tracing` crate, such as `info,zhili_eventlog=debug`.
    pub filter: String,
    /// Address of an OTLP/gRPC collector, such as `http://127.0.0.1:4317`; empty for none.
    pub otlp: String,
    /// Share of traces started here that is kept, 0 to 1; a caller's own decision is followed.
    pub sample: f64,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line a record, for people.
    Pretty,
    /// One JSON object a record.
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Pretty,
            filter: "info,h2=warn,hyper=warn,tonic=warn,rdkafka=warn".to_owned(),
            otlp: String::new(),
            sample: 1.0,
        }
    }
}

/// Ends telemetry properly when dropped: what was collected is sent.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            // Nowhere left to report to.
            let _ = provider.shutdown_with_timeout(Duration::from_secs(3));
        }
    }
}

/// Starts logs and traces for this process.
///
/// # Errors
/// [`Failure::Usage`] for a filter or address that cannot be read.
pub fn start(service: &'static str, config: &TelemetryConfig) -> Result<Telemetry, Failure> {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| Failure::Usage(format!("telemetry.filter: {error}")))?;
    let no_color = std::env::var_os("NO_COLOR");
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // It would say on standard error that standard error cannot be written, and panic: on a
        // full disk the thread that has something to say about it would be the first to go.
        .log_internal_errors(false)
        .with_ansi(coloured(std::io::stderr().is_terminal(), no_color.as_deref()));
    let lines = match config.format {
        LogFormat::Pretty => lines.with_target(false).compact().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = (!config.otlp.is_empty()).then(|| provider(service, config)).transpose()?;
    // What is logged and what is traced are two questions: quiet logs must not cut traces.
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("zhili"))
            .with_filter(EnvFilter::new("off,zhili=info"))
    });
    // A second start in one process (tests) keeps the first.
    let lines = lines.with_filter(filter);
    let _ = tracing_subscriber::registry().with(lines).with(traces).try_init();
    Ok(Telemetry { provider })
}

/// Colours are for people who look on, unless they asked for none (no-color.org).
fn coloured(terminal: bool, no_color: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

fn provider(service: &'static str, config: &TelemetryConfig) -> Result<SdkTracerProvider, Failure> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&config.otlp)
        .with_timeout(Duration::from_secs(5))
        .build()
        .map_err(|error| Failure::Usage(format!("telemetry.otlp: {error}")))?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
        .with_resource(Resource::builder().with_service_name(service).build())
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_of_people_who_want_them() {
        assert!(coloured(true, None));
        assert!(coloured(true, Some(OsStr::new(""))));
        assert!(!coloured(true, Some(OsStr::new("1"))));
        assert!(!coloured(false, None));
    }
}
