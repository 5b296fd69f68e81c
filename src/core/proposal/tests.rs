//! What is proposed for a cluster: each test runs the entries as a policy over the Jobs that they were made from.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::policy::Policy;
use crate::core::policy::adopt::Adoption;
use crate::core::policy::testing::stored;
use crate::core::policy_file::validate;

/// A Job in `namespace/name`, of this image.
fn job(at: &str, image: &str, tweak: impl FnOnce(&mut Value)) -> Value {
    let (namespace, name) = at.split_once('/').unwrap();
    let mut job = json!({
        "metadata": {"namespace": namespace, "name": name, "labels": {}, "annotations": {}},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
    });
    tweak(&mut job);
    job
}

/// A migration without a hook.
fn migration(at: &str) -> Value {
    job(at, "flyway/flyway:10.1", |_| {})
}

fn other(at: &str) -> Value {
    job(at, "postgres:16", |_| {})
}

fn of_release(mut job: Value, release: &str) -> Value {
    job["metadata"]["labels"]["app.kubernetes.io/instance"] = json!(release);
    job
}

fn known(namespaces: &[&str]) -> BTreeSet<String> {
    namespaces.iter().map(|&name| name.to_owned()).collect()
}

/// The entries for these Jobs, in short. As a policy they adopt each detected Job and no other.
fn proposed(jobs: &[Value], known: &BTreeSet<String>, policy: &Policy) -> Vec<String> {
    let mut proposal = Proposal::default();
    for job in jobs {
        stored(job, |job| proposal.add(job, policy.select(job)));
    }
    let before = policy.adopt.entries();
    let (proposed, left) = proposal.entries(known, before);
    assert_eq!(left.len(), 0, "{left:?}");
    let entries: Vec<Entry> = proposed.iter().map(|of| of.entry.clone()).collect();
    let all: Vec<Entry> = before.iter().chain(&entries).cloned().collect();
    assert_eq!(adopt::faults(&all), []);
    let with = Policy {
        adopt: Adoption(all),
        ..policy.clone()
    };
    for job in jobs {
        stored(job, |job| {
            let is_wanted = matches!(
                policy.select(job),
                Selection::Detected(_) | Selection::Adopted(_)
            );
            let found = with.select(job);
            let is_adopted = matches!(found, Selection::Adopted(Adopter::Entry(_)));
            assert_eq!(is_adopted, is_wanted, "{:?} {entries:#?}", job.name);
        });
    }
    let line = |entry: &Entry| {
        let mut parts = vec![entry.name.clone()];
        parts.extend(entry.matching.lists().map(|(_, values)| values.join(",")));
        parts.extend(entry.matching.labels.values().cloned());
        parts.join(" ")
    };
    entries.iter().map(line).collect()
}

fn builtin(jobs: &[Value], namespaces: &[&str]) -> Vec<String> {
    proposed(jobs, &known(namespaces), &validate::builtin())
}

#[test]
fn namespaces_and_attempts_of_one_chart_are_one_entry() {
    let of_chart = |at: &str| {
        let mut job = migration(at);
        job["metadata"]["labels"]["helm.sh/chart"] = json!("shop-2-web-1.18.0-rc.1");
        job
    };
    let jobs = [
        of_chart("shop-eu/web-migrate-1766361600"),
        of_chart("shop-us/web-migrate-1766361700"),
        of_chart("shop-us/web-schema"),
        other("shop-us/web-backup"),
    ];
    assert_eq!(
        builtin(&jobs, &["shop-eu", "shop-us", "api"]),
        ["shop-2-web shop-* web-migrate-*,web-schema"]
    );
    assert_eq!(
        builtin(&jobs, &["shop-eu", "shop-us", "shop-ci"]),
        ["shop-2-web shop-eu,shop-us web-migrate-*,web-schema"]
    );
}

