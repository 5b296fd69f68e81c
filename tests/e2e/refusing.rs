//! An apiserver that is there, and refuses: flow control has one seat for a replica, and somebody sits on it.

use std::process::{Child, Stdio};

use kube::api::PostParams;
use serde_json::json;

use crate::claims::{create, endless, is_created, waits};
use crate::harness::{
    Chart, Cluster, Guarded, Recorder, Registration, Space, Warden, Webhooks, action, eventually,
};

/// A request that a webhook keeps in the air, by the user whom nobody else's requests get past.
struct Seat {
    taken_by: Vec<Child>,
    _registration: Registration,
    _recorder: Recorder,
    _space: Space,
}

impl Seat {
    /// Returns when all other requests of the user are answered with 429.
    fn taken_by(user: &str) -> Self {
        let space = Space::new();
        let recorder = Recorder::start();
        let registration = Webhooks::recorded_by(&recorder).patient().register(&space);
        recorder.hold();
        let dir = Chart::good().write();
        let manifest = dir.path().join("seat.yaml");
        std::fs::write(&manifest, Chart::good().render("seat")).unwrap();
        let mut taken_by = Vec::new();
        // The apiserver takes the seats into use after a moment.
        eventually("the apiserver to refuse", || {
            let mut sits = Cluster::get().kubectl();
            sits.args(["create", "--dry-run=server", "--as", user, "--filename"])
                .arg(&manifest)
                .args(["--namespace", space.name()])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            taken_by.push(sits.spawn().unwrap());
            let ask = ["get", "configmaps", "--as", user, "--request-timeout=2s"];
            let refused = || space.kubectl(&ask).code != Some(0);
            (refused() && !recorder.take().is_empty()).then_some(())
        });
        Self {
            taken_by,
            _registration: registration,
            _recorder: recorder,
            _space: space,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for sits in &mut self.taken_by {
            let _ = sits.kill();
            let _ = sits.wait();
        }
    }
}

/// A namespace whose webhook has every right, and one seat.
fn guarded(policy: &str) -> (Guarded, String) {
    let space = Space::new();
    let (name, user) = (space.name(), format!("refused-{}", space.name()));
    // Not one of `system:masters`, whom flow control exempts.
    space.bind(name, "cluster-admin", &user);
    let group = "flowcontrol.apiserver.k8s.io/v1";
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": group, "kind": "PriorityLevelConfiguration", "metadata": {"name": name},
         "spec": {"type": "Limited", "limited": {
             "nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0,
             "limitResponse": {"type": "Reject"}}}},
        {"apiVersion": group, "kind": "FlowSchema", "metadata": {"name": name},
         "spec": {"priorityLevelConfiguration": {"name": name}, "matchingPrecedence": 2,
             "rules": [{
                 "subjects": [{"kind": "User", "user": {"name": user}}],
                 "resourceRules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"],
                     "namespaces": ["*"], "clusterScope": true}]}]}},
    ]});
    let warden = Warden::with(policy).user(&user).claims_in(name).serve();
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    space
        .kubectl_with(&["create", "-f", "-"], &list.to_string())
        .succeeds();
    (space, user)
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_claim_that_is_refused_is_put_off_and_says_why() {
    let (space, user) = guarded("");
    let seat = Seat::taken_by(&user);
    let app = endless("app");
    let told = waits(&space, &app);
    assert!(
        told.contains("could not determine whether another migration is running: failed to "),
        "{told}"
    );
    assert!(told.contains("oo many requests"), "{told}");
    assert!(
        told.contains("claims.onFailure: allow in its policy"),
        "{told}"
    );
    let unavailable = "claims_total{outcome=\"unavailable\"}";
    assert_eq!(space.warden.metric(unavailable), 1);
    // With a seat alone it stays so: a claim asks two things at a time.
    drop(seat);
    let seats = ["delete", "flowschema", space.name()];
    space.kubectl(&seats).succeeds();
    eventually("it to get in", || {
        create(&space, &app, &PostParams::default()).ok()
    });
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_claim_that_is_refused_warns_where_the_policy_says_so() {
    let (space, user) = guarded("claims: {onFailure: allow}\n");
    let _seat = Seat::taken_by(&user);
    is_created(&space, &endless("app"));
    let decision = space.decision("app");
    assert_eq!(action(&decision, "MW101"), Some("warn"), "{decision:#}");
}
