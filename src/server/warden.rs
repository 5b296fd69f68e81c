//! Answers the reviews of the running service: the pure engine, with a clock, ids, metrics and the cluster.

pub(super) mod lookups;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::claims::error::ClaimError;
use crate::cluster::claims::key::Key;
use crate::cluster::claims::store::{self, Claims, Taken, Wanted};
use crate::cluster::events::Events;
use crate::cluster::exceptions::Exceptions;
use crate::cluster::namespaces::Namespaces;
use crate::cluster::runs::LastWords;
use crate::core::admit::{
    self, Answer, Circumstances, Claimant, Heard, Question, Review, Unanswered,
};
use crate::core::job::dns;
use crate::core::namespace::NamespaceView;
use crate::core::policy::Policy;
use crate::core::policy::rules::concurrent_migration::Refusal;
use crate::core::review::Phase;
use crate::host::policy_watch::LivePolicy;
use crate::server::metrics::Metrics;
use crate::server::{Reviewed, Reviewer, Trace};

/// The part of a review's time that is kept for logging the decision, if the API server was asked.
const MARGIN: Duration = Duration::from_millis(200);
/// How long the review of an update or deletion waits for the API server: the chart's timeout for these reviews. A
/// forged review may ask for more time, while others wait for its seat.
const CHANGE: Duration = Duration::from_secs(2);

/// Evaluates reviews under the policy in use.
pub(crate) struct Warden {
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

/// When a review began, and how long it has waited for the API server.
struct Stopwatch {
    now: Timestamp,
    started: Instant,
    waited: Duration,
}

impl Stopwatch {
    async fn wait<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let since = Instant::now();
        let heard = asked.await;
        self.waited += since.elapsed();
        heard
    }
}

/// What a question to the API server needs besides the question.
#[derive(Clone, Copy)]
struct Asking<'a> {
    policy: &'a Arc<Policy>,
    /// Why the namespace of the Job is not known, if it is not: then the API server is not asked again.
    nowhere: Option<&'a str>,
    started: Instant,
    deadline: Instant,
}

impl Reviewer for Warden {
    fn review<'a>(
        &'a self,
        phase: Phase,
        body: &'a [u8],
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Reviewed, Unanswered>> {
        Box::pin(async move {
            let mut watch = Stopwatch {
                now: Timestamp::now(),
                started: Instant::now(),
                waited: Duration::ZERO,
            };
            let review = admit::parse(phase, body)
                .inspect_err(|error| tracing::debug!(%error, "a request was not reviewed"))?;
            let deadline = deadline.checked_sub(MARGIN).unwrap_or(deadline);
            let answer = self.answer(&review, deadline, &mut watch).await?;
            let evaluation = watch.started.elapsed().saturating_sub(watch.waited);
            self.metrics.reviews.evaluated(phase, evaluation);
            let trace = tracing::enabled!(tracing::Level::DEBUG).then(|| {
                Box::new(Trace {
                    asked: review.summary(),
                    evaluation,
                    cluster: watch.waited,
                    answered: Instant::now(),
                })
            });
            Ok(Reviewed { answer, trace })
        })
    }

    fn report(&self, Reviewed { answer, trace }: &mut Reviewed) {
        let outcome = answer.outcome.as_str();
        let metrics = &self.metrics.reviews;
        metrics.reviewed(answer.phase, answer.operation, outcome);
        for (rule, action) in &answer.findings {
            metrics.found(rule, action.as_str());
        }
        if let Some(trace) = trace {
            let log = trace.answered.elapsed();
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(
                phase = answer.phase.as_str(),
                verdict = outcome,
                evaluation_us = micros(trace.evaluation),
                api_server_us = micros(trace.cluster),
                decision_log_us = micros(log),
                "reviewed {}",
                trace.asked
            );
        }
        if let Some(name) = &answer.adopted {
            self.metrics.policy.adopted(name);
        }
        self.exceptions.used(answer.exceptions.drain(..));
        if let Some(happening) = answer.happening.take() {
            self.events.tell(*happening);
        }
    }
}

