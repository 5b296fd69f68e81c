//! What is asked of the cluster, and what is written there. Each part has a file of its own.
//!
//! Reviews wait for the apiserver only where a migration needs a claim; everything else they read from
//! what has been brought before.

pub mod api;
pub mod certificate;
pub mod claims;
pub mod cleanup;
pub mod events;
pub mod exceptions;
pub mod jobs;
pub mod leader;
pub mod namespaces;
pub mod pages;
mod patient;
pub mod pods;
pub mod registration;
pub mod runs;
mod seats;
pub mod starts;
pub mod verify;
pub mod version;

use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use tower::timeout::TimeoutLayer;

use api::TIMEOUT;
pub use patient::{patient, patient_untimed};

/// No answer begins later than this: the apiserver lets nobody queue for longer than half of it. What sets
/// itself no limit, as the LIST of a watch and the election do, would wait for ever for an apiserver that is
/// gone without a word.
const ANSWER: Duration = Duration::from_secs(30);

/// Creates the client of `serve`, without sending a request.
pub fn connect(mut config: kube::Config) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(TIMEOUT);
    // Whoever asks tries again by himself where that makes sense; a review had better hear at once that
    // the apiserver is busy.
    config.default_retry = false;
    // The client takes the process's default; everything of ours names its provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Of a watch, only the beginning is an answer.
    let limit = TimeoutLayer::new(ANSWER);
    Ok(ClientBuilder::try_from(config)?.with_layer(&limit).build())
}
