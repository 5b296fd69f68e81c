//! What TLS connections are accepted with at this moment: taken from wherever it comes, shared by all
//! who accept.
//!
//! Not for finding out that there is something new: [`super::reload`] watches files,
//! [`crate::cluster::certificate`] a Secret.

use std::sync::{Arc, Mutex, PoisonError};

use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;

use crate::core::pki::{TlsError, client_verifier, empty_config, facts::Facts, server_config};
use crate::host::metrics::Metrics;

/// The TLS settings in use. Clones share them.
#[derive(Clone, Debug)]
pub struct LiveTls {
    config: RustlsConfig,
    parts: Arc<Mutex<Parts>>,
    metrics: Arc<Metrics>,
}

/// What the settings are made of.
#[derive(Debug, Default)]
struct Parts {
    pair: Option<(Vec<u8>, Vec<u8>)>,
    client_ca: Option<Vec<u8>>,
    expiry: Expiry,
}

/// When what is in use expires, where it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// The server's certificate.
    pub certificate: Option<Timestamp>,
    /// The last of the CAs that callers are told to trust.
    pub ca: Option<Timestamp>,
}

impl LiveTls {
    /// With nothing to show yet: every handshake fails.
    pub fn new(metrics: Arc<Metrics>) -> Result<Self, TlsError> {
        Ok(Self {
            config: RustlsConfig::from_config(empty_config()?),
            parts: Arc::default(),
            metrics,
        })
    }

    /// What connections are accepted with: always the settings last taken into use.
    #[must_use]
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Shows this certificate from now on, and returns when it expires. After an error the former
    /// one stays in use.
    pub fn show(&self, cert_pem: &[u8], key_pem: &[u8]) -> Result<Timestamp, TlsError> {
        let mut parts = self.parts();
        let loaded = server_config(cert_pem, key_pem, parts.client_ca.as_deref())?;
        self.config.reload_from_config(loaded.config);
        parts.pair = Some((cert_pem.to_owned(), key_pem.to_owned()));
        parts.expiry.certificate = Some(loaded.not_after);
        self.metrics.certificate_expires(loaded.not_after);
        if loaded.not_after < Timestamp::now() {
            tracing::warn!(expired = %loaded.not_after, "the certificate has expired, so the API server refuses it");
        }
        Ok(loaded.not_after)
    }

    /// Accepts only callers with a certificate of one of these CAs from now on. After an error
    /// what was demanded before still is.
    pub fn demand(&self, client_ca_pem: &[u8]) -> Result<(), TlsError> {
        let mut parts = self.parts();
        if let Some((cert, key)) = &parts.pair {
            let loaded = server_config(cert, key, Some(client_ca_pem))?;
            self.config.reload_from_config(loaded.config);
        } else {
            client_verifier(client_ca_pem)?;
        }
        parts.client_ca = Some(client_ca_pem.to_owned());
        Ok(())
    }

    /// Notes the CAs that callers are told to trust, for those who ask when they expire.
    pub fn trusted(&self, ca_pem: &str) {
        let Some(expires) = last_expiry(ca_pem) else {
            return;
        };
        self.parts().expiry.ca = Some(expires);
        self.metrics.ca_expires(expires);
    }

    /// When what is in use expires.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        self.parts().expiry
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last_expiry(pem: &str) -> Option<Timestamp> {
    let all = Facts::all(pem.as_bytes()).ok()?;
    all.iter().map(|ca| ca.not_after).max()
}
