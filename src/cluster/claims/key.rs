//! The concurrency keys of a Job: two migrations that share a key must not run at the same time.
//!
//! Pure. Every Job has the key of its namespace and base name, so that different migrations of one release may run at
//! the same time, as with subcharts and Argo CD. A Job that names its database has the key of that database, too.

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
    lease_name: String,
}

impl Key {
    fn new(text: String, namespaces: Vec<String>) -> Self {
        let lease_name = format!("claim-{}", text::sha256(&text));
        Self {
            text,
            namespaces,
            lease_name,
        }
    }

    /// The keys of a Job, for which the policy names this database, in the order of the names of their Leases: every replica writes them in this order.
    #[must_use]
    pub fn all_of(job: &Job<'_>, claims: &Claims, database: Option<&str>) -> Vec<Self> {
        let namespace = job.namespace;
        let own =
            |rest: String| Self::new(format!("{namespace}/{rest}"), vec![namespace.to_owned()]);
        let mut keys = vec![match claims.key {
            Scope::Name => own(job.name.base().to_owned()),
            Scope::Release => own(format!(
                "release/{}",
                credentials::mask(release::find(job).0)
            )),
        }];
        let annotation = job.annotations.get(Annotation::Database);
        if let Some(written) = annotation.filter(|name| !name.is_empty()).or(database) {
            // The annotation may hold a URL with a password.
            let database = credentials::mask(written);
            keys.push(match claims.shared_with(written, namespace) {
                Some(namespaces) => {
                    Self::new(format!("*/database/{database}"), namespaces.to_vec())
                }
                None => own(format!("database/{database}")),
            });
        }
        keys.sort_by(|a, b| a.lease_name.cmp(&b.lease_name));
        keys
    }

    /// The namespaces in which Jobs may have this key.
    #[must_use]
    pub(crate) fn namespaces(&self) -> &[String] {
        &self.namespaces
    }

    /// The name of the Lease that is the claim.
    #[must_use]
    pub(crate) fn lease_name(&self) -> &str {
        &self.lease_name
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
    use crate::testing::{job, merge, table};

    /// A policy whose claims are by `name`, by `release`, or by name with a database that namespaces share.
    fn policy(by: &str) -> Claims {
        let orders = Database {
            name: "orders".to_owned(),
            namespaces: vec!["shop".to_owned(), "billing".to_owned()],
        };
        match by {
            "release" => Claims {
                key: Scope::Release,
                ..Claims::default()
            },
            "orders" => Claims {
                databases: vec![orders],
                ..Claims::default()
            },
            _ => Claims::default(),
        }
    }

    /// The keys of a Job, as they are shown, with their namespaces.
    fn keys(namespace: &str, claims: &Claims, job: &Value) -> Vec<Key> {
        let object = Object::deserialize(job).unwrap();
        Key::all_of(&Job::new(&object, Kind::Job, namespace), claims, None)
    }

    /// The key of the database, if there is one, and the other.
    fn database(keys: &[Key]) -> (Option<&Key>, &Key) {
        let of_database = |key: &&Key| key.text.contains("/database/");
        let other = keys.iter().find(|key| !of_database(key)).unwrap();
        (keys.iter().find(of_database), other)
    }

    #[test]
    fn every_job_has_the_key_of_its_migration() {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Row {
            #[serde(default)]
            by: String,
            #[serde(default)]
            namespace: Option<String>,
            metadata: Option<Value>,
            annotations: Option<Value>,
            key: String,
            database: Option<String>,
        }
        for row in table::<Vec<Row>>("claim_keys") {
            let job = job(|job| {
                merge(&mut job["metadata"], row.metadata.as_ref());
                if let Some(annotations) = &row.annotations {
                    job["metadata"]["annotations"] = annotations.clone();
                }
            });
            let namespace = row.namespace.as_deref().unwrap_or("shop");
            let found = keys(namespace, &policy(&row.by), &job);
            assert_eq!(found.len(), 1 + usize::from(row.database.is_some()));
            assert!(found.is_sorted_by_key(Key::lease_name));
            let (database, other) = database(&found);
            assert_eq!(other.to_string(), row.key);
            assert_eq!(other.namespaces(), [namespace]);
            assert_eq!(database.map(ToString::to_string), row.database);
            if let Some(database) = database {
                let shared = database.text.starts_with('*');
                let namespaces = if shared {
                    vec!["shop", "billing"]
                } else {
                    vec![namespace]
                };
                assert_eq!(database.namespaces(), namespaces, "{database}");
            }
        }
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
        let found = |by| keys("shop", &policy(by), &listed)[0].to_string();
        assert_eq!(
            (&*found("name"), &*found("release")),
            ("shop/shop-migrate", "shop/release/shop")
        );
    }

    #[test]
    fn a_lease_name_is_a_hash_of_the_whole_key() {
        let of_name = keys("shop", &Claims::default(), &job(|_| {}));
        assert_eq!(
            of_name[0].lease_name(),
            "claim-e929aa476b11a1c5eaf8e8cfc766b5ef3319f2fb68f9a1f765a63ee33430cb71"
        );
        let long = |end: &str| {
            let database = format!("{}{end}", "d".repeat(400));
            job(|job| {
                job["metadata"]["annotations"]["migration-warden.io/database"] = json!(database);
            })
        };
        let [one, two] = ["1", "2"].map(|end| keys("shop", &Claims::default(), &long(end)));
        let (one, two) = (database(&one).0.unwrap(), database(&two).0.unwrap());
        assert_eq!(one.to_string(), two.to_string());
        assert_ne!(one.lease_name(), two.lease_name());
    }
}
