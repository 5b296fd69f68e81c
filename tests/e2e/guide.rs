//! What the guide shows works, and is left alone.

use serde_json::Value;

use crate::harness::{Chart, Guarded, Helm, Space, action, rules};

/// Installs, upgrades and rolls back, and returns the decisions of the validating phase.
fn live_through(helm: Helm, chart: &Chart) -> (Guarded, Vec<Value>) {
    let space = Guarded::with("");
    space.install(helm, "app", chart).succeeds();
    space.upgrade(helm, "app", chart).succeeds();
    let live = space.get("configmap", "app");
    assert_eq!(live["data"]["version"], "2");
    space.helm(helm, &["rollback", "app", "1"]).succeeds();
    assert_eq!(space.get("configmap", "app")["data"]["version"], "1");

    // One migration for the install, one for the upgrade; a rollback runs none.
    let created: Vec<_> = stored(&space);
    assert_eq!(created.len(), 2, "{created:#?}");
    for event in &created {
        assert_eq!(space.mutated(event, 0), Some(true), "{event:#}");
        let seconds = event["responseObject"]["spec"]["ttlSecondsAfterFinished"].as_u64();
        assert_eq!(seconds, Some(604_800), "{event:#}");
    }
    for event in &created {
        let name = event["responseObject"]["metadata"]["name"]
            .as_str()
            .unwrap();
        space.decision(name);
    }
    let mut decisions = space.warden.decisions();
    decisions.retain(|decision| decision["phase"] == "validate");
    assert_eq!(decisions.len(), 2, "{decisions:#?}");
    (space, decisions)
}

/// The audit events of Jobs that came to be: Helm 3 creates them, Helm 4 applies them.
fn stored(space: &Space) -> Vec<Value> {
    let mut events = space.audit("create");
    events.extend(space.audit("patch"));
    events.retain(|event| event["responseStatus"]["code"] == 201);
    events
}

fn the_good_chart(helm: Helm) {
    let (_space, decisions) = live_through(helm, &Chart::good());
    for decision in decisions {
        assert_eq!(decision["verdict"], "allowed", "{decision:#}");
        assert_eq!(decision["operation"], "CREATE");
        assert_eq!(decision["release"]["name"], "app", "{decision:#}");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_good_chart_is_left_alone_by_helm_3() {
    the_good_chart(Helm::V3);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_good_chart_is_left_alone_by_helm_4() {
    the_good_chart(Helm::V4);
}

fn the_guides_own_chart(helm: Helm) {
    let (_space, decisions) = live_through(helm, &Chart::guide());
    for decision in decisions {
        assert_eq!(decision["verdict"], "warned", "{decision:#}");
        assert_eq!(decision["adopted"], "detected", "{decision:#}");
        assert_eq!(action(&decision, "MW022"), Some("warn"), "{decision:#}");
        // The four rules are the guide's own.
        let broken = rules(&decision);
        assert!(
            !broken
                .iter()
                .any(|id| ["MW001", "MW002", "MW003", "MW004"].contains(id))
        );
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_guides_unlabelled_job_is_adopted_and_allowed_with_helm_3() {
    the_guides_own_chart(Helm::V3);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_guides_unlabelled_job_is_adopted_and_allowed_with_helm_4() {
    the_guides_own_chart(Helm::V4);
}
