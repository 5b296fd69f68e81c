//! The cluster under test and the programs that talk to it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use super::{Proxy, audit};

/// A control plane made by `tests/cluster/up`.
pub(crate) struct Cluster {
    dir: PathBuf,
    assets: PathBuf,
    kind: NodeKind,
}

/// What happens to pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Every Job completes at once; nothing is run.
    Kwok,
    /// Containers run.
    Real,
}

/// A major version of Helm: 3 creates Jobs by POST, 4 by server-side apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Helm {
    V3,
    V4,
}

impl Helm {
    pub(crate) const BOTH: [Self; 2] = [Self::V3, Self::V4];

    /// The name of a release, which both can install side by side.
    pub(crate) fn release(self, name: &str) -> String {
        format!("{name}-{self:?}").to_lowercase()
    }
}

impl Cluster {
    /// The cluster that `MW_CLUSTER` names, checked once.
    pub(crate) fn get() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| {
            let dir = env::var_os("MW_CLUSTER")
                .expect("MW_CLUSTER must name a directory made by tests/cluster/up");
            let dir = PathBuf::from(dir);
            let kind = fs::read_to_string(dir.join("node-kind"))
                .expect("MW_CLUSTER must name a directory made by tests/cluster/up");
            let kind = match kind.trim() {
                "kwok" => NodeKind::Kwok,
                "real" => NodeKind::Real,
                other => panic!("unknown kind of node: {other}"),
            };
            let assets = env::var_os("ASSETS").map_or_else(default_assets, PathBuf::from);
            Self { dir, assets, kind }
        })
    }

    pub(crate) fn kind(&self) -> NodeKind {
        self.kind
    }

    /// Fails a test that was pointed at the wrong kind of cluster, before it fails obscurely.
    pub(crate) fn wants(&self, kind: NodeKind) {
        assert_eq!(self.kind, kind, "this test wants another kind of node");
    }

    /// Where `tests/cluster/up` made it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// Host and port of the apiserver.
    pub(crate) fn server(&self) -> String {
        let config = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        let url = cluster.server.as_deref().unwrap();
        url.trim_start_matches("https://").to_owned()
    }

    /// What `tests/cluster/up` made under this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn kubectl(&self) -> Command {
        self.command("kubectl")
    }

    pub(crate) fn helm(&self, helm: Helm) -> Command {
        self.command(match helm {
            Helm::V3 => "helm3",
            Helm::V4 => "helm4",
        })
    }

    /// Argo CD's sync engine, for one git repository.
    pub(crate) fn gitops_agent(&self) -> Command {
        self.command("gitops-agent")
    }

    pub(crate) fn prometheus(&self) -> Command {
        self.command("prometheus")
    }

    pub(crate) fn promtool(&self) -> Command {
        self.command("promtool")
    }

    /// A client that tries once, in this namespace, as this user if one is named.
    pub(crate) async fn client(&self, namespace: &str, user: Option<&str>) -> Client {
        self.client_with(namespace, |config| {
            config.auth_info.impersonate = user.map(str::to_owned);
        })
        .await
    }

    /// The same, with all rights, by way of this proxy.
    pub(crate) async fn client_through(&self, proxy: &Proxy, namespace: &str) -> Client {
        self.client_with(namespace, |config| {
            config.cluster_url = proxy.url().parse().unwrap();
        })
        .await
    }

    async fn client_with(&self, namespace: &str, change: impl FnOnce(&mut Config)) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.unwrap();
        config.default_retry = false;
        namespace.clone_into(&mut config.default_namespace);
        change(&mut config);
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::try_from(config).unwrap()
    }

    /// What lists and exports the real node's images.
    pub(crate) fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command
            .arg("--address")
            .arg(self.dir.join("node/containerd.sock"));
        command.args(["--namespace", "k8s.io"]);
        command
    }

    /// The audit events of this namespace so far, oldest first; see `tests/cluster/up` for which are kept.
    pub(crate) fn audit(&self, namespace: &str) -> Vec<Value> {
        audit::of_namespace(&self.dir.join("audit.log"), namespace)
    }

    /// The audit events of this user so far, oldest first.
    pub(crate) fn audit_of(&self, user: &str) -> Vec<Value> {
        audit::of_user(&self.dir.join("audit.log"), user)
    }

    /// A program from the cache, that knows this cluster and nothing of the user's own.
    fn command(&self, program: &str) -> Command {
        // One home for all: what they keep there are caches of the cluster's API.
        let home = self.dir.join("home");
        let mut command = Command::new(self.assets.join(program));
        command
            .env_clear()
            .env("HOME", &home)
            .env("KUBECONFIG", self.kubeconfig());
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), home.join(kind.to_lowercase()));
        }
        command
    }
}

/// Where `tests/cluster/build` puts the programs when it is not told.
fn default_assets() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache"),
        PathBuf::from,
    );
    cache.join("migration-warden/cluster")
}
