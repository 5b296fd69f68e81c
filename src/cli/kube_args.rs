//! Arguments that select a cluster and a namespace, with the names and defaults of `kubectl`.

use std::path::PathBuf;

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cluster::patient;

/// Arguments that select a cluster.
#[derive(Debug, clap::Args)]
pub(super) struct Cluster {
    /// Kubeconfig file (default: $KUBECONFIG or ~/.kube/config).
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig (default: the current context).
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Arguments that select a namespace, or all namespaces.
#[derive(Debug, clap::Args)]
pub(super) struct Namespaces {
    /// Namespace (default: that of the kubeconfig context, or of the pod).
    #[arg(long, short, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl Cluster {
    /// Creates a client for the cluster, without sending a request.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let config = self.config().await?;
        // The Kubernetes client uses the default provider of the process. The rest of this crate names its provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(config).context("failed to make a client")?;
        Ok(patient(&client))
    }

    async fn config(&self) -> anyhow::Result<Config> {
        if self.kubeconfig.is_none() && self.context.is_none() {
            return Config::infer()
                .await
                .context("failed to find a cluster in a kubeconfig or a pod's service account");
        }
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let read = async {
            match &self.kubeconfig {
                Some(path) => {
                    let kubeconfig = Kubeconfig::read_from(path)?;
                    Config::from_custom_kubeconfig(kubeconfig, &options).await
                }
                None => Config::from_kubeconfig(&options).await,
            }
        };
        read.await.context("failed to read the kubeconfig")
    }
}

impl Namespaces {
    /// The selected namespace; `None` for all namespaces.
    pub(super) fn of(&self, client: &Client) -> Option<String> {
        if self.all_namespaces {
            return None;
        }
        let named = self.namespace.clone();
        Some(named.unwrap_or_else(|| client.default_namespace().to_owned()))
    }
}

/// Runs the requests of a verb to the end, on a runtime of their own.
pub(super) fn block_on<T>(asking: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(asking)
}
