//! What a replica has to do so that the dashboard has something to show.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use crate::claims::{again, endless, is_created, waits};
use crate::exceptions::{self, condition, exception};
use crate::guards::{create, nowhere, running};
use crate::harness::{
    BREACHES, Chart, Guarded, MISSING_HOOK, Outcome, RESTARTING_POD, Space, UNTIMESTAMPED_NAME,
    WRONG_DELETE_POLICY, eventually,
};

/// Only what is to be seen here is done.
pub(super) const POLICY: &str = "rules: {restarting-pod: patch}\ntidyUp: {mode: off}\n";

/// All that the dashboard shows, as far as it happens within seconds.
pub(super) fn all(space: &Guarded) {
    succeeds(space, "good");
    space.accepts(&Chart::guide().render("guide"));
    let denied = BREACHES.map(|breach| breach.id);
    space.rejects(&Chart::broken().render("broken"), &denied[..3]);
    space.patches(&RESTARTING_POD.chart().render("patched"), RESTARTING_POD.id);
    fails(space, "bad");
    // Nobody sends the Jobs of this one.
    let other = Space::new();
    is_created(&other, &Chart::good().render("unseen"));

    let first = endless("twice");
    is_created(space, &first);
    waits(space, &again(&first));

    let job = running(space, "busy");
    let deletion = space.kubectl(&["delete", "job", &job, "--wait=false"]);
    deletion.fails().says("MW102");
    let waiting = create(space, &nowhere(600), "waiting");
    eventually("a pod that waits for a node", || {
        (space.get("job", &waiting)["status"]["active"] == 1).then_some(())
    });
    let deletion = space.kubectl(&["delete", "job", &waiting, "--wait=false"]);
    deletion.succeeds();

    let exception = exception("old-chart", SignedDuration::from_hours(1));
    exceptions::create(space, &exception).succeeds();
    condition(space, "old-chart", "True");
    space.accepts(&Chart::broken().render("ok-old"));

    is_no_review(space);
    for (policy, in_use) in [("no policy", false), (POLICY, true)] {
        space.warden.change_policy(policy);
        eventually("the policy file to be looked at", || {
            let found = space.warden.metric("policy_last_reload_successful") > 0;
            (found == in_use).then_some(())
        });
    }
    // What does not happen while somebody waits for it.
    for series in [
        r#"runs_total{outcome="succeeded"}"#,
        r#"runs_total{outcome="failed"}"#,
        "unreviewed_migrations_total",
        "claims_released_total",
        r#"events_total{result="sent"}"#,
    ] {
        eventually(series, || (space.warden.metric(series) > 0).then_some(()));
    }
}

/// A day in minutes: most migrations are good, and one team learns.
pub(super) fn for_a_while(space: &Guarded, time: Duration) {
    let end = Instant::now() + time;
    let busy = running(space, "night");
    for round in 0.. {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let release = |name: &str| format!("{name}-{round}");
        succeeds(space, &release("shop"));
        let wrong = match round % 7 {
            1 | 2 => Some(UNTIMESTAMPED_NAME),
            4 => Some(MISSING_HOOK),
            6 if round % 3 == 0 => Some(WRONG_DELETE_POLICY),
            _ => None,
        };
        if let Some(breach) = wrong {
            space.rejects(&breach.chart().render(&release("blog")), &[breach.id]);
        }
        match round % 11 {
            3 => drop(space.patches(
                &RESTARTING_POD.chart().render(&release("old")),
                RESTARTING_POD.id,
            )),
            5 => fails(space, &release("mail")),
            7 => drop(space.accepts(&Chart::broken().render(&release("ok")))),
            9 => {
                let first = endless(&release("slow"));
                is_created(space, &first);
                waits(space, &again(&first));
            }
            10 => is_no_review(space),
            _ => {}
        }
        if round % 16 == 8 {
            let deletion = space.kubectl(&["delete", "job", &busy, "--wait=false"]);
            deletion.fails().says("MW102");
        }
        // Not as even as a clock.
        thread::sleep(Duration::from_millis(700 + 2300 * (round * 7 % 10) / 10).min(left));
    }
}

/// A migration that does at once what it has to.
fn succeeds(space: &Guarded, release: &str) {
    space.accepts(&Chart::good().render(release));
}

fn fails(space: &Guarded, release: &str) {
    space.accepts(&nowhere(1).render(release));
}

/// Something else than a review, and an answer that is no success.
fn is_no_review(space: &Guarded) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--insecure", "--data", "{}"])
        .args(["--header", "Content-Type: application/json"])
        .arg(space.warden.url("/validate"));
    let answer = Outcome::of(&mut curl, "").succeeds().json();
    assert_eq!(answer["code"], 400, "{answer}");
}
