//! The judge of the running service: the pure engine, with a clock, ids and counters.

use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;

use crate::admit::{Circumstances, Unanswered, admit};
use crate::cluster::namespaces::Namespaces;
use crate::config::reload::LivePolicy;
use crate::metrics::Metrics;
use crate::record::id;
use crate::review::Phase;
use crate::server::refusal::status_json;
use crate::server::{Answer, Judge, Record};

/// Judges reviews under the policy in use.
#[derive(Debug)]
pub struct Warden {
    /// The policy in use.
    pub policy: LivePolicy,
    /// What is known of namespaces.
    pub namespaces: Namespaces,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Name of this replica.
    pub replica: String,
}

impl Judge for Warden {
    fn judge(&self, phase: Phase, body: &[u8]) -> Answer {
        let now = Timestamp::now();
        let circumstances = Circumstances {
            policy: &self.policy.current(),
            now,
            id: id::next(now),
            replica: &self.replica,
        };
        match admit(phase, body, &circumstances, |name| {
            self.namespaces.view(name)
        }) {
            Ok(answer) => {
                self.metrics
                    .reviewed(phase, answer.operation, answer.outcome.as_str());
                for (rule, action) in answer.findings {
                    self.metrics.found(rule, action.as_str());
                }
                let deny_if_lost = answer.if_lost;
                let record = answer.line.map(|line| Record { line, deny_if_lost });
                Answer {
                    status: StatusCode::OK,
                    body: answer.body,
                    record,
                }
            }
            Err(error) => refuse(&error),
        }
    }
}

fn refuse(error: &Unanswered) -> Answer {
    let status = match error {
        Unanswered::Malformed(_) => StatusCode::BAD_REQUEST,
        Unanswered::Write(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = status_json(status, &error.to_string());
    Answer {
        status,
        body,
        record: None,
    }
}
