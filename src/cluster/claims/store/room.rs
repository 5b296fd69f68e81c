//! Checks whether a namespace has room for one more claim, before and while that claim is written.

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;

use super::{Claimant, Claims, PAGE, Wanted};
use crate::cluster::api::list::List;
use crate::cluster::claims::crowd::{Turn, Unseen};
use crate::cluster::claims::error::ClaimError;
use crate::cluster::claims::lease::{CLAIM, HOLDER_UID, NAMESPACE, UNSEEN};
use crate::cluster::claims::protocol::Claim;

impl Claims {
    /// Checks that the namespace has room for the claim of this key, if it is that of the Job that asks.
    pub(super) async fn make_room(
        &self,
        wanted: &Wanted<'_>,
        place: usize,
        claim: &Claim,
        turns: &mut [Option<Turn>],
    ) -> Result<(), ClaimError> {
        let Claimant { namespace, uid, .. } = wanted.claimant;
        if claim.uid != uid || turns[place].is_some() {
            return Ok(());
        }
        let is_seen = |uid: &str| self.jobs.knows(namespace, uid);
        let lease = wanted.keys[place].lease_name();
        let turn = self.begun.begin(namespace, lease, uid, is_seen);
        let listed = if turn.is_one_of_few() || turn.is_one_too_many() {
            Vec::new()
        } else {
            self.unseen(namespace).await?
        };
        let Some(turn) = turn.has_room(&listed, is_seen) else {
            return Err(ClaimError::Crowded(namespace.to_owned()));
        };
        turns[place] = Some(turn);
        Ok(())
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
