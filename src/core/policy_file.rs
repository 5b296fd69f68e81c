//! The policy file: its shape, its defaults, its JSON Schema.
//!
//! These types are the file as it is written. [`validate`] converts it to a [`crate::core::policy::Policy`] or reports
//! all faults, with line and column. [`crate::host::policy_watch`] watches the file.

pub mod tidy_up;
pub mod validate;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::core::job::MIGRATION_LABEL;
use crate::core::policy::claims::Claims;
use crate::core::policy::label_selector::{LabelSelector, LabelSelectorRequirement, Operator};
use crate::core::policy::runs::Runs;
use crate::core::policy::{Action, Mode, OnFailure};

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
    pub profile: Profile,
    /// Which Jobs are migrations.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// What happens to Jobs that look like migrations and are not labelled.
    #[serde(default)]
    pub detection: Detection,
    /// Rules by id or name: an action, or an action with options.
    #[serde(default)]
    #[schemars(schema_with = "rules_schema")]
    pub rules: BTreeMap<String, RuleSetting>,
    /// Modes of namespaces. The first entry that matches wins; the namespace's own label
    /// `migration-warden.io/mode` wins over all.
    #[serde(default)]
    pub namespaces: Vec<NamespaceEntry>,
    /// Claims: one migration at a time.
    #[serde(default)]
    pub claims: Claims,
    /// Permissions to break rules, which people make as objects of the kind `MigrationException`.
    #[serde(default)]
    pub exceptions: Exceptions,
    /// The record: the decision log, and runs.
    #[serde(default)]
    pub record: Record,
    /// What becomes of migration Jobs that have finished.
    #[serde(default)]
    pub tidy_up: tidy_up::TidyUp,
}

/// Version of the file's format.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first.
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
pub enum Profile {
    /// The four rules of the pattern and what breaks it for certain are denied.
    #[default]
    Guide,
    /// All that may go wrong is denied.
    Strict,
    /// `guide`, with every action at most `audit`.
    Audit,
}

/// Which Jobs are migrations.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// A Job that any of these matches is a migration Job. The list replaces the default one.
    #[schemars(length(min = 1))]
    pub selectors: Vec<LabelSelector>,
}

impl Default for Match {
    fn default() -> Self {
        let component = LabelSelectorRequirement {
            key: "app.kubernetes.io/component".to_owned(),
            operator: Operator::In,
            values: COMPONENTS.map(str::to_owned).to_vec(),
        };
        let label = BTreeMap::from([(MIGRATION_LABEL.to_owned(), "true".to_owned())]);
        Self {
            selectors: vec![
                LabelSelector {
                    match_expressions: vec![component],
                    ..LabelSelector::default()
                },
                LabelSelector {
                    match_labels: label,
                    ..LabelSelector::default()
                },
            ],
        }
    }
}

/// What happens to Jobs that look like migrations and are not labelled.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Detection {
    /// The strongest action for them; `off` looks for none.
    #[serde(default = "audit")]
    #[schemars(schema_with = "max_action_schema")]
    pub max_action: Action,
}

fn audit() -> Action {
    Action::Audit
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            max_action: audit(),
        }
    }
}

/// An action, or an action with options.
#[derive(Clone, Debug, Default)]
pub struct RuleSetting {
    /// What the policy does with the rule's findings; the profile's action when left out.
    pub action: Option<Action>,
    /// Options that were written, whatever the rule takes.
    pub options: RuleOptions,
}

/// The options of all rules; which rule takes which is checked afterwards.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleOptions {
    /// What the policy does with the rule's findings; the profile's action when left out.
    pub action: Option<Action>,
    /// `untimestamped-name`: with `patch`, also give a named Job another name.
    pub rename: Option<bool>,
    /// `missing-hook`, `wrong-delete-policy`: Argo CD's own hook annotations will do.
    pub argocd: Option<bool>,
    /// `stale-timestamp`: how old the name's time may be, such as `24h`.
    pub max_age: Option<String>,
    /// `stale-timestamp`: how far ahead the name's time may be, such as `15m`.
    pub max_skew: Option<String>,
}

