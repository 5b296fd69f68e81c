//! Tells whether certificates are any good: their dates, their names, their key, and who signed them.
//!
//! Texts in, a report out: the clock is handed in and files are read by others. Keys are only
//! compared, and nothing of them is in the report.

use super::{TlsError, facts::Facts, server_config};
use jiff::{SignedDuration, Timestamp};
use rustls::{
    RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use serde::Serialize;
use std::{cmp::Reverse, time::Duration};

/// What certificates are asked.
#[derive(Debug)]
pub struct Question {
    /// The time.
    pub now: Timestamp,
    /// How long a certificate must still be valid.
    pub warn_before: SignedDuration,
    /// What clients call the server; its certificate's own names without any.
    pub names: Vec<ServerName<'static>>,
}

/// A PEM text and where it is.
#[derive(Debug)]
pub struct Text {
    /// The file.
    pub file: String,
    /// The PEM.
    pub pem: Vec<u8>,
}

/// The texts of a folder as `kubernetes.io/tls` Secrets have them.
#[derive(Debug)]
pub struct Folder {
    /// `ca.crt`.
    pub ca: Option<Text>,
    /// `tls.crt`: the server's certificate, then its intermediates.
    pub cert: Text,
    /// `tls.key`.
    pub key: Option<Text>,
}

/// The texts cannot be read as certificates.
#[derive(Debug, thiserror::Error)]
#[error("failed to inspect {file}: {source}")]
pub struct InspectError {
    file: String,
    source: TlsError,
}

/// A certificate and where it was found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The file.
    pub file: String,
    /// What it says of itself.
    #[serde(flatten)]
    pub facts: Facts,
    /// Whole days until it expires; negative when it has.
    pub days_left: i64,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The file.
    pub file: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was seen.
    pub message: String,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Every certificate.
    pub certificates: Vec<Found>,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }

    /// Looks at a file with certificates, none of which is known to have signed another.
    pub fn file(&mut self, text: &Text, question: &Question) -> Result<(), InspectError> {
        let chain = self.certificates(text, question)?;
        for facts in &chain {
            self.check(&text.file, dates(facts, question));
        }
        // A CA is for no server, unless it says so.
        let is_server = |facts: &&Facts| !facts.is_ca || !facts.names.is_empty();
        if let Some(leaf) = chain.first().filter(is_server) {
            self.names(&text.file, leaf, question);
        }
        Ok(())
    }

    /// Looks at a folder, where key, certificate and CA have to fit together.
    pub fn folder(&mut self, folder: &Folder, question: &Question) -> Result<(), InspectError> {
        let authorities = match &folder.ca {
            Some(text) => self.certificates(text, question)?,
            None => Vec::new(),
        };
        self.file(&folder.cert, question)?;
        let file = &folder.cert.file;
        self.check(file, key(&folder.cert, folder.key.as_ref()));
        let Some(ca) = &folder.ca else {
            return Ok(());
        };
        match signer(&folder.cert, &authorities, question.now) {
            Ok(signer) => {
                self.check(
                    file,
                    Ok(format!("signed by {} of {}", signer.subject, ca.file)),
                );
                // Former and future CAs stand beside the one in use, and may have expired.
                self.check(&ca.file, dates(signer, question));
            }
            Err(error) => {
                let told = format!("no certificate of {} vouches for it: {error}", ca.file);
                self.check(file, Err(told));
            }
        }
        Ok(())
    }

    fn certificates(
        &mut self,
        text: &Text,
        question: &Question,
    ) -> Result<Vec<Facts>, InspectError> {
        let all = Facts::all(&text.pem).map_err(|source| InspectError {
            file: text.file.clone(),
            source,
        })?;
        self.certificates.extend(all.iter().map(|facts| {
            let left = facts.not_after.duration_since(question.now);
            Found {
                file: text.file.clone(),
                facts: facts.clone(),
                days_left: left.as_secs().div_euclid(24 * 60 * 60),
            }
        }));
        Ok(all)
    }

    fn names(&mut self, file: &str, leaf: &Facts, question: &Question) {
        if leaf.names.is_empty() {
            let told =
                "no client accepts it: it has no DNS name and no IP address (subjectAltName)";
            self.check(file, Err(told.to_owned()));
        }
        for name in &question.names {
            let told = name.to_str();
            let valid = ParsedCertificate::try_from(&leaf.der)
                .and_then(|parsed| verify_server_name(&parsed, name));
            let result = match valid {
                Ok(()) => Ok(format!("valid for {told}")),
                Err(_) => Err(format!(
                    "not valid for {told}, only for {}",
                    leaf.names.join(", ")
                )),
            };
            self.check(file, result);
        }
    }

    fn check(&mut self, file: &str, result: Result<String, String>) {
        let ok = result.is_ok();
        let (Ok(message) | Err(message)) = result;
        self.checks.push(Check {
            file: file.to_owned(),
            ok,
            message,
        });
    }
}

