//! Evaluates the reviews of the running service: the pure engine, with a clock, ids, metrics and the cluster.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::cluster::claims::error::ClaimError;
use crate::cluster::claims::key::Key;
use crate::cluster::claims::store::{self, Claims, Taken, Wanted};
use crate::cluster::events::Events;
use crate::cluster::exceptions::Exceptions;
use crate::cluster::namespaces::Namespaces;
use crate::cluster::runs::LastWords;
use crate::core::admit::{self, Case, Circumstances, Claimant, Judged, Unanswered};
use crate::core::job::dns;
use crate::core::job::running::{self, Progress};
use crate::core::namespace::NamespaceView;
use crate::core::policy::Policy;
use crate::core::policy::verdict::Outcome;
use crate::core::review::Phase;
use crate::host::metrics::Metrics;
use crate::host::metrics::guards::{Lookup, Running};
use crate::host::policy_watch::LivePolicy;
use crate::server::refusal::status_json;
use crate::server::{Answer, Judge, LogLine, News, Trace};

/// The part of a review's time that is kept for logging the decision, if the API server was asked.
const MARGIN: Duration = Duration::from_millis(200);
/// How long an unknown namespace may delay a review.
const LOOKUP: Duration = Duration::from_secs(1);
/// How long the review of an update or deletion waits for the API server: the chart's timeout for these reviews. A
/// forged review may ask for more time, while others wait for its seat.
const CHANGE: Duration = Duration::from_secs(2);

/// Evaluates reviews under the policy in use.
pub struct Warden {
    /// The policy in use.
    pub policy: LivePolicy,
    /// The cache of namespaces.
    pub namespaces: Namespaces,
    /// The claims, which prevent concurrent migrations, if there is a cluster.
    pub claims: Option<Claims>,
    /// The cache of exceptions.
    pub exceptions: Exceptions,
    pub events: Events,
    /// Receives from reviews of deletions how a migration ended.
    pub last_words: LastWords,
    /// The metrics of this replica.
    pub metrics: Arc<Metrics>,
    /// Name of this replica.
    pub replica: String,
}

impl Judge for Warden {
    fn judge<'a>(
        &'a self,
        phase: Phase,
        body: &'a [u8],
        deadline: Instant,
        turn: Option<OwnedSemaphorePermit>,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            self.answer(phase, body, deadline, turn)
                .await
                .unwrap_or_else(|error| refuse(&error))
        })
    }

    fn tell(&self, news: News, refused: bool) {
        let outcome = if refused {
            Outcome::Denied
        } else {
            news.outcome
        };
        let operation = news.operation;
        self.metrics
            .reviewed(news.phase, operation, outcome.as_str());
        for (rule, action) in news.findings {
            self.metrics.found(rule, action.as_str());
        }
        if let Some(trace) = news.trace {
            let log = trace.answered.elapsed();
            tracing::debug!(
                phase = news.phase.as_str(), verdict = outcome.as_str(), judging = ?trace.judging,
                api_server = ?trace.cluster, decision_log = ?log, "reviewed {}", trace.asked
            );
        }
        if refused {
            return;
        }
        self.exceptions.used(news.exceptions, news.at);
        if let Some(happening) = news.happening {
            self.events.tell(*happening);
        }
    }
}

