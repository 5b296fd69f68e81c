//! Turns a review, the policy and known facts about the cluster into an answer and a decision.
//!
//! The only place where the admission protocol and the policy meet. Pure: the caller supplies the clock, the ids and
//! the facts about the cluster.

mod answer;
#[cfg(test)]
mod bounds;
mod case;
mod event;
mod last;
mod stamp;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

pub use case::{Case, Claimant};

use crate::core::exception::{self, Use};
use crate::core::guard;
use crate::core::job::annotation::Annotation;
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind, credentials};
use crate::core::namespace::{self, NamespaceView};
use crate::core::notice::Happening;
use crate::core::policy::finding::Finding;
use crate::core::policy::fix::{self, Fix};
use crate::core::policy::select::Selection;
use crate::core::policy::verdict::{self, Outcome};
use crate::core::policy::{Action, Mode, Policy};
use crate::core::review::request::{self, MalformedReview, Parsed, Request};
use crate::core::review::response::Response;
use crate::core::review::{Operation, Phase};

/// The user name under which the CronJob controller creates Jobs.
const CRONJOB_CONTROLLER: &str = "system:serviceaccount:kube-system:cronjob-controller";
/// The user name of every controller without `--use-service-account-credentials`.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// The inputs of an answer besides the review itself.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The policy in use.
    pub policy: &'a Policy,
    /// When the replica received the review.
    pub now: Timestamp,
    /// Id for the decision, unless the Job already has one that was assigned for this request.
    pub id: Uuid,
    /// Name of this replica.
    pub replica: &'a str,
}

/// The answer to a review, with everything that is recorded about it.
#[derive(Debug)]
pub struct Answer {
    /// The AdmissionReview to send, as JSON.
    pub body: Vec<u8>,
    pub operation: Operation,
    /// The outcome of the review.
    pub outcome: Outcome,
    /// Rule and action of each finding.
    pub findings: Vec<(&'static str, Action)>,
    /// The exceptions that the object needs to be admitted.
    pub exceptions: Vec<Use>,
    /// The Kubernetes Event to publish.
    pub happening: Option<Box<Happening>>,
    /// The line for the decision log, if the decision is logged.
    pub line: Option<Vec<u8>>,
    /// The answer to send instead if the line could not be written and the policy says `deny`.
    pub if_lost: Option<Vec<u8>>,
}

/// Why a review has no answer. The client gets an HTTP error.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The body is not a review.
    #[error(transparent)]
    Malformed(#[from] MalformedReview),
    /// The answer could not be serialized.
    #[error("failed to write the answer")]
    Write(#[from] serde_json::Error),
}

/// A parsed review, not evaluated yet.
#[derive(Debug)]
pub struct Review<'a> {
    phase: Phase,
    body: &'a [u8],
    parsed: Parsed<'a>,
}

/// Parses the body of one request; fails if it is not a review.
pub fn read(phase: Phase, body: &[u8]) -> Result<Review<'_>, Unanswered> {
    let parsed = request::parse(body)?;
    Ok(Review {
        phase,
        body,
        parsed,
    })
}

/// A review after the rules have been evaluated.
#[derive(Debug)]
pub enum Judged<'a> {
    /// The answer is final.
    Done(Answer),
    /// The answer may still depend on the cluster.
    Open(Box<Case<'a>>),
}

impl Judged<'_> {
    /// The answer as it stands, without asking the cluster.
    pub fn finish(self) -> Result<Answer, Unanswered> {
        match self {
            Self::Done(answer) => Ok(answer),
            Self::Open(case) => case.finish(),
        }
    }
}

impl<'a> Review<'a> {
    /// What is asked, for the program's log: operation, kind, namespace and name.
    #[must_use]
    pub fn summary(&self) -> String {
        fn of<O>(request: &Request<'_, O>, name: &str) -> String {
            let (operation, kind) = (&*request.operation, &*request.kind.kind);
            let (part, namespace) = (&*request.sub_resource, &*request.namespace);
            let slash = if part.is_empty() { "" } else { "/" };
            format!("{operation} {kind}{slash}{part} {namespace}/{name}")
        }
        match &self.parsed {
            Parsed::Judged(request) => {
                let object = request.object.as_ref().or(request.old_object.as_ref());
                let name = object.map_or("", |object| match &*object.metadata.name {
                    "" => &object.metadata.generate_name,
                    name => name,
                });
                of(request, name)
            }
            Parsed::Other(request) => of(request, &request.name),
        }
    }

