//! One migration Job as a watch returns it, and what each test changes in it.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::core::job::stored::StoredJob;
use crate::core::policy::testing::stored;
use crate::core::runs::facts::Facts;
use crate::testing::merge;

/// A Job of Helm's that is waiting for its pod.
const JOB: &str = "
metadata:
  name: shop-migrate-1766361600
  namespace: team
  uid: u1
  creationTimestamp: 2026-01-01T00:00:00Z
  labels: {app.kubernetes.io/instance: shop}
spec: {template: {spec: {containers: [{name: m, image: 'app:1'}]}}}
status: {}
";

/// What a watch reads from a Job.
pub(super) struct Seen {
    pub(super) job: StoredJob,
    pub(super) facts: Facts,
}

/// The Job with this change, a merge patch.
pub(super) fn seen(change: &str) -> Seen {
    let mut job = yaml(JOB);
    merge(&mut job, Some(&yaml::<Value>(change)));
    stored(&job, |job| Seen {
        job: job.into(),
        facts: Facts::of(job),
    })
}

pub(super) fn yaml<T: DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap()
}
