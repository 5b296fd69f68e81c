//! A review after the rules have been evaluated, and what the cluster adds: other running migrations, pods of the Job,
//! and whether the namespace is being deleted. Pure: the caller asks the cluster.

use std::sync::Arc;

use json_patch::PatchOperation;
use uuid::Uuid;

use super::Circumstances;
use crate::core::exception::{self, Exception};
use crate::core::guard;
use crate::core::job::{Job, Kind};
use crate::core::policy::breach::Breach;
use crate::core::policy::finding::Finding;
use crate::core::policy::rule::Rule;
use crate::core::policy::rules::concurrent_migration::{self, CONCURRENT_MIGRATION, Holder};
use crate::core::policy::select::Selection;
use crate::core::policy::verdict::{self, Outcome};
use crate::core::policy::{Action, Mode, claims};
use crate::core::review::request::Request;
use crate::core::review::{Operation, Phase};
use crate::core::text;

/// Most bytes of an error that are quoted in a finding.
const MAX_WHY: usize = 128;

/// A review with its findings, its patch and everything else that the answer needs.
#[derive(Debug)]
pub struct Case<'a> {
    pub(super) phase: Phase,
    pub(super) operation: Operation,
    pub(super) request: &'a Request<'a>,
    pub(super) job: Job<'a>,
    pub(super) selection: Selection,
    pub(super) mode: Mode,
    /// Value of the namespace's mode label, if that is not a mode.
    pub(super) unknown_mode: Option<String>,
    pub(super) findings: Vec<Finding>,
    /// Only the Job's pods show whether the request would interrupt the migration.
    pub(super) is_unclear: bool,
    /// The corrections, and the stamp that lists them.
    pub(super) patch: Option<json_patch::Patch>,
    /// Id of the decision.
    pub(super) id: Uuid,
    /// The stamps, kept apart from the patch: they correct nothing and repeat what the decision log has.
    pub(super) stamps: Vec<PatchOperation>,
    /// This holder was already reported to this client.
    pub(super) is_told: bool,
    /// The valid exceptions of its namespace.
    pub(super) exceptions: Vec<Arc<Exception>>,
    pub(super) circumstances: &'a Circumstances<'a>,
}

/// A migration that is admitted only if no other one with its key is running.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The Job to be created.
    pub job: &'a Job<'a>,
    /// The user who creates it.
    pub user: &'a str,
    /// Whether this is a dry run, which stores nothing.
    pub dry_run: bool,
}

impl<'a> Case<'a> {
    /// The migration that needs a claim: its Job is about to be created, and no rule refuses it.
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

    /// Records that another migration is still running. `is_told`: the client already knows of it.
    pub fn waits_for(&mut self, holder: &Holder, is_told: bool) {
        self.is_told = is_told;
        let action = self.action(&CONCURRENT_MIGRATION);
        self.add(
            &CONCURRENT_MIGRATION,
            action,
            concurrent_migration::held(holder),
        );
    }

    /// Records that nothing could determine whether another migration is running.
    pub fn may_not_be_alone(&mut self, why: &str) {
        let limit = match self.circumstances.policy.claims.on_failure {
            claims::OnFailure::Deny => Action::Deny,
            claims::OnFailure::Allow => Action::Warn,
        };
        let action = self.action(&CONCURRENT_MIGRATION).min(limit);
        self.add(
            &CONCURRENT_MIGRATION,
            action,
            concurrent_migration::unknown(why),
        );
    }

    /// Namespace, name and uid of the Job, if the answer depends on whether it is running and only its pods can show
    /// that.
    #[must_use]
    pub fn unclear(&self) -> Option<(&'a str, &'a str, &'a str)> {
        let (name, uid) = (self.job.name.full(), &*self.job.metadata.uid);
        self.is_unclear.then_some((self.job.namespace, name, uid))
    }

    /// Records that its pods show it running.
    pub fn runs(&mut self) {
        let policy = self.circumstances.policy;
        let findings = if self.operation == Operation::Delete {
            guard::stopped(&self.job, policy, self.mode.cap())
        } else {
            guard::unlabelled_while_running(&self.job, policy, self.mode.cap())
        };
        self.add_all(findings);
    }

    /// Records that nothing could determine whether it is running.
    pub fn may_run(&mut self, why: &str) {
        let policy = self.circumstances.policy;
        let findings = guard::unseen(&self.job, why, policy, self.mode.cap());
        self.add_all(findings);
    }

