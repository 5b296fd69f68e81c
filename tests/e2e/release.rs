//! The chart, installed, upgraded and taken away. Whether its pods do their work is the real node's to tell;
//! here no pod ever starts, which is a webhook that is down.
//!
//! The chart's entries are for the whole cluster, and other tests run in it: selectors that match these
//! tests' Jobs alone keep them apart, and without endpoints the apiserver gives up on other entries at once.

mod net;

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{CHART, Chart, Helm, Outcome, Space, epoch, eventually};

const CONFIGURATIONS: [&str; 2] = [
    "validatingwebhookconfiguration",
    "mutatingwebhookconfiguration",
];

/// All that the chart makes but pods, which go with their Deployment.
const KINDS: &str = "serviceaccounts,secrets,configmaps,services,deployments,roles,rolebindings,\
    poddisruptionbudgets,networkpolicies,clusterroles,clusterrolebindings,flowschemas,\
    prioritylevelconfigurations,validatingwebhookconfigurations,mutatingwebhookconfigurations,\
    validatingadmissionpolicies,validatingadmissionpolicybindings";

/// A release of the chart in a namespace of its own, which gives it its name.
struct Release {
    helm: Helm,
    space: Space,
    values: TempDir,
}

impl Release {
    /// Installs it with these values besides those that keep it to itself.
    fn install(helm: Helm, more: &[&str]) -> Self {
        let (space, values) = (Space::new(), TempDir::new().unwrap());
        let own = json!({
            "fullnameOverride": space.name(),
            "policy": {"match": {"selectors": [{"matchLabels": {"release-test": space.name()}}]}},
            "nodeSelector": {"none": "such"},
            // Of the whole cluster; `exceptions.rs` installs it.
            "crds": {"enabled": false},
        });
        fs::write(values.path().join("values.yaml"), own.to_string()).unwrap();
        let release = Self {
            helm,
            space,
            values,
        };
        release.run("install", more).succeeds();
        release
    }

    fn run(&self, verb: &str, more: &[&str]) -> Outcome {
        let values = self.values.path().join("values.yaml");
        let args = [
            verb,
            self.name(),
            CHART,
            "--values",
            values.to_str().unwrap(),
        ];
        self.space.helm(self.helm, &[&args, more].concat())
    }

    /// Of the namespace, the release and the objects.
    fn name(&self) -> &str {
        self.space.name()
    }

    fn entries(&self, configuration: &str) -> Vec<Value> {
        let mut found = self.space.get(configuration, self.name());
        serde_json::from_value(found["webhooks"].take()).unwrap()
    }

    /// Creates this chart's Job in that namespace.
    fn create(&self, space: &Space, chart: Chart, migration: bool) -> Outcome {
        let label = format!(
            "release-test: \"{}\"",
            if migration { self.name() } else { "" }
        );
        let chart = chart.with("app.kubernetes.io/component: migration", &label);
        space.kubectl_with(
            &["create", "-f", "-"],
            &chart.render(&format!("app-{}", epoch())),
        )
    }

    fn may(&self, verb: &str, what: &str) -> bool {
        let user = format!("system:serviceaccount:{0}:{0}", self.name());
        let answer = self
            .space
            .kubectl(&["auth", "can-i", verb, what, "--as", &user]);
        answer.stdout.trim() == "yes"
    }

    fn left(&self) -> String {
        let label = format!("app.kubernetes.io/instance={}", self.name());
        let args = [
            "get",
            KINDS,
            "--all-namespaces",
            "--selector",
            &label,
            "--output",
            "name",
        ];
        self.space.kubectl(&args).succeeds().stdout
    }
}

/// A test that fails leaves no configuration behind that is in the others' way.
impl Drop for Release {
    fn drop(&mut self) {
        let _ = self.space.helm(self.helm, &["uninstall", self.name()]);
    }
}

/// Helm 3 merges three ways and Helm 4 applies on the server: neither may take away what the template does not
/// name, on an upgrade or a rollback.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_the_replicas_wrote_survives() {
    for helm in Helm::BOTH {
        let release = Release::install(helm, &["--set", "webhooks.detection.enabled=false"]);
        let space = &release.space;
        let secret = format!("{}-tls", release.name());

        // As the replicas do.
        for configuration in CONFIGURATIONS {
            let patch: Vec<_> = (0..release.entries(configuration).len())
                .map(|i| json!({"op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": "Q0E="}))
                .collect();
            let patch = Value::from(patch).to_string();
            let args = [
                "patch",
                configuration,
                release.name(),
                "--type=json",
                "--patch",
                &patch,
            ];
            space.kubectl(&args).succeeds();
        }
        let keys = json!({"ca.crt": "Q0E=", "tls.crt": "Y2VydA==", "tls.key": "a2V5"});
        let patch = json!({"data": keys}).to_string();
        space
            .kubectl(&["patch", "secret", &secret, "--patch", &patch])
            .succeeds();

        let survived = |seconds: u8, what: &str| {
            for configuration in CONFIGURATIONS {
                for entry in release.entries(configuration) {
                    assert_eq!(
                        entry["clientConfig"]["caBundle"], "Q0E=",
                        "{helm:?} {what}: {entry:#}"
                    );
                    if entry["failurePolicy"] == "Fail" {
                        assert_eq!(entry["timeoutSeconds"], seconds, "{helm:?} {what}");
                    }
                }
            }
            assert_eq!(
                space.get("secret", &secret)["data"],
                keys,
                "{helm:?} {what}"
            );
        };
        survived(5, "written");
        let more = [
            "--set",
            "webhooks.detection.enabled=false,webhooks.timeoutSeconds=4,policy.profile=strict",
        ];
        let template =
            |space: &Space| space.get("deployment", release.name())["spec"]["template"].clone();
        let before = template(space);
        release.run("upgrade", &more).succeeds();
        survived(4, "upgraded");
        // Another policy starts no pod anew.
        assert_eq!(template(space), before);
        space
            .helm(helm, &["rollback", release.name(), "1"])
            .succeeds();
        survived(5, "rolled back");
    }
}

