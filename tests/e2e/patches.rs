//! What can be put right on the way in.

use crate::harness::{
    Chart, Guarded, Helm, RESTARTING_POD, Space, UNTIMESTAMPED_NAME, WRONG_DELETE_POLICY, Webhooks,
    epoch,
};

const RESTART: &str = "rules: {restarting-pod: patch}\n";
const POLICY: &str = "rules: {wrong-delete-policy: patch}\n";
const RENAME: &str = "rules: {untimestamped-name: {action: patch, rename: true}}\n";

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn restarting_pod_is_set_to_never() {
    let space = Guarded::with(RESTART);
    let job = space.patches(&RESTARTING_POD.chart().render("app"), "MW004");
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
    assert_eq!(space.decision("app-migrate")["verdict"], "allowed");
    let patched = space.warden.decision("patched", |d| d["phase"] == "mutate");
    assert_eq!(patched["verdict"], "patched", "{patched:#}");
    assert_eq!(
        patched["patch"][0]["path"], "/spec/template/spec/restartPolicy",
        "{patched:#}"
    );
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space
            .install(helm, &release, &RESTARTING_POD.chart())
            .succeeds();
    }
}

/// From Kubernetes 1.35 on, what a container says overrides its pod.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_containers_own_restarts_are_taken_away() {
    let space = Guarded::with(RESTART);
    let chart = Chart::good().with(
        "        - name: migrate\n",
        "        - name: migrate
          restartPolicy: OnFailure
          restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]\n",
    );
    let job = space.patches(&chart.render("app"), "MW004");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["restartPolicy"], "Never", "{container:#}");
    assert!(container["restartPolicyRules"].is_null(), "{container:#}");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &chart).succeeds();
    }
}

/// Without the patch the apiserver would refuse it (`denials::missing_restart_policy_is_explained`).
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn missing_restart_policy_is_rescued() {
    let space = Guarded::with(RESTART);
    let chart = Chart::good().without("restartPolicy");
    let job = space.patches(&chart.render("app"), "MW004");
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &chart).succeeds();
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn wrong_delete_policy_is_set() {
    const KEY: &str = "helm.sh/hook-delete-policy";
    const RIGHT: &str = "before-hook-creation,hook-succeeded";
    let space = Guarded::with(POLICY);
    let job = space.patches(&WRONG_DELETE_POLICY.chart().render("app"), "MW003");
    assert_eq!(job["metadata"]["annotations"][KEY], RIGHT);
    // There was nothing to replace.
    let chart = Chart::good().without("hook-delete-policy");
    let job = space.patches(&chart.render("bare"), "MW003");
    assert_eq!(job["metadata"]["annotations"][KEY], RIGHT);
    // Helm goes by the chart, so this Job stays, and shows what was stored.
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space
            .install(helm, &release, &WRONG_DELETE_POLICY.chart())
            .succeeds();
        let job = &space.jobs_of(&release)[0];
        assert_eq!(job["metadata"]["annotations"][KEY], RIGHT, "{job:#}");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_generated_name_gets_its_timestamp() {
    let chart = Chart::good().with(
        r#"name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}""#,
        "generateName: app-",
    );
    let before = epoch();
    let space = Guarded::with("rules: {untimestamped-name: patch}\n");
    let job = space.patches(&chart.render("app"), "MW001");
    let name = job["metadata"]["name"].as_str().unwrap();
    let time = name
        .strip_prefix("app-")
        .unwrap()
        .get(..10)
        .and_then(|time| time.parse().ok());
    let time: u64 = time.unwrap_or_else(|| panic!("no timestamp in {name}"));
    assert!((before..=epoch()).contains(&time), "{name}");
    // The same without the patch.
    Guarded::with("").rejects(&chart.render("app"), &["MW001 untimestamped-name: "]);
}

/// A client-side create gets back what was stored, so it can live with another name.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_client_side_create_is_renamed() {
    let space = Guarded::with(RENAME);
    let job = space.patches(&UNTIMESTAMPED_NAME.chart().render("app"), "MW001");
    let name = job["metadata"]["name"].as_str().unwrap();
    assert!(
        name.starts_with("app-migrate-1") && name.len() == "app-migrate-".len() + 10,
        "{name}"
    );
    assert_eq!(space.get("job", name)["metadata"]["name"], name);

    space
        .install(Helm::V3, "three", &UNTIMESTAMPED_NAME.chart())
        .succeeds();
    let created = space.audit("create");
    let name = created.last().unwrap()["responseObject"]["metadata"]["name"].clone();
    assert!(
        name.as_str().unwrap().starts_with("three-migrate-1"),
        "{name}"
    );
}

