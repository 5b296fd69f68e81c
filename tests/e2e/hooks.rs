//! `helm.sh/hook` as Helm reads it: what it forgives, we forgive; what makes it drop the Job, we say.

use crate::harness::{Chart, Guarded, Helm, action, check};

const GOOD: &str = "pre-install,pre-upgrade";

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn order_case_and_spaces_do_not_matter() {
    let space = Guarded::with("");
    let forms = [
        r#""pre-install, pre-upgrade""#,
        "pre-upgrade,pre-install",
        "Pre-Install,PRE-UPGRADE",
    ];
    for helm in Helm::BOTH {
        for (i, form) in forms.into_iter().enumerate() {
            let release = helm.release(&format!("app{i}"));
            space
                .install(helm, &release, &Chart::good().with(GOOD, form))
                .succeeds();
            let decision = space.decision(&release);
            assert_eq!(decision["verdict"], "allowed", "{decision:#}");
            // The migration ran: Helm read the annotation as we did.
            space
                .upgrade(helm, &release, &Chart::good().with(GOOD, form))
                .succeeds();
            let seen = space.warden.decisions();
            let seen = seen
                .iter()
                .filter(|d| d["phase"] == "validate")
                .filter(|d| d["job"].as_str().unwrap().starts_with(&release));
            assert_eq!(seen.count(), 2, "install and upgrade");
        }
    }
}

/// Helm drops the whole manifest, so that no webhook ever sees it: `check` is the only net.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_hook_that_helm_drops_is_caught_by_check() {
    let space = Guarded::with("");
    let forms = [
        "\"pre-install,pre-upgrade,\"",
        "pre-install,pre-upgrade,crd-install",
        "pre-instal,pre-upgrade",
        "pre-install pre-upgrade",
    ];
    for (i, form) in forms.into_iter().enumerate() {
        let chart = Chart::good().with(GOOD, form);
        for helm in Helm::BOTH {
            let release = helm.release(&format!("app{i}"));
            // A success, without its migration.
            space.install(helm, &release, &chart).succeeds();
            space.get("configmap", &release);
        }
        let report = check("", &chart.render("app"));
        assert_eq!(report.code, Some(1), "{report}");
        let findings = report.json()["findings"].clone();
        let found = findings
            .as_array()
            .unwrap()
            .iter()
            .find(|f| f["rule"] == "MW015");
        let found = found.unwrap_or_else(|| panic!("no MW015 for {form}: {report}"));
        assert_eq!(found["action"], "deny");
    }
    assert!(space.jobs().is_empty(), "{:?}", space.jobs());
    assert!(space.audit("create").is_empty() && space.audit("patch").is_empty());
    assert!(
        space.warden.decisions().is_empty(),
        "{:#?}",
        space.warden.decisions()
    );
}

/// Helm runs the Job twice.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_duplicate_event_is_a_warning() {
    let space = Guarded::with("");
    let chart = Chart::good().with(GOOD, "pre-install,pre-install,pre-upgrade");
    let created = space
        .kubectl_with(&["create", "-f", "-"], &chart.render("kubectl"))
        .succeeds();
    created.warns("MW014");
    for helm in Helm::BOTH {
        let release = helm.release("app");
        space.install(helm, &release, &chart).succeeds();
        let decision = space.decision(&release);
        assert_eq!(decision["verdict"], "warned");
        assert_eq!(action(&decision, "MW014"), Some("warn"), "{decision:#}");
    }
}
