//! The objects and their pods: whose they are, what they are told, and whether the apiserver takes them.

use serde_json::{Value, json};

use super::entries::outside;
use super::rendered;
use crate::harness::Space;

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
                _ if kind.starts_with("ValidatingAdmissionPolicy") => Value::Null,
                "FlowSchema" | "PriorityLevelConfiguration" | "CustomResourceDefinition" => {
                    Value::Null
                }
                "Role" | "RoleBinding" if hook => json!("default"),
                _ => json!(space.name()),
            };
            assert_eq!(metadata["namespace"], namespace, "{} {kind}", rendered.set);
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
        // The CRD may be there already, made by another test.
        let args = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            "-",
        ];
        let text: Vec<_> = known.iter().map(ToString::to_string).collect();
        let applied = space.kubectl_anywhere(&args, &text.join("\n---\n"));
        let applied = applied.succeeds();
        // A Deployment that breaks Pod Security is taken with a warning; nothing else is.
        let warnings = applied
            .stderr
            .lines()
            .filter(|line| line.contains("Warning"));
        let warnings: Vec<_> = warnings.collect();
        let on_the_host = usize::from(set == "host-network");
        assert_eq!(warnings.len(), on_the_host, "{set}: {applied}");
        let is_of_pods = |line: &&str| line.contains("would violate PodSecurity");
        assert!(warnings.iter().all(is_of_pods), "{set}: {applied}");

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

/// Both containers of a pod see this, and nobody else does.
const SOCKET: &str = "/run/migration-warden/listener.sock";

/// The container that keeps the listening socket can do that and nothing else, and `kubectl logs` is about
/// the other one.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_listening_socket_has_a_container_of_its_own() {
    let space = Space::new();
    for rendered in rendered(&space) {
        let set = &*rendered.set;
        let template = &rendered.one("Deployment")["spec"]["template"];
        let spec = &template["spec"];
        let [server, holder] = [&spec["containers"][0], &spec["containers"][1]];
        let socket = format!("--socket={SOCKET}");
        assert_eq!(holder["args"], json!(["hold-listener", socket]), "{set}");
        assert_eq!(holder["image"], server["image"], "{set}");
        assert_eq!(
            holder["securityContext"], server["securityContext"],
            "{set}"
        );
        let run = json!([{"name": "run", "mountPath": "/run/migration-warden"}]);
        assert_eq!(holder["volumeMounts"], run, "{set}");
        let volumes = spec["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == "run");
        let memory = json!({"medium": "Memory", "sizeLimit": "1Mi"});
        assert_eq!(volume.unwrap()["emptyDir"], memory, "{set}");
        let default =
            &template["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"];
        assert_eq!(default, &server["name"], "{set}");
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
            format!("--listener-holder={SOCKET}"),
            format!("--admin-listen=[::]:{admin}"),
            "--cluster=in-cluster".to_owned(),
            format!("--webhook-configuration={fullname}"),
            format!("--excluded-namespaces={}", outside(&space, set).join(",")),
        ];
        let mut mounts = vec!["/run/migration-warden", "/etc/migration-warden/policy"];
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

/// Reviews come from addresses that no selector knows; who scrapes is known.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_value_narrows_who_reaches_the_admin_port_and_no_other() {
    let space = Space::new();
    let monitoring = json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]);
    let mut narrowed = Vec::new();
    for rendered in rendered(&space) {
        let policies = rendered.of("NetworkPolicy");
        let Some(policy) = policies.first() else {
            continue;
        };
        let admits = |port: &str| {
            let rules = policy["spec"]["ingress"].as_array().unwrap();
            let rules = rules.iter().filter(|rule| rule["ports"][0]["port"] == port);
            rules.map(|rule| rule["from"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(admits("https"), [Value::Null], "{}", rendered.set);
        let from = admits("admin");
        if from == [Value::Null] {
            continue;
        }
        assert_eq!(from, std::slice::from_ref(&monitoring), "{}", rendered.set);
        narrowed.push(rendered.set);
    }
    assert_eq!(narrowed, ["strict"]);
}
