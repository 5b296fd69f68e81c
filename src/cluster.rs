//! Everything that is read from the API server or written to it. Each part has a file of its own.
//!
//! Most of what reviews need is in the watches' memory. They wait for the API server only for claims, and for what no
//! watch has brought yet.

pub mod adoption;
pub mod api;
pub(crate) mod certificate;
pub mod claims;
pub mod cleanup;
pub mod events;
pub(crate) mod exceptions;
pub mod jobs;
pub mod leader;
pub mod namespaces;
pub(crate) mod pods;
pub(crate) mod registration;
pub mod runs;
pub(crate) mod starts;
pub(crate) mod verify;
pub(crate) mod version;

use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use strum::{IntoStaticStr, VariantNames};
use tower::timeout::TimeoutLayer;

use crate::host::metrics::{Counters, Registry};
use api::TIMEOUT;

/// Longest wait for the beginning of an answer. The API server queues a request for at most half of it. Without a
/// limit, the LIST of a watch and the election would wait forever if the API server is unreachable.
const ANSWER: Duration = Duration::from_secs(30);

/// Counts the failed requests of watches. Clones share the values.
#[derive(Clone, Debug)]
pub struct WatchMetrics(Counters);

#[derive(Clone, Copy, Debug, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
enum Watch {
    Exceptions,
    Jobs,
    Namespaces,
}

impl WatchMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self(registry.counters(
            "watch_failures",
            "Failed requests of a watch; the known state stays in use, and the watch is retried",
            "watch",
            Watch::VARIANTS,
        ))
    }

    fn failed(&self, watch: Watch) {
        self.0.inc(watch);
    }
}

/// Creates the client of `serve`, without sending a request.
pub fn connect(mut config: kube::Config) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(TIMEOUT);
    // Callers retry if that makes sense. A review must know at once that the API server is busy.
    config.default_retry = false;
    // The client uses the default of the process; our own code names its provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // For a watch, the limit applies only until the answer begins.
    let limit = TimeoutLayer::new(ANSWER);
    Ok(ClientBuilder::try_from(config)?.with_layer(&limit).build())
}
