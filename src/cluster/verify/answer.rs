//! Interprets the API server's answer: whether the Job was admitted, and otherwise what refused it.

use serde_json::Value;

/// The domain of our webhooks' names.
const DOMAIN: &str = "migration-warden.io";

/// The API server's answer to the creation of a Job.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    /// The texts of its `Warning` headers.
    pub warnings: Vec<String>,
    /// The Job as it would be stored, or a `Status`.
    pub body: Value,
}

/// The outcome for a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed {
        /// Whether its name, restart policy or delete policy was changed.
        corrected: bool,
        /// All warnings, from whatever source.
        warnings: Vec<String>,
    },
    /// One of our webhooks denied it.
    Denied { webhook: String, message: String },
    /// One of our webhooks was called and did not answer.
    Unanswered {
        /// The API server's message.
        message: String,
    },
    /// Our `ValidatingAdmissionPolicy` denied it, not a webhook.
    DeniedByPolicy {
        /// The API server's message.
        message: String,
    },
    /// Something else refused it, which shows nothing about our webhooks.
    Refused {
        /// The cause of the refusal.
        by: Obstacle,
        /// The API server's message.
        message: String,
    },
}

/// What prevented a conclusive answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The user may not create Jobs.
    Permission,
    /// The user is not authenticated.
    Identity,
    /// The namespace does not exist.
    Namespace,
    /// Another webhook, a quota, a policy, or the API server itself.
    Other,
}

/// The outcome for `sent`, according to the answer.
#[must_use]
pub(crate) fn classify(sent: &Value, answer: &Answer) -> Outcome {
    if (200..300).contains(&answer.status) {
        return Outcome::Allowed {
            corrected: is_corrected(sent, &answer.body),
            warnings: answer
                .warnings
                .iter()
                .flat_map(|value| quoted(value))
                .collect(),
        };
    }
    let message = match answer.body["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("HTTP status {}", answer.status),
    };
    if let Some((webhook, denied)) = named(&message, "admission webhook \"")
        && let Some((_, said)) = denied.split_once("denied the request: ")
        && is_ours(webhook)
    {
        return Outcome::Denied {
            webhook: webhook.to_owned(),
            message: said.to_owned(),
        };
    }
    if named(&message, "failed calling webhook \"").is_some_and(|(webhook, _)| is_ours(webhook)) {
        return Outcome::Unanswered { message };
    }
    if message.contains("ValidatingAdmissionPolicy 'migration-warden") {
        return Outcome::DeniedByPolicy { message };
    }
    let by = match answer.status {
        401 => Obstacle::Identity,
        403 if message.contains("cannot create resource \"jobs\"") => Obstacle::Permission,
        404 if message.starts_with("namespaces ") => Obstacle::Namespace,
        _ => Obstacle::Other,
    };
    Outcome::Refused { by, message }
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

fn is_corrected(sent: &Value, stored: &Value) -> bool {
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

#[cfg(test)]
mod tests;
