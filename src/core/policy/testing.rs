//! Helpers for the tests of rules and policies. What a rule finds in a Job is in tests/fixtures/rules.

use serde::Deserialize;
use serde_json::Value;

use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::policy::Policy;
use crate::core::policy_file::validate;
use crate::testing::POLICY;

pub(crate) use crate::testing::job;

/// The policy of a file with these lines.
pub(crate) fn policy(text: &str) -> Policy {
    validate::read("policy.yaml", &format!("{POLICY}{text}")).unwrap()
}

/// What `find` makes of a stored Job.
pub(crate) fn stored<T>(job: &Value, find: impl FnOnce(&Job<'_>) -> T) -> T {
    let object = Object::deserialize(job).unwrap();
    find(&Job::new(&object, Kind::Job, ""))
}
