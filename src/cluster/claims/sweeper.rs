//! Decides when claims are given up: as soon as a Job has ended, and periodically for anything missed.
//!
//! Only the elected replica does it, to save load. [`super::release`] does the work.

use std::time::Duration;

use tokio::sync::broadcast;

use super::release::Looked;
use super::store::Claims;
use crate::cluster::api::every;
use crate::cluster::jobs::{self, News};
use crate::cluster::leader::Leads;

/// How often all claims are checked: a pod of a deleted Job ends without news.
const PERIOD: Duration = Duration::from_secs(15);

/// Gives claims up while `leads` says so, for as long as it is awaited.
pub(crate) async fn run(claims: Claims, leads: Leads, mut news: broadcast::Receiver<News>) {
    let mut ticks = every(PERIOD);
    loop {
        let ended = tokio::select! {
            _ = ticks.tick() => None,
            ended = ended(&mut news) => ended,
        };
        if !leads.now() {
            continue;
        }
        let tell = |looked| match looked {
            Looked::Kept => {}
            Looked::Released(holder) => {
                claims.metrics.released.inc();
                tracing::debug!(%holder, "released a claim");
            }
            Looked::Failed(error) => {
                claims.metrics.sweep_failures.inc();
                tracing::warn!(%error, "failed to check a claim, retrying");
            }
        };
        let swept = match &ended {
            Some(uid) => claims.sweep_job(uid, tell).await,
            None => claims.sweep(tell).await,
        };
        if let Err(error) = swept {
            claims.metrics.sweep_failures.inc();
            tracing::warn!(%error, "failed to check claims, retrying");
        }
    }
}

/// The uid of a Job that has ended; `None` if any Job may have.
async fn ended(news: &mut broadcast::Receiver<News>) -> Option<String> {
    loop {
        match jobs::next(news).await {
            News::Finished(seen) | News::Deleted(seen) => return Some(seen.job.uid.clone()),
            News::Changed(_) => {}
            News::Listed => return None,
        }
    }
}
