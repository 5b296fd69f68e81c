//! Converts a claim to a Lease and back.
//!
//! Readable with `kubectl get leases -l migration-warden.io/claim=true`. The Lease has no owner, because it has to
//! outlive its Job while one of that Job's pods is running.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use super::protocol::{Claim, Stored, Version};
use crate::core::text;

/// The label of all claims.
pub(super) const CLAIM: &str = "migration-warden.io/claim";
/// The label with the uid of the Job that a claim names.
pub(super) const HOLDER_UID: &str = "migration-warden.io/holder-uid";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const KEY: &str = "migration-warden.io/key";
/// The annotation and the label with the namespace of the Job that a claim names.
pub(super) const NAMESPACE: &str = "migration-warden.io/holder-namespace";
/// The label of claims whose Job has not been seen yet.
pub(super) const UNSEEN: &str = "migration-warden.io/unseen";
const NAME: &str = "migration-warden.io/holder-name";
const USER: &str = "migration-warden.io/holder-user";
const SEEN: &str = "migration-warden.io/seen";

/// Most bytes of a user's name that are kept.
const MAX_NAME: usize = 256;

/// The Lease of this claim. `version` binds a replace to the state it was decided on.
pub(super) fn to_lease(name: &str, key: &str, claim: &Claim, version: Option<&Version>) -> Lease {
    let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    };
    let mut annotations = owned(&[
        (KEY, key),
        (NAMESPACE, &claim.namespace),
        (NAME, &claim.job),
        (USER, &text::bounded(&claim.user, MAX_NAME)),
    ]);
    let mut labels = owned(&[
        (MANAGED_BY, "migration-warden"),
        (CLAIM, "true"),
        (HOLDER_UID, &claim.uid),
        (NAMESPACE, &claim.namespace),
    ]);
    if claim.seen {
        annotations.insert(SEEN.to_owned(), "true".to_owned());
    } else {
        labels.insert(UNSEEN.to_owned(), "true".to_owned());
    }
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            uid: version.map(|version| version.uid.clone()),
            resource_version: version.map(|version| version.resource_version.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(format!("{}/{}", claim.namespace, claim.job)),
            acquire_time: Some(MicroTime(claim.since)),
            lease_transitions: Some(claim.transitions),
            ..LeaseSpec::default()
        }),
    }
}

/// The claim in a Lease; `None` if another program wrote the Lease.
pub(super) fn from_lease(lease: &Lease) -> Option<Stored> {
    let annotation = |key| lease.annotations().get(key).map(String::as_str);
    let claim = Claim {
        namespace: annotation(NAMESPACE)?.to_owned(),
        job: annotation(NAME)?.to_owned(),
        uid: lease.labels().get(HOLDER_UID)?.clone(),
        since: lease.spec.as_ref()?.acquire_time.as_ref()?.0,
        user: annotation(USER).unwrap_or_default().to_owned(),
        seen: annotation(SEEN) == Some("true"),
        transitions: lease.spec.as_ref()?.lease_transitions.unwrap_or_default(),
    };
    let version = Version {
        uid: lease.uid()?,
        resource_version: lease.resource_version()?,
    };
    Some(Stored { claim, version })
}

/// The merge patch that marks the holder as seen. It fails if the Lease has changed.
pub(super) fn mark_seen(version: &Version) -> Value {
    json!({"metadata": {
        "uid": version.uid,
        "resourceVersion": version.resource_version,
        "annotations": {SEEN: "true"},
        "labels": {UNSEEN: null},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            namespace: "shop".to_owned(),
            job: "shop-migrate-1766361600".to_owned(),
            uid: "6f1f".to_owned(),
            since: "2026-11-24T23:00:00Z".parse().unwrap(),
            user: "system:serviceaccount:ci:deployer".to_owned(),
            seen: false,
            transitions: 3,
        }
    }

    fn version() -> Version {
        Version {
            uid: "l1".to_owned(),
            resource_version: "7".to_owned(),
        }
    }

    #[test]
    fn a_claim_is_a_lease_without_an_owner() {
        let lease = to_lease("claim-00", "shop/shop-migrate", &claim(), None);
        let expected = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "claim-00",
                "labels": {
                    "app.kubernetes.io/managed-by": "migration-warden",
                    "migration-warden.io/claim": "true",
                    "migration-warden.io/holder-namespace": "shop",
                    "migration-warden.io/holder-uid": "6f1f",
                    "migration-warden.io/unseen": "true",
                },
                "annotations": {
                    "migration-warden.io/key": "shop/shop-migrate",
                    "migration-warden.io/holder-namespace": "shop",
                    "migration-warden.io/holder-name": "shop-migrate-1766361600",
                    "migration-warden.io/holder-user": "system:serviceaccount:ci:deployer",
                },
            },
            "spec": {
                "holderIdentity": "shop/shop-migrate-1766361600",
                "acquireTime": "2026-11-24T23:00:00.000000Z",
                "leaseTransitions": 3,
            },
        });
        assert_eq!(serde_json::to_value(lease).unwrap(), expected);
    }

    #[test]
    fn what_is_written_is_read() {
        let seen = Claim {
            seen: true,
            ..claim()
        };
        for claim in [claim(), seen] {
            let mut lease = to_lease("claim-00", "shop/shop-migrate", &claim, Some(&version()));
            // Earlier versions of this program listed the waiting migrations in the Lease.
            let waiters = (
                "migration-warden.io/waiters".to_owned(),
                "[\"a\"]".to_owned(),
            );
            lease.annotations_mut().extend([waiters]);
            let version = version();
            assert_eq!(from_lease(&lease), Some(Stored { claim, version }));
        }
    }

    #[test]
    fn a_lease_of_somebody_else_is_no_claim() {
        let mut lease = to_lease("claim-00", "shop/shop-migrate", &claim(), Some(&version()));
        lease.labels_mut().remove(HOLDER_UID);
        assert_eq!(from_lease(&lease), None);
    }

    #[test]
    fn the_mark_is_bound_to_the_version() {
        let expected = json!({"metadata": {
            "uid": "l1",
            "resourceVersion": "7",
            "annotations": {"migration-warden.io/seen": "true"},
            "labels": {"migration-warden.io/unseen": null},
        }});
        assert_eq!(mark_seen(&version()), expected);
    }
}
