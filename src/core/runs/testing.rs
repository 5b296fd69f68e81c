//! One migration Job as a watch returns it, and what each test changes in it.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::core::job::stored::WatchedJob;
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

/// What is kept of the Job with this change, a merge patch.
pub(super) fn job<T>(change: &str) -> T
where
    WatchedJob<T>: DeserializeOwned,
{
    let mut job = yaml(JOB);
    merge(&mut job, Some(&yaml::<Value>(change)));
    serde_json::from_value::<WatchedJob<T>>(job).unwrap().facts
}

pub(super) fn yaml<T: DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap()
}
