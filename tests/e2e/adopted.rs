//! Jobs without a label that the policy adopts: they get what migration Jobs get, from the guide's own manifest on.

use std::fs;

use serde_json::{Value, json};

use crate::agree;
use crate::claims::{is_created, waits};
use crate::guards::{deletion, guarded, run};
use crate::harness::{
    Chart, Guarded, Space, Warden, Webhooks, api, epoch, eventually, none_differ,
};
use crate::runs;
use crate::testing;
use crate::tidy::{names, replica::Replica};

const LABEL: &str = "migration-warden.io/adopted";
/// No Job is adopted as detected, so nothing differs from earlier versions.
const NONE: &str = "detection: {promises: []}\n";

/// The guide's Job with this name. Its status is the test's business: on the fake node others end at once.
fn guides(name: &str) -> String {
    let path = testing::fixtures().join("guide.yaml");
    let text = fs::read_to_string(path).unwrap();
    let mut job: Value = serde_saphyr::from_str(&text).unwrap();
    job["metadata"]["name"] = json!(name);
    job["spec"]["managedBy"] = json!("e2e.migration-warden.io/hand");
    job.to_string()
}

/// The names of attempts of one migration, oldest first.
fn attempt(number: u64) -> String {
    format!("shop-migrate-{}", epoch() - 100 + number)
}

/// Creates the Job, whose pod runs from then on.
fn running(space: &Space, manifest: &str) -> String {
    let job = is_created(space, manifest);
    let name = job["metadata"]["name"].as_str().unwrap().to_owned();
    run(space, &name);
    name
}

