//! The judge of the running service: the pure engine, with a clock, ids and counters.

use std::sync::Arc;

use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::admit::{self, Circumstances, Unanswered};
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
    fn judge<'a>(
        &'a self,
        phase: Phase,
        body: &'a [u8],
        _deadline: Instant,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            self.answer(phase, body)
                .unwrap_or_else(|error| refuse(&error))
        })
    }
}

impl Warden {
    fn answer(&self, phase: Phase, body: &[u8]) -> Result<Answer, Unanswered> {
        let now = Timestamp::now();
        let policy = self.policy.current();
        let circumstances = Circumstances {
            policy: &policy,
            now,
            id: id::next(now),
            replica: &self.replica,
        };
        let review = admit::read(phase, body)?;
        let judged = review.judge(&circumstances, |name| self.namespaces.view(name))?;
        let answer = judged.finish()?;
        self.metrics
            .reviewed(phase, answer.operation, answer.outcome.as_str());
        for (rule, action) in answer.findings {
            self.metrics.found(rule, action.as_str());
        }
        let deny_if_lost = answer.if_lost;
        let record = answer.line.map(|line| Record { line, deny_if_lost });
        Ok(Answer {
            status: StatusCode::OK,
            body: answer.body,
            record,
        })
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
