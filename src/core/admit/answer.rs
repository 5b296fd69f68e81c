//! Builds the answer and the decision from a case.

use std::iter;

use super::judge::Judged;
use super::{Answer, Unanswered};
use crate::core::decision::Decision;
use crate::core::exception;
use crate::core::job::Kind;
use crate::core::job::release::Release;
use crate::core::judge::Migration;
use crate::core::namespace;
use crate::core::policy::finding::Finding;
use crate::core::policy::verdict::{self, Outcome};
use crate::core::policy::{Action, WithoutRecord};
use crate::core::review::response::{Cause, Refusal, Response};
use crate::core::review::{Operation, Phase};
use crate::core::text;

impl Judged<'_> {
    /// The answer in its final form, from the findings collected so far.
    pub fn finish(&self) -> Result<Answer, Unanswered> {
        if self.is_idle {
            return self.review.allowed();
        }
        let findings = &self.findings;
        let outcome = verdict::outcome(findings);
        let response = self.response(outcome)?;
        // A refusal or a dry run does not use an exception.
        let is_stored = response.allowed && !self.request.dry_run && self.is_last();
        let exceptions = if is_stored {
            exception::uses(findings, self.name(), self.circumstances.now)
        } else {
            Vec::new()
        };
        let is_created = is_stored && self.operation == Operation::Create;
        let adopted = self.migration.adopter().filter(|_| is_created);
        let line = self
            .is_logged(outcome)
            .then(|| self.decision(outcome).to_line());
        let if_lost = match line {
            Some(_) if response.allowed => self.if_lost()?,
            _ => None,
        };
        Ok(Answer {
            outcome,
            findings: findings.iter().map(|f| (f.rule.id, f.action)).collect(),
            adopted: adopted.map(str::to_owned),
            exceptions,
            happening: self.happening(outcome).map(Box::new),
            line: line.transpose()?,
            if_lost,
            ..Answer::allowed(self.review.phase, self.operation, response.to_bytes()?)
        })
    }

    /// What the API server is sent.
    fn response(&self, outcome: Outcome) -> Result<Response<'_>, Unanswered> {
        let findings = &self.findings;
        let mut response = Response::allowed(&self.request.uid);
        let is_dry_run = self.request.dry_run;
        let refused = match outcome {
            Outcome::Denied => Some((Action::Deny, Refusal::Final)),
            Outcome::Waiting => Some((
                Action::Wait,
                Refusal::Later((!is_dry_run).then_some(self.retry)),
            )),
            _ => None,
        };
        if let Some((action, refusal)) = refused {
            let told = verdict::with(findings, action).take(text::FINDINGS);
            let causes = told.map(cause).collect();
            let last = match refusal {
                Refusal::Final => self.migration.policy.help_line(),
                Refusal::Later(retry) => retry.map(|retry| format!("{}.", retry.words())),
            };
            let message = iter::once(verdict::message(findings, action)).chain(last);
            let message = message.collect::<Vec<_>>().join("\n");
            response.refuse(self.name(), self.resource(), message, causes, refusal);
        }
        let corrections = self.correction.patch.iter().flat_map(|patch| &patch.0);
        let stamps = (outcome < Outcome::Waiting).then_some(&self.correction.stamps);
        response.patch(corrections.chain(stamps.into_iter().flatten()))?;
        response.warnings = self.warnings(outcome);
        let annotations = &mut response.audit_annotations;
        annotations.push(("decision", self.correction.id.to_string().into()));
        annotations.push(("policy", (&*self.migration.policy.hash).into()));
        if !findings.is_empty() {
            annotations.push(("rules", rules(findings).into()));
        }
        annotations.push(("verdict", outcome.as_str().into()));
        Ok(response)
    }

    /// Whether the decision log gets a line. The validating phase decides; the mutating one logs a decision only if it
    /// patched or refused something, or if no other phase follows. Clients retry, so a wait is logged once.
    fn is_logged(&self, outcome: Outcome) -> bool {
        let decided =
            self.is_last() || outcome >= Outcome::Patched || self.correction.patch.is_some();
        decided && !(outcome == Outcome::Waiting && self.is_told)
    }

    /// Whether the API server asks no more about this request. It sends a Job that is only detected to the validating
    /// phase if that Job may be denied.
    fn is_last(&self) -> bool {
        let Migration {
            selection, policy, ..
        } = &self.migration;
        self.review.phase == Phase::Validate
            || !selection.is_migration() && policy.detection <= Action::Audit
    }

    /// Warnings come from the last phase, which sees the final object. The mutating phase warns about what it patched or
    /// denied, because the validating phase will not see that.
    fn warnings(&self, outcome: Outcome) -> Vec<String> {
        let all = self.is_last() || outcome == Outcome::Denied;
        let told = self.findings.iter().filter(|finding| match finding.action {
            Action::Patch => outcome == Outcome::Patched,
            Action::Warn => all,
            Action::Audit => all && finding.exception.is_some(),
            Action::Deny | Action::Wait | Action::Off => false,
        });
        let mut lines = verdict::warnings(told);
        if let (true, Some(label)) = (all, &self.migration.unknown_mode) {
            lines.push(verdict::one_line(&namespace::unknown_mode(label)));
        }
        lines
    }

    fn decision(&self, outcome: Outcome) -> Decision<'_> {
        let (request, user) = (self.request, &self.request.user_info);
        let (migration, job) = (&self.migration, &self.migration.job);
        Decision {
            ts: self.circumstances.now,
            id: self.correction.id,
            phase: self.review.phase.as_str(),
            uid: &request.uid,
            operation: self.operation.as_str(),
            dry_run: request.dry_run,
            resource: self.resource(),
            namespace: job.namespace,
            job: self.name(),
            job_uid: &job.metadata.uid,
            release: Release::of(job),
            deployer: job.deployer,
            user: &user.username,
            groups: user.groups.iter().map(|group| &**group).collect(),
            selection: migration.selection.as_str(),
            adopted: migration.adopter(),
            mode: migration.mode,
            verdict: outcome,
            findings: &self.findings,
            patch: self.correction.patch.as_ref(),
            policy: &migration.policy.hash,
            replica: self.circumstances.replica,
        }
    }

    /// The denial to send if the decision cannot be logged; `None` if the policy or the mode does not allow a denial.
    fn if_lost(&self) -> Result<Option<Vec<u8>>, Unanswered> {
        let (policy, migration) = (self.migration.policy, &self.migration);
        let cap = || policy.cap(&migration.job, migration.selection, migration.mode.cap());
        // Only a create starts a migration, so only a create has to be logged.
        if self.operation != Operation::Create
            || policy.without_record == WithoutRecord::Allow
            || cap() < Action::Deny
        {
            return Ok(None);
        }
        let mut response = Response::allowed(&self.request.uid);
        let message = "failed to log the decision, and the policy has record.onFailure: deny; retry, and \
                       contact the operators of migration-warden if it fails again";
        let (name, resource) = (self.name(), self.resource());
        response.refuse(
            name,
            resource,
            message.to_owned(),
            Vec::new(),
            Refusal::Final,
        );
        Ok(Some(response.to_bytes()?))
    }

    pub(super) fn name(&self) -> &str {
        // After a rename by another webhook, the request still has the old name.
        let shown = self.migration.job.name.shown();
        if shown.is_empty() {
            &self.request.name
        } else {
            shown
        }
    }

    fn resource(&self) -> &'static str {
        match self.migration.job.kind {
            Kind::Job => "jobs",
            Kind::CronJob => "cronjobs",
        }
    }
}

fn cause(finding: &Finding) -> Cause {
    Cause {
        field: finding.path.to_string(),
        message: format!("{}; {}", finding.detail, finding.remediation),
        reason: finding.rule.id,
    }
}

/// Ids of the rules that found something, once each.
fn rules(findings: &[Finding]) -> String {
    let mut ids: Vec<_> = findings.iter().map(|finding| finding.rule.id).collect();
    ids.dedup();
    ids.join(",")
}
