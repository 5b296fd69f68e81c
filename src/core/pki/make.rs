//! Generates a CA and certificates of servers.
//!
//! Texts in, texts out: the caller supplies the time, and handles files and Secrets.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::time::Duration;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// How far certificates are back-dated, for clients whose clock is behind.
pub(super) const BACKDATE: SignedDuration = SignedDuration::from_hours(1);

/// Why a certificate cannot be generated. No message contains any part of a key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what is wrong")]
pub enum MakeError {
    #[error("failed to make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("failed to read the CA's {0}: it is damaged, or not PEM")]
    Damaged(&'static str),
    #[error("failed to pair the CA's certificate and key: the key belongs to another certificate")]
    Mismatch,
}

/// A CA that can sign. It cannot be printed, and neither can a [`Leaf`].
pub struct Ca {
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Generates a CA that is valid from an hour before `now` until `lifetime` after it.
    pub fn make(
        common_name: &str,
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Self, MakeError> {
        let mut params = params(&[], common_name, now, lifetime)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        Ok(Self {
            cert_pem: params.self_signed(&key)?.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Loads a CA from its stored certificate and key.
    pub(crate) fn load(cert_pem: &str, key_pem: &str) -> Result<Self, MakeError> {
        let damaged = || MakeError::Damaged("certificate");
        let der = CertificateDer::from_pem_slice(cert_pem.as_bytes()).map_err(|_| damaged())?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| damaged())?;
        // The reason is left out, because it could quote the key.
        let key = KeyPair::from_pem(key_pem).map_err(|_| MakeError::Damaged("key"))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(MakeError::Mismatch);
        }
        Ok(Self {
            cert_pem: cert_pem.to_owned(),
            issuer: Issuer::from_ca_cert_der(&der, key)?,
        })
    }

    /// The certificate, which clients have to trust.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key, to be stored with the CA.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Generates a key and a server's certificate for these DNS names and IP addresses, valid from an hour before `now`
    /// until `lifetime` after it.
    pub fn leaf(
        &self,
        common_name: &str,
        names: &[String],
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Leaf, MakeError> {
        let mut params = params(names, common_name, now, lifetime)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Leaf {
            cert_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

/// A server's certificate and its key.
pub struct Leaf {
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The private key, PKCS#8 as PEM.
    pub key_pem: String,
}

pub(super) fn to_pem(der: &CertificateDer<'_>) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der.to_vec()), config)
}

fn params(
    names: &[String],
    common_name: &str,
    now: Timestamp,
    lifetime: SignedDuration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let epoch = date_time_ymd(1970, 1, 1);
    let seconds = |at: Timestamp| Duration::from_secs(at.as_second().unsigned_abs());
    params.not_before = epoch + seconds(now - BACKDATE);
    params.not_after = epoch + seconds(now + lifetime);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::pki::facts::CertificateFacts;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_certificate_begins_an_hour_ago_and_ends_on_the_second() {
        let ca = Ca::make("a CA", now(), DAY).unwrap();
        let names = ["localhost".to_owned()];
        let leaf = ca.leaf("a server", &names, now(), DAY / 2).unwrap();
        for (pem, lifetime) in [(ca.cert_pem(), DAY), (&leaf.cert_pem, DAY / 2)] {
            let facts = CertificateFacts::first(pem.as_bytes()).unwrap();
            assert_eq!(facts.not_before, now() - BACKDATE);
            assert_eq!(facts.not_after, now() + lifetime);
        }
    }

    #[test]
    fn a_ca_that_was_kept_signs_as_before() {
        let made = Ca::make("a CA", now(), DAY).unwrap();
        let kept = Ca::load(made.cert_pem(), &made.key_pem()).unwrap();
        assert_eq!(kept.cert_pem(), made.cert_pem());
        assert_eq!(kept.key_pem(), made.key_pem());
        let leaf = kept.leaf("a server", &[], now(), DAY).unwrap();
        let [leaf, ca] = [&*leaf.cert_pem, made.cert_pem()];
        let leaf = CertificateFacts::first(leaf.as_bytes()).unwrap();
        assert_eq!(leaf.issuer, "CN=a CA");
        assert!(leaf.is_signed_by(&CertificateFacts::first(ca.as_bytes()).unwrap()));
    }

    #[test]
    fn what_was_not_kept_whole_is_refused_without_the_key() {
        let [one, other] = [0; 2].map(|_| Ca::make("a CA", now(), DAY).unwrap());
        let (cert, key) = (one.cert_pem(), one.key_pem());
        let mismatch =
            "failed to pair the CA's certificate and key: the key belongs to another certificate";
        let no_key = "failed to read the CA's key: it is damaged, or not PEM";
        let no_cert = "failed to read the CA's certificate: it is damaged, or not PEM";
        for (cert, key, expected) in [
            (cert, &*other.key_pem(), mismatch),
            (cert, &key[..key.len() / 2], no_key),
            (&cert[..40], &key, no_cert),
            ("", &key, no_cert),
        ] {
            let error = Ca::load(cert, key).err().unwrap();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_refused() {
        let ca = Ca::make("a CA", now(), DAY).unwrap();
        let names = ["bücher.example".to_owned()];
        let error = ca.leaf("a server", &names, now(), DAY).err().unwrap();
        let expected = "failed to make a certificate: Invalid IA5String: 'bücher.example'";
        assert_eq!(error.to_string(), expected);
    }
}
