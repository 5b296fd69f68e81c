//! What goes on beside the reviews where there is a cluster: the watches of exceptions and of migration Jobs,
//! Events, tidy-up, giving up claims, and recording runs.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::{mpsc, watch};

use super::Background;
use crate::cluster::claims::store::Claims;
use crate::cluster::claims::sweeper;
use crate::cluster::events::Events;
use crate::cluster::exceptions::Exceptions;
use crate::cluster::jobs::Jobs;
use crate::cluster::leader::Candidate;
use crate::cluster::runs::{Pace, Runs, Trouble};
use crate::cluster::tidy::Tidy;
use crate::metrics::Metrics;
use crate::record::id;
use crate::record::sink::Sink;
use crate::server::admin::Readiness;
use crate::server::judge::Warden;
use crate::tidy::GRACE;

/// Watches the migration Jobs.
pub(super) fn watch_jobs(client: &Client, warden: &Warden, background: &mut Background) -> Jobs {
    let jobs = Jobs::default();
    let watching = jobs.clone().watch(client.clone(), warden.policy.clone());
    background.add("watching Jobs", watching);
    jobs
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

/// Gives up claims: the elected replica, or this one where there is no election.
pub(super) fn give_up_claims(
    claims: Claims,
    warden: &Warden,
    jobs: &Jobs,
    candidate: Option<&Candidate>,
    background: &mut Background,
) {
    let sweeping = sweeper::run(
        claims,
        leads(candidate),
        jobs.subscribe(),
        Arc::clone(&warden.metrics),
    );
    background.add("giving up claims", sweeping);
}

/// Records runs: the elected replica at once, the others where that one does not.
pub(super) fn record_runs(
    (client, jobs, leads): (Client, Jobs, watch::Receiver<bool>),
    shown: mpsc::Receiver<Vec<u8>>,
    warden: &Warden,
    readiness: &Readiness,
    background: &mut Background,
) {
    let trouble = Trouble::default();
    let runs = Runs {
        client,
        jobs,
        policy: warden.policy.clone(),
        metrics: Arc::clone(&warden.metrics),
        events: warden.events.clone(),
        trouble: trouble.clone(),
        pace: Pace::default(),
    };
    readiness.probe("runs", move || trouble.status());
    background.add("recording runs", runs.run(shown, leads));
}

/// Whether this replica was elected; where there is no election, it is.
pub(super) fn leads(candidate: Option<&Candidate>) -> watch::Receiver<bool> {
    candidate.map_or_else(|| watch::channel(true).1, Candidate::leads)
}

/// Stands for the election of the replica that tidies up, by the Lease of this name.
pub(super) fn tidy_up(
    lease: String,
    excluded: Vec<String>,
    client: Client,
    jobs: Jobs,
    warden: &Warden,
    sink: &Arc<Sink>,
    background: &mut Background,
) -> Candidate {
    // Two processes on one host are two candidates.
    let identity = format!("{}_{}", warden.replica, id::next(Timestamp::now()));
    let metrics = &warden.metrics;
    let candidate = Candidate::stand(client.clone(), lease, &identity, Arc::clone(metrics));
    let tidy = Tidy {
        client,
        jobs,
        namespaces: warden.namespaces.clone(),
        excluded,
        policy: warden.policy.clone(),
        sink: Arc::clone(sink),
        metrics: Arc::clone(metrics),
        replica: warden.replica.clone(),
        grace: GRACE,
    };
    background.add("tidying up", tidy.run(candidate.leads()));
    candidate
}
