//! A namespace of a test's own.

use std::{
    process::{self, Child, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Chart, Cluster, Helm, NodeKind, Outcome,
    api::{self, Tried},
    epoch, eventually, within,
};

/// A fresh namespace; dropping it deletes it, without waiting.
pub(crate) struct Space {
    name: String,
    cluster: &'static Cluster,
}

impl Space {
    /// On a node whose Jobs complete at once.
    pub(crate) fn new() -> Self {
        Self::on(NodeKind::Kwok)
    }

    pub(crate) fn on(kind: NodeKind) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let cluster = Cluster::get();
        cluster.wants(kind);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("e2e-{}-{}-{count}", epoch(), process::id());
        let space = Self { name, cluster };
        space
            .kubectl(&["create", "namespace", &space.name])
            .succeeds();
        space
    }

    /// Once the namespaces of earlier tests are gone: what becomes of their Jobs would be counted too. What a
    /// finalizer holds stays as it is.
    pub(crate) fn alone_on(kind: NodeKind) -> Self {
        let space = Self::on(kind);
        let is_leaving = |namespace: &Value| {
            let conditions = namespace["status"]["conditions"].as_array();
            let is_held = conditions.into_iter().flatten().any(|condition| {
                condition["type"] == "NamespaceFinalizersRemaining" && condition["status"] == "True"
            });
            namespace["status"]["phase"] == "Terminating" && !is_held
        };
        let limit = Duration::from_secs(120);
        within(limit, "namespaces of earlier tests to be gone", || {
            let args = ["get", "namespaces", "-o", "json"];
            let all = space.kubectl(&args).succeeds().json();
            let mut all = all["items"].as_array().unwrap().iter();
            (!all.any(is_leaving)).then_some(())
        });
        space
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn kubectl(&self, args: &[&str]) -> Outcome {
        self.kubectl_with(args, "")
    }

    /// With a manifest on standard input, for `-f -`. What is created so is sent as Helm sends it, by name: kubectl
    /// runs no hooks, and is judged by that.
    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn kubectl_with(&self, args: &[&str], stdin: &str) -> Outcome {
        self.kubectl_in(&self.name, args, stdin)
    }

    /// What the API server would answer to the creation of this Job, sent by name as Helm sends it.
    pub(crate) fn try_to_create(&self, job: &str) -> Tried {
        api::try_to_create(&self.name, job)
    }

    /// In another namespace than this one.
    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn kubectl_in(&self, namespace: &str, args: &[&str], stdin: &str) -> Outcome {
        let mut command = self.cluster.kubectl();
        command.args(args).args(["--namespace", namespace]);
        let is_named = args.iter().any(|arg| arg.starts_with("--field-manager="));
        if args.first() == Some(&"create") && args.contains(&"-f") && !is_named {
            command.arg("--field-manager=helm");
        }
        Outcome::of(&mut command, stdin)
    }

    /// For objects that say which namespace they are in.
    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn kubectl_anywhere(&self, args: &[&str], stdin: &str) -> Outcome {
        Outcome::of(self.cluster.kubectl().args(args), stdin)
    }

    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn helm(&self, helm: Helm, args: &[&str]) -> Outcome {
        let mut command = self.cluster.helm(helm);
        command.args(args).args(["--namespace", &self.name]);
        // It asks no cluster, and a Helm built from its Go module renders for Kubernetes 1.20.
        if args.first() == Some(&"template") {
            command.args(["--kube-version", "1.37.0"]);
        }
        Outcome::of(&mut command, "")
    }

    /// Puts this label on the namespace, over what is there.
    pub(crate) fn label(&self, label: &str) {
        let args = ["label", "--overwrite", "namespace", &self.name, label];
        self.kubectl(&args).succeeds();
    }

    /// Gives this user a cluster role, by a binding with this name.
    pub(crate) fn bind(&self, binding: &str, role: &str, user: &str) {
        let args = ["create", "clusterrolebinding", binding];
        let whom = ["--clusterrole", role, "--user", user];
        self.kubectl(&[&args[..], &whom].concat()).succeeds();
    }

    /// Merges this into a Job, or with `--subresource` as one more argument into a part of it.
    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn patch(&self, job: &str, patch: &Value, more: &[&str]) -> Outcome {
        let patch = patch.to_string();
        let args = ["patch", "job", job, "--type=merge", "--patch", &patch];
        self.kubectl(&[&args[..], more].concat())
    }

    /// Waits until a migration that breaks every rule would get in.
    pub(crate) fn becomes_mild(&self) {
        eventually("the mode to be known", || {
            let args = ["create", "--dry-run=server", "-f", "-"];
            let tried = self.kubectl_with(&args, &Chart::broken().render("mild"));
            (tried.code == Some(0)).then_some(())
        });
    }

    /// Installs or upgrades, and does not wait for it: it can be killed in the middle.
    pub(crate) fn begin(&self, helm: Helm, verb: &str, release: &str, chart: &TempDir) -> Child {
        let mut command = self.cluster.helm(helm);
        command
            .args([verb, release, "--namespace", &self.name])
            .arg(chart.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    }

    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn install(&self, helm: Helm, release: &str, chart: &Chart) -> Outcome {
        let dir = chart.write();
        let path = dir.path().to_str().unwrap();
        self.helm(helm, &["install", release, path, "--timeout", "60s"])
    }

    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn upgrade(&self, helm: Helm, release: &str, chart: &Chart) -> Outcome {
        let dir = chart.write();
        let path = dir.path().to_str().unwrap();
        self.helm(
            helm,
            &[
                "upgrade",
                release,
                path,
                "--timeout",
                "60s",
                "--set",
                "version=2",
            ],
        )
    }

    /// The audit events for requests with this verb on this namespace's Jobs themselves.
    pub(crate) fn audit(&self, verb: &str) -> Vec<Value> {
        let mut events = self.cluster.audit(&self.name);
        events.retain(|event| event["verb"] == verb && event["objectRef"]["subresource"].is_null());
        events
    }

    /// What the apiserver wrote of this namespace's mutating webhook in this round: whether the object
    /// was changed; nothing when it was not called.
    pub(crate) fn mutated(&self, event: &Value, round: u8) -> Option<bool> {
        let prefix = format!("mutation.webhook.admission.k8s.io/round_{round}_index_");
        event["annotations"]
            .as_object()?
            .iter()
            .find_map(|(key, value)| {
                let call: Value = serde_json::from_str(value.as_str()?).ok()?;
                let ours = key.starts_with(&prefix) && call["configuration"] == *self.name;
                ours.then(|| call["mutated"].as_bool())?
            })
    }

    /// The live Jobs.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        api::all(api::JOBS, &self.name)
    }

    /// The live Jobs of this release.
    pub(crate) fn jobs_of(&self, release: &str) -> Vec<Value> {
        let mut jobs = self.jobs();
        jobs.retain(|job| job["metadata"]["labels"]["app.kubernetes.io/instance"] == *release);
        jobs
    }

    /// The live object.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Value {
        self.kubectl(&["get", kind, name, "-o", "json"])
            .succeeds()
            .json()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
