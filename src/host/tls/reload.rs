//! Reloads certificates when their files change.
//!
//! Certificate and key are two files, so a reader may see a new certificate with an old key. If both do not match, the
//! last valid pair stays in use. Open connections keep the certificate that they started with.

use super::live::LiveTls;
use crate::core::pki::TlsError;
use crate::host::file_watch::{Contents, Poller, ReadError};
use std::{path::PathBuf, time::Duration};
use tokio::sync::watch;

/// Why certificate files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The contents are not a valid certificate, key or CA.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What files are used for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// The certificate and the key of the server.
    Show,
    /// The CA of client certificates.
    Demand,
}

/// Files that TLS settings are loaded from.
#[derive(Debug)]
pub struct TlsFiles {
    purpose: Purpose,
    poller: Poller,
    live: LiveTls,
}

impl TlsFiles {
    /// Loads a certificate and its key for the first time.
    pub fn certificate(cert: PathBuf, key: PathBuf, live: &LiveTls) -> Result<Self, LoadError> {
        Self::load(Purpose::Show, vec![cert, key], live)
    }

    /// Loads the CA of client certificates for the first time.
    pub(crate) fn client_ca(ca: PathBuf, live: &LiveTls) -> Result<Self, LoadError> {
        Self::load(Purpose::Demand, vec![ca], live)
    }

    fn load(purpose: Purpose, paths: Vec<PathBuf>, live: &LiveTls) -> Result<Self, LoadError> {
        let mut poller = Poller::new(paths);
        // The first poll always returns the contents.
        let contents = poller.poll().unwrap_or(Ok(Vec::new()));
        apply(purpose, live, contents)?;
        Ok(Self {
            purpose,
            poller,
            live: live.clone(),
        })
    }

    /// Reads the files every `period` and uses them if they are valid. Runs until it is dropped.
    pub async fn keep_fresh(self, period: Duration) {
        let Self {
            purpose,
            poller,
            live,
        } = self;
        let apply = |contents| match apply(purpose, &live, contents) {
            Ok(()) => {
                live.reloaded(true);
                tracing::info!(expiry = %live.expiry(), "the certificate files were reloaded");
            }
            Err(error) => {
                live.reloaded(false);
                tracing::error!(%error, "failed to reload the certificate files, the last valid ones stay in use");
            }
        };
        poller.run(period, apply).await;
    }
}

/// Reads the CAs to publish (PEM) from `file` every `period`, and sends each change to `bundle`. Runs until it is
/// dropped.
pub(crate) async fn keep_bundle(
    file: PathBuf,
    period: Duration,
    live: LiveTls,
    bundle: watch::Sender<String>,
) {
    let apply = |contents: Result<Contents, ReadError>| match contents {
        Ok(mut contents) => {
            let text = String::from_utf8_lossy(&contents.pop().unwrap_or_default()).into_owned();
            live.trusted(&text);
            bundle.send_replace(text);
        }
        Err(error) => {
            tracing::error!(%error, "failed to reload the CA file, the last CAs stay in use");
        }
    };
    Poller::new(vec![file]).run(period, apply).await;
}

fn apply(
    purpose: Purpose,
    live: &LiveTls,
    contents: Result<Contents, ReadError>,
) -> Result<(), LoadError> {
    let contents = contents?;
    let file = |index: usize| contents.get(index).map_or(&[][..], Vec::as_slice);
    match purpose {
        Purpose::Show => {
            live.show(file(0), file(1))?;
        }
        Purpose::Demand => live.demand(file(0))?,
    }
    Ok(())
}
