//! A review on which the rules have been heard, and what the cluster adds to that: who else migrates, and
//! whether the namespace is going. Pure: whoever asks the cluster hands in what it said.

use std::sync::Arc;

use json_patch::PatchOperation;
use uuid::Uuid;

use super::Circumstances;
use crate::core::exception::{self, Exception};
use crate::core::guard;
use crate::core::job::{Job, Kind};
use crate::core::policy::finding::{Finding, Report};
use crate::core::policy::rule::Rule;
use crate::core::policy::rules::concurrent_migration::{self, CONCURRENT_MIGRATION, Holder};
use crate::core::policy::select::Selection;
use crate::core::policy::verdict::{self, Outcome};
use crate::core::policy::{Action, Mode, claims};
use crate::core::review::request::Request;
use crate::core::review::{Operation, Phase};
use crate::core::text;

/// What is told of why something could not be found out.
const MAX_WHY: usize = 128;

/// A review that is judged, with all there is to say about it.
#[derive(Debug)]
pub struct Case<'a> {
    pub(super) phase: Phase,
    pub(super) operation: Operation,
    pub(super) request: &'a Request<'a>,
    pub(super) job: Job<'a>,
    pub(super) selection: Selection,
    pub(super) mode: Mode,
    /// Value of the namespace's label, where that is no mode.
    pub(super) unknown_mode: Option<String>,
    pub(super) findings: Vec<Finding>,
    /// Only the Job's pods say whether what is done would stop it halfway.
    pub(super) is_unclear: bool,
    /// What is corrected, and what is written down of it.
    pub(super) patch: Option<json_patch::Patch>,
    /// Of the decision.
    pub(super) id: Uuid,
    /// What names the decision in the Job. It corrects nothing, and says nothing that its line does not.
    pub(super) stamps: Vec<PatchOperation>,
    /// This waiter has been told of this holder before.
    pub(super) is_told: bool,
    /// Those of its namespace that are honoured.
    pub(super) exceptions: Vec<Arc<Exception>>,
    pub(super) circumstances: &'a Circumstances<'a>,
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

    /// Namespace, name and uid of the Job whose pods say whether it runs, if what is done to it depends on that and
    /// its own status does not say it.
    #[must_use]
    pub fn unclear(&self) -> Option<(&'a str, &'a str, &'a str)> {
        let (name, uid) = (self.job.name.full(), &*self.job.metadata.uid);
        self.is_unclear.then_some((self.job.namespace, name, uid))
    }

    /// Its pods say that it runs.
    pub fn runs(&mut self) {
        let policy = self.circumstances.policy;
        let findings = if self.operation == Operation::Delete {
            guard::stopped(&self.job, policy, self.mode.cap())
        } else {
            guard::unlabelled_while_running(&self.job, policy, self.mode.cap())
        };
        self.add_all(findings);
    }

    /// Nobody could tell whether it runs.
    pub fn may_run(&mut self, why: &str) {
        let policy = self.circumstances.policy;
        let findings = guard::unseen(&self.job, why, policy, self.mode.cap());
        self.add_all(findings);
    }

    /// Its namespace has no room for one more claim. It waits, whatever the policy says of what cannot be known:
    /// otherwise a flood would switch claims off.
    pub fn waits_for_room(&mut self, why: &str) {
        let action = self.action(&CONCURRENT_MIGRATION);
        self.add(&CONCURRENT_MIGRATION, action, |report| {
            concurrent_migration::crowded(why, report);
        });
    }

    fn action(&self, rule: &Rule) -> Action {
        let policy = self.circumstances.policy;
        policy.action(rule, &self.job, self.selection, self.mode.cap())
    }

    fn add(&mut self, rule: &'static Rule, action: Action, find: impl FnOnce(&mut Report)) {
        self.add_all(Report::of(self.job.kind, rule, action, find));
    }

    fn add_all(&mut self, mut findings: Vec<Finding>) {
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
            finding.append(&format!(
                "; let through, because whether the namespace is being deleted could not be found out: {}",
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

    /// The outcome of deleting a migration Job with this status, where its pods say that it runs, or that it does
    /// not, or cannot be asked; nothing if nobody asks them.
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
