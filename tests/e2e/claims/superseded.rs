//! A holder that never started gives way to the next attempt, by nobody's hand.

use std::{thread, time::Duration};

use kube::api::PostParams;
use serde_json::Value;

use super::{again, create, guarded, is_created};
use crate::events::{event, events};
use crate::exceptions::crd;
use crate::guards::nowhere;
use crate::harness::{eventually, within};
use crate::runs::run_of;

fn has_failed(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    let is_failed =
        |condition: &Value| condition["type"] == "Failed" && condition["status"] == "True";
    conditions.into_iter().flatten().any(is_failed)
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_holder_that_never_started_gives_way() {
    let _crd = crd::installed();
    let space = guarded("");
    let first = nowhere(600).render("app");
    let (held, second) = (is_created(&space, &first), again(&first));
    let holder = held["metadata"]["name"].as_str().unwrap();
    let next = |params: &PostParams| create(&space, &second, params);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let told = within(Duration::from_secs(120), "the holder to give way", || {
        thread::sleep(Duration::from_secs(1));
        // It changes nothing, however old the holder is.
        next(&dry).unwrap_err();
        let told = next(&PostParams::default()).unwrap_err();
        assert_eq!(told.code, 429, "{told:?}");
        told.message
            .contains("is failed now")
            .then_some(told.message)
    });
    let words = format!("{holder} never started and is failed now (Unschedulable: ");
    assert!(told.contains(&words), "{told}");
    let job = eventually("it to be failed", || {
        Some(space.get("job", holder)).filter(has_failed)
    });
    let why = &job["metadata"]["annotations"]["migration-warden.io/superseded"];
    let why = why.as_str().unwrap();
    assert!(why.starts_with("Unschedulable: "), "{why}");
    let newer = eventually("the next to get in", || next(&PostParams::default()).ok());
    let newer = newer.metadata.name.unwrap();
    assert!(why.ends_with(&format!("; {newer} waited for it")), "{why}");

    let run = eventually("its run to end", || {
        run_of(&space, holder).filter(|run| run["status"]["outcome"] == "Failed")
    });
    let status = &run["status"];
    assert_eq!(status["reason"], "Superseded", "{run:#}");
    assert_eq!(status["message"], why, "{run:#}");
    assert_eq!(status["startedAt"], Value::Null, "{run:#}");
    let event = event(&space, "MigrationSuperseded");
    assert_eq!(
        event["regarding"]["uid"], run["metadata"]["uid"],
        "{event:#}"
    );
    assert_eq!(event["related"]["uid"], held["metadata"]["uid"]);
    let all = events(&space);
    assert!(all.iter().all(|event| event["reason"] != "MigrationFailed"));
    let count = |series: &str| space.warden.metric(series);
    assert_eq!(count("claims_superseded_total{result=\"success\"}"), 1);
    assert_eq!(count("runs_total{outcome=\"failed\"}"), 0);
    let logged = space.warden.decision("what was done", |decision| {
        let findings = decision["findings"].to_string();
        decision["verdict"] == "waiting" && findings.contains(&words)
    });
    assert_eq!(logged["job"], *newer);
}
