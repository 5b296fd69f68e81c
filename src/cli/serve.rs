//! `migration-warden serve`: puts the service together from its arguments.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgGroup, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use crate::cluster::Namespaces;
use crate::config::reload::{LivePolicy, PolicyFile};
use crate::job::tool;
use crate::metrics::Metrics;
use crate::poll;
use crate::record::sink::Sink;
use crate::server::admin::Readiness;
use crate::server::judge::Warden;
use crate::server::{Service, listen, run, stop_signal};
use crate::telemetry::{self, LogFormat};
use crate::tls::issue;
use crate::tls::reload::Certificate;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("files").args(["tls_cert", "tls_key"]).multiple(true))]
pub(super) struct Args {
    /// Policy file; the built-in profile `guide` without one. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where reviews are taken, over HTTPS.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443")]
    listen: SocketAddr,
    /// Where /livez, /readyz, /metrics and /version are, over HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    admin_listen: SocketAddr,
    /// Certificate chain, PEM. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key, PEM. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Folder with tls.crt and tls.key; a CA and a certificate for localhost are made in it where
    /// there are none.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "certs/dev",
        conflicts_with = "files"
    )]
    tls_dir: PathBuf,
    /// Which cluster to ask for the labels of namespaces.
    #[arg(long, value_enum, default_value_t = Cluster::Off)]
    cluster: Cluster,
    /// How long to go on serving after SIGTERM, while others learn that this replica goes.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    shutdown_delay: Duration,
    /// How the program's own log looks, on stderr.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// What the program's own log holds: a level, or filters such as `info,migration_warden=debug`.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cluster {
    /// None.
    Off,
    /// The one this pod runs in.
    #[value(name = "in-cluster")]
    Pod,
    /// That of the current context of the kubeconfig.
    Kubeconfig,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse::<SignedDuration>()
        .ok()
        .and_then(|d| Duration::try_from(d).ok());
    parsed.ok_or_else(|| "no duration; write one such as 5s".to_owned())
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let format = match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        telemetry::init(format, &self.log_level)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            // One answers tens of thousands of reviews in a second. Several would hand requests to
            // each other, which costs more than judging them.
            .worker_threads(1)
            .enable_all()
            .build()?;
        runtime.block_on(self.serve())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(self) -> anyhow::Result<()> {
        // Before anything else, so that a signal during the start is not lost.
        let stop = stop_signal()?;
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::default();
        let policy_in_use = readiness.register("policy", "no policy is in use", false);
        let (policy, policy_file) = self.policy(&metrics)?;
        policy_in_use.set(true);
        let certificate = self.certificate(&metrics)?;
        let listener = listen::bind(self.listen)?;
        let admin = listen::bind(self.admin_listen)?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            address = %listener.local_addr()?,
            admin = %admin.local_addr()?,
            policy = %policy.current().hash,
            "serving"
        );
        let (namespaces, watching) = self.namespaces(&readiness).await?;
        let warden = Warden {
            policy: policy.clone(),
            namespaces,
            metrics: Arc::clone(&metrics),
            replica: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        };
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let service = Service {
            listener,
            admin,
            certificate,
            judge: Arc::new(warden),
            sink: Arc::new(Sink::new(stdout, Arc::clone(&metrics))?),
            metrics: Arc::clone(&metrics),
            readiness,
            shutdown_delay: self.shutdown_delay,
        };
        // Takes milliseconds, which the first answer should not wait for.
        tokio::task::spawn_blocking(tool::warm_up);
        let fresh = async {
            match policy_file {
                Some(file) => policy.keep_fresh(file, poll::PERIOD, metrics).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            served = run(service, stop) => Ok(served?),
            () = fresh => anyhow::bail!("the policy file is no longer watched"),
            () = watching => anyhow::bail!("namespaces are no longer watched"),
        }
    }

    fn policy(&self, metrics: &Metrics) -> anyhow::Result<(LivePolicy, Option<PolicyFile>)> {
        let Some(path) = &self.config else {
            return Ok((LivePolicy::builtin(metrics), None));
        };
        let (policy, file) = LivePolicy::load(path.clone(), metrics)?;
        Ok((policy, Some(file)))
    }

    fn certificate(&self, metrics: &Arc<Metrics>) -> anyhow::Result<Certificate> {
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            return Ok(Certificate::load(
                cert.clone(),
                key.clone(),
                Arc::clone(metrics),
            )?);
        }
        let issued = issue::ensure(&self.tls_dir, Timestamp::now())?;
        if let Some(ca) = &issued.ca {
            tracing::info!(
                ca = %ca.display(),
                "serving with a development certificate for localhost, trust this CA"
            );
        }
        Ok(Certificate::load(
            issued.cert,
            issued.key,
            Arc::clone(metrics),
        )?)
    }

    async fn namespaces(
        &self,
        readiness: &Readiness,
    ) -> anyhow::Result<(Namespaces, impl Future<Output = ()> + use<>)> {
        let config = match self.cluster {
            Cluster::Off => {
                tracing::info!(
                    "no cluster is asked (--cluster off): labels and annotations of namespaces \
                     (migration-warden.io/mode, mesh injection) are not taken into account"
                );
                let never = futures_util::future::Either::Left(std::future::pending());
                return Ok((Namespaces::default(), never));
            }
            Cluster::Pod => {
                kube::Config::incluster().context("failed to find the cluster this pod runs in")?
            }
            Cluster::Kubeconfig => {
                kube::Config::from_kubeconfig(&kube::config::KubeConfigOptions::default())
                    .await
                    .context("failed to read the kubeconfig")?
            }
        };
        // The client takes the process's default; everything of ours names its provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = kube::Client::try_from(config).context("failed to make a client")?;
        let known = readiness.register("namespaces", "not all namespaces are known yet", false);
        let (namespaces, ready, watching) = Namespaces::watch(client);
        let watching = async move {
            let ready = async {
                ready.await;
                known.set(true);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = ready => (),
                () = watching => (),
            }
        };
        Ok((namespaces, futures_util::future::Either::Right(watching)))
    }
}
