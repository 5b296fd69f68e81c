//! The chart's entries, with a server behind them: which reviews a Job costs, and what happens while none answers.

use serde_json::Value;

use super::{LABEL, guides, job};
use crate::harness::{Space, Warden, installed};

const POLICY: &str = "
match: {selectors: [{matchLabels: {app.kubernetes.io/component: migration}}]}
adopt:
  - {name: lago, match: {names: [lago-*]}}
  - {name: rails, match: {tools: [rails]}}
";

/// The valid Job without any sign of a migration, under this name.
fn unlabelled(name: &str, command: &str) -> String {
    let job = job("", |job| {
        job["metadata"]["name"] = name.into();
        let metadata = job["metadata"].as_object_mut().unwrap();
        metadata.remove("labels");
        metadata.remove("annotations");
        let container = &mut job["spec"]["template"]["spec"]["containers"][0];
        container["image"] = "registry.example/app:1".into();
        container["args"] = command.split(' ').collect();
    });
    job.manifest
}

/// Reviews so far in both phases.
fn reviews(warden: &Warden) -> [u64; 2] {
    let of = |phase| {
        let verdicts = ["allowed", "patched", "warned", "waiting", "denied"];
        let of = |verdict| {
            format!("reviews_total{{phase=\"{phase}\",operation=\"CREATE\",verdict=\"{verdict}\"}}")
        };
        verdicts
            .map(|verdict| warden.metric(&of(verdict)))
            .iter()
            .sum()
    };
    ["mutate", "validate"].map(of)
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn each_job_costs_the_reviews_that_it_needs() {
    let (mut warden, space) = (Warden::serve(POLICY), Space::new());
    let _registration = installed::served(&space, POLICY, &warden);
    let (ordinary, lago) = (unlabelled("backup", "dump"), unlabelled("lago-x", "run"));
    let rails = unlabelled("by-tool", "bundle exec rails db:migrate");
    for (manifest, label, expected) in [
        (&ordinary, Value::Null, [1, 0]),
        (&lago, "lago".into(), [1, 1]),
        (&rails, "rails".into(), [1, 1]),
        (&guides(), "detected".into(), [1, 1]),
        (&job("", |_| {}).manifest, Value::Null, [1, 1]),
    ] {
        let before = reviews(&warden);
        let tried = space.try_to_create(manifest);
        assert_eq!(tried.refusal, "", "{manifest}");
        assert_eq!(
            tried.object["metadata"]["labels"][LABEL], label,
            "{manifest}"
        );
        let after = reviews(&warden);
        assert_eq!(
            [after[0] - before[0], after[1] - before[1]],
            expected,
            "{manifest}"
        );
    }
    warden.kill();
    for (manifest, refusal) in [
        (&ordinary, ""),
        (&rails, ""),
        (&guides(), ""),
        (
            &lago,
            "failed calling webhook \"adopt.migration-warden.io\"",
        ),
    ] {
        let tried = space.try_to_create(manifest);
        assert_eq!(
            tried.refusal.is_empty(),
            refusal.is_empty(),
            "{}",
            tried.refusal
        );
        assert!(tried.refusal.contains(refusal), "{}", tried.refusal);
    }
}

/// The entry for updates selects adopted Jobs by their label, and each change of the label.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_label_of_an_adopted_job_is_guarded() {
    let (warden, space) = (Warden::serve(POLICY), Space::new());
    let _registration = installed::served(&space, POLICY, &warden);
    for (manifest, name) in [
        (unlabelled("lago-x", "run"), "lago-x"),
        (job("", |_| {}).manifest, "shop-migrate-1766361600"),
    ] {
        space
            .kubectl_with(&["create", "-f", "-"], &manifest)
            .succeeds();
        let other = format!("{LABEL}=other");
        let args = ["label", "--overwrite", "job", name, &other];
        space
            .kubectl(&args)
            .fails()
            .says("MW104 forged-stamp: metadata.labels");
    }
    let gone = format!("{LABEL}-");
    let removed = space.kubectl(&["label", "job", "lago-x", &gone]);
    removed.fails().says("MW104 forged-stamp: metadata.labels");
    space
        .kubectl(&["label", "job", "lago-x", "team=billing"])
        .succeeds();
}
