//! What a migration Job says of the decision that let it in, and that nobody else can say it.

use serde_json::{Value, json};

use crate::harness::{
    Chart, Guarded, Helm, Outcome, Recorded, Recorder, Space, WRONG_DELETE_POLICY, Warden,
    Webhooks, eventually, rules,
};

/// A Job that is no hook belongs to the release, and is applied again with it.
const PLAIN: &str = "rules: {MW001: off, MW002: off, MW003: off, MW101: off}\n";

const DECISION: &str = "migration-warden.io/decision";
const REQUESTED_BY: &str = "migration-warden.io/requested-by";
const EXCEPTIONS: &str = "migration-warden.io/exceptions";
const PATCHED: &str = "migration-warden.io/patched";

/// Whom the tests' kubeconfig names.
const ADMIN: &str = "admin";

fn plain() -> Chart {
    let named = Chart::good().with("-migrate-{{ now | unixEpoch }}", "-migrate");
    named.without("helm.sh/hook").without("annotations:")
}

/// A namespace with all entries.
fn guarded(policy: &str) -> Guarded {
    Guarded::over(Space::new(), policy, Webhooks::guarding)
}

fn stamp<'a>(job: &'a Value, stamp: &str) -> Option<&'a str> {
    job["metadata"]["annotations"][stamp].as_str()
}

/// The id that the apiserver's audit log has for the creation of this Job, in each phase.
fn audited(space: &Space, job: &str) -> [Option<String>; 2] {
    eventually("the creation to be in the audit log", || {
        // Server-side apply is a PATCH.
        let events = ["create", "patch"].map(|verb| space.audit(verb)).concat();
        let event = events.into_iter().find(|event| {
            let code = &event["responseStatus"]["code"];
            *code == 201 && event["responseObject"]["metadata"]["name"] == *job
        })?;
        Some(["mutate", "validate"].map(|phase| {
            let key = format!("{phase}.migration-warden.io/decision");
            event["annotations"][key].as_str().map(str::to_owned)
        }))
    })
}

/// The Job is stamped for this user, and its id is the one of its lines and of the audit log.
fn is_stamped(space: &Guarded, job: &Value, user: &str) {
    let name = job["metadata"]["name"].as_str().unwrap();
    let id = stamp(job, DECISION).unwrap_or_else(|| panic!("no stamp: {job:#}"));
    assert_eq!(stamp(job, REQUESTED_BY), Some(user), "{job:#}");
    let decision = space.decision(name);
    assert_eq!(decision["id"], id, "{decision:#}");
    assert_eq!(decision["user"], user);
    let both = Some(id.to_owned());
    assert_eq!(audited(space, name), [both.clone(), both]);
    let lines = space.warden.decisions().into_iter();
    let phases: Vec<_> = lines
        .filter(|line| line["id"] == id)
        .map(|line| line["phase"].clone())
        .collect();
    // The other phase has a line where it has changed more than the stamps: a hook that Helm runs gets a time to live,
    // and what kubectl applies does not.
    let is_changed = !job["spec"]["ttlSecondsAfterFinished"].is_null();
    let expected = if is_changed {
        vec!["mutate", "validate"]
    } else {
        vec!["validate"]
    };
    assert_eq!(phases, expected, "{name}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn whoever_creates_a_migration_is_stamped_on_it() {
    let space = guarded(PLAIN);
    let generated = Chart::good().with(
        r#"name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}""#,
        "generateName: generated-",
    );
    let forged = format!(
        "annotations:\n    {DECISION}: 019b435b-2388-7000-8000-000000000007\n    {REQUESTED_BY}: root\n    {EXCEPTIONS}: all\n    {PATCHED}: MW003\n"
    );
    let bare = plain();
    for (verb, chart) in [
        (&["create"][..], Chart::good().render("created")),
        (&["create"], generated.render("app")),
        (&["create"], bare.render("bare")),
        (
            &["create"],
            Chart::good()
                .with("annotations:\n", &forged)
                .render("forged"),
        ),
        (&["apply"], Chart::good().render("applied")),
        (&["apply", "--server-side"], Chart::good().render("server")),
        (
            &[
                "apply",
                "--server-side",
                "--as=alice",
                "--as-group=system:masters",
            ],
            Chart::good()
                .with("annotations:\n", &forged)
                .render("alice"),
        ),
    ] {
        let args = [verb, &["-o", "json", "-f", "-"]].concat();
        let job = space.kubectl_with(&args, &chart).succeeds().json();
        let user = if verb.contains(&"--as=alice") {
            "alice"
        } else {
            ADMIN
        };
        is_stamped(&space, &job, user);
        for unsaid in [EXCEPTIONS, PATCHED] {
            assert_eq!(stamp(&job, unsaid), None, "{job:#}");
        }
    }
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &plain()).succeeds();
        is_stamped(
            &space,
            &space.get("job", &format!("{release}-migrate")),
            ADMIN,
        );
    }
    // A dry run shows what would be.
    let args = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    let job = space.kubectl_with(&args, &Chart::good().render("dry"));
    let job = job.succeeds().json();
    let id = stamp(&job, DECISION).unwrap();
    let line = space
        .warden
        .decision("the dry run", |line| line["id"] == id);
    assert_eq!(line["dry_run"], true, "{line:#}");
}

