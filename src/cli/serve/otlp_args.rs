//! Copies of decisions, traces and logs for an OpenTelemetry collector. Nothing is sent unless the program is built
//! with the feature `otlp` and `--otlp-endpoint` is set.

use std::sync::Arc;

use crate::host::telemetry::Another;
use crate::server::Observer;
#[cfg(feature = "otlp")]
use crate::server::otlp::Otlp;

/// Arguments of `serve` for OpenTelemetry.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Base URL of an OpenTelemetry collector, such as `http://otel-collector:4318`. The server sends it traces,
    /// decisions and logs over HTTP. Decisions are still written to stdout.
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
}

/// The collector that receives copies, if any.
pub(super) struct Copies {
    #[cfg(feature = "otlp")]
    otlp: Option<Otlp>,
}

#[cfg(feature = "otlp")]
impl Args {
    /// Must be called within the runtime that sends the copies.
    pub(super) fn set_up(&self) -> anyhow::Result<Copies> {
        let endpoint = self.otlp_endpoint.as_deref();
        // A chart template may set the variable to an empty string.
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty());
        let otlp = endpoint.map(Otlp::new).transpose()?;
        Ok(Copies { otlp })
    }
}

#[cfg(feature = "otlp")]
impl Copies {
    pub(super) fn layer(&self) -> Option<Another> {
        let otlp = self.otlp.as_ref()?;
        Some(Box::new(otlp.layer()))
    }

    pub(super) fn observer(&self) -> Option<Arc<dyn Observer>> {
        let otlp = self.otlp.clone()?;
        Some(Arc::new(otlp))
    }

    pub(super) fn shut_down(&self) {
        if let Some(otlp) = &self.otlp {
            otlp.shut_down();
        }
    }
}

#[cfg(not(feature = "otlp"))]
#[allow(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "same signatures as with the feature"
)]
impl Args {
    pub(super) fn set_up(&self) -> anyhow::Result<Copies> {
        Ok(Copies {})
    }
}

#[cfg(not(feature = "otlp"))]
#[allow(clippy::unused_self, reason = "same signatures as with the feature")]
impl Copies {
    pub(super) fn layer(&self) -> Option<Another> {
        None
    }

    pub(super) fn observer(&self) -> Option<Arc<dyn Observer>> {
        None
    }

    pub(super) fn shut_down(&self) {}
}
