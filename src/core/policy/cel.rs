//! CEL expressions for which Jobs are migrations. The API server evaluates them before it calls the webhook.
//!
//! The webhook configurations and `generate vap` use these texts, and the chart's template renders exactly the same
//! ones. The CEL of a rule is in the rule's own file.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::core::job::{ADOPTED_LABEL, MIGRATION_LABEL};
use crate::core::policy::adopt::DETECTED;

/// Name of the match condition that selects only migration Jobs.
pub const MIGRATION: &str = "migration";
/// Name of the match condition that selects all other Jobs: the complement of [`MIGRATION`].
pub const NOT_A_MIGRATION: &str = "not-a-migration";
/// Name of the match condition that selects only Jobs that have opted out. It replaces [`NOT_A_MIGRATION`] if detection
/// is off.
pub(crate) const ONLY_OPTED_OUT: &str = "opted-out";
/// Name of the match condition that selects only Jobs whose labels say nothing: neither migrations nor opted out.
pub const UNLABELLED: &str = "unlabelled";
/// Name of the match condition that selects only Jobs that the policy's `adopt` adopts.
pub const ADOPTED: &str = "adopted";
/// Name of the match condition that selects all other Jobs: the complement of [`ADOPTED`].
pub const NOT_ADOPTED: &str = "not-adopted";
/// Name of the match condition that selects only Jobs with the label of an entry of `adopt`.
pub const ADOPTED_BY_AN_ENTRY: &str = "adopted-by-an-entry";
/// Name of the match condition that selects only Jobs with the label that detection gives.
pub const ADOPTED_BY_DETECTION: &str = "adopted-by-detection";
/// Name of the match condition that leaves out Jobs with either label.
pub const NOT_ADOPTED_YET: &str = "not-adopted-yet";
/// Name of the match condition that leaves out requests of the control plane.
pub const NOT_THE_CONTROL_PLANE: &str = "not-the-control-plane";

/// Whether the Job has opted out: the label `migration-warden.io/migration: "false"`.
///
/// Here and below, `job` is the variable that holds the Job: `object`, or `oldObject` for an existing one.
#[must_use]
pub fn opted_out(job: &str) -> String {
    requirement(job, MIGRATION_LABEL, "In", &["false".to_owned()])
}

/// Whether the request comes from a user other than the control plane.
///
/// A CronJob creates its Jobs long after its author could have read a denial. The second name is for control planes
/// whose controllers have no service accounts of their own.
pub const ASKED_BY_OTHERS: &str = "!(request.userInfo.username in \
    ['system:serviceaccount:kube-system:cronjob-controller', 'system:kube-controller-manager'])";

/// Whether the Job is a migration: any of the selectors matches it, and it has not opted out.
#[must_use]
pub fn migration(job: &str, selectors: &[LabelSelector]) -> String {
    format!("!({}) && ({})", opted_out(job), any(job, selectors))
}

/// Whether the Job is not a migration: the exact opposite of [`migration`].
#[must_use]
pub fn not_a_migration(job: &str, selectors: &[LabelSelector]) -> String {
    format!("{} || !({})", opted_out(job), any(job, selectors))
}

/// Whether the Job's labels say nothing: no selector matches it, and it has not opted out.
#[must_use]
pub fn unlabelled(job: &str, selectors: &[LabelSelector]) -> String {
    format!("!({} || {})", opted_out(job), any(job, selectors))
}

/// Whether a Job that exists is a migration: any of the selectors matches it or it was adopted, and it has not opted
/// out.
#[must_use]
pub(crate) fn stored_migration(job: &str, selectors: &[LabelSelector]) -> String {
    let adopted = requirement(job, ADOPTED_LABEL, "Exists", &[]);
    migration_or(job, selectors, &adopted)
}

/// Whether the Job is a migration, or was adopted by one of these entries.
#[must_use]
pub(crate) fn migration_or_of(
    job: &str,
    selectors: &[LabelSelector],
    entries: &[String],
) -> String {
    if entries.is_empty() {
        return migration(job, selectors);
    }
    let adopted = requirement(job, ADOPTED_LABEL, "In", entries);
    migration_or(job, selectors, &adopted)
}

fn migration_or(job: &str, selectors: &[LabelSelector], or: &str) -> String {
    format!("!({}) && ({} || {or})", opted_out(job), any(job, selectors))
}

/// Whether an entry of `adopt` has adopted the Job.
#[must_use]
pub fn adopted_by_an_entry(job: &str) -> String {
    let label = requirement(job, ADOPTED_LABEL, "Exists", &[]);
    let other = requirement(job, ADOPTED_LABEL, "NotIn", &[DETECTED.to_owned()]);
    format!("{label} && {other}")
}

