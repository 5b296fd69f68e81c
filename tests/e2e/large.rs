//! Objects as large as the apiserver takes them: what tenants write may not use up a replica's memory.

use std::thread;

use crate::claims::{endless, is_created};
use crate::harness::{Guarded, Space, Warden};

/// Migrations of about 1 MB each that do not end.
const MANY: usize = 48;
/// What `serve` may have resident, in MiB: half of what the chart lets it have.
const MAX_PEAK_MIB: u64 = 128;

/// Made before anybody judges them, side by side.
fn fill(space: &Space) {
    let large = "x".repeat(1_000_000);
    let script = format!("echo {large}");
    thread::scope(|scope| {
        for half in [0, 1] {
            let script = &script;
            scope.spawn(move || {
                for number in (half..MANY).step_by(2) {
                    let job = endless(&format!("large-{number}")).replace("echo migrated", script);
                    space.kubectl_with(&["create", "-f", "-"], &job).succeeds();
                }
            });
        }
    });
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn jobs_of_a_megabyte_do_not_use_up_the_memory() {
    let space = Space::new();
    fill(&space);
    // On a busy machine it takes longer than a review may take to read all of them, which is not the question here.
    let warden = Warden::with("claims: {onFailure: allow}\n")
        .cluster()
        .serve();
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    let before = space.warden.peak_mib();
    for release in ["app", "shop", "web"] {
        is_created(&space, &endless(release));
    }
    let peak = space.warden.peak_mib();
    eprintln!("{before} MiB resident at most after the start, {peak} MiB after reviews");
    assert!(
        peak <= MAX_PEAK_MIB,
        "{before} MiB before reviews, {peak} MiB after"
    );
}
