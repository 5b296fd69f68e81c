//! Tests of each decision of the protocol by itself; the model covers their combination.

use jiff::Timestamp;

use super::*;
use crate::cluster::claims::protocol::{EXPIRY, Version};
use crate::core::job::attempts::{Attempts, Unfinished};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

fn claim(uid: &str, second: i64) -> Claim {
    Claim {
        namespace: "shop".to_owned(),
        job: format!("web-{uid}"),
        uid: uid.to_owned(),
        since: at(second),
        ..Claim::default()
    }
}

fn seen(uid: &str, second: i64) -> Claim {
    let seen = true;
    Claim {
        seen,
        ..claim(uid, second)
    }
}

fn stored(claim: Claim, version: &str) -> Stored {
    let version = Version {
        uid: "lease".to_owned(),
        resource_version: version.to_owned(),
    };
    Stored { claim, version }
}

fn listed(uid: &str, keys: &[usize]) -> Listed {
    Listed {
        claim: seen(uid, 0),
        job: PLAIN,
        keys: keys.to_vec(),
    }
}

const PLAIN: Unfinished = Unfinished {
    is_suspended: false,
    is_terminating: false,
    attempts: Attempts {
        failed: 0,
        limit: None,
        since: None,
        deadline: None,
    },
};
const UNFINISHED: Found = Found::Unfinished(PLAIN);
const ACTIVE: Standing = Standing::Active(PLAIN);

/// The claim as it is written over another one.
fn over(claim: Claim) -> Claim {
    let transitions = 1;
    Claim {
        transitions,
        ..claim
    }
}

/// The claim of the requesting Job, at second 100.
fn me() -> Claim {
    claim("me", 100)
}

fn held(taken_over: Option<Claim>) -> Step {
    Step::Done(Conclusion::Held { taken_over })
}

fn waiting(holder: Claim, version: Option<&str>, standing: Standing) -> Step {
    waiting_by(0, holder, version, standing)
}

fn waiting_by(key: usize, holder: Claim, version: Option<&str>, standing: Standing) -> Step {
    let lease = version.map(|version| (key, stored(holder.clone(), version).version));
    Step::Done(Conclusion::Waiting {
        holder,
        lease,
        standing,
    })
}

/// An attempt for a Job with these claims in the way, one for each of its keys, after it has read them.
fn after_looking(claims: &[Option<&Claim>], dry_run: bool) -> Take {
    let mut take = Take::new(me(), claims.len(), dry_run);
    for (key, claim) in claims.iter().enumerate() {
        assert_eq!(take.step(), Step::Look(key));
        take.on(Reply::Looked(claim.map(|claim| stored(claim.clone(), "7"))));
    }
    take
}

/// The attempt after it found the claim of this holder.
fn meets(holder: &Claim) -> Take {
    after_looking(&[Some(holder)], false)
}

/// The step after the LIST, which is next.
fn lists(take: &mut Take, found: Vec<Listed>) -> Step {
    let other = found.into_iter().find(|job| job.claim.uid != "me");
    assert_eq!(take.step(), Step::List);
    take.on(Reply::Listed(other));
    take.step()
}

fn replace(key: usize, claim: Claim) -> Step {
    Step::Replace(key, stored(me(), "7").version, over(claim))
}

#[test]
fn the_claim_is_written_at_last() {
    let mut take = after_looking(&[None], false);
    let step = lists(&mut take, vec![listed("me", &[0])]);
    assert_eq!(step, Step::Create(0, me()));
    take.on(Reply::Written(stored(me(), "1")));
    assert_eq!(take.step(), held(None));
}

#[test]
fn who_waits_needs_no_list() {
    let mut take = meets(&seen("old", 0));
    assert_eq!(take.step(), Step::FindJob(seen("old", 0)));
    take.on(Reply::Job(UNFINISHED));
    assert_eq!(take.step(), waiting(seen("old", 0), Some("7"), ACTIVE));
}

#[test]
fn an_active_job_without_a_claim_gets_one() {
    let mut take = after_looking(&[None], false);
    let step = lists(&mut take, vec![listed("old", &[0])]);
    assert_eq!(step, Step::Create(0, seen("old", 0)));
    take.on(Reply::Written(stored(seen("old", 0), "2")));
    assert_eq!(take.step(), waiting(seen("old", 0), Some("2"), ACTIVE));
}

#[test]
fn the_claim_of_the_same_review_is_held() {
    // It is written once more, so that no write of the earlier attempt can still take effect.
    let mut take = meets(&me());
    assert_eq!(lists(&mut take, Vec::new()), replace(0, me()));
    take.on(Reply::Written(stored(over(me()), "8")));
    assert_eq!(take.step(), held(None));
    // A Job without a claim still has priority: the first replica may have died too early.
    let step = lists(&mut meets(&me()), vec![listed("old", &[0])]);
    assert_eq!(step, replace(0, seen("old", 0)));
}

