//! The policy in use. It is reloaded when the content of its file changes.
//!
//! An invalid file is logged and counted, and the last valid policy stays in use.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use crate::core::policy::Policy;
use crate::core::policy_file::validate::{self, InvalidPolicy};
use crate::host::file_watch::{Contents, Poller, ReadError};
use crate::host::metrics::Metrics;

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file, whose name is given, is not UTF-8.
    #[error("failed to read {0}: it is not UTF-8; save the file as UTF-8")]
    Utf8(String),
    /// The file is not a valid policy.
    #[error(transparent)]
    Invalid(#[from] InvalidPolicy),
}

/// The policy in use. Clones share it.
#[derive(Clone, Debug)]
pub struct LivePolicy(Arc<ArcSwap<Policy>>);

/// The file that a policy was loaded from, for [`LivePolicy::keep_fresh`].
#[derive(Debug)]
pub struct PolicyFile {
    name: String,
    poller: Poller,
}

impl LivePolicy {
    /// The built-in policy, which never changes.
    #[must_use]
    pub fn builtin(metrics: &Metrics) -> Self {
        Self::new(validate::builtin(), metrics)
    }

    /// Loads a policy file for the first time.
    pub fn load(path: PathBuf, metrics: &Metrics) -> Result<(Self, PolicyFile), LoadError> {
        let name = path.display().to_string();
        let mut poller = Poller::new(vec![path]);
        // The first poll always returns the contents.
        let policy = read(&name, poller.poll().unwrap_or(Ok(Vec::new())))?;
        Ok((Self::new(policy, metrics), PolicyFile { name, poller }))
    }

    /// The current policy. A reload does not change a policy that was already returned.
    #[must_use]
    pub fn current(&self) -> Guard<Arc<Policy>> {
        self.0.load()
    }

    /// Reads the file every `period` and uses a new policy if it is valid. Runs until it is dropped.
    pub async fn keep_fresh(self, file: PolicyFile, period: Duration, metrics: Arc<Metrics>) {
        let PolicyFile { name, poller } = file;
        let apply = |contents| match read(&name, contents) {
            Ok(policy) => {
                tracing::info!(file = %name, policy = %policy.hash, "the policy file was reloaded");
                metrics.policy_reloaded(true);
                metrics.policy_in_use(policy.hash.clone());
                self.0.store(Arc::new(policy));
            }
            Err(error) => {
                metrics.policy_reloaded(false);
                let policy = &self.0.load().hash;
                tracing::error!(
                    %error, policy, "failed to reload the policy file, the last valid policy stays in use"
                );
            }
        };
        poller.run(period, apply).await;
    }

    fn new(policy: Policy, metrics: &Metrics) -> Self {
        metrics.policy_in_use(policy.hash.clone());
        Self(Arc::new(ArcSwap::from_pointee(policy)))
    }
}

fn read(name: &str, contents: Result<Contents, ReadError>) -> Result<Policy, LoadError> {
    let bytes = contents?.pop().unwrap_or_default();
    let text = String::from_utf8(bytes).map_err(|_| LoadError::Utf8(name.to_owned()))?;
    Ok(validate::read(name, &text)?)
}
