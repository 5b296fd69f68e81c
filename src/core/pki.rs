//! Turns a certificate and its key, as PEM, into the TLS configuration of a server.
//!
//! [`crate::host::tls::reload`] reads files and notices changes, [`make`] generates certificates, and
//! [`crate::host::tls::issue`] does so for a development folder.

pub mod facts;
pub mod make;
pub mod rotation;

use jiff::Timestamp;
use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ResolvesServerCertUsingSni, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use std::sync::Arc;

use facts::CertificateFacts;

/// A certificate and key that can be served.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration that accepts connections.
    pub config: Arc<ServerConfig>,
    /// When the server's own certificate expires.
    pub not_after: Timestamp,
}

/// Why a certificate and key cannot be served. No message contains any part of the key.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "each message says what is wrong and what is expected"
)]
pub enum TlsError {
    #[error(
        "failed to find a certificate in the certificate file: it must hold the server's certificate and then its intermediates, as PEM"
    )]
    NoCertificate,
    #[error("failed to read the certificate file as PEM: it is cut off or damaged")]
    CertificatePem,
    #[error("failed to read the server's certificate as X.509: it is damaged")]
    Certificate,
    #[error(
        "failed to find a private key in the key file: it must hold one unencrypted PKCS#8, SEC1 or PKCS#1 key, as PEM"
    )]
    NoKey,
    #[error(
        "failed to use the private key: only ECDSA (P-256, P-384), Ed25519 and RSA (2048 bits and more) keys are supported"
    )]
    Key,
    #[error(
        "failed to pair certificate and private key: the key belongs to another certificate (the server's own must come first in the certificate file)"
    )]
    Mismatch,
    #[error(
        "failed to find a CA in the file of the callers' CA: it must hold the certificates of one or more CAs, as PEM"
    )]
    ClientCa,
    #[error("failed to set up TLS: {0}")]
    Config(#[from] rustls::Error),
}

/// Builds a server configuration from PEM texts: TLS 1.2 and 1.3, HTTP/1.1. With `client_ca`, only callers with a
/// certificate from one of its CAs are accepted.
pub fn server_config(
    cert_pem: &[u8],
    key_pem: &[u8],
    client_ca_pem: Option<&[u8]>,
) -> Result<Loaded, TlsError> {
    let chain = chain(cert_pem)?;
    let own = chain.first().ok_or(TlsError::NoCertificate)?;
    let not_after = CertificateFacts::of(own.clone())?.not_after;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| TlsError::NoKey)?;
    // Only to distinguish an unsupported key from one that does not match.
    if ring::default_provider()
        .key_provider
        .load_private_key(key.clone_key())
        .is_err()
    {
        return Err(TlsError::Key);
    }
    let config = builder()?;
    let config = match client_ca_pem {
        Some(pem) => config.with_client_cert_verifier(client_verifier(pem)?),
        None => config.with_no_client_auth(),
    };
    let config = config
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch,
            error => TlsError::Config(error),
        })?;
    Ok(Loaded {
        config: Arc::new(settled(config)),
        not_after,
    })
}

/// A configuration without a certificate, until one is available.
pub(crate) fn empty_config() -> Result<Arc<ServerConfig>, rustls::Error> {
    let nothing = Arc::new(ResolvesServerCertUsingSni::new());
    let config = builder()?.with_no_client_auth().with_cert_resolver(nothing);
    Ok(Arc::new(settled(config)))
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, rustls::Error> {
    // Not the process's default provider, because another crate could change that.
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
}

fn settled(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The API server never resumes a session, so tickets would only cost it and us two messages
    // per connection, and let an old certificate's sessions outlive its replacement.
    config.send_tls13_tickets = 0;
    config
}

/// Verifies callers against the CAs in a PEM text.
pub(crate) fn client_verifier(ca_pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for ca in chain(ca_pem).map_err(|_| TlsError::ClientCa)? {
        roots.add(ca).map_err(|_| TlsError::ClientCa)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
        .build()
        .map_err(|_| TlsError::ClientCa)
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        // The reason is left out: it could quote a key in the wrong file.
        .map_err(|_| TlsError::CertificatePem)
}

/// Converts a certificate's time in seconds. The time of one that never expires (RFC 5280, section 4.1.2.5) is a little
/// beyond the range of [`Timestamp`].
fn moment(seconds: i64) -> Timestamp {
    let bounds = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    let seconds = seconds.clamp(*bounds.start(), *bounds.end());
    Timestamp::from_second(seconds).unwrap_or_default()
}