#[test]
fn a_finished_holder_is_followed() {
    let finished = || {
        let mut take = meets(&claim("old", 99));
        assert_eq!(take.step(), Step::FindJob(claim("old", 99)));
        take.on(Reply::Job(Found::Finished));
        take
    };
    let mut take = finished();
    assert_eq!(lists(&mut take, Vec::new()), replace(0, me()));
    take.on(Reply::Written(stored(me(), "8")));
    assert_eq!(take.step(), held(Some(claim("old", 99))));
    // But not past a Job without a claim.
    let step = lists(&mut finished(), vec![listed("older", &[0])]);
    assert_eq!(step, replace(0, seen("older", 0)));
}

/// What is next after a holder that is gone.
fn gone(holder: &Claim, live: bool) -> Step {
    let mut take = meets(holder);
    take.on(Reply::Job(Found::Gone));
    assert_eq!(take.step(), Step::FindPods(holder.clone()));
    take.on(Reply::Pods(live));
    take.step()
}

#[test]
fn a_holder_that_may_still_come_is_waited_for() {
    let expiry = EXPIRY.as_secs();
    let young = claim("old", 100 - expiry);
    let expected = waiting(young.clone(), Some("7"), Standing::NotYetThere);
    assert_eq!(gone(&young, false), expected);
    assert_eq!(gone(&claim("old", 99 - expiry), false), Step::List);
    // A Job that was seen once is not created a second time.
    assert_eq!(gone(&seen("old", 99), false), Step::List);
}

#[test]
fn a_pod_that_still_runs_is_waited_for() {
    for holder in [claim("old", -500), seen("old", 99)] {
        let expected = waiting(holder.clone(), Some("7"), Standing::Deleted);
        assert_eq!(gone(&holder, true), expected);
    }
}

#[test]
fn who_loses_a_write_starts_again() {
    let mut take = meets(&claim("old", 0));
    take.on(Reply::Job(Found::Finished));
    assert_eq!(lists(&mut take, Vec::new()), replace(0, me()));
    take.on(Reply::Lost);
    assert_eq!(take.step(), Step::Look(0));
    take.on(Reply::Looked(None));
    assert_eq!(lists(&mut take, Vec::new()), Step::Create(0, me()));
    take.on(Reply::Written(stored(me(), "9")));
    assert_eq!(take.step(), held(None));
}

#[test]
fn who_always_loses_gives_up() {
    let mut take = Take::new(me(), 1, false);
    for _ in 0..=MAX_LOSSES {
        take.on(Reply::Looked(None));
        assert_eq!(lists(&mut take, Vec::new()), Step::Create(0, me()));
        take.on(Reply::Lost);
    }
    assert_eq!(take.step(), Step::Done(Conclusion::Contended));
}

#[test]
fn both_claims_are_written_in_their_order() {
    let mut take = after_looking(&[None, None], false);
    assert_eq!(lists(&mut take, Vec::new()), Step::Create(0, me()));
    take.on(Reply::Written(stored(me(), "1")));
    assert_eq!(take.step(), Step::Create(1, me()));
    take.on(Reply::Written(stored(me(), "2")));
    assert_eq!(take.step(), held(None));
}

#[test]
fn the_holder_of_either_key_is_waited_for() {
    let other = seen("old", 0);
    for (claims, key) in [([Some(&other), None], 0), ([None, Some(&other)], 1)] {
        let mut take = after_looking(&claims, false);
        assert_eq!(take.step(), Step::FindJob(other.clone()));
        take.on(Reply::Job(UNFINISHED));
        let expected = waiting_by(key, other.clone(), Some("7"), ACTIVE);
        assert_eq!(take.step(), expected);
    }
}

#[test]
fn who_loses_the_second_claim_gives_the_first_one_back() {
    let mut take = after_looking(&[None, None], false);
    assert_eq!(lists(&mut take, Vec::new()), Step::Create(0, me()));
    take.on(Reply::Written(stored(me(), "1")));
    take.on(Reply::Lost);
    assert_eq!(take.step(), Step::Delete(0, stored(me(), "1").version));
    take.on(Reply::Deleted);
    assert_eq!(take.step(), Step::Look(0));
}

#[test]
fn a_job_without_claims_gets_those_that_it_shares() {
    let mut take = after_looking(&[None, None], false);
    let old = seen("old", 0);
    let step = lists(&mut take, vec![listed("old", &[0, 1])]);
    assert_eq!(step, Step::Create(0, old.clone()));
    take.on(Reply::Written(stored(old.clone(), "1")));
    assert_eq!(take.step(), Step::Create(1, old.clone()));
    take.on(Reply::Written(stored(old.clone(), "2")));
    let expected = waiting_by(1, old.clone(), Some("2"), ACTIVE);
    assert_eq!(take.step(), expected);

    let mut take = after_looking(&[None, None], false);
    let step = lists(&mut take, vec![listed("old", &[1])]);
    assert_eq!(step, Step::Create(1, old));
}

#[test]
fn a_dry_run_writes_nothing() {
    let mut free = after_looking(&[None], true);
    assert_eq!(lists(&mut free, Vec::new()), held(None));

    let mut unclaimed = after_looking(&[None], true);
    let step = lists(&mut unclaimed, vec![listed("old", &[0])]);
    assert_eq!(step, waiting(seen("old", 0), None, ACTIVE));

    let mut finished = after_looking(&[Some(&claim("old", 0))], true);
    finished.on(Reply::Job(Found::Finished));
    assert_eq!(lists(&mut finished, Vec::new()), held(None));
}
