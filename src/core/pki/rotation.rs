//! Decides which CA and certificate a self-managed installation serves, now and next.
//!
//! Texts and a time in, texts out: [`crate::cluster::certificate`] stores and uses them. Replicas need not switch at
//! the same moment, because a CA is trusted for a day before a certificate it signed is served, and stays trusted until
//! it expires.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::facts::CertificateFacts;
use super::make::{BACKDATE, Ca, MakeError, to_pem};
use super::server_config;

/// The name of our CAs. Each has a key of its own.
const CA_NAME: &str = "migration-warden CA";

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Lifetime of a CA. Users do not have to trust it by hand, so it may be short.
const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);
/// A CA with less time left gets a successor. This is longer than the lifetime of a certificate, which must not outlive
/// its CA, and leaves time to notice a failure.
const CA_RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(120 * 24);
/// Lifetime of a server's certificate.
const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(90 * 24);
/// A certificate with less time left is renewed: a third of its lifetime, as in cert-manager.
const LEAF_RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a CA is trusted before it signs. By then every API server trusts it, also if it is copied by hand or by a
/// pipeline.
const PUBLISHED_BEFORE: SignedDuration = DAY;

/// Most other CAs that a caller keeps trusting. A Secret that is emptied repeatedly must not make the webhook
/// configurations grow without limit.
const FORMER: usize = 8;

/// The stored data of the Secret. Debug output does not contain keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Material {
    /// `ca.crt`: every CA to trust, PEM.
    pub ca_certs: String,
    /// `ca.key`: key of the CA that signs.
    pub ca_key: String,
    /// `next-ca.key`: key of a CA that is already trusted but does not sign yet; empty without one.
    pub(crate) next_ca_key: String,
    /// `tls.crt`: the server's certificate.
    pub cert: String,
    /// `tls.key`: its key.
    pub key: String,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

impl Material {
    /// Reads the data of a Secret. Missing or invalid text counts as empty, and is regenerated.
    #[must_use]
    pub fn from_data(data: Option<&BTreeMap<String, ByteString>>) -> Self {
        let text = |key: &str| {
            let bytes = data.and_then(|data| data.get(key));
            bytes
                .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
                .unwrap_or_default()
        };
        Self {
            ca_certs: text("ca.crt"),
            ca_key: text("ca.key"),
            next_ca_key: text("next-ca.key"),
            cert: text("tls.crt"),
            key: text("tls.key"),
        }
    }

    /// The data of a Secret.
    #[must_use]
    pub(crate) fn to_data(&self) -> BTreeMap<String, ByteString> {
        [
            ("ca.crt", &self.ca_certs),
            ("ca.key", &self.ca_key),
            ("next-ca.key", &self.next_ca_key),
            ("tls.crt", &self.cert),
            ("tls.key", &self.key),
        ]
        .map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes())))
        .into()
    }

    /// Whether the stored certificate can be served to callers that trust the stored CAs.
    #[must_use]
    pub(crate) fn is_usable(&self, names: &[String], now: Timestamp) -> bool {
        let trusted = unexpired(&self.ca_certs, now);
        shown_until(&self.cert, &self.key, names, &trusted, now)
            .is_some_and(|expires| expires > now)
    }

    /// The data to store instead at `now`, for a server with these names; `None` if nothing is due.
    pub(crate) fn renewed(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<Option<Self>, MakeError> {
        let mut trusted = unexpired(&self.ca_certs, now);
        let mut signing = find(&trusted, &self.ca_key, now);
        let mut next = find(&trusted, &self.next_ca_key, now);
        let leaf = shown_until(&self.cert, &self.key, names, &trusted, now);
        let mut leaf_stays = leaf.is_some_and(|expires| expires > now + LEAF_RENEW_BEFORE);

        if let Some(successor) = next.take_if(|next| {
            let published = begins(&next.facts) + PUBLISHED_BEFORE;
            published <= now || signing.is_none() && leaf.is_none()
        }) {
            signing = Some(successor);
            leaf_stays = false;
        }
        // A valid certificate stays in use, so that callers keep trusting it: then the successor of a CA whose key was
        // lost also has to wait for its day.
        let in_use = leaf.filter(|expires| *expires > now + PUBLISHED_BEFORE + DAY);
        if signing.is_none() && in_use.is_none() {
            signing = Some(Signer::make(now, &mut trusted)?);
            leaf_stays = false;
        }
        let ending = signing
            .as_ref()
            .is_none_or(|signing| signing.facts.not_after < now + CA_RENEW_BEFORE);
        if ending && next.is_none() {
            next = Some(Signer::make(now, &mut trusted)?);
        }

        let mut renewed = Self {
            ca_certs: trusted.iter().map(|ca| to_pem(&ca.der)).collect(),
            ca_key: key(signing.as_ref()),
            next_ca_key: key(next.as_ref()),
            ..self.clone()
        };
        if let (false, Some(signing)) = (leaf_stays, &signing) {
            let lifetime = LEAF_LIFETIME.min(signing.facts.not_after.duration_since(now));
            let leaf = signing.ca.leaf("migration-warden", names, now, lifetime)?;
            (renewed.cert, renewed.key) = (leaf.cert_pem, leaf.key_pem);
        }
        Ok((renewed != *self).then_some(renewed))
    }
}

