//! Every alert is tested, explained, and about the release's own replicas.

use serde_json::Value;

use super::{only_what_there_is, read, yaml};

const RULES: &str = "charts/migration-warden/files/alerts.yaml";
const UNIT_TESTS: &str = "tests/monitoring/alerts.yaml";

fn alerts() -> Vec<Value> {
    let rules = yaml(RULES);
    let groups = rules["groups"].as_array().unwrap();
    let alerts = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let alerts: Vec<_> = alerts.cloned().collect();
    assert!(alerts.len() > 15, "only {} alerts", alerts.len());
    alerts
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

/// `promtool` runs the tests; this is about those that are missing.
#[test]
fn every_alert_is_tested_both_ways() {
    let tests = yaml(UNIT_TESTS);
    let tests = tests["tests"].as_array().unwrap();
    let cases: Vec<_> = tests
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for alert in alerts() {
        for fires in [true, false] {
            let tested = cases.iter().any(|case| {
                case["alertname"] == name(&alert)
                    && case["exp_alerts"].as_array().unwrap().is_empty() != fires
            });
            assert!(tested, "{}: no test where it fires: {fires}", name(&alert));
        }
    }
}

#[test]
fn every_alert_says_what_is_wrong_and_names_its_section() {
    let page = read("docs/alerts.md");
    let sections: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let alerts = alerts();
    let names: Vec<_> = alerts.iter().map(name).collect();
    assert_eq!(sections, names, "sections of docs/alerts.md, in order");
    for alert in &alerts {
        let (name, labels, annotations) = (name(alert), &alert["labels"], &alert["annotations"]);
        let severity = labels["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning"].contains(&severity),
            "{name}: {severity}"
        );
        let anchor = name.to_lowercase();
        let row = format!("| [{name}](#{anchor}) | {severity} | ");
        assert!(page.contains(&row), "docs/alerts.md has no row {row}");
        assert_eq!(annotations["runbook"], format!("docs/alerts.md#{anchor}"));
        for text in ["summary", "description"] {
            let text = annotations[text].as_str().unwrap();
            assert!(text.ends_with('.'), "{name}: {text}");
        }
    }
}

/// The template puts namespace and name of the release where this selector stands.
#[test]
fn every_metric_is_that_of_the_releases_own_replicas() {
    for alert in alerts() {
        let expression = alert["expr"].as_str().unwrap();
        only_what_there_is(name(&alert), expression);
        for part in expression.split("migration_warden_").skip(1) {
            let (_, selector) = part.split_once('{').unwrap();
            assert!(
                selector.starts_with(r#"job="migration-warden""#),
                "{}: {part}",
                name(&alert)
            );
        }
    }
}
