//! Takes a new certificate into use as soon as its files change.
//!
//! Certificate and key are two files, so a reader can catch one new and one old: whatever does not
//! load as a pair is left alone, and the last good pair stays in use. Not for connections that are
//! already open: they keep the certificate they were made with.

use super::{Loaded, TlsError, server_config};
use crate::{
    metrics::Metrics,
    poll::{Contents, Poller, ReadError},
};
use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Why a certificate cannot be taken into use.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The contents are no usable pair.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The certificate in use, and the files it comes from.
#[derive(Debug)]
pub struct Certificate {
    config: RustlsConfig,
    poller: Poller,
    metrics: Arc<Metrics>,
}

impl Certificate {
    /// Loads the certificate for the first time.
    pub fn load(cert: PathBuf, key: PathBuf, metrics: Arc<Metrics>) -> Result<Self, LoadError> {
        let mut poller = Poller::new(vec![cert, key]);
        // A new poller always has news.
        let contents = poller.poll().unwrap_or(Ok(Vec::new()));
        let loaded = load(contents)?;
        note(&loaded, &metrics);
        Ok(Self {
            config: RustlsConfig::from_config(loaded.config),
            poller,
            metrics,
        })
    }

    /// What connections are accepted with: always the certificate last taken into use.
    #[must_use]
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Looks at the files every `period`, for as long as it is awaited.
    pub async fn keep_fresh(self, period: Duration) {
        let Self {
            config,
            poller,
            metrics,
        } = self;
        let apply = |contents| match load(contents) {
            Ok(loaded) => {
                note(&loaded, &metrics);
                metrics.certificate_reloaded(true);
                tracing::info!(expires = %loaded.not_after, "the new certificate is in use");
                config.reload_from_config(loaded.config);
            }
            Err(error) => {
                metrics.certificate_reloaded(false);
                tracing::error!(%error, "the certificate files changed, the former certificate stays in use");
            }
        };
        poller.run(period, apply).await;
    }
}

fn load(contents: Result<Contents, ReadError>) -> Result<Loaded, LoadError> {
    let contents = contents?;
    let file = |index: usize| contents.get(index).map_or(&[][..], Vec::as_slice);
    Ok(server_config(file(0), file(1))?)
}

fn note(loaded: &Loaded, metrics: &Metrics) {
    metrics.certificate_expires(loaded.not_after);
    if loaded.not_after < Timestamp::now() {
        tracing::warn!(expired = %loaded.not_after, "the certificate has expired, the API server will refuse it");
    }
}
