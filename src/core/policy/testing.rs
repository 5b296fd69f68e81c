//! Helpers for the tests of rules: one valid Job, in which each test changes one thing.

use serde::Deserialize;
use serde_json::Value;

use crate::core::job::object::Object;
use crate::core::job::{Job, Kind};
use crate::core::policy::Action;
use crate::core::policy::breach::Breach;
use crate::core::policy::finding::Finding;
use crate::core::policy::options::Options;
use crate::core::policy::rule::{Check, Context, Rule};
use crate::core::policy::rules;
use crate::core::policy::select::Selectors;

pub(crate) use crate::testing::job;

/// The message of a breach of a rule about the cluster.
pub(crate) fn told(rule: &'static Rule, breach: Breach) -> String {
    Finding::new(rule, rule.guide, Kind::Job, breach).message()
}

/// What `find` makes of a stored Job.
pub(crate) fn stored<T>(job: &Value, find: impl FnOnce(&Job<'_>) -> T) -> T {
    let object = Object::deserialize(job).unwrap();
    find(&Job::new(&object, Kind::Job, "shop"))
}

/// The findings of the rule with this id in `job`, as `path: detail`.
pub(crate) fn findings(id: &str, job: &Value) -> Vec<String> {
    findings_with(id, job, &Options::default())
}

pub(crate) fn findings_with(id: &str, job: &Value, options: &Options) -> Vec<String> {
    let found = report_with(id, job, options).into_iter();
    found.map(|f| format!("{}: {}", f.path, f.detail)).collect()
}

pub(crate) fn report(id: &str, job: &Value) -> Vec<Finding> {
    report_with(id, job, &Options::default())
}

/// The lines of a denial of `job` by the rule with this id.
pub(crate) fn told_of(id: &str, job: &Value) -> Vec<String> {
    told_of_with(id, job, &Options::default())
}

pub(crate) fn told_of_with(id: &str, job: &Value, options: &Options) -> Vec<String> {
    let found = report_with(id, job, options);
    found.iter().map(Finding::message).collect()
}

fn report_with(id: &str, job: &Value, options: &Options) -> Vec<Finding> {
    let object = Object::deserialize(job).unwrap();
    let facts = Job::new(&object, Kind::Job, "shop");
    let rule = rules::find(id).unwrap();
    let selectors = Selectors::new(crate::core::policy_file::default_selectors()).unwrap();
    let selection = selectors.select(&facts, Action::Audit);
    let context = Context { selection, options };
    let breaches = match rule.check {
        Check::One(check) => check(&facts, &context).into_iter().collect(),
        Check::All(check) => check(&facts, &context),
        Check::None => panic!("{id} needs a cluster"),
    };
    Finding::list(rule, Action::Warn, facts.kind, breaches)
}
