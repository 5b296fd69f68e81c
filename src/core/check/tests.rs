use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::core::admit::{self, Circumstances, Judged};
use crate::core::namespace::NamespaceView;
use crate::core::policy_file::validate;
use crate::core::report::Source;
use crate::core::review::Phase;

fn check(text: &str, policy: &Policy) -> (Report, Vec<Located>) {
    let mut findings = Vec::new();
    let mut check = Check::new(policy, "", Vec::new());
    check.file("file.yaml", text, &mut |located| findings.push(located));
    (check.report, findings)
}

/// Pieces of generated manifests, right and wrong.
const PIECES: [&str; 36] = [
    "apiVersion: batch/v1\nkind: Job\n",
    "metadata:\n  name: shop-migrate-1766361600\n",
    "  labels: {app.kubernetes.io/component: migration}\n",
    "spec:\n  backoffLimit: 0\n",
    "  template:\n    spec:\n      containers: [{image: a, args: [--password, &x b, *x]}]\n",
    "kind: List\nitems:\n- ",
    "{\"kind\": \"JobList\", \"apiVersion\": \"batch/v1\", \"items\": [{\"metadata\": {\"name\": 5}}]}",
    "---\n",
    "--- text\n",
    "...\n",
    "%YAML 1.2\n",
    "<<: *x\n",
    "a: &x {b: 1}\n",
    "- *x\n",
    "? ",
    ": ",
    "!!int ",
    "!x ",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "{{ x }}",
    "|-\n",
    ">\n",
    "\t",
    "  ",
    "\n",
    "\r\n",
    "# c\n",
    "ä\u{1F600}",
    "\u{feff}",
    "\u{0}",
    "1.5e3",
];

proptest! {
    #[test]
    fn any_text_gives_a_report_whose_places_exist(
        parts in prop::collection::vec(prop_oneof![
            4 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
            1 => ".{0,8}",
        ], 0..24),
    ) {
        let text = parts.concat();
        let (report, findings) = check(&text, &validate::builtin());
        let lines = text.split('\n').count();
        let sources: Vec<_> = findings.iter().map(|located| located.source.as_ref().unwrap()).collect();
        let places = sources.iter().map(|source| source.position);
        let notes = report.problems.iter().chain(&report.warnings);
        for place in places.chain(notes.filter_map(|note| note.position)) {
            prop_assert!((1..=lines).contains(&place.line) && place.column >= 1, "{text:?}: {place:?}");
        }
        for Source { line, part, .. } in sources {
            prop_assert!(part.start <= part.end && part.end <= line.len(), "{text:?}");
        }
    }
}

/// The rules that this object breaks, according to the webhook.
fn reviewed(object: &Value, policy: &Policy) -> BTreeSet<&'static str> {
    let body = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "batch", "version": "v1", "kind": object["kind"]},
            "resource": {"group": "batch", "version": "v1", "resource": "jobs"},
            "namespace": object["metadata"]["namespace"].as_str().unwrap_or("shop"),
            "operation": "CREATE",
            "userInfo": {"username": "ci"},
            "object": object,
        },
    });
    let circumstances = Circumstances {
        policy,
        now: Timestamp::now(),
        id: Uuid::now_v7(),
        replica: "warden-0",
    };
    let body = body.to_string();
    let review = admit::read(Phase::Validate, body.as_bytes()).unwrap();
    let judged = review.judge(&circumstances, |_| NamespaceView::default());
    let answer = judged.and_then(Judged::finish).unwrap();
    answer.findings.into_iter().map(|(rule, _)| rule).collect()
}

#[test]
fn check_finds_what_the_webhook_finds() {
    let policy =
        "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nprofile: strict\n";
    let policy = validate::read("policy.yaml", policy).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fail");
    let mut judged = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for document in manifest::documents(&text) {
            let document = document.unwrap();
            let object = document.value(document.root());
            // Helm never sends a hook without a name: only a file can have one.
            let metadata = &object["metadata"];
            if metadata["name"].is_null() && !metadata["annotations"]["helm.sh/hook"].is_null() {
                continue;
            }
            let (_, findings) = check(&object.to_string(), &policy);
            let found: BTreeSet<_> = findings.iter().map(|l| l.finding.rule.id).collect();
            assert_eq!(found, reviewed(&object, &policy), "{object}");
            judged += 1;
        }
    }
    assert!(judged > 20, "{judged}");
    // A number without a fraction counts as an integer in both.
    let mut object: Value = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "a-1766361600", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {"backoffLimit": 6, "ttlSecondsAfterFinished": 60,
            "template": {"spec": {"restartPolicy": "Never", "containers": []}}}});
    let before = reviewed(&object, &policy);
    object["spec"]["backoffLimit"] = json!(6.0);
    object["spec"]["ttlSecondsAfterFinished"] = json!(6e1);
    assert_eq!(reviewed(&object, &policy), before);
    let (report, findings) = check(&object.to_string(), &policy);
    let found: BTreeSet<_> = findings.iter().map(|l| l.finding.rule.id).collect();
    assert_eq!((report.problems.len(), found), (0, before));
}
