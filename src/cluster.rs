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
use kube::config::KubeConfigOptions;
use tower::timeout::TimeoutLayer;

use api::TIMEOUT;
pub use patient::patient;

/// Which cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cluster {
    /// None.
    Off,
    /// The one this pod runs in.
    #[value(name = "in-cluster")]
    Pod,
    /// That of the current context of the kubeconfig.
    Kubeconfig,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not in a pod, or in one without a service account.
    #[error("failed to find the cluster this pod runs in: {0}")]
    Pod(#[from] kube::config::InClusterError),
    /// No kubeconfig, or one that cannot be used.
    #[error("failed to read the kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The settings make no client.
    #[error("failed to make a client: {0}")]
    Client(#[from] kube::Error),
}

/// No answer begins later than this: the apiserver lets nobody queue for longer than half of it. What sets
/// itself no limit, as the LIST of a watch and the election do, would wait for ever for an apiserver that is
/// gone without a word.
const ANSWER: Duration = Duration::from_secs(30);

impl Cluster {
    /// A client for the cluster; nothing when there is none. Nothing is asked yet.
    pub async fn connect(self) -> Result<Option<Client>, ConnectError> {
        let mut config = match self {
            Self::Off => return Ok(None),
            Self::Pod => kube::Config::incluster()?,
            Self::Kubeconfig => {
                kube::Config::from_kubeconfig(&KubeConfigOptions::default()).await?
            }
        };
        config.connect_timeout = Some(TIMEOUT);
        // Whoever asks tries again by himself where that makes sense; a review had better hear at once that
        // the apiserver is busy.
        config.default_retry = false;
        // The client takes the process's default; everything of ours names its provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Of a watch, only the beginning is an answer.
        let limit = TimeoutLayer::new(ANSWER);
        let client = ClientBuilder::try_from(config)?.with_layer(&limit).build();
        Ok(Some(client))
    }
}
