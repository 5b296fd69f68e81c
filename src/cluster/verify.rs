//! Tests whether the webhook is enforcing in a namespace, from the answers to a good Job and a broken one, and advises
//! what to do if it is not.
//!
//! Only [`ask`] talks to a cluster; the rest is pure.

mod advice;
pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod jobs;

use std::fmt::{self, Display, Formatter};

use answer::Outcome;
use serde_json::{Value, json};

use crate::core::text::one_line;

/// Whether the webhook is enforcing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// It admits good Jobs and denies broken ones.
    InForce,
    /// It does not deny broken Jobs, or denies good ones.
    NotInForce,
    /// The answers do not show it.
    Unknown,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::InForce => "ok",
            Self::NotInForce => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The answers to the two Jobs. Displayed, it is the report for the user.
#[derive(Clone, Debug)]
pub(crate) struct Verification {
    /// The namespace of the two Jobs.
    pub namespace: String,
    /// The outcome for the good Job.
    pub good: Outcome,
    /// The outcome for the broken Job.
    pub broken: Outcome,
}

/// One of the two Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Good,
    Broken,
}

/// The result for one of the two Jobs.
struct Check {
    state: State,
    told: String,
    /// Quoted from the API server's answer.
    words: String,
    /// Why, and what to do; empty if the result is as expected.
    advice: String,
}

impl Verification {
    /// The conclusion from both Jobs.
    #[must_use]
    pub(crate) fn state(&self) -> State {
        let [good, broken] = self.checks();
        good.state.max(broken.state)
    }

    /// The report for programs.
    #[must_use]
    pub(crate) fn json(&self) -> Value {
        let [good, broken] = self.checks().map(|check| {
            json!({
                "result": check.state.word(), "answer": check.told, "message": check.words, "advice": check.advice,
            })
        });
        json!({
            "version": 1, "namespace": self.namespace, "result": self.state().word(), "good": good, "broken": broken,
        })
    }

    fn checks(&self) -> [Check; 2] {
        [
            check(Sent::Good, &self.good, &self.namespace),
            check(Sent::Broken, &self.broken, &self.namespace),
        ]
    }
}

fn check(sent: Sent, outcome: &Outcome, namespace: &str) -> Check {
    let (state, told, words, advice) = match outcome {
        Outcome::Allowed {
            corrected,
            warnings,
        } => {
            let warned = warnings.iter().any(|warning| is_finding(warning));
            let (state, told, advice) = match sent {
                Sent::Good => (State::InForce, "allowed", String::new()),
                Sent::Broken if *corrected => {
                    (State::InForce, "allowed, and corrected", String::new())
                }
                Sent::Broken if warned => (
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
            (state, told.to_owned(), warnings.join("\n"), advice)
        }
        Outcome::Denied { webhook, message } => {
            let (state, advice) = match sent {
                Sent::Good => (State::NotInForce, advice::REFUSES_GOOD),
                Sent::Broken => (State::InForce, ""),
            };
            let told = format!("denied by {webhook}");
            (state, told, message.clone(), advice.to_owned())
        }
        Outcome::Unanswered { message } => (
            State::NotInForce,
            "refused, because the webhook does not answer".to_owned(),
            message.clone(),
            advice::UNANSWERED.to_owned(),
        ),
        Outcome::DeniedByPolicy { message } => (
            State::NotInForce,
            "denied by the ValidatingAdmissionPolicy, not by a webhook".to_owned(),
            message.clone(),
            advice::unjudged(namespace),
        ),
        Outcome::Refused { by, message } => (
            State::Unknown,
            "refused, but not by migration-warden".to_owned(),
            message.clone(),
            advice::refused(*by, namespace),
        ),
    };
    Check {
        state,
        told,
        words,
        advice,
    }
}

/// Whether a warning is one of our findings: it begins with the rule's id.
fn is_finding(warning: &str) -> bool {
    let digits = |number: &str| number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
    let id = warning
        .split(' ')
        .next()
        .and_then(|id| id.strip_prefix("MW"));
    id.is_some_and(digits)
}

impl Display for Verification {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [good, broken] = self.checks();
        for (name, check) in [("good", &good), ("broken", &broken)] {
            let word = check.state.word();
            writeln!(f, "{word:<7}  {name} migration Job: {}", check.told)?;
            for line in check.words.lines() {
                writeln!(f, "         {}", one_line(line))?;
            }
        }
        let whether = match self.state() {
            State::InForce => "migration-warden is in force",
            State::NotInForce => "migration-warden is not in force",
            State::Unknown => "could not determine whether migration-warden is in force",
        };
        writeln!(f, "\n{whether} in namespace {}", self.namespace)?;
        // Advice that applies to both is given once.
        let mut advice = vec![good.advice, broken.advice];
        advice.dedup();
        for advice in advice.iter().filter(|advice| !advice.is_empty()) {
            writeln!(f, "{advice}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
