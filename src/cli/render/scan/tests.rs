use serde_json::{Value, json};

use super::{human, json};
use crate::core::job::Kind;
use crate::core::policy::testing::job;
use crate::core::policy_file::validate;
use crate::core::scan::{Judged, Scan, World};

/// A password in an argument, and a pod that is restarted.
fn broken() -> Value {
    job(|job| {
        job["metadata"]["creationTimestamp"] = json!("2025-12-22T00:00:01Z");
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
        job["spec"]["template"]["spec"]["containers"][0]["args"] =
            json!(["--url", "postgres://shop:s3cr3t-plant@db/shop"]);
    })
}

/// What both render: a Job that is good, one that is not, in a namespace whose label is mistyped.
fn scanned() -> (Vec<Judged>, Scan<'static>) {
    let policy = Box::leak(Box::new(validate::builtin()));
    let mut world = World::default();
    let labels = json!({"migration-warden.io/mode": "of"});
    let namespace = json!({"metadata": {"name": "shop", "labels": labels}});
    world.namespace(&namespace.to_string()).unwrap();
    let mut scan = Scan::new(policy, world);
    let good = job(|job| job["metadata"]["namespace"] = json!("other"));
    let page = json!({"metadata": {}, "items": [good, broken()]});
    let judged = scan.page(Kind::Job, &page.to_string()).unwrap();
    (judged, scan)
}

fn problems() -> Vec<String> {
    vec!["failed to list cronjobs.batch in namespace shop: no".to_owned()]
}

#[test]
fn people_see_each_migration_and_then_each_rule() {
    let (judged, scan) = scanned();
    let mut out = anstream::StripStream::new(Vec::new());
    human::judged(&judged, &mut out).unwrap();
    human::end(&scan.tally, &problems(), &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out.into_inner()).unwrap(),
        "\
job/shop-migrate-1766361600 in shop
  denied    MW004 spec.template.spec.restartPolicy: found \"OnFailure\"
  warning   MW010 spec.template.spec.containers[0].args[1]: holds a URL with a password

RULE                          DENIED  PATCHED  WARNED  AUDITED  INSTEAD
MW004 restarting-pod               1        0       0        0  write restartPolicy: Never in the pod template and no other in a container
MW010 inline-credentials           0        0       1        0  take it from a Secret, by an env variable with valueFrom.secretKeyRef

label migration-warden.io/mode=of of namespace shop is unknown, treated as enforce

failed to list cronjobs.batch in namespace shop: no

2 Jobs, 0 CronJobs, 2 migrations: 1 denied, 0 patched, 1 warned, 0 audited
"
    );
    assert_eq!(human::progress(&scan.tally), "2 Jobs, 2 findings");
}

#[test]
fn programs_get_the_documented_shape() {
    let (judged, scan) = scanned();
    let mut out = Vec::new();
    let mut writer = json::Writer::default();
    writer.begin(&mut out).unwrap();
    writer.judged(&judged, &mut out).unwrap();
    writer.end(&scan.tally, &problems(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("s3cr3t-plant"), "{text}");
    let out: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        out["findings"][0],
        json!({
            "rule": "MW004", "name": "restarting-pod", "action": "deny", "kind": "Job",
            "namespace": "shop", "job": "shop-migrate-1766361600",
            "path": "spec.template.spec.restartPolicy", "reason": "restartPolicy is not Never",
            "detail": "found \"OnFailure\"",
            "remediation": "write restartPolicy: Never in the pod template and no other in a container",
        })
    );
    assert_eq!(out["findings"][1]["rule"], "MW010");
    let mut rest = out;
    rest["findings"].take();
    assert_eq!(
        rest,
        json!({
            "version": 1, "findings": null, "objects": 2, "made_by_cronjobs": 0, "jobs": 2,
            "unknown_modes": [{"namespace": "shop", "mode": "of"}],
            "problems": [{"message": "failed to list cronjobs.batch in namespace shop: no"}],
            "summary": {"deny": 1, "patch": 0, "warn": 1, "audit": 0},
        })
    );
}

#[test]
fn nothing_is_json_too() {
    let policy = validate::builtin();
    let scan = Scan::new(&policy, World::default());
    let mut out = Vec::new();
    let writer = json::Writer::default();
    writer.begin(&mut out).unwrap();
    writer.end(&scan.tally, &[], &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{
  "version": 1,
  "findings": [],
  "objects":0,"made_by_cronjobs":0,"jobs":0,"summary":{"deny":0,"patch":0,"warn":0,"audit":0}}
"#
    );
}
