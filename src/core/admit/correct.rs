//! Decides which findings are corrected, and builds the patch.

use jiff::Timestamp;
use json_patch::PatchOperation;
use serde_json::json;
use uuid::Uuid;

use super::{Circumstances, Review, stamp};
use crate::core::job::Kind;
use crate::core::job::annotation::Annotation;
use crate::core::judge::Migration;
use crate::core::policy::Mode;
use crate::core::policy::finding::Finding;
use crate::core::policy::fix::{self, Fix};
use crate::core::policy::verdict::{self, Outcome};
use crate::core::review::Phase;
use crate::core::review::request::{self, Request};

/// What is changed in a new Job, and the id of the decision, which may be stamped on it already.
#[derive(Debug)]
pub(super) struct Correction {
    pub(super) id: Uuid,
    /// The corrections, and the stamp that lists them.
    pub(super) patch: Option<json_patch::Patch>,
    /// The stamps, kept apart from the patch: they correct nothing and repeat what the decision log has.
    pub(super) stamps: Vec<PatchOperation>,
}

/// Corrects the findings that the policy corrects. Those that cannot be corrected are denied.
pub(super) fn correction(
    review: &Review<'_>,
    request: &Request<'_>,
    migration: &Migration<'_>,
    findings: &mut [Finding],
    circumstances: &Circumstances<'_>,
) -> Correction {
    let job = &migration.job;
    let (user, now) = (&*request.user_info.username, circumstances.now);
    let gets_stamps = &*request.operation == "CREATE"
        && job.kind == Kind::Job
        && migration.selection.is_migration()
        && migration.mode != Mode::Off;
    let given = gets_stamps.then(|| stamp::id(review.phase, job, user, now));
    let given = given.flatten();
    let id = given.unwrap_or(circumstances.id);
    // A client's own value is replaced, like its other stamps.
    let before = job.annotations.get(Annotation::Patched);
    let before = before.filter(|_| given.is_some() || !gets_stamps);
    let is_last = review.phase == Phase::Validate;
    verdict::settle(findings, !is_last && job.is_patchable());
    if is_last {
        return Correction {
            id,
            patch: None,
            stamps: Vec::new(),
        };
    }
    let patch = patch(review.body, migration, findings, before, now);
    let stamps = if gets_stamps {
        let stamps = stamp::operations(job, id, user, findings, before).into_iter();
        stamps
            .chain(stamp::label(job, migration.adopter()))
            .collect()
    } else {
        Vec::new()
    };
    Correction { id, patch, stamps }
}

/// The patch for `findings`, which are denied if it would not apply to this object.
fn patch(
    body: &[u8],
    migration: &Migration<'_>,
    findings: &mut [Finding],
    patched_before: Option<&str>,
    now: Timestamp,
) -> Option<json_patch::Patch> {
    if verdict::outcome(findings) > Outcome::Patched {
        return None;
    }
    let stamp = verdict::stamp(findings, patched_before);
    let ttl = ttl(migration);
    let object = match (&stamp, &ttl) {
        (None, None) => return None,
        // Nearly all hook Jobs get here, and parsing one again costs more than evaluating it. A Job that gets a TTL has
        // a spec, and the patch needs to know no more.
        (None, Some(_)) => Some(json!({"spec": {}})),
        (Some(stamp), _) => {
            let fixes = verdict::fixes(findings).chain([stamp]).chain(&ttl);
            let paths: Vec<_> = fixes.map(Fix::steps).collect();
            request::object_along(body, &paths)
        }
    };
    let others: Vec<Fix> = stamp.into_iter().chain(ttl).collect();
    let fixes = verdict::fixes(findings).chain(&others);
    let patch = object.and_then(|object| fix::patch(fixes, &object, now));
    if patch.is_none() {
        verdict::settle(findings, false);
    }
    patch
}

/// The `ttlSecondsAfterFinished` to add to a migration Job that has none, if the policy adds one.
fn ttl(migration: &Migration<'_>) -> Option<Fix> {
    let job = &migration.job;
    let wants_ttl = job.is_patchable()
        && migration.is_tidied()
        && migration.policy.limit(migration.mode) == Mode::Enforce
        && job.spec.ttl_seconds_after_finished.is_none()
        && job.containers().next().is_some();
    wants_ttl.then(|| migration.policy.tidy_up.ttl()).flatten()
}
