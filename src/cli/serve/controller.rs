//! The parts of the service that need a cluster: what reviews ask it, and the tasks that run next to them, which are the
//! watches, Events, adoption, tidy-up, releasing claims, and recording runs.

use std::future::pending;
use std::sync::Arc;

use kube::Client;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::args::{Args, Clients};
use super::setup::Setup;
use crate::cluster::adoption::record::Record;
use crate::cluster::adoption::{Adoption, SETTLE};
use crate::cluster::claims::store::Claims;
use crate::cluster::claims::sweeper;
use crate::cluster::cleanup::Cleanup;
use crate::cluster::events::Events;
use crate::cluster::exceptions::Exceptions;
use crate::cluster::jobs::Jobs;
use crate::cluster::leader::{Candidate, Leads};
use crate::cluster::namespaces::Namespaces;
use crate::cluster::runs::{self, Pace, Runs, Trouble, Words};
use crate::cluster::starts::Starts;
use crate::cluster::version::KubernetesVersion;
use crate::core::cleanup::GRACE;
use crate::host::decision_log::Sink;
use crate::server::warden::Warden;

/// What the tasks share.
pub(super) struct Controller {
    client: Client,
    /// Filled by the watch that [`start`](Self::start) starts.
    jobs: Jobs,
    /// Whether all active Jobs that the policy adopts have their label.
    adoption: Record,
    /// How Jobs ended, as reviews of their deletion show it.
    shown: mpsc::Receiver<Words>,
}

impl Controller {
    /// Connects `warden` to the cluster, and starts the watches that its reviews need.
    pub(super) fn connect(
        clients: Clients,
        args: &Args,
        warden: &mut Warden,
        setup: &mut Setup,
    ) -> Self {
        let (client, jobs, metrics) =
            (clients.patient, Jobs::default(), Arc::clone(&setup.metrics));
        let lease = args.webhook_configuration.clone();
        let adoption = lease.map(|lease| Record::on(clients.direct.clone(), lease));
        let adoption = adoption.unwrap_or_default();
        let mut claims = Claims::new(clients.direct, jobs.clone(), metrics.claims.clone());
        claims.adoption = adoption.clone();
        warden.claims = Some(claims);
        let (events, sending) = Events::send(
            client.clone(),
            warden.replica.clone(),
            metrics.events.clone(),
        );
        setup.add("sending Events", sending);
        warden.events = events;
        let (exceptions, watching) = Exceptions::watch(
            client.clone(),
            warden.policy.clone(),
            metrics.exceptions.clone(),
            metrics.watches.clone(),
            warden.events.clone(),
        );
        setup.add("watching exceptions", watching);
        let known = exceptions.clone();
        setup.readiness.probe("exceptions", move || known.status());
        warden.exceptions = exceptions;
        warden.namespaces = namespaces(client.clone(), setup);
        let (last_words, shown) =
            runs::last_words(jobs.clone(), client.clone(), metrics.runs.clone());
        warden.last_words = last_words;
        Self {
            client,
            jobs,
            adoption,
            shown,
        }
    }

    /// Starts the tasks that depend on the watch of migration Jobs.
    pub(super) fn start(
        self,
        args: &Args,
        warden: &Warden,
        sink: &Arc<Sink>,
        setup: &mut Setup,
    ) -> Option<Candidate> {
        let (version, watching) = KubernetesVersion::watch(self.client.clone());
        setup.add("reading the version of the API server", watching);
        (setup.readiness).probe("kubernetes", move || version.status());
        let (policy, failures) = (warden.policy.clone(), setup.metrics.watches.clone());
        let watching = self
            .jobs
            .clone()
            .watch(self.client.clone(), policy, failures);
        // Reading a Job of 1 MB takes 2 to 25 ms, most of it the search for passwords.
        setup.add_thread("watching Jobs", watching);
        let known = self.jobs.clone();
        setup.readiness.probe("jobs", move || known.status());
        // Without a webhook configuration no reviews arrive here, and then this process must not change or delete Jobs.
        let lease = args.webhook_configuration.as_deref();
        let candidate = lease.map(|lease| self.stand(lease, warden, setup));
        if let Some(candidate) = &candidate {
            self.adopt(candidate, args, warden, setup);
            self.tidy_up(candidate, args, warden, sink, setup);
        }
        let elected = candidate.as_ref();
        let leads = || elected.map_or_else(Leads::always, Candidate::leads);
        self.release_claims(leads(), setup);
        self.record_runs(args, leads(), warden, setup);
        candidate
    }