/// There the apiserver would store an object whose key and name differ.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_server_side_apply_is_never_renamed() {
    let space = Guarded::with(RENAME);
    let chart = UNTIMESTAMPED_NAME.chart();
    space
        .install(Helm::V4, "four", &chart)
        .fails()
        .says("MW001 untimestamped-name: ");
    let apply = ["apply", "--server-side", "--field-manager=helm", "-f", "-"];
    space
        .kubectl_with(&apply, &chart.render("app"))
        .fails()
        .says("MW001 untimestamped-name: ");
    // kubectl finds what it applied by name, so the next apply would make a second one. It runs no hooks, either.
    let apply = ["apply", "--dry-run=server", "-o", "json", "-f", "-"];
    let applied = space.kubectl_with(&apply, &chart.render("app")).succeeds();
    applied.warns("MW002");
    assert_eq!(applied.json()["metadata"]["name"], "app-migrate");
    let tracked = chart.with(
        "annotations:\n",
        "annotations:\n    argocd.argoproj.io/tracking-id: app:batch/Job:x/app-migrate\n",
    );
    space.rejects(&tracked.render("app"), &["MW001 untimestamped-name: "]);
    assert!(space.jobs().is_empty(), "{:?}", space.jobs());
}

/// `rename` is asked for by name: `patch` alone is not enough.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn nothing_is_renamed_unasked() {
    let space = Guarded::with("rules: {untimestamped-name: patch}\n");
    space.rejects(
        &UNTIMESTAMPED_NAME.chart().render("app"),
        &["MW001 untimestamped-name: "],
    );
}

/// A patch that does not apply would be a 500 for the user, whatever the failure policy.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn maps_that_are_not_there_are_no_trouble() {
    let policy =
        "rules: {missing-hook: 'off', restarting-pod: patch, wrong-delete-policy: patch}\n";
    let space = Guarded::with(policy);
    let bare = RESTARTING_POD
        .chart()
        .without("annotations:")
        .without("helm.sh/");
    // Not a hook Job, so not patched, but denied in our words.
    space.rejects(
        &bare.render("app"),
        &["MW004 restarting-pod: ", "(Forbidden)"],
    );

    // A Job without labels gets those of its pods; this one gets none at all.
    let space = Guarded::with("detection: {maxAction: deny}\nrules: {restarting-pod: patch}\n");
    let bare = RESTARTING_POD
        .chart()
        .without("labels:")
        .without("app.kubernetes.io/");
    let job = space.patches(&bare.render("app"), "MW004");
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
}

/// Another webhook after ours changes the Job, so the apiserver asks ours again: nothing more happens.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_second_call_changes_nothing() {
    let policy =
        "rules: {untimestamped-name: patch, restarting-pod: patch, wrong-delete-policy: 'off'}\n";
    let first = Guarded::over(Space::new(), policy, Webhooks::reinvoked);
    let later =
        "rules: {untimestamped-name: 'off', restarting-pod: 'off', wrong-delete-policy: patch}\n";
    let later = crate::harness::Warden::serve(later);
    let _second = Webhooks::of(&later).last().register(&first);

    let chart = RESTARTING_POD.chart();
    let chart = chart.with(
        r#"name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}""#,
        "generateName: app-",
    );
    let chart = chart.with(
        "before-hook-creation,hook-succeeded",
        "before-hook-creation",
    );
    let job = first.patches(&chart.render("app"), "MW004");
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
    let policy = &job["metadata"]["annotations"]["helm.sh/hook-delete-policy"];
    assert_eq!(policy, "before-hook-creation,hook-succeeded");
    let name = job["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        name.len(),
        "app-0123456789".len(),
        "one timestamp, not two: {name}"
    );

    let events = first.audit("create");
    let event = events.last().unwrap();
    let rounds = [first.mutated(event, 0), first.mutated(event, 1)];
    assert_eq!(
        rounds,
        [Some(true), Some(false)],
        "asked twice, changed once"
    );
    let patches = first
        .warden
        .decisions()
        .iter()
        .filter(|d| d["verdict"] == "patched")
        .count();
    assert_eq!(patches, 1, "{:#?}", first.warden.decisions());
}