impl<'de> Deserialize<'de> for RuleSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleSettingVisitor)
    }
}

struct RuleSettingVisitor;

impl<'de> Visitor<'de> for RuleSettingVisitor {
    type Value = RuleSetting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deny, patch, warn, audit, off, or a map with action and options")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RuleSetting, E> {
        let action = Action::deserialize(StrDeserializer::new(text))?;
        Ok(RuleSetting {
            action: Some(action),
            ..RuleSetting::default()
        })
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<RuleSetting, E> {
        // YAML 1.1 reads a bare `off` as false.
        if on {
            return Err(E::invalid_value(serde::de::Unexpected::Bool(true), &self));
        }
        Ok(RuleSetting {
            action: Some(Action::Off),
            ..RuleSetting::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RuleSetting, A::Error> {
        let options = RuleOptions::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RuleSetting {
            action: options.action,
            options,
        })
    }
}

/// The mode of some namespaces.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceEntry {
    /// Names; `*` stands for any characters.
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// Their mode.
    #[schemars(schema_with = "mode_schema")]
    pub mode: Mode,
}

/// Permissions to break rules.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exceptions {
    /// How long after its creation an exception may expire, such as `720h`, which is the default.
    /// One that lasts longer is not honoured; with `0s` none is.
    pub max_duration: Option<String>,
}

/// The record: the decision log, and runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// What happens to a review whose decision could not be written down.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Runs: what became of each migration.
    #[serde(default)]
    pub runs: Runs,
}

/// The selectors for migration Jobs if the policy does not set any.
#[must_use]
pub fn default_selectors() -> Vec<meta::LabelSelector> {
    Match::default()
        .selectors
        .into_iter()
        .map(Into::into)
        .collect()
}

/// The published JSON Schema of the policy file (draft 2020-12). It is the output of [`schema`] in a file, so that the
/// program does not contain the generator.
pub const JSON_SCHEMA: &str = include_str!("policy_file/policy.schema.json");

/// Generates the JSON Schema of the policy file from its types.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(MigrationPolicy).to_value()
}

/// The schema of the modes, which also accepts `false`.
fn mode_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // `false` is `off`, as YAML 1.1 reads it.
    schemars::json_schema!({"anyOf": [generator.subschema_for::<Mode>(), {"const": false}]})
}

/// The schema of the actions that may be a limit.
fn max_action_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // `false` is `off`, as YAML 1.1 reads it.
    schemars::json_schema!({"enum": ["off", "audit", "warn", "deny", false]})
}

/// The schema of `rules`, with a property for each rule, so that an editor can suggest names, actions and options.
fn rules_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    use crate::core::policy::rule::Patch;
    use crate::core::policy::rules::RULES;
    use serde_json::{Value, json};

    let mut all = RuleOptions::json_schema(generator).to_value()["properties"].take();
    let mut properties = serde_json::Map::new();
    for rule in RULES {
        // `false` is `off`, as YAML 1.1 reads it.
        let mut actions = vec![
            json!("deny"),
            json!("warn"),
            json!("audit"),
            json!("off"),
            json!(false),
        ];
        if rule.patch == Patch::Possible {
            actions.push(json!("patch"));
        }
        if rule.guide == Action::Wait {
            actions.push(json!("wait"));
        }
        let action = json!({"enum": actions});
        let mut options = serde_json::Map::from_iter([("action".to_owned(), action.clone())]);
        for option in rule.options {
            options.insert((*option).to_owned(), all[*option].clone());
        }
        let setting = json!({
            "description": rule.summary(),
            "anyOf": [
                action,
                {"type": "object", "properties": options, "additionalProperties": false},
            ],
        });
        for key in [rule.id, rule.name] {
            properties.insert(key.to_owned(), setting.clone());
        }
    }
    all.take();
    let schema = json!({
        "type": "object",
        "properties": Value::Object(properties),
        "additionalProperties": false,
    });
    schema.try_into().unwrap_or_default()
}
