//! What the tests are written with: a cluster, a guarded namespace in it, charts, and the webhook.

pub(crate) mod api;
mod audit;
mod chart;
mod cluster;
mod faulty;
pub(crate) mod installed;
mod net;
mod outcome;
mod proxy;
mod recorder;
mod space;
mod warden;
mod webhooks;

pub(crate) use api::Tried;
pub(crate) use chart::{
    BREACHES, Breach, CHART, Chart, MISSING_HOOK, RESTARTING_POD, UNTIMESTAMPED_NAME,
    WRONG_DELETE_POLICY, chart_role, epoch,
};
pub(crate) use cluster::{Cluster, Helm, NodeKind};
pub(crate) use faulty::Faulty;
pub(crate) use net::Net;
pub(crate) use outcome::Outcome;
pub(crate) use proxy::Proxy;
pub(crate) use recorder::Recorded;
pub(crate) use recorder::Recorder;
pub(crate) use space::Space;
pub(crate) use warden::{Warden, check, generate, peak_mib};
pub(crate) use webhooks::{Registration, Webhooks};

use std::{
    ops::Deref,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// A namespace whose Jobs the webhook judges.
///
/// Dropped in this order: first the configurations, then the process they point at.
pub(crate) struct Guarded {
    _registration: Registration,
    pub(crate) warden: Warden,
    space: Space,
}

impl Guarded {
    /// Guards a fresh namespace with this policy, given without its `apiVersion` and `kind`.
    pub(crate) fn with(policy: &str) -> Self {
        Self::over(Space::new(), policy, |webhooks| webhooks)
    }

    /// Guards a namespace that is there already, with webhooks that differ from the usual ones.
    pub(crate) fn over(
        space: Space,
        policy: &str,
        change: impl FnOnce(Webhooks) -> Webhooks,
    ) -> Self {
        Self::by(Warden::serve(policy), space, change)
    }

    /// Guards a namespace by a webhook that serves already.
    pub(crate) fn by(
        warden: Warden,
        space: Space,
        change: impl FnOnce(Webhooks) -> Webhooks,
    ) -> Self {
        let registration = change(Webhooks::of(&warden)).register(&space);
        Self {
            _registration: registration,
            warden,
            space,
        }
    }

    /// Creates the object and returns it as it was stored.
    pub(crate) fn accepts(&self, manifest: &str) -> Value {
        let created = self.kubectl_with(&["create", "-o", "json", "-f", "-"], manifest);
        created.succeeds().json()
    }

    /// Tries to create the object and expects these findings, all of them, in the denial.
    pub(crate) fn rejects(&self, manifest: &str, ids: &[&str]) -> Outcome {
        let refused = self.kubectl_with(&["create", "-f", "-"], manifest).fails();
        for id in ids {
            refused.says(id);
        }
        refused
    }

    /// Creates the object, expects a warning with this id, and returns the object as it was stored.
    pub(crate) fn patches(&self, manifest: &str, id: &str) -> Value {
        let created = self
            .kubectl_with(&["create", "-o", "json", "-f", "-"], manifest)
            .succeeds();
        created.warns(id);
        created.json()
    }

    /// The decision on the Job whose name begins with this, in the validating phase.
    pub(crate) fn decision(&self, job: &str) -> Value {
        let space = &self.space;
        self.warden
            .decision(&format!("validate {job}"), |decision| {
                decision["phase"] == "validate"
                    && decision["namespace"] == *space.name()
                    && decision["job"]
                        .as_str()
                        .is_some_and(|name| name.starts_with(job))
            })
    }
}

impl Deref for Guarded {
    type Target = Space;

    fn deref(&self) -> &Space {
        &self.space
    }
}

/// Asks again until there is an answer; gives up after half a minute, saying what it waited for.
pub(crate) fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(Duration::from_secs(30), what, ask)
}

/// The same, giving up after this long.
pub(crate) fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Fails with all that differ.
#[track_caller]
pub(crate) fn none_differ(wrong: &[String]) {
    let (count, all) = (wrong.len(), wrong.join("\n"));
    assert!(wrong.is_empty(), "{count} differ:\n{all}");
}

/// The rule ids of a decision's findings, in order.
pub(crate) fn rules(decision: &Value) -> Vec<&str> {
    let findings = decision["findings"]
        .as_array()
        .expect("a decision has findings");
    findings
        .iter()
        .filter_map(|finding| finding["rule"].as_str())
        .collect()
}

/// What the policy did with this rule's first finding.
pub(crate) fn action<'a>(decision: &'a Value, rule: &str) -> Option<&'a str> {
    let findings = decision["findings"]
        .as_array()
        .expect("a decision has findings");
    findings.iter().find(|finding| finding["rule"] == rule)?["action"].as_str()
}
