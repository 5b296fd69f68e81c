//! The match conditions, in CEL, of the webhook entry for updates and deletions: the API server evaluates them before
//! it calls a guard.
//!
//! The chart's template renders exactly the same texts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{CONTROL_PLANE, NODE};
use crate::core::job::ADOPTED_LABEL;
use crate::core::job::annotation::Annotation;
use crate::core::job::deployer::{ARGOCD, KUBECTL, KUSTOMIZE_CONTROLLER};
use crate::core::job::stamp::STAMPS;
use crate::core::policy::cel::{self, list, string};

/// Name of the match condition that selects Jobs that are migrations as they are stored. It also selects Jobs with
/// stamps that are deleted or become migrations.
pub(crate) const GUARDED: &str = "guarded-migration";
/// Name of the match condition that selects deletions, and those updates that may be a [`reapplied_job`], may be a
/// [`forged_stamp`], change the label of an adopted Job, or change whether the Job is a migration.
///
/// [`reapplied_job`]: crate::core::policy::rules::reapplied_job
/// [`forged_stamp`]: crate::core::policy::rules::forged_stamp
pub(crate) const DELETED_REAPPLIED_OR_FORGED: &str = "deleted-reapplied-or-forged";

/// Name and expression of each condition, in order.
#[must_use]
pub fn conditions(selectors: &[LabelSelector]) -> [(&'static str, String); 3] {
    [
        (cel::NOT_THE_CONTROL_PLANE, asked_by_others()),
        (GUARDED, guarded(selectors)),
        (
            DELETED_REAPPLIED_OR_FORGED,
            deleted_reapplied_or_forged(selectors),
        ),
    ]
}

/// The expression of [`GUARDED`].
#[must_use]
pub fn guarded(selectors: &[LabelSelector]) -> String {
    let (old, new) = both(selectors);
    let stamps = stamps();
    format!(
        "({old}) || (request.operation == 'DELETE' \
         && {stamps}.exists(s, oldObject.metadata.?annotations[?s].hasValue())) \
         || (request.operation == 'UPDATE' \
         && {stamps}.exists(s, object.metadata.?annotations[?s].hasValue()) && ({new}))"
    )
}

/// The expressions for whether the Job is a migration as it is stored, and whether it is one after the update.
fn both(selectors: &[LabelSelector]) -> (String, String) {
    let of = |job| cel::stored_migration(job, selectors);
    (of("oldObject"), of("object"))
}

fn stamps() -> String {
    list(&STAMPS.map(Annotation::key))
}

fn asked_by_others() -> String {
    let users = list(&CONTROL_PLANE);
    let node = string(NODE);
    format!(
        "!(request.userInfo.username in {users} || request.userInfo.username.startsWith({node}))"
    )
}

/// The expression of [`DELETED_REAPPLIED_OR_FORGED`]. Jobs are updated all the time, and few of the updates are worth a
/// call.
fn deleted_reapplied_or_forged(selectors: &[LabelSelector]) -> String {
    let (old, new) = both(selectors);
    let stamps = stamps();
    let others = list(&["", KUSTOMIZE_CONTROLLER]);
    let (kubectl, argocd) = (string(KUBECTL), string(ARGOCD));
    let (hook, label) = (string(Annotation::Hook.key()), string(ADOPTED_LABEL));
    format!(
        "request.operation == 'DELETE' || ([request.options.?fieldManager.orValue('')].exists(m, \
         !(m in {others} || m.startsWith({kubectl}) || m.startsWith({argocd}))) \
         && oldObject.metadata.?annotations[?{hook}].hasValue() \
         && oldObject.?status.?conditions.orValue([])\
         .exists(c, c.type in ['Complete', 'Failed'] && c.status == 'True')) \
         || {stamps}.exists(s, object.metadata.?annotations[?s] != oldObject.metadata.?annotations[?s]) \
         || object.metadata.?labels[?{label}] != oldObject.metadata.?labels[?{label}] \
         || !({old}) || !({new})"
    )
}
