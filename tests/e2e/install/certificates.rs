//! The chart's other ways to a certificate, and the apiserver's own certificate.

mod cert_manager;

use std::{fs, process::Command, thread, time::Duration};

use jiff::{SignedDuration, Timestamp};
use migration_warden::core::pki::make::{Ca, Leaf};
use serde_json::{Value, json};

use super::{Install, NAME, load::Load};
use crate::harness::{Chart, Cluster, Helm, NodeKind, Outcome, RESTARTING_POD, Space, eventually};

const DNS_NAME: &str = "migration-warden.migration-warden.svc";
const DAY: SignedDuration = SignedDuration::from_hours(24);
const PODS: &str = "app.kubernetes.io/instance=migration-warden";

fn ca(name: &str) -> Ca {
    Ca::make(name, Timestamp::now(), DAY).unwrap()
}

fn leaf(ca: &Ca) -> Leaf {
    let names = [DNS_NAME.to_owned()];
    ca.leaf(NAME, &names, Timestamp::now(), DAY).unwrap()
}

impl Install {
    /// The namespace alone, for what has to be there before the chart.
    fn before() -> Self {
        let cluster = Cluster::get();
        cluster.wants(NodeKind::Real);
        let helm = Helm::V4;
        let install = Self { helm, cluster };
        install.kubectl(&["create", "namespace", NAME]).succeeds();
        install
    }

    fn put_secret(&self, name: &str, ca_certs: &str, leaf: &Leaf) {
        let data = json!({"ca.crt": ca_certs, "tls.crt": leaf.cert_pem, "tls.key": leaf.key_pem});
        self.put("Secret", name, "stringData", &data);
    }

    fn put(&self, kind: &str, name: &str, field: &str, data: &Value) {
        let object =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: data});
        self.kubectl_with(&["apply", "-f", "-"], &object.to_string())
            .succeeds();
    }

    /// Where reviews are taken, by pod.
    fn addresses(&self) -> Vec<String> {
        let pods = self.kubectl(&["get", "pods", "--selector", PODS, "-o", "json"]);
        let pods = pods.succeeds().json();
        let pods = pods["items"].as_array().unwrap().iter();
        pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| format!("{}:8443", pod["status"]["podIP"].as_str().unwrap()))
            .collect()
    }

    /// Each pod shows this certificate to whoever calls now.
    fn shows(&self, leaf: &Leaf) -> bool {
        self.addresses().iter().all(|address| {
            let mut openssl = Command::new("openssl");
            openssl.args(["s_client", "-connect", address]);
            Outcome::of(&mut openssl, "")
                .stdout
                .contains(leaf.cert_pem.trim())
        })
    }

    fn restart(&self) {
        self.kubectl(&["rollout", "restart", "deployment", NAME])
            .succeeds();
        self.runs();
    }

    fn runs(&self) {
        self.kubectl(&["rollout", "status", "deployment", NAME, "--timeout=90s"])
            .succeeds();
    }

    /// Waits for what mounted files bring about. The kubelet looks at a pod's Secrets every minute, and
    /// whenever the pod changes.
    fn mounted(&self, what: &str, holds: impl Fn() -> bool) {
        eventually(what, || {
            let touched = format!("touched={}", Timestamp::now().as_second());
            let args = ["annotate", "pods", "--selector", PODS, "--overwrite"];
            self.kubectl(&[&args[..], &[&touched]].concat()).succeeds();
            thread::sleep(Duration::from_millis(500));
            holds().then_some(())
        });
    }

    /// A good migration gets in and a broken one does not, by the word of these pods.
    fn judges(&self, space: &Space, release: &str) {
        space.install(self.helm, release, &Chart::good()).succeeds();
        let broken = format!("{release}-broken");
        let refused = space.install(self.helm, &broken, &RESTARTING_POD.chart());
        refused
            .fails()
            .says("admission webhook \"mutate.migration-warden.io\" denied the request: MW004");
        let decisions = self.decisions();
        for (release, verdict) in [(release, "allowed"), (&broken, "denied")] {
            let made = decisions.iter().any(|decision| {
                decision["verdict"] == verdict && decision["release"]["name"] == release
            });
            assert!(made, "{verdict} {release} is not among {decisions:#?}");
        }
    }
}

