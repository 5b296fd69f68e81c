//! Stamps: the annotations by which a migration Job names the decision that admitted it.
//!
//! This module only knows their content. [`crate::core::admit`] writes them, and the rule MW104 protects them.

use std::borrow::Cow;

use jiff::Timestamp;
use uuid::{Uuid, Variant, Version};

use crate::core::job::Job;
use crate::core::job::annotation::Annotation;
use crate::core::job::name::cut;
use crate::core::job::object::{ManagedField, StampFields};

pub(crate) const STAMPS: [Annotation; 4] = [
    Annotation::Decision,
    Annotation::RequestedBy,
    Annotation::Exceptions,
    Annotation::Patched,
];

/// The longest user name that is stamped whole, in bytes. Kubernetes' own longest, of a service account, has 339. All
/// annotations of an object together may have 256 KiB.
const MAX_USER: usize = 1024;

/// The greatest age of a stamp of the same request, in milliseconds: the API server's limit for a request.
const FRESH: i64 = 60_000;

pub(crate) fn is_stamped(job: &Job<'_>) -> bool {
    STAMPS
        .iter()
        .any(|stamp| job.annotations.get(*stamp).is_some())
}

/// The stamp with the requesting user's name. A name that is too long is cut and ends in `…`.
pub(crate) fn requested_by(user: &str) -> Cow<'_, str> {
    let kept = cut(user, MAX_USER);
    if kept.len() == user.len() {
        kept.into()
    } else {
        format!("{kept}…").into()
    }
}

/// The id in the stamps of a Job that is being created, if they can come from the same request: they name its user, and
/// the id is recent.
pub(crate) fn decision(job: &Job<'_>, user: &str, now: Timestamp) -> Option<Uuid> {
    let stamp = |stamp| job.annotations.get(stamp);
    let text = stamp(Annotation::Decision)?;
    if stamp(Annotation::RequestedBy)? != requested_by(user) {
        return None;
    }
    let id = Uuid::try_parse(text).ok()?;
    // Exactly the spelling that is logged: an id can be written in many ways.
    let is_ours = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text
        && id.get_version() == Some(Version::SortRand)
        && id.get_variant() == Variant::RFC4122;
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let millis = i64::try_from(seconds).ok()?.checked_mul(1000)? + i64::from(nanos / 1_000_000);
    (is_ours && (now.as_millisecond() - millis).abs() <= FRESH).then_some(id)
}

/// Whether the client may have written the id itself. The API server records the client's fields in `managedFields`
/// before it calls any webhook, and records fields that webhooks add under no name.
pub(crate) fn is_the_clients(job: &Job<'_>) -> bool {
    let fields = &job.metadata.managed_fields;
    let mut stamps = fields.iter().filter_map(ManagedField::stamps);
    fields.is_empty() || stamps.any(|stamps| stamps.decision.is_some())
}

/// Whether a client may have written any stamp of a stored Job. If no fields are listed at all, a client has wiped them.
pub(crate) fn may_be_a_clients(job: &Job<'_>) -> bool {
    let fields = &job.metadata.managed_fields;
    let mut stamps = fields.iter().filter_map(ManagedField::stamps);
    fields.iter().all(|field| field.fields.is_none()) || stamps.any(StampFields::has_any)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::policy::testing::stored;

    const NOW: i64 = 1_766_361_605;

    fn at(offset: i64) -> String {
        let seconds = u64::try_from(NOW + offset).unwrap();
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
        Uuid::new_v7(time).to_string()
    }

    fn stamped(decision: &str, requested_by: &Value) -> Value {
        json!({"metadata": {
            "annotations": {
                "migration-warden.io/decision": decision,
                "migration-warden.io/requested-by": requested_by,
            },
            "managedFields": [{"operation": "Update", "fieldsV1": {"f:metadata": {"f:annotations": {".": {}}}}}],
        }})
    }

    fn taken(job: &Value) -> Option<String> {
        let now = Timestamp::from_second(NOW).unwrap();
        stored(job, |job| decision(job, "ci", now)).map(|id| id.to_string())
    }

    #[test]
    fn an_id_of_this_moment_for_this_user_is_taken() {
        for offset in [-60, 0, 60] {
            let id = at(offset);
            assert_eq!(taken(&stamped(&id, &json!("ci"))), Some(id));
        }
    }

    #[test]
    fn no_other_id_is() {
        let good = at(0);
        for (id, user) in [
            (&*good, json!("cj")),
            (&good, json!("")),
            (&good, Value::Null),
            (&at(-61), json!("ci")),
            (&at(61), json!("ci")),
            (&good.to_uppercase(), json!("ci")),
            (&good.replace('-', ""), json!("ci")),
            (&format!("{{{good}}}"), json!("ci")),
            // Of version 4; of an unknown variant; not an id at all.
            ("705ab4f5-6393-41e8-b7cc-42010a800002", json!("ci")),
            (&format!("{}0{}", &good[..19], &good[20..]), json!("ci")),
            ("", json!("ci")),
        ] {
            assert_eq!(taken(&stamped(id, &user)), None, "{id} {user}");
        }
        let mut alone = stamped(&good, &json!("ci"));
        let annotations = alone["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove("migration-warden.io/requested-by");
        assert_eq!(taken(&alone), None);
    }

    #[test]
    fn the_apiserver_knows_what_a_client_wrote() {
        let webhooks = stamped(&at(0), &json!("ci"));
        assert!(!stored(&webhooks, is_the_clients));
        let mut clients = webhooks.clone();
        clients["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:annotations"]["f:migration-warden.io/decision"] =
            json!({});
        assert!(stored(&clients, is_the_clients));
        let mut unknown = webhooks;
        unknown["metadata"]["managedFields"] = Value::Null;
        assert!(stored(&unknown, is_the_clients));
    }

    #[test]
    fn user_names_are_stamped_as_they_are() {
        for name in ["", "ci", "a\"b\\c\n\u{1F680}", &"x".repeat(MAX_USER)] {
            assert_eq!(requested_by(name), name);
        }
        let long = format!("x{}", "é".repeat(MAX_USER));
        let cut = requested_by(&long);
        assert_eq!(cut, format!("x{}…", "é".repeat(MAX_USER / 2 - 1)));
    }
}
