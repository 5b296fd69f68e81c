//! As many entries as the policy file takes, and Jobs as large as they may be: no expression exceeds its budget.

use serde_json::{Value, json};

use super::{Adopting, LABEL, Labels, job};
use crate::harness::{Recorder, Space, installed};

/// A hundred entries, with as many characters in each field as the policy file takes. None of them matches but the last.
fn policy() -> String {
    let entry = |index: usize| {
        json!({
            "name": format!("e{index}"),
            // All of it is compared, because only the image does not match.
            "match": {
                "namespaces": ["*".repeat(27)],
                "names": ["*".repeat(27)],
                "images": [format!("*{}", "/".repeat(53))],
                "hooks": ["pre-install"],
            },
        })
    };
    let mut entries: Vec<Value> = (0..99).map(entry).collect();
    entries.push(json!({"name": "last", "match": {"labels": {"last": "yes"}}}));
    format!(
        "match: {{selectors: [{{matchLabels: {{migration-warden.io/migration: \"true\"}}}}]}}\n\
         detection: {{promises: []}}\nadopt: {}\n",
        json!(entries)
    )
}

/// A Job with as many characters as are compared.
fn large(containers: usize, image: usize, last: bool) -> String {
    let large = job("", |job| {
        let metadata = job["metadata"].as_object_mut().unwrap();
        metadata.remove("name");
        metadata.insert("generateName".to_owned(), "a".repeat(253).into());
        let hooks = format!("{}pre-install", "x,".repeat(15));
        job["metadata"]["annotations"] = json!({"helm.sh/hook": hooks});
        if last {
            job["metadata"]["labels"] = json!({"last": "yes"});
        }
        let container = |index| json!({"name": format!("c{index}"), "image": "i".repeat(image)});
        job["spec"]["template"]["spec"]["containers"] = (0..containers).map(container).collect();
    });
    large.manifest
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_expressions_stay_within_their_budget() {
    let policy = policy();
    assert_eq!(Adopting::new(&policy).names.len(), 100);
    let (recorder, space) = (Recorder::start(), Space::new());
    let registration = installed::recorded(&space, &policy, &recorder);
    for (containers, image, last, path) in [
        (16, 255, false, "/detect-mutate"),
        (16, 255, true, "/adopt"),
        // What is longer is not compared.
        (17, 255, true, "/adopt"),
        (16, 10_000, true, "/adopt"),
        (400, 1_000, false, "/detect-mutate"),
    ] {
        let tried = space.try_to_create(&large(containers, image, last));
        assert_eq!(tried.refusal, "", "{containers} × {image}");
        let paths: Vec<_> = recorder.take().into_iter().map(|of| of.path).collect();
        assert_eq!(paths, [path], "{containers} × {image}");
    }
    drop(registration);

    let small = job("", |job| job["metadata"]["labels"] = json!({"last": "yes"}));
    let _labels = Labels::below(&space, &policy).eventually_labels(&space, &small.manifest);
    let tried = space.try_to_create(&large(16, 255, true));
    assert_eq!(
        tried.object["metadata"]["labels"][LABEL], "last",
        "{tried:?}"
    );
}
