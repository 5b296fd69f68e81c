//! Review, policy and what is known of the cluster in; answer and decision out.
//!
//! The one place where the protocol and the policy meet. Pure: the clock, the ids and what the
//! cluster says are handed in.

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::exception::{self, Exception, Use};
use crate::guard;
use crate::job::annotation::Annotation;
use crate::job::mesh::Mesh;
use crate::job::release::Release;
use crate::job::{Job, Kind};
use crate::policy::finding::{Finding, Report};
use crate::policy::fix::{self, Fix};
use crate::policy::rule::Rule;
use crate::policy::rules::concurrent_migration::{self, CONCURRENT_MIGRATION, Holder};
use crate::policy::select::Selection;
use crate::policy::verdict::{self, Outcome};
use crate::policy::{Action, Mode, OnFailure, Policy, claims};
use crate::record::{Decision, SCHEMA};
use crate::review::request::{self, MalformedReview, Parsed, Request};
use crate::review::response::{Cause, Response};
use crate::review::{Operation, Phase};

/// The user as which the CronJob controller makes Jobs.
const CRONJOB_CONTROLLER: &str = "system:serviceaccount:kube-system:cronjob-controller";
/// The same without `--use-service-account-credentials`: all controllers are this user.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// What is known of the namespace of a review.
#[derive(Clone, Debug, Default)]
pub struct NamespaceView {
    /// Value of its label `migration-warden.io/mode`.
    pub mode: Option<String>,
    /// The service mesh it injects.
    pub mesh: Option<Mesh>,
    /// It is being deleted, with all that is in it.
    pub terminating: bool,
    /// Its exceptions.
    pub exceptions: Vec<Arc<Exception>>,
}

/// What does not come from the review itself.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// When the review came in.
    pub now: Timestamp,
    /// Id for the decision.
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
        let object = match (operation, self.phase, kind) {
            (Operation::Create, ..) => &request.object,
            // What is there already is guarded as it is stored, and by the phase with the last word.
            (Operation::Update | Operation::Delete, Phase::Validate, Some(Kind::Job)) => {
                &request.old_object
            }
            _ => &None,
        };
        let (true, Some(object), Some(kind)) = (request.sub_resource.is_empty(), object, kind)
        else {
            return not_judged(&request.uid, operation);
        };
        let mut job = Job::new(object, kind, &request.namespace);
        let creates = operation == Operation::Create;
        let user = &*request.user_info.username;
        if creates && is_from_cronjob(&job, user) || !creates && guard::is_control_plane(user) {
            return not_judged(&request.uid, operation);
        }
        let policy = circumstances.policy;
        let selection = policy.selectors.select(&job, policy.detection);
        if selection == Selection::None || !creates && selection != Selection::Labelled {
            return not_judged(&request.uid, operation);
        }
        let view = namespace(job.namespace);
        job.mesh = view.mesh;
        let (mode, unknown_mode) = mode(view.mode, policy, job.namespace);
        let cap = mode.cap();
        let mut findings = match (operation, &request.object) {
            (Operation::Delete, _) => guard::deleted(&job, view.terminating, policy, cap),
            (Operation::Update, Some(object)) => {
                let new = Job::new(object, kind, &request.namespace);
                let manager = &request.options.field_manager;
                guard::updated(&job, &new, manager, policy, cap)
            }
            _ => policy.evaluate(&job, selection, cap),
        };
        let max = policy.max_exception;
        let exceptions = exception::honoured(view.exceptions, circumstances.now, max);
        exception::apply(&mut findings, &exceptions, &job);
        // A Job is updated whenever something about it is written.
        if operation == Operation::Update && findings.is_empty() {
            return not_judged(&request.uid, operation);
        }
        let patchable =
            self.phase == Phase::Mutate && operation == Operation::Create && job.is_patchable();
        let wants_ttl = selection == Selection::Labelled && mode == Mode::Enforce;
        let ttl = (patchable && wants_ttl && job.spec.ttl_seconds_after_finished.is_none())
            .then(|| policy.tidy_up.ttl())
            .flatten();
        let before = job.annotations.get(Annotation::Patched);
        let (body, now) = (self.body, circumstances.now);
        let patch = settle(&mut findings, patchable, ttl, before, body, now);
        Ok(Judged::Open(Box::new(Case {
            phase: self.phase,
            operation,
            request,
            job,
            selection,
            mode,
            unknown_mode,
            findings,
            patch,
            is_told: false,
            exceptions,
            circumstances,
        })))
    }
}

/// Whether the CronJob controller made this Job. An ownerReference alone says nothing: anyone can
/// write one.
fn is_from_cronjob(job: &Job<'_>, user: &str) -> bool {
    let is_controller =
        user == CRONJOB_CONTROLLER || (user == CONTROLLER_MANAGER && job.is_owned_by_cronjob());
    job.kind == Kind::Job && is_controller
}

