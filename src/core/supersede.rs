//! Whether a migration that never started gives way to a newer attempt. Pure: from its Job and its pods.
//!
//! Not for how it gives way: [`crate::cluster::claims`] has Kubernetes fail the Job.

use jiff::{SignedDuration, Timestamp};

use crate::core::job::annotation::Annotation;
use crate::core::job::running::{Pod, PodStatus, Wait, has_started, is_managed_by_another};
use crate::core::job::{Job, MIGRATION_LABEL};
use crate::core::text;

/// The reason of the run of a migration that gave way.
pub(crate) const SUPERSEDED: &str = "Superseded";
/// The `activeDeadlineSeconds` that fails a Job within a second.
pub(crate) const DEADLINE: i64 = 1;

/// How old a Job must be: images are pulled and nodes are found within a minute, or do not come soon.
const LEAST_AGE: SignedDuration = SignedDuration::from_secs(60);

/// How long the kubelet waits for a pod's volumes before it gives up and begins again (`podAttachAndMountTimeout` in
/// `pkg/kubelet/volumemanager/volume_manager.go`, Kubernetes 1.37).
const MOUNTED: SignedDuration = SignedDuration::from_secs(2 * 60 + 3);

/// Reasons of waiting containers that do not mend themselves: the kubelet's own of `pkg/kubelet/images/types.go` and
/// `kuberuntime_container.go`, and the two of the CRI about images (Kubernetes 1.37).
const LASTING: [&str; 8] = [
    "CreateContainerConfigError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// A newer attempt, which is refused because of the Job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newer<'a> {
    pub(crate) namespace: &'a str,
    /// Its base name.
    pub(crate) base: &'a str,
    pub(crate) now: Timestamp,
}

impl Newer<'_> {
    /// Whether a Job of this namespace that was created then may give way to it at all.
    pub(crate) fn may_supersede(&self, namespace: &str, created: Timestamp) -> bool {
        namespace == self.namespace && self.age_of(created) >= LEAST_AGE
    }

    fn age_of(&self, created: Timestamp) -> SignedDuration {
        self.now.duration_since(created)
    }
}

/// A Job that has a key, as far as the decision needs it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) resource_version: String,
    namespace: String,
    base: String,
    created: Option<Timestamp>,
    /// How many pods its controller counts as active.
    active: i64,
    /// Why it stays, whoever waits for it.
    stays: Option<&'static str>,
}

impl From<&Job<'_>> for Held {
    fn from(job: &Job<'_>) -> Self {
        Self {
            resource_version: job.metadata.resource_version.to_string(),
            namespace: job.namespace.to_owned(),
            base: job.name.base().to_owned(),
            created: job.created,
            active: job.status.active.unwrap_or_default(),
            stays: stays(job),
        }
    }
}

