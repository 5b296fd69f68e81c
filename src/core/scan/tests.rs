use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Judged, Scan, Tally, World};
use crate::core::job::Kind;
use crate::core::policy::testing::job;
use crate::core::policy::{Action, Policy};
use crate::core::policy_file::validate;

const MAX: SignedDuration = SignedDuration::from_hours(720);

fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

fn policy(rest: &str) -> Policy {
    let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    validate::read("policy.yaml", &format!("{head}{rest}")).unwrap()
}

/// The valid Job as a cluster stores it, changed by `tweak`.
fn stored(tweak: impl FnOnce(&mut Value)) -> Value {
    job(|job| {
        job["metadata"]["uid"] = json!("u");
        job["metadata"]["creationTimestamp"] = json!("2025-12-22T00:00:01Z");
        job["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
        tweak(job);
    })
}

fn restarting(job: &mut Value) {
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
}

fn page(items: &[Value]) -> String {
    // The items of a typed list have no version and kind.
    json!({"metadata": {}, "items": items}).to_string()
}

/// Id, action and exception of all findings.
fn told(judged: &[Judged]) -> Vec<(&'static str, Action, Option<String>)> {
    let findings = judged.iter().flat_map(|judged| &judged.findings);
    findings
        .map(|finding| {
            let exception = finding.exception.as_ref().map(|e| e.name.clone());
            (finding.rule.id, finding.action, exception)
        })
        .collect()
}

fn scan(policy: &Policy, world: World, kind: Kind, items: &[Value]) -> (Vec<Judged>, Tally) {
    let mut scan = Scan::new(policy, world);
    let judged = scan.page(kind, &page(items)).unwrap();
    (judged, scan.tally)
}

#[test]
fn a_finished_job_is_judged_as_when_it_came() {
    let policy = validate::builtin();
    let items = [stored(|_| {}), stored(restarting)];
    let (judged, tally) = scan(&policy, World::default(), Kind::Job, &items);
    assert_eq!(told(&judged), [("MW004", Action::Deny, None)]);
    assert_eq!(
        (&*judged[0].namespace, &*judged[0].name),
        ("shop", "shop-migrate-1766361600")
    );
    assert_eq!((tally.jobs, tally.migrations), (2, 2));
    assert_eq!((tally.findings(), tally.count(Action::Deny)), (1, 1));
}

#[test]
fn the_time_in_the_name_is_compared_with_that_of_the_creation() {
    let policy = validate::builtin();
    let late = stored(|job| job["metadata"]["creationTimestamp"] = json!("2025-12-24T00:00:00Z"));
    let (judged, _) = scan(&policy, World::default(), Kind::Job, &[late]);
    assert_eq!(
        judged[0].findings[0].detail,
        "\"shop-migrate-1766361600\" is 48h00m before its creation"
    );
}

#[test]
fn a_cronjob_is_judged_and_the_jobs_it_made_are_not() {
    let policy = validate::builtin();
    let made = stored(|job| {
        restarting(job);
        job["metadata"]["ownerReferences"] =
            json!([{"kind": "CronJob", "controller": true, "name": "nightly"}]);
    });
    let (judged, tally) = scan(&policy, World::default(), Kind::Job, &[made]);
    assert_eq!(told(&judged), []);
    let counts = |tally: &Tally| (tally.jobs, tally.made_by_cronjobs, tally.migrations);
    assert_eq!(counts(&tally), (1, 1, 0));

    let template = job(restarting);
    let cronjob = json!({
        "metadata": {"name": "nightly", "namespace": "shop", "labels": template["metadata"]["labels"]},
        "spec": {"jobTemplate": {"spec": template["spec"]}},
    });
    let (judged, tally) = scan(&policy, World::default(), Kind::CronJob, &[cronjob]);
    assert_eq!(told(&judged)[0], ("MW004", Action::Warn, None));
    assert_eq!((tally.cronjobs, tally.migrations), (1, 1));
}

#[test]
fn what_is_no_migration_is_only_counted() {
    let policy = validate::builtin();
    let other = stored(|job| {
        restarting(job);
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    });
    let (judged, tally) = scan(&policy, World::default(), Kind::Job, &[other]);
    assert_eq!(
        (told(&judged).len(), tally.jobs, tally.migrations),
        (0, 1, 0)
    );
}

#[test]
fn what_would_be_patched_is_not_denied() {
    let policy = policy("rules: {restarting-pod: patch}\n");
    let plain = stored(|job| {
        restarting(job);
        job["metadata"]["annotations"] = json!({});
    });
    let items = [stored(restarting), plain];
    let (judged, _) = scan(&policy, World::default(), Kind::Job, &items);
    assert_eq!(told(&judged[..1]), [("MW004", Action::Patch, None)]);
    // It is not a hook, so it could not be patched.
    assert!(told(&judged[1..]).contains(&("MW004", Action::Deny, None)));
}

#[test]
fn a_namespace_says_how_strict_it_is_and_which_mesh_it_has() {
    let policy =
        policy("rules: {blocking-sidecar: warn}\nnamespaces: [{names: [shop], mode: audit}]\n");
    let found = |labels: Value| {
        let mut world = World::default();
        let namespace = json!({"metadata": {"name": "shop", "labels": labels}});
        world.namespaces(&page(&[namespace])).unwrap();
        let (judged, tally) = scan(&policy, world, Kind::Job, &[stored(restarting)]);
        let told: Vec<_> = told(&judged).iter().map(|f| (f.0, f.1)).collect();
        (told, tally.unknown_modes.into_iter().collect::<Vec<_>>())
    };
    let mode = |mode: &str| json!({"migration-warden.io/mode": mode});
    assert_eq!(found(json!(null)).0, [("MW004", Action::Audit)]);
    assert_eq!(found(mode("warn")).0, [("MW004", Action::Warn)]);
    assert_eq!(found(mode("off")).0, []);
    let (told, unknown) = found(mode("of"));
    assert_eq!(told, [("MW004", Action::Deny)]);
    assert_eq!(unknown, [("shop".to_owned(), "of".to_owned())]);
    let (told, _) = found(json!({"istio-injection": "enabled"}));
    assert_eq!(told, [("MW004", Action::Audit), ("MW019", Action::Audit)]);
}

#[test]
fn exceptions_that_are_honoured_let_through_what_they_cover() {
    let policy = validate::builtin();
    let exception = |name: &str, namespace: &str, expires: &str| {
        json!({
            "apiVersion": "migration-warden.io/v1alpha1",
            "kind": "MigrationException",
            "metadata": {
                "name": name, "namespace": namespace, "creationTimestamp": "2026-11-25T11:00:00Z",
            },
            "spec": {
                "rules": ["MW004"],
                "selector": {"names": ["shop-*"]},
                "reason": "the old chart",
                "expiresAt": expires,
            },
        })
    };
    let soon = "2026-11-26T00:00:00Z";
    let mut newer = exception("newer", "shop", soon);
    newer["spec"]["unheardOf"] = json!(1);
    let items = [
        newer,
        exception("a-expired", "shop", "2026-11-25T11:59:59Z"),
        exception("b-too-long", "shop", "2027-11-25T00:00:00Z"),
        exception("c-elsewhere", "other", soon),
        exception("d-good", "shop", soon),
    ];
    let with = |items: &[Value]| {
        let mut world = World::default();
        world.exceptions(&page(items), now(), MAX).unwrap();
        let named = json!({"metadata": {"name": "shop"}}).to_string();
        world.namespace(&named).unwrap();
        let (judged, _) = scan(&policy, world, Kind::Job, &[stored(restarting)]);
        told(&judged)
    };
    assert_eq!(with(&items[..4]), [("MW004", Action::Deny, None)]);
    let good = Some("d-good".to_owned());
    assert_eq!(with(&items), [("MW004", Action::Audit, good)]);
}
