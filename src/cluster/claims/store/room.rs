//! Checks whether a namespace has room for one more claim, before and while that claim is written.

use std::sync::Arc;

use super::{Claimant, Claims, Wanted};
use crate::cluster::claims::crowd::Turn;
use crate::cluster::claims::error::ClaimError;
use crate::cluster::claims::protocol::Claim;

impl Claims {
    /// Checks that the namespace has room for the claims of the Job that asks, before the first of them is written.
    pub(super) async fn make_room(
        &self,
        wanted: &Wanted<'_>,
        claim: &Claim,
        turns: &mut [Option<Turn>],
    ) -> Result<(), ClaimError> {
        let Claimant { namespace, uid, .. } = wanted.claimant;
        if claim.uid != uid {
            return Ok(());
        }
        let is_seen = |uid: &str| self.jobs.knows(namespace, uid);
        let without = turns.iter_mut().zip(wanted.keys);
        for (turn, key) in without.filter(|(turn, _)| turn.is_none()) {
            let begun = self.begun.begin(namespace, key.lease_name(), uid, is_seen);
            let listed = if begun.is_one_of_few() || begun.is_one_too_many() {
                Arc::default()
            } else {
                self.lists.unseen(namespace).await?
            };
            let Some(room) = begun.has_room(&listed, is_seen) else {
                return Err(ClaimError::Crowded(namespace.to_owned()));
            };
            *turn = Some(room);
        }
        Ok(())
    }
}
