//! Builds the Kubernetes Event for a case.

use std::fmt::Write;

use super::judge::Judged;
use crate::core::job::annotation::Annotation;
use crate::core::job::{Kind, dns};
use crate::core::notice::{self, Happening};
use crate::core::policy::Action;
use crate::core::policy::rules;
use crate::core::policy::verdict::{self, Outcome};
use crate::core::review::{Operation, Phase};
use crate::core::text;

impl Judged<'_> {
    /// The Event, if the request is not a dry run and is denied, asked to wait or corrected. Both phases report
    /// refusals; the last one reports corrections, because it knows the final Job.
    pub(super) fn happening(&self, outcome: Outcome) -> Option<Happening> {
        let (name, namespace) = (self.name(), self.migration.job.namespace);
        // The namespace becomes part of the request's path.
        if self.request.dry_run || !dns::is_label(namespace) {
            return None;
        }
        let shown = |name| text::bounded(name, text::NAME);
        let refused = |action| verdict::message(&self.findings, action);
        let (is_warning, reason, action, note) = match outcome {
            Outcome::Denied => {
                let verb = self.operation.as_str();
                let note = format!("{verb} of {}: {}", shown(name), refused(Action::Deny));
                (true, "MigrationDenied", "Deny", note)
            }
            Outcome::Waiting if !self.is_told => {
                let note = format!("{}: {}", shown(name), refused(Action::Wait));
                (false, "MigrationWaiting", "Wait", note)
            }
            Outcome::Waiting => return None,
            Outcome::Patched | Outcome::Warned | Outcome::Allowed => {
                let ids = self.patched()?;
                let note = format!("corrected {ids} in the Job; correct the chart too");
                (false, "MigrationPatched", "Patch", note)
            }
        };
        let job = notice::job(namespace, name, &self.migration.job.metadata.uid);
        let exists = outcome < Outcome::Waiting || self.operation != Operation::Create;
        let (regarding, related) = if exists && self.migration.job.kind == Kind::Job {
            (job, None)
        } else {
            // All attempts of one migration share one Event. Without a uid, the Job is one that does not exist.
            let mut attempts = notice::job(namespace, self.migration.job.name.base(), "");
            if self.migration.job.kind == Kind::CronJob {
                attempts.kind = Some("CronJob".to_owned());
            }
            (notice::namespace(namespace), Some(attempts))
        };
        let happening = Happening {
            regarding,
            related,
            is_warning,
            reason,
            action,
            note: String::new(),
        };
        Some(happening.noted(&note))
    }

    /// The ids of the rules whose findings were patched in the Job that is admitted now.
    fn patched(&self) -> Option<String> {
        let last = self.review.phase == Phase::Validate && self.operation == Operation::Create;
        let ids = self.migration.job.annotations.get(Annotation::Patched)?;
        let mut ours = String::new();
        for id in ids.split(',').filter_map(rules::find).map(|rule| rule.id) {
            let separator = if ours.is_empty() { "" } else { ", " };
            let _ = write!(ours, "{separator}{id}");
        }
        (last && !ours.is_empty()).then_some(ours)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::core::admit::{self, Circumstances};
    use crate::core::namespace::NamespaceView;
    use crate::core::policy::testing;

    /// The Event for the creation of a valid Job, changed by `tweak`, in the last phase.
    fn told(tweak: impl FnOnce(&mut Value)) -> Option<Happening> {
        let mut review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u",
                "kind": {"group": "batch", "version": "v1", "kind": "Job"},
                "resource": {"group": "batch", "version": "v1", "resource": "jobs"},
                "namespace": "shop",
                "operation": "CREATE",
                "userInfo": {"username": "ci"},
                "object": testing::job(|job| job["metadata"]["uid"] = json!("1f3a")),
                "dryRun": false,
            },
        });
        tweak(&mut review["request"]);
        let body = serde_json::to_vec(&review).unwrap();
        let policy = crate::core::policy_file::validate::builtin();
        let circumstances = Circumstances {
            now: Timestamp::UNIX_EPOCH,
            id: Uuid::nil(),
            replica: "replica",
        };
        let review = admit::parse(Phase::Validate, &body).unwrap();
        let case = review.select(&policy).expect("a migration");
        let judged = case.judge(&circumstances, NamespaceView::default());
        let answer = judged.finish().unwrap();
        answer.happening.map(|happening| *happening)
    }

    fn restarting(request: &mut Value) {
        request["object"]["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    }

    #[test]
    fn nothing_is_told_of_a_job_that_gets_in() {
        assert_eq!(told(|_| {}), None);
    }

    #[test]
    fn a_denial_is_told_of_the_namespace() {
        let happening = told(restarting).unwrap();
        assert_eq!(happening.regarding, notice::namespace("shop"));
        assert_eq!(
            happening.related,
            Some(notice::job("shop", "shop-migrate", ""))
        );
        assert_eq!(
            (happening.reason, happening.is_warning),
            ("MigrationDenied", true)
        );
        let start = "CREATE of shop-migrate-1766361600: MW004 restarting-pod: ";
        assert!(happening.note.starts_with(start), "{}", happening.note);
    }

    #[test]
    fn nothing_is_told_of_what_was_only_tried() {
        let tried = told(|request| {
            restarting(request);
            request["dryRun"] = json!(true);
        });
        assert_eq!(tried, None);
    }

    #[test]
    fn a_correction_is_told_of_the_job() {
        let corrected = told(|request| {
            let annotations = &mut request["object"]["metadata"]["annotations"];
            annotations["migration-warden.io/requested-by"] = json!("ci");
            annotations["migration-warden.io/patched"] = json!("MW003,x,MW004");
        });
        let happening = corrected.unwrap();
        let job = notice::job("shop", "shop-migrate-1766361600", "1f3a");
        assert_eq!((happening.regarding, happening.related), (job, None));
        let note = "corrected MW003, MW004 in the Job; correct the chart too";
        assert_eq!(
            (happening.reason, &*happening.note),
            ("MigrationPatched", note)
        );
        assert!(!happening.is_warning);
    }
}
