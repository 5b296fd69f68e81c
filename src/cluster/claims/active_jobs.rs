//! Selects the active Jobs from a page of a LIST, with their keys. Pure.
//!
//! It uses the same borrowed types as a review, so that a Job has the same key in both.

use super::key::Key;
use super::protocol::{Claim, Listed};
use crate::core::job::attempts::Unfinished;
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::policy::Policy;
use crate::core::policy::adopt::Promise;

/// An active Job.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) claim: Claim,
    pub(super) job: Unfinished,
    /// The names of the Leases of its keys, which are short, whatever an annotation says.
    leases: Vec<String>,
}

impl Active {
    pub(super) fn shares(&self, keys: &[Key]) -> bool {
        keys.iter().any(|key| self.has(key))
    }

    fn has(&self, key: &Key) -> bool {
        self.leases.iter().any(|lease| lease == key.lease_name())
    }

    /// This Job for one with these keys, if they share any.
    pub(super) fn shared(&self, keys: &[Key]) -> Option<Listed> {
        let places = keys.iter().enumerate();
        let places = places.filter(|(_, key)| self.has(key));
        let keys: Vec<_> = places.map(|(place, _)| place).collect();
        (!keys.is_empty()).then(|| Listed {
            claim: self.claim.clone(),
            job: self.job,
            keys,
        })
    }
}

/// Adds those of these Jobs that are active migrations under this policy; of a LIST for one claim, only those with its
/// key.
pub(super) fn add(
    page: Vec<Object<'_>>,
    policy: &Policy,
    lease: Option<&str>,
    active: &mut Vec<Active>,
) {
    for object in page {
        let job = Job::new(&object, Kind::Job, "");
        if job.is_finished() {
            continue;
        }
        let selection = policy.select_running(&job);
        if !policy.promises(selection, Promise::Claims) {
            continue;
        }
        let claim = Claim {
            namespace: job.namespace.to_owned(),
            job: job.name.full().to_owned(),
            uid: (*object.metadata.uid).to_owned(),
            since: job.created.unwrap_or_default(),
            seen: true,
            ..Claim::default()
        };
        let database = policy.database(selection);
        let keys = Key::all_of(&job, &policy.claims, database).into_iter();
        let leases: Vec<_> = keys.map(|key| key.lease_name().to_owned()).collect();
        if lease.is_none_or(|lease| leases.iter().any(|own| own == lease)) {
            active.push(Active {
                claim,
                job: Unfinished::from(&job),
                leases,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::policy::testing::job;
    use crate::core::policy_file::validate::builtin;

    fn stored(name: &str, uid: &str, more: impl FnOnce(&mut Value)) -> Value {
        job(|job| {
            job["metadata"]["name"] = json!(name);
            job["metadata"]["uid"] = json!(uid);
            job["metadata"]["creationTimestamp"] = json!("2026-11-24T23:00:00Z");
            more(job);
        })
    }

    /// The active Jobs among these that have the key of a migration `shop-migrate`.
    fn added(items: &[Value]) -> Vec<Listed> {
        let policy = builtin();
        let mine = stored("shop-migrate-1766361600", "me", |_| {});
        let object = Object::deserialize(&mine).unwrap();
        let keys = Key::all_of(&Job::new(&object, Kind::Job, ""), &policy.claims, None);
        let page = items.iter().map(|item| Object::deserialize(item).unwrap());
        let mut active = Vec::new();
        add(page.collect(), &policy, None, &mut active);
        active.iter().filter_map(|job| job.shared(&keys)).collect()
    }

    #[test]
    fn active_jobs_of_the_key_are_found() {
        let condition = |kind: &str, status: &str| {
            let condition = json!([{"type": kind, "status": status}]);
            move |job: &mut Value| job["status"]["conditions"] = condition
        };
        let name = "shop-migrate-1766361000";
        let items = [
            stored(name, "a", |_| {}),
            stored(name, "failing", condition("FailureTarget", "True")),
            stored(name, "complete", condition("Complete", "True")),
            stored(name, "failed", condition("Failed", "True")),
            stored(name, "not-failed", condition("Failed", "False")),
            stored("shop-seed-1766361000", "other", |_| {}),
            stored(name, "opted-out", |job| {
                job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false");
            }),
        ];
        let uids: Vec<_> = added(&items).into_iter().map(|job| job.claim.uid).collect();
        assert_eq!(uids, ["a", "failing", "not-failed"]);
    }

    #[test]
    fn what_is_found_is_what_a_claim_says() {
        let item = stored("shop-migrate-1766361000", "a", |job| {
            job["spec"]["suspend"] = json!(true);
        });
        let claim = Claim {
            namespace: "shop".to_owned(),
            job: "shop-migrate-1766361000".to_owned(),
            uid: "a".to_owned(),
            since: "2026-11-24T23:00:00Z".parse().unwrap(),
            seen: true,
            ..Claim::default()
        };
        let plain = added(&[stored("shop-migrate-1766361000", "a", |_| {})]);
        let job = Unfinished {
            is_suspended: true,
            ..plain[0].job
        };
        let keys = vec![0];
        assert_eq!(added(&[item]), [Listed { claim, job, keys }]);
    }
}
