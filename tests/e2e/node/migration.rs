//! An image whose one program stands for every migration tool, and which of its pods are active at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use crate::harness::{Cluster, Outcome, Space, api, within};

/// Takes a moment.
pub(super) const BRIEF: &str = "rig.local/app:brief";
/// Takes as long as a test needs to do something meanwhile.
pub(super) const SLOW: &str = "rig.local/app:slow";
/// Fails.
pub(super) const FAILING: &str = "rig.local/app:failing";

/// How long pods may take with many others beside them.
const PATIENCE: Duration = Duration::from_secs(90);

/// How the images are called in containers: all that the public charts run, and the entry point.
const PROGRAMS: [&str; 15] = [
    "bin/bash",
    "bin/bundle",
    "bin/dagster",
    "bin/docker-entrypoint-migrator.sh",
    "bin/hydra",
    "bin/keto",
    "bin/kratos",
    "bin/migrate",
    "bin/pnpm",
    "bin/python",
    "bin/sentry",
    "bin/sh",
    "bin/snuba",
    "harbor/harbor_core",
    "hatchet/hatchet-admin",
];

/// The node has the images from here on.
pub(super) fn images() {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for (image, then) in [
            (BRIEF, "sleep 2"),
            (SLOW, "sleep 8"),
            (FAILING, "sleep 3; exit 3"),
        ] {
            image_of(folder.path(), image, then);
        }
    });
}

fn image_of(folder: &Path, image: &str, then: &str) {
    let (program, archive) = (folder.join("program"), folder.join("image.tar"));
    let script = format!("#!/bin/busybox sh\necho \"$0 $*\"\n/bin/busybox {then}\n");
    fs::write(&program, script).unwrap();
    let packer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/mkimg.py");
    let mut pack = Command::new("python3");
    pack.arg(packer).arg(&archive).arg(image);
    pack.arg("/bin/busybox=/bin/busybox");
    for name in PROGRAMS {
        pack.arg(format!("{}=/{name}", program.display()));
    }
    pack.args(["--", "/bin/migrate"]);
    Outcome::of(&mut pack, "").succeeds();
    let mut import = Cluster::get().ctr();
    import.args(["images", "import"]).arg(&archive);
    Outcome::of(&mut import, "").succeeds();
}

/// Looks at the pods of all Jobs again and again, until it is dropped.
pub(super) struct Watch {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    pods: Mutex<Pods>,
}

#[derive(Default)]
struct Pods {
    /// Name of the migration that each Job of a namespace belongs to, of those that are looked at.
    namespaces: BTreeMap<String, fn(&str) -> &str>,
    /// Names of the Jobs with a container that runs.
    running: BTreeMap<String, BTreeSet<String>>,
    /// Names and UIDs of the Jobs that have been active.
    jobs: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Which were active together.
    together: BTreeMap<String, BTreeSet<String>>,
}

impl Watch {
    pub(super) fn begin() -> Self {
        let seen = Arc::new(Seen::default());
        let looking = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            while !looking.is_over.load(Ordering::Relaxed) {
                let pods = api::pods_of_jobs();
                let mut seen = looking.pods.lock().unwrap_or_else(PoisonError::into_inner);
                seen.see(&pods);
                drop(seen);
                thread::sleep(Duration::from_millis(200));
            }
        });
        Self {
            seen,
            thread: Some(thread),
        }
    }

    /// From now on, Jobs of the namespace for which this is the same must not be active at once.
    pub(super) fn one_at_a_time(&self, space: &Space, migration: fn(&str) -> &str) {
        let name = space.name().to_owned();
        self.pods(|pods| pods.namespaces.insert(name, migration));
    }

    fn pods<T>(&self, ask: impl FnOnce(&mut Pods) -> T) -> T {
        ask(&mut self
            .seen
            .pods
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until a Job of the namespace runs that is not one of these.
    pub(super) fn runs(&self, space: &Space, except: &BTreeSet<(String, String)>) -> String {
        within(
            PATIENCE,
            &format!("a migration of {} to run", space.name()),
            || {
                self.pods(|pods| {
                    let running = pods.running.get(space.name())?;
                    let mut jobs = pods.jobs.get(space.name())?.iter();
                    let job = jobs.find(|job| running.contains(&job.0) && !except.contains(job))?;
                    Some(job.0.clone())
                })
            },
        )
    }

    /// Waits until none runs.
    pub(super) fn rests(&self, space: &Space) {
        within(PATIENCE, "the migrations to end", || {
            self.pods(|pods| {
                let running = pods.running.get(space.name());
                running.is_none_or(BTreeSet::is_empty).then_some(())
            })
        });
    }

    /// Names and UIDs of the Jobs that have been active so far.
    pub(super) fn jobs(&self, space: &Space) -> BTreeSet<(String, String)> {
        self.pods(|pods| pods.jobs.get(space.name()).cloned().unwrap_or_default())
    }

    /// Which were active together so far.
    pub(super) fn together(&self, space: &Space) -> BTreeSet<String> {
        self.pods(|pods| pods.together.get(space.name()).cloned().unwrap_or_default())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Pods {
    fn see(&mut self, pods: &[Value]) {
        self.running.clear();
        let mut active: BTreeMap<(&str, &str), BTreeSet<(&str, &str)>> = BTreeMap::new();
        for pod in pods {
            let label = |name: &str| pod["metadata"]["labels"][name].as_str();
            let namespace = pod["metadata"]["namespace"].as_str().unwrap();
            let Some(migration) = self.namespaces.get(namespace) else {
                continue;
            };
            let (Some(job), Some(uid), true) = (
                label("batch.kubernetes.io/job-name"),
                label("batch.kubernetes.io/controller-uid"),
                is_active(pod),
            ) else {
                continue;
            };
            let of = active.entry((namespace, migration(job))).or_default();
            of.insert((job, uid));
            let all = self.jobs.entry(namespace.to_owned()).or_default();
            all.insert((job.to_owned(), uid.to_owned()));
            if runs(pod) {
                let running = self.running.entry(namespace.to_owned()).or_default();
                running.insert(job.to_owned());
            }
        }
        for ((namespace, _), jobs) in active.into_iter().filter(|(_, jobs)| jobs.len() > 1) {
            let together = self.together.entry(namespace.to_owned()).or_default();
            together.insert(format!("{jobs:?}"));
        }
    }
}

fn runs(pod: &Value) -> bool {
    ["initContainerStatuses", "containerStatuses"]
        .iter()
        .flat_map(|of| pod["status"][of].as_array().into_iter().flatten())
        .any(|container| container["state"]["running"].is_object())
}

/// Whether it runs, or is still to run: one that is being deleted is not.
fn is_active(pod: &Value) -> bool {
    let is_going = !pod["metadata"]["deletionTimestamp"].is_null();
    let is_over = pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
    runs(pod) || !is_going && !is_over
}
