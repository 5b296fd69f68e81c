//! The chart as a user installs it, on a node that runs its pods: the whole path from the apiserver through
//! the Service to a replica and back.
//!
//! Its entries are for the whole cluster, so these tests run alone, after all others.

mod certificates;
mod claims;
mod crash;
mod down;
mod history;
mod load;
mod parts;
mod runs;

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde_json::Value;

use crate::harness::{BREACHES, CHART, Chart, Cluster, Helm, NodeKind, Outcome, Space};
use crash::replicas;
use load::Load;

/// Of the namespace, the release and the objects, as the docs have it.
const NAME: &str = "migration-warden";

const CONFIGURATIONS: [&str; 2] = [
    "validatingwebhookconfiguration",
    "mutatingwebhookconfiguration",
];

/// What the kernel may count for an idle replica.
const MAX_IDLE_MIB: u64 = 17;

/// A release of the chart. Dropped, it is uninstalled, whatever the test came to.
struct Install {
    helm: Helm,
    cluster: &'static Cluster,
}

impl Install {
    fn new(helm: Helm, values: &[&str]) -> Self {
        let cluster = Cluster::get();
        cluster.wants(NodeKind::Real);
        let install = Self { helm, cluster };
        install.install(values).succeeds();
        install
    }

    fn install(&self, values: &[&str]) -> Outcome {
        let args = ["install", NAME, CHART, "--create-namespace"];
        let wait = ["--wait", "--timeout", "90s"];
        self.helm(&[&args, &wait[..], values].concat())
    }

    fn upgrade(&self, values: &[&str]) -> Outcome {
        let args = ["upgrade", NAME, CHART, "--wait", "--timeout", "90s"];
        self.helm(&[&args, values].concat())
    }

    fn helm(&self, args: &[&str]) -> Outcome {
        let mut command = self.cluster.helm(self.helm);
        Outcome::of(command.args(args).args(["--namespace", NAME]), "")
    }

    fn kubectl(&self, args: &[&str]) -> Outcome {
        self.kubectl_with(args, "")
    }

    /// With a manifest on standard input, for `-f -`.
    fn kubectl_with(&self, args: &[&str], stdin: &str) -> Outcome {
        let mut command = self.cluster.kubectl();
        Outcome::of(command.args(args).args(["--namespace", NAME]), stdin)
    }

    fn get(&self, kind: &str, name: &str) -> Value {
        self.kubectl(&["get", kind, name, "-o", "json"])
            .succeeds()
            .json()
    }

    /// A rolling restart, an upgrade that makes new pods, another number of replicas, crashes, another policy,
    /// another CA. Says when the crashes were.
    fn change(&self, round: u32) -> Vec<Timestamp> {
        let restart = ["rollout", "restart", "deployment", NAME];
        self.kubectl(&restart).succeeds();
        self.is_rolled_out();
        let (level, replicas, action) = if round.is_multiple_of(2) {
            ("debug", 3, "warn")
        } else {
            ("info", 2, "audit")
        };
        let pods = format!("logLevel={level},replicaCount={replicas}");
        self.upgrade(&["--set", &pods]).succeeds();
        // Each may cost what is in a process's hands at that moment, so one of each kind has to do.
        let crashes = if round == 0 {
            crash::crashes(self)
        } else {
            Vec::new()
        };
        let policy = format!("{pods},policy.detection.maxAction={action}");
        self.upgrade(&["--set", &policy]).succeeds();
        load::rotate(self);
        crashes
    }

    fn is_rolled_out(&self) {
        let rolled = ["rollout", "status", "deployment", NAME, "--timeout=90s"];
        self.kubectl(&rolled).succeeds();
    }

    /// Whom the apiserver is told to trust, by each entry of both configurations; empty for nobody.
    fn bundles(&self) -> Vec<String> {
        let bundles = CONFIGURATIONS.iter().flat_map(|kind| {
            let mut found = self.get(kind, NAME);
            serde_json::from_value::<Vec<Value>>(found["webhooks"].take()).unwrap()
        });
        bundles
            .map(|mut entry| {
                let bundle = entry["clientConfig"]["caBundle"].take();
                let bundle: Option<ByteString> = serde_json::from_value(bundle).unwrap();
                String::from_utf8(bundle.unwrap_or_default().0).unwrap()
            })
            .collect()
    }

    /// The decisions in the pods' logs, as long as they are there.
    fn decisions(&self) -> Vec<Value> {
        let label = format!("app.kubernetes.io/instance={NAME}");
        let logs = self.kubectl(&["logs", "--selector", &label, "--tail=-1"]);
        let lines = logs.succeeds().stdout;
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["kind"] == "decision")
            .collect()
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        if thread::panicking() {
            let label = format!("app.kubernetes.io/instance={NAME}");
            for args in [
                &["get", "pods", "-o", "wide"][..],
                &["logs", "--selector", &label, "--prefix", "--tail=40"],
                &["get", "events"],
            ] {
                eprintln!("{}", self.kubectl(args));
            }
        }
        let _ = self.helm(&["uninstall", NAME, "--wait"]);
        let _ = self.kubectl(&["delete", "namespace", NAME]);
    }
}