#[test]
fn releases_are_generalised_if_no_other_job_has_such_a_name() {
    let mut jobs = vec![
        of_release(migration("a/eu-migrate-1766361600"), "eu"),
        of_release(migration("a/us-migrate-1766361600"), "us"),
    ];
    assert_eq!(builtin(&jobs, &["a"]), ["migrate a *-migrate-*"]);
    let waits = |at: &str| {
        job(at, "app:1", |job| {
            job["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["pg_dump"]);
        })
    };
    jobs.push(waits("b/wait-for-migrate-1"));
    assert_eq!(builtin(&jobs, &["a", "b"]), ["migrate a *-migrate-*"]);
    jobs.push(waits("a/wait-for-migrate-1"));
    assert_eq!(
        builtin(&jobs, &["a", "b"]),
        ["migrate a eu-migrate-*,us-migrate-*"]
    );
    assert_eq!(builtin(&jobs[..1], &["a"]), ["migrate a eu-migrate-*"]);
}

#[test]
fn what_a_name_does_not_tell_apart_something_else_does() {
    let hook =
        |job: &mut Value| job["metadata"]["annotations"]["helm.sh/hook"] = json!("pre-upgrade");
    let part = |job: &mut Value, part: &str| {
        job["metadata"]["labels"]["app.kubernetes.io/component"] = json!(part);
    };
    let first = "hatchet-7k2m9x4qzp";
    let second = other("x/hatchet-a1b2c3d4e5-worker-token");
    for (tweak, expected) in [
        (
            &hook as &dyn Fn(&mut Value),
            "hatchet x hatchet-* pre-upgrade",
        ),
        (&|job| part(job, "seeder"), "hatchet x hatchet-* seeder"),
        (&|_| (), "hatchet x hatchet-* flyway/flyway:*"),
    ] {
        let job = job(&format!("x/{first}"), "flyway/flyway:10.1", tweak);
        assert_eq!(builtin(&[job.clone(), second.clone()], &["x"]), [expected]);
        // The name alone would match whatever the release makes later.
        assert_eq!(builtin(&[job], &["x"]), [expected]);
    }
    // Nothing tells them apart but the exact name.
    let same = |name: &str, args: &[&str]| {
        job(&format!("x/{name}"), "app:1", |job| {
            job["spec"]["template"]["spec"]["containers"][0]["args"] = json!(args);
        })
    };
    let jobs = [
        same("shop-1", &["rails", "db:migrate"]),
        same("shop-2", &["pg_dump"]),
    ];
    assert_eq!(builtin(&jobs, &["x"]), ["shop x shop-1"]);
}

#[test]
fn what_needs_no_entry_has_none() {
    let owned = |kind: &str| {
        let owner = json!([{"kind": kind, "name": "shop-migrate", "controller": true}]);
        job("x/shop-migrate-29000000", "app:1", |job| {
            job["metadata"]["ownerReferences"] = owner;
        })
    };
    let labelled = |key: &str, value: &str| {
        let mut job = migration("x/labelled");
        job["metadata"]["labels"][key] = json!(value);
        job
    };
    let mut proposal = Proposal::default();
    for job in [
        owned("CronJob"),
        labelled("app.kubernetes.io/component", "migration"),
        labelled("migration-warden.io/migration", "false"),
    ] {
        stored(&job, |job| {
            proposal.add(job, validate::builtin().select(job));
        });
    }
    assert_eq!(proposal.entries(&known(&["x"]), &[]).0.len(), 0);
    // Their names are not matched, either.
    stored(&migration("x/shop-migrate-7"), |job| {
        proposal.add(job, validate::builtin().select(job));
    });
    let (proposed, _) = proposal.entries(&known(&["x"]), &[]);
    assert_eq!(proposed[0].entry.matching.images, ["flyway/flyway:*"]);
    assert_eq!(proposed[0].others[0].name, "shop-migrate-*");
}

#[test]
fn entries_of_the_policy_stay_and_their_names_are_taken() {
    let text = "adopt: [{name: shop, match: {names: [shop-a]}}]\n";
    let policy = crate::core::policy::testing::policy(text);
    let jobs = [
        migration("x/shop-a"),
        migration("x/shop-1766361600"),
        migration("x/detected"),
    ];
    assert_eq!(
        proposed(&jobs, &known(&["x"]), &policy),
        ["detected-2 x detected", "shop-2 x shop-* flyway/flyway:*"]
    );
}

#[test]
fn more_than_a_policy_takes_is_left_out() {
    let mut proposal = Proposal::default();
    for index in 0..200 {
        let name = format!(
            "x/{}-migrate",
            char::from(b'a' + index % 26)
                .to_string()
                .repeat(1 + usize::from(index / 26))
        );
        stored(&migration(&name), |job| {
            proposal.add(job, validate::builtin().select(job));
        });
    }
    let (proposed, left) = proposal.entries(&known(&["x"]), &[]);
    assert_eq!((proposed.len(), left.len()), (100, 100));
}

fn any_job() -> impl Strategy<Value = Value> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "migrate",
        "db",
        "1",
        "1766361600",
        "7k2m9x4qzp",
    ]);
    let name = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("-"));
    let image = prop::sample::select(vec!["flyway/flyway:1", "app:1", "app:2", "postgres:16"]);
    let namespace = prop::sample::select(vec!["n-a", "n-b", "m"]);
    let labels = prop::sample::select(vec![
        json!({}),
        json!({"app.kubernetes.io/instance": "a"}),
        json!({"app.kubernetes.io/instance": "b", "helm.sh/chart": "c-1.0.0"}),
        json!({"helm.sh/chart": "c-1.1.0", "app.kubernetes.io/component": "x"}),
        json!({"migration-warden.io/migration": "false"}),
    ]);
    let hook = prop::sample::select(vec![
        "pre-install",
        "pre-install,pre-upgrade",
        "post-install",
        "",
    ]);
    (namespace, name, image, labels, hook).prop_map(|(namespace, name, image, labels, hook)| {
        job(&format!("{namespace}/{name}"), image, |job| {
            job["metadata"]["labels"] = labels;
            job["metadata"]["annotations"]["helm.sh/hook"] = json!(hook);
        })
    })
}

proptest! {
    #[test]
    fn each_detected_job_is_adopted_and_no_other(jobs in prop::collection::vec(any_job(), 1..12)) {
        // A cluster has no two Jobs of one name.
        let key = |job: &Value| job["metadata"]["namespace"].to_string() + &job["metadata"]["name"].to_string();
        let jobs: BTreeMap<String, Value> = jobs.into_iter().map(|job| (key(&job), job)).collect();
        let jobs: Vec<Value> = jobs.into_values().collect();
        builtin(&jobs, &["n-a", "n-b", "m"]);
    }
}
