//! The webhook gone: what the failure policy makes of it.

use crate::harness::{Chart, Guarded, Helm, Space, Webhooks};

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn failing_closed_nothing_gets_in() {
    let mut space = Guarded::with("");
    space.accepts(&Chart::good().render("before"));
    space.warden.kill();
    let refused = space.kubectl_with(&["create", "-f", "-"], &Chart::good().render("after"));
    refused
        .fails()
        .says("failed calling webhook \"mutate.migration-warden.io\"");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space
            .install(helm, &release, &Chart::good())
            .fails()
            .says("failed calling webhook");
    }
    // Only what the rules name depends on it.
    space.kubectl(&["create", "configmap", "free"]).succeeds();
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn failing_open_everything_gets_in() {
    let mut space = Guarded::over(Space::new(), "", Webhooks::failing_open);
    space.rejects(&Chart::broken().render("before"), &["MW004"]);
    space.warden.kill();
    space.accepts(&Chart::broken().render("after"));
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &Chart::good()).succeeds();
    }
}
