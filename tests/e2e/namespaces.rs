//! What a namespace says of itself: its mode, and whether a mesh puts sidecars into its pods.

use crate::harness::{Chart, Guarded, Proxy, Space, Warden, action, eventually};

fn guarded(policy: &str) -> Guarded {
    let space = Space::new();
    Guarded::by(Warden::with(policy).cluster().serve(), space, |webhooks| {
        webhooks
    })
}

/// Sets the namespace's label and waits until the webhook decides in that mode.
fn label(space: &Guarded, label: &str, is: impl Fn(&serde_json::Value) -> bool) {
    space.label(label);
    let mut attempt = 0;
    eventually(&format!("a decision under {label}"), || {
        attempt += 1;
        let release = format!(
            "w{attempt}-{}",
            label.replace(|c: char| !c.is_ascii_alphanumeric(), "")
        );
        let _ = space.kubectl_with(&["create", "-f", "-"], &Chart::broken().render(&release));
        space.warden.decisions().iter().any(&is).then_some(())
    });
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn its_label_chooses_the_mode_and_wins_over_the_policy() {
    let space = Space::new();
    let policy = format!(
        "namespaces:\n  - {{names: [{}], mode: audit}}\n",
        space.name()
    );
    let warden = Warden::with(&policy).cluster().serve();
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    space.accepts(&Chart::broken().render("policy"));
    assert_eq!(space.decision("policy")["mode"], "audit");
    label(&space, "migration-warden.io/mode=enforce", |decision| {
        decision["mode"] == "enforce"
    });
    space.rejects(&Chart::broken().render("enforced"), &["MW004"]);
    label(&space, "migration-warden.io/mode=warn", |decision| {
        decision["mode"] == "warn"
    });
    space
        .kubectl_with(&["create", "-f", "-"], &Chart::broken().render("warned"))
        .succeeds()
        .warns("MW004");
    label(&space, "migration-warden.io/mode=off", |decision| {
        decision["mode"] == "off"
    });
    space.accepts(&Chart::broken().render("off"));
    assert_eq!(action(&space.decision("off"), "MW004"), None);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_mode_that_does_not_exist_is_told_and_enforced() {
    let space = guarded("");
    label(&space, "migration-warden.io/mode=of", |decision| {
        decision["mode"] == "enforce"
    });
    let refused = eventually("the label to be seen", || {
        let refused = space.rejects(&Chart::broken().render("typo"), &["MW004"]);
        refused.stderr.contains("is not a mode").then_some(refused)
    });
    refused.warns(r#"namespace label migration-warden.io/mode: "of" is not a mode"#);
}

/// Made while the watch was cut off: the apiserver is asked for its label.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn one_that_the_watch_has_not_brought_is_asked_for() {
    let proxy = Proxy::start();
    let warden = Warden::with("").through(&proxy).begin();
    warden.is_ready();
    proxy.stall();
    let space = Space::new();
    space.label("migration-warden.io/mode=audit");
    // The watch's connection stays as it is.
    proxy.go_on_anew();
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    // Connections that were kept are lost as well, and each costs a try.
    space.becomes_mild();
    let decision = space.warden.decisions().pop().unwrap();
    assert_eq!(decision["mode"], "audit", "{decision:#}");
    let asked = "namespace_lookups_total{result=\"success\"}";
    assert!(space.warden.metric(asked) > 0);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn its_mesh_is_known() {
    let space = guarded("rules: {blocking-sidecar: warn}\n");
    label(&space, "istio-injection=enabled", |decision| {
        action(decision, "MW019") == Some("warn")
    });
    space
        .kubectl_with(&["create", "-f", "-"], &Chart::good().render("meshed"))
        .succeeds()
        .warns("MW019");
}
