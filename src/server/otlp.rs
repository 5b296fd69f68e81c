//! Traces of reviews and logs, sent to an OpenTelemetry collector (OTLP over HTTP).
//!
//! Only if `serve --otlp-endpoint` is set, and never in the path of a review: the SDK's queues are bounded, and drop
//! what does not fit. Standard output stays the record; this is a copy for teams that collect everything in one place.
//! Not for metrics, which are scraped.

mod client;
mod short;

use std::time::SystemTime;

use axum::http::Uri;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::{HeaderExtractor, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use crate::core::review::Phase;
use crate::server::Answered;
use client::Client;
use short::Short;

/// Crates that the sending itself uses: sending their logs would cause more of them.
const SENDERS: [&str; 5] = ["h2", "hyper", "hyper_util", "opentelemetry", "tower"];

/// Sends traces and logs. Clones share it.
#[derive(Clone, Debug)]
pub struct Otlp {
    traces: SdkTracerProvider,
    tracer: SdkTracer,
    logs: SdkLoggerProvider,
    logger: SdkLogger,
}

/// Why the exporters cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OtlpError {
    /// The endpoint is not a usable URL.
    #[error(
        "failed to use {0} as an OTLP endpoint: write a collector's base URL such as \
         http://otel-collector:4318; https is not supported, so use a collector in the cluster"
    )]
    Endpoint(String),
    /// The HTTP client could not be created.
    #[error("failed to make a client: {0}")]
    Client(HttpError),
    /// The exporter could not be created.
    #[error("failed to make an exporter: {0}")]
    Exporter(#[from] ExporterBuildError),
}

impl Otlp {
    /// Sends to the collector at this base URL, on the current Tokio runtime. These environment variables of
    /// OpenTelemetry's specification apply: `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_*`, `OTEL_BLRP_*`.
    pub(crate) fn new(endpoint: &str) -> Result<Self, OtlpError> {
        let uri: Option<Uri> = endpoint.parse().ok();
        let usable = |uri: &Uri| uri.scheme_str() == Some("http") && uri.authority().is_some();
        let Some(uri) = uri.filter(usable) else {
            return Err(OtlpError::Endpoint(endpoint.to_owned()));
        };
        let client = Client::new(&uri).map_err(OtlpError::Client)?;
        let base = endpoint.trim_end_matches('/');
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/traces"))
            .build()?;
        let records = LogExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/logs"))
            .build()?;
        let resource = resource();
        let traces = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_batch_exporter(spans)
            .build();
        let logs = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(records)
            .build();
        Ok(Self {
            tracer: traces.tracer(env!("CARGO_PKG_NAME")),
            traces,
            logger: logs.logger(env!("CARGO_PKG_NAME")),
            logs,
        })
    }

    /// Also sends the process's own log.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let others = Targets::new()
            .with_default(LevelFilter::TRACE)
            .with_targets(SENDERS.map(|target| (target, LevelFilter::OFF)));
        OpenTelemetryTracingBridge::new(&Short(self.logs.clone())).with_filter(others)
    }

    /// Sends what is still queued. Blocks for a few seconds at most.
    pub(crate) fn shut_down(&self) {
        for result in [self.traces.shutdown(), self.logs.shutdown()] {
            if let Err(error) = result {
                tracing::warn!(%error, "failed to send the last traces and logs");
            }
        }
    }

    /// Sends the trace of a review that was answered, and the line of its decision. Never blocks.
    pub(crate) fn answered(&self, review: &Answered<'_>) {
        let parent = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &HeaderExtractor(review.headers));
        let (name, path) = match review.phase {
            Phase::Mutate => ("POST /mutate", "/mutate"),
            Phase::Validate => ("POST /validate", "/validate"),
        };
        let status = review.status.as_u16();
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("url.path", path),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        if let Some(verdict) = review.verdict {
            attributes.push(KeyValue::new("migration_warden.verdict", verdict));
        }
        let mut span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(review.began)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent);
        if status >= 500 {
            span.set_status(Status::error(review.status.to_string()));
        }
        if let Some(line) = review.line {
            let context = span.span_context().clone();
            let mut record = self.logger.create_log_record();
            record.set_event_name("migration_warden.decision");
            record.set_timestamp(review.began);
            record.set_observed_timestamp(SystemTime::now());
            record.set_severity_number(Severity::Info);
            record.set_severity_text("INFO");
            record.set_body(AnyValue::from(String::from_utf8_lossy(line).into_owned()));
            record.set_trace_context(
                context.trace_id(),
                context.span_id(),
                Some(context.trace_flags()),
            );
            self.logger.emit(record);
        }
        span.end();
    }
}

/// The resource attributes of this process; those from the environment take precedence.
fn resource() -> Resource {
    Resource::builder()
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new(
                "service.instance.id",
                rustix::system::uname()
                    .nodename()
                    .to_string_lossy()
                    .into_owned(),
            ),
        ])
        .build()
}
