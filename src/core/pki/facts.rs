//! What a certificate says of itself.
//!
//! Not for whether that is any good: see [`inspect`](super::inspect).

use super::{TlsError, moment};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Serialize;
use std::net::IpAddr;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer,
    x509::SubjectPublicKeyInfo,
};

/// The facts of one certificate.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The DNS names and IP addresses it is for.
    pub names: Vec<String>,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// Kind and size of its key.
    pub key: String,
    /// The certificate itself.
    #[serde(skip)]
    pub der: CertificateDer<'static>,
}

impl Facts {
    /// Reads all certificates of a PEM text, in its order; there is at least one.
    pub fn all(pem: &[u8]) -> Result<Vec<Self>, TlsError> {
        let chain = super::chain(pem)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        chain.into_iter().map(Self::of).collect()
    }

    /// Reads the first certificate of a PEM text.
    #[must_use]
    pub fn first(pem: &[u8]) -> Option<Self> {
        Self::of(CertificateDer::from_pem_slice(pem).ok()?).ok()
    }

    pub(super) fn of(der: CertificateDer<'static>) -> Result<Self, TlsError> {
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|_| TlsError::Certificate)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| TlsError::Certificate)?
            .map(|extension| extension.value.general_names.iter().filter_map(name))
            .map(Iterator::collect)
            .unwrap_or_default();
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            names,
            not_before: moment(certificate.validity().not_before.timestamp()),
            not_after: moment(certificate.validity().not_after.timestamp()),
            is_ca: certificate.is_ca(),
            key: key(certificate.public_key()),
            der,
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| v6()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn key(key: &SubjectPublicKeyInfo<'_>) -> String {
    let parameter = key.algorithm.parameters.as_ref();
    let curve = parameter
        .and_then(|parameter| parameter.as_oid().ok())
        .map(|oid| oid.to_id_string());
    match (key.algorithm.algorithm.to_id_string().as_str(), curve) {
        ("1.2.840.113549.1.1.1", _) => {
            let bits = key.parsed().map_or(0, |key| key.key_size());
            format!("RSA {bits}")
        }
        ("1.2.840.10045.2.1", Some(curve)) => match curve.as_str() {
            "1.2.840.10045.3.1.7" => "ECDSA P-256".to_owned(),
            "1.3.132.0.34" => "ECDSA P-384".to_owned(),
            "1.3.132.0.35" => "ECDSA P-521".to_owned(),
            other => format!("ECDSA {other}"),
        },
        ("1.3.101.112", _) => "Ed25519".to_owned(),
        (other, _) => other.to_owned(),
    }
}
