//! Two replicas behind an API server that answers some requests with 503, loses answers and cuts watches: one migration
//! at a time, and nothing is left behind.
//!
//! With `MW_OTHER=PROGRAM` the second replica is that one, such as the previous version.

use std::{
    collections::HashMap,
    env,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use kube::api::PostParams;
use serde_json::{Value, json};

use super::{create, migrates};
use crate::guards::{by_hand, complete};
use crate::harness::{Faulty, Guarded, Space, Warden, epoch, within};

const TIME: Duration = Duration::from_secs(120);
/// Those of each namespace that deploy the same migration again and again, and those that deploy one of their own.
const RIVALS: usize = 3;
const LONERS: usize = 3;

/// What happened so far.
#[derive(Default)]
struct Seen {
    /// The migration that is active, by what two may not share.
    active: HashMap<String, String>,
    admitted: u32,
    asked: u32,
    undecided: Vec<String>,
}

/// The next attempt of a migration with this base name.
fn attempt(manifest: &str, base: &str, number: u64) -> String {
    let mut job: Value = serde_saphyr::from_str(manifest).unwrap();
    let name = format!("{base}-migrate-{}", (epoch() - 3600) * 1000 + number);
    job["metadata"]["name"] = json!(name);
    job.to_string()
}

/// Deploys a migration again and again. Two with the same `key` never run at once.
fn deploy(space: &Space, manifest: &str, base: &str, key: &str, number: u64, seen: &Mutex<Seen>) {
    let end = Instant::now() + TIME;
    for round in 0.. {
        if Instant::now() > end {
            return;
        }
        let manifest = attempt(manifest, base, number * 100_000 + round);
        let answer = create(space, &manifest, &PostParams::default());
        let mut now = seen.lock().unwrap();
        now.asked += 1;
        let job = match answer {
            Ok(job) => job.metadata.name.unwrap(),
            Err(status) => {
                assert_eq!(status.code, 429, "{status:?}");
                if status.message.contains("could not determine") {
                    now.undecided.push(status.message.clone());
                }
                drop(now);
                thread::sleep(Duration::from_millis(300));
                continue;
            }
        };
        now.admitted += 1;
        let other = now.active.insert(key.to_owned(), job.clone());
        assert_eq!(other, None, "{job} runs beside it");
        drop(now);
        thread::sleep(Duration::from_millis(200 + 50 * (round % 8)));
        seen.lock().unwrap().active.remove(key);
        if round % 2 == 0 {
            complete(space, &job);
        } else {
            space.kubectl(&["delete", "job", &job]).succeeds();
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn one_at_a_time_while_the_api_server_fails() {
    let (spaces, home, faulty) = ([Space::new(), Space::new()], Space::new(), Faulty::start());
    let names = spaces.each_ref().map(Space::name);
    let policy = format!(
        "claims: {{databases: [{{name: orders, namespaces: [{}]}}]}}\n",
        names.join(", ")
    );
    // An upgrade replaces one replica after the other.
    let mut programs = [None, env::var_os("MW_OTHER")].into_iter();
    let replicas = spaces.map(|space| {
        let warden = Warden::with(&policy).program(programs.next().flatten());
        let warden = warden.by(&faulty).claims_in(home.name());
        Guarded::by(warden.serve(), space, |webhooks| webhooks)
    });
    let plain = by_hand().render("app");
    let shared = migrates("orders", &plain);
    let seen = Mutex::new(Seen::default());
    thread::scope(|scope| {
        for (place, space) in replicas.iter().enumerate() {
            for worker in 0..RIVALS + LONERS {
                let number = u64::try_from(place * 100 + worker).unwrap();
                let own = format!("app-{number}");
                let (manifest, base, key) = if worker < RIVALS {
                    (&shared, "app".to_owned(), "orders".to_owned())
                } else {
                    (&plain, own.clone(), own)
                };
                let seen = &seen;
                scope.spawn(move || deploy(space, manifest, &base, &key, number, seen));
            }
        }
    });
    let seen = seen.into_inner().unwrap();
    let undecided = seen.undecided.len();
    println!(
        "{} asked, {} admitted, {undecided} undecided",
        seen.asked, seen.admitted
    );
    assert!(seen.admitted > 100, "{} admitted", seen.admitted);
    assert!(
        undecided * 100 < seen.asked as usize,
        "{:#?}",
        seen.undecided
    );
    // Those of Jobs that were refused by somebody else expire.
    within(
        Duration::from_secs(180),
        "all claims to be given up",
        || {
            let selector = "--selector=migration-warden.io/claim=true";
            let claims = home.kubectl(&["get", "leases", selector, "-o", "name"]);
            claims.succeeds().stdout.trim().is_empty().then_some(())
        },
    );
}
