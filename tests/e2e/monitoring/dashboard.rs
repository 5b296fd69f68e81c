//! What the dashboard asks, a real Prometheus answers, when it has scraped a replica that had something to do.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

use super::prometheus::Prometheus;
use super::rendered;
use crate::claims::{again, endless, is_created, waits};
use crate::exceptions::{self, condition, crd, exception};
use crate::harness::{
    BREACHES, CHART, Chart, Guarded, Helm, Outcome, RESTARTING_POD, Space, Warden, eventually,
    none_differ,
};

const TEMPLATE: &str = "templates/dashboard.yaml";
const POLICY: &str = "rules: {restarting-pod: patch, no-deadline: warn}\ntidyUp: {mode: off}\n";

/// What has not happened in [`work`], by panel and query: it answers nothing, or 0 all the time.
const IDLE: [(&str, &str); 19] = [
    // Metrics that are still to come.
    ("Running", "A"),
    ("Overdue", "A"),
    ("Oldest running", "A"),
    ("Failed", "A"),
    ("Unreviewed", "A"),
    ("Runs that ended, by outcome", "A"),
    ("Duration of runs", "A"),
    ("Duration of runs", "B"),
    ("Running and overdue", "A"),
    ("Running and overdue", "B"),
    ("Guards", "A"),
    ("Jobs removed", "B"),
    ("Jobs removed", "C"),
    ("Writes of MigrationRuns", "A"),
    // Tidy-up waits for ten minutes, a certificate lives for months, and the others want a flood.
    ("Jobs removed", "A"),
    ("Files taken into use", "B"),
    ("Turned away", "B"),
    ("Decisions lost", "A"),
    ("Events, and uses of exceptions not shown", "B"),
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

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn every_query_is_answered() {
    let _crd = crd::installed();
    let space = Space::new();
    let warden = Warden::serve_for(space.name(), POLICY);
    let prometheus = Prometheus::of(&warden.admin());
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    work(&space);
    // One more scrape.
    thread::sleep(Duration::from_secs(2));

    let dashboard: Value = serde_json::from_str(&dashboard()).unwrap();
    let mut wrong = Vec::new();
    let mut idle = IDLE.to_vec();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let id = target["refId"].as_str().unwrap();
            let happened = happened(&prometheus, target);
            let listed = idle.iter().position(|query| *query == (title, id));
            if let Some(listed) = listed {
                idle.swap_remove(listed);
            }
            match (happened, listed) {
                (true, Some(_)) => {
                    wrong.push(format!("{title} {id} has data, take it from the list"))
                }
                (false, None) => {
                    wrong.push(format!("{title} {id} has no data: {}", target["expr"]))
                }
                _ => {}
            }
        }
    }
    none_differ(&wrong);
    assert!(idle.is_empty(), "there are no such queries: {idle:?}");
}

/// Whether a query has an answer that a panel can show.
fn happened(prometheus: &Prometheus, target: &Value) -> bool {
    // As Grafana puts them in: all installations, and some scrapes.
    let query = target["expr"].as_str().unwrap();
    let query = query
        .replace("$namespace", ".*")
        .replace("$job", ".*")
        .replace("$__rate_interval", "10s")
        .replace("$__range", "120s");
    assert!(!query.contains('$'), "{query}");
    let values = if target["instant"] == true {
        prometheus.now(&query)
    } else {
        prometheus.over(&query, 120)
    };
    // Counters are there from the start, and tell something when they have counted.
    let counts = query.contains("increase(") || query.contains("rate(");
    let tells = |value: &f64| value.is_finite() && (!counts || *value > 0.0);
    values.iter().any(tells)
}

/// Has the replica do all that the dashboard shows, as far as it happens within seconds.
fn work(space: &Guarded) {
    space.accepts(&Chart::good().render("good"));
    let denied = BREACHES.map(|breach| breach.id);
    space.rejects(&Chart::broken().render("broken"), &denied[..3]);
    space.patches(&RESTARTING_POD.chart().render("patched"), RESTARTING_POD.id);

    let first = endless("twice");
    is_created(space, &first);
    waits(space, &again(&first));

    let exception = exception("old-chart", SignedDuration::from_hours(1));
    exceptions::create(space, &exception).succeeds();
    condition(space, "old-chart", "True");
    space.accepts(&Chart::broken().render("ok-old"));

    // It is no review, and the answer no success.
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--insecure", "--data", "{}"])
        .args(["--header", "Content-Type: application/json"])
        .arg(space.warden.url("/validate"));
    let answer = Outcome::of(&mut curl, "").succeeds().json();
    assert_eq!(answer["code"], 400, "{answer}");

    for (policy, in_use) in [("no policy", false), (POLICY, true)] {
        space.warden.change_policy(policy);
        let line = format!(
            "migration_warden_policy_last_reload_successful {}\n",
            u8::from(in_use)
        );
        eventually(&line, || {
            space.warden.metrics().contains(&line).then_some(())
        });
    }
}
