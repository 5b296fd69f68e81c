//! The chart with cert-manager, which the test itself stands in for.

use k8s_openapi::ByteString;
use migration_warden::core::pki::make::Ca;
use serde_json::{Value, json};

use super::{DNS_NAME, ca, leaf};
use crate::harness::{CHART, Chart, Cluster, NodeKind, Outcome, Space, eventually};
use crate::install::{CONFIGURATIONS, Install, NAME};

/// cert-manager's kinds, which hold anything here.
struct Definitions(&'static Cluster);

impl Definitions {
    const NAMES: [&str; 2] = ["certificates.cert-manager.io", "issuers.cert-manager.io"];

    fn install() -> Self {
        let anything = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let definition = |kind: &str| {
            let (singular, plural) = (kind.to_lowercase(), format!("{}s", kind.to_lowercase()));
            json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.cert-manager.io")},
                "spec": {
                    "group": "cert-manager.io",
                    "scope": "Namespaced",
                    "names": {"kind": kind, "singular": singular, "plural": plural},
                    "versions": [{"name": "v1", "served": true, "storage": true, "schema": anything}],
                },
            })
        };
        let items = ["Certificate", "Issuer"].map(definition);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let definitions = Self(Cluster::get());
        let mut kubectl = definitions.0.kubectl();
        Outcome::of(kubectl.args(["apply", "-f", "-"]), &list).succeeds();
        let mut kubectl = definitions.0.kubectl();
        kubectl.args(["wait", "--for=condition=Established", "crd"]);
        Outcome::of(kubectl.args(Self::NAMES), "").succeeds();
        definitions
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        let mut kubectl = self.0.kubectl();
        let _ = Outcome::of(kubectl.args(["delete", "crd"]).args(Self::NAMES), "");
    }
}

/// Stands in for cert-manager's controller: makes the Secret of the Certificate that both configurations
/// name. Returns its CA.
fn issue(install: &Install) -> Ca {
    let named = CONFIGURATIONS.map(|kind| {
        let annotations = install.get(kind, NAME)["metadata"]["annotations"].take();
        annotations["cert-manager.io/inject-ca-from"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(named[0], named[1]);
    let (namespace, name) = named[0].split_once('/').unwrap();
    assert_eq!(namespace, NAME);
    let certificate = install.get("certificates.cert-manager.io", name);
    assert_eq!(certificate["spec"]["dnsNames"], json!([DNS_NAME]));
    let ca = ca("stand-in for an issuer");
    let secret = certificate["spec"]["secretName"].as_str().unwrap();
    install.put_secret(secret, ca.cert_pem(), &leaf(&ca));
    ca
}

/// Stands in for cert-manager's cainjector.
fn inject(install: &Install, ca: &Ca) {
    let bundle = ByteString(ca.cert_pem().as_bytes().to_vec());
    for kind in CONFIGURATIONS {
        let entries = install.get(kind, NAME)["webhooks"]
            .as_array()
            .unwrap()
            .len();
        let operation = |entry| {
            let path = format!("/webhooks/{entry}/clientConfig/caBundle");
            json!({"op": "add", "path": path, "value": bundle})
        };
        let patch = (0..entries).map(operation).collect::<Value>().to_string();
        install
            .kubectl(&["patch", kind, NAME, "--type=json", "--patch", &patch])
            .succeeds();
    }
}

/// There is no cert-manager here. The kinds it defines are defined as holding anything, and the test itself
/// does what cert-manager would: it makes the Secret of the chart's Certificate, and writes caBundle where
/// the annotation asks for it. That cert-manager does so too is not tested.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_stand_in_for_cert_manager() {
    let _definitions = Definitions::install();
    let install = Install::before();
    let writes = || {
        let account = format!("system:serviceaccount:{NAME}:{NAME}");
        let events = install.cluster.audit_of(&account);
        let writes = events.iter().filter(|event| {
            let what = event["objectRef"]["resource"].as_str().unwrap_or_default();
            event["verb"] == "patch" && what.ends_with("webhookconfigurations")
        });
        writes.count()
    };
    let before = writes();
    // No `--wait`: the pods wait for a Secret that is made from what this creates.
    let args = [
        "install",
        NAME,
        CHART,
        "--set",
        "certificates.mode=cert-manager",
    ];
    install.helm(&args).succeeds();
    let ca = issue(&install);
    install.runs();
    let space = Space::on(NodeKind::Real);
    let untrusted = space.install(install.helm, "untrusted", &Chart::good());
    untrusted
        .fails()
        .says("x509: certificate signed by unknown authority");
    assert!(install.bundles().iter().all(String::is_empty));

    inject(&install, &ca);
    eventually("the apiserver to know whom to trust", || {
        let good = Chart::good().render("trusted");
        let created = space.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &good);
        (created.code == Some(0)).then_some(())
    });
    install.judges(&space, "trusted");
    let bundles = install.bundles();
    assert!(
        bundles.iter().all(|bundle| bundle == ca.cert_pem()),
        "{bundles:#?}"
    );
    assert_eq!(writes(), before);
}
