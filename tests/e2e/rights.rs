//! One permission missing, all others there: what becomes of the feature that needs it.

use std::{thread, time::Duration};

use kube::api::PostParams;
use serde_json::json;

use crate::claims::{self, again, endless, is_created, waits};
use crate::guards::{create, deletion, nowhere, running};
use crate::harness::{Chart, Guarded, Space, Warden, Webhooks, action, eventually, within};

/// What `serve` asks of a cluster in these tests: group, resource and verbs.
const RIGHTS: [(&str, &str, &[&str]); 5] = [
    ("", "namespaces", &["get", "list", "watch"]),
    ("batch", "jobs", &["get", "list", "watch", "patch"]),
    ("", "pods", &["list"]),
    (
        "coordination.k8s.io",
        "leases",
        &["get", "list", "create", "update", "patch", "delete"],
    ),
    (
        "migration-warden.io",
        "migrationexceptions",
        &["get", "list", "watch"],
    ),
];

/// A user who has all of them but this one.
pub(crate) fn without(space: &Space, resource: &str, verb: &str) -> String {
    let name = space.name();
    let rules = RIGHTS.iter().filter_map(|(group, of, verbs)| {
        let mut verbs = verbs.to_vec();
        verbs.retain(|had| *of != resource || *had != verb);
        let rule = json!({"apiGroups": [group], "resources": [of], "verbs": verbs});
        (!verbs.is_empty()).then_some(rule)
    });
    let rules: Vec<_> = rules.collect();
    let user = format!("all-but-one-{name}");
    let group = "rbac.authorization.k8s.io";
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
         "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
         "subjects": [{"apiGroup": group, "kind": "User", "name": user}]},
    ]});
    space
        .kubectl_with(&["create", "-f", "-"], &list.to_string())
        .succeeds();
    // The API server learns of a binding by a watch.
    let known = if resource == "namespaces" {
        "pods"
    } else {
        "namespaces"
    };
    eventually("the rights of the user", || {
        let asked = space.kubectl(&["auth", "can-i", "list", known, "-A", "--as", &user]);
        asked.stdout.contains("yes").then_some(())
    });
    user
}

fn guarded(resource: &str, verb: &str) -> Guarded {
    let space = Space::new();
    let user = without(&space, resource, verb);
    let warden = Warden::with("").user(&user).claims_in(space.name()).serve();
    Guarded::by(warden, space, Webhooks::guarding)
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_claim_says_which_one_it_lacks() {
    for (resource, verb) in [("leases", "get"), ("jobs", "list"), ("leases", "create")] {
        let space = guarded(resource, verb);
        let told = waits(&space, &endless("app"));
        assert!(
            told.contains(&format!("failed to {verb} {resource}")),
            "{told}"
        );
        let forbidden = "claims_total{outcome=\"forbidden\"}";
        assert_eq!(space.warden.metric(forbidden), 1);
    }
}

/// What of the holder's pods is only told stays untold.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_claim_that_another_holds_needs_no_pods() {
    let space = guarded("pods", "list");
    let first = endless("app");
    is_created(&space, &first);
    let told = waits(&space, &again(&first));
    assert!(told.contains(" is suspended"), "{told}");
}

/// A replica that may not fail the holder says so, and the holder keeps its key.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_holder_that_may_not_be_failed_is_waited_for() {
    let space = guarded("jobs", "patch");
    let first = nowhere(600).render("app");
    let (held, second) = (is_created(&space, &first), again(&first));
    let holder = held["metadata"]["name"].as_str().unwrap();
    let failures = "claims_superseded_total{result=\"failure\"}";
    within(Duration::from_secs(120), "the first try to fail it", || {
        thread::sleep(Duration::from_secs(1));
        let told = claims::create(&space, &second, &PostParams::default()).unwrap_err();
        assert!(told.message.contains(" has not started "), "{told:?}");
        (space.warden.metric(failures) > 0).then_some(())
    });
    let log = space.warden.stderr();
    let lacks = format!("failed to patch jobs: jobs.batch \\\"{holder}\\\" is forbidden");
    assert!(log.contains(&lacks), "{log}");
    assert_eq!(
        space.get("job", holder)["spec"]["activeDeadlineSeconds"],
        600
    );
}

/// Giving claims up is tidiness: who finds one in his way takes it over.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_claim_that_may_not_be_given_up_is_in_nobodys_way() {
    let space = guarded("leases", "delete");
    is_created(&space, &Chart::good().render("app"));
    eventually("the first to end, and its claim to stay", || {
        let jobs = space.jobs();
        let ended = jobs.iter().all(|job| job["status"]["succeeded"] == 1);
        (ended && space.warden.metric("claim_sweep_failures_total") > 0).then_some(())
    });
    // Another second has to be in its name.
    thread::sleep(Duration::from_secs(1));
    is_created(&space, &Chart::good().render("app"));
}

/// The replica remembers by itself who waits, and needs no right for it.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn waiting_is_logged_once_where_claims_may_not_be_patched() {
    let space = guarded("leases", "patch");
    let first = endless("app");
    is_created(&space, &first);
    let second = again(&first);
    for _ in 0..2 {
        let _ = waits(&space, &second);
    }
    let waiting = space.warden.decisions().into_iter();
    let waiting = waiting.filter(|d| d["verdict"] == "waiting").count();
    assert_eq!(waiting, 1);
}

/// Whether the namespace is going cannot be asked: then nothing is held up.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_deletion_passes_where_its_namespace_cannot_be_looked_at() {
    let space = guarded("namespaces", "get");
    let job = running(&space, "app");
    space
        .kubectl(&["delete", "job", &job, "--wait=false"])
        .succeeds();
    let decision = deletion(&space, &job);
    assert_eq!(action(&decision, "MW102"), Some("audit"), "{decision:#}");
    let failed = "guard_lookups_total{result=\"failed\"}";
    assert_eq!(space.warden.metric(failed), 1);
}

/// Whether the migration runs cannot be asked: then nothing is held up.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_deletion_passes_where_pods_cannot_be_looked_at() {
    let space = guarded("pods", "list");
    let job = create(&space, &nowhere(600), "app");
    eventually("a pod that waits for a node", || {
        (space.get("job", &job)["status"]["active"] == 1).then_some(())
    });
    space
        .kubectl(&["delete", "job", &job, "--wait=false"])
        .succeeds();
    let decision = deletion(&space, &job);
    assert_eq!(action(&decision, "MW102"), Some("audit"), "{decision:#}");
    let failed = "guard_pod_lookups_total{result=\"failed\"}";
    assert_eq!(space.warden.metric(failed), 1);
}

/// Without their labels it might judge too hard or too mildly: better another replica does.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_replica_that_may_not_list_namespaces_is_never_ready() {
    let space = Space::new();
    let user = without(&space, "namespaces", "list");
    let warden = Warden::with("").user(&user).claims_in(space.name()).begin();
    eventually("the exceptions to be known, or not to be there", || {
        let told = warden.admin("/readyz");
        (!told.contains("[-]exceptions")).then_some(())
    });
    let told = warden.admin("/readyz");
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    assert!(
        told.contains("[-]namespaces failed: not all namespaces are known yet"),
        "{told}"
    );
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_replica_that_may_not_list_exceptions_serves_and_says_so() {
    let space = guarded("migrationexceptions", "list");
    let told = space.warden.admin("/readyz");
    let warning = "[!]exceptions warning: failed to watch exceptions, the known ones stay in use: ";
    assert!(told.contains(warning), "{told}");
    let failures = "watch_failures_total{watch=\"exceptions\"}";
    assert!(space.warden.metric(failures) > 0);
}
