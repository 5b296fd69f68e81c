//! Checks whether a namespace has room for one more claim, before and while that claim is written.

use std::sync::Arc;

use super::{Claimant, Claims, Wanted};
use crate::cluster::claims::crowd::Turn;
use crate::cluster::claims::error::ClaimError;
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
            Arc::default()
        } else {
            self.lists.unseen(namespace).await?
        };
        let Some(turn) = turn.has_room(&listed, is_seen) else {
            return Err(ClaimError::Crowded(namespace.to_owned()));
        };
        turns[place] = Some(turn);
        Ok(())
    }
}
