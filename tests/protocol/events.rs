//! The Kubernetes Event of a review.

use super::*;

/// The Event of a review in the phase that runs last: its reason, its objects and its note.
fn told(review: &Value) -> Option<(&'static str, Value, String)> {
    let happening = ask(Validate, review, &policy("profile: strict\n"))
        .0
        .happening?;
    assert_eq!(happening.is_warning, happening.reason == "MigrationDenied");
    let objects = json!([happening.regarding, happening.related]);
    Some((happening.reason, objects, happening.note.clone()))
}

fn reference(kind: &str, name: &str) -> Value {
    let version = if kind == "Namespace" {
        "v1"
    } else {
        "batch/v1"
    };
    json!({"apiVersion": version, "kind": kind, "namespace": "shop", "name": name})
}

fn restarting(job: &mut Value) {
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
}

#[test]
fn a_denial_is_told_of_the_namespace_and_a_correction_of_the_job() {
    let denied = "CREATE of shop-migrate-1766361600: MW004 restarting-pod: spec.template.spec.restartPolicy: found \
                  \"OnFailure\"; write restartPolicy: Never in the pod template";
    let objects = json!([
        reference("Namespace", "shop"),
        reference("Job", "shop-migrate")
    ]);
    let expected = ("MigrationDenied", objects, denied.to_owned());
    assert_eq!(told(&changed(restarting)), Some(expected));

    let corrected = changed(|job| {
        job["metadata"]["uid"] = json!("1f3a");
        let annotations = &mut job["metadata"]["annotations"];
        annotations["migration-warden.io/requested-by"] = json!("ci");
        annotations["migration-warden.io/patched"] = json!("MW003,x,MW004");
    });
    let mut job = reference("Job", "shop-migrate-1766361600");
    job["uid"] = json!("1f3a");
    let note = "corrected MW003, MW004 in the Job; correct the chart too";
    let expected = ("MigrationPatched", json!([job, null]), note.to_owned());
    assert_eq!(told(&corrected), Some(expected));
}

#[test]
fn nothing_is_told_of_a_job_that_gets_in_or_was_only_tried() {
    assert_eq!(told(&review(&job())), None);
    let mut tried = changed(restarting);
    tried["request"]["dryRun"] = json!(true);
    assert_eq!(told(&tried), None);
}

/// An Event has 1024 bytes at most. The answer to the client has the rest.
#[test]
fn a_note_names_every_finding_before_the_commands_that_fit() {
    let note = |name: &str, added: &[&str]| {
        let mut update = later("UPDATE", |job| {
            finished(job);
            job["metadata"]["name"] = json!(name);
        });
        let annotations = &mut update["request"]["object"]["metadata"]["annotations"];
        for stamp in added {
            annotations[format!("migration-warden.io/{stamp}")] = json!("1");
        }
        told(&update).unwrap().2
    };
    let whole = |name: &str| {
        format!(
            "UPDATE of {name}: MW103 reapplied-job: metadata.name: shop/{name} has already finished, and applying it \
             again runs nothing; add a timestamp to the name, or before-hook-creation to the delete policy; \
             MW104 forged-stamp: metadata.annotations['migration-warden.io/decision']: the Job was created without \
             it, so \"1\" may not be added; leave stamps out of charts and manifests, and keep the label of a \
             stamped Job"
        )
    };
    let delete = |name: &str| {
        format!("For this upgrade, before you retry: kubectl delete job {name} -n shop")
    };
    let (short, long) = (
        "shop-migrate-1766361600",
        format!("{}-1766361600", "x".repeat(242)),
    );
    let expected = format!("{}; {}", whole(short), delete(short));
    assert_eq!(note(short, &["decision"]), expected);
    // The command does not fit, and half of it would be another command.
    assert_eq!(note(&long, &["decision"]), whole(&long));
    let field =
        |stamp| format!("MW104 forged-stamp: metadata.annotations['migration-warden.io/{stamp}']");
    assert_eq!(
        note(
            &long,
            &["decision", "requested-by", "exceptions", "patched"]
        ),
        format!(
            "UPDATE of {long}: MW103 reapplied-job: metadata.name; {}; {}; {}; {}; {}",
            field("decision"),
            field("requested-by"),
            field("exceptions"),
            field("patched"),
            delete(&long),
        )
    );

    let secrets = (0..30).map(|n| json!({"name": format!("V{n}_PASSWORD"), "value": "hunter2"}));
    let secrets: Vec<_> = secrets.collect();
    let many = changed(|job| {
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
        job["spec"]["template"]["spec"]["containers"][0]["env"] = json!(secrets);
    });
    let expected = "CREATE of shop-migrate-1766361600: MW004; MW010";
    assert_eq!(told(&many).unwrap().2, expected);
}
