//! The policy's section `record.runs`: whether runs are recorded, and how many are kept.
//!
//! Plain values, as in the policy file.

use schemars::JsonSchema;
use serde::Deserialize;

/// Runs kept per release by default: some weeks of deployments.
const KEEP_PER_RELEASE: u16 = 20;
/// Runs kept in total by default: at 2 KB each they take 20 MB of the API server's storage.
const KEEP_TOTAL: u32 = 10_000;

/// The record of each migration, as objects of the kind `MigrationRun`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Runs {
    /// Whether runs are recorded.
    #[schemars(schema_with = "mode_schema")]
    pub mode: RunMode,
    /// How many of the newest runs of a release stay. What has not ended stays anyway.
    #[schemars(range(min = 1, max = 1000))]
    pub keep_per_release: u16,
    /// How many runs stay in the whole cluster. Those that ended first go first.
    #[schemars(range(min = 100, max = 100_000))]
    pub keep_total: u32,
}

/// Whether runs are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunMode {
    /// Each migration Job that exists gets one.
    // A bare `on` is true in YAML 1.1, and so in a policy that Helm has read.
    #[default]
    #[serde(alias = "true")]
    On,
    /// None is written, and none removed.
    #[serde(alias = "false")]
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

/// The schema of the modes, which also accepts booleans.
fn mode_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // `true` is `on` and `false` is `off`, as YAML 1.1 reads them.
    schemars::json_schema!({
        "anyOf": [generator.subschema_for::<RunMode>(), {"type": "boolean"}],
    })
}