/// Whether this bundle has a certificate that a caller could trust.
#[must_use]
pub fn usable(bundle: &str, now: Timestamp) -> bool {
    !unexpired(bundle, now).is_empty()
}

/// The CAs that a caller which trusts `found` has to trust instead; `None` if that includes all of `bundle`.
///
/// The newest few of its other CAs stay until they expire: another replica may use another bundle for a while, with a
/// certificate that only that one covers.
#[must_use]
pub(crate) fn trusting(bundle: &str, found: &[u8], now: Timestamp) -> Option<String> {
    let mut found = unexpired(&String::from_utf8_lossy(found), now);
    let mut wanted = unexpired(bundle, now);
    let among = |ca: &CertificateFacts, others: &[CertificateFacts]| {
        others.iter().any(|other| other.der == ca.der)
    };
    // The order does not count: replicas with different bundles would overwrite each other without end.
    if wanted.iter().all(|ca| among(ca, &found)) {
        return None;
    }
    found.retain(|ca| !among(ca, &wanted));
    found.sort_by_key(|ca| std::cmp::Reverse(ca.not_before));
    found.truncate(FORMER);
    wanted.append(&mut found);
    Some(wanted.iter().map(|ca| to_pem(&ca.der)).collect())
}

/// A trusted CA whose key is known, so that it can sign.
struct Signer {
    ca: Ca,
    facts: CertificateFacts,
}

impl Signer {
    /// Generates a CA that is trusted from now on.
    fn make(now: Timestamp, trusted: &mut Vec<CertificateFacts>) -> Result<Self, MakeError> {
        let ca = Ca::make(CA_NAME, now, CA_LIFETIME)?;
        let made = CertificateFacts::first(ca.cert_pem().as_bytes());
        let facts = made.ok_or(MakeError::Damaged("certificate"))?;
        trusted.push(facts.clone());
        Ok(Self { ca, facts })
    }
}

fn key(signer: Option<&Signer>) -> String {
    signer.map_or_else(String::new, |signer| signer.ca.key_pem())
}

/// When a certificate was made, which is back-dated.
fn begins(certificate: &CertificateFacts) -> Timestamp {
    let begins = certificate.not_before.saturating_add(BACKDATE);
    begins.unwrap_or(certificate.not_before)
}

/// The certificates that have not expired. Damaged ones are left out.
fn unexpired(pem: &str, now: Timestamp) -> Vec<CertificateFacts> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(|block| CertificateFacts::of(block.ok()?).ok())
        .filter(|ca| ca.not_after > now)
        .collect()
}

/// The CA among these that this key belongs to.
fn find(trusted: &[CertificateFacts], key: &str, now: Timestamp) -> Option<Signer> {
    // A CA from the future comes from a wrong clock, and no caller would trust what it signs.
    let mut valid = trusted.iter().filter(|ca| ca.not_before <= now);
    valid.find_map(|facts| {
        let ca = Ca::load(&to_pem(&facts.der), key).ok()?;
        let facts = facts.clone();
        Some(Signer { ca, facts })
    })
}

/// When the server's certificate expires. `None` if the pair cannot be served, lacks a name, comes from the future, or
/// is not signed by a trusted CA.
fn shown_until(
    cert: &str,
    key: &str,
    names: &[String],
    trusted: &[CertificateFacts],
    now: Timestamp,
) -> Option<Timestamp> {
    server_config(cert.as_bytes(), key.as_bytes(), None).ok()?;
    let leaf = CertificateFacts::first(cert.as_bytes())?;
    let is_signed = trusted.iter().any(|ca| leaf.is_signed_by(ca));
    let fits = names.iter().all(|name| leaf.names.contains(name));
    (is_signed && fits && leaf.not_before <= now).then_some(leaf.not_after)
}

#[cfg(test)]
mod tests;
