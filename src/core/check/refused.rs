//! Finds faults that the API server refuses in any Job, whatever the policy: numbers out of range and names that are
//! not DNS names (`pkg/apis/batch/validation` of Kubernetes). The messages are Kubernetes' own, because users search
//! for them.
//!
//! The webhook does not need this, because the API server validates itself. [`crate::core::job::object`] checks types.

use serde_json::Value;

use crate::core::job::{Kind, dns};

/// A JSON Pointer to a value, and its fault.
type Fault = (String, String);

const MAX_I32: i64 = i32::MAX as i64;
/// Most characters of a name that are shown: as many as a name can have.
const SHOWN: usize = 253;

/// All faults of a Job or CronJob that the API server refuses and that no rule covers.
pub(super) fn by_kubernetes(object: &Value, kind: Kind) -> Vec<Fault> {
    let mut faults = Vec::new();
    let spec = match kind {
        Kind::Job => "/spec",
        Kind::CronJob => "/spec/jobTemplate/spec",
    };
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "ttlSecondsAfterFinished",
    ] {
        number(object, format!("{spec}/{field}"), MAX_I32, &mut faults);
    }
    let deadline = format!("{spec}/activeDeadlineSeconds");
    number(object, deadline, i64::MAX, &mut faults);
    if kind == Kind::CronJob {
        let deadline = "/spec/startingDeadlineSeconds".to_owned();
        number(object, deadline, i64::MAX, &mut faults);
        for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
            number(object, format!("/spec/{field}"), MAX_I32, &mut faults);
        }
    }
    pod_deadline(object, spec, &mut faults);
    names(object, spec, &mut faults);
    faults
}

fn number(object: &Value, at: String, max: i64, faults: &mut Vec<Fault>) {
    let Some(number) = object.pointer(&at).filter(|value| value.is_number()) else {
        return;
    };
    let found = number.as_f64().unwrap_or_default();
    let what = if found.fract() != 0.0 {
        "must be an integer".to_owned()
    } else if found < 0.0 {
        "must be greater than or equal to 0".to_owned()
    } else if is_above(found, max) {
        format!("must be less than or equal to {max}")
    } else {
        return;
    };
    faults.push(invalid(at, &number.to_string(), &what));
}

fn pod_deadline(object: &Value, spec: &str, faults: &mut Vec<Fault>) {
    let at = format!("{spec}/template/spec/activeDeadlineSeconds");
    let Some(number) = object.pointer(&at).filter(|value| value.is_number()) else {
        return;
    };
    let found = number.as_f64().unwrap_or_default();
    if found < 1.0 || is_above(found, MAX_I32) {
        let what = format!("must be between 1 and {MAX_I32}, inclusive");
        faults.push(invalid(at, &number.to_string(), &what));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an i64 beyond 2^53 is refused by no rule"
)]
fn is_above(found: f64, max: i64) -> bool {
    found > max as f64
}

