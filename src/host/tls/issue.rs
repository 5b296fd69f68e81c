//! Development certificates: a CA and a server certificate for this machine, stored in a folder.
//!
//! Not for production. Files in the folder that this module did not create are used as they are and never overwritten.

use crate::core::pki::{
    facts::CertificateFacts,
    make::{Ca, MakeError},
    server_config,
};
use jiff::{SignedDuration, Timestamp};
use rustix::fs::OFlags;
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Name of the CA. It distinguishes certificates that this module created from those of the user.
const CA_NAME: &str = "migration-warden development CA";

/// A renewed certificate has a new CA, which the user has to trust again. So the lifetime is long.
const LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A certificate with a short lifetime is renewed when one third of it is left.
const RENEW_PART: i32 = 3;

/// File modes of certificates and of private keys.
const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

/// Files of the certificate to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate of the development CA; `None` if the user provided the certificate.
    pub ca: Option<PathBuf>,
    /// The certificate of the server.
    pub cert: PathBuf,
    /// The private key of the server.
    pub key: PathBuf,
}

/// Why no certificate can be served.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The folder or a file in it cannot be read or written.
    #[error("failed to {action} {}: {source}", path.display())]
    Io {
        /// The action that failed, such as `read` or `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The user provided a certificate without its key, or a key without its certificate.
    #[error(
        "failed to use {}: migration-warden did not create it, and {} is missing; \
         add that file, or choose another folder",
        found.display(), missing.display()
    )]
    Foreign {
        /// The file that the user provided.
        found: PathBuf,
        /// The other file of the pair.
        missing: PathBuf,
    },
    /// A file of the user would be overwritten.
    #[error(
        "failed to replace {}: migration-warden did not create it, so it is not overwritten; \
         remove it, or choose another folder",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// The certificate cannot be created.
    #[error(transparent)]
    Make(#[from] MakeError),
}

/// Contents of the folder.
enum Found {
    /// No certificate, or a development certificate that has to be renewed.
    Nothing(Option<CertificateFacts>),
    /// A certificate that can be served.
    Usable(Issued),
}

/// Returns the certificate in `dir`. Creates it if it is missing, and renews a development certificate that expires
/// within 30 days of `now`. Several processes may call this at once.
pub fn ensure(dir: &Path, now: Timestamp) -> Result<Issued, IssueError> {
    let unlocked = look(dir, now);
    if let Ok(Found::Usable(issued)) = unlocked {
        return Ok(issued);
    }
    // Without the lock, an incomplete pair may be one that another process is writing.
    let _lock = match (lock(dir), unlocked) {
        (Ok(lock), _) => lock,
        // If the folder is not writable, no other process is writing, so the first error is the right one.
        (Err(_), Err(seen)) => return Err(seen),
        (Err(error), Ok(_)) => return Err(error),
    };
    // Another process may have created it meanwhile.
    let names = match look(dir, now)? {
        Found::Usable(issued) => return Ok(issued),
        Found::Nothing(former) => former.map_or_else(names, |former| former.names),
    };
    replace(dir, &names, LIFETIME, now)
}

/// Creates a certificate for these names in `dir`. Overwrites only development certificates.
pub fn make(
    dir: &Path,
    names: &[String],
    lifetime: SignedDuration,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let _lock = lock(dir)?;
    replace(dir, names, lifetime, now)
}

/// The default names in a development certificate.
#[must_use]
pub fn names() -> Vec<String> {
    NAMES.map(str::to_owned).to_vec()
}

/// Waits until no other process creates a certificate in `dir`. The lock is released when it is dropped.
fn lock(dir: &Path) -> Result<File, IssueError> {
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let path = dir.join(".lock");
    let file = open_lock(&path).map_err(failed("open", &path))?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

/// Opens the lock file without following links, truncating it, or waiting for a pipe. The folder may belong to another
/// user, who could otherwise have a file of this user overwritten, or make this process hang.
fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(SECRET)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
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
        (None, None) => Ok(Found::Nothing(None)),
        (None, Some(_)) => Err(foreign(&key, &cert)),
        (Some(cert_pem), key_pem) => match (ours(&cert_pem), key_pem) {
            (Some(facts), Some(key_pem))
                if is_fresh(&facts, now)
                    && server_config(&cert_pem, &key_pem, None).is_ok()
                    && ca.exists() =>
            {
                let ca = Some(ca);
                Ok(Found::Usable(Issued { ca, cert, key }))
            }
            (Some(facts), _) => Ok(Found::Nothing(Some(facts))),
            (None, None) => Err(foreign(&cert, &key)),
            (None, Some(_)) => Ok(Found::Usable(Issued {
                ca: None,
                cert,
                key,
            })),
        },
    }
}

/// The first certificate of a PEM text, if it is a development certificate.
fn ours(pem: &[u8]) -> Option<CertificateFacts> {
    CertificateFacts::first(pem).filter(|facts| facts.issuer == format!("CN={CA_NAME}"))
}

fn is_fresh(facts: &CertificateFacts, now: Timestamp) -> bool {
    let part = facts.not_after.duration_since(facts.not_before) / RENEW_PART;
    now + RENEW_BEFORE.min(part) < facts.not_after
}

/// Creates the CA and the server certificate together and discards the key of the CA. So the CA cannot sign a
/// certificate for another name on a machine that trusts it.
fn replace(
    dir: &Path,
    names: &[String],
    lifetime: SignedDuration,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let mut has_cert = false;
    for name in ["ca.crt", "tls.crt"] {
        let path = dir.join(name);
        let found = read(&path)?;
        if found.as_deref().is_some_and(|pem| ours(pem).is_none()) {
            return Err(IssueError::NotOurs(path));
        }
        has_cert = found.is_some();
    }
    // A key without a certificate may belong to the user.
    let key = dir.join("tls.key");
    if !has_cert && key.exists() {
        return Err(IssueError::NotOurs(key));
    }
    let ca = Ca::make(CA_NAME, now, lifetime)?;
    let leaf = ca.leaf("migration-warden", names, now, lifetime)?;
    // The CA is written first, so that a reader of the new certificate finds a CA that verifies it.
    Ok(Issued {
        ca: Some(write(dir, "ca.crt", ca.cert_pem(), PUBLIC)?),
        key: write(dir, "tls.key", &leaf.key_pem, SECRET)?,
        cert: write(dir, "tls.crt", &leaf.cert_pem, PUBLIC)?,
    })
}

/// Writes a file atomically: a reader sees the old or the new content, never a part of it.
fn write(dir: &Path, name: &str, text: &str, mode: u32) -> Result<PathBuf, IssueError> {
    let path = dir.join(name);
    let new = dir.join(format!(".{name}.new"));
    let written = || {
        // A process that died may have left the file with another mode.
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
