//! Builds the Kubernetes Event for a case.

use std::fmt::Write;

use super::judge::Judged;
use crate::core::job::annotation::Annotation;
use crate::core::job::{Kind, dns};
use crate::core::notice::{self, Happening, LONGEST_NOTE};
use crate::core::policy::Action;
use crate::core::policy::breach::Command;
use crate::core::policy::finding::Finding;
use crate::core::policy::rules;
use crate::core::policy::verdict::{self, Outcome};
use crate::core::review::{Operation, Phase};
use crate::core::text;

impl Judged<'_> {
    /// The Event, if the request is not a dry run and is denied, asked to wait or corrected. Both phases report
    /// refusals; the last one reports corrections, because it knows the final Job.
    pub(super) fn happening(&self, outcome: Outcome) -> Option<Happening> {
        let (name, namespace) = (self.name(), self.migration.job.namespace);
        // The namespace becomes part of the request's path.
        if self.request.dry_run || !dns::is_label(namespace) {
            return None;
        }
        let shown = |name| text::bounded(name, text::NAME);
        let (is_warning, reason, action, note) = match outcome {
            Outcome::Denied => {
                let verb = self.operation.as_str();
                let note = self.refusal(&format!("{verb} of {}", shown(name)), Action::Deny);
                (true, "MigrationDenied", "Deny", note)
            }
            Outcome::Waiting if !self.is_told => {
                // The client shows nothing while it waits.
                let (note, retry) = (self.refusal(&shown(name), Action::Wait), self.retry.words());
                let note = format!("{note}; {retry}");
                (false, "MigrationWaiting", "Wait", note)
            }
            Outcome::Waiting => return None,
            Outcome::Patched | Outcome::Warned | Outcome::Allowed => {
                let ids = self.patched()?;
                let note = format!("corrected {ids} in the Job; correct the chart too");
                (false, "MigrationPatched", "Patch", note)
            }
        };
        let job = notice::job(namespace, name, &self.migration.job.metadata.uid);
        let exists = outcome < Outcome::Waiting || self.operation != Operation::Create;
        let (regarding, related) = if exists && self.migration.job.kind == Kind::Job {
            (job, None)
        } else {
            // All attempts of one migration share one Event. Without a uid, the Job is one that does not exist.
            let mut attempts = notice::job(namespace, self.migration.job.name.base(), "");
            if self.migration.job.kind == Kind::CronJob {
                attempts.kind = Some("CronJob".to_owned());
            }
            (notice::namespace(namespace), Some(attempts))
        };
        Some(Happening {
            regarding,
            related,
            is_warning,
            reason,
            action,
            note: notice::note(&note),
        })
    }

    /// The note on a refusal: every finding, in a shorter form if all of them are too long, and then as many of the
    /// commands as fit.
    fn refusal(&self, start: &str, action: Action) -> String {
        let told: Vec<_> = verdict::with(&self.findings, action).collect();
        let joined = |form: fn(&Finding) -> String| {
            let mut findings: Vec<_> = told.iter().map(|finding| form(finding)).collect();
            findings.dedup();
            format!("{start}: {}", findings.join("; "))
        };
        let long: [fn(&Finding) -> String; 2] = [
            |f| f.message().lines().take(1).collect(),
            |f| format!("{} {}: {}", f.rule.id, f.rule.name, f.path),
        ];
        // Of more findings than this, neither form fits.
        let long = long.into_iter().filter(|_| told.len() <= text::FINDINGS);
        let mut note = long
            .map(joined)
            .find(|note| note.len() <= LONGEST_NOTE)
            .unwrap_or_else(|| joined(|f| f.rule.id.to_owned()));
        let mut last = "";
        for Command { purpose, line } in told.iter().flat_map(|finding| &finding.commands) {
            let more = if *purpose == last {
                format!("; {line}")
            } else {
                format!("; {purpose}: {line}")
            };
            if note.len() + more.len() > LONGEST_NOTE {
                break;
            }
            note.push_str(&more);
            last = purpose;
        }
        note
    }

    /// The ids of the rules whose findings were patched in the Job that is admitted now.
    fn patched(&self) -> Option<String> {
        let last = self.review.phase == Phase::Validate && self.operation == Operation::Create;
        let ids = self.migration.job.annotations.get(Annotation::Patched)?;
        let mut ours = String::new();
        for id in ids.split(',').filter_map(rules::find).map(|rule| rule.id) {
            let separator = if ours.is_empty() { "" } else { ", " };
            let _ = write!(ours, "{separator}{id}");
        }
        (last && !ours.is_empty()).then_some(ours)
    }
}
