//! What only the cluster knows: whether the Job is running, whether its namespace is being deleted, and whether its
//! claim is free. Pure: the caller asks the cluster.

use super::judge::Judged;
use crate::core::job::{Job, Kind};
use crate::core::policy::Action;
use crate::core::policy::breach::Breach;
use crate::core::policy::claims::Supersede;
use crate::core::policy::rules::concurrent_migration::{self, CONCURRENT_MIGRATION, Refusal};
use crate::core::policy::rules::deleted_while_running::{self, DELETED_WHILE_RUNNING};
use crate::core::policy::verdict::{self, Outcome};
use crate::core::review::retry::Retry;
use crate::core::review::{Operation, Phase};
use crate::core::text;

/// Most bytes of an error that are quoted in a finding.
const MAX_WHY: usize = 128;

/// A question to the cluster, on which the answer depends.
#[derive(Clone, Copy, Debug)]
pub enum Question<'q, 'a> {
    /// Is a container of this Job running?
    Pods(&'q Job<'a>),
    /// Is this namespace being deleted? What is known of it may be stale, and denying the deletion of a Job would block
    /// the namespace's own deletion.
    Namespace(&'q str),
    /// Is the claim free, so that this Job may be created?
    Claim(Claimant<'q, 'a>),
}

/// A migration that is admitted only if no other one with its key is running.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'q, 'a> {
    /// The Job to be created.
    pub job: &'q Job<'a>,
    /// The user who creates it.
    pub user: &'q str,
    /// The database that the policy names for it.
    pub database: Option<&'q str>,
    /// Whether it has no label, so that an active one like it may have none either.
    pub is_adopted: bool,
    /// Whether this is a dry run, which stores nothing.
    pub dry_run: bool,
    /// Whether an earlier attempt that never started gives way to it.
    pub supersedes: bool,
}

/// The cluster's answer.
#[derive(Debug)]
pub enum Heard {
    /// Nothing that changes the verdict: the claim was taken, or there is no cluster.
    Nothing,
    /// Whether a container of the Job is running, or why that could not be determined.
    Pods(Result<bool, String>),
    /// Whether the namespace is being deleted, or why that could not be determined.
    Namespace(Result<bool, String>),
    /// The claim was not taken. With `true`, the client already knows why.
    Refused(Refusal, bool),
}

impl<'a> Judged<'a> {
    /// What to ask the cluster next.
    #[must_use]
    pub fn question(&self) -> Option<Question<'_, 'a>> {
        let job = &self.migration.job;
        if self.unclear.is_some() {
            return Some(Question::Pods(job));
        }
        let is_refused = verdict::outcome(&self.findings) >= Outcome::Waiting;
        match self.operation {
            _ if !self.is_open => None,
            Operation::Delete => is_refused.then_some(Question::Namespace(job.namespace)),
            Operation::Create => {
                let needs_claim = !is_refused
                    && self.review.phase == Phase::Validate
                    && job.kind == Kind::Job
                    && self.migration.selection.is_migration()
                    && self.migration.action(&CONCURRENT_MIGRATION) > Action::Off;
                needs_claim.then(|| {
                    Question::Claim(Claimant {
                        job,
                        user: &self.request.user_info.username,
                        database: self.migration.policy.database(self.migration.selection),
                        is_adopted: self.migration.adopter().is_some(),
                        dry_run: self.request.dry_run,
                        supersedes: self.supersedes(),
                    })
                })
            }
            _ => None,
        }
    }

    /// Whether an earlier attempt that never started gives way: not if this one is not refused on its account.
    fn supersedes(&self) -> bool {
        let migration = &self.migration;
        if self.request.dry_run || migration.policy.claims.supersede == Supersede::Off {
            return false;
        }
        let breach = Breach::new("metadata.name", "");
        let found = migration.find(&CONCURRENT_MIGRATION, [breach]);
        verdict::outcome(&found) >= Outcome::Waiting
    }

    /// Takes the answer to the question into account.
    pub fn hear(&mut self, heard: Heard) {
        let Some(loss) = self.unclear.take() else {
            self.is_open = false;
            return self.hear_last(heard);
        };
        if let Heard::Pods(pods) = heard {
            let breach = deleted_while_running::check(&self.migration.job, loss, Some(&pods));
            let found = self.migration.find(&DELETED_WHILE_RUNNING, breach);
            self.findings.extend(found);
        }
    }

    fn hear_last(&mut self, heard: Heard) {
        match heard {
            Heard::Nothing | Heard::Pods(_) | Heard::Namespace(Ok(false)) => {}
            // The namespace takes the Job with it.
            Heard::Namespace(Ok(true)) => self.findings.clear(),
            // A guard that cannot see must not block a cluster.
            Heard::Namespace(Err(why)) => {
                let why = text::bounded(&why, MAX_WHY);
                for finding in &mut self.findings {
                    finding.action = finding.action.min(Action::Audit);
                    finding.append(&format!(
                        "; allowed, because migration-warden could not determine whether the namespace is being deleted: {why}"
                    ));
                }
            }
            Heard::Refused(refusal, is_told) => {
                self.is_told = is_told;
                self.retry = Retry(refusal.age());
                let on_failure = self.migration.without_claim();
                let breach = concurrent_migration::check(&refusal, on_failure);
                let found = self.migration.find(&CONCURRENT_MIGRATION, [breach]);
                self.findings.extend(found);
            }
        }
    }
}