/// Another webhook after ours changes the Job, so the apiserver asks ours again.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_second_call_keeps_the_stamps_of_the_first() {
    let policy = "rules: {wrong-delete-policy: 'off'}\n";
    let first = Guarded::over(Space::new(), policy, Webhooks::reinvoked);
    let later = Warden::serve("rules: {wrong-delete-policy: patch}\n");
    let _second = Webhooks::of(&later).last().register(&first);
    let args = ["create", "-o", "json", "-f", "-"];
    let create = |chart: Chart, release: &str| {
        let created = first.kubectl_with(&args, &chart.render(release));
        created.succeeds().json()
    };
    let job = create(WRONG_DELETE_POLICY.chart(), "app");
    is_stamped(&first, &job, ADMIN);
    let events = first.audit("create");
    let event = events.last().unwrap();
    let rounds = [first.mutated(event, 0), first.mutated(event, 1)];
    assert_eq!(
        rounds,
        [Some(true), Some(false)],
        "asked twice, changed once"
    );
    // What the client wrote goes, in each round.
    let id = "019b435b-2388-7000-8000-000000000007";
    let forged = format!("annotations:\n    {DECISION}: {id}\n    {REQUESTED_BY}: {ADMIN}\n");
    let job = create(
        WRONG_DELETE_POLICY.chart().with("annotations:\n", &forged),
        "forged",
    );
    assert_ne!(stamp(&job, DECISION), Some(id), "{job:#}");
    let name = job["metadata"]["name"].as_str().unwrap();
    let line = first.decision(name);
    assert_eq!(
        line["id"], job["metadata"]["annotations"][DECISION],
        "{line:#}"
    );
}

fn annotate(space: &Space, job: &str, annotation: &str) -> Outcome {
    space.kubectl(&["annotate", "--overwrite", "job", job, annotation])
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn nobody_changes_a_stamp() {
    let space = guarded("");
    let job = space.accepts(&Chart::good().render("app"));
    let name = job["metadata"]["name"].as_str().unwrap();
    for forgery in [
        format!("{DECISION}=019b435b-2388-7000-8000-000000000007"),
        format!("{REQUESTED_BY}=alice"),
        format!("{EXCEPTIONS}=hotfix"),
        format!("{PATCHED}=MW003"),
        format!("{REQUESTED_BY}-"),
    ] {
        let refused = annotate(&space, name, &forgery).fails();
        let stamp = forgery.trim_end_matches('-').split('=').next().unwrap();
        refused
            .says("admission webhook \"guard.migration-warden.io\" denied the request: MW104 forged-stamp: ")
            .says(&format!("metadata.annotations['{stamp}']: "))
            .says("leave stamps out of charts and manifests, and keep the label of a stamped Job");
    }
    // A chart that brings its own takes back what it was stamped with, the next time it is applied.
    let own = format!("annotations:\n    {REQUESTED_BY}: root\n");
    let own = Chart::good().with("annotations:\n", &own).render("own");
    let apply = ["apply", "--server-side", "-f", "-"];
    space.kubectl_with(&apply, &own).succeeds();
    let refused = space.kubectl_with(&apply, &own).fails();
    refused
        .says("MW104 forged-stamp: ")
        .says("it is \"admin\", and may not become \"root\"");
    let line = space
        .warden
        .decision("an update", |line| line["operation"] == "UPDATE");
    assert_eq!(
        (rules(&line), &line["verdict"]),
        (vec!["MW104"], &json!("denied"))
    );
    assert_eq!(
        space.get("job", name)["metadata"]["annotations"],
        job["metadata"]["annotations"]
    );
}

/// A status can change annotations, and a label can make a migration of a Job that nobody stamped.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn there_is_no_way_around_it() {
    let space = guarded("");
    let job = space.accepts(&Chart::good().render("app"));
    let name = job["metadata"]["name"].as_str().unwrap();
    let forged = json!({"metadata": {"annotations": {REQUESTED_BY: "alice"}}});
    let of_status = ["--subresource=status"];
    let refused = space.patch(name, &forged, &of_status).fails();
    refused
        .says("MW104 forged-stamp: ")
        .says("it is \"admin\", and may not become \"alice\"");
    let status = json!({"metadata": {"annotations": {"other": "1"}}});
    space.patch(name, &status, &of_status).succeeds();

    // Neither without the label nor opted out would anybody ask about the next update.
    for labels in [
        json!({"app.kubernetes.io/component": null}),
        json!({"migration-warden.io/migration": "false"}),
    ] {
        let unlabelled =
            json!({"metadata": {"labels": labels, "annotations": {REQUESTED_BY: "alice"}}});
        for more in [&[][..], &of_status] {
            let refused = space.patch(name, &unlabelled, more).fails();
            refused
                .says("MW104 forged-stamp: metadata.labels: ")
                .says("was admitted as a migration Job, and is not one after this update");
        }
    }
    let stored = space.get("job", name);
    assert_eq!(stored["metadata"]["labels"], job["metadata"]["labels"]);
    assert_eq!(stored["metadata"]["annotations"][REQUESTED_BY], ADMIN);

    // No migration yet, and suspended until it is one.
    let label = "app.kubernetes.io/component: migration";
    let plain = Chart::good()
        .with(label, "app.kubernetes.io/component: worker")
        .with("spec:\n  template", "spec:\n  suspend: true\n  template");
    let job = space.accepts(&plain.render("late"));
    let name = job["metadata"]["name"].as_str().unwrap();
    space.patch(name, &forged, &[]).succeeds();
    let wipe = json!({"metadata": {"managedFields": [{}]}});
    space.patch(name, &wipe, &[]).succeeds();
    let labelled = json!({"metadata": {"labels": {"app.kubernetes.io/component": "migration"}}});
    let refused = space.patch(name, &labelled, &[]).fails();
    refused
        .says("MW104 forged-stamp: ")
        .says("migration-warden did not write \"alice\"");
    let clean = json!({"metadata": {"annotations": {REQUESTED_BY: null}}});
    space.patch(name, &clean, &[]).succeeds();
    space.patch(name, &labelled, &[]).succeeds();
}

