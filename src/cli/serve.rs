//! `migration-warden serve`: the parts of the service in the order in which they start, serve, and end.

mod args;
mod controller;
mod setup;
mod tls;

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub(super) use self::args::Args;
use self::controller::Controller;
use self::setup::Setup;
use crate::cluster::leader::Candidate;
use crate::core::job::tool;
use crate::host::decision_log::Sink;
use crate::host::telemetry::{self, Another};
use crate::server::listen;
use crate::server::otlp::Otlp;
use crate::server::run;
use crate::server::warden::Warden;
use crate::server::{Service, Stop, StopSignals};

/// How long the process waits for blocking work after all else has ended.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// The process ends without finishing what it has begun.
#[derive(Debug, thiserror::Error)]
#[error("ended by a second signal, without finishing the reviews in flight")]
struct Interrupted;

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            // One thread answers tens of thousands of reviews a second. Several threads would pass requests to each
            // other, which costs more than evaluating them.
            .worker_threads(1)
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        // A chart template may set the variable to an empty string.
        let endpoint = self.otlp_endpoint.as_deref().filter(|url| !url.is_empty());
        let otlp = endpoint.map(Otlp::new).transpose()?;
        let layer = otlp.as_ref().map(|otlp| Box::new(otlp.layer()) as Another);
        telemetry::init(self.log_format, &self.log_level, layer)?;
        let served = runtime.block_on(self.serve(otlp.clone()));
        let is_interrupted = served.as_ref().is_err_and(anyhow::Error::is::<Interrupted>);
        if let Some(otlp) = otlp.filter(|_| !is_interrupted) {
            otlp.shut_down();
        }
        drop(entered);
        // A read of a volume that hangs must not keep the process.
        runtime.shutdown_timeout(if is_interrupted {
            Duration::ZERO
        } else {
            LEFT_OVER
        });
        served?;
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(self, otlp: Option<Otlp>) -> anyhow::Result<()> {
        // First, so that a signal during startup is not lost.
        let signals = StopSignals::new()?;
        let mut setup = Setup::default();
        let policy = setup.policy(self.config.as_deref())?;
        let clients = self.clients().await?;
        let client = clients.as_ref().map(|clients| &clients.patient);
        let tls = tls::set_up(&self, client, &policy, &mut setup)?;
        let mut warden = Warden::new(policy, Arc::clone(&setup.metrics), host_name());
        let controller =
            clients.map(|clients| Controller::connect(clients, &self, &mut warden, &mut setup));
        if controller.is_none() {
            tracing::info!(
                "running without a cluster (--cluster off): exceptions, and the labels and \
                 annotations of namespaces, are ignored, and concurrent migrations are not prevented"
            );
        }
        let (listener, keeper) = self.listener().await?;
        let admin = listen::bind(self.admin_listen)?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            address = %listener.local_addr()?,
            admin = %admin.local_addr()?,
            policy = %warden.policy.current().hash,
            "serving"
        );
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let sink = Arc::new(Sink::new(stdout, setup.metrics.lost_lines.clone())?);
        let candidate =
            controller.and_then(|controller| controller.start(&self, &warden, &sink, &mut setup));
        let service = Service {
            listener,
            keeper,
            admin,
            tls: tls.config(),
            reviewer: Arc::new(warden),
            sink,
            otlp,
            metrics: Arc::clone(&setup.metrics),
            readiness: setup.readiness.clone(),
            shutdown_delay: self.shutdown_delay,
        };
        // This takes milliseconds. The first review should not wait for it.
        tokio::task::spawn_blocking(tool::warm_up);
        until_stopped(service, candidate, setup, signals).await
    }
}

/// Serves until a first signal, or until something fails. A second signal ends the wait for what is in flight.
async fn until_stopped(
    service: Service,
    candidate: Option<Candidate>,
    setup: Setup,
    mut signals: StopSignals,
) -> anyhow::Result<()> {
    let (first, stop) = oneshot::channel();
    let interrupted = async {
        let _ = first.send(signals.next().await);
        signals.next().await;
    };
    let stop = async { stop.await.unwrap_or(Stop::Now) };
    let served = async {
        let served = tokio::select! {
            served = run(service, stop) => served.map_err(Into::into),
            ended = setup.run() => Err(anyhow::anyhow!("a background task ended: {ended}")),
        };
        if let Some(candidate) = candidate {
            candidate.resign().await;
        }
        served
    };
    tokio::select! {
        served = served => served,
        () = interrupted => Err(Interrupted.into()),
    }
}

fn host_name() -> String {
    let host = rustix::system::uname();
    host.nodename().to_string_lossy().into_owned()
}
