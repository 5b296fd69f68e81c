//! Finds faults that the API server refuses in any Job, whatever the policy: numbers out of range, names that are not
//! DNS names and a pod without containers (`pkg/apis/batch/validation` and `pkg/apis/core/validation` of Kubernetes). The
//! messages are Kubernetes' own, because users search for them.
//!
//! The webhook does not need this, because the API server validates itself. [`crate::core::job::object`] checks types.

use serde_json::Value;

use crate::core::job::{Kind, dns};
use crate::core::text;

/// A JSON Pointer to a value, and its fault.
type Refused = (String, String);

const MAX_I32: i64 = i32::MAX as i64;
/// Most characters of a name that are shown: as many as a name can have.
const SHOWN: usize = 253;

/// The numbers of a Job's spec, which are not below 0, and the largest value of each.
const NUMBERS: [(&str, i64); 7] = [
    ("parallelism", MAX_I32),
    ("completions", MAX_I32),
    ("backoffLimit", MAX_I32),
    ("backoffLimitPerIndex", MAX_I32),
    ("maxFailedIndexes", MAX_I32),
    ("ttlSecondsAfterFinished", MAX_I32),
    ("activeDeadlineSeconds", i64::MAX),
];
/// Those of a CronJob's own spec.
const CRONJOB_NUMBERS: [(&str, i64); 3] = [
    ("startingDeadlineSeconds", i64::MAX),
    ("successfulJobsHistoryLimit", MAX_I32),
    ("failedJobsHistoryLimit", MAX_I32),
];

/// All faults of a Job or CronJob that the API server refuses and that no rule covers.
pub(super) fn by_kubernetes(object: &Value, kind: Kind) -> Vec<Refused> {
    let (spec, own): (_, &[_]) = match kind {
        Kind::Job => ("/spec", &[]),
        Kind::CronJob => ("/spec/jobTemplate/spec", &CRONJOB_NUMBERS),
    };
    let numbers = NUMBERS.iter().map(|number| (spec, number));
    let numbers = numbers.chain(own.iter().map(|number| ("/spec", number)));
    let mut faults: Vec<_> = numbers
        .filter_map(|(parent, (field, max))| {
            let at = format!("{parent}/{field}");
            let found = object.pointer(&at)?.as_f64()?;
            let what = if found.fract() != 0.0 {
                "must be an integer".to_owned()
            } else if found < 0.0 {
                "must be greater than or equal to 0".to_owned()
            } else if is_above(found, *max) {
                format!("must be less than or equal to {max}")
            } else {
                return None;
            };
            Some(invalid_number(object, at, &what))
        })
        .collect();
    let at = format!("{spec}/template/spec/activeDeadlineSeconds");
    let deadline = object.pointer(&at).and_then(Value::as_f64);
    if deadline.is_some_and(|found| found < 1.0 || is_above(found, MAX_I32)) {
        let what = format!("must be between 1 and {MAX_I32}, inclusive");
        faults.push(invalid_number(object, at, &what));
    }
    names(object, spec, &mut faults);
    let at = format!("{spec}/template/spec/containers");
    let containers = object.pointer(&at).and_then(Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        let message = format!("{}: Required value", path(&at));
        faults.push((at, message));
    }
    faults
}

fn invalid_number(object: &Value, at: String, what: &str) -> Refused {
    let number = object.pointer(&at).unwrap_or(&Value::Null).to_string();
    invalid(at, &number, what)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an i64 beyond 2^53 is refused by no rule"
)]
fn is_above(found: f64, max: i64) -> bool {
    found > max as f64
}

