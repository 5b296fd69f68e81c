//! Whether a migration is running: one definition for guards, claims, runs and alerts.
//!
//! A migration is running while any of its containers runs, except sidecars. Pure: it reads the status of the Job, and
//! its pods if that status is not enough. [`crate::cluster::pods`] asks the API server.

mod pod;

use crate::core::job::object::Status;
use crate::core::job::sidecar::is_known_proxy;
use pod::Container;
pub(crate) use pod::{ContainerState, ContainerStatus, Pod, PodStatus, Why};

/// `spec.managedBy` of a Job that Kubernetes' own controller manages.
const JOB_CONTROLLER: &str = "kubernetes.io/job-controller";
/// Waiting reasons of a container that is about to start.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// It has no pod left that may be running.
    #[default]
    Idle,
    /// One of its pods is running.
    Running,
    /// It has pods, and only they show whether a container is running.
    Unclear,
}

impl Said {
    /// What the status of a Job that has not finished shows.
    ///
    /// A pod is ready only once its init containers have ended, all its containers are running and their readiness
    /// probes pass. If another controller manages the Job, its pods may be in another cluster, so the status decides.
    pub(super) fn of(status: &Status<'_>, managed_by: Option<&str>) -> Self {
        let active = status.active.unwrap_or_default();
        if status.ready.is_some_and(|ready| ready > 0) {
            return Self::Running;
        }
        if is_managed_by_another(managed_by) {
            let is_active = status.ready.is_none() && active > 0;
            return if is_active { Self::Running } else { Self::Idle };
        }
        if active > 0 || status.terminating.unwrap_or_default() > 0 {
            Self::Unclear
        } else {
            Self::Idle
        }
    }
}

/// Whether a controller other than Kubernetes' own manages a Job with this `spec.managedBy`.
pub(crate) fn is_managed_by_another(managed_by: Option<&str>) -> bool {
    managed_by.is_some_and(|name| !name.is_empty() && name != JOB_CONTROLLER)
}

/// Progress of an unfinished Job, by its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// None of its containers has started, except sidecars.
    NotStarted(Wait),
    /// A container that is not a sidecar is running, or is about to follow one that has ended.
    Running,
    /// Its containers have run, none is running now, and another attempt may follow.
    Stopped(Wait),
    /// All its containers have ended, except sidecars, which keep its pod running.
    Ended,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Such as `ImagePullBackOff`; empty if no reason is given.
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NotStarted,
    Running,
    Stopped,
    /// All but sidecars have ended.
    Ended,
    /// The pod itself has ended.
    Over,
}

pub(crate) fn progress(pods: &[Pod]) -> Progress {
    let mut stages = pods.iter().map(Pod::stage);
    let has = |stage: Stage| pods.iter().any(|pod| pod.stage() == stage);
    if has(Stage::Running) {
        Progress::Running
    } else if stages.all(|stage| stage == Stage::NotStarted) {
        Progress::NotStarted(worst(pods))
    } else if has(Stage::Stopped) || has(Stage::NotStarted) || !has(Stage::Ended) {
        Progress::Stopped(worst(pods))
    } else {
        Progress::Ended
    }
}

