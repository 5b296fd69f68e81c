//! The webhook configurations: the right Jobs, each once, and permissions for no more than that.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

use migration_warden::core::guard::webhook_config;
use migration_warden::core::policy::{Policy, cel};

use super::{Rendered, rendered};
use crate::harness::Space;

/// The apiserver has to send the Jobs that the program takes for migrations, and not twice.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_entries_are_those_of_the_policy() {
    let space = Space::new();
    for rendered in rendered(&space) {
        let set = &*rendered.set;
        let (policy, selectors) = rendered.policy();
        let outside = outside(&space, set);
        for (kind, path) in [
            ("ValidatingWebhookConfiguration", "/validate"),
            ("MutatingWebhookConfiguration", "/mutate"),
        ] {
            let configuration = rendered.one(kind);
            assert!(!configuration.to_string().contains("caBundle"), "{set}");
            for entry in configuration["webhooks"].as_array().unwrap() {
                let name = entry["name"].as_str().unwrap();
                let conditions = conditions(name, set, &policy, &selectors);
                let resources = match name {
                    "guard.migration-warden.io" => json!(["jobs", "jobs/status"]),
                    "cronjobs.migration-warden.io" => json!(["cronjobs"]),
                    _ => json!(["jobs"]),
                };
                let (failure, seconds, operations, effects) = manner(name, set);
                let mut expected = json!({
                    "name": name,
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {"service": {
                        "namespace": space.name(),
                        "name": configuration["metadata"]["name"],
                        "path": path,
                        "port": if set == "host-network" { 8443 } else { 443 },
                    }},
                    "failurePolicy": failure,
                    "matchConditions": conditions,
                    "matchPolicy": "Equivalent",
                    "namespaceSelector": {"matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": outside},
                    ]},
                    "objectSelector": {},
                    "rules": [{
                        "apiGroups": ["batch"],
                        "apiVersions": ["v1"],
                        "operations": operations,
                        "resources": resources,
                        "scope": "Namespaced",
                    }],
                    "sideEffects": effects,
                    "timeoutSeconds": seconds,
                });
                if path == "/mutate" {
                    expected["reinvocationPolicy"] = json!("IfNeeded");
                }
                assert_eq!(*entry, expected, "{set} {name}");
            }
        }
        lists(&rendered);
    }
}

/// The conditions of an entry.
fn conditions(entry: &str, set: &str, policy: &Policy, selectors: &[LabelSelector]) -> Value {
    let of = |name, expression: fn(&str, &[LabelSelector]) -> String| {
        (name, expression("object", selectors))
    };
    let object = |name, expression: fn(&str) -> String| (name, expression("object"));
    let others = (cel::NOT_THE_CONTROL_PLANE, cel::ASKED_BY_OTHERS.to_owned());
    let rest = of(cel::NOT_A_MIGRATION, cel::not_a_migration);
    let unlabelled = of(cel::UNLABELLED, cel::unlabelled);
    let adoption = |index: usize| policy.adoption_conditions().unwrap()[index].clone();
    let more = match entry.trim_end_matches(".migration-warden.io") {
        "guard" => return named(webhook_config::conditions(selectors)),
        "validate" | "mutate" => vec![of(cel::MIGRATION, cel::migration)],
        "detect-mutate" if set == "undetected" => vec![("opted-out", cel::opted_out("object"))],
        "detect-mutate" if policy.adoption_conditions().is_some() => vec![rest, adoption(1)],
        "detect-mutate" => vec![rest],
        "detect" => vec![rest, object(cel::NOT_ADOPTED_YET, cel::not_adopted_yet)],
        "adopt" => vec![unlabelled, adoption(0)],
        "adopted" => vec![
            unlabelled,
            object(cel::ADOPTED_BY_AN_ENTRY, cel::adopted_by_an_entry),
        ],
        "adopted-detected" => vec![
            unlabelled,
            object(cel::ADOPTED_BY_DETECTION, cel::adopted_by_detection),
        ],
        _ => Vec::new(),
    };
    named([others].into_iter().chain(more))
}

fn named(conditions: impl IntoIterator<Item = (&'static str, String)>) -> Value {
    let conditions = conditions.into_iter();
    conditions
        .map(|(name, expression)| json!({"name": name, "expression": expression}))
        .collect()
}

/// Both configurations have these entries, in this order.
fn lists(rendered: &Rendered) {
    let set = &*rendered.set;
    let entries = |kind: &str| {
        let names = rendered.entries(kind).into_iter();
        let short = |name: &str| name.replace(".migration-warden.io", "");
        names.map(short).collect::<Vec<_>>().join(" ")
    };
    let (mutating, validating) = match set {
        // Detection is off here.
        "minimal" => ("mutate", "validate adopted-detected guard cronjobs"),
        "undetected" => ("detect-mutate mutate", "validate guard cronjobs"),
        // Other detected Jobs may be warned about or denied here.
        "strict" => (
            "detect-mutate mutate",
            "validate adopted-detected guard detect cronjobs",
        ),
        "vap" => (
            "detect-mutate adopt mutate",
            "validate adopted adopted-detected guard detect cronjobs",
        ),
        // Detection is off here, and an entry of `adopt` needs the engine all the same.
        "adopt" => (
            "detect-mutate adopt mutate",
            "validate adopted guard cronjobs",
        ),
        _ => (
            "detect-mutate mutate",
            "validate adopted-detected guard cronjobs",
        ),
    };
    assert_eq!(entries("MutatingWebhookConfiguration"), mutating, "{set}");
    assert_eq!(
        entries("ValidatingWebhookConfiguration"),
        validating,
        "{set}"
    );
}

/// The namespaces that are left out.
pub(super) fn outside<'s>(space: &'s Space, set: &str) -> Vec<&'s str> {
    let mut outside = vec!["kube-system", "kube-node-lease", space.name()];
    if matches!(set, "strict" | "vap") {
        outside.extend(["kube-public", "default"]);
    }
    outside
}

