//! What is recorded of a migration whose Job's own status does not say that it runs.
//!
//! After the installations, which bring the CRDs themselves.

use super::running::{guarded, in_an_init_container, is};
use crate::exceptions::crd;
use crate::guards::create;
use crate::harness::eventually;
use crate::runs::{outcome, run_of};

/// The container that the Job calls its own starts when all is done, or never.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn what_an_init_container_does_is_recorded() {
    let _crd = crd::installed();
    let space = guarded();
    let says = "echo no such table > /dev/termination-log; exit 3";
    let succeeds = create(&space, &in_an_init_container("sleep 8"), "app");
    let fails = create(&space, &in_an_init_container(says), "broken");
    is(&space, &succeeds, "manage-schema", "running");
    eventually("it to be recorded that it runs", || {
        (outcome(&space, &succeeds)? == "Running").then_some(())
    });
    let [succeeded, failed] = [&succeeds, &fails].map(|job| {
        eventually(&format!("{job} to be recorded"), || {
            run_of(&space, job).filter(|run| run["status"]["finishedAt"].is_string())
        })
    });
    assert_eq!(succeeded["status"]["outcome"], "Succeeded", "{succeeded:#}");
    assert_eq!(failed["status"]["outcome"], "Failed", "{failed:#}");
    assert_eq!(failed["status"]["exitCode"], 3, "{failed:#}");
    let message = failed["status"]["message"].as_str().unwrap();
    assert!(message.contains("no such table"), "{message}");
}
