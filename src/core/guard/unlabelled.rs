//! Guards against updates after which a migration Job is no longer one. Pure.
//!
//! A Job without the label is neither guarded nor recorded, so removing the label is guarded like a deletion.

use super::{ask, found};
use crate::core::job::{Job, stamp};
use crate::core::policy::finding::Finding;
use crate::core::policy::rules::deleted_while_running::{self, DELETED_WHILE_RUNNING};
use crate::core::policy::rules::forged_stamp::{self, FORGED_STAMP};
use crate::core::policy::select::Selection;
use crate::core::policy::{Action, Policy};

/// The findings about an update of the migration Job `old` to `new`, if `new` lost the label or opts out. The flag says
/// that only the pods of `old` show whether it is running; if it is, [`unlabelled_while_running`] has the findings.
#[must_use]
pub fn unlabelled(
    old: &Job<'_>,
    new: &Job<'_>,
    terminating: bool,
    policy: &Policy,
    cap: Action,
) -> (Vec<Finding>, bool) {
    if policy.selectors.select(new, Action::Off) == Selection::Labelled {
        return (Vec::new(), false);
    }
    let (namespace, name) = (old.namespace, old.name.shown());
    let (mut findings, is_unclear) = ask(old, terminating, policy, cap, unlabelled_while_running);
    if stamp::is_stamped(old) {
        let unlabelled = forged_stamp::unlabelled(namespace, name);
        findings.extend(found(&FORGED_STAMP, old, policy, cap, unlabelled));
    }
    (findings, is_unclear)
}

/// The finding that `old` loses its label while it is running.
#[must_use]
pub fn unlabelled_while_running(old: &Job<'_>, policy: &Policy, cap: Action) -> Vec<Finding> {
    let (namespace, name) = (old.namespace, old.name.shown());
    let unlabelled = deleted_while_running::unlabelled(namespace, name);
    found(&DELETED_WHILE_RUNNING, old, policy, cap, unlabelled)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::Kind;
    use crate::core::job::object::Object;
    use crate::core::policy_file::validate;

    fn stored(tweak: impl FnOnce(&mut Value)) -> Value {
        let mut job = json!({
            "metadata": {
                "name": "web-migrate",
                "labels": {"app.kubernetes.io/component": "migration"},
                "annotations": {"migration-warden.io/decision": "019b435b-2388-7000-8000-000000000007"},
            },
            "status": {"ready": 1, "active": 1},
        });
        tweak(&mut job);
        job
    }

    fn without_label(job: &mut Value) {
        job["metadata"]["labels"] = json!({"app": "web"});
    }

    fn opted_out(job: &mut Value) {
        job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
    }

    fn ended(job: &mut Value) {
        job["status"] = json!({"ready": 0, "conditions": [{"type": "Failed", "status": "True"}]});
    }

    fn told(old: &Value, tweak: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut new = old.clone();
        tweak(&mut new);
        let texts = [old, &new].map(Value::to_string);
        let [old, new] = texts
            .each_ref()
            .map(|text| serde_json::from_str::<Object<'_>>(text).unwrap());
        let [old, new] = [&old, &new].map(|object| Job::new(object, Kind::Job, "shop"));
        let policy = validate::builtin();
        let (mut findings, is_unclear) = unlabelled(&old, &new, false, &policy, Action::Deny);
        if is_unclear {
            findings.extend(unlabelled_while_running(&old, &policy, Action::Deny));
        }
        assert!(findings.iter().all(|found| found.action == Action::Deny));
        findings.iter().map(Finding::message).collect()
    }

    #[test]
    fn a_stamped_job_keeps_its_label() {
        let job = stored(ended);
        for tweak in [without_label, opted_out] {
            assert_eq!(
                told(&job, tweak),
                [
                    "MW104 forged-stamp: metadata.labels: shop/web-migrate was admitted as a migration Job, and \
                     is not one after this update; leave stamps out of charts and manifests, and keep the label of \
                     a stamped Job\nTo remove the Job:\n  kubectl delete job web-migrate -n shop"
                ]
            );
        }
    }

    #[test]
    fn one_that_runs_is_guarded_like_its_deletion() {
        for tweak in [without_label, opted_out] {
            let told = told(&stored(|_| {}), tweak);
            let ids: Vec<_> = told.iter().map(|told| &told[..5]).collect();
            assert_eq!(ids, ["MW102", "MW104"]);
            assert_eq!(
                told[0],
                "MW102 deleted-while-running: metadata.labels: shop/web-migrate is running, and without its label \
                 nothing protects it from being deleted halfway; wait for its end, or allow the deletion with an \
                 annotation"
            );
        }
        // It runs in an init container, which only its pods show.
        let init = stored(|job| job["status"] = json!({"ready": 0, "active": 1}));
        let ids: Vec<_> = told(&init, without_label)
            .into_iter()
            .map(|told| told[..5].to_owned())
            .collect();
        assert_eq!(ids, ["MW104", "MW102"]);
        // Created while the webhook was down.
        let unstamped = stored(|job| job["metadata"]["annotations"] = Value::Null);
        let told = told(&unstamped, without_label);
        assert!(told.len() == 1 && told[0].starts_with("MW102 "), "{told:?}");
    }

    #[test]
    fn every_other_change_of_labels_passes() {
        let job = stored(|_| {});
        let other = |job: &mut Value| {
            job["metadata"]["labels"] = json!({"migration-warden.io/migration": "true", "a": "b"});
        };
        assert!(told(&job, other).is_empty());
        let unstamped = stored(|job| {
            job["metadata"]["annotations"] = Value::Null;
            ended(job);
        });
        for tweak in [without_label, opted_out] {
            assert!(told(&unstamped, tweak).is_empty());
        }
    }
}
