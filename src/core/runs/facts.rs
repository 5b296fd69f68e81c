//! The facts about a Job that only its run needs. Pure: from a Job that the API server sends.
//!
//! They are not kept with the Jobs in memory, but collected before a write and dropped after it.

use uuid::Uuid;

use super::clean;
use super::resource::Deployer;
use crate::core::job::annotation::Annotation;
use crate::core::job::credentials::Secrets;
use crate::core::job::release::{CHART, FLUX_NAME};
use crate::core::job::{Job, stamp, tool};
use crate::core::supersede::{self, SUPERSEDED};

/// Longest name of an object or a user.
pub(super) const MAX_NAME: usize = 253;
/// Longest image, with its digest.
const MAX_IMAGE: usize = 512;
/// Most images or exceptions that are kept: no real migration has more.
const MAX_ENTRIES: usize = 16;
/// Longest message that is kept.
pub(super) const MAX_MESSAGE: usize = 1024;

/// The facts about a Job that its run records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub chart: Option<String>,
    pub tool: Option<&'static str>,
    /// Images of its containers.
    pub images: Vec<String>,
    /// The deployer of the Job.
    pub deployer: Deployer,
    /// The user who requested it.
    pub requested_by: Option<String>,
    /// Id of the decision that admitted it.
    pub decision: Option<String>,
    /// Whether it already ran when the policy began to adopt it, so that no decision was due.
    pub is_adopted_late: bool,
    pub exceptions: Vec<String>,
    /// The reason of the condition it ended with.
    pub reason: Option<String>,
    pub message: Option<String>,
    /// The passwords that are written into it, which must not appear elsewhere.
    pub secrets: Secrets,
}

impl Facts {
    /// Reads the facts of a Job.
    pub(crate) fn of(job: &Job<'_>) -> Self {
        let written = |stamp| filled(job.annotations.get(stamp)?, MAX_MESSAGE);
        let containers = || job.containers().map(|(_, _, container)| container);
        // A stamp that is not an id, or that the client may have written, is ignored together with the other stamps.
        let decision = written(Annotation::Decision)
            .filter(|id| Uuid::parse_str(id).is_ok() && !stamp::may_be_a_clients(job));
        let stamp = |of| decision.as_ref().and_then(|_| written(of));
        let exceptions = stamp(Annotation::Exceptions).unwrap_or_default();
        let labels = &job.metadata.labels;
        let (reason, message) = ended(job).unzip();
        let mut facts = Self {
            chart: labels.get(CHART).and_then(|chart| filled(chart, MAX_NAME)),
            tool: tool::named(containers().map(|container| {
                let words = container.command.iter().chain(&container.args);
                (&*container.image, words.map(|word| &**word))
            })),
            images: entries(containers().map(|c| image(&c.image)), MAX_IMAGE),
            deployer: deployer(job),
            requested_by: stamp(Annotation::RequestedBy),
            decision,
            is_adopted_late: job.is_adopted_late(),
            exceptions: entries(exceptions.split(','), MAX_NAME),
            reason: reason.and_then(|reason| filled(reason, MAX_NAME)),
            message: message.and_then(|message| filled(message, MAX_MESSAGE)),
            secrets: Secrets::kept_of(job.credentials()),
        };
        facts.hide();
        facts
    }

    /// Masks the Job's own passwords in these texts. Names are not masked: otherwise a Job could hide from the record.
    fn hide(&mut self) {
        let texts = [&mut self.chart, &mut self.reason, &mut self.message];
        for text in texts.into_iter().flatten().chain(&mut self.images) {
            self.secrets.hide_in_others(text);
        }
    }

    /// Whether there is a decision about it, or none was due. The decision about a CronJob covers the Jobs that its
    /// controller creates.
    pub(crate) fn is_reviewed(&self) -> bool {
        self.decision.is_some() || self.is_adopted_late || self.deployer == Deployer::CronJob
    }
}

/// Reason and message of the condition it ended with, or why it was failed before it started.
fn ended<'a>(job: &'a Job<'_>) -> Option<(&'a str, &'a str)> {
    let (condition, _) = job.ending()?;
    match supersede::superseded(job) {
        Some(why) => Some((SUPERSEDED, why)),
        None => Some((&condition.reason, &condition.message)),
    }
}

/// An image without a user and a password before its registry.
fn image(image: &str) -> &str {
    let digest = image.find("@sha").unwrap_or(image.len());
    let (name, _) = image.split_at(digest);
    let registry = name.rfind('@').map_or(0, |at| at + 1);
    image.get(registry..).unwrap_or_default()
}

