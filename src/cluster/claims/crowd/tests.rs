//! Tests of which claims count, and for how long.

use super::*;

/// Claims of this many Jobs.
fn claims(count: usize) -> Vec<Unseen> {
    (0..count).map(claim).collect()
}

fn claim(number: usize) -> Unseen {
    Unseen {
        lease: format!("claim-{number}"),
        uid: format!("uid-{number}"),
    }
}

const UNSEEN: fn(&str) -> bool = |_| false;

fn begin(begun: &Begun, claim: &Unseen) -> Turn {
    begun.begin("shop", &claim.lease, &claim.uid, UNSEEN)
}

/// Whether there is room for one more claim if these are listed. The watch has returned the Jobs of `is_seen`.
fn room(begun: &Begun, listed: usize, is_seen: impl Fn(&str) -> bool + Copy) -> bool {
    let turn = begun.begin("shop", "claim-new", "uid-new", is_seen);
    let turn = turn.has_room(&claims(listed), is_seen);
    turn.map(|turn| turn.over(false)).is_some()
}

#[test]
fn a_namespace_has_room_for_fifty() {
    let begun = Begun::default();
    assert!(room(&begun, 49, UNSEEN));
    assert!(!room(&begun, 50, UNSEEN));
    // A claim does not count itself.
    let own = begin(&begun, &claim(0)).has_room(&claims(50), UNSEEN);
    assert!(own.is_some());
}

#[test]
fn what_is_begun_counts_once_and_elsewhere_not() {
    let begun = Begun::default();
    let turns: Vec<_> = claims(50).iter().map(|one| begin(&begun, one)).collect();
    assert!(!room(&begun, 0, UNSEEN));
    let other = begun.begin("other", "claim-new", "uid-new", UNSEEN);
    assert!(other.has_room(&[], UNSEEN).is_some());
    drop(turns);
    assert!(room(&begun, 49, UNSEEN));
    let half: Vec<_> = claims(40).iter().map(|one| begin(&begun, one)).collect();
    assert!(room(&begun, 45, UNSEEN), "the same are counted once");
    drop(half);
}

#[test]
fn a_crowd_of_writes_needs_no_list() {
    let begun = Begun::default();
    let mut turns: Vec<_> = claims(49).iter().map(|one| begin(&begun, one)).collect();
    assert!(!begin(&begun, &claim(100)).is_one_too_many());
    turns.push(begin(&begun, &claim(49)));
    assert!(begin(&begun, &claim(100)).is_one_too_many());
}

/// Writes all of these, one after the other.
fn write(begun: &Begun, claims: &[Unseen]) {
    for claim in claims {
        let turn = begin(begun, claim).has_room(&[], UNSEEN);
        turn.unwrap().over(true);
    }
}

#[test]
fn a_migration_whose_job_was_seen_counts_no_more() {
    let begun = Begun::default();
    write(&begun, &claims(8));
    assert!(!begin(&begun, &claim(100)).is_one_of_few());
    // The watch has returned their Jobs: neither this replica's own writes count nor listed claims without the mark.
    let is_seen = |uid: &str| uid != "uid-new";
    let turn = begun.begin("shop", "claim-new", "uid-new", is_seen);
    assert!(turn.is_one_of_few());
    assert!(room(&begun, 60, is_seen));
    // They do not count either if Helm has deleted the Jobs since.
    assert!(begin(&begun, &claim(100)).is_one_of_few());
    assert!(room(&begun, 57, UNSEEN) && !room(&begun, 58, UNSEEN));
}

#[test]
fn a_job_has_two_claims_though_it_is_named_in_many() {
    let begun = Begun::default();
    let forged: Vec<_> = (0..60)
        .map(|number| Unseen {
            uid: "uid-known".to_owned(),
            ..claim(number)
        })
        .collect();
    let is_seen = |uid: &str| uid == "uid-known";
    let room = |count: usize| {
        let turn = begun.begin("shop", "claim-new", "uid-new", is_seen);
        let turn = turn.has_room(&forged[..count], is_seen);
        turn.map(|turn| turn.over(false)).is_some()
    };
    assert!(room(51) && !room(52));
    write(&begun, &forged[..10]);
    let turn = begun.begin("shop", "claim-new", "uid-new", is_seen);
    assert!(!turn.is_one_of_few());
}

#[test]
fn a_list_says_which_of_the_own_claims_are_left() {
    let begun = Begun::default();
    write(&begun, &claims(49));
    assert!(room(&begun, 49, UNSEEN));
    // They expired and were given up, or were marked by another replica.
    assert!(room(&begun, 0, UNSEEN));
    // A claim that is being written may be missing in the LIST.
    let _turn = begin(&begun, &claim(100));
    assert!(!room(&begun, 49, UNSEEN));
    assert!(room(&begun, 48, UNSEEN));
}

#[test]
fn a_write_that_was_given_up_may_still_arrive() {
    let begun = Begun::default();
    for claim in claims(50) {
        let turn = begin(&begun, &claim).has_room(&[], UNSEEN);
        drop(turn.unwrap());
    }
    assert!(!room(&begun, 0, UNSEEN));
    // A migration that waits does not write a claim.
    let begun = Begun::default();
    for claim in claims(50) {
        let turn = begin(&begun, &claim).has_room(&[], UNSEEN);
        turn.unwrap().over(false);
    }
    assert!(begin(&begun, &claim(100)).is_one_of_few());
}

/// Those of seen Jobs are remembered, too: a forged review may name any of them.
#[test]
fn of_a_minute_not_more_writes_are_remembered_than_fit() {
    let (begun, seen) = (Begun::default(), |_: &str| true);
    for number in 0..REMEMBERED {
        let Unseen { lease, uid } = claim(number);
        let turn = begun.begin("shop", &lease, &uid, seen);
        turn.has_room(&[], seen).unwrap().over(true);
    }
    assert!(!room(&begun, 0, seen));
    let other = begun.begin("other", "claim-new", "uid-new", seen);
    assert!(other.has_room(&[], seen).is_some());
}
