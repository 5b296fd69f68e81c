//! The facts of one Job, as Kubernetes will see it.
//!
//! Facts are read with Kubernetes' own defaults applied (`pkg/apis/batch/v1/defaults.go`), so that a file and its later
//! review give the same facts. This module knows neither rules nor policies.

pub(crate) mod annotation;
pub(crate) mod attempts;
pub(crate) mod cel;
pub mod credentials;
pub(crate) mod deployer;
pub(crate) mod direction;
pub(crate) mod dns;
pub(crate) mod environment;
pub(crate) mod failure_policy;
pub(crate) mod hooks;
pub mod mesh;
pub(crate) mod name;
pub mod object;
pub mod release;
pub(crate) mod running;
pub(crate) mod sidecar;
pub(crate) mod stamp;
pub(crate) mod stored;
pub mod tool;

use std::sync::OnceLock;

use jiff::Timestamp;

use crate::core::job::annotation::{Annotation, Annotations};
use crate::core::job::credentials::Hit;
use crate::core::job::deployer::Deployer;
use crate::core::job::hooks::Event;
use crate::core::job::mesh::Mesh;
use crate::core::job::name::Name;
use crate::core::job::object::{Condition, Container, Metadata, Object, Spec, Status};
use crate::core::job::running::Said;
use crate::core::json::Map;

/// The label that marks a migration Job; with `false` a Job opts out.
pub(crate) const MIGRATION_LABEL: &str = "migration-warden.io/migration";

/// The label with the name of the policy's entry that adopts the Job.
pub(crate) const ADOPTED_LABEL: &str = "migration-warden.io/adopted";

/// The field manager that sets this label on a Job that already runs.
pub(crate) const ADOPTING_MANAGER: &str = "migration-warden-adoption";

/// Path of a Job's init containers.
pub(crate) const INIT_CONTAINERS: &str = "spec.template.spec.initContainers";

/// The kinds that hold a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A `batch/v1` Job.
    Job,
    /// A CronJob; the facts are those of its `spec.jobTemplate`.
    CronJob,
}

/// The facts of a Job or of a CronJob's template.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    pub(crate) kind: Kind,
    /// Namespace of the request or manifest; empty if a manifest sets none.
    pub namespace: &'a str,
    /// Name of the object; for a CronJob, its own.
    pub name: Name<'a>,
    /// Labels; those of the pod template if the Job has none.
    pub labels: &'a Map<'a>,
    pub(crate) annotations: &'a Annotations<'a>,
    /// Of the object; for a CronJob, its own.
    pub metadata: &'a Metadata<'a>,
    pub(crate) spec: &'a Spec<'a>,
    pub(crate) status: &'a Status<'a>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) deployer: Deployer,
    /// It is part of a request, not a manifest that is yet to be sent.
    pub(crate) is_sent: bool,
    /// The service mesh that its namespace injects, if a cluster was asked.
    pub mesh: Option<Mesh>,
    /// Whether the ends of long lists were not read.
    is_cut: bool,
    hits: OnceLock<Vec<Hit<'a>>>,
}

fn managers<'a>(metadata: &'a Metadata<'_>) -> impl Iterator<Item = &'a str> + Clone {
    let fields = metadata.managed_fields.iter();
    fields
        .filter(|field| field.subresource.is_empty())
        .map(|field| &*field.manager)
}

fn deployer_of(metadata: &Metadata<'_>, annotations: &Annotations<'_>, manager: &str) -> Deployer {
    Deployer::of(
        |label| metadata.labels.get(label).is_some(),
        |annotation| annotations.get(annotation).is_some(),
        managers(metadata).chain([manager]),
    )
}

impl Kind {
    #[must_use]
    pub(crate) fn parse(kind: &str) -> Option<Self> {
        match kind {
            "Job" => Some(Self::Job),
            "CronJob" => Some(Self::CronJob),
            _ => None,
        }
    }
}

/// Name of the CronJob that `ownerReferences` names as the controller of an object.
fn cron_job<'a>(metadata: &'a Metadata<'_>) -> Option<&'a str> {
    let mut owners = metadata.owner_references.iter();
    let owner = owners.find(|owner| owner.controller && &*owner.kind == "CronJob")?;
    Some(&owner.name)
}

impl<'a> Job<'a> {
    /// Reads the facts of `object`, which has this kind whatever its fields are.
    ///
    /// `namespace` is the request's and wins over the object's own, which may be missing.
    #[must_use]
    pub fn new(object: &'a Object<'a>, kind: Kind, namespace: &'a str) -> Self {
        let metadata = &object.metadata;
        let inner = match (kind, &object.spec.job_template) {
            (Kind::CronJob, Some(template)) => &**template,
            _ => object,
        };
        let template = &inner.spec.template.metadata.labels;
        let labels = match (inner.metadata.labels.is_empty(), kind) {
            (false, _) => &inner.metadata.labels,
            // Charts label the CronJob itself; the Jobs it creates get the template's labels.
            (true, Kind::CronJob) if !metadata.labels.is_empty() => &metadata.labels,
            (true, _) => template,
        };
        let annotations = &inner.metadata.annotations;
        let deployer = deployer_of(metadata, annotations, "");
        Self {
            kind,
            namespace: if namespace.is_empty() {
                &metadata.namespace
            } else {
                namespace
            },
            name: Name::new(&metadata.name, &metadata.generate_name)
                .owned_by(cron_job(metadata))
                .of_argocd_hook(deployer.is_argocd_hook(annotations)),
            labels,
            annotations,
            metadata,
            spec: &inner.spec,
            status: &object.status,
            created: metadata
                .creation_timestamp
                .as_deref()
                .and_then(|time| time.parse().ok()),
            deployer,
            is_sent: !metadata.managed_fields.is_empty(),
            mesh: None,
            is_cut: object.is_cut,
            hits: OnceLock::new(),
        }
    }

