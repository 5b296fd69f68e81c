//! Development certificates: an own CA and a server certificate for this machine, kept in a
//! directory.
//!
//! Not for production, where somebody else issues certificates, and never for files that somebody
//! else put into the directory: those are used as they are.

use super::{
    make::{Ca, MakeError},
    server_config,
};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// The names a development server is reached by.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The CA's name, by which our own certificates are told from a user's.
const CA_NAME: &str = "migration-warden development CA";

/// Long enough not to be in the way; renewed well before the end, because a new one comes with a
/// new CA that has to be made known again.
const LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// File modes.
const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

/// Where the certificate to serve is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Our own CA's certificate, or nothing when the certificate is a user's own.
    pub ca: Option<PathBuf>,
    /// The server's certificate.
    pub cert: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
}

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A file or the directory cannot be read or written.
    #[error("failed to {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, …
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something of a user's own is there, but not all of it.
    #[error(
        "failed to use {}: it is not a development certificate of ours, so it is left alone; put {} beside it, or choose another directory",
        found.display(), missing.display()
    )]
    Foreign {
        /// The file that is there.
        found: PathBuf,
        /// The file that should be there too.
        missing: PathBuf,
    },
    /// The certificate cannot be made.
    #[error(transparent)]
    Make(#[from] MakeError),
}

/// What the directory holds.
enum Found {
    /// Nothing, or something of ours that is no longer any good.
    Nothing,
    /// A certificate that can be served.
    Usable(Issued),
}

/// Returns the certificate in `dir`, and makes it when there is none, or when ours expires within
/// 30 days of `now`. Safe to call from several processes at once.
pub fn ensure(dir: &Path, now: Timestamp) -> Result<Issued, IssueError> {
    let unlocked = look(dir, now);
    if let Ok(Found::Usable(issued)) = unlocked {
        return Ok(issued);
    }
    // Without the lock, half of a pair may be one that another process is writing.
    let _lock = match (lock(dir), unlocked) {
        (Ok(lock), _) => lock,
        // Nobody is writing where nothing can be written, so what was seen stands.
        (Err(_), Err(seen)) => return Err(seen),
        (Err(error), Ok(_)) => return Err(error),
    };
    // Another process may have been first.
    if let Found::Usable(issued) = look(dir, now)? {
        return Ok(issued);
    }
    make(dir, now)
}

/// Waits until no other process makes a certificate in `dir`; released when dropped.
fn lock(dir: &Path) -> Result<File, IssueError> {
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(failed("write", &path))?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

fn look(dir: &Path, now: Timestamp) -> Result<Found, IssueError> {
    let (ca, cert, key) = (dir.join("ca.crt"), dir.join("tls.crt"), dir.join("tls.key"));
    let (cert_pem, key_pem) = (read(&cert)?, read(&key)?);
    let foreign = |found: &PathBuf, missing: &PathBuf| IssueError::Foreign {
        found: found.clone(),
        missing: missing.clone(),
    };
    match (cert_pem, key_pem) {
        (None, None) => Ok(Found::Nothing),
        (None, Some(_)) => Err(foreign(&key, &cert)),
        (Some(cert_pem), key_pem) if is_ours(&cert_pem) => {
            let fresh = server_config(&cert_pem, &key_pem.unwrap_or_default())
                .is_ok_and(|loaded| loaded.not_after > now + RENEW_BEFORE);
            if fresh && ca.exists() {
                let ca = Some(ca);
                Ok(Found::Usable(Issued { ca, cert, key }))
            } else {
                Ok(Found::Nothing)
            }
        }
        (Some(_), None) => Err(foreign(&cert, &key)),
        (Some(_), Some(_)) => Ok(Found::Usable(Issued {
            ca: None,
            cert,
            key,
        })),
    }
}

fn is_ours(cert_pem: &[u8]) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(cert_pem) else {
        return false;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
        return false;
    };
    let mut names = certificate.issuer().iter_common_name();
    names.any(|name| name.as_str() == Ok(CA_NAME))
}

/// Makes CA and server certificate together and forgets the CA's key, so that nobody can ever
/// use it for another name on a machine where the CA was made known.
fn make(dir: &Path, now: Timestamp) -> Result<Issued, IssueError> {
    let ca = Ca::make(CA_NAME, now, LIFETIME)?;
    let leaf = ca.leaf("migration-warden", &NAMES.map(str::to_owned), now, LIFETIME)?;
    // The CA first: whoever sees the new certificate can already find what to trust.
    Ok(Issued {
        ca: Some(write(dir, "ca.crt", ca.cert_pem(), PUBLIC)?),
        key: write(dir, "tls.key", &leaf.key_pem, SECRET)?,
        cert: write(dir, "tls.crt", &leaf.cert_pem, PUBLIC)?,
    })
}

/// Writes a file so that a reader finds the old or the new content, never a part of it.
fn write(dir: &Path, name: &str, text: &str, mode: u32) -> Result<PathBuf, IssueError> {
    let path = dir.join(name);
    let new = dir.join(format!(".{name}.new"));
    let written = || {
        // Left over from a process that died: its mode may be another one.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    written().map_err(failed("write", &path))?;
    Ok(path)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, IssueError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IssueError {
    let path = path.to_owned();
    move |source| IssueError::Io {
        action,
        path,
        source,
    }
}
