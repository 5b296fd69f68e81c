//! The last status of a Job, which a review of its deletion shows.

use super::Review;
use crate::core::job::{Job, Kind};
use crate::core::policy::Policy;
use crate::core::policy::runs::RunMode;
use crate::core::policy::select::Selection;
use crate::core::review::request::Parsed;
use crate::core::review::{Operation, Phase};

impl Review<'_> {
    /// The uid of the migration Job that is to be deleted, if it has ended and runs are recorded. The outcome is
    /// recorded even if the deletion is denied.
    #[must_use]
    pub fn shows_an_end(&self, policy: &Policy) -> Option<&str> {
        let Parsed::Judged(request) = &self.parsed else {
            return None;
        };
        let (Operation::Delete, Phase::Validate, Some(Kind::Job), true, Some(object)) = (
            Operation::from(&*request.operation),
            self.phase,
            Kind::parse(&request.kind.kind),
            request.sub_resource.is_empty(),
            &request.old_object,
        ) else {
            return None;
        };
        let job = Job::new(object, Kind::Job, &request.namespace);
        let is_recorded = policy.runs.mode == RunMode::On
            && policy.selectors.select(&job, policy.detection) == Selection::Labelled;
        (job.is_finished() && is_recorded).then_some(&object.metadata.uid)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::core::admit;
    use crate::core::policy::runs::RunMode;
    use crate::core::policy_file::validate;
    use crate::core::review::Phase;

    fn review() -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "r1", "operation": "DELETE", "namespace": "team",
                "kind": {"group": "batch", "version": "v1", "kind": "Job"},
                "resource": {"group": "batch", "version": "v1", "resource": "jobs"},
                "userInfo": {"username": "ci"},
                "oldObject": {
                    "metadata": {"name": "x", "uid": "u1", "labels": {"app.kubernetes.io/component": "migration"}},
                    "status": {"conditions": [{"type": "Complete", "status": "True"}]},
                },
            },
        })
    }

    fn shows(phase: Phase, change: impl FnOnce(&mut Value)) -> bool {
        let mut review = review();
        change(&mut review["request"]);
        let body = review.to_string();
        let read = admit::read(phase, body.as_bytes()).unwrap();
        let shown = read.shows_an_end(&validate::builtin());
        assert!(shown.is_none_or(|uid| uid == "u1"));
        let mut off = validate::builtin();
        off.runs.mode = RunMode::Off;
        assert_eq!(read.shows_an_end(&off), None);
        shown.is_some()
    }

    #[test]
    fn only_a_migration_that_has_ended_and_goes() {
        assert!(shows(Phase::Validate, |_| {}));
        assert!(shows(Phase::Validate, |r| r["dryRun"] = json!(true)));
        assert!(!shows(Phase::Mutate, |_| {}));
        assert!(!shows(Phase::Validate, |r| r["operation"] = json!("UPDATE")));
        assert!(!shows(Phase::Validate, |r| r["subResource"] = json!("status")));
        assert!(!shows(Phase::Validate, |r| r["oldObject"]["status"] = json!({})));
        assert!(!shows(Phase::Validate, |r| {
            r["oldObject"]["metadata"]["labels"] = json!({});
        }));
        assert!(!shows(Phase::Validate, |r| r["oldObject"] = Value::Null));
    }
}
