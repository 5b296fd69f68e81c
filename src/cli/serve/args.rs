//! The flags of `serve`, and what follows from them alone: which cluster is asked, and where the server listens.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{ArgGroup, ValueEnum};
use kube::Client;

use crate::cli::client;
use crate::cli::kube_args::{Kubeconfig, is_pod, namespace, object, of_pod};
use crate::cluster::api::patient::patient;
use crate::cluster::connect;
use crate::core::time;
use crate::host::telemetry::{self, LogFormat};
use crate::server::listen;
use crate::server::listener::{self, Keeper};

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("files").args(["tls_cert", "tls_key"]).multiple(true))]
pub(in crate::cli) struct Args {
    /// Policy file (default: the built-in profile `guide`). Reloaded when it changes.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Address that serves admission reviews (HTTPS).
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8443", value_parser = address)]
    pub(super) listen: SocketAddr,
    /// Unix socket of `migration-warden hold-listener`. That process keeps the socket of --listen open while `serve`
    /// restarts, so that no connection is refused.
    #[arg(long, value_name = "PATH")]
    pub(super) listener_holder: Option<PathBuf>,
    /// Address of /livez, /readyz, /metrics and /version (HTTP).
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080", value_parser = address)]
    pub(super) admin_listen: SocketAddr,
    /// Certificate chain (PEM). Reloaded when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Private key (PEM). Reloaded when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Folder with tls.crt and tls.key, such as a mounted Secret. Without this flag and without other certificates, the
    /// server creates a CA and a certificate for localhost in `certs/dev`.
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    pub(super) tls_dir: Option<PathBuf>,
    /// Secret, in this pod's namespace, in which the server stores the CA and the certificate that it generates and
    /// renews.
    #[arg(
        long,
        value_name = "NAME",
        requires = "service",
        conflicts_with_all = ["files", "tls_dir"],
        value_parser = object
    )]
    pub(super) tls_secret: Option<String>,
    /// Service through which the API server reaches this pod. The certificate in --tls-secret is issued for it.
    #[arg(long, value_name = "NAME", requires = "tls_secret", value_parser = namespace)]
    pub(super) service: Option<String>,
    /// CA of client certificates (PEM). Only callers with a certificate of this CA may send reviews. Reloaded when it
    /// changes.
    #[arg(long, value_name = "FILE")]
    pub(super) client_ca: Option<PathBuf>,
    /// Name of the validating and of the mutating webhook configuration that send reviews here. The server compares
    /// them with the policy, and writes the CA of --tls-secret or --ca-bundle into them. The Lease that elects the
    /// replica for tidy-up has the same name.
    #[arg(long, value_name = "NAME", value_parser = object)]
    pub(super) webhook_configuration: Option<String>,
    /// PEM file with the CAs to write into `caBundle`, if the certificate comes from files. Reloaded when it changes.
    #[arg(
        long,
        value_name = "FILE",
        requires = "webhook_configuration",
        conflicts_with = "tls_secret"
    )]
    pub(super) ca_bundle: Option<PathBuf>,
    /// Namespaces to exclude from tidy-up, and from labelling Jobs that already run. Use the same list as the webhook configurations.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "webhook_configuration",
        value_parser = namespace
    )]
    pub(super) excluded_namespaces: Vec<String>,
    /// Cluster to connect to. Needed for namespace labels, claims, exceptions, runs, Events and tidy-up.
    #[arg(long, value_enum, default_value_t = Cluster::Off)]
    pub(super) cluster: Cluster,
    #[command(flatten)]
    pub(super) kubeconfig: Kubeconfig,
    /// How long to keep serving after SIGTERM, so that endpoints can be updated. A second signal ends the process at
    /// once.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(super) shutdown_delay: Duration,
    /// Base URL of an OpenTelemetry collector, such as `http://otel-collector:4318`. The server sends it traces,
    /// decisions and logs over HTTP. Decisions are still written to stdout.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub(super) otlp_endpoint: Option<String>,
    /// Log format (stderr).
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// Log level (`error`, `warn`, `info`, `debug`) or a filter such as `info,migration_warden=debug`. `debug` logs each
    /// review and how long it took.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info", value_parser = telemetry::filter)]
    pub(super) log_level: String,
}

/// Which cluster `serve` connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Cluster {
    /// None.
    Off,
    /// The one this pod runs in.
    #[value(name = "in-cluster")]
    Pod,
    /// The one that --kubeconfig and --context select.
    Kubeconfig,
}

/// Two clients of one cluster.
pub(super) struct Clients {
    /// For the claims that reviews take: they must know at once that the API server is busy.
    pub(super) direct: Client,
    /// For all other parts, which wait and retry. They share its limits.
    pub(super) patient: Client,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = time::duration(text).and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "not a duration; write one such as 5s".to_owned())
}

/// Parses an address to listen on.
fn address(text: &str) -> Result<SocketAddr, String> {
    let refused = "not an IP address with a port; write one such as 127.0.0.1:8443 or [::]:8443";
    text.parse().map_err(|_| refused.to_owned())
}

impl Args {
    /// Creates the clients for the selected cluster, without sending a request.
    pub(super) async fn clients(&self) -> anyhow::Result<Option<Clients>> {
        let given = self.kubeconfig.given();
        if let Some(argument) = given.filter(|_| self.cluster != Cluster::Kubeconfig) {
            anyhow::bail!("{argument} has no meaning without --cluster kubeconfig");
        }
        let config = match self.cluster {
            Cluster::Off => {
                let needs_cluster = [
                    ("--tls-secret", &self.tls_secret),
                    ("--webhook-configuration", &self.webhook_configuration),
                ];
                if let Some((argument, _)) = needs_cluster.iter().find(|(_, given)| given.is_some())
                {
                    anyhow::bail!("{argument} needs a cluster; add --cluster in-cluster");
                }
                return Ok(None);
            }
            Cluster::Pod if !is_pod() => anyhow::bail!(
                "--cluster in-cluster: this is not a pod, because KUBERNETES_SERVICE_HOST is not set; write --cluster \
                 kubeconfig"
            ),
            Cluster::Pod => of_pod()?,
            Cluster::Kubeconfig => self.kubeconfig.read().await?,
        };
        let direct = connect(config);
        let direct = direct
            .map_err(|error| anyhow!("failed to make a client: {}", client::reason(&error)))?;
        let patient = patient(&direct);
        Ok(Some(Clients { direct, patient }))
    }

    /// Listens for reviews, with the socket of the holder if there is one.
    pub(super) async fn listener(&self) -> anyhow::Result<(TcpListener, Option<Keeper>)> {
        let Some(path) = &self.listener_holder else {
            return Ok((listen::bind(self.listen)?, None));
        };
        let (listener, keeper) = listener::listen(self.listen, path.clone()).await?;
        Ok((listener, Some(keeper)))
    }
}
