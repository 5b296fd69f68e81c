//! Argo CD's own sync engine: its hooks run under the rules, one migration at a time.
//!
//! The engine's `agent` syncs a git repository without the rest of Argo CD, which would put a tracking id on what it
//! applies. So a Job with Helm's annotations has one here. The agent reads the live objects once, when a sync begins,
//! and so it never learns that a hook has ended: what comes after the hook is not tested.

use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::running;
use crate::harness::{Chart, Cluster, Guarded, NodeKind, Outcome, Space, Warden, eventually};

const POLICY: &str = "rules: {missing-hook: {action: deny, argocd: true}, wrong-delete-policy: {action: deny, argocd: true}}\n";

/// A hook with Argo CD's annotations.
fn own(chart: Chart) -> Chart {
    chart
        .with(
            "\"helm.sh/hook\": pre-install,pre-upgrade",
            "argocd.argoproj.io/hook: PreSync",
        )
        .with(
            "\"helm.sh/hook-delete-policy\": before-hook-creation,hook-succeeded",
            "argocd.argoproj.io/hook-delete-policy: BeforeHookCreation,HookSucceeded",
        )
}

fn generated(chart: Chart) -> Chart {
    chart.with(
        "name: \"{{ .Release.Name }}-migrate-{{ now | unixEpoch }}\"",
        "generateName: app-migrate-",
    )
}

/// A git repository with a migration and what it is for.
struct Repository {
    dir: TempDir,
    namespace: String,
}

impl Repository {
    fn of(space: &Space) -> Self {
        let repository = Self {
            dir: TempDir::new().unwrap(),
            namespace: space.name().to_owned(),
        };
        repository.git(&["init", "--quiet"]);
        repository
    }

    /// Commits this migration, for a version of its own. Confined to a namespace, the agent wants it written.
    fn commit(&self, chart: &Chart, version: u32) {
        let app = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\ndata: {{version: \"{version}\"}}\n"
        );
        let metadata = format!("metadata:\n  namespace: {}\n", self.namespace);
        for (file, text) in [("app.yaml", app), ("migrate.yaml", chart.render("app"))] {
            let text = text.replacen("metadata:\n", &metadata, 1);
            fs::write(self.dir.path().join(file), text).unwrap();
        }
        self.git(&["add", "."]);
        let message = version.to_string();
        self.git(&["commit", "--quiet", "--message", &message]);
    }

    fn git(&self, args: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=e2e", "-c", "user.email=e2e@example.com"])
            .args(args)
            .current_dir(self.dir.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        Outcome::of(&mut git, "").succeeds();
    }
}

/// The engine's agent, which syncs when it starts; dropping it ends it.
struct Agent {
    process: Child,
    dir: TempDir,
}

impl Agent {
    fn start(space: &Space, repository: &Repository) -> Self {
        let dir = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let port = free.unwrap().port();
        let log = File::create(dir.path().join("stderr")).unwrap();
        let cluster = Cluster::get();
        let process = cluster
            .gitops_agent()
            .arg(repository.dir.path())
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig())
            .args(["--namespaced", "--default-namespace", space.name()])
            .args(["--resync-seconds", "3600", "--port", &port.to_string()])
            .env("PATH", env::var_os("PATH").unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, dir }
    }

    /// What it has logged.
    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("stderr")).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The decisions on Jobs that were created and have this verdict.
fn decisions(space: &Guarded, verdict: &str) -> Vec<Value> {
    let mut decisions = space.warden.decisions();
    decisions.retain(|d| d["phase"] == "validate" && d["verdict"] == verdict);
    decisions
}

/// The Job that is so, once there is one.
fn job(space: &Space, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || space.jobs().into_iter().find(|job| is(job)))
}

fn name(job: &Value) -> &str {
    job["metadata"]["name"].as_str().unwrap()
}

/// Syncs two commits of this hook, the second by an agent that starts while the first one's migration runs.
fn hooks_run_one_at_a_time(hook: impl Fn(Chart) -> Chart) {
    let space = Space::on(NodeKind::Real);
    let space = Guarded::by(Warden::with(POLICY).cluster().serve(), space, |webhooks| {
        webhooks
    });
    let repository = Repository::of(&space);

    repository.commit(&hook(running("sleep 10")), 1);
    let agent = Agent::start(&space, &repository);
    let first = job(&space, "the first migration to run", |job| {
        job["status"]["ready"] == 1
    });
    let first = name(&first);
    repository.commit(&hook(running("echo migrated")), 2);
    let other = Agent::start(&space, &repository);

    let is_complete = |job: &Value| job["status"]["completionTime"].is_string();
    let ended = job(&space, "the first to end", |job| {
        name(job) == first && is_complete(job)
    });
    let second = job(&space, "the second to end", |job| {
        name(job) != first && is_complete(job)
    });
    let (ended, created) = (
        &ended["status"]["completionTime"],
        &second["metadata"]["creationTimestamp"],
    );
    // Both are UTC in whole seconds, so they compare as text.
    assert!(
        ended.as_str() <= created.as_str(),
        "{created} is before {ended}"
    );
    for agent in [&agent, &other] {
        let log = agent.log();
        assert!(!log.contains("ailed"), "{log}");
    }

    let allowed = decisions(&space, "allowed");
    let decided: Vec<_> = allowed.iter().map(|decision| &decision["job"]).collect();
    assert_eq!(decided, [first, name(&second)]);
    for decision in &allowed {
        assert_eq!(decision["deployer"], "argo-cd", "{decision:#}");
        assert_eq!(decision["release"]["name"], "app", "{decision:#}");
    }
    let waiting = decisions(&space, "waiting");
    assert!(!waiting.is_empty(), "none waited");
    for decision in waiting {
        let findings = decision["findings"].as_array().unwrap();
        let found = findings.iter().find(|found| found["rule"] == "MW101");
        let detail = found.unwrap()["detail"].as_str().unwrap();
        assert!(detail.contains(first), "{detail}");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_hook_with_a_generate_name() {
    hooks_run_one_at_a_time(|chart| generated(own(chart)));
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_hook_with_a_timestamp_in_its_name() {
    hooks_run_one_at_a_time(own);
}

/// As an Argo CD user gets it from a Helm chart.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_hook_of_helms_with_a_generate_name() {
    let tracked =
        "annotations:\n    argocd.argoproj.io/tracking-id: shop:batch/Job:shop/app-migrate";
    hooks_run_one_at_a_time(|chart| generated(chart).with("annotations:", tracked));
}
