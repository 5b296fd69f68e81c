//! The policy file: its shape, its defaults, its JSON Schema.
//!
//! These types are the file as it is written. [`validate`] converts it to a [`crate::core::policy::Policy`] or reports
//! all faults, with line and column. [`crate::host::policy_watch`] watches the file.

pub(crate) mod adopt;
mod parse;
mod rules;
mod sections;
pub(crate) mod tidy_up;
pub mod validate;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::job::MIGRATION_LABEL;
use crate::core::policy::adopt::{Entry, Promises};
use crate::core::policy::claims::Claims;
use crate::core::policy::label_selector::{LabelSelector, LabelSelectorRequirement, Operator};
use crate::core::policy::options::Length;
use crate::core::policy::runs::Runs;
use crate::core::policy::word::{or_off, word};
use crate::core::policy::{Action, Mode, WithoutRecord};

/// Values of `app.kubernetes.io/component` that mark a migration Job by default.
const COMPONENTS: [&str; 7] = [
    "migration",
    "migrations",
    "migrate",
    "migrator",
    "db-migrate",
    "db-migration",
    "schema-migration",
];

/// A JSON Pointer to a value, and what is wrong with it.
type Fault = (String, String);

/// The policy file of migration-warden.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationPolicy {
    /// Always `config.migration-warden.io/v1alpha1`.
    pub api_version: ApiVersion,
    /// Always `MigrationPolicy`.
    pub kind: Kind,
    /// The starting point for every rule.
    #[serde(default)]
    pub(crate) profile: Profile,
    /// A URL or a sentence for the end of each denial: why the policy is as it is, and how to ask for an exception.
    #[schemars(length(min = 1, max = 256))]
    pub help: Option<String>,
    /// Which Jobs are migrations.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// Unlabelled Jobs that get the promises of migration Jobs, without a change to their charts. The first entry that
    /// matches a Job wins. A label that a selector matches wins over all entries, and the label
    /// `migration-warden.io/migration: "false"` over everything.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) adopt: Vec<Entry>,
    /// How to treat Jobs that look like migrations, but have no label and no entry in `adopt`.
    #[serde(default)]
    pub(crate) detection: Detection,
    /// Rules by id or name: an action, or an action with options.
    #[serde(default)]
    #[schemars(schema_with = "rules::schema")]
    pub rules: BTreeMap<String, serde_json::Value>,
    /// Modes of namespaces. The first entry that matches wins. The namespace's own label
    /// `migration-warden.io/mode` overrides all entries.
    #[serde(default)]
    pub(crate) namespaces: Vec<NamespaceEntry>,
    /// Claims, which let one migration run at a time.
    #[serde(default)]
    pub claims: Claims,
    /// Limits for exceptions: `MigrationException` objects, which let Jobs break rules for a while.
    #[serde(default)]
    pub exceptions: Exceptions,
    /// What is recorded: decisions and runs.
    #[serde(default)]
    pub(crate) record: Record,
    /// What to do with migration Jobs that have finished.
    #[serde(default)]
    pub(crate) tidy_up: tidy_up::TidyUp,
}

/// Version of the file's format.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "config.migration-warden.io/v1alpha1")]
    V1Alpha1,
}

/// Kind of the file.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum Kind {
    /// A policy.
    MigrationPolicy,
}

/// The starting point for every rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// Denies violations of the four basic rules, and anything that is certain to break a migration.
    #[default]
    Guide,
    /// Denies everything risky.
    Strict,
    /// Like `guide`, but every action is capped at `audit`.
    Audit,
}

/// Which Jobs are migrations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// A Job that any of these selectors matches is a migration Job. The list replaces the default one.
    #[schemars(length(min = 1))]
    pub selectors: Vec<LabelSelector>,
}

impl Default for Match {
    fn default() -> Self {
        let component = LabelSelector {
            match_expressions: vec![LabelSelectorRequirement {
                key: "app.kubernetes.io/component".to_owned(),
                operator: Operator::In,
                values: COMPONENTS.map(str::to_owned).to_vec(),
            }],
            ..LabelSelector::default()
        };
        let label = LabelSelector {
            match_labels: BTreeMap::from([(MIGRATION_LABEL.to_owned(), "true".to_owned())]),
            ..LabelSelector::default()
        };
        Self {
            selectors: vec![component, label],
        }
    }
}

/// How to treat Jobs that look like migrations, but have no label and no entry in `adopt`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Detection {
    /// The strongest action for these Jobs. `off` turns detection off.
    #[serde(deserialize_with = "word")]
    #[schemars(schema_with = "max_action_schema")]
    pub(crate) max_action: Action,
    /// What a detected Job of the guide's shape gets: a `pre-install` or `pre-upgrade` hook of Helm, or a `PreSync` hook
    /// of Argo CD, that runs a migration tool. With `[]` it gets nothing.
    pub(crate) promises: Promises,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            max_action: Action::Audit,
            promises: Promises::default(),
        }
    }
}

/// The mode of some namespaces.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NamespaceEntry {
    /// Names of namespaces. `*` matches any characters.
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// The mode of these namespaces.
    #[serde(deserialize_with = "word")]
    #[schemars(schema_with = "or_off::<Mode>")]
    pub mode: Mode,
}

/// Limits for exceptions.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exceptions {
    /// The longest time from the creation of an exception to its expiry, such as `720h`, the default.
    /// Longer ones are not honoured. With `0s` no exception is honoured.
    #[schemars(with = "Option<String>")]
    pub(crate) max_duration: Option<Length>,
}

/// What is recorded: decisions and runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    /// What happens to a review whose decision could not be logged.
    #[serde(default)]
    pub on_failure: WithoutRecord,
    /// Runs, which record how each migration started and ended.
    #[serde(default)]
    pub runs: Runs,
}

/// The selectors for migration Jobs if the policy does not set any.
#[must_use]
pub fn default_selectors() -> Vec<meta::LabelSelector> {
    let selectors = Match::default().selectors.into_iter();
    selectors.map(Into::into).collect()
}

/// The published JSON Schema of the policy file (draft 2020-12). It is the output of [`schema`] in a file, so that the
/// program does not contain the generator.
pub const JSON_SCHEMA: &str = include_str!("policy_file/policy.schema.json");

/// Generates the JSON Schema of the policy file from its types.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(MigrationPolicy).to_value()
}

/// The schema of the actions that may be a limit.
fn max_action_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // `false` is `off`, as YAML 1.1 reads it.
    schemars::json_schema!({"enum": ["deny", "warn", "audit", "off", false]})
}