/// What Jobs are told of apart from their stamps passes, and so does everybody who leaves the stamps alone.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn whoever_applies_again_leaves_the_stamps_alone() {
    let space = guarded(PLAIN);
    for (release, verb) in [
        ("client", &["apply"][..]),
        ("server", &["apply", "--server-side"]),
    ] {
        let args = [verb, &["-o", "json", "-f", "-"]].concat();
        let apply = |manifest: &str| space.kubectl_with(&args, manifest).succeeds().json();
        let first = apply(&plain().render(release));
        let again = apply(&plain().render(release));
        let label = "labels:\n    touched: \"yes\"\n";
        let changed = apply(&plain().with("labels:\n", label).render(release));
        assert_eq!(changed["metadata"]["labels"]["touched"], "yes");
        for job in [again, changed] {
            for stamp in [DECISION, REQUESTED_BY] {
                let at = |job: &Value| job["metadata"]["annotations"][stamp].clone();
                assert_eq!(at(&job), at(&first), "{verb:?} {stamp}");
            }
        }
    }
    for helm in Helm::BOTH {
        let release = helm.release("app");
        let stamps = || {
            let job = space.get("job", &format!("{release}-migrate"));
            [DECISION, REQUESTED_BY].map(|name| stamp(&job, name).map(str::to_owned))
        };
        space.install(helm, &release, &plain()).succeeds();
        let before = stamps();
        let touched = plain().with("labels:\n", "labels:\n    touched: \"yes\"\n");
        space.upgrade(helm, &release, &touched).succeeds();
        space.helm(helm, &["rollback", &release, "1"]).succeeds();
        assert_eq!(stamps(), before, "{release}");
    }
}

/// `kubectl replace` with a manifest that was not read from the cluster: the apiserver itself refuses it.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_cannot_be_replaced_by_its_manifest_anyway() {
    let space = Space::new();
    let manifest = plain().render("app");
    space
        .kubectl_with(&["create", "-f", "-"], &manifest)
        .succeeds();
    replaced(&space, || manifest.clone())
        .fails()
        .says("field is immutable");

    let space = guarded(PLAIN);
    let job = space.accepts(&manifest);
    let name = job["metadata"]["name"].as_str().unwrap();
    replaced(&space, || manifest.clone())
        .fails()
        .says("field is immutable")
        .never_says("MW104");
    // As it was read, with something else changed, it can be.
    let touched = || {
        let mut read = space.get("job", name);
        read["metadata"]["labels"]["touched"] = json!("yes");
        read.to_string()
    };
    let written = replaced(&space, touched).succeeds().json();
    assert_eq!(stamp(&written, DECISION), stamp(&job, DECISION));
    // By force it is another Job, which is stamped anew.
    let forced = ["replace", "--force", "-f", "-"];
    space.kubectl_with(&forced, &manifest).succeeds();
    let forced = space.get("job", name);
    assert_ne!(stamp(&forced, DECISION), stamp(&job, DECISION));
    assert_eq!(stamp(&forced, REQUESTED_BY), Some(ADMIN));
}

