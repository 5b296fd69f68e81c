//! `migration-warden serve`: builds the service from its arguments and runs it.

mod controller;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{ArgGroup, ValueEnum};
use controller::{Beside, Election};
use futures_util::future::{BoxFuture, select_all};
use kube::Client;
use tokio::sync::oneshot;

use super::client;
use super::kube_args::{Kubeconfig, namespace, object};
use crate::cluster::api::patient::patient;
use crate::cluster::claims::store::Claims;
use crate::cluster::connect;
use crate::cluster::events::Events;
use crate::cluster::exceptions::Exceptions;
use crate::cluster::jobs::Jobs;
use crate::cluster::leader::Candidate;
use crate::cluster::namespaces::Namespaces;
use crate::cluster::runs;
use crate::core::job::tool;
use crate::core::time;
use crate::host::decision_log::Sink;
use crate::host::file_watch;
use crate::host::health::Readiness;
use crate::host::policy_watch::{LivePolicy, PolicyMetrics};
use crate::host::telemetry::{self, Another, LogFormat};
use crate::server::Service;
use crate::server::listen;
use crate::server::listener;
use crate::server::metrics::Metrics;
use crate::server::otlp::Otlp;
use crate::server::run;
use crate::server::warden::Warden;
use crate::server::{Stop, StopSignals};

/// How long the process waits for blocking work after all else has ended.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("files").args(["tls_cert", "tls_key"]).multiple(true))]
pub(super) struct Args {
    /// Policy file (default: the built-in profile `guide`). Reloaded when it changes.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address that serves admission reviews (HTTPS).
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443")]
    listen: SocketAddr,
    /// Unix socket of `migration-warden hold-listener`. That process keeps the socket of --listen open while `serve`
    /// restarts, so that no connection is refused.
    #[arg(long, value_name = "PATH")]
    listener_holder: Option<PathBuf>,
    /// Address of /livez, /readyz, /metrics and /version (HTTP).
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    admin_listen: SocketAddr,
    /// Certificate chain (PEM). Reloaded when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM). Reloaded when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Folder with tls.crt and tls.key, such as a mounted Secret. Without this flag and without other certificates, the
    /// server creates a CA and a certificate for localhost in `certs/dev`.
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    tls_dir: Option<PathBuf>,
    /// Secret, in this pod's namespace, in which the server stores the CA and the certificate that it generates and
    /// renews.
    #[arg(
        long,
        value_name = "NAME",
        requires = "service",
        conflicts_with_all = ["files", "tls_dir"],
        value_parser = object
    )]
    tls_secret: Option<String>,
    /// Service through which the API server reaches this pod. The certificate in --tls-secret is issued for it.
    #[arg(long, value_name = "NAME", requires = "tls_secret", value_parser = namespace)]
    service: Option<String>,
    /// CA of client certificates (PEM). Only callers with a certificate of this CA may send reviews. Reloaded when it
    /// changes.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Name of the validating and of the mutating webhook configuration that send reviews here. The server compares
    /// them with the policy, and writes the CA of --tls-secret or --ca-bundle into them. The Lease that elects the
    /// replica for tidy-up has the same name.
    #[arg(long, value_name = "NAME", value_parser = object)]
    webhook_configuration: Option<String>,
    /// PEM file with the CAs to write into `caBundle`, if the certificate comes from files. Reloaded when it changes.
    #[arg(
        long,
        value_name = "FILE",
        requires = "webhook_configuration",
        conflicts_with = "tls_secret"
    )]
    ca_bundle: Option<PathBuf>,
    /// Namespaces to exclude from tidy-up. Use the same list as the webhook configurations.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "webhook_configuration",
        value_parser = namespace
    )]
    excluded_namespaces: Vec<String>,
    /// Cluster to connect to. Needed for namespace labels, claims, exceptions, runs, Events and tidy-up.
    #[arg(long, value_enum, default_value_t = Cluster::Off)]
    cluster: Cluster,
    #[command(flatten)]
    kubeconfig: Kubeconfig,
    /// How long to keep serving after SIGTERM, so that endpoints can be updated. A second signal ends the process at
    /// once.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    shutdown_delay: Duration,
    /// Base URL of an OpenTelemetry collector, such as `http://otel-collector:4318`. The server sends it traces,
    /// decisions and logs over HTTP. Decisions are still written to stdout.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// Log format (stderr).
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Log level (`error`, `warn`, `info`, `debug`) or a filter such as `info,migration_warden=debug`. `debug` logs each
    /// review and how long it took.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info", value_parser = telemetry::filter)]
    log_level: String,
}

/// Which cluster `serve` connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cluster {
    /// None.
    Off,
    /// The one this pod runs in.
    #[value(name = "in-cluster")]
    Pod,
    /// The one that --kubeconfig and --context select.
    Kubeconfig,
}

