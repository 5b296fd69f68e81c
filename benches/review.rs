//! What the pure part costs: review bytes in, answer bytes and decision line out.
//!
//! Against the floor (borrowed structs and four comparisons) and against a whole
//! `serde_json::Value`. No server, no TLS, no decision log: those are in the benchmark `https`.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise, and talks to whoever runs it"
)]

#[path = "common/bodies.rs"]
mod bodies;
#[path = "common/floor.rs"]
mod floor;
#[path = "common/policies.rs"]
mod policies;
#[path = "common/ratios.rs"]
mod ratios;

use jiff::Timestamp;
use migration_warden::core::admit::{self, Answer, Circumstances};
use migration_warden::core::namespace::NamespaceView;
use migration_warden::core::policy::Policy;
use migration_warden::core::policy::verdict::Outcome;
use migration_warden::core::policy_file::validate;
use migration_warden::core::review::Phase;
use std::hint::black_box;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Patches what can be corrected, where the built-in policy denies it.
const PATCHING: &str = "apiVersion: config.migration-warden.io/v1alpha1
kind: MigrationPolicy
rules: {MW004: {action: patch}}
";

fn main() {
    // Cargo says `--bench` when it is to run, and nothing when it only tests that all targets do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let builtin = validate::builtin();
    let patching = validate::read("policy.yaml", PATCHING).expect("a policy");
    println!("| review | bytes | floor, µs | whole tree | ours |\n| --- | --- | --- | --- | --- |");
    for (size, bytes) in bodies::SIZES {
        let body = bodies::allowed(bytes);
        for phase in [Phase::Validate, Phase::Mutate] {
            let name = format!("{size}, allowed, {}", phase.as_str());
            measure(&name, &body, &builtin, phase, Outcome::Allowed);
        }
    }
    let ordinary = bodies::ordinary();
    for (name, entries) in [("0 entries", 0), ("100 entries", 100)] {
        let text = policies::adopting(entries);
        let policy = validate::read("policy.yaml", &text).expect("a policy");
        let name = format!("3.5 KB, ordinary, {name}");
        measure(&name, &ordinary, &policy, Phase::Mutate, Outcome::Allowed);
    }
    let text = String::from_utf8(bodies::allowed(0)).expect("UTF-8");
    let body = text.replace(r#""Never""#, r#""OnFailure""#).into_bytes();
    let (validate, mutate) = (Phase::Validate, Phase::Mutate);
    measure("3.5 KB, denied", &body, &builtin, validate, Outcome::Denied);
    measure(
        "3.5 KB, patched",
        &body,
        &patching,
        mutate,
        Outcome::Patched,
    );
}

fn measure(name: &str, body: &[u8], policy: &Policy, phase: Phase, expected: Outcome) {
    if !ratios::is_wanted(name) {
        return;
    }
    assert_eq!(judge(phase, body, policy).outcome, expected, "{name}");
    let contenders: [&dyn Fn(); 3] = [
        &|| drop(black_box(floor::rules(black_box(body)).expect("an answer"))),
        &|| drop(black_box(floor::value(black_box(body)).expect("an answer"))),
        &|| drop(black_box(judge(phase, black_box(body), policy))),
    ];
    let rounds = if ratios::quick() { 2 } else { 20 };
    let mut micros = contenders.map(|_| Vec::new());
    for round in 0..rounds {
        for index in ratios::order(contenders.len(), round) {
            micros[index].push(time(contenders[index]));
        }
    }
    let [floor, value, ours] = micros;
    println!(
        "| {name} | {} | {:.1} | {} | {} |",
        body.len(),
        ratios::spread(floor.iter().copied()).0,
        ratios::ratio(&value, &floor),
        ratios::ratio(&ours, &floor),
    );
}

/// Microseconds of one call: the least of several batches, because whatever else the machine does
/// only ever adds to it.
fn time(call: &dyn Fn()) -> f64 {
    let batch = Duration::from_millis(if ratios::quick() { 1 } else { 10 });
    let mut least = f64::INFINITY;
    for _ in 0..5 {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while start.elapsed() < batch {
            call();
            calls += 1;
        }
        least = least.min(start.elapsed().as_secs_f64() / f64::from(calls));
    }
    least * 1e6
}

fn judge(phase: Phase, body: &[u8], policy: &Policy) -> Answer {
    let circumstances = Circumstances {
        now: Timestamp::now(),
        id: Uuid::now_v7(),
        replica: "warden-0",
    };
    let review = admit::parse(phase, body).expect("a review");
    let Some(case) = review.select(policy) else {
        return review.allowed().expect("an answer");
    };
    let judged = case.judge(&circumstances, NamespaceView::default());
    judged.finish().expect("an answer")
}