impl Pod {
    /// Whether a container of the migration is running, or may still start. It suffices for a Job that is gone, because
    /// no new pods follow.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.stage(), Stage::Ended | Stage::Over)
    }

    /// Init containers, then the others, which are marked with `true`. Sidecars are left out, unless there are only
    /// sidecars.
    pub(crate) fn work(&self) -> impl Iterator<Item = (bool, &ContainerStatus)> {
        let only_sidecars = self.all().all(|(_, status)| self.is_sidecar(status));
        self.all()
            .filter(move |(_, status)| only_sidecars || !self.is_sidecar(status))
    }

    /// Like [`Self::work`], with sidecars.
    pub(crate) fn all(&self) -> impl Iterator<Item = (bool, &ContainerStatus)> {
        let init = self.status.init_container_statuses.iter();
        let main = self.status.container_statuses.iter();
        init.map(|c| (false, c)).chain(main.map(|c| (true, c)))
    }

    fn stage(&self) -> Stage {
        let phase = &*self.status.phase;
        if matches!(phase, "Succeeded" | "Failed") {
            return Stage::Over;
        }
        if self.all().next().is_none() {
            // A lost node does not report its containers.
            let may_run = matches!(phase, "Running" | "Unknown");
            return if may_run {
                Stage::Running
            } else {
                Stage::NotStarted
            };
        }
        let any = |is: fn(&ContainerStatus) -> bool| self.work().any(|(_, c)| is(c));
        if any(runs) {
            Stage::Running
        } else if self.work().all(|(_, c)| self.has_ended(c)) {
            Stage::Ended
        } else if !any(has_started) {
            Stage::NotStarted
        } else if self.metadata.deletion_timestamp.is_some() || !self.is_about_to_go_on() {
            Stage::Stopped
        } else {
            Stage::Running
        }
    }

    /// Whether every waiting container is about to start.
    fn is_about_to_go_on(&self) -> bool {
        self.work().all(|(_, c)| match waits(c) {
            Some(reason) => reason.is_empty() || STARTING.contains(&reason),
            None => true,
        })
    }

    /// Whether a container has ended for good.
    fn has_ended(&self, status: &ContainerStatus) -> bool {
        let Some(end) = &status.state.terminated else {
            return false;
        };
        let container = self.container(status);
        let own = container.map(|c| &*c.restart_policy);
        let own = own.filter(|policy| !policy.is_empty());
        let has_rules = container.is_some_and(|c| c.has_restart_rules);
        let comes_back = match own.unwrap_or(&self.spec.restart_policy) {
            "Always" => true,
            "OnFailure" => end.exit_code != 0,
            _ => has_rules && end.exit_code != 0,
        };
        // In a deleted pod no container starts again.
        !comes_back || self.metadata.deletion_timestamp.is_some()
    }

    /// Whether a container is a native sidecar (an init container that runs beside the others), or a well-known proxy
    /// or agent.
    fn is_sidecar(&self, status: &ContainerStatus) -> bool {
        let init = self.spec.init_containers.iter();
        let is_native = init
            .filter(|c| c.name == status.name)
            .any(|c| &*c.restart_policy == "Always");
        // The status may show the image by its digest only.
        let image = self.container(status).map_or(&status.image, |c| &c.image);
        is_native || is_known_proxy(&status.name, image)
    }

    fn container(&self, status: &ContainerStatus) -> Option<&Container> {
        let spec = &self.spec;
        let mut containers = spec.init_containers.iter().chain(&spec.containers);
        containers.find(|container| container.name == status.name)
    }
}

fn runs(status: &ContainerStatus) -> bool {
    status.state.running.is_some()
}

fn waits(status: &ContainerStatus) -> Option<&str> {
    let ContainerState { waiting, .. } = &status.state;
    let has_run = status.state.has_run();
    (!has_run).then(|| waiting.as_ref().map_or("", |waiting| &waiting.reason))
}

pub(crate) fn has_started(status: &ContainerStatus) -> bool {
    status.restart_count > 0 || status.state.has_run() || status.last_state.has_run()
}

impl From<&Why> for Wait {
    fn from(why: &Why) -> Self {
        Self {
            reason: why.reason.to_string(),
            message: why.message.to_string(),
        }
    }
}

/// The most serious reason why these pods wait.
fn worst(pods: &[Pod]) -> Wait {
    let live = || pods.iter().filter(|pod| pod.stage() != Stage::Over);
    let waiting = live()
        .flat_map(Pod::all)
        .filter_map(|(_, container)| container.state.waiting.as_ref())
        .map(|waiting| (&*waiting.reason, &*waiting.message));
    let unscheduled = live()
        .filter_map(|pod| pod.status.conditions.unscheduled.as_ref())
        .map(|condition| (&*condition.reason, &*condition.message));
    // Every waiting container has a reason; those of a healthy start come last.
    let worst = waiting
        .chain(unscheduled)
        .min_by_key(|(reason, _)| STARTING.contains(reason));
    let (reason, message) = match worst {
        Some(("", message)) => ("Pending", message),
        Some(worst) => worst,
        None if pods.is_empty() => ("NoPod", ""),
        None if live().next().is_none() => ("", ""),
        None => ("Pending", ""),
    };
    Wait {
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
