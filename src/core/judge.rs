//! Judges one migration: the same for a review, a manifest and a stored object.
//!
//! Not for which objects are judged, nor for what an answer says: [`crate::core::admit`], [`crate::core::check`] and
//! [`crate::core::scan`] decide that.

use std::sync::Arc;

use crate::core::exception::{self, Exception};
use crate::core::job::{Job, credentials};
use crate::core::namespace::{self, NamespaceView};
use crate::core::policy::adopt::Promise;
use crate::core::policy::breach::{Breach, Breaches};
use crate::core::policy::claims::WithoutClaim;
use crate::core::policy::finding::Finding;
use crate::core::policy::rule::Rule;
use crate::core::policy::select::{Adopter, Selection};
use crate::core::policy::{Action, Mode, Policy, verdict};

/// A migration under a policy, in its namespace.
#[derive(Debug)]
pub(super) struct Migration<'a> {
    pub(super) job: Job<'a>,
    /// Why it is judged.
    pub(super) selection: Selection,
    pub(super) policy: &'a Policy,
    pub(super) mode: Mode,
    /// The value of the namespace's mode label, if that is not a mode.
    pub(super) unknown_mode: Option<String>,
    pub(super) is_namespace_terminating: bool,
    exceptions: Vec<Arc<Exception>>,
}

impl<'a> Migration<'a> {
    /// `namespace` has the exceptions that are honoured now.
    pub(super) fn new(
        mut job: Job<'a>,
        selection: Selection,
        policy: &'a Policy,
        namespace: NamespaceView,
    ) -> Self {
        job.mesh = namespace.mesh;
        let (mode, unknown_mode) = namespace::mode(namespace.mode, policy, job.namespace);
        Self {
            job,
            selection,
            policy,
            mode,
            unknown_mode,
            is_namespace_terminating: namespace.terminating,
            exceptions: namespace.exceptions,
        }
    }

    /// The findings as for its creation, each with what finally happens to it.
    pub(super) fn judge(&self) -> Vec<Finding> {
        let mut findings = self.evaluate();
        verdict::settle(&mut findings, self.job.is_patchable());
        findings
    }

    /// The findings of all rules about its manifest. Whether they can be patched is still open.
    pub(super) fn evaluate(&self) -> Vec<Finding> {
        let cap = self.mode.cap();
        self.except(self.policy.evaluate(&self.job, self.selection, cap))
    }

    /// The findings of one rule about the cluster.
    pub(super) fn find(
        &self,
        rule: &'static Rule,
        breaches: impl IntoIterator<Item = Breach>,
    ) -> Vec<Finding> {
        let breaches: Breaches = breaches.into_iter().collect();
        if breaches.is_empty() {
            return Vec::new();
        }
        let action = self.action(rule);
        self.except(Finding::list(rule, action, self.job.kind, breaches))
    }

    /// What the policy does with findings of this rule.
    pub(super) fn action(&self, rule: &Rule) -> Action {
        let cap = self.mode.cap();
        self.policy.action(rule, &self.job, self.selection, cap)
    }

    /// What happens if its claim could not be checked. Detection may be wrong, so it never delays a Job for that.
    pub(super) fn without_claim(&self) -> WithoutClaim {
        match self.selection {
            Selection::Adopted(Adopter::Detection) => WithoutClaim::Allow,
            _ => self.policy.claims.on_failure,
        }
    }

    /// Whether its remains may be removed. An adopted Job's pile up only if its name has a timestamp.
    pub(super) fn is_tidied(&self) -> bool {
        let is_adopted = matches!(self.selection, Selection::Adopted(_));
        self.policy.promises(self.selection, Promise::TidyUp)
            && (!is_adopted || self.job.name.stamp().is_some())
    }

    /// The name under which it is adopted, if it is.
    pub(super) fn adopter(&self) -> Option<&str> {
        let own = || self.job.adopted_as();
        match self.selection {
            Selection::Adopted(_) => self.policy.adopter(self.selection).or_else(own),
            _ => None,
        }
    }

    /// Hides the credentials of the Job in findings, and allows those that an exception covers.
    fn except(&self, mut findings: Vec<Finding>) -> Vec<Finding> {
        credentials::hide(&self.job, findings.iter_mut().flat_map(Finding::texts_mut));
        exception::apply(&mut findings, &self.exceptions, &self.job);
        findings
    }
}
