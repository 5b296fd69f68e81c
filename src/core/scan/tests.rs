use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Scan, World};
use crate::core::job::Kind;
use crate::core::policy::testing::job;
use crate::core::policy::{Action, Policy};
use crate::core::policy_file::validate;
use crate::core::report::{Located, Report};

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
fn told(found: &[Located]) -> Vec<(&'static str, Action, Option<String>)> {
    found
        .iter()
        .map(|Located { finding, .. }| {
            let exception = finding.exception.as_ref().map(|e| e.name.clone());
            (finding.rule.id, finding.action, exception)
        })
        .collect()
}

fn scan(policy: &Policy, world: World, kind: Kind, items: &[Value]) -> (Vec<Located>, Report) {
    let (mut scan, mut found) = (Scan::new(policy, world), Vec::new());
    scan.page(kind, &page(items), &mut |located| found.push(located))
        .unwrap();
    (found, scan.report)
}

/// Objects, CronJobs, Jobs made by CronJobs, and migrations.
fn counts(report: &Report) -> [usize; 4] {
    let objects = report.objects.as_ref().unwrap();
    let read = [objects.all, objects.cronjobs, objects.made_by_cronjobs];
    [read[0], read[1], read[2], report.jobs]
}

#[test]
fn a_finished_job_is_judged_as_when_it_came() {
    let policy = validate::builtin();
    let items = [stored(|_| {}), stored(restarting)];
    let (judged, report) = scan(&policy, World::default(), Kind::Job, &items);
    assert_eq!(told(&judged), [("MW004", Action::Deny, None)]);
    assert_eq!(
        (&*judged[0].namespace, &*judged[0].job),
        ("shop", "shop-migrate-1766361600")
    );
    assert_eq!(counts(&report), [2, 0, 0, 2]);
    assert_eq!((report.counts.problems(), report.counts.deny), (1, 1));
}

#[test]
fn the_time_in_the_name_is_compared_with_that_of_the_creation() {
    let policy = validate::builtin();
    let late = stored(|job| job["metadata"]["creationTimestamp"] = json!("2025-12-24T00:00:00Z"));
    let (judged, _) = scan(&policy, World::default(), Kind::Job, &[late]);
    assert_eq!(
        judged[0].finding.detail,
        "the timestamp in \"shop-migrate-1766361600\" is 2 days older than the Job"
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
    let (judged, report) = scan(&policy, World::default(), Kind::Job, &[made]);
    assert_eq!(told(&judged), []);
    assert_eq!(counts(&report), [1, 0, 1, 0]);

    let template = job(restarting);
    let cronjob = json!({
        "metadata": {"name": "nightly", "namespace": "shop", "labels": template["metadata"]["labels"]},
        "spec": {"jobTemplate": {"spec": template["spec"]}},
    });
    let (judged, report) = scan(&policy, World::default(), Kind::CronJob, &[cronjob]);
    assert_eq!(told(&judged)[0], ("MW004", Action::Warn, None));
    assert_eq!(counts(&report), [1, 1, 0, 1]);
}

#[test]
fn what_is_no_migration_is_only_counted() {
    let policy = validate::builtin();
    let other = stored(|job| {
        restarting(job);
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    });
    let (judged, report) = scan(&policy, World::default(), Kind::Job, &[other]);
    assert_eq!((told(&judged), counts(&report)), (vec![], [1, 0, 0, 0]));
    let opted_out = &report.opted_out;
    assert_eq!(
        (opted_out.count, &opted_out.jobs[..]),
        (1, &["shop/shop-migrate-1766361600".to_owned()][..])
    );
}

#[test]
fn what_would_be_patched_is_not_denied() {
    let policy = policy("rules: {restarting-pod: patch}\n");
    let plain = stored(|job| {
        restarting(job);
        job["metadata"]["annotations"] = json!({});
    });
    let found = |job| told(&scan(&policy, World::default(), Kind::Job, &[job]).0);
    assert_eq!(found(stored(restarting)), [("MW004", Action::Patch, None)]);
    // It is not a hook, so it could not be patched.
    assert!(found(plain).contains(&("MW004", Action::Deny, None)));
}

#[test]
fn a_namespace_says_how_strict_it_is_and_which_mesh_it_has() {
    let policy =
        policy("rules: {blocking-sidecar: warn}\nnamespaces: [{names: [shop], mode: audit}]\n");
    let found = |labels: Value| {
        let mut world = World::default();
        let namespace = json!({"metadata": {"name": "shop", "labels": labels}});
        world.namespaces(&page(&[namespace])).unwrap();
        let silent = stored(|job| {
            restarting(job);
            job["spec"]["template"]["metadata"].take();
        });
        let (judged, report) = scan(&policy, world, Kind::Job, &[silent]);
        let told: Vec<_> = told(&judged).iter().map(|f| (f.0, f.1)).collect();
        let unknown = report.objects.unwrap().unknown_modes;
        let unknown = unknown.into_iter().map(|u| (u.namespace, u.mode));
        (told, unknown.collect::<Vec<_>>())
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