fn resident_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Good charts get in, each breach is refused in its words, and it is all gone afterwards.
fn installs_judges_and_goes(helm: Helm) {
    let space = Space::on(NodeKind::Real);
    let old = parts::old(&space);
    let install = Install::new(helm, &[]);
    for with in Helm::BOTH {
        let release = with.release("good");
        space.install(with, &release, &Chart::good()).succeeds();
        for breach in BREACHES {
            let refused = space
                .install(
                    with,
                    &with.release(&breach.id.to_lowercase()),
                    &breach.chart(),
                )
                .fails();
            refused.says("admission webhook \"mutate.migration-warden.io\" denied the request");
            refused.says(breach.id);
        }
        let decisions = install.decisions();
        let allowed = decisions.iter().find(|decision| {
            decision["verdict"] == "allowed" && decision["release"]["name"] == *release
        });
        assert!(allowed.is_some(), "{decisions:#?}");
    }
    install.helm(&["test", NAME]).succeeds();
    parts::guards(&space);
    parts::claims(&space, &old);
    parts::exceptions(&space);

    let replicas = replicas();
    assert_eq!(replicas.len(), 2);
    for replica in replicas {
        let mib = resident_mib(replica);
        eprintln!("{helm:?}: a replica has {mib} MiB resident");
        assert!(mib <= MAX_IDLE_MIB, "{mib} MiB");
    }
    every_permission_is_used(&install);

    install.helm(&["uninstall", NAME, "--wait"]).succeeds();
    space
        .install(helm, "unguarded", &BREACHES[3].chart())
        .succeeds();
}

/// Every verb that the roles grant was needed, by the apiserver's own account.
fn every_permission_is_used(install: &Install) {
    let account = format!("system:serviceaccount:{NAME}:{NAME}");
    let used: BTreeSet<(String, String)> = install
        .cluster
        .audit_of(&account)
        .iter()
        .filter(|event| event["responseStatus"]["code"].as_u64() < Some(300))
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &event["objectRef"];
            let resource = match object["subresource"].as_str() {
                Some(part) => format!("{}/{part}", text(&object["resource"])),
                None => text(&object["resource"]),
            };
            (text(&event["verb"]), resource)
        })
        .collect();
    // Nothing here is ten minutes old, no release has twenty runs, every migration starts, and no claim is in the way of
    // another Job; the tests of tidy-up, of runs and of claims see these.
    let unseen = [
        ("delete", "jobs"),
        ("delete", "migrationruns"),
        ("patch", "jobs"),
        ("update", "leases"),
    ];
    let unseen = unseen.map(|(verb, kind)| (verb.to_owned(), kind.to_owned()));
    for role in ["clusterrole", "role"] {
        let role = install.get(role, NAME);
        for rule in role["rules"].as_array().unwrap() {
            for resource in rule["resources"].as_array().unwrap() {
                for verb in rule["verbs"].as_array().unwrap() {
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    let permission = (text(verb), text(resource));
                    assert!(
                        unseen.contains(&permission) || used.contains(&permission),
                        "{permission:?} is not among {used:?}"
                    );
                }
            }
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn with_no_values_by_helm_3() {
    installs_judges_and_goes(Helm::V3);
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn with_no_values_by_helm_4() {
    installs_judges_and_goes(Helm::V4);
}

/// Steady creates through everything that is done to an installation, and through crashes: once, or again and again for
/// as many minutes as `MW_LOAD_MINUTES` says.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn nothing_is_lost_while_it_changes() {
    let minutes = std::env::var("MW_LOAD_MINUTES").map_or(0, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_mins(minutes);
    let install = Install::new(Helm::V4, &[]);
    let space = Space::on(NodeKind::Real);
    let before = load::failed_open(&install);
    let load = Load::start(&space);
    let mut crashes = Vec::new();
    for round in 0.. {
        crashes.extend(install.change(round));
        if Instant::now() > end {
            break;
        }
    }
    let mut done = load.stop();
    eprintln!("{} creates, {:?} the slowest", done.creates, done.slowest);
    let lost = done.take_in_flight(&crashes);
    eprintln!("{} crashes lost in flight: {lost:#?}", crashes.len());
    assert!(done.wrong.is_empty(), "{:#?}", done.wrong);
    assert!(done.creates > 100, "{} creates", done.creates);
    assert_eq!(load::failed_open(&install), before);
}
