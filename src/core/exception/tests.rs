use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::file::read;
use super::{Exception, Standing, apply, uses};
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::policy::Action;
use crate::core::policy::finding::Finding;
use crate::core::policy::select::Selection;
use crate::core::policy::verdict;
use crate::core::policy_file::validate;
use crate::testing::{self, POLICY, job};

const MAX: SignedDuration = SignedDuration::from_hours(720);

fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

/// The exception for the valid Job, changed by a merge patch.
fn exception(change: &Value) -> Arc<Exception> {
    let object = serde_json::from_value(testing::exception(change)).unwrap();
    Arc::new(Exception::new(&object, now()).unwrap())
}

/// The findings, after these exceptions, in a Job that breaks two rules: its restart policy is denied, its missing
/// deadline is audited.
fn findings(exceptions: &[Arc<Exception>]) -> Vec<Finding> {
    findings_in(exceptions, "shop")
}

fn findings_in(exceptions: &[Arc<Exception>], namespace: &str) -> Vec<Finding> {
    let value = job(|job| {
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
        job["spec"]["activeDeadlineSeconds"].take();
    });
    let text = value.to_string();
    let object: Object<'_> = serde_json::from_str(&text).unwrap();
    let job = Job::new(&object, Kind::Job, namespace);
    let policy = format!("{POLICY}rules: {{MW007: audit}}\n");
    let policy = validate::read("policy.yaml", &policy).unwrap();
    let mut findings = policy.evaluate(&job, Selection::Labelled, Action::Deny);
    let mut usable = exceptions.to_vec();
    usable.retain(|exception| exception.is_honoured(now(), MAX));
    apply(&mut findings, &usable, &job);
    findings
}

fn told(findings: &[Finding]) -> Vec<(&str, Action, Option<&str>)> {
    let told = findings.iter();
    told.map(|f| (f.rule.id, f.action, f.exception.as_ref().map(|e| &*e.name)))
        .collect()
}

const DENIED: [(&str, Action, Option<&str>); 2] = [
    ("MW004", Action::Deny, None),
    ("MW007", Action::Audit, None),
];

#[test]
fn what_it_covers_is_audited_and_names_it() {
    assert_eq!(told(&findings(&[])), DENIED);
    let found = findings(&[exception(&json!({}))]);
    let covered = ("MW004", Action::Audit, Some("restart"));
    assert_eq!(told(&found), [covered, DENIED[1]]);
    let uses = uses(&found, "shop-migrate-1", Timestamp::UNIX_EPOCH);
    let uses: Vec<_> = uses.iter().map(|used| (&*used.job, &*used.rules)).collect();
    assert_eq!(uses, [("shop-migrate-1", &["MW004"][..])]);
    assert_eq!(
        verdict::warning(&found[0]),
        "MW004 spec.template.spec.restartPolicy: exempted by restart until 2026-11-26T12:00:00Z"
    );
}

/// An audited finding does not use an exception; otherwise an unneeded exception would count as used for ever.
#[test]
fn it_is_not_used_where_nothing_would_have_happened() {
    let found = findings(&[exception(&json!({"spec": {"rules": ["MW007"]}}))]);
    assert_eq!(told(&found), DENIED);
    assert!(uses(&found, "shop-migrate-1", Timestamp::UNIX_EPOCH).is_empty());
}

#[test]
fn it_is_for_the_jobs_of_its_namespace_that_it_selects() {
    let rows = "
- [true, {spec: {rules: [restarting-pod]}}]
- [false, {spec: {rules: [MW001, no-deadline]}}]
# A rule of a newer version.
- [false, {spec: {rules: [MW999]}}]
- [false, {metadata: {namespace: other}}]
- [true, {spec: {selector: {names: [x, '*']}}}]
- [false, {spec: {selector: {names: [shop-migrate]}}}]
- [true, {spec: {selector: {names: null, matchLabels: {app.kubernetes.io/instance: shop}}}}]
- [false, {spec: {selector: {names: null, matchLabels: {app.kubernetes.io/instance: other}}}}]
- [true, {spec: {selector: {names: null, matchExpressions: [{key: app.kubernetes.io/instance, operator: Exists}]}}}]
- [false, {spec: {selector: {names: null, matchExpressions: [{key: app.kubernetes.io/instance, operator: DoesNotExist}]}}}]
# Both conditions have to match.
- [false, {spec: {selector: {names: ['*'], matchLabels: {app.kubernetes.io/instance: other}}}}]
";
    for (covered, change) in serde_saphyr::from_str::<Vec<(bool, Value)>>(rows).unwrap() {
        let found = findings(&[exception(&change)]);
        assert_eq!(found[0].exception.is_some(), covered, "{change}");
    }
    let elsewhere = findings_in(&[exception(&json!({}))], "other");
    assert_eq!(told(&elsewhere), DENIED);
}

