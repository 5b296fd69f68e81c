//! Review, policy and what is known of the cluster in; answer and decision out.
//!
//! The one place where the protocol and the policy meet. Pure: the clock, the ids and what the
//! cluster says are handed in.

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

/// The user as which the CronJob controller makes Jobs.
const CRONJOB_CONTROLLER: &str = "system:serviceaccount:kube-system:cronjob-controller";
/// The same without `--use-service-account-credentials`: all controllers are this user.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// What does not come from the review itself.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// When the review came in.
    pub now: Timestamp,
    /// Id for the decision, where the Job brings none that it was given for this very request.
    pub id: Uuid,
    /// Name of this replica.
    pub replica: &'a str,
}

/// The answer to a review, and what there is to write down.
#[derive(Debug)]
pub struct Answer {
    /// The AdmissionReview to send.
    pub body: Vec<u8>,
    /// What was to be done with the object.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
    /// Rule and action of each finding.
    pub findings: Vec<(&'static str, Action)>,
    /// The exceptions because of which it is let through.
    pub exceptions: Vec<Use>,
    /// What is to be seen of it as a Kubernetes Event.
    pub happening: Option<Box<Happening>>,
    /// The decision's line, where there is a decision to write down.
    pub line: Option<Vec<u8>>,
    /// What to send instead when the line could not be written and the policy says `deny`.
    pub if_lost: Option<Vec<u8>>,
}

/// Why a review has no answer: an HTTP error.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The body is no review.
    #[error(transparent)]
    Malformed(#[from] MalformedReview),
    /// The answer could not be written.
    #[error("failed to write the answer")]
    Write(#[from] serde_json::Error),
}

/// A review that has been read, and is to be judged.
#[derive(Debug)]
pub struct Review<'a> {
    phase: Phase,
    body: &'a [u8],
    parsed: Parsed<'a>,
}

/// Reads one review.
pub fn read(phase: Phase, body: &[u8]) -> Result<Review<'_>, Unanswered> {
    let parsed = request::parse(body)?;
    Ok(Review {
        phase,
        body,
        parsed,
    })
}

/// A review on which the rules have been heard.
#[derive(Debug)]
pub enum Judged<'a> {
    /// There is nothing more to it.
    Done(Answer),
    /// The cluster may have something to say.
    Open(Box<Case<'a>>),
}

impl Judged<'_> {
    /// The answer, as far as it can be known without asking the cluster.
    pub fn finish(self) -> Result<Answer, Unanswered> {
        match self {
            Self::Done(answer) => Ok(answer),
            Self::Open(case) => case.finish(),
        }
    }
}

impl<'a> Review<'a> {
    /// The object that is judged, if one is.
    fn looked_at(
        &self,
        request: &'a Request<'a>,
        operation: Operation,
        kind: Option<Kind>,
    ) -> Option<&'a Object<'a>> {
        let part = &*request.sub_resource;
        match (operation, self.phase, kind) {
            (Operation::Create, ..) if part.is_empty() => request.object.as_ref(),
            // What is there already is guarded as it is stored, and by the phase with the last word.
            (Operation::Delete, Phase::Validate, Some(Kind::Job)) if part.is_empty() => {
                request.old_object.as_ref()
            }
            // Whoever writes a Job's status can change its annotations by that.
            (Operation::Update, Phase::Validate, Some(Kind::Job))
                if ["", "status"].contains(&part) =>
            {
                request.old_object.as_ref()
            }
            _ => None,
        }
    }

    /// Hears the rules. `namespace` looks up what is known of a namespace.
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
        // What an update makes of a Job is looked at only where that makes a migration of it.
        let new = request.object.as_ref();
        let mut new = new.filter(|_| operation == Operation::Update);
        if selection != Selection::Labelled
            && let Some(object) = new.take()
        {
            job = Job::new(object, kind, &request.namespace);
            selection = select(&job);
        }
        // Its label may have been taken away while nobody was there to refuse that.
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
            // The other phase replaces what it finds.
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
        // A Job is updated whenever something about it is written.
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
        // What the client has written there is replaced like its other stamps.
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

/// What the guards say about deleting `job`, or about an update that makes `new` of it or makes it a migration; and
/// whether only its pods can say more.
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

/// The time to live that a migration Job without one gets, where it can be patched.
fn ttl(job: &Job<'_>, selection: Selection, mode: Mode, policy: &Policy) -> Option<Fix> {
    let wants_ttl = selection == Selection::Labelled
        && mode == Mode::Enforce
        && job.spec.ttl_seconds_after_finished.is_none()
        && job.containers().next().is_some();
    wants_ttl.then(|| policy.tidy_up.ttl()).flatten()
}

/// In whose name an object is applied. A status is not: it is written.
fn applier<'r>(request: &'r Request<'_>) -> &'r str {
    if request.sub_resource.is_empty() {
        &request.options.field_manager
    } else {
        ""
    }
}

/// Whether the CronJob controller made this Job. An ownerReference alone says nothing: anyone can
/// write one.
fn is_from_cronjob(job: &Job<'_>, user: &str) -> bool {
    let is_controller =
        user == CRONJOB_CONTROLLER || (user == CONTROLLER_MANAGER && job.is_owned_by_cronjob());
    job.kind == Kind::Job && is_controller
}

/// Decides which findings are patched and builds the patch, `ttl` included; a finding whose patch would
/// not apply to the object at hand is denied.
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
        // Nearly all hook Jobs, and reading one again costs more than judging it. What gets a TTL has a
        // spec, which is all that has to be known.
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