/// What `kubectl replace` says of the manifest once nobody else writes the Job at the same moment, as
/// the Job controller does with its status.
fn replaced(space: &Space, manifest: impl Fn() -> String) -> Outcome {
    eventually("no conflict", || {
        let args = ["replace", "-o", "json", "-f", "-"];
        let replaced = space.kubectl_with(&args, &manifest());
        (!replaced.stderr.contains("(Conflict)")).then_some(replaced)
    })
}

/// Where `/mutate` was not asked, nobody gets in under another name.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn nobody_creates_a_migration_in_anothers_name() {
    let space = Guarded::over(Space::new(), "", Webhooks::unstamped);
    let forged = format!("annotations:\n    {REQUESTED_BY}: alice\n");
    let forged = Chart::good().with("annotations:\n", &forged);
    space
        .rejects(&forged.render("forged"), &["MW104 forged-stamp: "])
        .says("it is \"alice\", but \"admin\" creates the Job");
    let job = space.accepts(&Chart::good().render("good"));
    assert_eq!(stamp(&job, REQUESTED_BY), None);
    // Its own name it may say, and an id of long ago is not taken for that of this decision.
    let id = "019b435b-2388-7000-8000-000000000007";
    let own = format!("annotations:\n    {REQUESTED_BY}: {ADMIN}\n    {DECISION}: {id}\n");
    let own = space.accepts(&Chart::good().with("annotations:\n", &own).render("own"));
    let name = own["metadata"]["name"].as_str().unwrap();
    assert_ne!(space.decision(name)["id"], id);
}

/// The apiserver asks about an update when a stamp changes, and about no other.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn no_other_update_is_asked_about() {
    let recorder = Recorder::start();
    let space = Space::new();
    let _registration = Webhooks::recorded_by(&recorder).guarding().register(&space);
    let annotated = plain().with(
        "metadata:\n",
        &format!("metadata:\n  annotations: {{{DECISION}: x, other: \"1\"}}\n"),
    );
    let create = ["create", "-o", "name", "-f", "-"];
    for (release, chart) in [("bare", plain()), ("stamped", annotated)] {
        space
            .kubectl_with(&create, &chart.render(release))
            .succeeds();
        let job = format!("{release}-migrate");
        recorder.take();
        let asked = || -> Vec<String> {
            let reviews = recorder.take();
            let reviews = reviews.iter().map(Recorded::request);
            reviews
                .map(|request| request["operation"].as_str().unwrap().to_owned())
                .collect()
        };
        let patch = |patch: Value| {
            space.patch(&job, &patch, &[]).succeeds();
        };
        patch(json!({"metadata": {"labels": {"touched": "yes"}}}));
        patch(json!({"metadata": {"annotations": {"other": "2"}}}));
        patch(json!({"metadata": {"annotations": {"other": null}}}));
        patch(json!({"metadata": {"finalizers": ["e2e.migration-warden.io/hold"]}}));
        patch(json!({"spec": {"suspend": true}}));
        patch(json!({"spec": {"suspend": false}}));
        patch(json!({"metadata": {"finalizers": null}}));
        let apply = ["apply", "--server-side", "-f", "-"];
        space
            .kubectl_with(&apply, &plain().render(release))
            .succeeds();
        // Its controller writes as well, and is never asked about.
        let complete = [
            "wait",
            "--for=condition=Complete",
            "--timeout=30s",
            "job",
            &job,
        ];
        space.kubectl(&complete).succeeds();
        assert_eq!(asked(), Vec::<String>::new(), "{release}");
        for (stamp, value) in [
            (DECISION, "y"),
            (REQUESTED_BY, "alice"),
            (EXCEPTIONS, "z"),
            (PATCHED, "MW001"),
        ] {
            patch(json!({"metadata": {"annotations": {stamp: value}}}));
            assert_eq!(asked(), ["UPDATE"], "{release} {stamp}");
            patch(json!({"metadata": {"annotations": {stamp: null}}}));
            assert_eq!(asked(), ["UPDATE"], "{release} {stamp}");
        }
        patch(json!({"metadata": {"labels": {"migration-warden.io/migration": "false"}}}));
        assert_eq!(asked(), ["UPDATE"], "{release} opts out");
    }
}
