//! Tests that whatever a review holds, the output is bounded and no part of it can pass for a line of its own.

use migration_warden::core::decision::MAX_LINE;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "hunter2hunter2";
/// The most that the sink adds to a line: the count of lost lines before it, and the newline.
const MORE: usize = "\"lost\":18446744073709551615,\n".len();
const MAX_ANSWER: usize = 128 * 1024;

/// A review in which each field has this text, and each list `many` entries.
fn filled(text: &str, many: usize, operation: &str) -> Value {
    let groups = vec![text; many];
    // Every container has these words, so a few of them are enough.
    let words = &groups[..many.min(4)];
    let container = json!({
        "name": text, "image": text, "command": words,
        "args": [format!("--password={SECRET}"), text],
        "env": [{"name": text, "value": text}, {"name": "DB_PASSWORD", "value": SECRET}],
    });
    let annotations = json!({
        "helm.sh/hook": text, "helm.sh/hook-delete-policy": text, "helm.sh/hook-weight": text,
        "argocd.argoproj.io/tracking-id": text,
        "migration-warden.io/database": text, "migration-warden.io/decision": text,
        "migration-warden.io/requested-by": text, "migration-warden.io/exceptions": text,
    });
    let job = json!({
        "metadata": {
            "name": text, "generateName": text, "namespace": text, "uid": text,
            "labels": {"app.kubernetes.io/component": "migration"},
            "annotations": annotations,
        },
        "spec": {
            "completionMode": text,
            "template": {"spec": {
                "restartPolicy": text,
                "containers": vec![container; many.min(20)],
            }},
        },
        "status": {"ready": 1},
    });
    let mut old = job.clone();
    old["metadata"]["annotations"] = Value::Null;
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            // Not cut within a credential: half of one is none that could be recognised.
            "uid": text.replace(SECRET, "x").chars().take(60).collect::<String>(), "name": text, "namespace": text, "operation": operation,
            "kind": {"group": "batch", "version": "v1", "kind": "Job"},
            "userInfo": {"username": text, "groups": groups},
            "object": job, "oldObject": old,
            "options": {"fieldManager": text},
        },
    })
}

fn answers(review: &Value) -> Vec<Answer> {
    let body = review.to_string();
    let policies = [
        "profile: strict\nhelp: https://wiki.example.com/migrations\n",
        "profile: audit\n",
    ];
    let all = [Mutate, Validate].map(|phase| {
        policies.map(|rules| {
            let view = NamespaceView::default();
            ask_bytes(phase, body.as_bytes(), &policy(rules), view).unwrap()
        })
    });
    all.into_iter().flatten().collect()
}

fn is_one_line(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c))
}

fn is_bounded(answer: &Answer) {
    if let Some(line) = &answer.line {
        assert!(line.len() + MORE <= MAX_LINE, "{}", line.len());
        let text = std::str::from_utf8(line).unwrap();
        assert!(is_one_line(text) && !text.contains(SECRET), "{text}");
        let line = super::line(answer);
        assert_eq!(line["verdict"], answer.outcome.as_str());
        assert_eq!(line["id"], ID);
    }
    let text = std::str::from_utf8(&answer.body).unwrap();
    assert!(answer.body.len() <= MAX_ANSWER, "{}", answer.body.len());
    let body: Value = serde_json::from_str(text).unwrap();
    let response = &body["response"];
    let warnings = response["warnings"].as_array().cloned().unwrap_or_default();
    let warnings: Vec<_> = warnings.iter().filter_map(Value::as_str).collect();
    assert!(warnings.iter().map(|w| w.len()).sum::<usize>() <= 4096 * 3);
    for warning in warnings {
        assert!(
            warning.chars().count() <= 256 && is_one_line(warning),
            "{warning}"
        );
    }
    let message = response["status"]["message"].as_str().unwrap_or_default();
    assert!(!message.contains(SECRET));
    for line in message.lines() {
        let starts = [
            "MW",
            "and ",
            "Why, and ",
            "To ",
            "If its ",
            "For this ",
            "  kubectl ",
        ];
        let begins = starts.iter().any(|start| line.starts_with(start));
        assert!(begins && is_one_line(line), "{line}");
    }
    if let Some(happening) = &answer.happening {
        assert!(happening.note.len() <= 1024 && is_one_line(&happening.note));
    }
}

#[test]
fn the_largest_texts_leave_the_verdict_and_the_ids() {
    for text in ["\"", "\\", "é", "\u{202e}", "\n", "MW001 "] {
        for (size, many) in [(40_000, 1), (1_000, 40), (100, 1_000)] {
            let text = text.repeat(size / text.len());
            for operation in ["CREATE", "UPDATE", "DELETE"] {
                for answer in answers(&filled(&text, many, operation)) {
                    is_bounded(&answer);
                    let Some(line) = &answer.line else { continue };
                    let line: Value = serde_json::from_slice(line).unwrap();
                    assert_eq!(line["truncated"], true, "{line:#}");
                    let kept = line["user"].as_str().unwrap();
                    // A line break becomes one space, and then the whole text may fit.
                    let is_whole = kept.chars().count() == text.chars().count();
                    let is_told = kept.ends_with('…') || is_whole;
                    assert!(is_told && kept.len() <= 512, "{kept}");
                }
            }
        }
    }
}

#[test]
fn an_ordinary_line_is_whole() {
    let mut review = filled("shop", 1, "CREATE");
    review["request"]["object"] = testing::job(|job| {
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    });
    for answer in answers(&review) {
        is_bounded(&answer);
        if let Some(line) = &answer.line {
            let line: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(line["truncated"], Value::Null, "{line:#}");
        }
    }
}

#[test]
fn a_secret_in_the_release_or_its_namespace_is_masked() {
    let mut review = filled("shop", 1, "CREATE");
    let url = format!("postgres://app:{SECRET}@db/shop");
    review["request"]["namespace"] = json!(url);
    review["request"]["object"]["metadata"]["labels"]["app.kubernetes.io/instance"] = json!(url);
    for answer in answers(&review) {
        is_bounded(&answer);
        assert!(answer.happening.is_none(), "not the name of a namespace");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_review_is_answered_in_bounds(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "a", "\"", "\\", "\n", "\r\n", "\u{1b}[2K", "\u{202e}", "é", "𝄞", " ",
                "--password=hunter2hunter2 ", "postgres://u:hunter2hunter2@h/d ", "password=\n",
                "pre-install,pre-upgrade", "{\"ts\":\"forged\"}",
            ]),
            0..12,
        ),
        times in 1_usize..40,
        many in 0_usize..40,
        operation in prop::sample::select(vec!["CREATE", "UPDATE", "DELETE"]),
    ) {
        // Nothing between two parts may end the secret, so each part is a word of its own.
        let text = format!("x{}", parts.join(" ").repeat(times));
        for answer in answers(&filled(&text, many, operation)) {
            is_bounded(&answer);
        }
    }
}