    /// The object to evaluate, if the request has one.
    fn looked_at(
        &self,
        request: &'a Request<'a>,
        operation: Operation,
        kind: Option<Kind>,
    ) -> Option<&'a Object<'a>> {
        let part = &*request.sub_resource;
        match (operation, self.phase, kind) {
            (Operation::Create, ..) if part.is_empty() => request.object.as_ref(),
            // An existing Job is guarded as it is stored, and only in the phase that runs last.
            (Operation::Delete, Phase::Validate, Some(Kind::Job)) if part.is_empty() => {
                request.old_object.as_ref()
            }
            // An update of a Job's status can change its annotations, too.
            (Operation::Update, Phase::Validate, Some(Kind::Job))
                if ["", "status"].contains(&part) =>
            {
                request.old_object.as_ref()
            }
            _ => None,
        }
    }

    /// Evaluates the rules. `namespace` looks up what is known of a namespace.
    pub fn judge(
        &'a self,
        circumstances: &'a Circumstances<'a>,
        namespace: impl FnOnce(&str) -> NamespaceView,
    ) -> Result<Judged<'a>, Unanswered> {
        let request = match &self.parsed {
            Parsed::Judged(request) => request,
            Parsed::Other(request) => {
                return not_judged(&request.uid, Operation::from(&*request.operation));
            }
        };
        let operation = Operation::from(&*request.operation);
        let kind = Kind::parse(&request.kind.kind);
        let object = self.looked_at(request, operation, kind);
        let (Some(object), Some(kind)) = (object, kind) else {
            return not_judged(&request.uid, operation);
        };
        let mut job = Job::new(object, kind, &request.namespace);
        let creates = operation == Operation::Create;
        if creates {
            job = job.sent_by(&request.options.field_manager);
        }
        let user = &*request.user_info.username;
        if creates && is_from_cronjob(&job, user) || !creates && guard::is_control_plane(user) {
            return not_judged(&request.uid, operation);
        }
        let policy = circumstances.policy;
        let select = |job: &Job<'_>| policy.selectors.select(job, policy.detection);
        let mut selection = select(&job);
        // The new object of an update is evaluated only if the update turns the Job into a migration.
        let new = request.object.as_ref();
        let mut new = new.filter(|_| operation == Operation::Update);
        if selection != Selection::Labelled
            && let Some(object) = new.take()
        {
            job = Job::new(object, kind, &request.namespace);
            selection = select(&job);
        }
        // Its label may have been removed while no replica was running to refuse that.
        if operation == Operation::Delete && crate::core::job::stamp::is_stamped(&job) {
            selection = Selection::Labelled;
        }
        if selection == Selection::None || !creates && selection != Selection::Labelled {
            return not_judged(&request.uid, operation);
        }
        let view = namespace(job.namespace);
        job.mesh = view.mesh;
        let (mode, unknown_mode) = namespace::mode(view.mode, policy, job.namespace);
        let cap = mode.cap();
        let (mut findings, is_unclear) = if creates {
            let mut findings = policy.evaluate(&job, selection, cap);
            // The mutating phase replaces foreign stamps instead.
            if self.phase == Phase::Validate {
                findings.extend(guard::created(&job, user, selection, policy, cap));
            }
            (findings, false)
        } else {
            let new = new.map(|object| Job::new(object, kind, &request.namespace));
            guarded(&job, new.as_ref(), request, view.terminating, policy, cap)
        };
        credentials::hide(&job, findings.iter_mut().flat_map(Finding::texts_mut));
        let max = policy.max_exception;
        let exceptions = exception::honoured(view.exceptions, circumstances.now, max);
        exception::apply(&mut findings, &exceptions, &job);
        // Jobs are updated all the time; only updates with findings are worth a decision.
        if operation == Operation::Update && findings.is_empty() && !is_unclear {
            return not_judged(&request.uid, operation);
        }
        let patchable = self.phase == Phase::Mutate && job.is_patchable();
        let ttl = ttl(&job, selection, mode, policy).filter(|_| patchable);
        let (body, now) = (self.body, circumstances.now);
        let gets_stamps = creates
            && job.kind == Kind::Job
            && selection == Selection::Labelled
            && mode != Mode::Off;
        let given = stamp::id(self.phase, &job, user, now).filter(|_| gets_stamps);
        let id = given.unwrap_or(circumstances.id);
        // A client's own value is replaced, like its other stamps.
        let before = job.annotations.get(Annotation::Patched);
        let before = before.filter(|_| given.is_some() || !gets_stamps);
        let patch = settle(&mut findings, patchable, ttl, before, body, now);
        let stamps = if gets_stamps && self.phase == Phase::Mutate {
            stamp::operations(&job, id, user, &findings, before)
        } else {
            Vec::new()
        };
        Ok(Judged::Open(Box::new(Case {
            phase: self.phase,
            operation,
            request,
            job,
            selection,
            mode,
            unknown_mode,
            findings,
            is_unclear,
            patch,
            id,
            stamps,
            is_told: false,
            exceptions,
            circumstances,
        })))
    }
}

