//! What the dashboard asks, a real Prometheus answers, when it has scraped a replica that had something to do.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{env, fs, thread};

use serde_json::{Value, json};

use super::prometheus::{Prometheus, numbers};
use super::{rendered, work};
use crate::exceptions::crd;
use crate::harness::{CHART, Guarded, Helm, NodeKind, Space, Warden, Webhooks, none_differ};

const TEMPLATE: &str = "templates/dashboard.yaml";
/// How many seconds the picture of the docs shows.
const PICTURED: u64 = 300;

/// What has not happened after [`work::all`], by panel and query: it answers nothing, or 0 all the time.
const IDLE: [(&str, &str); 11] = [
    // Tidy-up waits for ten minutes, a migration gives way after one, a certificate lives for months, and the others want a
    // flood or a fault.
    ("Jobs removed", "A"),
    ("Jobs removed", "C"),
    ("Jobs removed", "D"),
    ("Reloads of files", "B"),
    ("Rejected requests", "B"),
    ("Rejected requests", "C"),
    ("Decisions lost", "A"),
    ("Events, and uses of exceptions not shown", "B"),
    ("Guards", "B"),
    ("Guards", "C"),
    ("Jobs adopted, by entry", "B"),
];

fn dashboard() -> String {
    fs::read_to_string(format!("{CHART}/files/dashboard.json")).unwrap()
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_chart_has_it_for_grafanas_sidecar() {
    let space = Space::new();
    for helm in Helm::BOTH {
        let map = rendered(&space, helm, TEMPLATE, "dashboard");
        assert_eq!(map["kind"], "ConfigMap");
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        let file = map["data"]["migration-warden.json"].as_str().unwrap();
        assert_eq!(file, dashboard().trim_end(), "{helm:?}");
    }
}

/// `tests/long` has it run alone: replicas record each other's runs, and who has recorded one counts it.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn every_query_is_answered() {
    let _crd = crd::installed();
    let space = Space::alone_on(NodeKind::Kwok);
    let warden = Warden::with(work::POLICY)
        .claims_in(space.name())
        .registered_as(space.name())
        .serve();
    let prometheus = Prometheus::of(&warden.admin_address());
    let space = Guarded::by(warden, space, Webhooks::guarding);
    work::all(&space);
    // One more scrape.
    thread::sleep(Duration::from_secs(2));

    let dashboard: Value = serde_json::from_str(&dashboard()).unwrap();
    let mut wrong = Vec::new();
    let mut idle = IDLE.to_vec();
    for (title, target) in targets(&dashboard) {
        let id = target["refId"].as_str().unwrap();
        let happened = happened(&prometheus, target);
        let listed = idle.iter().position(|query| *query == (title, id));
        if let Some(listed) = listed {
            idle.swap_remove(listed);
        }
        if happened == listed.is_some() {
            let but = if happened { "has data" } else { "has no data" };
            wrong.push(format!("{title} {id} {but}: {}", target["expr"]));
        }
    }
    none_differ(&wrong);
    assert!(idle.is_empty(), "there are no such queries: {idle:?}");

    // `tests/monitoring/picture` draws what is written here.
    if let Some(file) = env::var_os("MW_PICTURE") {
        work::for_a_while(&space, Duration::from_secs(PICTURED));
        fs::write(file, answers(&prometheus, &dashboard).to_string()).unwrap();
    }
}

/// Every query, with the title of its panel.
fn targets(dashboard: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| (title, target))
    })
}

/// Asks as Grafana would with all installations chosen and these times; a range has a sample each second, or
/// each `step` seconds.
fn ask(prometheus: &Prometheus, target: &Value, rate: &str, range: u64, step: u64) -> Value {
    let query = target["expr"].as_str().unwrap();
    let query = query
        .replace("$namespace", ".*")
        .replace("$job", ".*")
        .replace("$__rate_interval", rate)
        .replace("$__range", &format!("{range}s"));
    assert!(!query.contains('$'), "{query}");
    if target["instant"] == true {
        prometheus.now(&query)
    } else {
        prometheus.over(&query, range, step)
    }
}

/// Whether a query has an answer that a panel can show.
fn happened(prometheus: &Prometheus, target: &Value) -> bool {
    // Counters are there from the start, and tell something when they have counted.
    let query = target["expr"].as_str().unwrap();
    let counts = query.contains("increase(") || query.contains("rate(");
    let tells = |value: &f64| value.is_finite() && (!counts || *value > 0.0);
    let answer = ask(prometheus, target, "10s", 120, 1);
    numbers(&answer).iter().any(tells)
}

/// What the panels would show of the last minutes, by title.
fn answers(prometheus: &Prometheus, dashboard: &Value) -> Value {
    let mut answers: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (title, target) in targets(dashboard) {
        let answer = ask(prometheus, target, "20s", PICTURED, 5);
        answers.entry(title).or_default().push(answer);
    }
    json!(answers)
}
