//! Tests of each decision of the protocol by itself; the model covers their combination.

use jiff::Timestamp;

use super::*;
use crate::cluster::claims::protocol::EXPIRY;

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

fn listed(uid: &str) -> Listed {
    Listed {
        claim: seen(uid, 0),
        suspended: false,
    }
}

const UNFINISHED: Found = Found::Unfinished { suspended: false };
const ACTIVE: Standing = Standing::Active { suspended: false };

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
    let version = version.map(|version| stored(holder.clone(), version).version);
    Step::Done(Conclusion::Waiting {
        holder,
        version,
        standing,
    })
}

/// The attempt after its create found the claim of this holder.
fn meets(holder: &Claim, listed: Vec<Listed>) -> Take {
    let mut take = Take::opened(me(), false, listed, Reply::Lost);
    assert_eq!(take.step(), Step::Look);
    take.on(Reply::Looked(Some(stored(holder.clone(), "7"))));
    take
}

#[test]
fn with_nobody_in_the_way_it_is_one_step() {
    assert_eq!(Take::first(&me(), false), Step::Create(me()));
    let written = Reply::Written(stored(me(), "1"));
    let take = Take::opened(me(), false, vec![listed("me")], written);
    assert_eq!(take.step(), held(None));
}

#[test]
fn an_active_job_without_a_claim_gets_the_new_one() {
    let written = Reply::Written(stored(me(), "1"));
    let mut take = Take::opened(me(), false, vec![listed("old")], written);
    assert_eq!(take.step(), Step::FindJob(seen("old", 0)));
    take.on(Reply::Job(UNFINISHED));
    let version = stored(me(), "1").version;
    assert_eq!(take.step(), Step::Replace(version, over(seen("old", 0))));
    let old = over(seen("old", 0));
    take.on(Reply::Written(stored(old.clone(), "2")));
    assert_eq!(take.step(), waiting(old, Some("2"), ACTIVE));
}

#[test]
fn a_listed_job_that_has_finished_since_is_not_in_the_way() {
    let written = Reply::Written(stored(me(), "1"));
    let mut take = Take::opened(me(), false, vec![listed("old")], written);
    take.on(Reply::Job(Found::Finished));
    assert_eq!(take.step(), held(None));
}

#[test]
fn the_claim_of_the_same_review_is_held() {
    // It is written once more, so that no write of the earlier attempt can still take effect.
    let mut take = meets(&me(), Vec::new());
    let version = stored(me(), "7").version;
    assert_eq!(take.step(), Step::Replace(version, over(me())));
    take.on(Reply::Written(stored(over(me()), "8")));
    assert_eq!(take.step(), held(None));
    // A Job without a claim still has priority: the first replica may have died too early.
    let take = meets(&me(), vec![listed("old")]);
    assert_eq!(take.step(), Step::FindJob(seen("old", 0)));
}

#[test]
fn a_holder_that_the_list_shows_needs_no_further_look() {
    let take = meets(&seen("old", 0), vec![listed("old")]);
    assert_eq!(take.step(), waiting(seen("old", 0), Some("7"), ACTIVE));
}

#[test]
fn a_finished_holder_is_followed() {
    let mut take = meets(&claim("old", 99), Vec::new());
    assert_eq!(take.step(), Step::FindJob(claim("old", 99)));
    take.on(Reply::Job(Found::Finished));
    assert_eq!(
        take.step(),
        Step::Replace(stored(me(), "7").version, over(me()))
    );
    take.on(Reply::Written(stored(me(), "8")));
    assert_eq!(take.step(), held(Some(claim("old", 99))));
}

#[test]
fn a_finished_holder_is_not_followed_past_a_job_without_a_claim() {
    let mut take = meets(&claim("old", 99), vec![listed("older")]);
    take.on(Reply::Job(Found::Finished));
    assert_eq!(take.step(), Step::FindJob(seen("older", 0)));
    take.on(Reply::Job(UNFINISHED));
    let version = stored(me(), "7").version;
    assert_eq!(take.step(), Step::Replace(version, over(seen("older", 0))));
}

/// The step for a holder that is gone.
fn gone(holder: &Claim, live: bool) -> Step {
    let mut take = meets(holder, Vec::new());
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
    let follow = Step::Replace(stored(me(), "7").version, over(me()));
    assert_eq!(gone(&claim("old", 99 - expiry), false), follow);
    // A Job that was seen once is not created a second time.
    assert_eq!(gone(&seen("old", 99), false), follow);
}

#[test]
fn a_pod_that_still_runs_is_waited_for() {
    for holder in [claim("old", -500), seen("old", 99)] {
        let expected = waiting(holder.clone(), Some("7"), Standing::Deleted);
        assert_eq!(gone(&holder, true), expected);
    }
}

#[test]
fn who_loses_a_write_looks_again() {
    let mut take = meets(&claim("old", 0), Vec::new());
    take.on(Reply::Job(Found::Finished));
    take.on(Reply::Lost);
    assert_eq!(take.step(), Step::Look);
    take.on(Reply::Looked(None));
    assert_eq!(take.step(), Step::Create(me()));
    take.on(Reply::Written(stored(me(), "9")));
    assert_eq!(take.step(), held(None));
}

#[test]
fn who_always_loses_gives_up() {
    let mut take = Take::opened(me(), false, Vec::new(), Reply::Lost);
    for _ in 0..MAX_LOSSES {
        take.on(Reply::Looked(None));
        assert_eq!(take.step(), Step::Create(me()));
        take.on(Reply::Lost);
    }
    assert_eq!(take.step(), Step::Done(Conclusion::Contended));
}

#[test]
fn a_dry_run_writes_nothing() {
    assert_eq!(Take::first(&me(), true), Step::Look);
    let free = Take::opened(me(), true, Vec::new(), Reply::Looked(None));
    assert_eq!(free.step(), held(None));

    let mut unclaimed = Take::opened(me(), true, vec![listed("old")], Reply::Looked(None));
    assert_eq!(unclaimed.step(), Step::FindJob(seen("old", 0)));
    unclaimed.on(Reply::Job(UNFINISHED));
    assert_eq!(unclaimed.step(), waiting(seen("old", 0), None, ACTIVE));

    let lease = Reply::Looked(Some(stored(claim("old", 0), "7")));
    let mut finished = Take::opened(me(), true, Vec::new(), lease);
    finished.on(Reply::Job(Found::Finished));
    assert_eq!(finished.step(), held(None));
}