/// How long that is, in the largest unit that says enough.
#[must_use]
pub fn about(duration: SignedDuration) -> String {
    let hours = duration.as_hours().abs();
    let (count, unit) = match hours {
        0 => (duration.as_mins().abs(), "minute"),
        1..48 => (hours, "hour"),
        _ => (hours / 24, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// A time to the second, as people read it.
#[must_use]
pub fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn dates(facts: &Facts, question: &Question) -> Result<String, String> {
    let left = facts.not_after.duration_since(question.now);
    let (subject, end) = (&facts.subject, shown(facts.not_after));
    if question.now < facts.not_before {
        Err(format!(
            "{subject} is not valid before {}",
            shown(facts.not_before)
        ))
    } else if left.is_negative() {
        Err(format!("{subject} expired {} ago, at {end}", about(left)))
    } else if left < question.warn_before {
        Err(format!("{subject} expires in {}, at {end}", about(left)))
    } else {
        Ok(format!("{subject} expires in {}, at {end}", about(left)))
    }
}

fn key(cert: &Text, key: Option<&Text>) -> Result<String, String> {
    let Some(key) = key else {
        return Err("there is no tls.key beside it".to_owned());
    };
    match server_config(&cert.pem, &key.pem, None) {
        Ok(_) => Ok(format!("{} holds its key", key.file)),
        Err(error) => Err(error.to_string()),
    }
}

/// The certificate, valid now and for longest, that the chain leads to.
fn signer<'a>(cert: &Text, authorities: &'a [Facts], now: Timestamp) -> Result<&'a Facts, String> {
    let mut chain = Facts::all(&cert.pem).map_err(|error| error.to_string())?;
    let leaf = chain.remove(0);
    let intermediates: Vec<_> = chain.into_iter().map(|facts| facts.der).collect();
    let mut reason = "none is valid now".to_owned();
    // A trust anchor has no dates for rustls.
    let mut valid: Vec<_> = authorities
        .iter()
        .filter(|facts| (facts.not_before..=facts.not_after).contains(&now))
        .collect();
    valid.sort_by_key(|facts| Reverse(facts.not_after));
    for authority in valid {
        match vouches(authority, &leaf, &intermediates, now) {
            Ok(()) => return Ok(authority),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

fn vouches(
    authority: &Facts,
    leaf: &Facts,
    intermediates: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<(), rustls::Error> {
    // A certificate that signed itself, and is trusted as it is.
    if authority.der == leaf.der {
        return Ok(());
    }
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone())?;
    // The leaf's own dates are a check of their own.
    let at = now.max(leaf.not_before).min(leaf.not_after);
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(&leaf.der)?,
        &roots,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().unsigned_abs())),
        ring::default_provider()
            .signature_verification_algorithms
            .all,
    )
}

#[cfg(test)]
mod tests;
