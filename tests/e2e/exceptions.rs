//! Exceptions: what one lets through, what it does not, and what is written down about that.

pub(crate) mod crd;
pub(crate) mod made;

use std::{thread, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::claims::{again, endless, is_created, waits};
use crate::harness::{Chart, Cluster, Guarded, Outcome, Space, Warden, Webhooks, eventually};

const BROKEN: [&str; 4] = ["MW001", "MW002", "MW003", "MW004"];

/// An exception from the guide's four rules for the Jobs whose names begin with `ok-`.
pub(crate) fn exception(name: &str, lasting: SignedDuration) -> Value {
    json!({
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationException",
        "metadata": {"name": name},
        "spec": {
            "rules": ["MW001", "missing-hook", "MW003", "restarting-pod"],
            "selector": {"names": ["ok-*"]},
            "reason": "the old chart, until shop 2.0",
            "expiresAt": Timestamp::now() + lasting,
        },
    })
}

pub(crate) fn create(space: &Space, exception: &Value) -> Outcome {
    space.kubectl_with(&["create", "-f", "-"], &exception.to_string())
}

/// Waits until the exception says this of itself, and returns the condition.
pub(crate) fn condition(space: &Space, name: &str, status: &str) -> Value {
    eventually(&format!("{name} to be honoured: {status}"), || {
        let found = space.get("mex", name);
        let conditions = found["status"]["conditions"].as_array()?;
        let ours = conditions.iter().find(|c| c["type"] == "Honoured")?;
        (ours["status"] == status).then(|| ours.clone())
    })
}

/// The Event of a use, if there is one.
fn event(space: &Space) -> Option<Value> {
    let args = ["get", "events.v1.events.k8s.io", "-o", "json"];
    let events = space.kubectl(&args).succeeds().json();
    let events = events["items"].as_array().unwrap();
    let used = |event: &&Value| event["reason"] == "ExceptionUsed";
    events.iter().find(used).cloned()
}

fn guarded(policy: &str) -> Guarded {
    Guarded::by(Warden::with(policy).cluster().serve(), Space::new(), |w| w)
}

/// The same, and the name that its replica writes under: those of other tests, with other policies, write the status
/// of its exceptions as well.
fn kept_by(policy: &str) -> (Guarded, String) {
    let space = Space::new();
    let user = format!("keeper-{}", space.name());
    let warden = Warden::with(policy).admin(&user).serve();
    (Guarded::by(warden, space, |webhooks| webhooks), user)
}

/// Rules and exceptions of a decision's findings.
fn excepted(decision: &Value) -> Vec<(&str, Option<&str>)> {
    let findings = decision["findings"].as_array().unwrap();
    let ours = findings
        .iter()
        .filter(|f| BROKEN.contains(&f["rule"].as_str().unwrap()));
    ours.map(|f| (f["rule"].as_str().unwrap(), f["exception"].as_str()))
        .collect()
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_one_covers_gets_in_and_the_decision_names_it() {
    let _crd = crd::installed();
    let space = guarded("");
    space.rejects(&Chart::broken().render("ok-before"), &BROKEN);
    create(
        &space,
        &exception("old-chart", SignedDuration::from_hours(1)),
    )
    .succeeds();
    // As a pipeline would, before it deploys.
    space
        .kubectl(&[
            "wait",
            "--for=condition=Honoured",
            "mex/old-chart",
            "--timeout=30s",
        ])
        .succeeds();
    let tried = space.kubectl_with(
        &["create", "--dry-run=server", "-f", "-"],
        &Chart::broken().render("ok-tried"),
    );
    tried.succeeds();
    let created = space.kubectl_with(&["create", "-f", "-"], &Chart::broken().render("ok-one"));
    let created = created.succeeds();
    created.warns("MW001 metadata.name: exempted by old-chart until 20");
    let decision = space.decision("ok-one");
    assert_eq!(decision["verdict"], "allowed");
    assert_eq!(
        excepted(&decision),
        BROKEN.map(|rule| (rule, Some("old-chart")))
    );
    let stamps = &space.get("job", "ok-one-migrate")["metadata"]["annotations"];
    assert_eq!(stamps["migration-warden.io/exceptions"], "old-chart");
    // Neither another Job of the namespace, nor one in another.
    space.rejects(&Chart::broken().render("another"), &BROKEN);

    let used = eventually("the use to be written down", || {
        let found = space.get("mex", "old-chart");
        (found["status"]["uses"] == 1).then_some(found)
    });
    assert_eq!(used["status"]["lastUsedBy"], "ok-one-migrate");
    let at: Timestamp = used["status"]["lastUsedAt"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(at.duration_since(Timestamp::now()).abs() < SignedDuration::from_secs(30));
    let event = eventually("an Event", || event(&space));
    assert_eq!(event["regarding"]["name"], "old-chart");
    assert_eq!(event["regarding"]["uid"], used["metadata"]["uid"]);
    assert_eq!(
        event["note"],
        "admitted ok-one-migrate, which breaks MW001, MW002, MW003, MW004"
    );
    let shown = space.kubectl(&["get", "mex"]).succeeds();
    eprintln!("{}", shown.stdout);
    assert!(
        shown.stdout.contains("the old chart, until shop 2.0"),
        "{shown}"
    );

    space.kubectl(&["delete", "mex", "old-chart"]).succeeds();
    eventually("the exception to be gone", || {
        let refused = space.kubectl_with(
            &["create", "--dry-run=server", "-f", "-"],
            &Chart::broken().render("ok-after"),
        );
        (refused.code != Some(0)).then_some(())
    });
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn one_of_another_namespace_covers_nothing_here() {
    let _crd = crd::installed();
    let (space, other) = (guarded(""), Space::new());
    create(
        &other,
        &exception("elsewhere", SignedDuration::from_hours(1)),
    )
    .succeeds();
    condition(&other, "elsewhere", "True");
    space.rejects(&Chart::broken().render("ok-here"), &BROKEN);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn one_that_has_expired_is_not_honoured() {
    let _crd = crd::installed();
    let space = guarded("");
    create(&space, &exception("short", SignedDuration::from_secs(6))).succeeds();
    condition(&space, "short", "True");
    space.accepts(&Chart::broken().render("ok-in-time"));
    thread::sleep(Duration::from_secs(6));
    space.rejects(&Chart::broken().render("ok-late"), &BROKEN);
    let told = condition(&space, "short", "False");
    assert_eq!(told["reason"], "Expired");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn one_that_lasts_too_long_is_not_honoured_and_says_so() {
    let _crd = crd::installed();
    let (space, user) = kept_by("exceptions: {maxDuration: 2h}\n");
    create(&space, &exception("long", SignedDuration::from_hours(3))).succeeds();
    let told = eventually("what it says of it", || {
        let mut writes = Cluster::get().audit_of(&user);
        writes.retain(|write| write["objectRef"]["namespace"] == *space.name());
        let conditions = writes.first()?["requestObject"]["status"]["conditions"].clone();
        Some(conditions[0].clone())
    });
    assert_eq!(
        (&told["type"], &told["status"]),
        (&json!("Honoured"), &json!("False"))
    );
    assert_eq!(told["reason"], "TooLong");
    assert_eq!(
        told["message"],
        "it expires more than 2h after its creation, the longest time that the policy allows \
         (exceptions.maxDuration); create a new one that expires sooner"
    );
    space.rejects(&Chart::broken().render("ok-long"), &BROKEN);
}

/// The apiserver takes a time that is past the last one that can be read here.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn one_that_cannot_be_read_is_told_so_once() {
    let _crd = crd::installed();
    let (space, user) = kept_by("");
    let mut object = exception("for-ever", SignedDuration::from_hours(1));
    object["spec"]["expiresAt"] = json!("9999-12-31T23:59:59Z");
    create(&space, &object).succeeds();
    let told = condition(&space, "for-ever", "False");
    assert_eq!(told["reason"], "Unreadable");
    space.rejects(&Chart::broken().render("ok-here"), &BROKEN);
    thread::sleep(Duration::from_secs(13));
    let writes = Cluster::get().audit_of(&user);
    let of_this = |write: &&Value| {
        write["objectRef"]["namespace"] == space.name() && write["responseStatus"]["code"] == 200
    };
    let writes = writes.iter().filter(of_this).count();
    assert_eq!(writes, 1, "it is written again and again");
}

/// Let in beside another, it holds no claim: that stays with who has it.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn one_from_waiting_lets_a_second_migration_run_beside_the_first() {
    let _crd = crd::installed();
    let space = guarded("rules: {suspended-migration: 'off'}\n");
    let first = is_created(&space, &endless("app"));
    let mut object = exception("beside", SignedDuration::from_hours(1));
    object["spec"]["rules"] = json!(["concurrent-migration"]);
    object["spec"]["selector"]["names"] = json!(["app-*"]);
    let second = again(&endless("app"));
    waits(&space, &second);
    create(&space, &object).succeeds();
    condition(&space, "beside", "True");
    let created = space.kubectl_with(&["create", "-o", "json", "-f", "-"], &second);
    let created = created.succeeds();
    created.warns("MW101 metadata.name: exempted by beside until 20");
    let job = created.json()["metadata"]["name"].take();
    let decision = space.decision(job.as_str().unwrap());
    let last = space.warden.decisions().pop().unwrap();
    assert_eq!(decision["verdict"], "waiting", "the first try");
    assert_eq!(last["verdict"], "allowed", "{last:#}");
    let finding = &last["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["rule"] == "MW101");
    assert_eq!(finding.unwrap()["exception"], "beside");
    eventually("the use to be written down", || {
        (space.get("mex", "beside")["status"]["lastUsedBy"] == job).then_some(())
    });
    let args = [
        "get",
        "leases",
        "-l",
        "migration-warden.io/claim=true",
        "-o",
        "json",
    ];
    let leases = space.kubectl_in("default", &args, "").succeeds().json();
    let holder = |lease: &Value| {
        let annotations = &lease["metadata"]["annotations"];
        let ours = annotations["migration-warden.io/holder-namespace"] == *space.name();
        ours.then(|| annotations["migration-warden.io/holder-name"].clone())
    };
    let holders: Vec<_> = leases["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(holder)
        .collect();
    assert_eq!(holders, [first["metadata"]["name"].clone()]);
}

/// Every Job is reviewed by both replicas, which write the same status at the same time.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn replicas_lose_no_use() {
    const JOBS: i64 = 12;
    let _crd = crd::installed();
    let second = Warden::with("").cluster().serve();
    let space = guarded("");
    let _second = Webhooks::of(&second).last().register(&space);
    create(&space, &exception("both", SignedDuration::from_hours(1))).succeeds();
    condition(&space, "both", "True");
    let let_in = |warden: &Warden| {
        let decisions = warden.decisions();
        decisions
            .iter()
            .any(|d| d["verdict"] == "allowed" && d["namespace"] == *space.name())
    };
    // The other may not know of it yet.
    eventually("both to honour it", || {
        let args = ["create", "--dry-run=server", "-f", "-"];
        let _ = space.kubectl_with(&args, &Chart::broken().render("ok-tried"));
        (let_in(&second) && let_in(&space.warden)).then_some(())
    });
    for job in 0..JOBS {
        space.accepts(&Chart::broken().render(&format!("ok-{job}")));
        thread::sleep(Duration::from_millis(250));
    }
    eventually("all uses to be written down", || {
        (space.get("mex", "both")["status"]["uses"] == 2 * JOBS).then_some(())
    });
    thread::sleep(Duration::from_secs(3));
    assert_eq!(space.get("mex", "both")["status"]["uses"], 2 * JOBS);
    let events = space.kubectl(&["get", "events.v1.events.k8s.io", "-o", "json"]);
    let events = events.succeeds().json();
    let events = events["items"].as_array().unwrap();
    let ours = events.iter().filter(|e| e["reason"] == "ExceptionUsed");
    assert_eq!(ours.count(), 2, "one series for each replica");
}