#[test]
fn its_time_has_bounds() {
    for (created, expires, expected) in [
        (
            "2026-11-25T12:00:00Z",
            "2026-11-25T12:00:01Z",
            Standing::Honoured,
        ),
        (
            "2026-11-01T00:00:00Z",
            "2026-11-25T12:00:00Z",
            Standing::Expired,
        ),
        // 30 days to the second, and then one second more.
        (
            "2026-11-25T12:00:00Z",
            "2026-12-25T12:00:00Z",
            Standing::Honoured,
        ),
        (
            "2026-11-25T12:00:00Z",
            "2026-12-25T12:00:01Z",
            Standing::TooLong(MAX),
        ),
    ] {
        let metadata = json!({"creationTimestamp": created});
        let exception = exception(&json!({"metadata": metadata, "spec": {"expiresAt": expires}}));
        assert_eq!(exception.standing(now(), MAX), expected);
        let is_used = findings(&[exception])[0].exception.is_some();
        assert_eq!(is_used, expected == Standing::Honoured);
    }
    let none = exception(&json!({})).standing(now(), SignedDuration::ZERO);
    assert_eq!(
        (none.reason(), none),
        ("TooLong", Standing::TooLong(SignedDuration::ZERO))
    );
    assert_eq!(
        Standing::TooLong(MAX).message(),
        "it expires more than 720h after its creation, the longest time that the policy allows \
         (exceptions.maxDuration); create a new one that expires sooner"
    );
}

#[test]
fn of_several_it_is_the_first_by_name() {
    let named = |name: &str| exception(&json!({"metadata": {"name": name}}));
    let found = findings(&[named("b"), named("a"), named("c")]);
    assert_eq!(found[0].exception.as_ref().unwrap().name, "a");
}

const GOOD: &str = "\
apiVersion: migration-warden.io/v1alpha1
kind: MigrationException
metadata: {name: restart}
spec:
  rules: [MW004, untimestamped-name]
  selector:
    names: [shop-migrate-*]
  reason: the old image needs it
  expiresAt: 2026-11-26T12:00:00+01:00
";

#[test]
fn those_of_a_file_are_read_with_their_places() {
    let stream = format!("# two\n---\n{GOOD}---\n{GOOD}");
    let found = read("e.yaml", &stream, "shop", now()).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].exception.reference.namespace, "shop");
    assert_eq!(found[1].exception.created, now());
    let at = found[1].position;
    assert_eq!((at.line, at.column), (15, 18));
    // A list as kubectl prints it.
    let item = GOOD.replace('\n', "\n  ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", item.trim_end());
    assert_eq!(read("e.yaml", &list, "", now()).unwrap().len(), 1);
}

#[test]
fn whatever_is_wrong_in_a_file_is_told_with_its_place() {
    let rows = r#"
- ["kind: MigrationException", "kind: Job",
   '2:7: kind is "Job", not MigrationException; this file may hold only exceptions']
- [v1alpha1, v1,
   '1:13: apiVersion is "migration-warden.io/v1", not migration-warden.io/v1alpha1; this file may hold only exceptions']
- ["{name: restart}", "{}", "3:1: metadata.name is missing: decisions quote the name of the exception"]
- [untimestamped, untimestampd, "5:18: there is no rule untimestampd-name; did you mean untimestamped-name?"]
- ["[MW004, untimestamped-name]", "[]", "5:10: spec.rules is empty: the exception would cover nothing"]
- ["names: [shop-migrate-*]", "names: []",
   "6:3: select some Jobs: matchLabels, matchExpressions or names; names: ['*'] means every migration Job of the namespace"]
- ["names: [shop-migrate-*]", "matchExpressions: [{key: a, operator: In}]", "7:24: operator In needs values"]
- [the old image needs it, because, "8:11: spec.reason is shorter than 8 characters: say why"]
- ["  reason:", "  raison:", "8:11: there is no key raison; did you mean reason?"]
- ["2026-11-26T12:00:00+01:00", tomorrow,
   "9:14: spec.expiresAt is not a time; write one such as 2026-12-01T12:00:00Z"]
- ["spec:", "more: 1\nspec:", "4:7: there is no key more; the keys here are metadata, spec"]
"#;
    for [from, to, fault] in serde_saphyr::from_str::<Vec<[String; 3]>>(rows).unwrap() {
        let text = GOOD.replace(&from, &to);
        assert_ne!(text, GOOD);
        let faults = read("e.yaml", &text, "shop", now()).unwrap_err();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [format!("e.yaml:{fault}")]);
    }
}
