//! Who keeps a Job as desired state: what runs no hooks is admitted with one warning, and left as it is.

use serde_json::Value;

use crate::claims::{guarded, is_created, waits};
use crate::harness::{Chart, Guarded, Outcome, eventually, rules};

/// The ways in which what runs no hooks sends a Job, and what the decision says of them.
const WITHOUT_HOOKS: [(&str, &[&str]); 4] = [
    (
        "kustomize-controller",
        &[
            "apply",
            "--server-side",
            "--field-manager=kustomize-controller",
        ],
    ),
    ("kubectl", &["apply"]),
    ("kubectl", &["apply", "--server-side"]),
    ("kubectl", &["create", "--field-manager=kubectl-create"]),
];

fn sent(space: &Guarded, how: &[&str], manifest: &str) -> (Outcome, Value) {
    let created = space.kubectl_with(&[how, &["-o", "json", "-f", "-"]].concat(), manifest);
    let created = created.succeeds();
    let job = created.json();
    (created, job)
}

/// The lines in which something of ours is told.
fn warnings(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.stderr.lines();
    lines
        .filter(|line| line.starts_with("Warning: MW"))
        .collect()
}

/// The Job is as its deployer sent it, and only MW002 says something about it.
pub(crate) fn assert_left_alone(job: &Value, decision: &Value, deployer: &str) {
    let ttl = &job["spec"]["ttlSecondsAfterFinished"];
    let patched = &job["metadata"]["annotations"]["migration-warden.io/patched"];
    assert_eq!((ttl, patched), (&Value::Null, &Value::Null), "{job:#}");
    assert_eq!(decision["deployer"], deployer, "{decision:#}");
    assert_eq!(
        (rules(decision), &decision["verdict"]),
        (vec!["MW002"], &"warned".into())
    );
}

/// A time to live would run the migration again: F22.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_deployer_without_hooks_is_warned_of_and_its_job_left_alone() {
    let policy = "rules: {wrong-delete-policy: patch, untimestamped-name: patch, retried-migration: off, no-deadline: off}\n";
    let space = Guarded::with(policy);
    for (i, (deployer, how)) in WITHOUT_HOOKS.into_iter().enumerate() {
        // Of Helm it would be refused for its name, hook and delete policy.
        let chart = Chart::broken().with("restartPolicy: OnFailure", "restartPolicy: Never");
        let (created, job) = sent(&space, how, &chart.render(&format!("app-{i}")));
        let [warning] = warnings(&created)[..] else {
            panic!("one warning: {created}")
        };
        assert!(
            warning.starts_with("Warning: MW002 metadata.annotations['helm.sh/hook']: "),
            "{warning}"
        );
        assert!(
            warning.contains(&format!(
                "{deployer} deploys this Job and does not run hooks; "
            )),
            "{warning}"
        );
        let annotations = &job["metadata"]["annotations"];
        assert_eq!(
            annotations["helm.sh/hook-delete-policy"],
            "before-hook-creation"
        );
        assert_left_alone(&job, &space.decision(&format!("app-{i}")), deployer);
    }
    // Programs that embed Helm have names of their own.
    let good = Chart::good().render("own");
    let (created, job) = sent(
        &space,
        &["create", "--field-manager=terraform-provider-helm"],
        &good,
    );
    assert_eq!(warnings(&created), Vec::<&str>::new());
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 604_800);
    assert_eq!(space.decision("own")["deployer"], "helm");
}

/// `kubectl create job --from=cronjob/…`: F26.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_made_of_a_cron_job_by_hand_gets_advice_for_that() {
    let space = Guarded::with("rules: {retried-migration: off, no-deadline: off}\n");
    let cron = r#"{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": {
        "schedule": "0 3 * * *", "jobTemplate": {
            "metadata": {"labels": {"app.kubernetes.io/component": "migration", "app.kubernetes.io/instance": "shop"}},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
                {"name": "m", "image": "rig.local/busybox:1", "command": ["/bin/migrate"]}]}}}}}}"#;
    space.kubectl_with(&["create", "-f", "-"], cron).succeeds();
    let args = ["create", "job", "by-hand", "--from=cronjob/nightly"];
    let created = space.kubectl(&args).succeeds();
    let [warning] = warnings(&created)[..] else {
        panic!("one warning: {created}")
    };
    assert!(
        warning.contains("started by hand from a CronJob"),
        "{warning}"
    );
    assert!(
        warning.ends_with("make changes in the CronJob's spec.jobTemplate"),
        "{warning}"
    );
}

/// Argo CD's own hook, and one of Helm's, which Argo CD takes for its own.
const HOOKS: [[&str; 2]; 2] = [
    [
        "argocd.argoproj.io/hook: PreSync",
        "argocd.argoproj.io/hook-delete-policy: BeforeHookCreation,HookSucceeded",
    ],
    [
        "helm.sh/hook: pre-install,pre-upgrade",
        "helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded",
    ],
];

/// Two commits of one hook are one migration: F23.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn two_commits_of_a_hook_of_argo_cd_are_one_migration() {
    let space = guarded(
        "rules: {missing-hook: {action: deny, argocd: true}, wrong-delete-policy: {action: deny, argocd: true}}\n",
    );
    let name = "name: \"{{ .Release.Name }}-migrate-{{ now | unixEpoch }}\"";
    for (app, [hook, delete_policy]) in ["own", "helms"].into_iter().zip(HOOKS) {
        let commit = |commit: &str, seconds: &str| {
            let named = format!(
                "generateName: {app}-migrate-\n  name: {app}-migrate-{commit}-presync-{seconds}"
            );
            Chart::good()
                .with(name, &named)
                .with(
                    "\"helm.sh/hook\": pre-install,pre-upgrade",
                    &format!("argocd.argoproj.io/tracking-id: shop:batch/Job:shop/app\n    {hook}"),
                )
                .with(
                    "\"helm.sh/hook-delete-policy\": before-hook-creation,hook-succeeded",
                    delete_policy,
                )
                .with("spec:\n  template", "spec:\n  suspend: true\n  template")
                .render(app)
        };
        let held = is_created(&space, &commit("abcdef0", "1766361600"));
        assert_eq!(held["spec"]["ttlSecondsAfterFinished"], 604_800);
        let told = waits(&space, &commit("0123456", "1766361777"));
        assert!(
            told.contains(&format!(
                "{app}-migrate-abcdef0-presync-1766361600 is suspended"
            )),
            "{told}"
        );
        let decision = eventually("the decision", || {
            let decision = space.decision(&format!("{app}-migrate-abcdef0"));
            (decision["phase"] == "validate").then_some(decision)
        });
        assert_eq!(decision["deployer"], "argo-cd", "{decision:#}");
    }
}
