//! MW104: a stamp that migration-warden did not set.

use crate::core::job::stamp::{STAMPS, is_stamped, requested_by};
use crate::core::job::{ADOPTED_LABEL, Kind};
use crate::core::policy::rule::prelude::*;

rule! {
    /// A stamp on a migration Job that migration-warden did not write, or that was changed later; or a stamped Job that
    /// loses its label.
    ///
    /// Stamps are the annotations `migration-warden.io/decision`, `migration-warden.io/requested-by`,
    /// `migration-warden.io/exceptions` and `migration-warden.io/patched`. A migration Job gets them when it is created,
    /// in place of those in its manifest. An adopted one also gets the label `migration-warden.io/adopted`. The rule
    /// flags:
    ///
    /// - a new Job with the stamps of a user other than the one who creates it
    /// - stamps in a CronJob's template
    /// - each update that changes, adds or removes a stamp
    /// - each update that makes a stamped Job a migration Job
    /// - each update after which a stamped Job is not a migration Job: without its label, or with
    ///   `migration-warden.io/migration: "false"`
    /// - each update of a migration Job that changes, adds or removes the label `migration-warden.io/adopted`
    ///
    /// ## Why is this bad?
    /// The stamps say who asked for a migration and which decision admitted it, after Helm, the pod and the pipeline's
    /// log are gone. A stamp that every user may change is not evidence. migration-warden neither guards nor records a Job
    /// without its label, so removing the label is the first step to deleting the evidence.
    ///
    /// ## Instead
    /// Leave the four annotations out of charts and manifests, and do not change them on a Job. `kubectl apply`, `helm
    /// upgrade` and Argo CD leave them alone if the manifest does not have them. A manifest from `kubectl get -o yaml`
    /// has them: remove them there. To remove a migration Job, delete it.
    ///
    /// Source: `kubernetes/kubernetes: staging/src/k8s.io/api/authentication/v1/types.go`, `UserInfo`: the one name
    /// that a user cannot choose.
    pub(crate) static FORGED_STAMP = {
        id: "MW104",
        name: "forged-stamp",
        reason: "migration-warden did not write a decision stamp",
        remediation: "leave stamps out of charts and manifests, and keep the label of a stamped Job",
        path: "metadata.annotations",
        guide: Deny,
        strict: Deny,
        scope: Scope::Cluster(Promise::Guards),
        patch: Patch::Refused("migration-warden stamps a Job when it is created, whatever the action of this rule"),
        cel: Cel::Refused("the rule depends on who asks, and the policy is evaluated only for creations"),
        check: Check::None,
    };
}

/// The breach that a new Job has stamps that do not name the `user` who creates it.
#[must_use]
pub(crate) fn created(job: &Job<'_>, gets_stamps: bool, user: &str) -> Option<Breach> {
    // A detected Job that was corrected has only the stamp with the patched rules.
    let mut stamps = STAMPS
        .iter()
        .filter(|stamp| gets_stamps || **stamp != Annotation::Patched);
    let named = job.annotations.get(Annotation::RequestedBy);
    // The Jobs of a CronJob would copy the stamps in its template.
    let is_theirs = job.kind == Kind::Job && named == Some(&*requested_by(user));
    if is_theirs || stamps.all(|stamp| job.annotations.get(*stamp).is_none()) {
        return None;
    }
    Some(brought(named, user))
}

/// A breach for each stamp on a Job that an update makes a migration Job.
pub(crate) fn became(job: &Job<'_>) -> impl Iterator<Item = Breach> {
    STAMPS
        .into_iter()
        .filter_map(|stamp| Some(carried(stamp, job.annotations.get(stamp)?)))
}

/// A breach for each stamp that an update changes, and one if a stamped Job loses its label, or an adopted one changes
/// the name under which it was adopted.
pub(crate) fn updated(
    old: &Job<'_>,
    new: &Job<'_>,
    loses_label: bool,
) -> impl Iterator<Item = Breach> {
    let changes = STAMPS.into_iter().filter_map(|stamp| {
        let (old, new) = (old.annotations.get(stamp), new.annotations.get(stamp));
        (old != new).then(|| changed(FieldPath::annotation(stamp), old, new))
    });
    let is_lost = loses_label && is_stamped(old);
    let (before, after) = (old.adopted_as(), new.adopted_as());
    let is_renamed = !is_lost && before != after;
    changes
        .chain(is_lost.then(|| unlabelled(old.namespace, old.name.shown())))
        .chain(is_renamed.then(|| {
            let path = FieldPath::of("metadata.labels").key(ADOPTED_LABEL);
            changed(path, before, after)
        }))
}

/// The breach of a new Job whose stamps have the name `named`, although `user` creates it.
fn brought(named: Option<&str>, user: &str) -> Breach {
    let user = shown(user);
    let key = Annotation::RequestedBy.key();
    let detail = match named {
        Some(named) => format!("it is {}, but {user} creates the Job", shown(named)),
        None => format!(
            "the annotation {key} is missing beside other stamps, and {user} creates the Job"
        ),
    };
    Breach::new(Annotation::RequestedBy, detail)
}

/// The breach of an update that makes a Job with this `stamp` a migration Job.
fn carried(stamp: Annotation, value: &str) -> Breach {
    let value = shown(value);
    let detail = format!(
        "migration-warden did not write {value}, because the Job was not a migration Job when it was created (remove the \
         annotation to make it one)"
    );
    Breach::new(stamp, detail)
}

/// The breach of an update after which `job`, which has stamps, is not a migration Job.
fn unlabelled(namespace: &str, job: &str) -> Breach {
    let detail = format!(
        "{namespace}/{job} was admitted as a migration Job, and is not one after this update"
    );
    let delete = format!("kubectl delete job {job} -n {namespace}");
    Breach::new("metadata.labels", detail).command("To remove the Job", delete)
}

/// The breach of an update that changes a stamp, or the label of an adopted Job.
fn changed(stamp: impl Into<FieldPath>, old: Option<&str>, new: Option<&str>) -> Breach {
    let detail = match (old, new) {
        (Some(old), Some(new)) => {
            format!("it is {}, and may not become {}", shown(old), shown(new))
        }
        (Some(old), None) => format!("it is {}, and may not be removed", shown(old)),
        (None, new) => format!(
            "the Job was created without it, so {} may not be added",
            shown(new.unwrap_or_default())
        ),
    };
    Breach::new(stamp, detail)
}