/// The process ends without finishing what it has begun.
#[derive(Debug, thiserror::Error)]
#[error("ended by a second signal, without finishing the reviews in flight")]
struct Interrupted;

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = time::duration(text).and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "not a duration; write one such as 5s".to_owned())
}

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
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::default();
        let mut background = Background::default();
        let policy_in_use = readiness.register("policy", "no policy is loaded yet", false);
        let policy = self.policy(&metrics.policy, &mut background)?;
        policy_in_use.set(true);
        let client = self.client().await?;
        // `claims` gets the client that does not retry, because reviews must know at once that the API server is busy.
        // All other parts wait and retry.
        let jobs = Jobs::default();
        let claims = client.clone();
        let claims = claims.map(|client| Claims::new(client, jobs.clone(), metrics.claims.clone()));
        let client = client.as_ref().map(patient);
        let tls = tls::set_up(
            &self,
            client.as_ref(),
            &policy,
            &metrics,
            &readiness,
            &mut background,
        )?;
        let replica = host_name();
        let events = client.clone().map_or_else(Events::default, |client| {
            controller::send_events(client, replica.clone(), &metrics, &mut background)
        });
        let exceptions = client.clone().map_or_else(Exceptions::default, |client| {
            let (policy, events) = (policy.clone(), events.clone());
            let (uses, failures) = (metrics.exceptions.clone(), metrics.watches.clone());
            let known = Exceptions::watch(client, policy, uses, failures, events);
            controller::watch_exceptions(known, &readiness, &mut background)
        });
        let namespaces = namespaces(client.clone(), &metrics, &readiness, &mut background);
        let (listener, keeper) = match self.listener_holder {
            Some(path) => {
                let (listener, keeper) = listener::listen(self.listen, path).await?;
                (listener, Some(keeper))
            }
            None => (listen::bind(self.listen)?, None),
        };
        let admin = listen::bind(self.admin_listen)?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            address = %listener.local_addr()?,
            admin = %admin.local_addr()?,
            policy = %policy.current().hash,
            "serving"
        );
        let hear = |client| runs::last_words(jobs.clone(), client, metrics.runs.clone());
        let (last_words, shown) = client.clone().map(hear).unzip();
        let warden = Warden {
            last_words: last_words.unwrap_or_default(),
            policy,
            namespaces,
            claims,
            exceptions,
            events,
            metrics: Arc::clone(&metrics),
            replica,
        };
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let sink = Arc::new(Sink::new(stdout, metrics.lost_lines.clone())?);
        let election = self.webhook_configuration.map(|lease| Election {
            lease,
            excluded: self.excluded_namespaces,
        });
        let candidate = client.zip(shown).and_then(|(client, shown)| {
            let beside = Beside {
                warden: &warden,
                sink: &sink,
                readiness: &readiness,
                background: &mut background,
                jobs,
            };
            controller::start(client, election, shown, beside)
        });
        let service = Service {
            listener,
            keeper,
            admin,
            tls: tls.config(),
            reviewer: Arc::new(warden),
            sink,
            otlp,
            metrics: Arc::clone(&metrics),
            readiness,
            shutdown_delay: self.shutdown_delay,
        };
        // This takes milliseconds. The first review should not wait for it.
        tokio::task::spawn_blocking(tool::warm_up);
        until_stopped(service, candidate, background, signals).await
    }

    /// Creates a client for the selected cluster, without sending a request.
    async fn client(&self) -> anyhow::Result<Option<Client>> {
        let given = self.kubeconfig.given();
        if let Some(argument) = given.filter(|_| self.cluster != Cluster::Kubeconfig) {
            anyhow::bail!("{argument} has no meaning without --cluster kubeconfig");
        }
        let config = match self.cluster {
            Cluster::Off => return Ok(None),
            Cluster::Pod => {
                kube::Config::incluster().context("failed to find the cluster of this pod")?
            }
            Cluster::Kubeconfig => self.kubeconfig.read().await?,
        };
        let client = connect(config);
        let client = client
            .map_err(|error| anyhow!("failed to make a client: {}", client::reason(&error)))?;
        Ok(Some(client))
    }

    fn policy(
        &self,
        metrics: &PolicyMetrics,
        background: &mut Background,
    ) -> anyhow::Result<LivePolicy> {
        let Some(path) = &self.config else {
            return Ok(LivePolicy::builtin(metrics));
        };
        let (policy, file) = LivePolicy::load(path.clone(), metrics)?;
        let (live, metrics) = (policy.clone(), metrics.clone());
        background.add("watching the policy file", async move {
            live.keep_fresh(file, file_watch::PERIOD, metrics).await;
        });
        Ok(policy)
    }
}

/// Serves until a first signal, or until something fails. A second signal ends the wait for what is in flight.
async fn until_stopped(
    service: Service,
    candidate: Option<Candidate>,
    background: Background,
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
            ended = background.run() => Err(anyhow::anyhow!("a background task ended: {ended}")),
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

/// The tasks that run next to the service. None of them should ever end.
#[derive(Default)]
struct Background(Vec<BoxFuture<'static, &'static str>>);

impl Background {
    fn add(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(Box::pin(async move {
            task.await;
            name
        }));
    }

    /// Runs all tasks. Returns the name of the first one that ends.
    async fn run(self) -> &'static str {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0).await.0
    }
}

fn host_name() -> String {
    let host = rustix::system::uname();
    host.nodename().to_string_lossy().into_owned()
}

fn namespaces(
    client: Option<Client>,
    metrics: &Arc<Metrics>,
    readiness: &Readiness,
    background: &mut Background,
) -> Namespaces {
    let Some(client) = client else {
        tracing::info!(
            "running without a cluster (--cluster off): exceptions, and the labels and \
             annotations of namespaces, are ignored, and concurrent migrations are not prevented"
        );
        return Namespaces::default();
    };
    let known = readiness.register("namespaces", "not all namespaces are known yet", false);
    let (namespaces, ready, watching) = Namespaces::watch(client, metrics.watches.clone());
    background.add("watching namespaces", async move {
        let ready = async {
            ready.await;
            known.set(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = ready => (),
            () = watching => (),
        }
    });
    namespaces
}
