//! Reads the active Jobs of a key from the text of a LIST. Pure.
//!
//! It uses the same borrowed types as a review, so that a Job has the same key in both.

use super::key::Key;
use super::protocol::{Claim, Listed};
use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::json::Page;
use crate::core::policy::Action;
use crate::core::policy::claims::Claims;
use crate::core::policy::select::{Selection, Selectors};

/// Adds the active Jobs of `key` on this page, each once, and returns the token of the next page.
pub(super) fn read(
    page: &str,
    key: &Key,
    claims: &Claims,
    selectors: &Selectors,
    listed: &mut Vec<Listed>,
) -> Result<Option<String>, serde_json::Error> {
    let page: Page<'_, Object<'_>> = serde_json::from_str(page)?;
    let next = page.next();
    for object in page.items {
        let job = Job::new(&object, Kind::Job, "");
        if job.is_finished() {
            continue;
        }
        let suspended = object.spec.suspend == Some(true);
        let migrates = selectors.select(&job, Action::Off) == Selection::Labelled;
        let uid = &*object.metadata.uid;
        let known = listed.iter().any(|other| other.claim.uid == uid);
        if !migrates || known || Key::of(&job, claims) != *key {
            continue;
        }
        let claim = Claim {
            namespace: job.namespace.to_owned(),
            job: job.name.full().to_owned(),
            uid: uid.to_owned(),
            since: job.created.unwrap_or_default(),
            user: String::new(),
            seen: true,
            transitions: 0,
        };
        listed.push(Listed { claim, suspended });
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::policy::testing::job;

    fn stored(name: &str, uid: &str, more: impl FnOnce(&mut Value)) -> Value {
        job(|job| {
            job["metadata"]["name"] = json!(name);
            job["metadata"]["uid"] = json!(uid);
            job["metadata"]["creationTimestamp"] = json!("2026-11-24T23:00:00Z");
            more(job);
        })
    }

    fn uids(items: &[Value]) -> Vec<String> {
        let claims = Claims::default();
        let selectors = Selectors::new(crate::core::policy_file::default_selectors()).unwrap();
        let mine = stored("shop-migrate-1766361600", "me", |_| {});
        let object = Object::deserialize(&mine).unwrap();
        let key = Key::of(&Job::new(&object, Kind::Job, ""), &claims);
        let page = json!({"metadata": {"continue": "more"}, "items": items}).to_string();
        let mut listed = Vec::new();
        let next = read(&page, &key, &claims, &selectors, &mut listed).unwrap();
        assert_eq!(next.as_deref(), Some("more"));
        listed.into_iter().map(|job| job.claim.uid).collect()
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
        assert_eq!(uids(&items), ["a", "failing", "not-failed"]);
    }

    #[test]
    fn what_is_found_is_what_a_claim_says() {
        let claims = Claims::default();
        let selectors = Selectors::new(crate::core::policy_file::default_selectors()).unwrap();
        let item = stored("shop-migrate-1766361000", "a", |job| {
            job["spec"]["suspend"] = json!(true);
        });
        let object = Object::deserialize(&item).unwrap();
        let key = Key::of(&Job::new(&object, Kind::Job, ""), &claims);
        let page = json!({"metadata": {}, "items": [item]}).to_string();
        let mut listed = Vec::new();
        assert_eq!(
            read(&page, &key, &claims, &selectors, &mut listed).unwrap(),
            None
        );
        let claim = Claim {
            namespace: "shop".to_owned(),
            job: "shop-migrate-1766361000".to_owned(),
            uid: "a".to_owned(),
            since: "2026-11-24T23:00:00Z".parse().unwrap(),
            user: String::new(),
            seen: true,
            transitions: 0,
        };
        let suspended = true;
        assert_eq!(listed, [Listed { claim, suspended }]);
    }
}
