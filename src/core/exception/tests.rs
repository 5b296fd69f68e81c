use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Exception, Standing, apply, honoured, uses};
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::policy::Action;
use crate::core::policy::finding::Finding;
use crate::core::policy::select::Selection;
use crate::core::policy::testing::job;
use crate::core::policy::verdict;
use crate::core::policy_file::validate;

const MAX: SignedDuration = SignedDuration::from_hours(720);

fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

/// An exception for the valid Job, changed by `tweak`.
fn exception(tweak: impl FnOnce(&mut Value)) -> Arc<Exception> {
    let mut object = json!({
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationException",
        "metadata": {"name": "restart", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-11-25T11:00:00Z"},
        "spec": {
            "rules": ["MW004"],
            "selector": {"names": ["shop-migrate-*"]},
            "reason": "the old image needs it",
            "expiresAt": "2026-11-26T12:00:00Z",
        },
    });
    tweak(&mut object);
    let object = serde_json::from_value(object).unwrap();
    Arc::new(Exception::new(&object, now()).unwrap())
}

/// The findings, after these exceptions, in a Job that breaks two rules: its restart policy is denied, its missing
/// deadline is audited.
fn findings(exceptions: &[Arc<Exception>]) -> Vec<Finding> {
    findings_in(exceptions, "shop", |_| {})
}

fn findings_in(
    exceptions: &[Arc<Exception>],
    namespace: &str,
    tweak: impl FnOnce(&mut Value),
) -> Vec<Finding> {
    let value = job(|job| {
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
        job["spec"]["activeDeadlineSeconds"].take();
        tweak(job);
    });
    let text = value.to_string();
    let object: Object<'_> = serde_json::from_str(&text).unwrap();
    let job = Job::new(&object, Kind::Job, namespace);
    let policy = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nrules: {MW007: audit}\n";
    let policy = validate::read("policy.yaml", policy).unwrap();
    let mut findings = policy.evaluate(&job, Selection::Labelled, Action::Deny);
    let usable = honoured(exceptions.to_vec(), now(), MAX);
    apply(&mut findings, &usable, &job);
    findings
}

fn told(findings: &[Finding]) -> Vec<(&str, Action, Option<&str>)> {
    findings
        .iter()
        .map(|f| (f.rule.id, f.action, f.exception.as_ref().map(|e| &*e.name)))
        .collect()
}

const DENIED: [(&str, Action, Option<&str>); 2] = [
    ("MW004", Action::Deny, None),
    ("MW007", Action::Audit, None),
];

#[test]
fn what_it_covers_is_audited_and_names_it() {
    assert_eq!(told(&findings(&[])), DENIED);
    let found = findings(&[exception(|_| {})]);
    assert_eq!(
        told(&found),
        [
            ("MW004", Action::Audit, Some("restart")),
            ("MW007", Action::Audit, None),
        ]
    );
    let uses = uses(&found, "shop-migrate-1", Timestamp::UNIX_EPOCH);
    assert_eq!(uses.len(), 1);
    assert_eq!(
        (&*uses[0].rules, &*uses[0].job),
        (&["MW004"][..], "shop-migrate-1")
    );
    assert_eq!(
        verdict::warning(&found[0]),
        "MW004 spec.template.spec.restartPolicy: exempted by restart until 2026-11-26T12:00:00Z"
    );
}

/// An audited finding does not use an exception; otherwise an unneeded exception would count as used for ever.
#[test]
fn it_is_not_used_where_nothing_would_have_happened() {
    let found = findings(&[exception(|e| e["spec"]["rules"] = json!(["MW007"]))]);
    assert_eq!(told(&found), DENIED);
    assert!(uses(&found, "shop-migrate-1", Timestamp::UNIX_EPOCH).is_empty());
}

#[test]
fn it_is_for_the_jobs_of_its_namespace_that_it_selects() {
    let change =
        |path: &'static str, to: Value| exception(move |e| *e.pointer_mut(path).unwrap() = to);
    let labels = |value: &str| {
        let labels = json!({"matchLabels": {"app.kubernetes.io/instance": value}});
        change("/spec/selector", labels)
    };
    let expression = |operator: &str| {
        let one = json!({"key": "app.kubernetes.io/instance", "operator": operator});
        change("/spec/selector", json!({"matchExpressions": [one]}))
    };
    for (covered, exception) in [
        (true, change("/spec/rules", json!(["restarting-pod"]))),
        (
            false,
            change("/spec/rules", json!(["MW001", "no-deadline"])),
        ),
        // A rule of a newer version.
        (false, change("/spec/rules", json!(["MW999"]))),
        (false, change("/metadata/namespace", json!("other"))),
        (true, change("/spec/selector/names", json!(["x", "*"]))),
        (
            false,
            change("/spec/selector/names", json!(["shop-migrate"])),
        ),
        (true, labels("shop")),
        (false, labels("other")),
        (true, expression("Exists")),
        (false, expression("DoesNotExist")),
        // Both conditions have to match.
        (
            false,
            change(
                "/spec/selector",
                json!({"names": ["*"], "matchLabels": {"app.kubernetes.io/instance": "other"}}),
            ),
        ),
    ] {
        let found = findings(&[Arc::clone(&exception)]);
        assert_eq!(found[0].exception.is_some(), covered, "{exception:?}");
    }
    assert_eq!(
        told(&findings_in(&[exception(|_| {})], "other", |_| {})),
        DENIED
    );
}

#[test]
fn its_time_has_bounds() {
    let standing = |expires: &str, created: &str| {
        let exception = exception(|e| {
            e["spec"]["expiresAt"] = json!(expires);
            e["metadata"]["creationTimestamp"] = json!(created);
        });
        let standing = exception.standing(now(), MAX);
        let used = findings(&[exception])[0].exception.is_some();
        assert_eq!(used, standing == Standing::Honoured);
        standing
    };
    let made = "2026-11-25T12:00:00Z";
    assert_eq!(standing("2026-11-25T12:00:01Z", made), Standing::Honoured);
    assert_eq!(
        standing("2026-11-25T12:00:00Z", "2026-11-01T00:00:00Z"),
        Standing::Expired
    );
    // 30 days to the second, and then one second more.
    assert_eq!(standing("2026-12-25T12:00:00Z", made), Standing::Honoured);
    let long = standing("2026-12-25T12:00:01Z", made);
    assert_eq!(long, Standing::TooLong(MAX));
    assert_eq!(
        long.message(),
        "it expires more than 720h after its creation, the longest time that the policy allows \
         (exceptions.maxDuration); create a new one that expires sooner"
    );
    assert_eq!(long.reason(), "TooLong");
}

#[test]
fn with_a_maximum_of_nothing_none_is_honoured() {
    let none = honoured(vec![exception(|_| {})], now(), SignedDuration::ZERO);
    assert!(none.is_empty());
}

#[test]
fn of_several_it_is_the_first_by_name() {
    let named = |name: &str| exception(|e| e["metadata"]["name"] = json!(name));
    let found = findings(&[named("b"), named("a"), named("c")]);
    assert_eq!(found[0].exception.as_ref().unwrap().name, "a");
}

#[test]
fn one_without_a_selector_is_of_no_use() {
    let object = json!({
        "metadata": {"name": "all"},
        "apiVersion": "migration-warden.io/v1alpha1",
        "kind": "MigrationException",
        "spec": {"rules": ["MW004"], "selector": {}, "reason": "because of me", "expiresAt": "2026-11-26T12:00:00Z"},
    });
    let object = serde_json::from_value(object).unwrap();
    let unusable = Exception::new(&object, now()).unwrap_err();
    assert_eq!(unusable.pointer, "/spec/selector");
    assert_eq!(
        unusable.message,
        "select some Jobs: matchLabels, matchExpressions or names; names: ['*'] means every \
         migration Job of the namespace"
    );
}

mod in_a_file {
    use super::now;
    use crate::core::exception::file::read;

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
    fn they_are_read_with_their_places() {
        let stream = format!("# two\n---\n{GOOD}---\n{GOOD}");
        let read = read("e.yaml", &stream, "shop", now()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].exception.reference.namespace, "shop");
        assert_eq!(read[1].exception.created, now());
        let at = read[1].position;
        assert_eq!((at.line, at.column), (15, 18));
    }

    #[test]
    fn a_list_is_read_as_kubectl_prints_it() {
        let item = GOOD.replace('\n', "\n  ");
        let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", item.trim_end());
        assert_eq!(read("e.yaml", &list, "", now()).unwrap().len(), 1);
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_place() {
        for (from, to, fault) in [
            (
                "kind: MigrationException",
                "kind: Job",
                "e.yaml:2:7: kind is \"Job\", not MigrationException; this file may hold only exceptions",
            ),
            (
                "v1alpha1",
                "v1",
                "e.yaml:1:13: apiVersion is \"migration-warden.io/v1\", not \
                 migration-warden.io/v1alpha1; this file may hold only exceptions",
            ),
            (
                "{name: restart}",
                "{}",
                "e.yaml:3:11: metadata.name is missing: decisions quote the name of the exception",
            ),
            (
                "[MW004, untimestamped-name]",
                "[MW004, untimestampd-name]",
                "e.yaml:5:18: there is no rule untimestampd-name; did you mean untimestamped-name?",
            ),
            (
                "[MW004, untimestamped-name]",
                "[]",
                "e.yaml:5:10: spec.rules is empty: the exception would cover nothing",
            ),
            (
                "names: [shop-migrate-*]",
                "names: []",
                "e.yaml:7:5: select some Jobs: matchLabels, matchExpressions or names; names: ['*'] \
                 means every migration Job of the namespace",
            ),
            (
                "names: [shop-migrate-*]",
                "matchExpressions: [{key: a, operator: In}]",
                "e.yaml:7:23: operator In needs values",
            ),
            (
                "the old image needs it",
                "because",
                "e.yaml:8:11: spec.reason is shorter than 8 characters: say why",
            ),
            (
                "  reason:",
                "  raison:",
                "e.yaml:8:11: there is no key raison; did you mean reason?",
            ),
            (
                "2026-11-26T12:00:00+01:00",
                "tomorrow",
                "e.yaml:9:14: spec.expiresAt is not a time; write one such as 2026-12-01T12:00:00Z",
            ),
            (
                "spec:",
                "more: 1\nspec:",
                "e.yaml:4:7: there is no key more; the keys here are metadata, spec",
            ),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            let faults = read("e.yaml", &text, "shop", now()).unwrap_err();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(faults[0].to_string(), fault);
        }
    }
}