impl Warden {
    /// Answers reviews without a cluster: the caller adds its parts.
    pub(crate) fn new(policy: LivePolicy, metrics: Arc<Metrics>, replica: String) -> Self {
        Self {
            policy,
            namespaces: Namespaces::default(),
            claims: None,
            exceptions: Exceptions::default(),
            events: Events::default(),
            last_words: LastWords::default(),
            metrics,
            replica,
        }
    }
}

// Few reviews need the API server, and the others should not carry the state for it: what asks is boxed.
impl Warden {
    async fn answer(
        &self,
        review: &Review<'_>,
        deadline: Instant,
        watch: &mut Stopwatch,
    ) -> Result<Answer, Unanswered> {
        let policy = self.policy.current();
        if let Some(job) = review.ended(&policy) {
            let left = self.last_words.leave(&job, deadline);
            watch.wait(Box::pin(left)).await;
        }
        let Some(case) = review.select(&policy) else {
            return review.allowed();
        };
        let name = case.namespace();
        let (namespace, nowhere) = match self.namespaces.view(name) {
            Some(known) => (known, None),
            None => match watch.wait(Box::pin(self.look_up(name, deadline))).await {
                Ok(found) => (found, None),
                Err(why) => (NamespaceView::default(), Some(why)),
            },
        };
        let namespace = NamespaceView {
            exceptions: self.exceptions.of(name),
            ..namespace
        };
        let circumstances = Circumstances {
            now: watch.now,
            id: Uuid::now_v7(),
            replica: &self.replica,
        };
        let mut judged = case.judge(&circumstances, namespace);
        let asking = Asking {
            policy: &policy,
            nowhere: nowhere.as_deref(),
            started: watch.started,
            deadline,
        };
        while let Some(question) = judged.question() {
            let heard = watch.wait(self.ask(question, asking)).await;
            judged.hear(heard);
        }
        judged.finish()
    }

    async fn ask(&self, question: Question<'_, '_>, asking: Asking<'_>) -> Heard {
        let soon = asking.deadline.min(asking.started + CHANGE);
        match (question, &self.claims) {
            (Question::Namespace(name), _) => Box::pin(self.is_terminating(name, soon)).await,
            (Question::Pods(job), Some(claims)) => {
                Box::pin(self.look_at_pods(job, claims, asking.nowhere, soon)).await
            }
            (Question::Claim(claimant), Some(claims)) => {
                Box::pin(self.claim(claimant, claims, asking)).await
            }
            (_, None) => Heard::Nothing,
        }
    }

    /// Takes the claim that a migration needs.
    async fn claim(
        &self,
        claimant: Claimant<'_, '_>,
        claims: &Claims,
        asking: Asking<'_>,
    ) -> Heard {
        let Claimant { job, user, .. } = claimant;
        let unknown = |why: &str| Heard::Refused(Refusal::Unknown(why.to_owned()), false);
        if let Some(why) = asking.nowhere {
            return unknown(why);
        }
        let (name, uid) = (job.name.full(), &*job.metadata.uid);
        let Some(created) = job
            .created
            .filter(|_| dns::is_subdomain(name) && !uid.is_empty())
        else {
            // The API server sets all three before it calls the webhook.
            return unknown("the review has no valid metadata.name, uid or creationTimestamp");
        };
        let policy = asking.policy;
        let wanted = Wanted {
            keys: &Key::all_of(job, &policy.claims, claimant.database),
            policy,
            claimant: store::Claimant {
                namespace: job.namespace,
                job: name,
                generate_name: job.name.generate(),
                uid,
                created,
                user,
            },
            is_adopted: claimant.is_adopted,
            dry_run: claimant.dry_run,
            supersedes: claimant.supersedes.then(|| job.name.base()),
        };
        match claims.take(&wanted, asking.deadline).await {
            Ok(Taken::Held { .. }) => Heard::Nothing,
            Ok(Taken::Waiting(holder)) => {
                Heard::Refused(Refusal::Held(holder.facts), !holder.first)
            }
            Err(error) => {
                tracing::warn!(%error, job = %format_args!("{}/{name}", job.namespace), "failed to take a claim");
                let why = error.to_string();
                let refusal = match error {
                    ClaimError::Crowded(_) => Refusal::Crowded(why),
                    _ => Refusal::Unknown(why),
                };
                Heard::Refused(refusal, false)
            }
        }
    }
}
