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
    pub(crate) fn lease_name(&self) -> String {
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

    fn key(namespace: &str, claims: &Claims, job: &Value) -> Key {
        let object = Object::deserialize(job).unwrap();
        Key::of(&Job::new(&object, Kind::Job, namespace), claims)
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
        }
        for row in table::<Vec<Row>>("claim_keys") {
            let job = job(|job| {
                merge(&mut job["metadata"], row.metadata.as_ref());
                if let Some(annotations) = &row.annotations {
                    job["metadata"]["annotations"] = annotations.clone();
                }
            });
            let namespace = row.namespace.as_deref().unwrap_or("shop");
            let found = key(namespace, &policy(&row.by), &job);
            assert_eq!(found.to_string(), row.key);
            let shared = row.key.starts_with('*');
            let namespaces = if shared {
                vec!["shop", "billing"]
            } else {
                vec![namespace]
            };
            assert_eq!(found.namespaces(), namespaces, "{}", row.key);
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
        let found = |by| key("shop", &policy(by), &listed).to_string();
        assert_eq!(
            (&*found("name"), &*found("release")),
            ("shop/shop-migrate", "shop/release/shop")
        );
    }

    #[test]
    fn a_lease_name_is_a_hash_of_the_whole_key() {
        let name = key("shop", &Claims::default(), &job(|_| {})).lease_name();
        assert_eq!(
            name,
            "claim-e929aa476b11a1c5eaf8e8cfc766b5ef3319f2fb68f9a1f765a63ee33430cb71"
        );
        let long = |end: &str| {
            let database = format!("{}{end}", "d".repeat(400));
            job(|job| {
                job["metadata"]["annotations"]["migration-warden.io/database"] = json!(database);
            })
        };
        let [one, two] = ["1", "2"].map(|end| key("shop", &Claims::default(), &long(end)));
        assert_eq!(one.to_string(), two.to_string());
        assert_ne!(one.lease_name(), two.lease_name());
    }
}
