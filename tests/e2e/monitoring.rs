//! Alert rules and dashboard, as the program reads them that they are made for. Both stand in the chart;
//! whether they agree with what is said of them elsewhere is for `tests/monitoring`.

mod alerts;
mod dashboard;
mod prometheus;
mod work;

use serde_json::Value;

use crate::harness::{CHART, Helm, Space};

/// What the chart makes of this template when it is switched on by this value.
fn rendered(space: &Space, helm: Helm, template: &str, value: &str) -> Value {
    let set = format!("{value}.enabled=true");
    let args = [
        "template",
        "shop",
        CHART,
        "--set",
        &set,
        "--show-only",
        template,
    ];
    let text = space.helm(helm, &args).succeeds().stdout;
    serde_saphyr::from_str(&text).unwrap()
}
