//! `promtool` takes the alert rules, and the chart has the same.

use serde_json::{Value, json};

use super::rendered;
use crate::harness::{CHART, Cluster, Helm, Outcome, Space};

const TEMPLATE: &str = "templates/prometheusrule.yaml";
const UNIT_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/monitoring/alerts.yaml");

fn rules() -> String {
    format!("{CHART}/files/alerts.yaml")
}

fn promtool(args: &[&str]) -> Outcome {
    Outcome::of(Cluster::get().promtool().args(args), "")
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn promtool_finds_no_fault_with_the_rules() {
    let checked = promtool(&["check", "rules", "--lint=all", "--lint-fatal", &rules()]);
    let stdout = checked.succeeds().stdout;
    assert!(stdout.contains("SUCCESS: 19 rules found"), "{stdout}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn each_alert_fires_and_does_not_just_below() {
    promtool(&["test", "rules", UNIT_TESTS]).succeeds();
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_chart_has_these_rules_for_its_own_replicas() {
    let space = Space::new();
    let text = std::fs::read_to_string(rules()).unwrap();
    let own = format!(
        r#"namespace="{}",job="shop-migration-warden""#,
        space.name()
    );
    let expected: Value =
        serde_saphyr::from_str(&text.replace(r#"job="migration-warden""#, &own)).unwrap();
    for helm in Helm::BOTH {
        let object = rendered(&space, helm, TEMPLATE, "prometheusRule");
        assert_eq!(object["kind"], "PrometheusRule");
        assert_eq!(
            object["spec"],
            json!({"groups": expected["groups"]}),
            "{helm:?}"
        );
    }
}
