//! The concurrency key: two migrations with the same key must not run at the same time.
//!
//! Pure. By default it is the namespace and the base name, so that different migrations of one release may run at the
//! same time, as with subcharts and Argo CD.

use std::fmt;

use crate::core::job::annotation::Annotation;
use crate::core::job::{Job, credentials, release};
use crate::core::policy::claims::{Claims, Scope};
use crate::core::text;

/// Most bytes of a key that are shown: enough for any namespace and name. An annotation may be longer.
const SHOWN: usize = 320;

/// A concurrency key, which at most one active migration Job may have.
///
/// Displayed, it is one of `NAMESPACE/BASE-NAME`, `NAMESPACE/release/RELEASE`, `NAMESPACE/database/DATABASE` and
/// `*/database/DATABASE`. No two keys look alike, because names of namespaces and Jobs contain neither a slash nor a
/// star.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    text: String,
    namespaces: Vec<String>,
}

impl Key {
    /// The key of a Job.
    #[must_use]
    pub fn of(job: &Job<'_>, claims: &Claims) -> Self {
        let namespace = job.namespace;
        let own = |rest: String| Self {
            text: format!("{namespace}/{rest}"),
            namespaces: vec![namespace.to_owned()],
        };
        let annotation = job.annotations.get(Annotation::Database);
        if let Some(written) = annotation.filter(|name| !name.is_empty()) {
            // The annotation may hold a URL with a password.
            let database = credentials::mask(written);
            return match claims.shared_with(written, namespace) {
                Some(namespaces) => Self {
                    text: format!("*/database/{database}"),
                    namespaces: namespaces.to_vec(),
                },
                None => own(format!("database/{database}")),
            };
        }
        match claims.key {
            Scope::Name => own(job.name.base().to_owned()),
            Scope::Release => own(format!(
                "release/{}",
                credentials::mask(release::find(job).0)
            )),
        }
    }

    /// The namespaces in which Jobs may have this key.
    #[must_use]
    pub fn namespaces(&self) -> &[String] {
        &self.namespaces
    }

    /// The name of the Lease that is the claim.
    #[must_use]
    pub fn lease_name(&self) -> String {
        format!("claim-{}", text::sha256(&self.text))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::bounded(&self.text, SHOWN))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::Kind;
    use crate::core::job::object::Object;
    use crate::core::policy::claims::Database;
    use crate::core::policy::testing::job;

    fn key_in(namespace: &str, claims: &Claims, job: &Value) -> Key {
        let object = Object::deserialize(job).unwrap();
        Key::of(&Job::new(&object, Kind::Job, namespace), claims)
    }

    fn key(claims: &Claims, job: &Value) -> String {
        key_in("shop", claims, job).to_string()
    }

    fn by_release() -> Claims {
        Claims {
            key: Scope::Release,
            ..Claims::default()
        }
    }

    fn orders() -> Claims {
        Claims {
            databases: vec![Database {
                name: "orders".to_owned(),
                namespaces: vec!["shop".to_owned(), "billing".to_owned()],
            }],
            ..Claims::default()
        }
    }

    fn with_database(name: &str) -> Value {
        job(|job| job["metadata"]["annotations"]["migration-warden.io/database"] = json!(name))
    }

