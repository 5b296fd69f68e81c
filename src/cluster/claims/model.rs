//! A model check of the claims: explores every order of all steps and checks the invariants in every state.
//!
//! Requests, a sweeper and an API server take their steps in any order; replicas die at any step, with their last write
//! lost, done, or still to come; answers to writes do not come; creates commit late or never; Jobs finish, or are deleted and leave a pod. The steps
//! are those of the real [`Take`] and [`Sweep`], and the store itself reads the answers to writes, so the check covers
//! the real code. States are explored breadth first, so that a counterexample is as short as possible.
//!
//! A Job may have two keys. A refused request may fail the Job that it has to wait for, started or not.
//!
//! Written by hand, because `stateright` brings some thirty crates and a web server for what is a queue and a set here.
//! Not in the model: time within [`world::TICK`], and so clocks that differ by less than that (that
//! [`EXPIRY`](super::protocol::EXPIRY) covers them is arithmetic); more than three requests; the mark that a watch or a
//! waiter sets on a holder it has seen, because the sweeper sets the same one; more than one API server, because
//! consistent reads make them one; a Job that is being deleted, which counts as active or as finished by its pods; and
//! pods that the Job controller creates for a Job that is gone.

mod scene;
mod world;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::protocol::{Conclusion, Reply, Step, Version};
use super::sweep::{Sweep, SweepStep};
use scene::{BOTH, DATABASE, NAME, Sabotage, Scene, TWO};
use strum::VariantArray;
use world::{Action, Job, World};

#[derive(Debug)]
struct Explored {
    states: usize,
    /// The shortest path to a state that breaks an invariant, and that invariant.
    broken: Option<(Vec<Action>, &'static str)>,
}

/// Explores all states that are reachable from this world.
fn explore(
    start: World,
    fault: impl Fn(&World, &mut HashSet<u64>) -> Option<&'static str>,
) -> Explored {
    let hasher = BuildHasherDefault::<DefaultHasher>::new();
    let mut parents = HashMap::from([(hasher.hash_one(&start), None)]);
    let mut settled = HashSet::new();
    let mut queue = VecDeque::from([start]);
    while let Some(world) = queue.pop_front() {
        let here = hasher.hash_one(&world);
        if let Some(broken) = fault(&world, &mut settled) {
            let broken = Some((way(&parents, here), broken));
            let states = parents.len();
            return Explored { states, broken };
        }
        for (action, next) in world.successors() {
            parents.entry(hasher.hash_one(&next)).or_insert_with(|| {
                queue.push_back(next);
                Some((here, action))
            });
        }
    }
    let states = parents.len();
    Explored {
        states,
        broken: None,
    }
}

fn way(parents: &HashMap<u64, Option<(u64, Action)>>, mut at: u64) -> Vec<Action> {
    let mut way = Vec::new();
    while let Some(Some((from, action))) = parents.get(&at) {
        way.push(*action);
        at = *from;
    }
    way.reverse();
    way
}

fn two_active(world: &World) -> Option<&'static str> {
    let is_shared = |key: &usize| world.active(*key) > 1;
    BOTH.iter().any(is_shared).then_some("two active at once")
}

fn fault(world: &World, settled: &mut HashSet<u64>) -> Option<&'static str> {
    if let Some(broken) = two_active(world) {
        return Some(broken);
    }
    // The outcome of a quiet cluster depends only on the stored state.
    let quiet = world.quiet();
    let hasher = BuildHasherDefault::<DefaultHasher>::new();
    if !settled.insert(hasher.hash_one(&quiet)) {
        return None;
    }
    if BOTH.iter().any(|&key| stays_claimed(quiet.clone(), key)) {
        return Some("a claim stays though its holder cannot run");
    }
    let keys = quiet.keys(world::EXTRA);
    let is_free = keys.iter().all(|&key| quiet.active(key) == 0);
    match (takes(quiet), is_free) {
        (true, false) => Some("a second one would be let in"),
        (false, true) => Some("nobody runs and nobody is let in"),
        _ => None,
    }
}

/// Whether a sweep leaves a claim behind whose holder cannot run.
fn stays_claimed(mut world: World, key: usize) -> bool {
    let Some(stored) = world.leases[key].clone() else {
        return false;
    };
    let mut sweep = Sweep::new(stored, world.now());
    while !matches!(sweep.step(), SweepStep::Leave) {
        if !world.sweep(key, &mut sweep) {
            break;
        }
    }
    let left = world.leases[key].as_ref();
    left.is_some_and(|stored| !world.runs(&stored.claim.uid))
}

/// Whether one more request is admitted.
fn takes(mut world: World) -> bool {
    let mut take = world.attempt(world::EXTRA);
    loop {
        match take.step() {
            Step::Done(outcome) => return matches!(outcome, Conclusion::Held { .. }),
            step => take.on(world.serve(world::EXTRA, step)),
        }
    }
}

fn holds(scene: Scene, at_least: usize) {
    let found = explore(World::new(scene), fault);
    assert!(found.broken.is_none(), "{:#?}", found.broken);
    // A model that explores only a few states proves nothing.
    assert!(found.states > at_least, "{} states", found.states);
    println!("{} states", found.states);
}

