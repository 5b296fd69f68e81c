//! Checks whether a namespace has room for one more claim, while that claim is written.

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;

use super::{Claimant, Claims, PAGE, Wanted};
use crate::cluster::api::list::List;
use crate::cluster::claims::crowd::{Turn, Unseen};
use crate::cluster::claims::error::ClaimError;
use crate::cluster::claims::lease::{CLAIM, HOLDER_UID, NAMESPACE, UNSEEN};
use crate::cluster::claims::protocol::{Reply, Step};

impl Claims {
    /// Carries out the first step, if the namespace has room for one more claim.
    pub(super) async fn begin(
        &self,
        wanted: &Wanted<'_>,
        first: Step,
    ) -> Result<(Reply, Option<Turn>), ClaimError> {
        if wanted.dry_run {
            return Ok((self.carry_out(wanted.key, first).await?, None));
        }
        let Claimant { namespace, uid, .. } = wanted.claimant;
        let is_seen = |uid: &str| self.jobs.knows(namespace, uid);
        let lease = wanted.key.lease_name();
        let turn = self.begun.begin(namespace, &lease, uid, is_seen);
        let listed = if turn.is_one_of_few() || turn.is_one_too_many() {
            Vec::new()
        } else {
            self.unseen(namespace).await?
        };
        let Some(turn) = turn.has_room(&listed, is_seen) else {
            return Err(ClaimError::Crowded(namespace.to_owned()));
        };
        Ok((self.carry_out(wanted.key, first).await?, Some(turn)))
    }

    /// The namespace's claims that are not marked as seen.
    async fn unseen(&self, namespace: &str) -> Result<Vec<Unseen>, ClaimError> {
        let selector = format!("{CLAIM}=true,{UNSEEN}=true,{NAMESPACE}={namespace}");
        let params = ListParams::default().labels(&selector).limit(PAGE);
        let own = self.client.default_namespace();
        let mut list = List::of::<Lease>(&self.client, Some(own), params);
        let mut unseen = Vec::new();
        while let Some(page) = list.next().await? {
            let leases = list.read::<PartialObjectMeta<Lease>>(&page)?;
            unseen.extend(leases.into_iter().map(|lease| Unseen {
                uid: lease.labels().get(HOLDER_UID).cloned().unwrap_or_default(),
                lease: lease.name_any(),
            }));
        }
        Ok(unseen)
    }
}
