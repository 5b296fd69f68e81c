//! The policy's section `record.runs`: whether runs are recorded, and how many are kept.
//!
//! Plain values, as in the policy file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::word::{on_or_off, word};

/// Runs kept per release by default: some weeks of deployments.
const KEEP_PER_RELEASE: u16 = 20;
/// Runs kept in total by default: at 2 KB each they take 20 MB of the API server's storage.
const KEEP_TOTAL: u32 = 10_000;

/// Runs: `MigrationRun` objects, which record how each migration started and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Runs {
    /// Whether runs are recorded.
    #[serde(deserialize_with = "word")]
    #[schemars(schema_with = "on_or_off::<RunMode>")]
    pub(crate) mode: RunMode,
    /// Number of newest runs to keep per release. Runs that have not ended are always kept.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) keep_per_release: u16,
    /// Number of runs to keep in the whole cluster. The runs that ended first are removed first.
    #[schemars(range(min = 100, max = 100_000))]
    pub(crate) keep_total: u32,
}

/// Whether runs are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RunMode {
    /// Every migration Job that exists gets a run.
    #[default]
    On,
    /// No run is written or removed.
    Off,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            mode: RunMode::On,
            keep_per_release: KEEP_PER_RELEASE,
            keep_total: KEEP_TOTAL,
        }
    }
}
