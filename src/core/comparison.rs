//! What a policy does with an existing Job, and what changes against the policy in use.
//!
//! The label of an adopted Job does not count: the next attempt comes without it.

use serde::Serialize;

use crate::core::job::Job;
use crate::core::namespace;
use crate::core::policy::select::Selection;
use crate::core::policy::{Action, Mode, Policy};

/// What a policy does with one Job.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Treatment {
    /// `labelled`, `adopted`, `detected`, `opted-out` or `none`.
    pub(crate) selection: &'static str,
    /// The name under which the Job is adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adopted: Option<String>,
    /// The strongest mode for the findings of rules.
    pub(crate) rules: Mode,
}

/// What changes for a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Change {
    #[strum(serialize = "newly adopted")]
    NewlyAdopted,
    #[strum(serialize = "no longer adopted")]
    NoLongerAdopted,
    #[strum(serialize = "newly enforced")]
    NewlyEnforced,
    #[strum(serialize = "no longer enforced")]
    NoLongerEnforced,
    /// Any other, such as the name under which it is adopted.
    Changed,
}

/// What two policies do with one Job.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) namespace: String,
    pub(crate) job: String,
    #[serde(flatten)]
    pub(crate) now: Treatment,
    /// The later entries that match it, too. They never win.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) also_matched_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<Change>,
    /// What the policy in use does, if that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Treatment>,
}

impl Treatment {
    fn of(policy: &Policy, job: &Job<'_>, mode: Option<&str>) -> Self {
        // The controller's Jobs are not reviewed; their CronJob is.
        let selection = if job.is_made_by_cronjob() {
            Selection::None
        } else {
            policy.select_by_itself(job)
        };
        let (mode, _) = namespace::mode(mode.map(str::to_owned), policy, job.namespace);
        Self {
            selection: selection.as_str(),
            adopted: policy.adopter(selection).map(str::to_owned),
            rules: match policy.cap(job, selection, policy.limit(mode).cap()) {
                Action::Deny | Action::Wait | Action::Patch => Mode::Enforce,
                Action::Warn => Mode::Warn,
                Action::Audit => Mode::Audit,
                Action::Off => Mode::Off,
            },
        }
    }
}

impl Compared {
    /// What `policy` does with a Job, and what `current` does. `mode` is the label of its namespace.
    pub(crate) fn new(
        (policy, current): (&Policy, &Policy),
        job: &Job<'_>,
        mode: Option<&str>,
    ) -> Self {
        let of = |policy| Treatment::of(policy, job, mode);
        let (now, before) = (of(policy), of(current));
        let also = match now.adopted {
            Some(_) => policy.entries_of(job).skip(1).map(str::to_owned).collect(),
            None => Vec::new(),
        };
        Self {
            namespace: job.namespace.to_owned(),
            job: job.name.shown().to_owned(),
            also_matched_by: also,
            change: change(&before, &now),
            before: (before != now).then_some(before),
            now,
        }
    }
}

fn change(before: &Treatment, now: &Treatment) -> Option<Change> {
    let both = |is: fn(&Treatment) -> bool| (is(before), is(now));
    let adopted = both(|of| of.adopted.is_some());
    let enforced = both(|of| of.rules == Mode::Enforce);
    match (adopted, enforced) {
        _ if before == now => None,
        ((false, true), _) => Some(Change::NewlyAdopted),
        ((true, false), _) => Some(Change::NoLongerAdopted),
        (_, (false, true)) => Some(Change::NewlyEnforced),
        (_, (true, false)) => Some(Change::NoLongerEnforced),
        _ => Some(Change::Changed),
    }
}