fn names(object: &Value, spec: &str, faults: &mut Vec<Refused>) {
    let text = |at: &str| {
        let text = object.pointer(at).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    let (name, prefix) = (text("/metadata/name"), text("/metadata/generateName"));
    if name.is_none() && prefix.is_none() {
        let message = "metadata.name: Required value: name or generateName is required";
        faults.push(("/metadata/name".to_owned(), message.to_owned()));
    }
    let namespace = text("/metadata/namespace");
    let prefix_fault = |prefix: &str| dns::subdomain_fault(&format!("{prefix}a"));
    let mut named = vec![
        (
            "/metadata/name".to_owned(),
            name,
            name.and_then(dns::subdomain_fault),
        ),
        (
            "/metadata/generateName".to_owned(),
            prefix,
            prefix.and_then(prefix_fault),
        ),
        (
            "/metadata/namespace".to_owned(),
            namespace,
            namespace.and_then(dns::label_fault),
        ),
    ];
    for list in ["initContainers", "containers"] {
        let at = format!("{spec}/template/spec/{list}");
        let containers = object.pointer(&at).and_then(Value::as_array);
        for index in 0..containers.map_or(0, Vec::len) {
            let at = format!("{at}/{index}/name");
            let name = text(&at);
            named.push((at, name, name.and_then(dns::label_fault)));
        }
    }
    for (at, name, fault) in named {
        if let (Some(name), Some(fault)) = (name, fault) {
            // The name is untrusted, and a manifest may hold one of any length.
            let shown: String = name.chars().take(SHOWN).collect();
            faults.push(invalid(at, &text::quoted(&shown), &fault));
        }
    }
}

fn invalid(at: String, value: &str, what: &str) -> Refused {
    let message = format!("{}: Invalid value: {value}: {what}", path(&at));
    (at, message)
}

/// A JSON Pointer as Kubernetes writes it: `spec.containers[0].name`.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            path = format!("{path}[{part}]");
        } else {
            let dot = if path.is_empty() { "" } else { "." };
            path = format!("{path}{dot}{part}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::merge;

    /// The messages about an object with this change, a merge patch.
    fn messages(kind: Kind, change: &Value) -> Vec<String> {
        let template = "template: {spec: {containers: [{name: migrate}]}}";
        let job = format!("{{backoffLimit: 0, activeDeadlineSeconds: 600, {template}}}");
        let spec = match kind {
            Kind::Job => job,
            Kind::CronJob => format!("{{schedule: '@daily', jobTemplate: {{spec: {job}}}}}"),
        };
        let text = format!(
            "{{metadata: {{name: shop-migrate-1766361600, namespace: shop}}, spec: {spec}}}"
        );
        let mut object = serde_saphyr::from_str(&text).unwrap();
        merge(&mut object, Some(change));
        let faults = by_kubernetes(&object, kind);
        faults.into_iter().map(|(_, message)| message).collect()
    }

    #[test]
    fn what_is_out_of_range_or_misnamed_is_refused_in_the_words_of_the_api_server() {
        let rows = r#"
- [{}, []]
- [{spec: {backoffLimit: 9999999999}}, ["spec.backoffLimit: Invalid value: 9999999999: must be less than or equal to 2147483647"]]
- [{spec: {backoffLimit: 1.5}}, ["spec.backoffLimit: Invalid value: 1.5: must be an integer"]]
- [{spec: {template: {spec: {activeDeadlineSeconds: 0}}}},
   ["spec.template.spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"]]
- [{metadata: {name: ""}}, ["metadata.name: Required value: name or generateName is required"]]
- [{metadata: {name: null, generateName: shop-migrate-}}, []]
- [{metadata: {name: null, generateName: Shop-}}, ["metadata.generateName: Invalid value: \"Shop-\": SUBDOMAIN"]]
- [{metadata: {namespace: a.b}}, ["metadata.namespace: Invalid value: \"a.b\": LABEL"]]
- [{spec: {template: {spec: {containers: [{name: migrate}, {name: Run_it}]}}}},
   ["spec.template.spec.containers[1].name: Invalid value: \"Run_it\": LABEL"]]
- [{spec: {template: {spec: {containers: []}}}}, ["spec.template.spec.containers: Required value"]]
- [{spec: null}, ["spec.template.spec.containers: Required value"]]
"#;
        let subdomain = dns::subdomain_fault("Shop").unwrap();
        let label = dns::label_fault("Shop").unwrap();
        let rows: Vec<(Value, Vec<String>)> = serde_saphyr::from_str(rows).unwrap();
        for (change, expected) in rows {
            let expected = expected.into_iter();
            let expected =
                expected.map(|m| m.replace("SUBDOMAIN", &subdomain).replace("LABEL", &label));
            let expected: Vec<_> = expected.collect();
            assert_eq!(messages(Kind::Job, &change), expected, "{change}");
        }
        let text = "{spec: {failedJobsHistoryLimit: -2, jobTemplate: {spec: {parallelism: -3}}}}";
        let expected = [
            "spec.jobTemplate.spec.parallelism: Invalid value: -3: must be greater than or equal to 0",
            "spec.failedJobsHistoryLimit: Invalid value: -2: must be greater than or equal to 0",
        ];
        let change = serde_saphyr::from_str(text).unwrap();
        assert_eq!(messages(Kind::CronJob, &change), expected);
        let expected = ["spec.jobTemplate.spec.template.spec.containers: Required value"];
        let change = json!({"spec": {"jobTemplate": null}});
        assert_eq!(messages(Kind::CronJob, &change), expected);
        for (field, _) in NUMBERS {
            let with = |value: Value| messages(Kind::Job, &json!({"spec": {field: value}}));
            assert_eq!(with(json!(0)), Vec::<String>::new(), "{field}");
            assert_eq!(with(json!(600.0)), Vec::<String>::new(), "{field}");
            let wanted = "Invalid value: -1: must be greater than or equal to 0";
            assert_eq!(with(json!(-1)), [format!("spec.{field}: {wanted}")]);
        }
    }

    #[test]
    fn names_that_are_not_dns_names_are_refused() {
        let named = |name: &str| messages(Kind::Job, &json!({"metadata": {"name": name}}));
        for good in ["a", "0", "a.b-c.d", &"a".repeat(253)] {
            assert_eq!(named(good), Vec::<String>::new(), "{good}");
        }
        let bad = [
            "Shop",
            "shop_migrate",
            "-shop",
            "shop-",
            "shop..a",
            "shop.",
            "shöp",
            "a b",
        ];
        for bad in bad {
            let fault = dns::subdomain_fault(bad).unwrap();
            let expected = format!("metadata.name: Invalid value: {bad:?}: {fault}");
            assert_eq!(named(bad), [expected]);
        }
        assert!(named(&"a".repeat(254))[0].ends_with(": must be no more than 253 characters"));
    }
}
