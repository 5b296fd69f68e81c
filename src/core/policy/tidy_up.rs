//! The policy for finished Jobs: which are removed, and how long the others stay.
//!
//! [`crate::core::cleanup`] decides which Jobs that means.

use serde::{Deserialize, Serialize};

use crate::core::policy::Mode;
use crate::core::policy::fix::{Fix, Replacement};
use crate::core::policy::path::FieldPath;

/// The least time a finished Job should stay: long enough for a restarted deployer to come back and read its status.
pub(crate) const MIN_TTL_SECONDS: u32 = 60 * 60;
/// How long a hook Job stays after its end by default: 7 days.
const TTL_SECONDS: u32 = 7 * 24 * 60 * 60;

/// Whether anything is removed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TidyMode {
    /// Jobs are removed, and each removal is logged.
    #[default]
    On,
    /// No Job is removed, but what would be removed is logged.
    DryRun,
    /// No Job is checked, and none gets a `ttlSecondsAfterFinished`.
    Off,
}

impl TidyMode {
    /// This mode, capped by the mode of the namespace.
    #[must_use]
    pub(crate) fn capped(self, mode: Mode) -> Self {
        match (self, mode) {
            (Self::Off, _) | (_, Mode::Off) => Self::Off,
            (Self::DryRun, _) | (_, Mode::Warn | Mode::Audit) => Self::DryRun,
            (Self::On, Mode::Enforce) => Self::On,
        }
    }
}

/// The policy for finished Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Whether anything is removed.
    pub(crate) mode: TidyMode,
    /// How many of the newest failed Jobs of a migration stay.
    pub(crate) keep_failed: usize,
    /// The `ttlSecondsAfterFinished` for hook Jobs that have none; `None` to add nothing.
    pub(crate) ttl_seconds: Option<u32>,
}

impl Default for Cleanup {
    fn default() -> Self {
        Self {
            mode: TidyMode::On,
            keep_failed: 1,
            ttl_seconds: Some(TTL_SECONDS),
        }
    }
}

impl Cleanup {
    /// The correction that sets `ttlSecondsAfterFinished`.
    #[must_use]
    pub(crate) fn ttl(&self) -> Option<Fix> {
        let seconds = self.ttl_seconds.filter(|_| self.mode == TidyMode::On)?;
        Some(Fix {
            path: FieldPath::of("spec.ttlSecondsAfterFinished"),
            value: Replacement::Number(seconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_only_ever_lessens_what_is_removed() {
        use Mode::{Audit, Enforce, Warn};
        use TidyMode::{DryRun, Off, On};
        for (policy, capped) in [
            (On, [On, DryRun, DryRun, Off]),
            (DryRun, [DryRun, DryRun, DryRun, Off]),
            (Off, [Off; 4]),
        ] {
            let modes = [Enforce, Warn, Audit, Mode::Off];
            assert_eq!(modes.map(|mode| policy.capped(mode)), capped, "{policy:?}");
        }
    }
}
