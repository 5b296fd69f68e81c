//! A namespace that takes no runs, and what was there before anything was recorded.

use std::time::Instant;

use super::*;
use crate::harness::{Recorder, Webhooks};

/// Another policy engine denies the runs of one namespace. What happens elsewhere is recorded.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_namespace_that_denies_runs_stops_no_other() {
    let _alone = alone();
    let (space, bad) = (Space::new(), Space::new());
    let replica = Replica::start(&space, "{}");
    let group = "admissionregistration.k8s.io/v1";
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": bad.name()}});
    let deny = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": bad.name()}, "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": ["migration-warden.io"], "apiVersions": ["*"],
                "operations": ["CREATE"], "resources": ["migrationruns"]}]},
            "validations": [{"expression": "has(object.metadata.labels) && 'owner' in object.metadata.labels", "message": "who owns it?"}]}},
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": bad.name()}, "spec": {
            "policyName": bad.name(), "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector}}},
    ]});
    let apply = ["create", "-f", "-"];
    space.kubectl_with(&apply, &deny.to_string()).succeeds();
    let probe = json!({"apiVersion": "migration-warden.io/v1alpha1", "kind": "MigrationRun",
        "metadata": {"name": "probe"}, "spec": {"job": {"name": "x", "uid": "x"},
            "release": {"name": "x", "source": "flux"}, "migration": "x", "deployer": "Flux",
            "reviewed": true, "attempt": 1}});
    eventually("the policy to be in force", || {
        let args = ["create", "--dry-run=server", "-f", "-"];
        let tried = bad.kubectl_with(&args, &probe.to_string());
        tried.stderr.contains("who owns it?").then_some(())
    });
    // More than are written at once.
    let denied: Vec<_> = (0..12)
        .map(|number| create(&bad, &own(&space, by_hand()), &format!("bad-{number}")))
        .collect();
    eventually("it to be said", || {
        let told = replica.trouble();
        let begin = format!(
            "runs of namespace {} are not recorded: failed to create runs: ",
            bad.name()
        );
        (told.starts_with(&begin) && told.ends_with("who owns it?")).then_some(())
    });
    for number in 0..3 {
        let job = running(&space, &format!("app-{number}"));
        complete(&space, &job);
        eventually("the run of another namespace", || {
            outcome(&space, &job).filter(|outcome| outcome == "Succeeded")
        });
    }
    assert!(runs(&bad).is_empty());
    let failed = replica.counted("run_writes_total{result=\"failed\"}");
    assert!(failed < 30, "{failed} tries");

    for kind in [
        "validatingadmissionpolicybinding",
        "validatingadmissionpolicy",
    ] {
        space.kubectl(&["delete", kind, bad.name()]).succeeds();
    }
    eventually("what waited to be recorded", || {
        (runs(&bad).len() == denied.len()).then_some(())
    });
    eventually("it to be over", || {
        replica.trouble().is_empty().then_some(())
    });
}

/// A webhook of one namespace answers nothing. Many runs wait for it, and those of others do not.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_namespace_whose_webhook_hangs_stops_no_other() {
    let _alone = alone();
    let (space, bad, recorder) = (Space::new(), Space::new(), Recorder::start());
    let webhooks = Webhooks::recorded_by(&recorder).of_runs().patient();
    let _registration = webhooks.register(&bad);
    let replica = Replica::start(&space, "{}");
    recorder.hold();
    let hung: Vec<_> = (0..12)
        .map(|number| create(&bad, &own(&space, by_hand()), &format!("bad-{number}")))
        .collect();
    eventually("the first to be under way", || {
        (!recorder.take().is_empty()).then_some(())
    });
    let job = running(&space, "app");
    let start = Instant::now();
    eventually("the run of another namespace", || outcome(&space, &job));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    let why = "the API server did not answer in time";
    let told = format!("runs of namespace {} are not recorded: {why}", bad.name());
    eventually("it to be said", || {
        (replica.trouble() == told).then_some(())
    });
    recorder.go_on();
    eventually("what waited to be recorded", || {
        (runs(&bad).len() == hung.len()).then_some(())
    });
    eventually("it to be over", || {
        replica.trouble().is_empty().then_some(())
    });
}

/// The first installation finds what has failed for years.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_ended_before_the_installation_alarms_nobody() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // With the kind, all runs of other tests go.
    let _crd = crd::absent();
    let space = Space::new();
    crd::install(&space);
    let old = running(&space, "old");
    fail(&space, &old, "BackoffLimitExceeded", "no such table");
    // Times are in whole seconds.
    thread::sleep(Duration::from_secs(2));
    let first = Replica::start(&space, "{}");
    let recorded = one(&space, "Failed");
    assert_eq!(
        (&recorded["spec"]["reviewed"], &recorded["spec"]["attempt"]),
        (&json!(false), &json!(1))
    );
    drop(first);
    // Nor does the next replica make news of it.
    let replica = Replica::start(&space, "{}");
    let new = running(&space, "new");
    fail(&space, &new, "BackoffLimitExceeded", "no such column");
    eventually_runs(&space, &["Failed", "Failed"]);
    let note = event(&space, "MigrationFailed")["note"].to_string();
    assert!(note.contains("no such column"), "{note}");
    for counted in [
        "runs_total{outcome=\"failed\"}",
        "unreviewed_migrations_total",
    ] {
        assert_eq!(replica.counted(counted), 1, "{counted}");
    }
    let events = space
        .kubectl(&["get", "events.events.k8s.io", "-o", "json"])
        .succeeds();
    assert!(!events.stdout.contains("no such table"));
}
