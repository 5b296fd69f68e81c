//! Logs whose texts are as short as on stderr, and as free of credentials.
//!
//! Wraps the types with which the bridge from `tracing` writes its records. Not for decisions, whose line is already
//! bounded.

use std::borrow::Cow;
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::{InstrumentationScope, Key, SpanId, TraceFlags, TraceId};

use crate::core::text;
use crate::host::telemetry::BACKTRACE;

/// A wrapper of a provider, of its loggers, or of their records.
pub(super) struct Short<T>(pub(super) T);

impl<P: LoggerProvider> LoggerProvider for Short<P> {
    type Logger = Short<P::Logger>;

    fn logger_with_scope(&self, scope: InstrumentationScope) -> Self::Logger {
        Short(self.0.logger_with_scope(scope))
    }
}

impl<L: Logger> Logger for Short<L> {
    type LogRecord = Short<L::LogRecord>;

    fn create_log_record(&self) -> Self::LogRecord {
        Short(self.0.create_log_record())
    }

    fn emit(&self, record: Self::LogRecord) {
        self.0.emit(record.0);
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.0.event_enabled(level, target, name)
    }
}

impl<R: LogRecord> LogRecord for Short<R> {
    fn set_body(&mut self, body: AnyValue) {
        self.0.set_body(short(body));
    }

    fn add_attribute<K: Into<Key>, V: Into<AnyValue>>(&mut self, key: K, value: V) {
        let (key, value) = (key.into(), value.into());
        let value = if key.as_str() == BACKTRACE {
            value
        } else {
            short(value)
        };
        self.0.add_attribute(key, value);
    }

    fn add_attributes<I, K, V>(&mut self, attributes: I)
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<Key>,
        V: Into<AnyValue>,
    {
        for (key, value) in attributes {
            self.add_attribute(key, value);
        }
    }

    fn set_event_name(&mut self, name: &'static str) {
        self.0.set_event_name(name);
    }

    fn set_target<T: Into<Cow<'static, str>>>(&mut self, target: T) {
        self.0.set_target(target);
    }

    fn set_timestamp(&mut self, timestamp: SystemTime) {
        self.0.set_timestamp(timestamp);
    }

    fn set_observed_timestamp(&mut self, timestamp: SystemTime) {
        self.0.set_observed_timestamp(timestamp);
    }

    fn set_severity_text(&mut self, text: &'static str) {
        self.0.set_severity_text(text);
    }

    fn set_severity_number(&mut self, number: Severity) {
        self.0.set_severity_number(number);
    }

    fn set_trace_context(&mut self, trace: TraceId, span: SpanId, flags: Option<TraceFlags>) {
        self.0.set_trace_context(trace, span, flags);
    }
}

fn short(value: AnyValue) -> AnyValue {
    match value {
        AnyValue::String(whole) => {
            let kept = text::bounded(whole.as_str(), text::DETAIL).into_owned();
            AnyValue::from(kept)
        }
        // `tracing` does not produce long values of other types.
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLoggerProvider};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The records that would be sent, as text.
    #[derive(Clone, Debug, Default)]
    struct Sent(Arc<Mutex<Vec<String>>>);

    impl LogExporter for Sent {
        async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
            let mut sent = self.0.lock().unwrap();
            for (record, _) in batch.iter() {
                sent.extend(record.body().map(|body| format!("{body:?}")));
                let attributes = record.attributes_iter();
                sent.extend(attributes.map(|(key, value)| format!("{key}={value:?}")));
            }
            Ok(())
        }
    }

    #[test]
    fn a_text_is_cut_and_masked_and_a_backtrace_is_not() {
        let sent = Sent::default();
        let provider = SdkLoggerProvider::builder()
            .with_simple_exporter(sent.clone())
            .build();
        let bridge = OpenTelemetryTracingBridge::new(&Short(provider));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(bridge), || {
            let long = "a".repeat(600);
            let message = format!("postgres://app:hunter2@db {long}");
            tracing::error!(error = long, backtrace = long, count = 7, "{message}");
        });
        let cut = format!("{}…", "a".repeat(text::DETAIL - '…'.len_utf8()));
        let told = sent.0.lock().unwrap().concat();
        assert!(told.contains("postgres://app:***@db aaaa"), "{told}");
        assert!(
            told.contains(&format!("error=String(Owned(\"{cut}\"))")),
            "{told}"
        );
        assert!(
            told.contains(&"a".repeat(600)) && told.contains("count=Int(7)"),
            "{told}"
        );
    }
}