    /// Takes part in the election of the replica that changes and deletes Jobs.
    fn stand(&self, lease: &str, warden: &Warden, setup: &Setup) -> Candidate {
        // The id distinguishes two processes on one host.
        let identity = format!("{}_{}", warden.replica, Uuid::now_v7());
        let leader = setup.metrics.leader.clone();
        Candidate::stand(self.client.clone(), lease.to_owned(), &identity, leader)
    }

    /// Starts the task that labels the Jobs which already run when the policy begins to adopt them.
    fn adopt(&self, elected: &Candidate, args: &Args, warden: &Warden, setup: &mut Setup) {
        let adoption = Adoption {
            client: self.client.clone(),
            namespaces: warden.namespaces.clone(),
            excluded: args.excluded_namespaces.clone(),
            policy: warden.policy.clone(),
            record: self.adoption.clone(),
            labelled: setup.metrics.adoptions.clone(),
            settle: SETTLE,
        };
        // It reads all Jobs.
        setup.add_thread("adopting Jobs that run", adoption.run(elected.leads()));
    }

    /// Starts the task that tidies up.
    fn tidy_up(
        &self,
        elected: &Candidate,
        args: &Args,
        warden: &Warden,
        sink: &Arc<Sink>,
        setup: &mut Setup,
    ) {
        let tidy = Cleanup {
            client: self.client.clone(),
            jobs: self.jobs.clone(),
            namespaces: warden.namespaces.clone(),
            excluded: args.excluded_namespaces.clone(),
            policy: warden.policy.clone(),
            sink: Arc::clone(sink),
            metrics: setup.metrics.cleanup.clone(),
            replica: warden.replica.clone(),
            grace: GRACE,
        };
        setup.add("tidying up", tidy.run(elected.leads()));
    }

    /// Starts the tasks that release claims, and that look for migrations that do not start.
    fn release_claims(&self, leads: Leads, setup: &mut Setup) {
        // A second `Claims`, so that no review waits for the requests of the sweeper.
        let claims = Claims::new(
            self.client.clone(),
            self.jobs.clone(),
            setup.metrics.claims.clone(),
        );
        let starts = Starts {
            jobs: self.jobs.clone(),
            pods: claims.pods.clone(),
            late: setup.metrics.not_started.clone(),
        };
        let sweeping = sweeper::run(claims, leads, self.jobs.subscribe());
        setup.add("releasing claims", sweeping);
        setup.add("looking for migrations that do not start", starts.run());
    }

    /// Starts the task that records runs. The elected replica records at once; the others step in if it does not.
    fn record_runs(self, args: &Args, leads: Leads, warden: &Warden, setup: &mut Setup) {
        let trouble = Trouble::default();
        let runs = Runs {
            client: self.client,
            jobs: self.jobs,
            policy: warden.policy.clone(),
            metrics: setup.metrics.runs.clone(),
            events: warden.events.clone(),
            trouble: trouble.clone(),
            installation: args.webhook_configuration.clone(),
            pace: Pace::default(),
        };
        setup.readiness.probe("runs", move || trouble.status());
        // It also reads Jobs.
        setup.add_thread("recording runs", runs.run(self.shown, leads));
    }
}

/// Starts the watch of namespaces. The replica is ready once all of them are known.
fn namespaces(client: Client, setup: &mut Setup) -> Namespaces {
    let known = (setup.readiness).register("namespaces", "not all namespaces are known yet", false);
    let (namespaces, ready, watching) = Namespaces::watch(client, setup.metrics.watches.clone());
    setup.add("watching namespaces", async move {
        let ready = async {
            ready.await;
            known.set(true);
            pending::<()>().await;
        };
        tokio::select! {
            () = ready => (),
            () = watching => (),
        }
    });
    namespaces
}