    #[test]
    fn attempts_of_one_migration_share_a_key() {
        let names = Claims::default();
        assert_eq!(key(&names, &job(|_| {})), "shop/shop-migrate");
        let later = job(|job| job["metadata"]["name"] = json!("shop-migrate-1766361777"));
        assert_eq!(key(&names, &later), "shop/shop-migrate");
        let generated = job(|job| {
            job["metadata"]["name"] = json!("shop-migrate-x7k2p");
            job["metadata"]["generateName"] = json!("shop-migrate-");
        });
        assert_eq!(key(&names, &generated), "shop/shop-migrate");
        // Two commits of one hook of Argo CD.
        for commit in ["abcdef0", "0123456"] {
            let hook = job(|job| {
                job["metadata"]["name"] = json!(format!("db-apply-{commit}-presync-1766361600"));
                job["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "PreSync"});
            });
            assert_eq!(key(&names, &hook), "shop/db-apply");
            // Argo CD runs a Helm hook as its own.
            let tracked =
                json!({"argocd.argoproj.io/tracking-id": "shop:x", "helm.sh/hook": "pre-upgrade"});
            let helms = job(|job| {
                job["metadata"] = hook["metadata"].clone();
                job["metadata"]["annotations"] = tracked;
            });
            assert_eq!(key(&names, &helms), "shop/db-apply");
            let sent = job(|job| {
                job["metadata"] = hook["metadata"].clone();
                job["metadata"]["annotations"] = json!({"helm.sh/hook": "pre-upgrade"});
                job["metadata"]["managedFields"] = json!([{"manager": "argocd-controller"}]);
            });
            assert_eq!(key(&names, &sent), "shop/db-apply");
        }
        let other = job(|job| job["metadata"]["name"] = json!("shop-seed-1766361777"));
        assert_eq!(key(&names, &other), "shop/shop-seed");
        assert_eq!(
            key_in("test", &names, &later).to_string(),
            "test/shop-migrate"
        );
    }

    #[test]
    fn the_jobs_of_a_cron_job_share_a_key() {
        let of_cron_job = |name: &str| {
            job(|job| {
                job["metadata"]["name"] = json!(name);
                job["metadata"]["ownerReferences"] = json!([
                    {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "c", "controller": true},
                ]);
            })
        };
        for name in ["nightly-29384756", "nightly-29386196", "by-hand"] {
            assert_eq!(key(&Claims::default(), &of_cron_job(name)), "shop/nightly");
        }
    }

    #[test]
    fn a_release_has_one_key_where_the_policy_says_so() {
        let other = job(|job| job["metadata"]["name"] = json!("shop-seed-1766361777"));
        assert_eq!(key(&by_release(), &other), "shop/release/shop");
        assert_eq!(key(&by_release(), &job(|_| {})), "shop/release/shop");
    }

    #[test]
    fn a_database_counts_within_its_namespace() {
        for claims in [Claims::default(), by_release()] {
            assert_eq!(
                key(&claims, &with_database("orders")),
                "shop/database/orders"
            );
            assert_eq!(key(&claims, &with_database("")), key(&claims, &job(|_| {})));
        }
    }

    #[test]
    fn a_listed_database_counts_across_its_namespaces_and_no_other() {
        let claims = orders();
        let in_shop = key_in("shop", &claims, &with_database("orders"));
        assert_eq!(in_shop.to_string(), "*/database/orders");
        assert_eq!(in_shop.namespaces(), ["shop", "billing"]);
        assert_eq!(
            key_in("billing", &claims, &with_database("orders")),
            in_shop
        );
        let stranger = key_in("evil", &claims, &with_database("orders"));
        assert_eq!(stranger.to_string(), "evil/database/orders");
        assert_eq!(stranger.namespaces(), ["evil"]);
        let unlisted = key_in("shop", &claims, &with_database("stock"));
        assert_eq!(unlisted.to_string(), "shop/database/stock");
    }

    #[test]
    fn a_job_from_a_list_has_the_key_of_its_review() {
        // As the API server stores it, read back through the types of k8s-openapi.
        let stored: k8s_openapi::api::batch::v1::Job = serde_json::from_value(job(|job| {
            job["metadata"]["name"] = json!("shop-migrate-x7k2p");
            job["metadata"]["generateName"] = json!("shop-migrate-");
            job["metadata"]["uid"] = json!("u1");
            job["status"] = json!({"active": 1});
        }))
        .unwrap();
        let listed = serde_json::to_value(&stored).unwrap();
        assert_eq!(key(&Claims::default(), &listed), "shop/shop-migrate");
        assert_eq!(key(&by_release(), &listed), "shop/release/shop");
    }

    #[test]
    fn a_lease_name_is_a_hash_of_the_whole_key() {
        let name = key_in("shop", &Claims::default(), &job(|_| {})).lease_name();
        assert_eq!(
            name,
            "claim-e929aa476b11a1c5eaf8e8cfc766b5ef3319f2fb68f9a1f765a63ee33430cb71"
        );
        let long = |end: &str| with_database(&format!("{}{end}", "d".repeat(400)));
        let [one, two] = ["1", "2"].map(|end| key_in("shop", &Claims::default(), &long(end)));
        assert_eq!(one.to_string(), two.to_string());
        assert_ne!(one.lease_name(), two.lease_name());
    }

    #[test]
    fn a_password_in_the_annotation_is_not_shown() {
        let key = key(
            &Claims::default(),
            &with_database("mysql://root:s3cret@db/orders"),
        );
        assert_eq!(key, "shop/database/mysql://root:***@db/orders");
    }
}
