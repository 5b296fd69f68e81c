//! Interprets the API server's answer: whether the Job was admitted, and otherwise what refused it. Pure.

use kube::core::Status;
use serde_json::{Value, json};

use super::{Sent, State, advice, jobs};
use crate::cluster::api::said;
use crate::core::job::ADOPTED_LABEL;
use crate::core::text;

/// The domain of our webhooks' names.
const DOMAIN: &str = "migration-warden.io";

/// The API server's answer to the creation of a Job.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The texts of its `Warning` headers.
    pub(super) warnings: Vec<String>,
    /// The Job as it would be stored, or a `Status`.
    pub(super) body: Value,
}

/// What the answer to one of the Jobs shows.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) state: State,
    pub(super) told: String,
    /// Quoted from the API server's answer.
    pub(super) words: String,
    /// Why, and what to do; empty if the result is as expected.
    pub(super) advice: String,
}

impl Check {
    pub(super) fn json(&self) -> Value {
        json!({
            "result": self.state.to_string(), "answer": self.told, "message": self.words, "advice": self.advice,
        })
    }
}

/// What this answer shows.
pub(super) fn check(sent: Sent, answer: &Answer, namespace: &str) -> Check {
    if (200..300).contains(&answer.status) {
        allowed(sent, answer, namespace)
    } else {
        refused(sent, answer, namespace)
    }
}

fn allowed(sent: Sent, answer: &Answer, namespace: &str) -> Check {
    let warnings = answer.warnings.iter().flat_map(|value| quoted(value));
    let warnings: Vec<_> = warnings.collect();
    let adopted = answer.body["metadata"]["labels"][ADOPTED_LABEL].as_str();
    let adopted = adopted.map(|name| format!("allowed, and adopted as {}", text::one_line(name)));
    let (state, told, advice) = match sent {
        Sent::Good => (State::InForce, "allowed", String::new()),
        // The policy may say so.
        Sent::Unlabelled => match &adopted {
            Some(told) => (State::InForce, &**told, String::new()),
            None => (
                State::InForce,
                "allowed, but not adopted",
                advice::not_adopted(namespace),
            ),
        },
        Sent::Broken if is_corrected(&answer.body) => {
            (State::InForce, "allowed, and corrected", String::new())
        }
        Sent::Broken if warnings.iter().any(|warning| is_finding(warning)) => (
            State::NotInForce,
            "allowed with warnings",
            advice::warned(namespace),
        ),
        Sent::Broken => (
            State::NotInForce,
            "allowed without a warning from migration-warden",
            advice::unjudged(namespace),
        ),
    };
    Check {
        state,
        told: told.to_owned(),
        words: warnings.join("\n"),
        advice,
    }
}

fn refused(sent: Sent, answer: &Answer, namespace: &str) -> Check {
    let message = answer.body["message"].as_str().unwrap_or_default();
    let words = said(&Status::failure(message, "").with_code(answer.status));
    if let Some((webhook, denied)) = named(message, "admission webhook \"")
        && let Some((_, said)) = denied.split_once("denied the request: ")
        && is_ours(webhook)
    {
        let (state, advice) = match sent {
            Sent::Good | Sent::Unlabelled => (State::NotInForce, advice::REFUSES_GOOD),
            Sent::Broken => (State::InForce, ""),
        };
        return Check {
            state,
            told: format!("denied by {webhook}"),
            words: said.to_owned(),
            advice: advice.to_owned(),
        };
    }
    let called = named(message, "failed calling webhook \"");
    let (state, told, advice) = if called.is_some_and(|(webhook, _)| is_ours(webhook)) {
        let told = "refused, because the webhook does not answer";
        (State::NotInForce, told, advice::UNANSWERED.to_owned())
    } else if message.contains("ValidatingAdmissionPolicy 'migration-warden") {
        let told = "denied by the ValidatingAdmissionPolicy, not by a webhook";
        (State::NotInForce, told, advice::unjudged(namespace))
    } else {
        // It shows nothing about our webhooks.
        let told = "refused, but not by migration-warden";
        let advice = advice::refused(answer.status, message, namespace);
        (State::Unknown, told, advice)
    };
    Check {
        state,
        told: told.to_owned(),
        words,
        advice,
    }
}

/// Whether a warning is one of our findings: it begins with the rule's id.
fn is_finding(warning: &str) -> bool {
    let [b'M', b'W', id @ ..] = warning.as_bytes() else {
        return false;
    };
    matches!(id, [a, b, c, b' ', ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()))
}

/// The name between `before` and the closing quote, and the rest.
fn named<'a>(message: &'a str, before: &str) -> Option<(&'a str, &'a str)> {
    message.split_once(before)?.1.split_once('"')
}

fn is_ours(webhook: &str) -> bool {
    webhook
        .strip_suffix(DOMAIN)
        .is_some_and(|rest| rest.ends_with('.'))
}

fn is_corrected(stored: &Value) -> bool {
    let sent = jobs::broken();
    [
        "/metadata/name",
        "/metadata/annotations/helm.sh~1hook-delete-policy",
        "/spec/template/spec/restartPolicy",
    ]
    .iter()
    .any(|path| stored.pointer(path) != sent.pointer(path))
}

/// The texts in a `Warning` header: `299 - "text"`, several of which a proxy may have joined.
fn quoted(header: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut chars = header.chars();
    while chars.by_ref().any(|char| char == '"') {
        let mut text = String::new();
        while let Some(char) = chars.next() {
            match char {
                '"' => break,
                '\\' => text.extend(chars.next()),
                char => text.push(char),
            }
        }
        texts.push(text);
    }
    texts
}
