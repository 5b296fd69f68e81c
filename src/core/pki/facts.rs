//! The facts in a certificate, which the callers check.

use super::{TlsError, moment};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::net::IpAddr;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// The facts of one certificate.
#[derive(Clone, Debug)]
pub struct CertificateFacts {
    pub(crate) issuer: String,
    /// The DNS names and IP addresses it is valid for.
    pub names: Vec<String>,
    pub(crate) not_before: Timestamp,
    /// From this time on clients refuse it.
    pub not_after: Timestamp,
    pub(crate) der: CertificateDer<'static>,
}

impl CertificateFacts {
    /// Reads all certificates of a PEM text, in order. Fails if there is none.
    pub(crate) fn all(pem: &[u8]) -> Result<Vec<Self>, TlsError> {
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
            issuer: certificate.issuer().to_string(),
            names,
            not_before: moment(certificate.validity().not_before.timestamp()),
            not_after: moment(certificate.validity().not_after.timestamp()),
            der,
        })
    }

    /// Whether the key of this CA has signed it.
    #[must_use]
    pub(crate) fn is_signed_by(&self, ca: &Self) -> bool {
        let read = |der| X509Certificate::from_der(der).map(|(_, certificate)| certificate);
        let (Ok(leaf), Ok(ca)) = (read(&self.der), read(&ca.der)) else {
            return false;
        };
        leaf.verify_signature(Some(ca.public_key())).is_ok()
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