/// What NOTES.txt says to do when all else fails, and how it is undone.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn deleted_entries_come_back() {
    for helm in Helm::BOTH {
        let release = Release::install(helm, &["--set", "webhooks.detection.enabled=false"]);
        let both = CONFIGURATIONS.join(",");
        release
            .space
            .kubectl(&["delete", &both, release.name()])
            .succeeds();
        release
            .run("upgrade", &["--set", "webhooks.detection.enabled=false"])
            .succeeds();
        for configuration in CONFIGURATIONS {
            assert!(!release.entries(configuration).is_empty(), "{helm:?}");
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn replicas_may_do_this_and_no_more() {
    // kubectl asks about kinds that it knows.
    let _crd = crate::exceptions::crd::installed();
    let release = Release::install(Helm::V4, &["--set", "webhooks.detection.enabled=false"]);
    let name = release.name();
    let (secret, own) = (
        format!("secret/{name}-tls"),
        format!("mutatingwebhookconfiguration/{name}"),
    );
    for (verb, what) in [
        ("get", "namespaces"),
        ("list", "namespaces"),
        ("watch", "namespaces"),
        ("list", &own),
        ("watch", &own),
        ("patch", &own),
        ("get", &secret),
        ("update", &secret),
        ("get", "migrationexceptions.migration-warden.io"),
        ("list", "migrationexceptions.migration-warden.io"),
        ("watch", "migrationexceptions.migration-warden.io"),
        ("get", "migrationruns.migration-warden.io"),
        ("list", "migrationruns.migration-warden.io"),
        ("create", "migrationruns.migration-warden.io"),
        ("update", "migrationruns.migration-warden.io"),
        ("delete", "migrationruns.migration-warden.io"),
        ("create", "events.events.k8s.io"),
        ("patch", "events.events.k8s.io"),
        ("get", "jobs"),
        ("list", "jobs"),
        ("watch", "jobs"),
        ("patch", "jobs"),
        ("delete", "jobs"),
        ("list", "pods"),
        ("get", "leases"),
        ("list", "leases"),
        ("create", "leases"),
        ("update", "leases"),
        ("patch", "leases"),
        ("delete", "leases"),
    ] {
        assert!(release.may(verb, what), "{verb} {what}");
    }
    for (verb, what) in [
        ("patch", "namespaces"),
        ("delete", &*own),
        ("create", "mutatingwebhookconfigurations"),
        ("patch", "mutatingwebhookconfiguration/another"),
        ("delete", &secret),
        ("list", "secrets"),
        ("get", "secret/another"),
        ("create", "jobs"),
        ("update", "jobs"),
        ("get", "pods"),
        ("delete", "pods"),
        ("watch", "leases"),
        ("get", "configmaps"),
        ("create", "migrationexceptions.migration-warden.io"),
        ("patch", "migrationexceptions.migration-warden.io"),
        ("watch", "migrationruns.migration-warden.io"),
        ("patch", "migrationruns.migration-warden.io"),
        ("list", "events.events.k8s.io"),
    ] {
        assert!(!release.may(verb, what), "{verb} {what}");
    }
}

/// Helm 3 takes away the Service and the Deployment first, and the entries last. An uninstall that is
/// interrupted in between refuses migrations, and nothing else, until it is run again.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn an_interrupted_uninstall_stops_migrations_alone() {
    for helm in Helm::BOTH {
        let release = Release::install(helm, &[]);
        let other = Space::new();
        let refused = eventually("the entries to take effect", || {
            let created = release.create(&other, Chart::good(), true);
            (created.code != Some(0)).then_some(created)
        });
        refused.says("failed calling webhook \"mutate.migration-warden.io\"");
        release
            .space
            .kubectl(&["delete", "service,deployment", release.name()])
            .succeeds();
        let refused = release.create(&other, Chart::good(), true).fails();
        refused.says("failed calling webhook \"mutate.migration-warden.io\"");

        // All other Jobs are sent for detection, and do not wait for it.
        let asked = Instant::now();
        release
            .create(&other, Chart::broken(), false)
            .succeeds()
            .never_says("Warning");
        let took = asked.elapsed();
        eprintln!("{helm:?}: an ordinary Job took {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        // Not even migrations in its own namespace, which could be in the way of a repair.
        release
            .create(&release.space, Chart::good(), true)
            .succeeds();

        release
            .space
            .helm(helm, &["uninstall", release.name()])
            .succeeds();
        assert_eq!(release.left(), "", "{helm:?}");
        eventually("the entries to be gone", || {
            (release.create(&other, Chart::good(), true).code == Some(0)).then_some(())
        });
    }
}
