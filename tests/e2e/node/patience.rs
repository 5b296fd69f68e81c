//! Clients that wait until they give up.

use std::thread;
use std::time::{Duration, Instant};

use crate::claims::{again, endless, is_created};
use crate::harness::{Chart, Guarded, Helm, NodeKind, Outcome, Space, Warden};

/// Ten tries after the first one: two after 15 seconds, one after 30, and seven after a minute, if the first one comes at
/// the holder's second 0. The holder is a few seconds older.
const PATIENCE: Duration = Duration::from_secs(480);
const MOST: Duration = Duration::from_secs(600);

/// F7. Each client waits by itself, and says in the end who was in its way.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn clients_give_up_after_ten_more_tries_and_name_the_holder() {
    let helm = |helm: Helm| {
        move |space: &Guarded| {
            let dir = Chart::good().write();
            let path = dir.path().to_str().unwrap();
            // It is not what limits the wait.
            let args = ["install", "app", path, "--timeout", "1m"];
            space.helm(helm, &args)
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| gives_up(helm(Helm::V3)));
        scope.spawn(|| gives_up(helm(Helm::V4)));
        scope.spawn(|| {
            gives_up(|space| space.kubectl_with(&["create", "-f", "-"], &again(&endless("app"))));
        });
    });
}

fn gives_up(deploy: impl Fn(&Guarded) -> Outcome) {
    let warden = Warden::with("").cluster().serve();
    let space = Guarded::by(warden, Space::on(NodeKind::Real), |webhooks| webhooks);
    let held = is_created(&space, &endless("app"));
    let holder = held["metadata"]["name"].as_str().unwrap();
    // With the second of the holder in its name, Helm would delete that first.
    thread::sleep(Duration::from_secs(1));
    let since = Instant::now();
    let told = deploy(&space);
    let took = since.elapsed();
    let name = space.name();
    told.fails()
        .says(&format!(
            "MW101 concurrent-migration: metadata.name: {name}/{holder} is suspended, "
        ))
        .says(", created ")
        .says(" ago by \"")
        .says(&format!("kubectl describe job {holder} -n {name}"))
        .says(&format!(
            "To give it up, once no Helm waits for it:\n  kubectl delete job {holder} -n {name}"
        ))
        .says("Helm and kubectl retry by themselves for eight to ten minutes.");
    assert!((PATIENCE..MOST).contains(&took), "{took:?}");
    let mut tries = space.audit("create");
    tries.extend(space.audit("patch"));
    tries.retain(|event| event["responseStatus"]["code"] == 429);
    assert_eq!(tries.len(), 11);
    let waiting = space.warden.decisions().into_iter();
    let waiting = waiting.filter(|d| d["verdict"] == "waiting").count();
    assert_eq!(waiting, 1, "told once");
    // What the message says to do helps.
    space.kubectl(&["delete", "job", holder]).succeeds();
    is_created(&space, &again(&endless("app")));
}