/// The guards' findings about deleting `job`, about updating it to `new`, or about an update that makes it a migration.
/// Also whether the answer depends on its pods.
fn guarded(
    job: &Job<'_>,
    new: Option<&Job<'_>>,
    request: &Request<'_>,
    terminating: bool,
    policy: &Policy,
    cap: Action,
) -> (Vec<Finding>, bool) {
    if Operation::from(&*request.operation) == Operation::Delete {
        return guard::deleted(job, terminating, policy, cap);
    }
    let Some(new) = new else {
        return (guard::became(job, policy, cap), false);
    };
    let mut findings = guard::updated(job, new, applier(request), policy, cap);
    let (others, is_unclear) = guard::unlabelled(job, new, terminating, policy, cap);
    findings.extend(others);
    (findings, is_unclear)
}

/// The `ttlSecondsAfterFinished` to add to a migration Job that has none, if the policy adds one.
fn ttl(job: &Job<'_>, selection: Selection, mode: Mode, policy: &Policy) -> Option<Fix> {
    let wants_ttl = selection == Selection::Labelled
        && mode == Mode::Enforce
        && job.spec.ttl_seconds_after_finished.is_none()
        && job.containers().next().is_some();
    wants_ttl.then(|| policy.tidy_up.ttl()).flatten()
}

/// The field manager that applies the object; empty for a status, which is never applied.
fn applier<'r>(request: &'r Request<'_>) -> &'r str {
    if request.sub_resource.is_empty() {
        &request.options.field_manager
    } else {
        ""
    }
}

/// Whether the CronJob controller created this Job. An ownerReference alone proves nothing: any client can write one.
fn is_from_cronjob(job: &Job<'_>, user: &str) -> bool {
    let is_controller =
        user == CRONJOB_CONTROLLER || (user == CONTROLLER_MANAGER && job.is_owned_by_cronjob());
    job.kind == Kind::Job && is_controller
}

/// Decides which findings are patched and builds the patch, including `ttl`. A finding is denied if its patch would not
/// apply to this object.
fn settle(
    findings: &mut [Finding],
    patchable: bool,
    ttl: Option<Fix>,
    patched_before: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Option<json_patch::Patch> {
    verdict::settle(findings, patchable);
    if verdict::outcome(findings) > Outcome::Patched {
        return None;
    }
    let stamp = verdict::stamp(findings, patched_before);
    let object = match (&stamp, &ttl) {
        (None, None) => return None,
        // Nearly all hook Jobs get here, and parsing one again costs more than evaluating it. A Job that gets a TTL has
        // a spec, and the patch needs to know no more.
        (None, Some(_)) => Some(json!({"spec": {}})),
        (Some(stamp), _) => {
            let fixes = verdict::fixes(findings).chain([stamp]).chain(&ttl);
            let paths: Vec<_> = fixes.map(Fix::steps).collect();
            request::object_along(body, &paths)
        }
    };
    let others: Vec<Fix> = stamp.into_iter().chain(ttl).collect();
    let fixes = verdict::fixes(findings).chain(&others);
    let patch = object.and_then(|object| fix::patch(fixes, &object, now));
    if patch.is_none() {
        verdict::settle(findings, false);
    }
    patch
}

fn not_judged(uid: &str, operation: Operation) -> Result<Judged<'static>, Unanswered> {
    Ok(Judged::Done(Answer {
        body: Response::allowed(uid).to_bytes()?,
        operation,
        outcome: Outcome::Allowed,
        findings: Vec::new(),
        exceptions: Vec::new(),
        happening: None,
        line: None,
        if_lost: None,
    }))
}
