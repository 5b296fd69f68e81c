//! Development certificates: an own CA and a server certificate for this machine, kept in a
//! directory.
//!
//! Not for production, where somebody else issues certificates, and never for files that somebody
//! else put into the directory: those are used as they are.

use crate::core::pki::{
    facts::Facts,
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

/// The CA's name, by which our own certificates are told from a user's.
const CA_NAME: &str = "migration-warden development CA";

/// Long enough not to be in the way; renewed well before the end, because a new one comes with a
/// new CA that has to be made known again.
const LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Short-lived ones are renewed when this part of their life is left.
const RENEW_PART: i32 = 3;

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
        "failed to use {}: migration-warden did not create it, and {} is missing; \
         add that file, or choose another folder",
        found.display(), missing.display()
    )]
    Foreign {
        /// The file that is there.
        found: PathBuf,
        /// The file that should be there too.
        missing: PathBuf,
    },
    /// Something of a user's own is in the place of what is to be made.
    #[error(
        "failed to replace {}: migration-warden did not create it, so it is not overwritten; \
         remove it, or choose another folder",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// The certificate cannot be made.
    #[error(transparent)]
    Make(#[from] MakeError),
}

/// What the directory holds.
enum Found {
    /// Nothing, or a certificate of ours that is no longer any good.
    Nothing(Option<Facts>),
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
    let names = match look(dir, now)? {
        Found::Usable(issued) => return Ok(issued),
        Found::Nothing(former) => former.map_or_else(names, |former| former.names),
    };
    replace(dir, &names, LIFETIME, now)
}

/// Makes a certificate for these names in `dir`, in the place of one of ours or of nothing.
pub fn make(
    dir: &Path,
    names: &[String],
    lifetime: SignedDuration,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let _lock = lock(dir)?;
    replace(dir, names, lifetime, now)
}

/// The names a development server is reached by.
#[must_use]
pub fn names() -> Vec<String> {
    NAMES.map(str::to_owned).to_vec()
}

/// Waits until no other process makes a certificate in `dir`; released when dropped.
fn lock(dir: &Path) -> Result<File, IssueError> {
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let path = dir.join(".lock");
    let file = open_lock(&path).map_err(failed("open", &path))?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

/// Opens the lock without following a link and without emptying what is there: the folder may belong to
/// another user, who may want a file of this one overwritten, or a pipe to be waited for.
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

/// The first certificate of a PEM text when it is one of ours.
fn ours(pem: &[u8]) -> Option<Facts> {
    Facts::first(pem).filter(|facts| facts.issuer == format!("CN={CA_NAME}"))
}

fn is_fresh(facts: &Facts, now: Timestamp) -> bool {
    let part = facts.not_after.duration_since(facts.not_before) / RENEW_PART;
    now + RENEW_BEFORE.min(part) < facts.not_after
}

/// Makes CA and server certificate together and forgets the CA's key, so that nobody can ever
/// use it for another name on a machine where the CA was made known.
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
    // A key alone could be anybody's.
    let key = dir.join("tls.key");
    if !has_cert && key.exists() {
        return Err(IssueError::NotOurs(key));
    }
    let ca = Ca::make(CA_NAME, now, lifetime)?;
    let leaf = ca.leaf("migration-warden", names, now, lifetime)?;
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
