//! The chart as both Helms render it, and what a real apiserver says to that. Nothing is installed here.

use std::{fs, path::PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use migration_warden::{
    config::{self, MigrationPolicy},
    policy::cel,
};
use serde_json::{Value, json};

use crate::harness::{CHART, Helm, Space};

/// A value set of the chart's own, and the objects it makes.
struct Rendered {
    set: String,
    objects: Vec<Value>,
}

/// Renders every value set with every Helm, which has to give the same, and the same again.
fn rendered(space: &Space) -> Vec<Rendered> {
    sets().into_iter().map(|set| render(space, &set)).collect()
}

fn render(space: &Space, set: &PathBuf) -> Rendered {
    let set_name = set.file_stem().unwrap().to_str().unwrap();
    let args = [
        "template",
        "release",
        CHART,
        "--values",
        set.to_str().unwrap(),
    ];
    let [three, four] = Helm::BOTH.map(|helm| {
        let text = space.helm(helm, &args).succeeds().stdout;
        let again = space.helm(helm, &args).succeeds().stdout;
        assert_eq!(text, again, "{set_name} with {helm:?}");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let mut objects: Vec<Value> = documents.into_iter().filter(|d| !d.is_null()).collect();
        // The Helms know different kinds, and so order them in different ways.
        objects.sort_by_key(|object| {
            (
                object["kind"].to_string(),
                object["metadata"]["name"].to_string(),
            )
        });
        objects
    });
    assert_eq!(three, four, "{set_name}");
    Rendered {
        set: set_name.replace("-values", ""),
        objects: three,
    }
}

fn sets() -> Vec<PathBuf> {
    let files = fs::read_dir(format!("{CHART}/ci")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

impl Rendered {
    fn of(&self, kind: &str) -> Vec<&Value> {
        self.objects
            .iter()
            .filter(|object| object["kind"] == kind)
            .collect()
    }

    fn one(&self, kind: &str) -> &Value {
        let found = self.of(kind);
        assert_eq!(found.len(), 1, "{}: {kind}", self.set);
        found[0]
    }

    /// The policy file, which the program has to take.
    fn policy(&self) -> (&str, Vec<LabelSelector>) {
        let text = self.one("ConfigMap")["data"]["policy.yaml"]
            .as_str()
            .unwrap();
        config::validate::read("policy.yaml", text).unwrap();
        let policy: MigrationPolicy = serde_saphyr::from_str(text).unwrap();
        (
            text,
            policy
                .matching
                .selectors
                .into_iter()
                .map(Into::into)
                .collect(),
        )
    }

    /// Names of a configuration's entries.
    fn entries(&self, kind: &str) -> Vec<&str> {
        let webhooks = self.one(kind)["webhooks"].as_array().unwrap();
        webhooks
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect()
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn both_helms_find_no_fault_with_it() {
    let space = Space::new();
    for set in sets() {
        for helm in Helm::BOTH {
            let args = ["lint", "--strict", CHART, "--values", set.to_str().unwrap()];
            space.helm(helm, &args).succeeds();
        }
    }
}

/// A typing error fails before anything is installed, and in words.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn bad_values_are_refused() {
    let space = Space::new();
    for (value, answer) in [
        (
            "policy.profile=mild",
            "at '/policy/profile': value must be 'guide'",
        ),
        (
            "policy.match=null",
            "at '/policy': missing property 'match'",
        ),
        (
            "policy.rules.MW011=drop",
            "at '/policy/rules/MW011': value must be one of",
        ),
        (
            "webhooks.failurePolicy=fail",
            "at '/webhooks/failurePolicy': value must be one of 'Fail', 'Ignore'",
        ),
        ("replicas=3", "additional properties 'replicas' not allowed"),
        (
            "certificates.mode=existing-secret",
            "certificates.existingSecret: name the Secret",
        ),
        (
            "certificates.clientCA.secretName=a,certificates.clientCA.configMapName=b",
            "secretName and configMapName are both set",
        ),
    ] {
        for helm in Helm::BOTH {
            let refused = space.helm(helm, &["install", "release", CHART, "--set", value]);
            refused.fails().says(answer);
        }
    }
}

/// The apiserver has to send the Jobs that the program takes for migrations, and not twice.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_entries_are_those_of_the_policy() {
    let space = Space::new();
    for rendered in rendered(&space) {
        let set = &*rendered.set;
        let (_, selectors) = rendered.policy();
        let rest = if set == "undetected" {
            json!({"name": "opted-out", "expression": cel::OPTED_OUT})
        } else {
            json!({"name": cel::NOT_A_MIGRATION, "expression": cel::not_a_migration(&selectors)})
        };
        let migration = json!({"name": cel::MIGRATION, "expression": cel::migration(&selectors)});
        let others =
            json!({"name": cel::NOT_THE_CONTROL_PLANE, "expression": cel::ASKED_BY_OTHERS});
        let mut outside = vec!["kube-system", "kube-node-lease", space.name()];
        if set == "strict" {
            outside.extend(["kube-public", "default"]);
        }
        for (kind, path) in [
            ("ValidatingWebhookConfiguration", "/validate"),
            ("MutatingWebhookConfiguration", "/mutate"),
        ] {
            let configuration = rendered.one(kind);
            assert!(!configuration.to_string().contains("caBundle"), "{set}");
            for entry in configuration["webhooks"].as_array().unwrap() {
                let name = entry["name"].as_str().unwrap();
                let (conditions, resource) = match name {
                    "validate.migration-warden.io" | "mutate.migration-warden.io" => {
                        (json!([others, migration]), "jobs")
                    }
                    "detect.migration-warden.io" | "detect-mutate.migration-warden.io" => {
                        (json!([others, rest]), "jobs")
                    }
                    _ => (json!([others]), "cronjobs"),
                };
                let (policy, seconds) = match (name, set) {
                    (
                        "validate.migration-warden.io" | "mutate.migration-warden.io",
                        "undetected",
                    ) => ("Ignore", 2),
                    ("validate.migration-warden.io" | "mutate.migration-warden.io", _) => {
                        ("Fail", 5)
                    }
                    _ => ("Ignore", 1),
                };
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
                        "operations": ["CREATE"],
                        "resources": [resource],
                        "scope": "Namespaced",
                    }],
                    "sideEffects": "None",
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
        assert_eq!(validating.len(), 2 + usize::from(detects), "{set}");
        let mutating = rendered.entries("MutatingWebhookConfiguration");
        // Where detected Jobs may be denied.
        let all = [
            "mutate.migration-warden.io",
            "detect-mutate.migration-warden.io",
        ];
        assert_eq!(mutating, all[..1 + usize::from(set == "strict")], "{set}");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn every_object_says_whose_it_is() {
    let space = Space::new();
    for rendered in rendered(&space) {
        for object in &rendered.objects {
            let (kind, metadata) = (object["kind"].as_str().unwrap(), &object["metadata"]);
            let labels = &metadata["labels"];
            for label in [
                "name",
                "instance",
                "component",
                "version",
                "part-of",
                "managed-by",
            ] {
                assert!(
                    labels[format!("app.kubernetes.io/{label}")].is_string(),
                    "{kind} {labels}"
                );
            }
            let hook = metadata["annotations"]["helm.sh/hook"].is_string();
            let namespace = match kind {
                _ if kind.starts_with("Cluster") || kind.ends_with("WebhookConfiguration") => {
                    Value::Null
                }
                "FlowSchema" | "PriorityLevelConfiguration" => Value::Null,
                "Role" | "RoleBinding" if hook => json!("default"),
                _ => json!(space.name()),
            };
            assert_eq!(metadata["namespace"], namespace, "{} {kind}", rendered.set);
        }
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
        let role = rendered.one("ClusterRole");
        let name = &role["metadata"]["name"];
        let configurations = if injected {
            json!(["list", "watch"])
        } else {
            json!(["list", "watch", "patch"])
        };
        let expected = json!([
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
                "resourceNames": [name],
                "verbs": configurations,
            },
        ]);
        assert_eq!(role["rules"], expected, "{set}");

        // The other one is the test's.
        let roles = rendered.of("Role").into_iter();
        let roles: Vec<_> = roles
            .filter(|role| role["metadata"]["name"] == *name)
            .collect();
        let secrets = rendered.of("Secret");
        assert_eq!(
            (roles.len(), secrets.len()),
            (usize::from(managed), usize::from(managed)),
            "{set}"
        );
        if managed {
            let secret = &secrets[0]["metadata"]["name"];
            let expected = json!([{
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": [secret],
                "verbs": ["get", "update"],
            }]);
            assert_eq!(roles[0]["rules"], expected, "{set}");
            // Whoever renders it again must not take away what the replicas put there.
            assert_eq!(secrets[0]["data"], Value::Null);
            assert_eq!(secrets[0]["stringData"], Value::Null);
        }
    }
}

/// The apiserver takes all objects, and the pods where Pod Security is at its strictest.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_apiserver_takes_it() {
    let space = Space::new();
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    space
        .kubectl(&["label", "namespace", space.name(), restricted])
        .succeeds();
    for rendered in rendered(&space) {
        let set = &*rendered.set;
        let known = rendered.objects.iter().filter(|object| {
            let version = object["apiVersion"].as_str().unwrap();
            // Kinds of operators that are not here.
            !version.starts_with("cert-manager.io/")
                && !version.starts_with("monitoring.coreos.com/")
        });
        // The test's pod is tried below; some are in another namespace, which is theirs alone.
        let known: Vec<_> = known.filter(|object| object["kind"] != "Pod").collect();
        for object in known {
            // kubectl refuses a namespace that is not the object's.
            let namespace = object["metadata"]["namespace"]
                .as_str()
                .unwrap_or(space.name());
            let args = ["apply", "--dry-run=server", "-f", "-"];
            let applied = space
                .kubectl_in(namespace, &args, &object.to_string())
                .succeeds();
            // A Deployment that breaks Pod Security is taken with a warning.
            let host = set == "host-network" && object["kind"] == "Deployment";
            assert_eq!(applied.stderr.contains("Warning"), host, "{set}: {applied}");
        }

        let template = &rendered.one("Deployment")["spec"]["template"];
        let mut pods = vec![json!({"metadata": template["metadata"], "spec": template["spec"]})];
        pods.extend(rendered.of("Pod").into_iter().cloned());
        for mut pod in pods {
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["metadata"]["name"] = json!("tried");
            // Its own is not there, as nothing is installed.
            pod["spec"]["serviceAccountName"] = json!("default");
            let args = ["create", "--dry-run=server", "-f", "-"];
            let created = space.kubectl_with(&args, &pod.to_string());
            if pod["spec"]["hostNetwork"] == true {
                created.fails().says("violates PodSecurity");
            } else {
                created.succeeds().never_says("Warning");
            }
        }
    }
}

/// Reviews go where the pods listen, the policy is a folder, and certificates come the chosen way.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_arguments_go_with_the_values() {
    let space = Space::new();
    for rendered in rendered(&space) {
        let set = &*rendered.set;
        let spec = &rendered.one("Deployment")["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        let args: Vec<_> = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap())
            .collect();
        let fullname = rendered.one("Deployment")["metadata"]["name"]
            .as_str()
            .unwrap();
        let (port, admin) = if set == "host-network" {
            (9443, 9080)
        } else {
            (8443, 8080)
        };
        let mut expected = vec![
            "serve".to_owned(),
            "--config=/etc/migration-warden/policy/policy.yaml".to_owned(),
            format!("--listen=[::]:{port}"),
            format!("--admin-listen=[::]:{admin}"),
            "--cluster=in-cluster".to_owned(),
            format!("--webhook-configuration={fullname}"),
        ];
        let mut mounts = vec!["/etc/migration-warden/policy"];
        if matches!(set, "cert-manager" | "issuer" | "existing-secret") {
            expected.push("--tls-dir=/etc/migration-warden/tls".to_owned());
            mounts.push("/etc/migration-warden/tls");
        } else {
            expected.push(format!("--tls-secret={fullname}-tls"));
            expected.push(format!("--service={fullname}"));
        }
        if set == "existing-secret" {
            expected.push("--ca-bundle=/etc/migration-warden/tls/ca.crt".to_owned());
            expected.push("--client-ca=/etc/migration-warden/client-ca/client-ca.crt".to_owned());
            mounts.push("/etc/migration-warden/client-ca");
        }
        if set == "host-network" {
            expected.push("--client-ca=/etc/migration-warden/client-ca/ca.crt".to_owned());
            mounts.push("/etc/migration-warden/client-ca");
        }
        expected.extend([
            "--log-format=json".to_owned(),
            "--log-level=info".to_owned(),
        ]);
        assert_eq!(args, expected, "{set}");

        let mounted = container["volumeMounts"].as_array().unwrap();
        let paths: Vec<_> = mounted
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        assert_eq!(paths, mounts, "{set}");
        // A subPath would never be renewed, and everything here is read again when it changes.
        assert!(
            mounted.iter().all(|mount| mount["subPath"].is_null()),
            "{set}"
        );
        assert_eq!(container["ports"][0]["containerPort"], port, "{set}");
        assert_eq!(container["ports"][1]["containerPort"], admin, "{set}");
        let injected = &rendered.one("MutatingWebhookConfiguration")["metadata"]["annotations"];
        let from = match set {
            "cert-manager" | "issuer" => json!(format!("{}/{fullname}", space.name())),
            _ => Value::Null,
        };
        assert_eq!(injected["cert-manager.io/inject-ca-from"], from, "{set}");
    }
}
