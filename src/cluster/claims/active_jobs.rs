//! Selects the active Jobs that share a key from a page of a LIST. Pure.
//!
//! It uses the same borrowed types as a review, so that a Job has the same key in both.

use super::key::Key;
use super::protocol::{Claim, Listed};
use super::store::Wanted;
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::policy::Action;
use crate::core::policy::select::Selection;

/// Adds those of these Jobs that are active and have one of the wanted keys, each once.
pub(super) fn add(page: Vec<Object<'_>>, wanted: &Wanted<'_>, listed: &mut Vec<Listed>) {
    for object in page {
        let job = Job::new(&object, Kind::Job, "");
        if job.is_finished() {
            continue;
        }
        let suspended = object.spec.suspend == Some(true);
        let migrates = wanted.selectors.select(&job, Action::Off) == Selection::Labelled;
        let uid = &*object.metadata.uid;
        let known = listed.iter().any(|other| other.claim.uid == uid);
        if !migrates || known {
            continue;
        }
        let keys = Key::all_of(&job, wanted.policy);
        let shared = |wanted: &Key| keys.contains(wanted);
        let places = wanted.keys.iter().enumerate();
        let places = places.filter(|(_, wanted)| shared(wanted));
        let keys: Vec<_> = places.map(|(place, _)| place).collect();
        if keys.is_empty() {
            continue;
        }
        let claim = Claim {
            namespace: job.namespace.to_owned(),
            job: job.name.full().to_owned(),
            uid: uid.to_owned(),
            since: job.created.unwrap_or_default(),
            seen: true,
            ..Claim::default()
        };
        listed.push(Listed {
            claim,
            suspended,
            keys,
        });
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::claims::store::Claimant;
    use crate::core::policy::claims::Claims;
    use crate::core::policy::select::Selectors;
    use crate::core::policy::testing::job;

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
        let policy = Claims::default();
        let selectors = Selectors::new(crate::core::policy_file::default_selectors()).unwrap();
        let mine = stored("shop-migrate-1766361600", "me", |_| {});
        let object = Object::deserialize(&mine).unwrap();
        let wanted = Wanted {
            keys: &Key::all_of(&Job::new(&object, Kind::Job, ""), &policy),
            policy: &policy,
            selectors: &selectors,
            claimant: Claimant {
                namespace: "shop",
                job: "shop-migrate-1766361600",
                generate_name: None,
                uid: "me",
                created: Timestamp::UNIX_EPOCH,
                user: "ci",
            },
            dry_run: false,
        };
        let page = items.iter().map(|item| Object::deserialize(item).unwrap());
        let mut listed = Vec::new();
        add(page.collect(), &wanted, &mut listed);
        listed
    }

    #[test]
    fn active_jobs_of_the_key_are_found_once() {
        let condition = |kind: &str, status: &str| {
            let condition = json!([{"type": kind, "status": status}]);
            move |job: &mut Value| job["status"]["conditions"] = condition
        };
        let name = "shop-migrate-1766361000";
        let items = [
            stored(name, "a", |_| {}),
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
        let suspended = true;
        let keys = vec![0];
        assert_eq!(
            added(&[item]),
            [Listed {
                claim,
                suspended,
                keys
            }]
        );
    }
}
