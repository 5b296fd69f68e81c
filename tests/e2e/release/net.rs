//! The chart's `ValidatingAdmissionPolicy` when no webhook is left: it refuses by itself.

use serde_json::json;

use super::{CONFIGURATIONS, Release};
use crate::harness::{Chart, Helm, Space, eventually};

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_net_refuses_where_no_webhook_is() {
    for helm in Helm::BOTH {
        let values = "webhooks.detection.enabled=false,validatingAdmissionPolicy.enabled=true,\
            validatingAdmissionPolicy.actions={Deny,Audit}";
        let release = Release::install(helm, &["--set", values]);
        let other = Space::new();
        release
            .space
            .kubectl(&["delete", &CONFIGURATIONS.join(","), release.name()])
            .succeeds();

        let refused = eventually("the net to refuse", || {
            let created = release.create(&other, Chart::broken(), true);
            created
                .stderr
                .contains("ValidatingAdmissionPolicy")
                .then_some(created)
        });
        let name = format!("migration-warden-{}", release.name());
        refused.fails().says(&format!(
            "ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: \
             MW001 untimestamped-name: the name has no timestamp; \
             end the name in a timestamp, as in shop-migrate-1766361600"
        ));
        eventually("the webhooks to be gone", || {
            (release.create(&other, Chart::good(), true).code == Some(0)).then_some(())
        });
        // What no selector matches, and the release's own namespace, are not its business.
        // A namespace in which no Job of this second has its name yet.
        release
            .create(&Space::new(), Chart::broken(), false)
            .succeeds();
        release
            .create(&release.space, Chart::broken(), true)
            .succeeds();

        // What NOTES.txt says to do, and how it is undone.
        let binding = ["validatingadmissionpolicybinding", &*name];
        release
            .space
            .kubectl(&["delete", binding[0], binding[1]])
            .succeeds();
        eventually("the net to be gone", || {
            (release.create(&other, Chart::broken(), true).code == Some(0)).then_some(())
        });
        release.run("upgrade", &["--set", values]).succeeds();
        let actions = &release.space.get(binding[0], binding[1])["spec"]["validationActions"];
        assert_eq!(*actions, json!(["Deny", "Audit"]), "{helm:?}");

        release
            .space
            .helm(helm, &["uninstall", release.name()])
            .succeeds();
        assert_eq!(release.left(), "", "{helm:?}");
    }
}