impl Held {
    /// What keeps the Job from starting, if it gives way to `newer`; otherwise why it stays. `pods` must have been
    /// listed before the Job was read: a pod that ran and is gone since is counted in its status.
    pub(crate) fn gives_way(&self, newer: &Newer<'_>, pods: &[Pod]) -> Result<Wait, &'static str> {
        if let Some(why) = self.stays {
            return Err(why);
        }
        if (&*self.namespace, &*self.base) != (newer.namespace, newer.base) {
            return Err("it is another migration");
        }
        if self
            .created
            .is_none_or(|created| newer.age_of(created) < LEAST_AGE)
        {
            return Err("it is too young");
        }
        if i64::try_from(pods.len()) != Ok(self.active) {
            return Err("its status counts other pods than were found");
        }
        if pods.is_empty() {
            return Ok(Wait {
                reason: "NoPod".to_owned(),
                message:
                    "its pod cannot be created, such as for want of quota or of its ServiceAccount"
                        .to_owned(),
            });
        }
        // Each pod must be stuck: one of several may be about to start.
        let stuck: Option<Vec<Wait>> = pods.iter().map(|pod| stuck(pod, newer.now)).collect();
        let first = stuck.and_then(|waits| waits.into_iter().next());
        first.ok_or("a container has started, or may start by itself")
    }
}

/// Why the Job stays, as far as it shows by itself.
fn stays(job: &Job<'_>) -> Option<&'static str> {
    let (spec, status) = (job.spec, job.status);
    let none = |count: Option<i64>| count.unwrap_or_default() == 0;
    let mut conditions = status.conditions.iter();
    let uncounted = &status.uncounted_terminated_pods;
    let mut rules = spec.pod_failure_policy.rules.iter();
    let reasons = [
        (
            !job.is_patchable() || job.is_owned_by_cronjob(),
            "its deployer does not run it as a hook",
        ),
        (
            job.metadata.labels.get(MIGRATION_LABEL) == Some("false"),
            "it is opted out",
        ),
        (
            is_managed_by_another(spec.managed_by.as_deref()),
            "another controller manages it",
        ),
        (job.is_terminating(), "it is being deleted"),
        // Its controller does not know yet that it is resumed, or it fails or succeeds.
        (
            conditions.any(|condition| &*condition.status == "True"),
            "it is suspended or ending",
        ),
        (
            spec.active_deadline_seconds.is_some_and(|s| s <= DEADLINE),
            "it is failing already",
        ),
        (spec.suspend == Some(true), "it is suspended"),
        (
            [spec.parallelism, spec.completions].contains(&Some(0)),
            "it is not to have pods",
        ),
        // Its deadline counts from there.
        (
            status.start_time.is_none(),
            "its controller has not started it",
        ),
        (
            !none(status.succeeded)
                || !none(status.failed)
                || !none(status.ready)
                || !none(status.terminating)
                || uncounted.has_any(),
            "one of its pods has run, or runs",
        ),
        // Its pods may have run, and left nothing in its status.
        (
            rules.any(|rule| &*rule.action == "Ignore"),
            "its podFailurePolicy ignores failures",
        ),
    ];
    let mut reasons = reasons.into_iter();
    reasons.find_map(|(stays, why)| stays.then_some(why))
}

/// What keeps a pod from starting, if none of its containers has ever started, sidecars included, and that does not
/// mend itself.
fn stuck(pod: &Pod, now: Timestamp) -> Option<Wait> {
    let status = &pod.status;
    let debug = status.ephemeral_container_statuses.iter();
    let mut containers = pod.all().map(|(_, container)| container).chain(debug);
    if &*status.phase != "Pending" || containers.any(has_started) {
        return None;
    }
    let (mut lasting, mut is_next) = (None, false);
    for (_, container) in pod.all() {
        let waiting = container.state.waiting.as_ref()?;
        match &*waiting.reason {
            reason if LASTING.contains(&reason) => lasting = lasting.or(Some(waiting)),
            // It follows an init container.
            "PodInitializing" => {}
            "ContainerCreating" => is_next = true,
            _ => return None,
        }
    }
    let unscheduled = status.conditions.unscheduled.as_ref();
    lasting
        .filter(|_| !is_next)
        .or(unscheduled.filter(|why| &*why.reason == "Unschedulable"))
        .map(Wait::from)
        .or_else(|| unmounted(status, now))
}

/// The kubelet has had no volumes or no network for the pod. Which of them, only its Events say.
fn unmounted(status: &PodStatus, now: Timestamp) -> Option<Wait> {
    let since = status.conditions.unready.as_ref()?.0;
    (now.duration_since(since) > MOUNTED).then(|| Wait {
        reason: "ContainerCreating".to_owned(),
        message:
            "its volumes or its network are not there, such as for a missing Secret or ConfigMap"
                .to_owned(),
    })
}

/// Why this Job never started, and for which newer attempt it was failed, if it shows that: Kubernetes failed it by
/// [`DEADLINE`].
///
/// Any user who may update Jobs can write both. So a caller must also know that no container has started: then there is
/// nothing to hide.
pub(crate) fn superseded<'a>(job: &'a Job<'_>) -> Option<&'a str> {
    let (condition, succeeded) = job.ending()?;
    let is_failed_so = !succeeded
        && &*condition.reason == "DeadlineExceeded"
        && job.spec.active_deadline_seconds == Some(DEADLINE);
    let why = job.annotations.get(Annotation::Superseded)?;
    is_failed_so.then_some(why)
}

/// The value of the annotation on a Job that is failed for the newer attempt with this name.
pub(crate) fn why(wait: &Wait, newer: &str) -> String {
    let Wait { reason, message } = wait;
    let cut = |text, length| text::bounded(text, length);
    let (newer, message) = (cut(newer, text::NAME), cut(message, text::DETAIL));
    format!("{reason}: {message}; {newer} waited for it")
}

#[cfg(test)]
mod tests;
