//! A Job as kube's client reads it from the API server. Not for what its facts mean: the core reads them.

use std::borrow::Cow;

use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};

use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::json;

/// A Job that the API server sends. Only these facts of it are kept: tenants write most of a Job, and it may be large.
#[derive(Clone, Debug)]
pub(super) struct WatchedJob<T> {
    pub(super) facts: T,
    /// Only the version, for kube's watcher, and the uid.
    metadata: ObjectMeta,
}

impl<'de, T: for<'b, 'j> From<&'b Job<'j>>> Deserialize<'de> for WatchedJob<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = json::sample(|| {
            let object = Object::deserialize(deserializer)?;
            let is_cut = json::is_cut();
            Ok(Object { is_cut, ..object })
        })?;
        let metadata = ObjectMeta {
            resource_version: Some(object.metadata.resource_version.to_string()),
            uid: Some(object.metadata.uid.to_string()),
            ..ObjectMeta::default()
        };
        let facts = T::from(&Job::new(&object, Kind::Job, ""));
        Ok(Self { facts, metadata })
    }
}

impl<T> Resource for WatchedJob<T> {
    type DynamicType = ();
    type Scope = <batch::Job as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        batch::Job::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        batch::Job::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        batch::Job::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        batch::Job::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::jobs::Seen;

    /// Of a long list only the beginning is read, so a password may follow that no one has seen.
    #[test]
    fn texts_about_a_job_that_was_not_wholly_read_are_hidden() {
        let message = |words: usize| {
            let mut args = vec!["-v"; words];
            args.push("--password=hunter2hunter2");
            let job = json!({
                "spec": {"template": {"spec": {"containers": [{"name": "m", "image": "app:1", "args": args}]}}},
                "status": {"conditions": [{
                    "type": "Failed", "status": "True", "reason": "X", "message": "hunter2hunter2 is wrong",
                    "lastTransitionTime": "2025-12-22T00:02:00Z",
                }]},
            });
            let job: WatchedJob<Seen> = serde_json::from_value(job).unwrap();
            job.facts.facts.message.unwrap()
        };
        assert_eq!(message(255), "*** is wrong");
        assert_eq!(message(256), "***");
    }
}
