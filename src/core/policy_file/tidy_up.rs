//! The section `tidyUp` of the policy file.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::policy::tidy_up::{self, MIN_TTL_SECONDS, TidyMode};
use crate::core::policy::word::{on_or_off, word};

/// What to do with migration Jobs that have finished.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct TidyUp {
    /// Whether finished Jobs are removed.
    #[serde(deserialize_with = "word")]
    #[schemars(schema_with = "on_or_off::<TidyMode>")]
    pub mode: TidyMode,
    /// Number of newest failed Jobs to keep for debugging, per migration.
    pub(crate) keep_failed: u16,
    /// The `ttlSecondsAfterFinished` for hook Jobs that do not set it: 3600 or more, or 0 to add none.
    #[schemars(range(max = 2_147_483_647))]
    pub(crate) ttl_seconds_after_finished: u32,
}

impl Default for TidyUp {
    fn default() -> Self {
        let tidy_up::Cleanup {
            mode,
            keep_failed,
            ttl_seconds,
        } = tidy_up::Cleanup::default();
        Self {
            mode,
            keep_failed: u16::try_from(keep_failed).unwrap_or(u16::MAX),
            ttl_seconds_after_finished: ttl_seconds.unwrap_or_default(),
        }
    }
}

impl TidyUp {
    /// The fault of the number of seconds, if there is one.
    pub(super) fn fault(&self) -> Option<String> {
        let seconds = self.ttl_seconds_after_finished;
        if seconds != 0 && seconds < MIN_TTL_SECONDS {
            return Some(format!(
                "ttlSecondsAfterFinished: {seconds} breaks the rule short-ttl; write {MIN_TTL_SECONDS} or \
                 more, or 0 for none"
            ));
        }
        // Kubernetes stores it as a signed 32-bit integer.
        i32::try_from(seconds)
            .is_err()
            .then(|| format!("ttlSecondsAfterFinished: {seconds} is more than Kubernetes accepts"))
    }
}

impl From<TidyUp> for tidy_up::Cleanup {
    fn from(written: TidyUp) -> Self {
        let seconds = written.ttl_seconds_after_finished;
        Self {
            mode: written.mode,
            keep_failed: usize::from(written.keep_failed),
            ttl_seconds: (seconds != 0).then_some(seconds),
        }
    }
}
