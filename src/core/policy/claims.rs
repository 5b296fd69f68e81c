//! The policy's section `claims`: what two running migrations must not share.
//!
//! Plain values, as in the policy file. [`crate::cluster::claims::key`] makes the key of a claim from them.

use schemars::JsonSchema;
use serde::Deserialize;

/// Claims: one migration at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// What migrations of one namespace have to share to run one at a time.
    #[serde(default)]
    pub key: Scope,
    /// Databases that are migrated from several namespaces. Elsewhere the annotation
    /// `migration-warden.io/database` counts within its namespace only.
    #[serde(default)]
    pub databases: Vec<Database>,
    /// What happens to a migration whose claim could not be asked for.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What migrations of one namespace have to share to run one at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The Job's name without its timestamp.
    #[default]
    Name,
    /// The release.
    Release,
}

/// A database that is migrated from several namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Database {
    /// The value of the annotation `migration-warden.io/database`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The namespaces whose migrations of it run one at a time.
    #[schemars(length(min = 1))]
    pub namespaces: Vec<String>,
}

/// What happens to a migration whose claim could not be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is refused.
    #[default]
    Deny,
    /// It runs, perhaps beside another one.
    Allow,
}

impl Claims {
    /// The namespaces that share this database with `namespace`.
    #[must_use]
    pub fn shared_with(&self, database: &str, namespace: &str) -> Option<&[String]> {
        self.databases
            .iter()
            .find(|listed| {
                listed.name == database && listed.namespaces.iter().any(|n| n == namespace)
            })
            .map(|listed| listed.namespaces.as_slice())
    }
}
