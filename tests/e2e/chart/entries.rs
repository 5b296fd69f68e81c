//! The webhook configurations: the right Jobs, each once, and permissions for no more than that.

use serde_json::{Value, json};

use migration_warden::core::guard::webhook_config;
use migration_warden::core::policy::cel;

use super::rendered;
use crate::harness::Space;

/// The apiserver has to send the Jobs that the program takes for migrations, and not twice.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_entries_are_those_of_the_policy() {
    let space = Space::new();
    for rendered in rendered(&space) {
        let set = &*rendered.set;
        let (_, selectors) = rendered.policy();
        let rest = if set == "undetected" {
            json!({"name": "opted-out", "expression": cel::opted_out("object")})
        } else {
            json!({"name": cel::NOT_A_MIGRATION, "expression": cel::not_a_migration("object", &selectors)})
        };
        let migration =
            json!({"name": cel::MIGRATION, "expression": cel::migration("object", &selectors)});
        let others =
            json!({"name": cel::NOT_THE_CONTROL_PLANE, "expression": cel::ASKED_BY_OTHERS});
        let guards = webhook_config::conditions(&selectors)
            .map(|(name, expression)| json!({"name": name, "expression": expression}));
        let outside = outside(&space, set);
        for (kind, path) in [
            ("ValidatingWebhookConfiguration", "/validate"),
            ("MutatingWebhookConfiguration", "/mutate"),
        ] {
            let configuration = rendered.one(kind);
            assert!(!configuration.to_string().contains("caBundle"), "{set}");
            for entry in configuration["webhooks"].as_array().unwrap() {
                let name = entry["name"].as_str().unwrap();
                let (conditions, resources) = match name {
                    "guard.migration-warden.io" => (json!(guards), json!(["jobs", "jobs/status"])),
                    "validate.migration-warden.io" | "mutate.migration-warden.io" => {
                        (json!([others, migration]), json!(["jobs"]))
                    }
                    "detect.migration-warden.io" | "detect-mutate.migration-warden.io" => {
                        (json!([others, rest]), json!(["jobs"]))
                    }
                    _ => (json!([others]), json!(["cronjobs"])),
                };
                let (policy, seconds, operations, effects) = manner(name, set);
                let mut expected = json!({
                    "name": name,
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {"service": {
                        "namespace": space.name(),
                        "name": configuration["metadata"]["name"],
                        "path": path,
                        "port": if set == "host-network" { 8443 } else { 443 },
                    }},
                    "failurePolicy": policy,
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
        let detects = set != "minimal";
        let validating = rendered.entries("ValidatingWebhookConfiguration");
        assert_eq!(
            validating.contains(&"detect.migration-warden.io"),
            detects,
            "{set}"
        );
        assert_eq!(validating.len(), 3 + usize::from(detects), "{set}");
        let mutating = rendered.entries("MutatingWebhookConfiguration");
        // Where detected Jobs may be denied.
        let all = [
            "mutate.migration-warden.io",
            "detect-mutate.migration-warden.io",
        ];
        assert_eq!(mutating, all[..=usize::from(set == "strict")], "{set}");
    }
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
        ("validate.migration-warden.io", _) => ("Fail", 5, create(), "NoneOnDryRun"),
        ("mutate.migration-warden.io", "undetected") => ("Ignore", 2, create(), "None"),
        ("mutate.migration-warden.io", _) => ("Fail", 5, create(), "None"),
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
        // `patch` is for what never started, which this set leaves alone.
        let jobs = match set {
            "undetected" => json!(["get", "list", "watch", "delete"]),
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
