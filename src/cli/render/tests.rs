use serde_json::{Value, json};

use super::{Render, json::Json, text::Text};
use crate::core::check::Check;
use crate::core::job::Kind;
use crate::core::policy::testing::job;
use crate::core::policy_file::validate;
use crate::core::report::{Located, Problem};
use crate::core::scan::{Scan, World};

/// A password in an argument, and a pod that is restarted.
fn broken() -> Value {
    job(|job| {
        job["metadata"]["creationTimestamp"] = json!("2025-12-22T00:00:01Z");
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
        job["spec"]["template"]["spec"]["containers"][0]["args"] =
            json!(["--url", "postgres://shop:s3cr3t-plant@db/shop"]);
    })
}

/// A broken Job that wants no migration-warden.
fn opted_out() -> Value {
    let mut job = broken();
    job["metadata"]["name"] = json!("shop-backfill");
    job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    job
}

/// What a format makes of a scan of these Jobs, in a namespace whose label is mistyped.
fn scanned(items: &[Value], problems: &[&str], mut render: impl Render) -> String {
    let policy = validate::builtin();
    let mut world = World::default();
    let labels = json!({"migration-warden.io/mode": "of"});
    let namespace = json!({"metadata": {"name": "shop", "labels": labels}});
    world.namespace(&namespace.to_string()).unwrap();
    let mut scan = Scan::new(&policy, world);
    let mut out = anstream::StripStream::new(Vec::new());
    render.begin(&mut out).unwrap();
    let page = json!({"metadata": {}, "items": items}).to_string();
    let found = &mut |located: Located| render.finding(&located, &mut out).unwrap();
    scan.page(Kind::Job, &page, found).unwrap();
    let problem = |message: &&str| Problem {
        file: None,
        position: None,
        message: (*message).to_owned(),
    };
    scan.report.problems = problems.iter().map(problem).collect();
    render.end(&scan.report, &mut out).unwrap();
    let text = String::from_utf8(out.into_inner()).unwrap();
    assert!(!text.contains("s3cr3t-plant"), "{text}");
    text
}

fn good() -> Value {
    job(|job| job["metadata"]["namespace"] = json!("other"))
}

const PROBLEM: &str = "failed to list cronjobs.batch in namespace shop: no";

#[test]
fn people_see_each_migration_and_then_each_rule() {
    assert_eq!(
        scanned(&[good(), broken(), opted_out()], &[PROBLEM], Text::default()),
        "\
job/shop-migrate-1766361600 in shop
  denied    MW004 spec.template.spec.restartPolicy: found \"OnFailure\"
  warning   MW010 spec.template.spec.containers[0].args[1]: holds a URL with a password

RULE                          DENIED  PATCHED  WARNED  AUDITED  EXEMPTED  INSTEAD
MW004 restarting-pod               1        0       0        0         0  write restartPolicy: Never in the pod template
MW010 inline-credentials           0        0       1        0         0  take it from a Secret, by an env variable with valueFrom.secretKeyRef

shop: namespace label migration-warden.io/mode: \"of\" is not a mode, so the policy is enforced; write enforce, warn, audit or off

failed to list cronjobs.batch in namespace shop: no

1 Job opted out (migration-warden.io/migration: \"false\"): shop/shop-backfill

3 Jobs, 0 CronJobs: 2 problems in 1 of 2 migration Jobs (1 denied, 1 warned)
"
    );
}

#[test]
fn programs_get_the_documented_shape() {
    let text = scanned(&[good(), broken()], &[PROBLEM], Json::default());
    let out: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        out["findings"][0],
        json!({
            "rule": "MW004", "name": "restarting-pod", "action": "deny", "kind": "Job",
            "namespace": "shop", "job": "shop-migrate-1766361600",
            "path": "spec.template.spec.restartPolicy", "reason": "restartPolicy is not Never",
            "detail": "found \"OnFailure\"",
            "remediation": "write restartPolicy: Never in the pod template",
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
    let text = scanned(&[opted_out()], &[], Json::default());
    let out: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        out["opted_out"],
        json!({"count": 1, "jobs": ["shop/shop-backfill"]})
    );
}

#[test]
fn nothing_is_json_too() {
    assert_eq!(
        scanned(&[], &[], Json::default()),
        r#"{
  "version": 1,
  "findings": [],
  "objects":0,"made_by_cronjobs":0,"jobs":0,"summary":{"deny":0,"patch":0,"warn":0,"audit":0}}
"#
    );
}

/// The last line of a check.
fn summary(manifests: &[Value], exceptions: &[Value]) -> String {
    let policy = validate::builtin();
    let now = "2026-11-25T12:00:00Z".parse().unwrap();
    let written = exceptions.iter().map(Value::to_string).collect::<String>();
    let written = crate::core::exception::file::read("e.yaml", &written, "shop", now).unwrap();
    let honoured = written.into_iter().map(|w| w.exception.into()).collect();
    let mut check = Check::new(&policy, "shop", honoured);
    let text = manifests.iter().map(Value::to_string).collect::<String>();
    check.file("file.json", &text, &mut |_: Located| ());
    let mut out = Vec::new();
    Text::default().end(&check.report, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().last().unwrap().to_owned()
}

#[test]
fn jobs_and_findings_are_counted_apart() {
    let exception = json!({
        "apiVersion": "migration-warden.io/v1alpha1", "kind": "MigrationException",
        "metadata": {"name": "old", "namespace": "shop"},
        "spec": {
            "rules": ["MW004"], "selector": {"names": ["*"]}, "reason": "the old chart",
            "expiresAt": "2026-11-26T00:00:00Z",
        },
    });
    let restarted = job(|job| {
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    });
    let exempted = [exception];
    for (manifests, exceptions, wanted) in [
        (&[][..], &[][..], "0 documents: no migration Jobs"),
        (&[opted_out()], &[], "1 document: no migration Jobs"),
        (&[good()], &[], "1 document: no problems in 1 migration Job"),
        (
            &[good(), broken(), broken()],
            &[],
            "3 documents: 4 problems in 2 of 3 migration Jobs (2 denied, 2 warned)",
        ),
        (
            &[broken(), restarted.clone()],
            &exempted,
            "2 documents: 1 problem in 1 of 2 migration Jobs (1 warned), 2 findings exempted",
        ),
        (
            &[restarted],
            &exempted,
            "1 document: no problems in 1 migration Job, 1 finding exempted",
        ),
    ] {
        assert_eq!(summary(manifests, exceptions), wanted);
    }
}

#[test]
fn many_opted_out_jobs_are_counted_and_the_first_are_named() {
    let out = scanned(&vec![opted_out(); 1200], &[], Json::default());
    let out: Value = serde_json::from_str(&out).unwrap();
    let jobs = out["opted_out"]["jobs"].as_array().unwrap();
    assert_eq!(
        (&out["opted_out"]["count"], jobs.len()),
        (&json!(1200), 1000)
    );
    let out = scanned(&vec![opted_out(); 1200], &[], Text::default());
    assert!(
        out.contains(", shop/shop-backfill and 1180 more\n"),
        "{out}"
    );
    assert_eq!(out.matches("shop/shop-backfill").count(), 20, "{out}");
}