/// What becomes of a request that is not answered, and how long an answer may take; what is asked about, and
/// what an answer may bring about.
fn manner(entry: &str, set: &str) -> (&'static str, u32, Value, &'static str) {
    let create = || json!(["CREATE"]);
    match (entry, set) {
        ("guard.migration-warden.io", _) => {
            ("Ignore", 2, json!(["UPDATE", "DELETE"]), "NoneOnDryRun")
        }
        ("validate.migration-warden.io", "undetected") => ("Ignore", 2, create(), "NoneOnDryRun"),
        ("validate.migration-warden.io" | "adopted.migration-warden.io", _) => {
            ("Fail", 5, create(), "NoneOnDryRun")
        }
        ("adopted-detected.migration-warden.io", _) => ("Ignore", 5, create(), "NoneOnDryRun"),
        ("mutate.migration-warden.io", "undetected") => ("Ignore", 2, create(), "None"),
        ("adopt.migration-warden.io" | "mutate.migration-warden.io", _) => {
            ("Fail", 5, create(), "None")
        }
        _ => ("Ignore", 1, create(), "None"),
    }
}

/// Every permission of the replicas; one more than these is one too many.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn permissions_are_these() {
    let space = Space::new();
    for rendered in rendered(&space) {
        let set = &*rendered.set;
        let (managed, injected) = match set {
            "cert-manager" | "issuer" => (false, true),
            "existing-secret" => (false, false),
            _ => (true, false),
        };
        let [role, editor, viewer] = rendered.of("ClusterRole")[..] else {
            panic!("{set}: {:#?}", rendered.of("ClusterRole"))
        };
        let name = &role["metadata"]["name"];
        let configurations = if injected {
            json!(["list", "watch"])
        } else {
            json!(["list", "watch", "patch"])
        };
        // `patch` is for what never started and for what is adopted, which this set leaves alone. Under the profile
        // `audit` nothing is deleted.
        let jobs = match set {
            "undetected" => json!(["get", "list", "watch", "delete"]),
            "adopt" => json!(["get", "list", "watch", "patch"]),
            _ => json!(["get", "list", "watch", "patch", "delete"]),
        };
        let expected = json!([
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": jobs},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
                "resourceNames": [name],
                "verbs": configurations,
            },
            {
                "apiGroups": ["migration-warden.io"],
                "resources": ["migrationexceptions"],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": ["migration-warden.io"],
                "resources": ["migrationexceptions/status"],
                "verbs": ["patch"],
            },
            {
                "apiGroups": ["migration-warden.io"],
                "resources": ["migrationruns"],
                "verbs": ["get", "list", "create", "update", "delete"],
            },
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        ]);
        assert_eq!(role["rules"], expected, "{set}");

        // For people: granted to nobody, and part of no other role.
        let labels = editor["metadata"]["labels"].as_object().unwrap();
        assert!(labels.keys().all(|label| !label.contains("aggregate")));
        // Whoever may look at a namespace may look at its runs, which hold no secret.
        let aggregated = "rbac.authorization.k8s.io/aggregate-to-view";
        assert_eq!(viewer["metadata"]["labels"][aggregated], "true", "{set}");
        let looks = json!([{
            "apiGroups": ["migration-warden.io"],
            "resources": ["migrationruns"],
            "verbs": ["get", "list", "watch"],
        }]);
        assert_eq!(viewer["rules"], looks, "{set}");
        for binding in rendered.of("ClusterRoleBinding") {
            assert_eq!(binding["roleRef"]["name"], *name, "{set}");
        }

        // The other one is the test's.
        let roles = rendered.of("Role").into_iter();
        let roles: Vec<_> = roles
            .filter(|role| role["metadata"]["name"] == *name)
            .collect();
        let secrets = rendered.of("Secret");
        assert_eq!(
            (roles.len(), secrets.len()),
            (1, usize::from(managed)),
            "{set}"
        );
        let leases = json!({
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "list", "create", "update", "patch", "delete"],
        });
        let mut expected = vec![leases];
        if managed {
            let secret = &secrets[0]["metadata"]["name"];
            expected.push(json!({
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": [secret],
                "verbs": ["get", "update"],
            }));
        }
        assert_eq!(roles[0]["rules"], Value::from(expected), "{set}");
        if managed {
            // Whoever renders it again must not take away what the replicas put there.
            assert_eq!(secrets[0]["data"], Value::Null);
            assert_eq!(secrets[0]["stringData"], Value::Null);
        }
    }
}