    /// The same Job, sent by this field manager.
    #[must_use]
    pub(crate) fn sent_by(mut self, manager: &str) -> Self {
        self.deployer = deployer_of(self.metadata, self.annotations, manager);
        self.name = self.name.of_argocd_hook(self.is_argocd_hook());
        self.is_sent = true;
        self
    }

    /// `restartPolicy` of the pod; defaults to `Always`.
    #[must_use]
    pub fn restart_policy(&self) -> &'a str {
        self.spec
            .template
            .spec
            .restart_policy
            .as_deref()
            .filter(|p| !p.is_empty())
            .unwrap_or("Always")
    }

    /// `backoffLimit`; defaults to 6, or to no limit with `backoffLimitPerIndex`.
    #[must_use]
    pub(crate) fn backoff_limit(&self) -> i64 {
        let written = self.spec.backoff_limit;
        written.unwrap_or_else(|| self.default_backoff_limit())
    }

    /// The default that Kubernetes sets for a missing `backoffLimit`.
    #[must_use]
    pub(crate) fn default_backoff_limit(&self) -> i64 {
        match self.spec.backoff_limit_per_index {
            Some(_) => i64::from(i32::MAX),
            None => 6,
        }
    }

    /// The field managers that set its fields, except those of its status.
    pub(crate) fn managers(&self) -> impl Iterator<Item = &'a str> {
        managers(self.metadata)
    }

    /// Init containers, then containers, each with the path of its list and its index.
    pub(crate) fn containers(
        &self,
    ) -> impl Iterator<Item = (&'static str, usize, &'a Container<'a>)> + use<'a> {
        let pod = &self.spec.template.spec;
        let init = pod.init_containers.iter().enumerate();
        let main = pod.containers.iter().enumerate();
        init.map(|(i, c)| (INIT_CONTAINERS, i, c))
            .chain(main.map(|(i, c)| ("spec.template.spec.containers", i, c)))
    }

    /// The credentials written into its containers, which are searched once. If not everything was searched, the last
    /// hit is where the rest begins.
    pub(crate) fn credentials(&self) -> &[Hit<'a>] {
        let find = || credentials::find_in(self.containers(), self.is_cut);
        self.hits.get_or_init(find)
    }

    /// Whether this container of `list` is a native sidecar: an init container that Kubernetes restarts, and
    /// stops once the pod's ordinary containers have ended.
    #[must_use]
    pub(crate) fn is_native_sidecar(list: &str, container: &Container<'_>) -> bool {
        list == INIT_CONTAINERS && container.restart_policy.as_deref() == Some("Always")
    }

    /// The condition that it ended with, and whether it succeeded. Only the final conditions count: before them pods
    /// may still be running.
    #[must_use]
    pub(crate) fn ending(&self) -> Option<(&'a Condition<'a>, bool)> {
        let of = |kind: &str| {
            let mut conditions = self.status.conditions.iter();
            conditions.find(|condition| &*condition.kind == kind && &*condition.status == "True")
        };
        let good = of("Complete").map(|condition| (condition, true));
        good.or_else(|| Some((of("Failed")?, false)))
    }

    #[must_use]
    pub(crate) fn is_finished(&self) -> bool {
        self.ending().is_some()
    }

    /// The name under which it was adopted, as its label says.
    #[must_use]
    pub(crate) fn adopted_as(&self) -> Option<&'a str> {
        self.metadata.labels.get(ADOPTED_LABEL)
    }

    /// Whether it already ran when the policy began to adopt it.
    #[must_use]
    pub(crate) fn is_adopted_late(&self) -> bool {
        self.adopted_as().is_some() && self.managers().any(|manager| manager == ADOPTING_MANAGER)
    }

    /// Whether it has the shape of the guide's migration: Helm runs it before an install or an upgrade, or Argo CD before
    /// a sync.
    #[must_use]
    pub(crate) fn runs_before_the_release(&self) -> bool {
        let own = self.annotations.get(Annotation::ArgoCdHook);
        self.is_pre_hook() || hooks::argocd_has(own, "PreSync")
    }

    /// Whether it is running, as far as its own status shows it.
    #[must_use]
    pub fn said(&self) -> Said {
        if self.is_finished() {
            return Said::Idle;
        }
        Said::of(self.status, self.spec.managed_by.as_deref())
    }

    /// Whether it is already deleted and only waits for its finalizers.
    #[must_use]
    pub(crate) fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether Helm runs it before an install or an upgrade.
    #[must_use]
    pub(crate) fn is_pre_hook(&self) -> bool {
        let hook = self.annotations.get(Annotation::Hook).unwrap_or_default();
        hooks::elements(hook).any(|element| {
            matches!(
                hooks::event(&element),
                Some(Event::PreInstall | Event::PreUpgrade)
            )
        })
    }

    /// Whether a CronJob created it, as its metadata claims: then the CronJob is evaluated instead.
    /// `kubectl create job --from` also names the CronJob as controller, but that Job is evaluated.
    #[must_use]
    pub(crate) fn is_made_by_cronjob(&self) -> bool {
        self.kind == Kind::Job && self.is_owned_by_cronjob() && !self.is_started_by_hand()
    }

    /// Whether its `ownerReferences` name a CronJob as controller. Any client can write that.
    #[must_use]
    pub(crate) fn is_owned_by_cronjob(&self) -> bool {
        cron_job(self.metadata).is_some()
    }
}