/// The mode of a namespace, and its label's value where that is none.
pub(crate) fn mode(
    label: Option<String>,
    policy: &Policy,
    namespace: &str,
) -> (Mode, Option<String>) {
    match label {
        None => (policy.mode(namespace), None),
        Some(label) => match Mode::from_label(&label) {
            Some(mode) => (mode, None),
            None => (Mode::Enforce, Some(label)),
        },
    }
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
    let others: Vec<Fix> = stamp.into_iter().chain(ttl).collect();
    if others.is_empty() {
        return None;
    }
    let fixes = verdict::fixes(findings).chain(&others);
    let patch = request::object_tree(body).and_then(|object| fix::patch(fixes, &object, now));
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
        line: None,
        if_lost: None,
    }))
}

/// A review that is judged, with all there is to say about it.
#[derive(Debug)]
pub struct Case<'a> {
    phase: Phase,
    operation: Operation,
    request: &'a Request<'a>,
    job: Job<'a>,
    selection: Selection,
    mode: Mode,
    unknown_mode: Option<String>,
    findings: Vec<Finding>,
    patch: Option<json_patch::Patch>,
    /// This waiter has been told of this holder before.
    is_told: bool,
    /// Those of its namespace that are honoured.
    exceptions: Vec<Arc<Exception>>,
    circumstances: &'a Circumstances<'a>,
}

/// A migration that may only go on if no other one of its key runs.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The Job.
    pub job: &'a Job<'a>,
    /// Who creates it.
    pub user: &'a str,
    /// Nothing will be stored.
    pub dry_run: bool,
}

