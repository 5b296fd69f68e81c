use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Scan, World};
use crate::core::job::Kind;
use crate::core::policy::{Action, Policy};
use crate::core::policy_file::validate;
use crate::core::report::{Located, Report};
use crate::testing::{self, POLICY, job};

const MAX: SignedDuration = SignedDuration::from_hours(720);

fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

fn policy(rest: &str) -> Policy {
    validate::read("policy.yaml", &format!("{POLICY}{rest}")).unwrap()
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

fn scan_in(policy: &Policy, world: World, kind: Kind, item: Value) -> (Vec<Located>, Report) {
    let (mut scan, mut found) = (Scan::new(policy, world), Vec::new());
    let page = page(&[item]);
    scan.page(kind, &page, &mut |located: Located| found.push(located))
        .unwrap();
    (found, scan.report)
}

fn scan(kind: Kind, item: Value) -> (Vec<Located>, Report) {
    scan_in(&validate::builtin(), World::default(), kind, item)
}

/// Objects, CronJobs, Jobs made by CronJobs, and migrations.
fn counts(report: &Report) -> [usize; 4] {
    let objects = report.objects.as_ref().unwrap();
    let read = [objects.all, objects.cronjobs, objects.made_by_cronjobs];
    [read[0], read[1], read[2], report.jobs]
}

#[test]
fn a_finished_job_is_judged_as_when_it_came() {
    let (judged, report) = scan(Kind::Job, stored(restarting));
    assert_eq!(told(&judged), [("MW004", Action::Deny, None)]);
    let Located { namespace, job, .. } = &judged[0];
    assert_eq!((&**namespace, &**job), ("shop", "shop-migrate-1766361600"));
    assert_eq!(counts(&report), [1, 0, 0, 1]);
    assert_eq!((report.counts.problems(), report.counts.deny), (1, 1));
    assert_eq!(told(&scan(Kind::Job, stored(|_| {})).0), []);
    let created = |job: &mut Value| {
        job["metadata"]["creationTimestamp"] = json!("2025-12-24T00:00:00Z");
    };
    assert_eq!(
        scan(Kind::Job, stored(created)).0[0].finding.detail,
        "the timestamp in \"shop-migrate-1766361600\" is 2 days older than the Job"
    );
}

#[test]
fn a_cronjob_is_judged_and_the_jobs_it_made_are_not() {
    let made = stored(|job| {
        restarting(job);
        job["metadata"]["ownerReferences"] =
            json!([{"kind": "CronJob", "controller": true, "name": "nightly"}]);
    });
    let (judged, report) = scan(Kind::Job, made);
    assert_eq!((told(&judged), counts(&report)), (vec![], [1, 0, 1, 0]));

    let template = job(restarting);
    let cronjob = json!({
        "metadata": {"name": "nightly", "namespace": "shop", "labels": template["metadata"]["labels"]},
        "spec": {"jobTemplate": {"spec": template["spec"]}},
    });
    let (judged, report) = scan(Kind::CronJob, cronjob);
    assert_eq!(told(&judged)[0], ("MW004", Action::Warn, None));
    assert_eq!(counts(&report), [1, 1, 0, 1]);
}

#[test]
fn what_is_no_migration_is_only_counted() {
    let other = stored(|job| {
        restarting(job);
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    });
    let (judged, report) = scan(Kind::Job, other);
    assert_eq!((told(&judged), counts(&report)), (vec![], [1, 0, 0, 0]));
    assert_eq!(report.opted_out.count, 1);
    assert_eq!(report.opted_out.jobs, ["shop/shop-migrate-1766361600"]);
}

#[test]
fn what_would_be_patched_is_not_denied() {
    let policy = policy("rules: {restarting-pod: patch}\n");
    let plain = stored(|job| {
        restarting(job);
        job["metadata"]["annotations"] = json!({});
    });
    let found = |job| told(&scan_in(&policy, World::default(), Kind::Job, job).0);
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
        let (judged, report) = scan_in(&policy, world, Kind::Job, silent);
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
    let exception = |name: &str, change: Value| {
        let mut exception = testing::exception(&change);
        exception["metadata"]["name"] = json!(name);
        exception
    };
    let expires = |at: &str| json!({"spec": {"expiresAt": at}});
    let items = [
        exception("newer", json!({"spec": {"unheardOf": 1}})),
        exception("a-expired", expires("2026-11-25T11:59:59Z")),
        exception("b-too-long", expires("2027-11-25T00:00:00Z")),
        exception("c-elsewhere", json!({"metadata": {"namespace": "other"}})),
        exception("d-good", json!({})),
    ];
    let with = |items: &[Value]| {
        let mut world = World::default();
        world.exceptions(&page(items), now(), MAX).unwrap();
        let named = json!({"metadata": {"name": "shop"}}).to_string();
        world.namespace(&named).unwrap();
        let (judged, _) = scan_in(&policy, world, Kind::Job, stored(restarting));
        told(&judged)
    };
    assert_eq!(with(&items[..4]), [("MW004", Action::Deny, None)]);
    let good = Some("d-good".to_owned());
    assert_eq!(with(&items), [("MW004", Action::Audit, good)]);
}
