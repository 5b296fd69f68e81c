//! The tasks that need a cluster and run next to the reviews: the watches of exceptions and of migration Jobs, Events,
//! tidy-up, releasing claims, and recording runs.

use std::sync::Arc;

use kube::Client;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::Background;
use crate::cluster::claims::store::Claims;
use crate::cluster::claims::sweeper;
use crate::cluster::cleanup::Cleanup;
use crate::cluster::events::Events;
use crate::cluster::exceptions::Exceptions;
use crate::cluster::jobs::Jobs;
use crate::cluster::leader::{Candidate, Leads};
use crate::cluster::runs::{Pace, Runs, Trouble, Words};
use crate::cluster::starts::Starts;
use crate::cluster::version::KubernetesVersion;
use crate::core::cleanup::GRACE;
use crate::host::decision_log::Sink;
use crate::host::health::Readiness;
use crate::server::metrics::Metrics;
use crate::server::warden::Warden;

/// The parts of the service that the tasks share.
pub(super) struct Beside<'a> {
    pub(super) warden: &'a Warden,
    pub(super) sink: &'a Arc<Sink>,
    pub(super) readiness: &'a Readiness,
    pub(super) background: &'a mut Background,
    /// Filled by the watch that [`start`] starts.
    pub(super) jobs: Jobs,
}

/// The election of the replica that tidies up and releases claims.
pub(super) struct Election {
    /// Name of the Lease.
    pub(super) lease: String,
    /// Namespaces that are excluded from tidy-up.
    pub(super) excluded: Vec<String>,
}

/// Starts the tasks that depend on the watch of migration Jobs. `shown` receives how Jobs ended, as reviews of their
/// deletion show it.
pub(super) fn start(
    client: Client,
    election: Option<Election>,
    shown: mpsc::Receiver<Words>,
    mut beside: Beside<'_>,
) -> Option<Candidate> {
    let (version, watching) = KubernetesVersion::watch(client.clone());
    beside
        .background
        .add("reading the version of the API server", watching);
    beside
        .readiness
        .probe("kubernetes", move || version.status());
    let jobs = beside.jobs.clone();
    let (policy, metrics) = (beside.warden.policy.clone(), &beside.warden.metrics);
    let watching = jobs
        .clone()
        .watch(client.clone(), policy, metrics.watches.clone());
    // Reading a Job of 1 MB takes 2 to 25 ms, most of it the search for passwords.
    beside.background.add_thread("watching Jobs", watching);
    let known = jobs.clone();
    beside.readiness.probe("jobs", move || known.status());
    // Without a webhook configuration no reviews arrive here, and then this process must not delete Jobs.
    let installation = election.as_ref().map(|election| election.lease.clone());
    let candidate = election.map(|election| tidy_up(election, client.clone(), &mut beside));
    let elected = candidate.as_ref();
    let leads = || elected.map_or_else(Leads::always, Candidate::leads);
    if beside.warden.claims.is_some() {
        // A second `Claims`, so that no review waits for the requests of the sweeper.
        let claims = Claims::new(client.clone(), jobs.clone(), metrics.claims.clone());
        let pods = claims.pods.clone();
        let sweeping = sweeper::run(claims, leads().into(), jobs.subscribe());
        beside.background.add("releasing claims", sweeping);
        let starts = Starts {
            jobs: jobs.clone(),
            pods,
            late: metrics.not_started.clone(),
        };
        beside
            .background
            .add("looking for migrations that do not start", starts.run());
    }
    record_runs(client, installation, leads(), shown, &mut beside);
    candidate
}

/// Starts the task that sends Events.
pub(super) fn send_events(
    client: Client,
    replica: String,
    metrics: &Arc<Metrics>,
    background: &mut Background,
) -> Events {
    let (events, task) = Events::send(client, replica, metrics.events.clone());
    background.add("sending Events", task);
    events
}

/// Starts the watch of exceptions and adds its readiness condition.
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

/// Starts the task that records runs. The elected replica records at once; the others step in if it does not.
fn record_runs(
    client: Client,
    installation: Option<String>,
    leads: Leads,
    shown: mpsc::Receiver<Words>,
    beside: &mut Beside<'_>,
) {
    let warden = beside.warden;
    let trouble = Trouble::default();
    let runs = Runs {
        client,
        jobs: beside.jobs.clone(),
        policy: warden.policy.clone(),
        metrics: warden.metrics.runs.clone(),
        events: warden.events.clone(),
        trouble: trouble.clone(),
        installation,
        pace: Pace::default(),
    };
    beside.readiness.probe("runs", move || trouble.status());
    // It also reads Jobs.
    beside
        .background
        .add_thread("recording runs", runs.run(shown, leads));
}

/// Starts tidy-up, and takes part in the election of the replica that does it.
fn tidy_up(election: Election, client: Client, beside: &mut Beside<'_>) -> Candidate {
    let warden = beside.warden;
    // The id distinguishes two processes on one host.
    let identity = format!("{}_{}", warden.replica, Uuid::now_v7());
    let metrics = &warden.metrics;
    let Election { lease, excluded } = election;
    let candidate = Candidate::stand(client.clone(), lease, &identity, metrics.leader.clone());
    let tidy = Cleanup {
        client,
        jobs: beside.jobs.clone(),
        namespaces: warden.namespaces.clone(),
        excluded,
        policy: warden.policy.clone(),
        sink: Arc::clone(beside.sink),
        metrics: metrics.cleanup.clone(),
        replica: warden.replica.clone(),
        grace: GRACE,
    };
    beside
        .background
        .add("tidying up", tidy.run(candidate.leads()));
    candidate
}

impl Background {
    /// Adds a task that may compute for tens of milliseconds. It gets a thread of its own: reviews share one.
    fn add_thread(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (alive, over) = oneshot::channel::<()>();
        let runtime = Handle::current();
        self.add(name, async move {
            let run = async {
                tokio::select! {
                    biased;
                    // The task ends with this future.
                    _ = over => {}
                    () = task => {}
                }
            };
            // A panic ends the task, too.
            let _ = spawn_blocking(move || runtime.block_on(run)).await;
            drop(alive);
        });
    }
}
