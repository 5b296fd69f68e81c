//! The policy's section `claims`: what two running migrations must not share.
//!
//! Plain values, as in the policy file. [`crate::cluster::claims::key`] makes the key of a claim from them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::word::{or_off, word};

/// Most namespaces of one database. Every claim of the database lists the Jobs of each of them.
pub(crate) const MAX_NAMESPACES: usize = 50;

/// Claims, which let one migration run at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// Migrations in a namespace with the same value run one at a time.
    #[serde(default)]
    pub key: Scope,
    /// Databases that are migrated from several namespaces. For all other databases, the annotation
    /// `migration-warden.io/database` applies within its namespace only.
    #[serde(default)]
    pub(crate) databases: Vec<Database>,
    /// What happens to a migration Job if its claim could not be checked.
    #[serde(default)]
    pub(crate) on_failure: WithoutClaim,
    /// Which holder of a claim gives way to a newer attempt of the same migration.
    #[serde(default, deserialize_with = "word")]
    #[schemars(schema_with = "or_off::<Supersede>")]
    pub(crate) supersede: Supersede,
}

/// Migrations in a namespace with the same value run one at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The Job's name without the timestamp.
    #[default]
    Name,
    /// The release of the Job.
    Release,
}

/// A database that is migrated from several namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Database {
    /// The value of the annotation `migration-warden.io/database`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The namespaces whose migrations of this database run one at a time, at most 50.
    #[schemars(length(min = 1, max = MAX_NAMESPACES))]
    pub namespaces: Vec<String>,
}

/// Which holder of a claim gives way to a newer attempt of the same migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Supersede {
    /// A hook Job that has not started within a minute and cannot, such as for a missing image. It is failed.
    #[default]
    NeverStarted,
    /// None.
    Off,
}

/// What happens to a migration Job if its claim could not be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WithoutClaim {
    /// The Job is asked to wait.
    #[default]
    Deny,
    /// The Job is admitted, even if another one may be running.
    Allow,
}

impl Claims {
    /// The namespaces that share this database with `namespace`.
    #[must_use]
    pub(crate) fn shared_with(&self, database: &str, namespace: &str) -> Option<&[String]> {
        let has = |listed: &&Database| {
            listed.name == database && listed.namespaces.iter().any(|name| name == namespace)
        };
        let listed = self.databases.iter().find(has)?;
        Some(&listed.namespaces)
    }
}
