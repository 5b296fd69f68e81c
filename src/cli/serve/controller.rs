//! What goes on beside the reviews where there is a cluster: the watches of exceptions and of migration Jobs,
//! Events, tidy-up, giving up claims, and recording runs.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::Background;
use crate::cluster::claims::store::Claims;
use crate::cluster::claims::sweeper;
use crate::cluster::events::Events;
use crate::cluster::exceptions::Exceptions;
use crate::cluster::jobs::Jobs;
use crate::cluster::leader::Candidate;
use crate::cluster::runs::{Pace, Runs, Trouble, Words};
use crate::cluster::starts::Starts;
use crate::cluster::cleanup::Tidy;
use crate::cluster::version::Version;
use crate::core::cleanup::GRACE;
use crate::host::decision_log::Sink;
use crate::host::health::Readiness;
use crate::host::metrics::Metrics;
use crate::server::judge::Warden;

/// What the controller works beside.
pub(super) struct Beside<'a> {
    pub(super) warden: &'a Warden,
    pub(super) sink: &'a Arc<Sink>,
    pub(super) readiness: &'a Readiness,
    pub(super) background: &'a mut Background,
    /// Filled by the watch that is begun here.
    pub(super) jobs: Jobs,
}

/// Who does what one replica is enough for.
pub(super) struct Election {
    /// Name of the Lease.
    pub(super) lease: String,
    /// Namespaces in which nothing is tidied up.
    pub(super) excluded: Vec<String>,
}

/// Starts whatever lives by the watch of the migration Jobs; `shown` are the last words of Jobs that reviews saw.
pub(super) fn start(
    client: Client,
    election: Option<Election>,
    shown: mpsc::Receiver<Words>,
    mut beside: Beside<'_>,
) -> Option<Candidate> {
    let (version, watching) = Version::watch(client.clone());
    beside.background.add("asking for the version", watching);
    beside
        .readiness
        .probe("kubernetes", move || version.status());
    let jobs = beside.jobs.clone();
    let (policy, metrics) = (beside.warden.policy.clone(), &beside.warden.metrics);
    let watching = jobs
        .clone()
        .watch(client.clone(), policy, Arc::clone(metrics));
    beside.background.add("watching Jobs", watching);
    // A process that nobody sends reviews to has no business deleting.
    let installation = election.as_ref().map(|election| election.lease.clone());
    let candidate = election.map(|election| tidy_up(election, client.clone(), &mut beside));
    // Where there is no election, this one does it all.
    let leads = || {
        let none = || watch::channel(true).1;
        candidate.as_ref().map_or_else(none, Candidate::leads)
    };
    if beside.warden.claims.is_some() {
        // Of its own, so that no review waits for it.
        let claims = Claims::new(client.clone(), jobs.clone());
        let metrics = Arc::clone(&beside.warden.metrics);
        let pods = claims.pods.clone();
        let sweeping = sweeper::run(claims, leads(), jobs.subscribe(), metrics);
        beside.background.add("giving up claims", sweeping);
        let starts = Starts {
            jobs: jobs.clone(),
            pods,
            metrics: Arc::clone(&beside.warden.metrics),
        };
        beside
            .background
            .add("looking for migrations that do not start", starts.run());
    }
    record_runs(client, installation, leads(), shown, &mut beside);
    candidate
}

/// Sends Events.
pub(super) fn send_events(
    client: Client,
    replica: String,
    metrics: &Arc<Metrics>,
    background: &mut Background,
) -> Events {
    let (events, task) = Events::send(client, replica, Arc::clone(metrics));
    background.add("sending Events", task);
    events
}

/// Keeps the exceptions that are watched.
pub(super) fn watch_exceptions(
    (exceptions, task): (Exceptions, impl Future<Output = ()> + Send + 'static),
    readiness: &Readiness,
    background: &mut Background,
) -> Exceptions {
    background.add("watching exceptions", task);
    let known = exceptions.clone();
    readiness.probe("exceptions", move || known.status());
    exceptions
}

/// Records runs: the elected replica at once, the others where that one does not.
fn record_runs(
    client: Client,
    installation: Option<String>,
    leads: watch::Receiver<bool>,
    shown: mpsc::Receiver<Words>,
    beside: &mut Beside<'_>,
) {
    let warden = beside.warden;
    let trouble = Trouble::default();
    let runs = Runs {
        client,
        jobs: beside.jobs.clone(),
        policy: warden.policy.clone(),
        metrics: Arc::clone(&warden.metrics),
        events: warden.events.clone(),
        trouble: trouble.clone(),
        installation,
        pace: Pace::default(),
    };
    beside.readiness.probe("runs", move || trouble.status());
    beside
        .background
        .add("recording runs", runs.run(shown, leads));
}

/// Stands for the election of the replica that tidies up, by the Lease of this name.
fn tidy_up(election: Election, client: Client, beside: &mut Beside<'_>) -> Candidate {
    let warden = beside.warden;
    // Two processes on one host are two candidates.
    let identity = format!("{}_{}", warden.replica, Uuid::now_v7());
    let metrics = &warden.metrics;
    let Election { lease, excluded } = election;
    let candidate = Candidate::stand(client.clone(), lease, &identity, Arc::clone(metrics));
    let tidy = Tidy {
        client,
        jobs: beside.jobs.clone(),
        namespaces: warden.namespaces.clone(),
        excluded,
        policy: warden.policy.clone(),
        sink: Arc::clone(beside.sink),
        metrics: Arc::clone(metrics),
        replica: warden.replica.clone(),
        grace: GRACE,
    };
    beside
        .background
        .add("tidying up", tidy.run(candidate.leads()));
    candidate
}
