//! Each of the guide's four rules, broken, stops the release, and the message says what to write.

use crate::harness::{
    BREACHES, Breach, Chart, Guarded, Helm, MISSING_HOOK, RESTARTING_POD, Space,
    UNTIMESTAMPED_NAME, WRONG_DELETE_POLICY,
};

/// What all of this is for: without the webhook nobody stops any of them.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn without_the_webhook_every_breach_installs() {
    let space = Space::new();
    for helm in Helm::BOTH {
        for breach in &BREACHES {
            let release = helm.release(breach.id);
            space.install(helm, &release, &breach.chart()).succeeds();
        }
    }
}

/// Breaks one rule, with both Helms and with kubectl.
fn denied(breach: &Breach) {
    let space = Guarded::with("");
    let line = format!("{} {}: ", breach.id, breach.name);
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let refused = space.install(helm, &release, &breach.chart()).fails();
        refused
            .says(".migration-warden.io\" denied the request: ")
            .says(&line)
            .says(breach.remedy);
        // Nothing but the denied finding.
        for other in BREACHES.iter().filter(|other| other.id != breach.id) {
            refused.never_says(other.id);
        }
        assert!(
            space
                .kubectl(&["get", "deployment", &release])
                .fails()
                .stdout
                .is_empty()
        );
    }
    space.rejects(&breach.chart().render("app"), &[&line, "(Forbidden)"]);
    assert!(space.jobs().is_empty(), "{:?}", space.jobs());
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn untimestamped_name() {
    denied(&UNTIMESTAMPED_NAME);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn missing_hook() {
    denied(&MISSING_HOOK);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn wrong_delete_policy() {
    denied(&WRONG_DELETE_POLICY);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn restarting_pod() {
    denied(&RESTARTING_POD);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn all_findings_are_reported_at_once() {
    let space = Guarded::with("");
    let ids = BREACHES.map(|breach| breach.id);
    for helm in Helm::BOTH {
        let refused = space.install(helm, "app", &Chart::broken()).fails();
        for id in ids {
            refused.says(id);
        }
        space.helm(helm, &["uninstall", "app"]).succeeds();
    }
    space
        .rejects(&Chart::broken().render("app"), &ids)
        .says("(Forbidden)");
    // A client that reads the status finds each one by itself.
    let events = space.audit("create");
    let causes = events.last().unwrap()["responseStatus"]["details"]["causes"].clone();
    let reasons: Vec<_> = causes
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| &cause["reason"])
        .collect();
    assert_eq!(reasons, ids, "{causes:#}");
}

/// A chart upgraded to a worse one keeps running as it was.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn an_upgrade_is_denied_and_the_release_stays() {
    let space = Guarded::with("");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &Chart::good()).succeeds();
        space
            .upgrade(helm, &release, &RESTARTING_POD.chart())
            .fails()
            .says("MW004");
        assert_eq!(space.get("configmap", &release)["data"]["version"], "1");
    }
}

/// Only the mutating phase sees such a Job: the apiserver refuses it before the validating one.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn missing_restart_policy_is_explained() {
    let manifest = Chart::good().without("restartPolicy").render("app");
    // The apiserver's own answer, which says nothing of why.
    let alone = Space::new();
    let refused = alone
        .kubectl_with(&["create", "-f", "-"], &manifest)
        .fails();
    refused
        .says("spec.template.spec.restartPolicy: Required value")
        .never_says("MW004");

    let space = Guarded::with("");
    let refused = space.rejects(&manifest, &["MW004 restarting-pod: ", "(Forbidden)"]);
    refused
        .says("\"mutate.migration-warden.io\" denied")
        .never_says("Required value");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let chart = Chart::good().without("restartPolicy");
        space
            .install(helm, &release, &chart)
            .fails()
            .says("MW004 restarting-pod: ");
    }
}
