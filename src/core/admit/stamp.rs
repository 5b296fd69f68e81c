//! The patch that stamps a migration Job. It is built without parsing the whole Job, because nearly every migration
//! gets one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::core::job::annotation::Annotation;
use crate::core::job::stamp::{self, STAMPS, requested_by};
use crate::core::job::{ADOPTED_LABEL, Job};
use crate::core::policy::Action;
use crate::core::policy::finding::Finding;
use crate::core::policy::path::FieldPath;
use crate::core::policy::verdict;
use crate::core::review::Phase;
use crate::core::text;

/// The id that `/mutate` has already stamped on the Job for this request: before `/validate`, or before the API server
/// called `/mutate` again because another webhook changed the Job.
pub(super) fn id(phase: Phase, job: &Job<'_>, user: &str, now: Timestamp) -> Option<Uuid> {
    let id = stamp::decision(job, user, now)?;
    // `/mutate` never keeps an id that the client chose. `/validate` cannot tell the two apart.
    (phase == Phase::Validate || !stamp::is_the_clients(job)).then_some(id)
}

/// The operations that give `job` exactly these stamps; none if it has them. `patched` is the value stamped earlier for
/// this request. If something is corrected now, the correction writes that stamp itself.
pub(super) fn operations(
    job: &Job<'_>,
    id: Uuid,
    user: &str,
    findings: &[Finding],
    patched: Option<&str>,
) -> Vec<PatchOperation> {
    let exceptions = findings.iter().filter_map(|f| f.exception.as_deref());
    let names: BTreeSet<_> = exceptions.map(|exception| &*exception.name).collect();
    let names: Vec<_> = names.into_iter().take(text::EXCEPTIONS).collect();
    let wanted = STAMPS.map(|stamp| {
        let value = match stamp {
            Annotation::Decision => Some(id.to_string()),
            Annotation::RequestedBy => Some(requested_by(user).into_owned()),
            Annotation::Patched => patched.map(str::to_owned),
            _ => (!names.is_empty()).then(|| names.join(",")),
        };
        (stamp, value)
    });
    if !job.annotations.is_map() {
        let present = wanted
            .into_iter()
            .filter_map(|(stamp, value)| Some((stamp.key().to_owned(), value?.into())));
        let path = FieldPath::of("metadata.annotations").pointer();
        return vec![add(path, Value::Object(present.collect::<Map<_, _>>()))];
    }
    let is_corrected = verdict::with(findings, Action::Patch).next().is_some();
    let is_open = |stamp: Annotation| !(is_corrected && stamp == Annotation::Patched);
    let wanted = wanted.into_iter().filter(|(stamp, _)| is_open(*stamp));
    let changes = wanted.filter_map(|(stamp, value)| {
        let path = || FieldPath::annotation(stamp).pointer();
        match (job.annotations.get(stamp), value) {
            (None, None) => None,
            (Some(found), Some(value)) if found == value => None,
            (_, Some(value)) => Some(add(path(), value.into())),
            (Some(_), None) => Some(PatchOperation::Remove(RemoveOperation { path: path() })),
        }
    });
    changes.collect()
}

/// The operation that gives `job` the label of what adopts it, or removes one that a client wrote; none if it is right.
pub(super) fn label(job: &Job<'_>, adopter: Option<&str>) -> Option<PatchOperation> {
    let labels = &job.metadata.labels;
    let path = || PointerBuf::from_tokens(["metadata", "labels", ADOPTED_LABEL]);
    match (job.adopted_as(), adopter) {
        (found, wanted) if found == wanted => None,
        (_, Some(name)) if labels.is_empty() => {
            let path = PointerBuf::from_tokens(["metadata", "labels"]);
            Some(add(path, json!({ADOPTED_LABEL: name})))
        }
        (_, Some(name)) => Some(add(path(), name.into())),
        (_, None) => Some(PatchOperation::Remove(RemoveOperation { path: path() })),
    }
}

/// `add` also replaces an existing value (RFC 6902, 4.1).
fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}