impl Warden {
    async fn answer(
        &self,
        phase: Phase,
        body: &[u8],
        deadline: Instant,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer, Unanswered> {
        let started = Instant::now();
        let mut waited = Duration::ZERO;
        let now = Timestamp::now();
        let policy = self.policy.current();
        let circumstances = Circumstances {
            policy: &policy,
            now,
            id: Uuid::now_v7(),
            replica: &self.replica,
        };
        let review = admit::read(phase, body)?;
        let mut new = None;
        let mut judged = review.judge(&circumstances, |name| {
            let known = self.namespaces.view(name);
            new = known.is_none().then(|| name.to_owned());
            self.view(name, known.unwrap_or_default())
        })?;
        let uid = review.shows_an_end(&policy);
        let unheard = uid.and_then(|uid| self.last_words.read(uid, body));
        drop(turn);
        let deadline = deadline.checked_sub(MARGIN).unwrap_or(deadline);
        if let Some(unheard) = unheard {
            let asked = Instant::now();
            Box::pin(self.last_words.leave(unheard, deadline)).await;
            waited += asked.elapsed();
        }
        let mut nowhere = None;
        if let Some(namespace) = new {
            let asked = Instant::now();
            match Box::pin(self.look_up(&namespace, deadline)).await {
                Ok(view) => judged = review.judge(&circumstances, |name| self.view(name, view))?,
                Err(why) => nowhere = Some(why),
            }
            waited += asked.elapsed();
        }
        // Few reviews need the API server, and the others should not carry the state for it.
        if let Judged::Open(case) = &mut judged {
            let asked = Instant::now();
            let soon = deadline.min(started + CHANGE);
            if let (Some(job), Some(claims)) = (case.unclear(), &self.claims) {
                match &nowhere {
                    Some(why) => self.looked_at_pods(case, Err(why.clone())),
                    None => Box::pin(self.look_at_pods(case, claims, job, soon)).await,
                }
            }
            if let Some(namespace) = case.excuse() {
                Box::pin(self.excuse(case, namespace, soon)).await;
            } else if let Some(claims) = &self.claims {
                match nowhere {
                    Some(why) if case.claimant().is_some() => case.may_not_be_alone(&why),
                    Some(_) => {}
                    None => Box::pin(self.claim(claims, case, &policy, deadline)).await,
                }
            }
            waited += asked.elapsed();
        }
        let answer = judged.finish()?;
        let evaluation = started.elapsed().saturating_sub(waited);
        self.metrics.evaluated(phase, evaluation);
        let deny_if_lost = answer.if_lost;
        let line = answer.line.map(|json| LogLine { json, deny_if_lost });
        let trace = tracing::enabled!(tracing::Level::DEBUG).then(|| {
            Box::new(Trace {
                asked: review.summary(),
                judging: evaluation,
                cluster: waited,
                answered: Instant::now(),
            })
        });
        Ok(Answer {
            status: StatusCode::OK,
            body: answer.body,
            verdict: Some(answer.outcome.as_str()),
            line,
            news: Some(News {
                phase,
                at: now,
                operation: answer.operation,
                outcome: answer.outcome,
                findings: answer.findings,
                exceptions: answer.exceptions,
                happening: answer.happening,
                trace,
            }),
        })
    }

    fn view(&self, name: &str, known: NamespaceView) -> NamespaceView {
        NamespaceView {
            exceptions: self.exceptions.of(name),
            ..known
        }
    }

    /// Reads a new namespace from the API server, or returns why that failed. Then the policy file alone decides the
    /// mode, as without a label.
    async fn look_up(&self, namespace: &str, deadline: Instant) -> Result<NamespaceView, String> {
        if !dns::is_label(namespace) {
            return Err("the review has no valid namespace".to_owned());
        }
        let deadline = deadline.min(Instant::now() + LOOKUP);
        let found = self.namespaces.ask(namespace, deadline).await;
        self.metrics.namespace_looked_up(found.is_ok());
        match found {
            Ok(Some(view)) => Ok(view),
            Ok(None) => Err(format!("there is no namespace {namespace}")),
            Err(error) => {
                tracing::warn!(%namespace, %error, "failed to read a namespace, its labels are ignored");
                Err(format!("failed to read namespace {namespace}: {error}"))
            }
        }
    }

    /// Finds out from the pods of a Job whether it is running, if its own status does not show that.
    async fn look_at_pods(
        &self,
        case: &mut Case<'_>,
        claims: &Claims,
        job: (&str, &str, &str),
        deadline: Instant,
    ) {
        let (namespace, name, uid) = job;
        let is_named = dns::is_subdomain(name) && dns::is_subdomain(uid);
        let found = if dns::is_label(namespace) && is_named {
            let pods = claims.pods.of_existing(&claims.jobs, job);
            let pods = timeout_at(deadline, pods).await;
            let late = || "the API server did not answer in time".to_owned();
            pods.map_err(|_| late())
                .and_then(|pods| pods.map_err(|error| error.to_string()))
        } else {
            Err("the review has no valid metadata.namespace, name or uid".to_owned())
        };
        self.looked_at_pods(case, found.map(|pods| running::progress(&pods)));
    }

    fn looked_at_pods(&self, case: &mut Case<'_>, found: Result<Progress, String>) {
        let found = match found {
            Ok(Progress::Running) => {
                case.runs();
                Running::Yes
            }
            Ok(_) => Running::No,
            Err(error) => {
                tracing::warn!(%error, "failed to determine whether a migration is running, the request is allowed");
                case.may_run(&error);
                Running::Failed
            }
        };
        self.metrics.guards.pods_looked_at(found);
    }

    /// Allows a deletion if refusing it would block the deletion of the namespace.
    async fn excuse(&self, case: &mut Case<'_>, namespace: &str, deadline: Instant) {
        // No API server sends such a name, so no deletion is blocked.
        if !dns::is_label(namespace) {
            return;
        }
        let found = match self.namespaces.is_terminating(namespace, deadline).await {
            Ok(false) => Lookup::Active,
            Ok(true) => {
                case.excused();
                Lookup::Terminating
            }
            Err(error) => {
                tracing::warn!(%namespace, %error, "failed to determine whether a namespace is being deleted, the deletion of its Job is allowed");
                case.unexcused(&error);
                Lookup::Failed
            }
        };
        self.metrics.guards.looked_up(found);
    }

    /// Takes the claim that the migration needs, if it needs one.
    async fn claim(
        &self,
        claims: &Claims,
        case: &mut Case<'_>,
        policy: &Policy,
        deadline: Instant,
    ) {
        let Some(Claimant { job, user, dry_run }) = case.claimant() else {
            return;
        };
        let (name, uid) = (job.name.full(), &*job.metadata.uid);
        let Some(created) = job
            .created
            .filter(|_| dns::is_subdomain(name) && !uid.is_empty())
        else {
            // The API server sets all three before it calls the webhook.
            case.may_not_be_alone(
                "the review has no valid metadata.name, uid or creationTimestamp",
            );
            return;
        };
        let wanted = Wanted {
            key: &Key::of(job, &policy.claims),
            policy: &policy.claims,
            selectors: &policy.selectors,
            claimant: store::Claimant {
                namespace: job.namespace,
                job: name,
                generate_name: job.name.generate(),
                uid,
                created,
                user,
            },
            dry_run,
        };
        let asked = Instant::now();
        let taken = claims.take(&wanted, deadline).await;
        let outcome = match &taken {
            Ok(Taken::Held { taken_over: None }) => "held",
            Ok(Taken::Held {
                taken_over: Some(_),
            }) => "taken_over",
            Ok(Taken::Waiting(_)) => "waiting",
            Err(error) => error.as_str(),
        };
        self.metrics.claims.asked(outcome, asked.elapsed());
        match taken {
            Ok(Taken::Held { .. }) => {}
            Ok(Taken::Waiting(holder)) => case.waits_for(&holder.facts, !holder.first),
            Err(error) => {
                tracing::warn!(%error, key = %wanted.key, "failed to take a claim");
                let why = error.to_string();
                match error {
                    ClaimError::Crowded(_) => case.waits_for_room(&why),
                    _ => case.may_not_be_alone(&why),
                }
            }
        }
    }
}

fn refuse(error: &Unanswered) -> Answer {
    tracing::debug!(%error, "a request was not reviewed");
    let status = match error {
        Unanswered::Malformed(_) => StatusCode::BAD_REQUEST,
        Unanswered::Write(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = status_json(status, &error.to_string());
    Answer {
        status,
        body,
        verdict: None,
        line: None,
        news: None,
    }
}