/// The Secret is replaced by one of another CA, under steady creates.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_secret_of_the_users_own() {
    let secret = "warden-cert";
    let (old, new) = (ca("old CA"), ca("new CA"));
    let (old_leaf, new_leaf) = (leaf(&old), leaf(&new));
    let install = Install::before();
    install.put_secret(secret, old.cert_pem(), &old_leaf);
    let values = "certificates.mode=existing-secret,certificates.existingSecret=warden-cert";
    install.install(&["--set", values]).succeeds();
    let told = |ca_certs: &str| install.bundles().iter().all(|bundle| bundle == ca_certs);
    assert!(told(old.cert_pem()), "{:#?}", install.bundles());
    assert!(install.shows(&old_leaf));
    let space = Space::on(NodeKind::Real);
    install.judges(&space, "before");

    let load = Load::start(&space);
    let both = old.cert_pem().to_owned() + new.cert_pem();
    install.put_secret(secret, &both, &old_leaf);
    install.mounted("both CAs to be trusted", || told(&both));
    install.put_secret(secret, &both, &new_leaf);
    install.mounted("the new certificate", || install.shows(&new_leaf));
    install.put_secret(secret, new.cert_pem(), &new_leaf);
    // The apiserver keeps connections, so only new pods make it look at the new certificate.
    install.restart();
    let done = load.stop();
    eprintln!("{} creates, {:?} the slowest", done.creates, done.slowest);
    assert!(done.wrong.is_empty(), "{:#?}", done.wrong);
    assert!(done.creates > 20, "{} creates", done.creates);
    assert!(install.shows(&new_leaf));
    // As the docs say: until another CA is added.
    assert!(told(&both), "{:#?}", install.bundles());
}

/// `tests/cluster/up` gives the apiserver a certificate for the chart's Service. It is heard when it shows
/// that and its CA is the one that is asked for, and else no migration gets in.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn only_the_apiserver_may_ask() {
    let install = Install::before();
    let file = |name: &str| install.cluster.file(name).to_str().unwrap().to_owned();
    let known = fs::read_to_string(file("webhook-client-ca.crt")).unwrap();
    install.put("ConfigMap", "callers", "data", &json!({"ca.crt": known}));
    let stranger = json!({"ca.crt": ca("another CA").cert_pem()});
    install.put("Secret", "strangers", "stringData", &stranger);
    install
        .install(&["--set", "certificates.clientCA.configMapName=callers"])
        .succeeds();
    let space = Space::on(NodeKind::Real);
    install.judges(&space, "known");
    for address in install.addresses() {
        let url = format!("https://{address}/validate");
        let call = |with: &[&str]| {
            let mut curl = Command::new("curl");
            curl.args(["--insecure", "--silent", "--show-error", &url]);
            Outcome::of(curl.args(with), "")
        };
        let (cert, key) = (file("webhook-client.crt"), file("webhook-client.key"));
        call(&["--cert", &cert, "--key", &key]).succeeds();
        call(&[]).fails();
    }

    let refused = |values: &str, why: &str| {
        install.upgrade(&["--set", values]).succeeds();
        for chart in [Chart::good(), RESTARTING_POD.chart()] {
            let args = ["create", "--dry-run=server", "-f", "-"];
            // Go may notice that the connection was closed before it reads why.
            eventually(why, || {
                let refused = space.kubectl_with(&args, &chart.render("refused")).fails();
                refused.says("failed calling webhook \"mutate.migration-warden.io\"");
                let alert = format!("remote error: tls: {why}");
                refused.stderr.contains(&alert).then_some(())
            });
        }
    };
    refused(
        "certificates.clientCA.secretName=strangers",
        "unknown certificate authority",
    );
    // The apiserver has no certificate for a Service of this name.
    refused(
        "certificates.clientCA.configMapName=callers,fullnameOverride=warden",
        "certificate required",
    );
}
