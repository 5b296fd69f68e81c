//! An apiserver that neither answers nor refuses: what needs it is answered in time, and the rest at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::claims::{endless, is_created, waits};
use crate::guards::{deletion, running};
use crate::harness::{Chart, Guarded, Proxy, Space, Warden, Webhooks, action, eventually, within};

/// The timeout of the entries for creations, and as much again for kubectl on a busy machine. An answer after the
/// timeout of its entry would be another one: the failure policy's.
const TIMEOUT: Duration = Duration::from_secs(2 * 5);
/// Longer than anybody takes who waits for nothing, and shorter than who waits for the apiserver.
const AT_ONCE: Duration = Duration::from_secs(3);

fn guarded(proxy: &Proxy, policy: &str) -> Guarded {
    let space = Space::new();
    let warden = Warden::with(policy)
        .through(proxy)
        .claims_in(space.name())
        .begin();
    warden.is_ready();
    Guarded::by(warden, space, Webhooks::guarding)
}

fn took<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (act(), start.elapsed())
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_needs_it_is_answered_in_time_and_the_rest_at_once() {
    let proxy = Proxy::start();
    let space = guarded(&proxy, "");
    let runs = running(&space, "runs");
    proxy.stall();

    let (told, time) = took(|| waits(&space, &endless("app")));
    let why = "could not determine whether another migration is running: the API server did not answer in time";
    assert!(told.contains(why), "{told}");
    assert!(time < TIMEOUT, "{time:?}");
    assert_eq!(space.warden.metric("claims_total{outcome=\"timeout\"}"), 1);
    assert_eq!(space.decision("app")["verdict"], "waiting");

    let (_, time) = took(|| space.rejects(&Chart::broken().render("bad"), &["MW004"]));
    assert!(time < AT_ONCE, "{time:?}");
    let later = Chart::guide().with("pre-install,pre-upgrade", "post-install");
    let (_, time) = took(|| space.accepts(&later.render("detected")));
    assert!(time < AT_ONCE, "{time:?}");
    // What detection adopts is never refused because its claim could not be checked.
    let (_, time) = took(|| space.accepts(&Chart::guide().render("adopted")));
    assert!(time < TIMEOUT, "{time:?}");

    let delete = ["delete", "job", &runs, "--wait=false"];
    let (_, time) = took(|| space.kubectl(&delete).succeeds());
    assert!(time < TIMEOUT, "{time:?}");
    let decision = deletion(&space, &runs);
    assert_eq!(action(&decision, "MW102"), Some("audit"), "{decision:#}");
    let detail = decision["findings"][0]["detail"].as_str().unwrap();
    assert!(
        detail.ends_with(
            "whether the namespace is being deleted: the API server did not answer in time"
        ),
        "{detail}"
    );
    let lookups = "guard_lookups_total{result=\"failed\"}";
    assert_eq!(space.warden.metric(lookups), 1);

    // Claims, watches and the sweeper come back by themselves.
    proxy.go_on();
    let after = is_created(&space, &endless("after"));
    let released = space.warden.metric("claims_released_total");
    let name = after["metadata"]["name"].as_str().unwrap();
    space.kubectl(&["delete", "job", name]).succeeds();
    // The watch may have missed the Job. Then its claim is waited for until it expires, and is swept after that.
    let limit = Duration::from_secs(45 + 15 + 15);
    within(limit, "a claim to be given up", || {
        (space.warden.metric("claims_released_total") > released).then_some(())
    });
    space.label("migration-warden.io/mode=audit");
    space.becomes_mild();
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_migration_gets_in_where_the_policy_says_so() {
    let proxy = Proxy::start();
    let space = guarded(&proxy, "claims: {onFailure: allow}\n");
    proxy.stall();
    let (_, time) = took(|| is_created(&space, &endless("app")));
    assert!(time < TIMEOUT, "{time:?}");
    let decision = space.decision("app");
    assert_eq!(decision["verdict"], "warned", "{decision:#}");
    assert_eq!(action(&decision, "MW101"), Some("warn"));
}

/// Who knows nothing yet says so, and answers nobody: the failure policy decides.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_replica_that_knows_nothing_yet_answers_nobody() {
    let proxy = Proxy::start();
    proxy.stall();
    let space = Space::new();
    let warden = Warden::with("")
        .through(&proxy)
        .claims_in(space.name())
        .begin();
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    let told = space.warden.admin("/readyz");
    for line in [
        "HTTP/1.1 503",
        "[-]exceptions failed: not all exceptions are known yet",
        "[-]namespaces failed: not all namespaces are known yet",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let create = ["create", "-f", "-"];
    let refused = space.kubectl_with(&create, &Chart::good().render("early"));
    refused
        .fails()
        .says("failed calling webhook \"mutate.migration-warden.io\"");
    proxy.go_on();
    space.warden.is_ready();
    space.accepts(&Chart::good().render("later"));
}

/// A user clears the claims by deleting all Leases.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_lease_of_the_election_that_was_deleted_is_made_again() {
    let (proxy, space) = (Proxy::start(), Space::new());
    let args = ["--webhook-configuration", space.name()];
    let warden = Warden::with("tidyUp: {mode: 'off'}\n")
        .through(&proxy)
        .claims_in(space.name())
        .args(&args)
        .begin();
    warden.is_ready();
    let leads = || {
        let args = ["get", "lease", space.name(), "-o", "json"];
        let lease = space.kubectl(&args);
        let held = lease.code == Some(0) && lease.json()["spec"]["holderIdentity"].is_string();
        (held && warden.metric("leader") > 0).then_some(())
    };
    eventually("a leader", leads);
    space.kubectl(&["delete", "leases", "--all"]).succeeds();
    eventually("a leader with a Lease of its own", leads);
}

/// As when a load balancer forgets its connections: nobody says that they are gone.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn an_election_outlives_a_request_that_is_never_answered() {
    let (proxy, space) = (Proxy::start(), Space::new());
    let args = ["--webhook-configuration", space.name()];
    let warden = Warden::with("tidyUp: {mode: 'off'}\n")
        .through(&proxy)
        .claims_in(space.name())
        .args(&args)
        .begin();
    warden.is_ready();
    eventually("a leader", || (warden.metric("leader") > 0).then_some(()));
    let renewed = || {
        let args = ["get", "lease", space.name(), "-o", "json"];
        let lease = space.kubectl(&args).succeeds().json();
        lease["spec"]["renewTime"].clone()
    };
    proxy.stall();
    // It renews every ten seconds.
    thread::sleep(Duration::from_secs(13));
    let last = renewed();
    proxy.go_on_anew();
    thread::sleep(Duration::from_secs(10));
    eventually("the Lease to be renewed", || {
        (renewed() != last).then_some(())
    });
}
