//! Judges a migration: one function for each thing that may happen to it.

use super::correct::{Correction, correction};
use super::select::{Case, Change};
use super::{Circumstances, Review};
use crate::core::job::{Job, stamp};
use crate::core::judge::Migration;
use crate::core::namespace::NamespaceView;
use crate::core::policy::Action;
use crate::core::policy::finding::Finding;
use crate::core::policy::rules::deleted_while_running::{self, DELETED_WHILE_RUNNING, Loss};
use crate::core::policy::rules::forged_stamp::{self, FORGED_STAMP};
use crate::core::policy::rules::reapplied_job::{self, REAPPLIED_JOB};
use crate::core::review::request::Request;
use crate::core::review::retry::Retry;
use crate::core::review::{Operation, Phase};

/// A review of a migration with its findings, its patch and everything else that the answer needs.
#[derive(Debug)]
pub struct Judged<'a> {
    pub(super) review: &'a Review<'a>,
    pub(super) request: &'a Request<'a>,
    pub(super) operation: Operation,
    pub(super) circumstances: &'a Circumstances<'a>,
    pub(super) migration: Migration<'a>,
    pub(super) findings: Vec<Finding>,
    /// Only the pods of the Job show whether this would end a running migration.
    pub(super) unclear: Option<Loss>,
    /// The last question is still to be asked.
    pub(super) is_open: bool,
    /// This holder was already reported to this client.
    pub(super) is_told: bool,
    /// When the client should retry if it has to wait.
    pub(super) retry: Retry,
    /// An update about which there is nothing to say: Jobs are updated all the time.
    pub(super) is_idle: bool,
    pub(super) correction: Correction,
}

impl<'a> Case<'a> {
    /// Judges the migration by what is known of its namespace.
    #[must_use]
    pub fn judge(
        self,
        circumstances: &'a Circumstances<'a>,
        mut namespace: NamespaceView,
    ) -> Judged<'a> {
        let Case {
            review,
            request,
            policy,
            job,
            selection,
            change,
        } = self;
        let max = policy.max_exception;
        let exceptions = &mut namespace.exceptions;
        exceptions.retain(|exception| exception.is_honoured(circumstances.now, max));
        let migration = Migration::new(job, selection, policy, namespace);
        let (mut findings, unclear) = match &change {
            Change::Creation => (created(&migration, review.phase, request), None),
            Change::Update(new) => updated(&migration, new, request),
            Change::Became => (became(&migration), None),
            Change::Deletion => lost(&migration, true),
        };
        let operation = Operation::from(&*request.operation);
        let correction = correction(review, request, &migration, &mut findings, circumstances);
        Judged {
            is_idle: operation == Operation::Update && findings.is_empty() && unclear.is_none(),
            review,
            request,
            operation,
            circumstances,
            migration,
            findings,
            unclear,
            is_open: true,
            is_told: false,
            retry: Retry::default(),
            correction,
        }
    }
}

fn created(migration: &Migration<'_>, phase: Phase, request: &Request<'_>) -> Vec<Finding> {
    let mut findings = migration.evaluate();
    // The mutating phase replaces foreign stamps instead.
    if phase == Phase::Validate && stamp::is_stamped(&migration.job) {
        let gets_stamps = migration.selection.is_migration();
        let user = &request.user_info.username;
        let breach = forged_stamp::created(&migration.job, gets_stamps, user);
        findings.extend(migration.find(&FORGED_STAMP, breach));
    }
    findings
}

fn updated(
    migration: &Migration<'_>,
    new: &Job<'_>,
    request: &Request<'_>,
) -> (Vec<Finding>, Option<Loss>) {
    let Migration { job, policy, .. } = migration;
    let loses_label = !policy.select_stored(new).is_migration();
    let (mut findings, unclear) = if loses_label {
        lost(migration, false)
    } else {
        (Vec::new(), None)
    };
    // A status is never applied.
    if request.sub_resource.is_empty() {
        let manager = &request.options.field_manager;
        let breach = reapplied_job::check(job, new, manager);
        findings.extend(migration.find(&REAPPLIED_JOB, breach));
    }
    let breaches = forged_stamp::updated(job, new, loses_label);
    findings.extend(migration.find(&FORGED_STAMP, breaches));
    (findings, unclear)
}

fn became(migration: &Migration<'_>) -> Vec<Finding> {
    migration.find(&FORGED_STAMP, forged_stamp::became(&migration.job))
}

/// For a Job that is deleted, or that loses its label.
fn lost(migration: &Migration<'_>, is_deletion: bool) -> (Vec<Finding>, Option<Loss>) {
    let loss = Loss {
        is_deletion,
        is_namespace_terminating: migration.is_namespace_terminating,
    };
    let breach = deleted_while_running::check(&migration.job, loss, None);
    let findings = migration.find(&DELETED_WHILE_RUNNING, breach);
    let is_unclear =
        loss.is_unclear(&migration.job) && migration.action(&DELETED_WHILE_RUNNING) > Action::Off;
    (findings, is_unclear.then_some(loss))
}
