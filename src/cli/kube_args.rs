//! Arguments that select a cluster and a namespace, with the names and meanings of `kubectl`.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use kube::config::{KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

use super::client;
use crate::core::job::dns;
use crate::core::text::nearest;
use crate::core::time;

/// Arguments that select a cluster.
#[derive(Debug, clap::Args)]
pub(super) struct Kubeconfig {
    /// Kubeconfig file (default: $KUBECONFIG or ~/.kube/config).
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig (default: the current context).
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Arguments of a verb that asks a cluster.
#[derive(Debug, clap::Args)]
pub(super) struct Cluster {
    #[command(flatten)]
    kubeconfig: Kubeconfig,
    /// How long to wait for the answer to one request; 0 waits without a limit.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = request_timeout)]
    request_timeout: Duration,
}

/// Arguments that select a namespace.
#[derive(Debug, clap::Args)]
pub(super) struct Namespace {
    /// Namespace (default: that of the kubeconfig context, or of the pod).
    #[arg(long, short, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
}

/// Arguments that select a namespace, or all namespaces.
#[derive(Debug, clap::Args)]
pub(super) struct Namespaces {
    #[command(flatten)]
    one: Namespace,
    /// All namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl Kubeconfig {
    /// The first of these arguments that is given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let file = self.kubeconfig.as_ref().map(|_| "--kubeconfig");
        file.or(self.context.as_ref().map(|_| "--context"))
    }

    /// Reads the settings of the selected cluster.
    pub(super) async fn read(&self) -> anyhow::Result<Config> {
        let read = match &self.kubeconfig {
            Some(path) => kube::config::Kubeconfig::read_from(path),
            None => kube::config::Kubeconfig::read(),
        };
        let kubeconfig = read.map_err(|error| self.unusable(error, &[]))?;
        let contexts = kubeconfig.contexts.iter();
        let contexts: Vec<_> = contexts.map(|context| context.name.clone()).collect();
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        config.map_err(|error| self.unusable(error, &contexts))
    }

    /// Like [`Self::read`]. In a pod without a kubeconfig, the cluster is that of the pod, as for `kubectl`: files that
    /// do not exist are no kubeconfig.
    async fn read_or_pod(&self) -> anyhow::Result<Config> {
        let home = || env::home_dir().map(|home| home.join(".kube/config"));
        let has_file = match env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) {
            Some(paths) => env::split_paths(&paths).any(|file| file.exists()),
            None => home().is_some_and(|file| file.exists()),
        };
        if is_pod() && !has_file && self.given().is_none() {
            return of_pod();
        }
        self.read().await
    }

    /// The message for a kubeconfig that cannot be used. It never quotes the file, which holds credentials.
    fn unusable(&self, error: KubeconfigError, contexts: &[String]) -> anyhow::Error {
        use KubeconfigError as E;
        let file = match &self.kubeconfig {
            Some(path) => path.display().to_string(),
            None => env::var("KUBECONFIG")
                .ok()
                .filter(|paths| !paths.is_empty())
                .unwrap_or_else(|| "~/.kube/config".to_owned()),
        };
        match error {
            E::ReadConfig(error, path) => {
                let path = path.display();
                anyhow!("failed to read {path}: {error}; name another kubeconfig with --kubeconfig")
            }
            E::Parse(error) => {
                let at = error.location();
                let at =
                    at.map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
                anyhow!("{file}{at}: this is not part of a kubeconfig")
            }
            E::FindPath => anyhow!("there is no kubeconfig; name one with --kubeconfig"),
            E::CurrentContextNotSet => {
                anyhow!("{file} has no current context; name one with --context")
            }
            E::LoadContext(name) => match nearest(&name, contexts.iter().map(String::as_str)) {
                Some(other) => anyhow!("{file} has no context {name}; did you mean {other}?"),
                None => anyhow!(
                    "{file} has no context {name}; `kubectl config get-contexts` lists them all"
                ),
            },
            error => anyhow!("{file} is not a usable kubeconfig: {error}"),
        }
    }
}

impl Cluster {
    /// Creates a client for the cluster, without sending a request.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let config = self.kubeconfig.read_or_pod().await?;
        client::new(config, self.request_timeout)
    }
}

impl Namespace {
    /// The selected namespace.
    pub(super) fn of(&self, client: &Client) -> String {
        let named = self.namespace.as_deref();
        named.unwrap_or(client.default_namespace()).to_owned()
    }
}

impl Namespaces {
    /// The namespace that is named.
    pub(super) fn given(&self) -> Option<&str> {
        self.one.namespace.as_deref()
    }

    /// The selected namespace; `None` for all namespaces.
    pub(super) fn of(&self, client: &Client) -> Option<String> {
        (!self.all_namespaces).then(|| self.one.of(client))
    }
}

/// Whether this program runs in a pod.
pub(super) fn is_pod() -> bool {
    env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty())
}

/// The cluster of the pod that this program runs in.
pub(super) fn of_pod() -> anyhow::Result<Config> {
    Config::incluster().context("failed to find the cluster of this pod")
}

/// Parses the name of an object, such as a Secret.
pub(super) fn object(text: &str) -> Result<String, String> {
    let refused = "not a name in Kubernetes; write at most 253 lower-case letters, digits, '-' and '.', with a letter \
                   or digit at both ends and beside each '.'";
    let name = dns::is_subdomain(text).then(|| text.to_owned());
    name.ok_or_else(|| refused.to_owned())
}

/// Parses the name of a namespace or of a Service.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let refused = "not a name in Kubernetes; write at most 63 lower-case letters, digits and '-', with a letter or \
                   digit at both ends";
    let name = dns::is_label(text).then(|| text.to_owned());
    name.ok_or_else(|| refused.to_owned())
}

fn request_timeout(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::MAX);
    }
    let parsed = time::duration(text).and_then(|duration| Duration::try_from(duration).ok());
    match parsed {
        Some(Duration::ZERO) => Ok(Duration::MAX),
        Some(limit) => Ok(limit),
        None => Err("not a duration; write one such as 30s, or 0 for no limit".to_owned()),
    }
}

/// Runs the requests of a verb to the end, on a runtime of their own.
pub(super) fn block_on<T>(asking: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(asking)
}