/// Whether detection has adopted the Job.
#[must_use]
pub fn adopted_by_detection(job: &str) -> String {
    requirement(job, ADOPTED_LABEL, "In", &[DETECTED.to_owned()])
}

/// Whether nothing has adopted the Job, or it has opted out.
#[must_use]
pub fn not_adopted_yet(job: &str) -> String {
    let label = requirement(job, ADOPTED_LABEL, "DoesNotExist", &[]);
    format!("{} || {label}", opted_out(job))
}

/// Whether any of the selectors matches the Job's labels.
#[must_use]
pub fn any(job: &str, selectors: &[LabelSelector]) -> String {
    let each: Vec<String> = selectors
        .iter()
        .map(|selector| format!("({})", all(job, selector)))
        .collect();
    // Without selectors nothing matches, as in `Selectors`.
    join(&each, " || ", "false")
}

/// Whether all requirements of a selector hold: its labels in key order, then its expressions.
fn all(job: &str, selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    let each: Vec<String> = labels
        .map(|(key, value)| requirement(job, key, "In", std::slice::from_ref(value)))
        .chain(expressions.map(|wanted| {
            let values = wanted.values.as_deref().unwrap_or_default();
            requirement(job, &wanted.key, &wanted.operator, values)
        }))
        .collect();
    join(&each, " && ", "true")
}

/// Whether a requirement of a selector holds.
pub(super) fn requirement(job: &str, key: &str, operator: &str, values: &[String]) -> String {
    let label = format!("{job}.metadata.?labels[?{}]", string(key));
    let values = list(values);
    match operator {
        "In" => format!("{label}.optMap(v, v in {values}).orValue(false)"),
        "NotIn" => format!("{label}.optMap(v, !(v in {values})).orValue(true)"),
        "Exists" => format!("{label}.hasValue()"),
        // `DoesNotExist`: `Selectors` rejects other operators.
        _ => format!("!{label}.hasValue()"),
    }
}

fn join(parts: &[String], operator: &str, none: &str) -> String {
    if parts.is_empty() {
        none.to_owned()
    } else {
        parts.join(operator)
    }
}

/// A CEL list of strings.
pub(crate) fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| string(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A CEL string literal.
#[must_use]
pub fn string(text: &str) -> String {
    // A policy file may hold an invalid label key, and the chart must render the same text.
    let escaped = text
        .replace('\\', r"\\")
        .replace('\'', r"\'")
        .replace('\n', r"\n")
        .replace('\r', r"\r");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
    use serde_json::{Value, json};

    use super::*;

    fn selector(written: Value) -> LabelSelector {
        serde_json::from_value(written).unwrap()
    }

    #[test]
    fn the_default_selectors() {
        let selectors = crate::core::policy_file::default_selectors();
        let opted_out = "object.metadata.?labels[?'migration-warden.io/migration'].optMap(v, v in ['false']).orValue(false)";
        let any = "(object.metadata.?labels[?'app.kubernetes.io/component'].optMap(v, v in ['migration', 'migrations', 'migrate', 'migrator', 'db-migrate', 'db-migration', 'schema-migration']).orValue(false)) || (object.metadata.?labels[?'migration-warden.io/migration'].optMap(v, v in ['true']).orValue(false))";
        assert_eq!(
            migration("object", &selectors),
            format!("!({opted_out}) && ({any})")
        );
        assert_eq!(
            not_a_migration("object", &selectors),
            format!("{opted_out} || !({any})")
        );
    }

    #[test]
    fn every_operator() {
        let written = selector(json!({
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["db", "sql"]},
                {"key": "env", "operator": "NotIn", "values": ["dev", "test"]},
                {"key": "job", "operator": "Exists"},
                {"key": "app", "operator": "DoesNotExist"},
            ],
        }));
        assert_eq!(
            any("object", &[written]),
            "(object.metadata.?labels[?'a'].optMap(v, v in ['1']).orValue(false) \
             && object.metadata.?labels[?'b'].optMap(v, v in ['2']).orValue(false) \
             && object.metadata.?labels[?'tier'].optMap(v, v in ['db', 'sql']).orValue(false) \
             && object.metadata.?labels[?'env'].optMap(v, !(v in ['dev', 'test'])).orValue(true) \
             && object.metadata.?labels[?'job'].hasValue() \
             && !object.metadata.?labels[?'app'].hasValue())"
        );
    }

    #[test]
    fn nothing_matches_nothing_and_an_empty_selector_everything() {
        assert_eq!(any("object", &[]), "false");
        assert_eq!(any("object", &[LabelSelector::default()]), "(true)");
    }

    #[test]
    fn a_value_stays_a_value() {
        assert_eq!(string(r"a'] || true || [\'"), r"'a\'] || true || [\\\''");
        assert_eq!(string("a\r\nb"), r"'a\r\nb'");
    }
}
