//! However a Job gets to the apiserver, it is judged the same.

use crate::harness::{
    Chart, Guarded, RESTARTING_POD, Recorder, Space, Webhooks, action, epoch, rules,
};

const WAYS: [&[&str]; 4] = [
    &["create", "-f", "-"],
    &["apply", "-f", "-"],
    &["apply", "--server-side", "--field-manager=helm", "-f", "-"],
    &["create", "--dry-run=server", "-f", "-"],
];

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn every_way_to_create_a_job_is_judged() {
    let space = Guarded::with("");
    for (i, way) in WAYS.into_iter().enumerate() {
        let name = format!("way-{i}");
        space
            .kubectl_with(way, &Chart::good().render(&name))
            .succeeds();
        let decision = space.decision(&name);
        let dry = way.contains(&"--dry-run=server");
        assert_eq!(decision["dry_run"], dry, "{decision:#}");
        assert_eq!(
            space.audit("create").len() + space.audit("patch").len(),
            2 * i + 1
        );
        let refused = space
            .kubectl_with(way, &Chart::broken().render("bad"))
            .fails();
        refused.says("MW004");
        // What kubectl applies is no hook, whatever it says.
        if way != WAYS[1] {
            refused.says("MW001").says("MW002").says("MW003");
        }
    }
    assert_eq!(space.jobs().len(), WAYS.len() - 1, "all but the dry run");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_without_labels_is_audited_at_most() {
    let space = Guarded::with("");
    let chart = Chart::guide().with("restartPolicy: Never", "restartPolicy: OnFailure");
    let chart = chart.with("pre-install,pre-upgrade", "post-install");
    let created = space
        .kubectl_with(&["create", "-f", "-"], &chart.render("app"))
        .succeeds();
    created.never_says("Warning");
    let decision = space.decision("app-migrate");
    assert_eq!(decision["verdict"], "allowed");
    assert!(rules(&decision).contains(&"MW022"), "{decision:#}");
    for rule in rules(&decision) {
        assert_eq!(action(&decision, rule), Some("audit"), "{decision:#}");
    }
    assert!(rules(&decision).contains(&"MW002") && rules(&decision).contains(&"MW004"));
}

/// The apiserver gives a Job without labels those of its pods.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn labels_of_the_pods_count_when_the_job_has_none() {
    let space = Guarded::with("");
    let chart = Chart::good()
        .without("labels:")
        .without("app.kubernetes.io/")
        .with(
            "  template:\n",
            "  template:\n    metadata: {labels: {app.kubernetes.io/component: migration}}\n",
        );
    space.accepts(&chart.render("app"));
    let bad = chart.with("restartPolicy: Never", "restartPolicy: OnFailure");
    space.rejects(&bad.render("app"), &["MW004 restarting-pod: "]);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_that_is_no_migration_is_none_of_our_business() {
    let space = Guarded::with("");
    space
        .kubectl(&[
            "create",
            "job",
            "report",
            "--image=registry.example/report:1",
        ])
        .succeeds();
    let chart = Chart::good();
    space.accepts(&chart.render("app"));
    space.decision("app-migrate");
    let decisions = space.warden.decisions();
    let others = decisions
        .iter()
        .filter(|d| !d["job"].as_str().unwrap().starts_with("app-migrate"));
    assert_eq!(others.count(), 0, "{decisions:#?}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_timestamp_before_the_generated_characters_is_one() {
    let space = Guarded::with("");
    let name = r#"name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}""#;
    let good = Chart::good().with(name, &format!("generateName: app-{}-", epoch()));
    let job = space.accepts(&good.render("app"));
    let decision = space.decision(job["metadata"]["name"].as_str().unwrap());
    assert_eq!(decision["verdict"], "allowed", "{decision:#}");
    let bad = Chart::good().with(name, "generateName: app-");
    space.rejects(&bad.render("app"), &["MW001 untimestamped-name: "]);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_of_a_megabyte_is_judged() {
    let space = Guarded::with("");
    let command = "command: [/bin/busybox";
    let big = |chart: Chart| {
        let value = "x".repeat(1 << 20);
        chart.with(
            command,
            &format!("env: [{{name: BIG, value: {value}}}]\n          {command}"),
        )
    };
    space.accepts(&big(Chart::good()).render("create"));
    space.rejects(
        &big(RESTARTING_POD.chart()).render("bad"),
        &["MW004 restarting-pod: "],
    );
    let apply = ["apply", "--server-side", "-f", "-"];
    space
        .kubectl_with(&apply, &big(Chart::good()).render("apply"))
        .succeeds();
    let refused = space.kubectl_with(&apply, &big(RESTARTING_POD.chart()).render("bad"));
    refused.fails().says("MW004 restarting-pod: ");
}

/// What the webhook builds on, as this apiserver sends it.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_reviews_are_what_we_take_them_for() {
    let recorder = Recorder::start();
    let space = Space::new();
    let _registration = Webhooks::recorded_by(&recorder).register(&space);

    // POST and server-side apply are told apart by who manages the fields, in both phases.
    for (way, operation) in [(WAYS[0], "Update"), (WAYS[2], "Apply")] {
        space
            .kubectl_with(way, &Chart::good().render(&operation.to_lowercase()))
            .succeeds();
        let reviews = recorder.take();
        assert_eq!(
            reviews.iter().map(|r| &*r.path).collect::<Vec<_>>(),
            ["/mutate", "/validate"]
        );
        for review in &reviews {
            let request = review.request();
            assert_eq!(request["operation"], "CREATE");
            assert_eq!(request["options"]["kind"], "CreateOptions");
            let managed = &request["object"]["metadata"]["managedFields"][0];
            assert_eq!(managed["operation"], operation, "{request:#}");
        }
    }

    // A generated name is there only in the validating phase.
    let name = r#"name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}""#;
    let chart = Chart::good().with(name, "generateName: app-");
    space.kubectl_with(WAYS[0], &chart.render("app")).succeeds();
    let [mutate, validate] = &recorder.take()[..] else {
        panic!("two reviews")
    };
    assert_eq!(mutate.request().get("name"), None);
    assert_eq!(mutate.request()["object"]["metadata"].get("name"), None);
    assert!(
        validate.request()["name"]
            .as_str()
            .unwrap()
            .starts_with("app-")
    );

    // A missing restartPolicy is `Always`, and never reaches the validating phase.
    let chart = Chart::good().without("restartPolicy");
    let refused = space.kubectl_with(WAYS[0], &chart.render("always"));
    refused.fails().says("restartPolicy: Required value");
    let [mutate] = &recorder.take()[..] else {
        panic!("one review")
    };
    let pod = &mutate.request()["object"]["spec"]["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Always");
}
