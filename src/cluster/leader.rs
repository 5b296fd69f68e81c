//! Which replica does what one is enough for.
//!
//! Only saves load: two that both think they lead do no harm, because every write says which object it means
//! by its uid. So a replica that the apiserver has cut off goes on leading until it hears otherwise.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time;

use crate::host::metrics::Metrics;

/// How long a leader that says nothing more still counts as one, in seconds: as in other controllers.
const LEASE_SECONDS: u64 = 15;
/// How long before that it renews, in seconds. Its first try may fail.
const GRACE_SECONDS: u64 = 5;
/// How long to wait before trying again to find or make the Lease.
const RETRY: Duration = Duration::from_secs(10);
/// How long to wait before trying again to read or renew it.
const AGAIN: Duration = Duration::from_secs(2);
/// How long giving up the Lease may keep a replica from ending.
const RELEASE: Duration = Duration::from_secs(2);

/// A replica that stands for election.
#[derive(Debug)]
pub struct Candidate {
    leads: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
    standing: JoinHandle<()>,
}

impl Candidate {
    /// Stands for election by the Lease of this name in the client's own namespace.
    #[must_use]
    pub fn stand(client: Client, lease: String, replica: &str, metrics: Arc<Metrics>) -> Self {
        let (leading, leads) = watch::channel(false);
        let (stop, mut stopped) = oneshot::channel();
        let replica = replica.to_owned();
        let standing = tokio::spawn(async move {
            let election = Election { leading, metrics };
            loop {
                let manager = tokio::select! {
                    manager = manager(&client, &lease, &replica) => manager,
                    _ = &mut stopped => return,
                };
                tokio::select! {
                    () = election.hold(&manager) => continue,
                    _ = &mut stopped => {}
                }
                election.publish(false);
                if let Err(error) = manager.release().await {
                    tracing::warn!(%error, "failed to give up the Lease");
                }
                return;
            }
        });
        Self {
            leads,
            stop,
            standing,
        }
    }

    /// Whether this replica leads, now and as it changes.
    #[must_use]
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }

    /// Gives up the Lease, so that another need not wait until it runs out.
    pub async fn resign(self) {
        drop(self.stop);
        if time::timeout(RELEASE, self.standing).await.is_err() {
            tracing::warn!(
                "failed to give up the Lease in time, another leads when it has run out"
            );
        }
    }
}

/// Finds or makes the Lease, however long that takes.
async fn manager(client: &Client, lease: &str, replica: &str) -> LeaseManager {
    loop {
        let built = LeaseManagerBuilder::new(client.clone(), lease)
            .with_namespace(client.default_namespace())
            .with_identity(replica)
            .with_duration(LEASE_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build();
        match built.await {
            Ok(manager) => return manager,
            Err(error) => {
                tracing::warn!(%error, lease, "failed to stand for election, nothing is tidied up by this replica");
            }
        }
        time::sleep(RETRY).await;
    }
}

/// What is told of the election.
struct Election {
    leading: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

impl Election {
    /// Takes the Lease when it is free, and keeps it until it is gone: a user who clears claims may delete all Leases
    /// of the namespace.
    async fn hold(&self, manager: &LeaseManager) {
        let mut is_failing = false;
        loop {
            match manager.changed().await {
                Ok(leads) => {
                    is_failing = false;
                    self.publish(leads);
                    continue;
                }
                Err(error) if is_missing(&error) => break,
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(%error, "failed to read or renew the Lease of the election, trying again");
                }
                Err(_) => {}
            }
            time::sleep(AGAIN).await;
        }
        // Another replica may make it again first, and lead.
        self.publish(false);
        tracing::warn!("the Lease of the election is gone, making it again");
        time::sleep(AGAIN).await;
    }

    fn publish(&self, leads: bool) {
        if self.leading.send_replace(leads) != leads {
            tracing::info!(leads, "the election has a result");
        }
        self.metrics.controller.leads(leads);
    }
}

/// Whether there is no Lease any more.
fn is_missing(error: &LeaseManagerError) -> bool {
    match error {
        LeaseManagerError::NonexistentLease(_) => true,
        LeaseManagerError::KubeError(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
