//! The milder actions: the Job gets in, and someone is told.

use crate::harness::{BREACHES, Breach, Guarded, Helm, Outcome, action};

fn all(action: &str) -> String {
    let rules = BREACHES.map(|breach| format!("  {}: {action}\n", breach.name));
    format!("rules:\n{}", rules.concat())
}

/// Every breach installs with both Helms, and its decision has the finding with this action.
fn installs(space: &Guarded, expected: &str, verdict: &str) {
    for helm in Helm::BOTH {
        for breach in &BREACHES {
            let release = helm.release(breach.id);
            space
                .install(helm, &release, &breach.chart())
                .succeeds()
                .never_says("denied");
            let decision = space.decision(&release);
            assert_eq!(action(&decision, breach.id), Some(expected), "{decision:#}");
            assert_eq!(decision["verdict"], verdict, "{decision:#}");
        }
    }
}

/// What kubectl says when it creates the Job with this breach, which it can.
fn created(space: &Guarded, breach: &Breach) -> Outcome {
    let manifest = breach
        .chart()
        .render(&format!("k-{}", breach.id.to_lowercase()));
    space
        .kubectl_with(&["create", "-f", "-"], &manifest)
        .succeeds()
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn warn_lets_the_job_in_and_tells_the_user() {
    let space = Guarded::with(&all("warn"));
    installs(&space, "warn", "warned");
    for breach in &BREACHES {
        let created = created(&space, breach);
        created.warns(breach.id);
        let warnings = created
            .stderr
            .lines()
            .filter(|line| line.starts_with("Warning: "));
        for warning in warnings {
            let text = warning.trim_start_matches("Warning: ");
            assert!(text.chars().count() <= 256, "too long: {text}");
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn audit_lets_the_job_in_and_only_records_it() {
    let space = Guarded::with(&all("audit"));
    installs(&space, "audit", "allowed");
    for breach in &BREACHES {
        let created = created(&space, breach);
        created.never_says("MW");
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn off_leaves_no_trace() {
    let space = Guarded::with(&all("off"));
    for breach in &BREACHES {
        let release = format!("k-{}", breach.id.to_lowercase());
        space.accepts(&breach.chart().render(&release));
        let decision = space.decision(&release);
        assert_eq!(action(&decision, breach.id), None, "{decision:#}");
    }
}

/// A namespace chooses its own mode, and that is a cap.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_namespace_of_the_policy_can_be_milder() {
    let space = crate::harness::Space::new();
    let policy = format!(
        "namespaces:\n  - {{names: [{}], mode: warn}}\n",
        space.name()
    );
    let space = Guarded::over(space, &policy, |webhooks| webhooks);
    for breach in &BREACHES {
        created(&space, breach).warns(breach.id);
    }
}
