//! The TLS settings that new connections use. All listeners share them.
//!
//! [`super::reload`] updates them from files, [`crate::cluster::certificate`] from a Secret.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;

use crate::core::pki::{
    TlsError, client_verifier, empty_config, facts::CertificateFacts, server_config,
};
use crate::host::metrics::{Counters, Registry};

/// The metrics of certificates. Clones share the values.
#[derive(Clone, Debug)]
pub struct CertificateMetrics {
    reloads: Counters,
    expiration: Gauge,
    ca_expiration: Gauge,
}

impl CertificateMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self {
            reloads: registry.results(
                "certificate_reloads",
                "Reloads of the certificate or of the client CA, by result",
            ),
            expiration: registry.add(
                "certificate_expiration_timestamp_seconds",
                "When the certificate in use expires, in seconds since the Unix epoch",
            ),
            ca_expiration: registry.add(
                "ca_expiration_timestamp_seconds",
                "When the last CA in the published bundle expires, in seconds since the Unix epoch; \
                 0 if the CA is managed elsewhere",
            ),
        }
    }
}

/// The TLS settings in use. Clones share them.
#[derive(Clone, Debug)]
pub struct LiveTls {
    config: RustlsConfig,
    parts: Arc<Mutex<Parts>>,
    metrics: CertificateMetrics,
}

/// The inputs of the settings, kept because a change of one needs the others.
#[derive(Debug, Default)]
struct Parts {
    pair: Option<(Vec<u8>, Vec<u8>)>,
    client_ca: Option<Vec<u8>>,
    expiry: Expiry,
}

/// Expiry of what is in use; `None` if it is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// When the certificate of the server expires.
    pub certificate: Option<Timestamp>,
    /// When the last CA in the published bundle expires.
    pub ca: Option<Timestamp>,
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, what) in [(self.certificate, "certificate "), (self.ca, ", CA ")] {
            f.write_str(what)?;
            match part {
                Some(time) => write!(f, "{time}")?,
                None => f.write_str("unknown")?,
            }
        }
        Ok(())
    }
}

impl LiveTls {
    /// Settings without a certificate: every handshake fails.
    pub fn new(metrics: CertificateMetrics) -> Result<Self, TlsError> {
        Ok(Self {
            config: RustlsConfig::from_config(empty_config()?),
            parts: Arc::default(),
            metrics,
        })
    }

    /// The configuration for listeners. It always follows the latest settings.
    #[must_use]
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Uses this certificate for new connections, and returns when it expires. After an error the previous one stays in
    /// use.
    pub fn show(&self, cert_pem: &[u8], key_pem: &[u8]) -> Result<Timestamp, TlsError> {
        let mut parts = self.parts();
        let loaded = server_config(cert_pem, key_pem, parts.client_ca.as_deref())?;
        self.config.reload_from_config(loaded.config);
        parts.pair = Some((cert_pem.to_owned(), key_pem.to_owned()));
        parts.expiry.certificate = Some(loaded.not_after);
        self.metrics.expiration.set(loaded.not_after.as_second());
        if loaded.not_after < Timestamp::now() {
            tracing::warn!(expired = %loaded.not_after, "the certificate has expired, so the API server refuses it");
        }
        Ok(loaded.not_after)
    }

    /// Requires a client certificate of one of these CAs for new connections. After an error the previous requirement
    /// stays in use.
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

    /// Stores when the last CA of a published bundle expires.
    pub fn trusted(&self, ca_pem: &str) {
        let Some(expires) = last_expiry(ca_pem) else {
            return;
        };
        self.parts().expiry.ca = Some(expires);
        self.metrics.ca_expiration.set(expires.as_second());
    }

    /// Counts a reload of the certificate or of the client CA.
    pub(crate) fn reloaded(&self, success: bool) {
        self.metrics.reloads.inc_result(success);
    }

    /// When the certificate and the CAs in use expire.
    #[must_use]
    pub(crate) fn expiry(&self) -> Expiry {
        self.parts().expiry
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last_expiry(pem: &str) -> Option<Timestamp> {
    let all = CertificateFacts::all(pem.as_bytes()).ok()?;
    all.iter().map(|ca| ca.not_after).max()
}