#[test]
fn two_requests_and_a_crash() {
    let scene = Scene {
        ticks: 1,
        crashes: 1,
        ..TWO
    };
    holds(scene, 10_000);
}

/// The attempt starts over, and the write may still arrive. Two keys and the sweeper together are two million states,
/// which take minutes, and hold.
#[test]
fn two_requests_and_a_write_without_an_answer() {
    for keys in [NAME, BOTH] {
        let scene = Scene {
            ticks: 1,
            unanswered: 1,
            swept: keys == NAME,
            keys: [keys; 5],
            ..TWO
        };
        holds(scene, 10_000);
    }
}

/// Claims expire, the sweeper gives them up, and a replica dies.
#[test]
fn two_requests_an_expiry_and_a_crash() {
    let scene = Scene {
        ticks: 2,
        crashes: 1,
        ..TWO
    };
    holds(scene, 10_000);
}

/// One request has two keys, and the others one of them each.
#[test]
fn a_request_with_two_keys_beside_others() {
    for first in [Job::Absent, Job::Active] {
        let scene = Scene {
            requests: 3,
            ticks: 1,
            swept: false,
            first,
            keys: [BOTH, NAME, DATABASE, BOTH, BOTH],
            ..TWO
        };
        holds(scene, 10_000);
    }
}

#[test]
fn two_requests_with_two_keys_and_a_crash() {
    let scene = Scene {
        ticks: 1,
        crashes: 1,
        swept: false,
        keys: [BOTH; 5],
        ..TWO
    };
    holds(scene, 10_000);
}

#[test]
fn two_requests_and_crashes_without_a_sweeper() {
    let scene = Scene {
        ticks: 2,
        crashes: 2,
        swept: false,
        ..TWO
    };
    holds(scene, 10_000);
}

/// With a crash, there is no sweeper, or there would be too many states.
#[test]
fn two_requests_beside_a_job_without_a_claim() {
    let scene = Scene {
        ticks: 1,
        first: Job::Active,
        ..TWO
    };
    holds(scene, 10_000);
    let scene = Scene {
        crashes: 1,
        swept: false,
        ..scene
    };
    holds(scene, 1_000);
}

#[test]
fn two_requests_after_a_finished_one() {
    let scene = Scene {
        ticks: 1,
        first: Job::Finished,
        ..TWO
    };
    holds(scene, 10_000);
}

/// A refused one fails the other, whose pods run until Kubernetes has stopped them.
#[test]
fn two_requests_of_which_one_supersedes_the_other() {
    for (first, crashes) in [(Job::Absent, 1), (Job::Active, 0)] {
        let scene = Scene {
            ticks: 1,
            crashes,
            first,
            supersedes: true,
            ..TWO
        };
        holds(scene, 10_000);
    }
}

#[test]
fn three_requests() {
    let scene = Scene {
        requests: 3,
        ticks: 2,
        swept: false,
        ..TWO
    };
    holds(scene, 10_000);
}

/// Without any one of the safeguards, two Jobs are active at once.
#[test]
fn every_safeguard_is_needed() {
    for sabotage in Sabotage::VARIANTS {
        let scene = match sabotage {
            Sabotage::LateCommit | Sabotage::BlindToPods | Sabotage::FastClock => TWO,
            Sabotage::FailedAtOnce => Scene {
                first: Job::Active,
                supersedes: true,
                ..TWO
            },
            Sabotage::NoVersions => Scene {
                first: Job::Finished,
                ..TWO
            },
            Sabotage::UncountedWrites => Scene {
                ticks: 0,
                crashes: 2,
                swept: false,
                first: Job::Coming,
                ..TWO
            },
            Sabotage::EmptyList => Scene {
                requests: 1,
                first: Job::Active,
                ..TWO
            },
        };
        let sabotage = Some(*sabotage);
        let world = World::new(Scene { sabotage, ..scene });
        let found = explore(world, |world, _| two_active(world));
        let states = found.states;
        let Some((way, what)) = found.broken else {
            panic!("{sabotage:?}: no counterexample in {states} states");
        };
        println!("{sabotage:?}: {what}: {way:#?}");
    }
}

/// Tests the replies of the world itself, so that a step with a wrong reply is noticed.
#[test]
fn every_step_is_answered() {
    let mut world = World::new(TWO);
    let me = world.claim_of(0);
    let Reply::Written(stored) = world.serve(0, Step::Create(0, me.clone())) else {
        panic!("nobody has it");
    };
    assert_eq!(world.serve(0, Step::Create(0, me.clone())), Reply::Lost);
    let other = Version {
        uid: "other".to_owned(),
        ..stored.version.clone()
    };
    assert_eq!(
        world.serve(0, Step::Delete(0, other.clone())),
        Reply::Deleted
    );
    assert_eq!(
        world.serve(0, Step::Look(0)),
        Reply::Looked(Some(stored.clone()))
    );
    assert_eq!(
        world.serve(0, Step::Replace(0, other, me.clone())),
        Reply::Lost
    );
    let version = stored.version;
    assert_eq!(
        world.serve(0, Step::Delete(0, version.clone())),
        Reply::Deleted
    );
    assert_eq!(world.serve(0, Step::Replace(0, version, me)), Reply::Lost);
}