/// The texts that are not empty, cleaned, sorted and without duplicates.
pub(super) fn entries<'t>(texts: impl Iterator<Item = &'t str>, length: usize) -> Vec<String> {
    let mut entries: Vec<String> = texts
        .filter_map(|text| filled(text.trim(), length))
        .take(MAX_ENTRIES)
        .collect();
    entries.sort();
    entries.dedup();
    entries
}

pub(super) fn filled(text: &str, length: usize) -> Option<String> {
    let text = clean(text, length);
    (!text.is_empty()).then_some(text)
}

/// The deployer of a Job; the most reliable signs come first.
fn deployer(job: &Job<'_>) -> Deployer {
    if job.is_made_by_cronjob() {
        return Deployer::CronJob;
    }
    let is_managed = |by: &[&str]| {
        let mut managers = job.managers();
        managers.any(|manager| by.iter().any(|name| manager.starts_with(name)))
    };
    let labels = &job.metadata.labels;
    let is_tracked = job.annotations.get(Annotation::ArgoCdTrackingId).is_some();
    if is_tracked || is_managed(&["argocd"]) {
        Deployer::ArgoCD
    } else if labels.get(FLUX_NAME).is_some()
        || is_managed(&["helm-controller", "kustomize-controller"])
    {
        Deployer::Flux
    } else if is_managed(&["helm"]) {
        Deployer::Helm
    } else if is_managed(&["kubectl"]) {
        Deployer::Kubectl
    } else {
        Deployer::Other
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::runs::testing::{seen, yaml};

    /// A Job that a user has created with Helm, and that has failed.
    const STAMPED: &str = r#"
metadata:
  labels: {helm.sh/chart: shop-1.2.3}
  annotations:
    migration-warden.io/decision: 0199a204-0000-7000-8000-000000000001
    migration-warden.io/requested-by: ci
    migration-warden.io/exceptions: old-chart,hurry
  managedFields:
  - {manager: helm, operation: Apply, fieldsV1: {"f:metadata": {"f:annotations": {"f:helm.sh/hook": {}}}}}
  - {manager: kube-controller-manager, operation: Update, subresource: status}
spec: {template: {spec: {
  initContainers: [{name: wait, image: 'busybox:1'}],
  containers: [{name: m, image: 'arigaio/atlas:1', args: [migrate, apply, -u, x]}]}}}
status:
  conditions:
  - {type: FailureTarget, status: "True", reason: X, message: x}
  - {type: Failed, status: "True", reason: BackoffLimitExceeded,
     message: Job has reached the specified backoff limit, lastTransitionTime: 2025-12-22T00:02:00Z}
"#;

    fn facts(change: &str) -> Facts {
        let mut all = yaml(STAMPED);
        crate::testing::merge(&mut all, Some(&yaml(change)));
        seen(&all.to_string()).facts
    }

    #[test]
    fn of_a_job_of_helms() {
        let text = |text: &str| Some(text.to_owned());
        let expected = Facts {
            chart: text("shop-1.2.3"),
            tool: Some("Atlas"),
            images: vec!["arigaio/atlas:1".to_owned(), "busybox:1".to_owned()],
            deployer: Deployer::Helm,
            requested_by: text("ci"),
            decision: text("0199a204-0000-7000-8000-000000000001"),
            is_adopted_late: false,
            exceptions: vec!["hurry".to_owned(), "old-chart".to_owned()],
            reason: text("BackoffLimitExceeded"),
            message: text("Job has reached the specified backoff limit"),
            secrets: Secrets::default(),
        };
        assert_eq!(facts("{}"), expected);
        let bare = seen("{spec: null, status: null}").facts;
        assert!(!bare.is_reviewed());
        assert_eq!((bare.deployer, bare.tool), (Deployer::Other, None));
        assert_eq!((bare.images, bare.reason), (Vec::new(), None));
    }

    /// Created while no webhook was running to refuse that.
    #[test]
    fn a_clients_own_stamp_is_no_decision() {
        let with = |key: &str| {
            let fields = json!({"f:metadata": {"f:annotations": {".": {}, key: {}}}});
            facts(&format!(
                "{{metadata: {{managedFields: [{{manager: helm, fieldsV1: {fields}}}]}}}}"
            ))
        };
        assert!(with("f:helm.sh/hook").is_reviewed());
        let stamps = ["decision", "requested-by", "exceptions"];
        let stamps = stamps.map(|stamp| with(&format!("f:migration-warden.io/{stamp}")));
        let wiped = facts("{metadata: {managedFields: [{}]}}");
        for forged in stamps.into_iter().chain([wiped]) {
            assert!(!forged.is_reviewed());
            assert_eq!((forged.requested_by, forged.exceptions), (None, Vec::new()));
        }
    }

    #[test]
    fn no_decision_is_due_for_a_job_that_ran_before_it_was_adopted() {
        for (label, manager, is_reviewed) in [
            ("adopted", "migration-warden-adoption", true),
            ("adopted", "helm", false),
            ("other", "migration-warden-adoption", false),
        ] {
            let seen = seen(&format!(
                "{{metadata: {{labels: {{migration-warden.io/{label}: shop}}, annotations: null, \
                 managedFields: [{{manager: {manager}}}]}}}}"
            ));
            assert_eq!(seen.facts.is_reviewed(), is_reviewed, "{label} {manager}");
        }
    }

    #[test]
    fn deployers_are_told_by_what_the_job_says() {
        let rows = "
- [Helm, {managedFields: [{manager: helm3}]}]
- [Flux, {managedFields: [{manager: helm-controller}]}]
- [Flux, {managedFields: [{manager: kustomize-controller}]}]
- [ArgoCD, {managedFields: [{manager: argocd-controller}]}]
- [Kubectl, {managedFields: [{manager: kubectl-create}]}]
- [Other, {managedFields: [{manager: terraform}]}]
- [Flux, {labels: {helm.toolkit.fluxcd.io/name: shop}}]
- [ArgoCD, {annotations: {argocd.argoproj.io/tracking-id: 'shop:x'}}]
";
        for (expected, metadata) in yaml::<Vec<(Deployer, serde_json::Value)>>(rows) {
            let found = facts(&json!({"metadata": metadata}).to_string());
            assert_eq!(found.deployer, expected, "{metadata}");
        }
    }

    /// The decision is about the CronJob, unless a person created the Job from it.
    #[test]
    fn a_cron_jobs_jobs_are_reviewed_with_it() {
        let with = |annotation: &str| {
            facts(&format!(
                "
metadata:
  ownerReferences: [{{apiVersion: batch/v1, kind: CronJob, name: c, uid: u, controller: true}}]
  annotations: {{migration-warden.io/decision: null, {annotation}: manual}}
"
            ))
        };
        let by_clock = with("x");
        assert!(by_clock.is_reviewed() && by_clock.deployer == Deployer::CronJob);
        let by_hand = with("cronjob.kubernetes.io/instantiate");
        assert!(!by_hand.is_reviewed() && by_hand.deployer == Deployer::Helm);
    }

    #[test]
    fn of_too_many_passwords_none_is_kept() {
        let of = |count: usize, length: usize| {
            let args: Vec<_> = (0..count)
                .map(|index| format!("--password={index:0>length$}x"))
                .collect();
            let container = json!({"name": "m", "image": "app:1", "args": args});
            let facts = facts(
                &json!({"spec": {"template": {"spec": {"containers": [container]}}}}).to_string(),
            );
            (format!("{:?}", facts.secrets), facts.message.unwrap())
        };
        let message = "Job has reached the specified backoff limit".to_owned();
        assert_eq!(of(64, 40), ("64 secrets".to_owned(), message));
        for (count, length) in [(65, 10), (1, 5000)] {
            assert_eq!(
                of(count, length),
                ("0 secrets".to_owned(), "***".to_owned())
            );
        }
    }

    #[test]
    fn no_credential_gets_in() {
        let secret = "hunter2hunter2";
        let url = format!("postgres://app:{secret}@db/shop");
        let found = facts(&format!(
            r#"
metadata:
  labels: {{helm.sh/chart: "{url}"}}
  annotations:
    migration-warden.io/decision: "{url}"
    migration-warden.io/requested-by: "{url}"
    migration-warden.io/exceptions: "{url}"
spec: {{template: {{spec: {{containers: [{{name: m, image: "app:{secret}@registry/shop:1"}}]}}}}}}
status:
  conditions:
  - {{type: Failed, status: "True", lastTransitionTime: 2025-12-22T00:02:00Z,
     reason: --password={secret}, message: "{url}\n--password\n{secret}"}}
"#
        ));
        assert!(!format!("{found:?}").contains(secret), "{found:?}");
        assert!(!found.is_reviewed(), "that is no decision's id");
    }

    #[test]
    fn an_image_keeps_its_digest() {
        for (written, kept) in [
            ("registry:5000/app:1", "registry:5000/app:1"),
            ("app:1@sha256:0123", "app:1@sha256:0123"),
            ("user:word@registry/app@sha256:01", "registry/app@sha256:01"),
            ("user:word@registry:5000/app", "registry:5000/app"),
        ] {
            assert_eq!(image(written), kept);
        }
    }
}
