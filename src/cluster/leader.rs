//! Elects the replica that does the work for which one is enough.
//!
//! The election only saves load. Two replicas that both lead do no harm, because every write names its object by uid.
//! So a replica that cannot reach the API server keeps leading until it learns otherwise.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time;

use crate::host::metrics::Registry;

/// How long a leader counts as one after its last renewal, in seconds: the same as in other controllers.
const LEASE_SECONDS: u64 = 15;
/// How long before that time it renews, in seconds. Its first try may fail.
const GRACE_SECONDS: u64 = 5;
/// Pause before another try to find or create the Lease.
const RETRY: Duration = Duration::from_secs(10);
/// Pause before another try to read or renew it.
const AGAIN: Duration = Duration::from_secs(2);
/// How long giving up the Lease may delay a shutdown.
const RELEASE: Duration = Duration::from_secs(2);

pub(crate) fn metric(registry: &mut Registry) -> Gauge {
    registry.add("leader", "1 if this replica is the elected one, 0 if not")
}

/// Whether this replica does the work of the elected one. Clones follow the same election.
#[derive(Clone, Debug)]
pub struct Leads(watch::Receiver<bool>);

impl Leads {
    /// There is no election, so this replica does that work.
    #[must_use]
    pub fn always() -> Self {
        Self(watch::channel(true).1)
    }

    /// Whether it does now.
    #[must_use]
    pub fn now(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it changes: forever if there is no election, or if the election has ended.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl From<watch::Receiver<bool>> for Leads {
    fn from(elected: watch::Receiver<bool>) -> Self {
        Self(elected)
    }
}

/// The part of this replica in the election. It resigns only if asked to, so that it can end its work first.
#[derive(Debug)]
pub struct Candidate {
    leads: Leads,
    stop: oneshot::Sender<()>,
    standing: JoinHandle<()>,
}

impl Candidate {
    /// Takes part in the election with the Lease of this name, in the client's own namespace.
    #[must_use]
    pub fn stand(client: Client, lease: String, replica: &str, leader: Gauge) -> Self {
        let (leading, leads) = watch::channel(false);
        let (stop, mut stopped) = oneshot::channel();
        let replica = replica.to_owned();
        let standing = tokio::spawn(async move {
            let election = Election { leading, leader };
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
                    tracing::warn!(%error, "failed to release the Lease");
                }
                return;
            }
        });
        Self {
            leads: leads.into(),
            stop,
            standing,
        }
    }

    /// Whether this replica is the elected one.
    #[must_use]
    pub fn leads(&self) -> Leads {
        self.leads.clone()
    }

    /// Gives up the Lease, so that another replica need not wait until it expires.
    pub async fn resign(self) {
        drop(self.stop);
        if time::timeout(RELEASE, self.standing).await.is_err() {
            tracing::warn!(
                "failed to release the Lease in time, another replica leads once it has expired"
            );
        }
    }
}

/// Finds or creates the Lease, however long that takes.
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
                tracing::warn!(%error, lease, "failed to stand for election, this replica does not tidy up");
            }
        }
        time::sleep(RETRY).await;
    }
}

struct Election {
    leading: watch::Sender<bool>,
    leader: Gauge,
}

impl Election {
    /// Takes the Lease when it is free, and keeps it while it exists: a user who clears claims may delete all Leases of
    /// the namespace.
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
                    tracing::warn!(%error, "failed to read or renew the Lease of the election, retrying");
                }
                Err(_) => {}
            }
            time::sleep(AGAIN).await;
        }
        // Another replica may recreate it first, and lead.
        self.publish(false);
        tracing::warn!("the Lease of the election is missing, creating it");
        time::sleep(AGAIN).await;
    }

    fn publish(&self, leads: bool) {
        if self.leading.send_replace(leads) != leads {
            tracing::info!(leads, "leadership changed");
        }
        self.leader.set(leads.into());
    }
}

/// Whether the Lease does not exist any more.
fn is_missing(error: &LeaseManagerError) -> bool {
    match error {
        LeaseManagerError::NonexistentLease(_) => true,
        LeaseManagerError::KubeError(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
