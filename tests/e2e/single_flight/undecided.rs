//! Claims of which it cannot be said who holds them: that is said, and nobody gets in by it.

use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use migration_warden::cluster::api::ApiError;
use migration_warden::cluster::claims::error::ClaimError;
use migration_warden::cluster::claims::protocol::EXPIRY;
use migration_warden::cluster::claims::store::Claims;
use migration_warden::cluster::jobs::Jobs;
use migration_warden::server::metrics::Metrics;
use serde_json::json;

use super::{Rig, take};
use crate::harness::Cluster;
use crate::rights::without;

/// Who may not ask what has become of the holder does not guess.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn whether_a_holder_is_gone_takes_two_rights() {
    for lacking in [("jobs", "get"), ("pods", "list")] {
        let rig = Rig::new().await;
        let first = rig.job(1, true);
        rig.take(&first).await;
        rig.delete_job(&first);
        let user = without(&rig.space, lacking.0, lacking.1);
        let client = Cluster::get().client(rig.space.name(), Some(&user)).await;
        let error = take(
            &Claims::new(client, Jobs::default(), Metrics::new().claims),
            &rig.asker(2),
            false,
        )
        .await;
        let Err(ClaimError::Api(ApiError::Refused { doing, status })) = error else {
            panic!("{error:?}");
        };
        let (resource, verb) = lacking;
        let asked = format!("{verb} {resource}");
        assert!(
            status.code == 403 && doing.starts_with(&asked),
            "{doing}: {status:?}"
        );
    }
}

/// Somebody writes the claim all the time: then nobody can tell, within a few tries.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: run tests/run"]
async fn a_claim_that_others_keep_writing_is_given_up() {
    let rig = Rig::new().await;
    let mut first = rig.asker(1);
    first.created = first.created - EXPIRY - SignedDuration::from_secs(5);
    rig.take(&first).await;
    let name = rig.leases().await[0].name_any();
    let api: Api<Lease> = Api::default_namespaced(rig.client.clone());
    let patch = async |patch: serde_json::Value| {
        let _ = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
    };
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (api, name) = (api.clone(), name.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let note = json!({"metadata": {"annotations": {"note": format!("{writer}-{number}")}}});
                    let _ = api
                        .patch(&name, &PatchParams::default(), &Patch::Merge(note))
                        .await;
                }
            })
        })
        .collect();
    let mut found = None;
    for number in 2..100 {
        if let Err(error) = take(&rig.claims, &rig.asker(number), false).await {
            found = Some(error);
            break;
        }
        // In between two of their writes. The claim becomes what it was.
        first.uid.replace_range(..8, &format!("{number:08}"));
        patch(json!({
            "metadata": {
                "labels": {"migration-warden.io/holder-uid": first.uid},
                "annotations": {"migration-warden.io/seen": null},
            },
            "spec": {"acquireTime": format!("{:.6}", first.created)},
        }))
        .await;
    }
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(
        matches!(found, Some(ClaimError::Api(ApiError::Contended(_)))),
        "{found:?}"
    );
}