fn label(space: &Space, job: &str) -> Value {
    space.get("job", job)["metadata"]["labels"][LABEL].clone()
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_guides_job_runs_one_at_a_time_and_is_not_deleted_halfway() {
    let space = guarded("");
    let first = running(&space, &guides(&attempt(1)));
    assert_eq!(label(&space, &first), "detected");
    let told = waits(&space, &guides(&attempt(2)));
    assert!(
        told.contains(&format!("{}/{first} ", space.name())),
        "{told}"
    );
    let refused = space.kubectl(&["delete", "job", &first]).fails();
    refused.says("MW102 deleted-while-running");
    for decision in [space.decision(&first), deletion(&space, &first)] {
        let said = [&decision["selection"], &decision["adopted"]];
        assert_eq!(said, ["adopted", "detected"], "{decision:#}");
    }
    assert_eq!(
        space
            .warden
            .metric("adopted_jobs_total{adopted=\"detected\"}"),
        1
    );
    is_created(&space, &guides(&format!("seed-{}", attempt(2))));
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn without_adoption_the_guides_job_runs_twice_and_is_deleted() {
    let space = guarded(NONE);
    let first = running(&space, &guides(&attempt(1)));
    assert_eq!(label(&space, &first), json!(null));
    running(&space, &guides(&attempt(2)));
    space.kubectl(&["delete", "job", &first]).succeeds();
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn an_adopted_job_has_one_run() {
    let _alone = runs::alone();
    let space = guarded("");
    let job = running(&space, &guides(&attempt(1)));
    let found = eventually("the run", || {
        let runs = runs::runs(&space);
        (!runs.is_empty()).then_some(runs)
    });
    let spec = &found[0]["spec"];
    assert_eq!((found.len(), &spec["job"]["name"]), (1, &json!(job)));
    assert_eq!(
        (&spec["adopted"], &spec["reviewed"]),
        (&json!("detected"), &json!(true))
    );
}

/// The guide's chart, whose Job fails within two seconds.
fn failing(name: &str) -> Value {
    let manifest = Chart::guide().render("shop");
    let mut job: Value = serde_saphyr::from_str(&manifest).unwrap();
    job["metadata"]["name"] = json!(name);
    job["spec"]["activeDeadlineSeconds"] = json!(1);
    job["spec"]["template"]["spec"]["nodeSelector"] = json!({"none": "such"});
    job
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn failed_attempts_are_tidied_if_their_names_have_a_timestamp() {
    let space = Guarded::with("");
    let replica = Replica::of(&space, "a", "{}");
    let tries = [
        "shop-migrate".to_owned(),
        attempt(1),
        attempt(2),
        attempt(3),
    ];
    for name in &tries {
        is_created(&space, &failing(name).to_string());
        eventually("it to fail", || {
            let job = space.get("job", name);
            (!job["status"]["conditions"].is_null()).then_some(())
        });
    }
    let left = [tries[0].clone(), tries[3].clone()];
    eventually("the earlier ones to go", || {
        (names(&space.jobs()) == left).then_some(())
    });
    assert_eq!(replica.lines().len(), 2);
    let ttl = |job: &Value| job["spec"]["ttlSecondsAfterFinished"].clone();
    let ttls: Vec<_> = space.jobs().iter().map(ttl).collect();
    assert_eq!(ttls, [json!(null), json!(604_800)]);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_jobs_of_two_entries_with_one_database_run_one_at_a_time() {
    for (database, is_shared) in [("orders", true), ("stock", false)] {
        let space = guarded(&format!(
            "adopt:\n- {{name: one, match: {{names: [one-*]}}, database: orders}}\n\
             - {{name: two, match: {{names: [two-*]}}, database: {database}}}\n"
        ));
        let first = running(&space, &guides(&format!("one-{}", attempt(1))));
        assert_eq!(label(&space, &first), "one");
        let second = guides(&format!("two-{}", attempt(2)));
        if is_shared {
            let told = waits(&space, &second);
            assert!(told.contains(&first), "{told}");
        } else {
            is_created(&space, &second);
        }
    }
}

/// The Job without what migration-warden may write under the profile `audit`, and what differs in each request.
fn bare(mut job: Value) -> Value {
    let metadata = job["metadata"].as_object_mut().unwrap();
    for own in ["uid", "creationTimestamp", "managedFields", "namespace"] {
        metadata.remove(own);
    }
    for kind in ["labels", "annotations"] {
        if let Some(Value::Object(map)) = metadata.get_mut(kind) {
            map.retain(|key, _| {
                ![
                    LABEL,
                    "migration-warden.io/decision",
                    "migration-warden.io/requested-by",
                ]
                .contains(&&**key)
            });
            // Generated from the uid, and from a random name.
            map.retain(|key, _| !key.contains("controller-uid") && !key.contains("job-name"));
            if map.is_empty() {
                metadata.remove(kind);
            }
        }
    }
    if metadata.get("generateName").is_some() {
        metadata.remove("name");
    }
    job["spec"]["selector"].take();
    job["spec"]["template"]["metadata"]["labels"].take();
    job
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn under_the_profile_audit_no_job_is_changed_but_for_stamps_and_label() {
    let all = "adopt: [{name: all, match: {names: ['*']}, rules: enforce}]\n";
    let patching = "MW001: {action: patch, rename: true}, MW003: patch, MW004: patch";
    let audited = guarded(&format!("profile: audit\n{all}"));
    let enforced = guarded(&format!("rules: {{{patching}}}\n{all}"));
    let plain = Space::new();
    let (mut tried, mut changed, mut wrong) = (0, 0, Vec::new());
    for case in ["fail", "pass", "charts"]
        .into_iter()
        .flat_map(agree::cases)
    {
        let store = |space: &Space| Some(bare(api::would_store(space.name(), &case.manifest)?));
        let Some(expected) = store(&plain) else {
            continue;
        };
        tried += 1;
        if store(&audited).as_ref() != Some(&expected) {
            wrong.push(case.origin.clone());
        }
        changed += usize::from(store(&enforced) != Some(expected));
    }
    none_differ(&wrong);
    assert!(
        tried > 200 && changed > 100,
        "{tried} tried, {changed} changed by the profile guide"
    );
}

/// It was created under a policy that did not adopt it.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_that_runs_already_is_waited_for_and_gets_the_label() {
    let mut space = Space::new();
    let policy = |space: &Space, adopt: &str| {
        let name = space.name();
        format!(
            "{NONE}namespaces: [{{names: [{name}], mode: enforce}}, {{names: ['*'], mode: 'off'}}]\n{adopt}"
        )
    };
    let shop = "adopt: [{name: shop, match: {names: [shop-*]}}]\n";
    let (before, after) = (policy(&space, ""), policy(&space, shop));
    let warden = Warden::with(&before)
        .cluster()
        .claims_in(space.name())
        .serve();
    let guarded = Guarded::by(
        warden,
        std::mem::replace(&mut space, Space::new()),
        Webhooks::guarding,
    );
    let first = running(&guarded, &guides(&attempt(1)));
    let second = guides(&attempt(2));
    is_created(&guarded, &guides(&format!("seed-{}", attempt(1))));
    guarded.warden.change_policy(&after);
    eventually("the policy to be in use", || {
        let reloads = guarded
            .warden
            .metric("policy_reloads_total{result=\"success\"}");
        (reloads == 1).then_some(())
    });
    // This replica was not elected.
    let told = waits(&guarded, &second);
    assert!(told.contains(&first), "{told}");
    assert_eq!(label(&guarded, &first), json!(null));

    let elected = Warden::with(&after).cluster().claims_in(guarded.name());
    let elected = elected.registered_as(guarded.name()).serve();
    eventually("the label", || {
        (label(&guarded, &first) == "shop").then_some(())
    });
    guarded
        .kubectl(&["delete", "job", &first])
        .fails()
        .says("MW102");
    assert_eq!(elected.metric("adoptions_total{result=\"success\"}"), 1);
    assert_eq!(elected.metric("adoptions_total{result=\"failure\"}"), 0);
    waits(&guarded, &second);
}
