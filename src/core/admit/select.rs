//! Selects the reviews of migrations; all others are allowed.

use super::Review;
use crate::core::guard;
use crate::core::job::{Job, Kind, stamp};
use crate::core::policy::Policy;
use crate::core::policy::adopt::Promise;
use crate::core::policy::runs::RunMode;
use crate::core::policy::select::Selection;
use crate::core::review::request::{Parsed, Request};
use crate::core::review::{Operation, Phase};

/// The user name under which the CronJob controller creates Jobs.
const CRONJOB_CONTROLLER: &str = "system:serviceaccount:kube-system:cronjob-controller";
/// The user name of every controller without `--use-service-account-credentials`.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// A review of a migration, not judged yet.
#[derive(Debug)]
pub struct Case<'a> {
    pub(super) review: &'a Review<'a>,
    pub(super) request: &'a Request<'a>,
    pub(super) policy: &'a Policy,
    /// The migration: after an update that makes it one, otherwise as it is before the request.
    pub(super) job: Job<'a>,
    pub(super) selection: Selection,
    pub(super) change: Change<'a>,
}

/// What happens to a migration.
#[derive(Debug)]
pub(super) enum Change<'a> {
    Creation,
    /// A stored migration is updated to this Job.
    Update(Box<Job<'a>>),
    /// An update makes a migration of a stored Job.
    Became,
    Deletion,
}

impl<'a> Case<'a> {
    /// The namespace of the migration.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.job.namespace
    }
}

impl<'a> Review<'a> {
    fn request(&'a self) -> Option<(&'a Request<'a>, Operation, Kind)> {
        let Parsed::Judged(request) = &self.parsed else {
            return None;
        };
        let kind = Kind::parse(&request.kind.kind)?;
        Some((request, Operation::from(&*request.operation), kind))
    }

    /// The migration of which something is to be judged.
    #[must_use]
    pub fn select(&'a self, policy: &'a Policy) -> Option<Case<'a>> {
        let (request, operation, kind) = self.request()?;
        let (job, selection, change) = match operation {
            Operation::Create => created(request, kind, policy)?,
            // An existing Job is guarded as it is stored, and only in the phase that runs last.
            Operation::Delete | Operation::Update
                if self.phase == Phase::Validate
                    && kind == Kind::Job
                    && !guard::is_control_plane(&request.user_info.username) =>
            {
                if operation == Operation::Delete {
                    deleted(request, policy)?
                } else {
                    updated(request, policy)?
                }
            }
            _ => return None,
        };
        Some(Case {
            review: self,
            request,
            policy,
            job,
            selection,
            change,
        })
    }

    /// The migration Job that has ended and is to be deleted, if runs are recorded. Its outcome is recorded even if the
    /// deletion is denied, or nothing about it is judged.
    #[must_use]
    pub fn ended(&'a self, policy: &Policy) -> Option<Job<'a>> {
        let (request, Operation::Delete, Kind::Job) = self.request()? else {
            return None;
        };
        let is_last = self.phase == Phase::Validate && request.sub_resource.is_empty();
        if !is_last || policy.runs.mode != RunMode::On {
            return None;
        }
        let job = stored(request)?;
        let selection = policy.select_stored(&job);
        (job.is_finished() && policy.promises(selection, Promise::Record)).then_some(job)
    }
}

type Selected<'a> = (Job<'a>, Selection, Change<'a>);

fn created<'a>(request: &'a Request<'a>, kind: Kind, policy: &Policy) -> Option<Selected<'a>> {
    if !request.sub_resource.is_empty() {
        return None;
    }
    let job = Job::new(request.object.as_ref()?, kind, &request.namespace)
        .sent_by(&request.options.field_manager);
    if is_from_cronjob(&job, &request.user_info.username) {
        return None;
    }
    let selection = policy.select(&job);
    (selection != Selection::None).then_some((job, selection, Change::Creation))
}

fn deleted<'a>(request: &'a Request<'a>, policy: &Policy) -> Option<Selected<'a>> {
    if !request.sub_resource.is_empty() {
        return None;
    }
    let job = stored(request)?;
    let selection = match policy.select_stored(&job) {
        // Its label may have been removed while no replica was running to refuse that.
        other if !other.is_migration() && stamp::is_stamped(&job) => Selection::Labelled,
        selection => selection,
    };
    selection
        .is_migration()
        .then_some((job, selection, Change::Deletion))
}

fn updated<'a>(request: &'a Request<'a>, policy: &Policy) -> Option<Selected<'a>> {
    // An update of a Job's status can change its annotations, too.
    if !["", "status"].contains(&&*request.sub_resource) {
        return None;
    }
    let old = stored(request)?;
    let new = Job::new(request.object.as_ref()?, Kind::Job, &request.namespace);
    let (before, after) = (policy.select_stored(&old), policy.select_stored(&new));
    if before.is_migration() {
        Some((old, before, Change::Update(Box::new(new))))
    } else {
        after.is_migration().then_some((new, after, Change::Became))
    }
}

fn stored<'a>(request: &'a Request<'a>) -> Option<Job<'a>> {
    let object = request.old_object.as_ref()?;
    Some(Job::new(object, Kind::Job, &request.namespace))
}

/// Whether the CronJob controller created this Job. An ownerReference alone proves nothing: any client can write one.
fn is_from_cronjob(job: &Job<'_>, user: &str) -> bool {
    let is_controller =
        user == CRONJOB_CONTROLLER || (user == CONTROLLER_MANAGER && job.is_owned_by_cronjob());
    job.kind == Kind::Job && is_controller
}