impl<'a> Case<'a> {
    /// Who needs a claim: a migration Job that is about to be stored and that no rule refuses.
    #[must_use]
    pub fn claimant(&self) -> Option<Claimant<'_>> {
        let wants = self.phase == Phase::Validate
            && self.operation == Operation::Create
            && self.job.kind == Kind::Job
            && self.selection == Selection::Labelled
            && self.action(&CONCURRENT_MIGRATION) > Action::Off
            && verdict::outcome(&self.findings) < Outcome::Waiting;
        wants.then_some(Claimant {
            job: &self.job,
            user: &self.request.user_info.username,
            dry_run: self.request.dry_run,
        })
    }

    /// Another migration is in the way, of which this one may have been told before.
    pub fn waits_for(&mut self, holder: &Holder, is_told: bool) {
        self.is_told = is_told;
        let action = self.action(&CONCURRENT_MIGRATION);
        self.add(&CONCURRENT_MIGRATION, action, |report| {
            concurrent_migration::held(holder, report);
        });
    }

    /// Whether another migration is in the way could not be found out.
    pub fn may_not_be_alone(&mut self, why: &str) {
        let limit = match self.circumstances.policy.claims.on_failure {
            claims::OnFailure::Deny => Action::Deny,
            claims::OnFailure::Allow => Action::Warn,
        };
        let action = self.action(&CONCURRENT_MIGRATION).min(limit);
        self.add(&CONCURRENT_MIGRATION, action, |report| {
            concurrent_migration::unknown(why, report);
        });
    }

    fn action(&self, rule: &Rule) -> Action {
        let policy = self.circumstances.policy;
        policy.action(rule, &self.job, self.selection, self.mode.cap())
    }

    fn add(&mut self, rule: &'static Rule, action: Action, find: impl FnOnce(&mut Report)) {
        let mut report = Report::new(self.job.kind);
        report.judge(rule, action, find);
        let mut findings = report.into_findings();
        exception::apply(&mut findings, &self.exceptions, &self.job);
        self.findings.extend(findings);
    }

    /// The namespace whose deletion would excuse what is refused here: what is known of it may be old,
    /// and it would be held up.
    #[must_use]
    pub fn excuse(&self) -> Option<&'a str> {
        let refused = verdict::outcome(&self.findings) >= Outcome::Waiting;
        (refused && self.operation == Operation::Delete).then_some(self.job.namespace)
    }

    /// Lets the Job be deleted, because its namespace is.
    pub fn excused(&mut self) {
        self.findings.clear();
    }

    /// Lets the Job be deleted, because nobody could tell whether its namespace is. A guard that cannot
    /// see may not hold up a cluster.
    pub fn unexcused(&mut self, why: &str) {
        for finding in &mut self.findings {
            finding.action = finding.action.min(Action::Audit);
            let _ = write!(
                finding.detail,
                "; let through, because whether the namespace is being deleted could not be found out: {why}"
            );
        }
    }

    /// The answer.
    pub fn finish(&self) -> Result<Answer, Unanswered> {
        let findings = &self.findings;
        let outcome = verdict::outcome(findings);
        let mut response = Response::allowed(&self.request.uid);
        let refusal = |action| {
            let causes = verdict::with(findings, action).map(cause).collect();
            (verdict::message(findings, action), causes)
        };
        if outcome == Outcome::Denied {
            let (message, causes) = refusal(Action::Deny);
            response.deny(self.name(), self.resource(), message, causes);
        } else if outcome == Outcome::Waiting {
            let (message, causes) = refusal(Action::Wait);
            response.put_off(self.name(), self.resource(), message, causes);
        }
        if let Some(patch) = &self.patch {
            response.patch(patch)?;
        }
        response.warnings = self.warnings(outcome);
        let annotations = &mut response.audit_annotations;
        annotations.push(("decision", self.circumstances.id.to_string().into()));
        annotations.push(("policy", (&*self.circumstances.policy.hash).into()));
        if !findings.is_empty() {
            annotations.push(("rules", rules(findings).into()));
        }
        annotations.push(("verdict", outcome.as_str().into()));
        // The mutating phase only speaks up when it has done something: the validating one decides.
        let decided =
            self.phase == Phase::Validate || outcome >= Outcome::Patched || self.patch.is_some();
        // Clients try again and again.
        let recorded = decided && !(outcome == Outcome::Waiting && self.is_told);
        // What is refused, or only tried, uses up nothing.
        let used = self.phase == Phase::Validate && response.allowed && !self.request.dry_run;
        let exceptions = if used {
            exception::uses(findings, self.name())
        } else {
            Vec::new()
        };
        let line = if recorded {
            Some(self.decision(outcome).to_line()?)
        } else {
            None
        };
        let if_lost = if line.is_some() && response.allowed {
            self.if_lost()?
        } else {
            None
        };
        Ok(Answer {
            body: response.to_bytes()?,
            operation: self.operation,
            outcome,
            findings: findings.iter().map(|f| (f.rule.id, f.action)).collect(),
            exceptions,
            line,
            if_lost,
        })
    }

    /// Warnings come from the validating phase, which sees the final object; what the mutating
    /// phase has changed, or denied, the other will not see.
    fn warnings(&self, outcome: Outcome) -> Vec<String> {
        let all = self.phase == Phase::Validate || outcome == Outcome::Denied;
        let told = self.findings.iter().filter(|finding| match finding.action {
            Action::Patch => outcome == Outcome::Patched,
            Action::Warn => all,
            Action::Audit => all && finding.exception.is_some(),
            Action::Deny | Action::Wait | Action::Off => false,
        });
        let mut lines = verdict::warnings(told);
        if let (true, Some(label)) = (all, &self.unknown_mode) {
            lines.push(verdict::one_line(&format!(
                "namespace label migration-warden.io/mode={label} is unknown, treated as enforce"
            )));
        }
        lines
    }

    fn decision(&self, outcome: Outcome) -> Decision<'_> {
        Decision {
            ts: self.circumstances.now,
            kind: "decision",
            schema: SCHEMA,
            id: self.circumstances.id,
            phase: self.phase.as_str(),
            uid: &self.request.uid,
            operation: self.operation.as_str(),
            dry_run: self.request.dry_run,
            resource: self.resource(),
            namespace: self.job.namespace,
            job: self.name(),
            job_uid: &self.job.metadata.uid,
            release: Release::of(&self.job),
            user: &self.request.user_info.username,
            groups: self
                .request
                .user_info
                .groups
                .iter()
                .map(|group| &**group)
                .collect(),
            selection: self.selection.as_str(),
            mode: self.mode,
            verdict: outcome,
            findings: &self.findings,
            patch: self.patch.as_ref(),
            policy: &self.circumstances.policy.hash,
            replica: self.circumstances.replica,
        }
    }

    /// The denial to send when the decision is lost. Where nothing may be denied, a lost decision
    /// denies nothing either.
    fn if_lost(&self) -> Result<Option<Vec<u8>>, Unanswered> {
        let policy = self.circumstances.policy;
        // What is gone already cannot migrate: only what begins has to be written down.
        if self.operation != Operation::Create
            || policy.on_record_failure == OnFailure::Allow
            || policy.cap(&self.job, self.selection, self.mode.cap()) < Action::Deny
        {
            return Ok(None);
        }
        let mut response = Response::allowed(&self.request.uid);
        let message = "the decision could not be written down, and the policy says \
                       record.onFailure: deny; try again, and tell whoever runs migration-warden";
        response.deny(self.name(), self.resource(), message.to_owned(), Vec::new());
        Ok(Some(response.to_bytes()?))
    }

    fn name(&self) -> &str {
        // A rename by another webhook leaves the request's name behind.
        let shown = self.job.name.shown();
        if shown.is_empty() {
            &self.request.name
        } else {
            shown
        }
    }

    fn resource(&self) -> &'static str {
        match self.job.kind {
            Kind::Job => "jobs",
            Kind::CronJob => "cronjobs",
        }
    }
}

fn cause(finding: &Finding) -> Cause {
    Cause {
        field: finding.path.to_string(),
        message: format!("{}; {}", finding.detail, finding.rule.remediation),
        reason: finding.rule.id,
    }
}

/// Ids of the rules that found something, once each.
fn rules(findings: &[Finding]) -> String {
    let mut ids: Vec<_> = findings.iter().map(|finding| finding.rule.id).collect();
    ids.dedup();
    ids.join(",")
}
