//! Steady creates, and the change of CA under them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use migration_warden::core::pki::{make::Ca, rotation::Material};
use serde_json::json;

use super::{Install, NAME};
use crate::harness::{Chart, Cluster, Outcome, RESTARTING_POD, Space};

/// Creates a good Job and a broken one in turns, as dry runs, until it is stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Done>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Done {
    pub(super) creates: u32,
    pub(super) slowest: Duration,
    /// When it was asked for, and what came.
    pub(super) wrong: Vec<(Timestamp, String)>,
}

impl Load {
    pub(super) fn start(space: &Space) -> Self {
        let (stop, namespace) = (Arc::new(AtomicBool::new(false)), space.name().to_owned());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut done = Done::default();
            while !stopped.load(Ordering::Relaxed) {
                done.create(&namespace, &Chart::good(), |o| o.code == Some(0));
                done.create(&namespace, &RESTARTING_POD.chart(), |o| {
                    o.stderr.contains("denied the request: MW004")
                });
            }
            done
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Done {
    /// Takes out what a process had in its hands when it was killed, which nobody can answer: one create at
    /// most, that was asked for just before.
    pub(super) fn take_in_flight(&mut self, crashes: &[Timestamp]) -> Vec<String> {
        let lost = crashes.iter().filter_map(|crash| {
            let just_before = *crash - SignedDuration::from_millis(500)..*crash;
            let index = self.wrong.iter().position(|(asked, said)| {
                said.contains("failed calling webhook") && just_before.contains(asked)
            })?;
            Some(self.wrong.remove(index).1)
        });
        lost.collect()
    }

    fn create(&mut self, namespace: &str, chart: &Chart, right: impl Fn(&Outcome) -> bool) {
        let (at, asked) = (Timestamp::now(), Instant::now());
        let mut kubectl = Cluster::get().kubectl();
        kubectl.args([
            "create",
            "--dry-run=server",
            "--field-manager=helm",
            "-f",
            "-",
            "--namespace",
            namespace,
        ]);
        let outcome = Outcome::of(&mut kubectl, &chart.render("load"));
        self.creates += 1;
        self.slowest = self.slowest.max(asked.elapsed());
        if !right(&outcome) {
            self.wrong.push((at, outcome.to_string()));
        }
    }
}

/// How often the apiserver let something in without an answer.
pub(super) fn failed_open(install: &Install) -> u64 {
    let metrics = install
        .kubectl(&["get", "--raw", "/metrics"])
        .succeeds()
        .stdout;
    metrics
        .lines()
        .filter(|line| {
            line.starts_with("apiserver_admission_webhook_fail_open_count{")
                && line.contains("migration-warden.io")
        })
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// Makes the replicas take another CA into use. A day goes by between publishing a CA and its first
/// certificate; here a CA that is two days old is published first, and its key is given to them then.
pub(super) fn rotate(install: &Install) {
    let secret = format!("{NAME}-tls");
    let day = SignedDuration::from_hours(24);
    let ca = Ca::make("migration-warden CA", Timestamp::now() - day * 2, day * 365).unwrap();
    let kept = kept(install, &secret);
    let patch = |key: &str, text: String| {
        let data = json!({"data": {key: ByteString(text.into_bytes())}}).to_string();
        install
            .kubectl(&["patch", "secret", &secret, "--patch", &data])
            .succeeds();
    };
    patch("ca.crt", kept.ca_certs.clone() + ca.cert_pem());
    let published = || {
        let bundles = install.bundles();
        bundles.iter().all(|bundle| bundle.contains(ca.cert_pem()))
    };
    // A replica looks at the Secret every 10 s.
    wait("the CA to be published", || published().then_some(()));
    patch("next-ca.key", ca.key_pem());
    let signing = wait("the CA to sign", || {
        let now = self::kept(install, &secret);
        (now.ca_key == ca.key_pem() && now.cert != kept.cert).then_some(now)
    });
    assert!(signing.ca_certs.contains(&kept.ca_certs));
    // All of them show it, and are believed.
    thread::sleep(Duration::from_secs(12));
}

/// As `eventually`, for what takes a look at the Secret or two.
fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let mut tries = 0;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        tries += 1;
        assert!(tries < 180, "waited 90 s in vain for {what}");
        thread::sleep(Duration::from_millis(500));
    }
}

fn kept(install: &Install, secret: &str) -> Material {
    let mut secret = install.get("secret", secret);
    let data: Option<BTreeMap<String, ByteString>> =
        serde_json::from_value(secret["data"].take()).unwrap();
    Material::from_data(data.as_ref())
}