fn names(object: &Value, spec: &str, faults: &mut Vec<Fault>) {
    let text = |at: &str| {
        let text = object.pointer(at).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    let (name, prefix) = (text("/metadata/name"), text("/metadata/generateName"));
    if let Some(name) = name
        && let Some(fault) = dns::subdomain_fault(name)
    {
        faults.push(misnamed("/metadata/name", name, &fault));
    }
    if let Some(prefix) = prefix
        && let Some(fault) = dns::subdomain_fault(&format!("{prefix}a"))
    {
        faults.push(misnamed("/metadata/generateName", prefix, &fault));
    }
    if name.is_none() && prefix.is_none() {
        let message = "metadata.name: Required value: name or generateName is required";
        faults.push(("/metadata/name".to_owned(), message.to_owned()));
    }
    if let Some(namespace) = text("/metadata/namespace")
        && let Some(fault) = dns::label_fault(namespace)
    {
        faults.push(misnamed("/metadata/namespace", namespace, &fault));
    }
    for list in ["initContainers", "containers"] {
        let at = format!("{spec}/template/spec/{list}");
        let containers = object.pointer(&at).and_then(Value::as_array);
        for index in 0..containers.map_or(0, Vec::len) {
            let at = format!("{at}/{index}/name");
            if let Some(name) = text(&at)
                && let Some(fault) = dns::label_fault(name)
            {
                faults.push(misnamed(&at, name, &fault));
            }
        }
    }
}

fn misnamed(at: &str, name: &str, what: &str) -> Fault {
    // The name is untrusted, and a manifest may hold one of any length.
    let shown: String = name.chars().take(SHOWN).collect();
    invalid(at.to_owned(), &format!("{shown:?}"), what)
}

fn invalid(at: String, value: &str, what: &str) -> Fault {
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
    use super::*;
    use serde_json::json;

    fn messages(kind: Kind, change: impl FnOnce(&mut Value)) -> Vec<String> {
        let template = json!({"spec": {"containers": [{"name": "migrate"}]}});
        let job = json!({"backoffLimit": 0, "activeDeadlineSeconds": 600, "template": template});
        let spec = match kind {
            Kind::Job => job,
            Kind::CronJob => json!({"schedule": "@daily", "jobTemplate": {"spec": job}}),
        };
        let mut object = json!({"metadata": {"name": "shop-migrate-1766361600", "namespace": "shop"}, "spec": spec});
        change(&mut object);
        let faults = by_kubernetes(&object, kind);
        faults.into_iter().map(|(_, message)| message).collect()
    }

    #[test]
    fn numbers_out_of_range_are_refused_in_the_words_of_the_api_server() {
        assert_eq!(messages(Kind::Job, |_| ()), Vec::<String>::new());
        for field in [
            "parallelism",
            "completions",
            "backoffLimit",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
            "ttlSecondsAfterFinished",
            "activeDeadlineSeconds",
        ] {
            let with = |value: Value| messages(Kind::Job, |job| job["spec"][field] = value);
            assert_eq!(with(json!(0)), Vec::<String>::new(), "{field}");
            assert_eq!(with(json!(600.0)), Vec::<String>::new(), "{field}");
            let wanted =
                format!("spec.{field}: Invalid value: -1: must be greater than or equal to 0");
            assert_eq!(with(json!(-1)), [wanted], "{field}");
        }
        let large = messages(Kind::Job, |job| {
            job["spec"]["backoffLimit"] = json!(9_999_999_999_u64);
        });
        assert_eq!(
            large,
            [
                "spec.backoffLimit: Invalid value: 9999999999: must be less than or equal to 2147483647"
            ]
        );
        let pod = messages(Kind::Job, |job| {
            job["spec"]["template"]["spec"]["activeDeadlineSeconds"] = json!(0);
        });
        assert_eq!(
            pod,
            [
                "spec.template.spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"
            ]
        );
        let cron = messages(Kind::CronJob, |cron| {
            cron["spec"]["failedJobsHistoryLimit"] = json!(-2);
            cron["spec"]["jobTemplate"]["spec"]["parallelism"] = json!(-3);
        });
        assert_eq!(
            cron,
            [
                "spec.jobTemplate.spec.parallelism: Invalid value: -3: must be greater than or equal to 0",
                "spec.failedJobsHistoryLimit: Invalid value: -2: must be greater than or equal to 0",
            ]
        );
    }

    #[test]
    fn names_that_are_not_dns_names_are_refused() {
        let named = |name: &str| messages(Kind::Job, |job| job["metadata"]["name"] = json!(name));
        for good in ["a", "0", "a.b-c.d", &"a".repeat(253)] {
            assert_eq!(named(good), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "Shop",
            "shop_migrate",
            "-shop",
            "shop-",
            "shop..a",
            "shop.",
            "shöp",
            "a b",
        ] {
            assert_eq!(
                named(bad),
                [format!(
                    "metadata.name: Invalid value: {bad:?}: {}",
                    dns::subdomain_fault(bad).unwrap()
                )]
            );
        }
        assert!(named(&"a".repeat(254))[0].ends_with(": must be no more than 253 characters"));
        assert_eq!(
            named(""),
            ["metadata.name: Required value: name or generateName is required"]
        );
        let generated = |prefix: &str| {
            messages(Kind::Job, |job| {
                job["metadata"] = json!({"generateName": prefix});
            })
        };
        assert_eq!(generated("shop-migrate-"), Vec::<String>::new());
        assert_eq!(generated("Shop-").len(), 1);
        let namespace = messages(Kind::Job, |job| job["metadata"]["namespace"] = json!("a.b"));
        assert_eq!(
            namespace,
            [format!(
                "metadata.namespace: Invalid value: \"a.b\": {}",
                dns::label_fault("a.b").unwrap()
            )]
        );
        let container = messages(Kind::Job, |job| {
            job["spec"]["template"]["spec"]["containers"][0]["name"] = json!("Run_it");
        });
        assert_eq!(
            container,
            [format!(
                "spec.template.spec.containers[0].name: Invalid value: \"Run_it\": {}",
                dns::label_fault("Run_it").unwrap()
            )]
        );
    }
}
