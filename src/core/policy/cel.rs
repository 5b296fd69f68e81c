//! Which Jobs are migrations, said in CEL: for the apiserver, which has to know before it asks.
//!
//! The webhook configurations and `generate vap` hold these texts, and the chart's template writes
//! the same ones letter by letter. What a rule is in CEL stands in the rule's own file.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::core::job::MIGRATION_LABEL;

/// Name of the match condition that lets only migration Jobs through.
pub const MIGRATION: &str = "migration";
/// Name of the match condition that lets all other Jobs through: the complement of [`MIGRATION`].
pub const NOT_A_MIGRATION: &str = "not-a-migration";
/// Name of the match condition that lets only Jobs through that have opted out: instead of
/// [`NOT_A_MIGRATION`], where nothing is detected.
pub const ONLY_OPTED_OUT: &str = "opted-out";
/// Name of the match condition that keeps the control plane away.
pub const NOT_THE_CONTROL_PLANE: &str = "not-the-control-plane";

/// Whether the Job says that it is none: the label `migration-warden.io/migration: "false"`.
///
/// `job` is the variable that holds it, here as in what follows: `object`, or `oldObject` where it is
/// there already.
#[must_use]
pub fn opted_out(job: &str) -> String {
    requirement(job, MIGRATION_LABEL, "In", &["false".to_owned()])
}

/// Whether somebody other than the control plane asks.
///
/// A CronJob makes its Jobs hours after its author could have read a denial. The second name is for
/// control planes whose controllers have no service accounts of their own.
pub const ASKED_BY_OTHERS: &str = "!(request.userInfo.username in \
    ['system:serviceaccount:kube-system:cronjob-controller', 'system:kube-controller-manager'])";

/// Whether the Job is a migration: one that any of the selectors matches and that has not opted out.
#[must_use]
pub fn migration(job: &str, selectors: &[LabelSelector]) -> String {
    format!("!({}) && ({})", opted_out(job), any(job, selectors))
}

/// Whether it is none: true exactly where [`migration`] is false.
#[must_use]
pub fn not_a_migration(job: &str, selectors: &[LabelSelector]) -> String {
    format!("{} || !({})", opted_out(job), any(job, selectors))
}

/// Whether any of the selectors matches the Job's labels.
#[must_use]
pub fn any(job: &str, selectors: &[LabelSelector]) -> String {
    let each: Vec<String> = selectors
        .iter()
        .map(|selector| format!("({})", all(job, selector)))
        .collect();
    // No selector matches nothing, as in `Selectors`.
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

fn requirement(job: &str, key: &str, operator: &str, values: &[String]) -> String {
    let label = format!("{job}.metadata.?labels[?{}]", string(key));
    let values: Vec<String> = values.iter().map(|value| string(value)).collect();
    let values = values.join(", ");
    match operator {
        "In" => format!("{label}.optMap(v, v in [{values}]).orValue(false)"),
        "NotIn" => format!("{label}.optMap(v, !(v in [{values}])).orValue(true)"),
        "Exists" => format!("{label}.hasValue()"),
        // There is no fifth operator: `Selectors` takes none.
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

/// A CEL string literal.
#[must_use]
pub fn string(text: &str) -> String {
    // A policy file may hold what is no label key, and the chart has to write the same text.
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