    /// Records that its namespace has no room for another claim. The Job waits even if the policy allows unknown
    /// claims; otherwise a flood of Jobs would switch claims off.
    pub fn waits_for_room(&mut self, why: &str) {
        let action = self.action(&CONCURRENT_MIGRATION);
        self.add(
            &CONCURRENT_MIGRATION,
            action,
            concurrent_migration::crowded(why),
        );
    }

    fn action(&self, rule: &Rule) -> Action {
        let policy = self.circumstances.policy;
        policy.action(rule, &self.job, self.selection, self.mode.cap())
    }

    fn add(&mut self, rule: &'static Rule, action: Action, breach: Breach) {
        self.add_all(Finding::list(rule, action, self.job.kind, breach.into()));
    }

    fn add_all(&mut self, mut findings: Vec<Finding>) {
        exception::apply(&mut findings, &self.exceptions, &self.job);
        self.findings.extend(findings);
    }

    /// The namespace to ask for before this deletion is refused. What is known of it may be stale, and a refusal would
    /// block the namespace's own deletion.
    #[must_use]
    pub fn excuse(&self) -> Option<&'a str> {
        let refused = verdict::outcome(&self.findings) >= Outcome::Waiting;
        (refused && self.operation == Operation::Delete).then_some(self.job.namespace)
    }

    /// Allows the deletion of the Job, because its namespace is being deleted.
    pub fn excused(&mut self) {
        self.findings.clear();
    }

    /// Allows the deletion of the Job, because its namespace could not be read. A guard that cannot see must not block
    /// a cluster.
    pub fn unexcused(&mut self, why: &str) {
        for finding in &mut self.findings {
            finding.action = finding.action.min(Action::Audit);
            finding.append(&format!(
                "; allowed, because migration-warden could not determine whether the namespace is being deleted: {}",
                text::bounded(why, MAX_WHY)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use crate::core::admit::{self, Circumstances, Judged, NamespaceView};
    use crate::core::policy::verdict::Outcome;
    use crate::core::policy_file::validate;
    use crate::core::review::Phase;

    /// The outcome of deleting a migration Job with this status. `runs` is what its pods show, if they can be read. The
    /// result is `None` if the pods are not needed.
    fn deleted(status: &Value, view: &NamespaceView, runs: Option<bool>) -> Option<Outcome> {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "r1", "operation": "DELETE", "namespace": "team",
                "kind": {"group": "batch", "version": "v1", "kind": "Job"},
                "resource": {"group": "batch", "version": "v1", "resource": "jobs"},
                "userInfo": {"username": "ci"},
                "oldObject": {
                    "metadata": {"name": "x", "uid": "u1", "labels": {"app.kubernetes.io/component": "migration"}},
                    "status": status,
                },
            },
        })
        .to_string();
        let policy = validate::builtin();
        let circumstances = Circumstances {
            policy: &policy,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            id: Uuid::nil(),
            replica: "r",
        };
        let review = admit::read(Phase::Validate, review.as_bytes()).unwrap();
        let judged = review.judge(&circumstances, |_| view.clone()).unwrap();
        let Judged::Open(mut case) = judged else {
            panic!("not judged");
        };
        let (namespace, _, uid) = case.unclear()?;
        assert_eq!((namespace, uid), ("team", "u1"));
        match runs {
            Some(true) => case.runs(),
            Some(false) => {}
            None => case.may_run("no answer"),
        }
        Some(case.finish().unwrap().outcome)
    }

    #[test]
    fn the_pods_are_asked_only_if_the_status_does_not_say_it() {
        let view = NamespaceView::default();
        let init = json!({"active": 1, "ready": 0});
        assert_eq!(deleted(&init, &view, Some(true)), Some(Outcome::Denied));
        assert_eq!(deleted(&init, &view, Some(false)), Some(Outcome::Allowed));
        assert_eq!(deleted(&init, &view, None), Some(Outcome::Allowed));
        for status in [json!({"active": 1, "ready": 1}), json!({"active": 0})] {
            assert_eq!(deleted(&status, &view, Some(true)), None, "{status}");
        }
        let going = NamespaceView {
            terminating: true,
            ..NamespaceView::default()
        };
        assert_eq!(deleted(&init, &going, Some(true)), None);
        let unguarded = NamespaceView {
            mode: Some("off".to_owned()),
            ..NamespaceView::default()
        };
        assert_eq!(deleted(&init, &unguarded, Some(true)), None);
    }
}
