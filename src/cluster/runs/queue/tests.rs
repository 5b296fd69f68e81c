//! Tests of what waits, what is taken first, and what is dropped without room.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::cluster::jobs::Seen;
use crate::core::policy::testing::stored;
use crate::core::runs::Ending;
use crate::core::runs::resource::Outcome;

fn waiting(uid: &str, due: Instant) -> Waiting {
    let key = JobKey {
        namespace: "team".to_owned(),
        job: format!("x-{uid}"),
        uid: uid.to_owned(),
        release: format!("release of {uid}"),
        created: Timestamp::UNIX_EPOCH,
    };
    Waiting::of(key, due)
}

fn seen(uid: &str, due: Instant, ended: bool) -> Waiting {
    let conditions = json!([
        {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]);
    let job = json!({
        "metadata": {"name": "x", "namespace": "team", "uid": uid},
        "status": {"conditions": if ended { conditions } else { json!([]) }},
    });
    Waiting {
        seen: Some(Arc::new(stored(&job, |job| Seen::from(job)))),
        ..waiting(uid, due)
    }
}

fn ended(waiting: &Waiting) -> bool {
    waiting.seen.as_ref().unwrap().job.end.is_some()
}

#[test]
fn one_entry_for_each_job_which_says_all() {
    let start = Instant::now();
    let later = start + Duration::from_secs(10);
    let mut queue = Queue::default();
    assert!(queue.put(seen("a", later, true)).is_none());
    assert!(queue.put(seen("a", later, false)).is_none());
    assert!(queue.put(waiting("a", start)).is_none());
    assert_eq!(queue.next(), Some(start));
    let taken = queue.take(start).unwrap();
    assert!(ended(&taken));
    assert!(queue.take(start).is_none());
}

#[test]
fn what_is_worked_at_waits() {
    let start = Instant::now();
    let mut queue = Queue::default();
    queue.put(seen("a", start, false));
    let taken = queue.take(start).unwrap();
    queue.put(seen("a", start, true));
    assert_eq!((queue.next(), queue.working()), (None, 1));
    queue.done("a");
    let later = start + Duration::from_secs(8);
    let restored = queue.restore(Waiting {
        due: later,
        tries: 4,
        ..taken
    });
    assert!(restored.is_none());
    let again = queue.take(start).unwrap();
    assert!(ended(&again));
    assert_eq!(again.tries, 4);
}

#[test]
fn those_of_one_release_take_turns_and_the_oldest_goes_first() {
    let start = Instant::now();
    let of_release = |uid: &str, second| {
        let mut waiting = waiting(uid, start);
        waiting.key.release = "shop".to_owned();
        waiting.key.created = Timestamp::from_second(second).unwrap();
        waiting
    };
    let mut queue = Queue::default();
    queue.put(of_release("second", 2));
    queue.put(of_release("first", 1));
    queue.put(waiting("other", start));
    let mut next = || queue.take(start).map(|waiting| waiting.key.uid);
    let taken = [next(), next(), next()].map(Option::unwrap_or_default);
    assert_eq!(taken, ["other", "first", ""]);
    assert_eq!(queue.next(), None);
    queue.done("first");
    assert_eq!(queue.take(start).unwrap().key.uid, "second");
}

#[test]
fn a_full_queue_keeps_what_no_scan_would_find() {
    let start = Instant::now();
    let gone = |number: usize| Waiting {
        gone: Some(Timestamp::UNIX_EPOCH),
        ..seen(&format!("gone-{number}"), start, false)
    };
    let mut queue = Queue::default();
    for number in 0..MAX_WAITING {
        assert!(queue.put(waiting(&number.to_string(), start)).is_none());
    }
    assert_eq!(queue.put(waiting("more", start)).unwrap().key.uid, "more");
    assert!(!queue.has_room());
    for number in 0..MAX_WAITING {
        let dropped = queue.put(gone(number)).unwrap();
        assert!(!dropped.is_precious(), "another had to go");
    }
    assert!(queue.put(gone(MAX_WAITING)).unwrap().is_precious());
    let mut count = 0;
    while let Some(waiting) = queue.take(start) {
        assert!(waiting.gone.is_some());
        queue.done(&waiting.key.uid);
        count += 1;
    }
    assert_eq!(count, MAX_WAITING);
}

#[test]
fn a_new_leader_hurries_but_not_to_conclusions() {
    let start = Instant::now();
    let later = start + Duration::from_secs(30);
    let mut queue = Queue::default();
    queue.put(seen("a", later, true));
    queue.put(waiting("suspect", later));
    queue.hurry(start);
    assert_eq!(queue.take(start).unwrap().key.uid, "a");
    assert_eq!(queue.next(), Some(later));
}

#[test]
fn last_words_are_newer_than_what_waits() {
    let start = Instant::now();
    let ending = Ending {
        outcome: Outcome::Succeeded,
        at: Timestamp::UNIX_EPOCH,
        reason: None,
        message: None,
    };
    let words = Waiting {
        words: Some(ending),
        ..waiting("a", start)
    };
    let mut queue = Queue::default();
    queue.put(seen("a", start, false));
    assert!(!queue.waiting["a"].is_in_doubt() && !queue.waiting["a"].is_suspect());
    assert!(waiting("a", start).is_suspect() && !words.is_suspect());
    queue.put(words.clone());
    let taken = queue.take(start).unwrap();
    assert!(taken.is_in_doubt() && taken.words.is_some());
    // A later state from the watch is not an end, and may be older than the review.
    queue.put(seen("a", start, false));
    queue.done("a");
    queue.restore(taken);
    assert!(queue.take(start).unwrap().is_in_doubt());
    // An end from the API server itself needs no confirmation.
    queue.done("a");
    queue.put(seen("a", start, true));
    queue.put(words);
    assert!(!queue.take(start).unwrap().is_in_doubt());
}

fn in_namespace(namespace: &str, uid: &str, due: Instant) -> Waiting {
    let mut waiting = waiting(uid, due);
    namespace.clone_into(&mut waiting.key.namespace);
    waiting
}

#[test]
fn a_namespace_that_refuses_is_tried_with_one_run_at_a_time_and_less_and_less() {
    let start = Instant::now();
    let longest = Duration::from_secs(4);
    let mut queue = Queue::default();
    for number in 0..3 {
        queue.put(in_namespace("bad", &format!("bad-{number}"), start));
    }
    queue.put(in_namespace("good", "good", start));
    let mut now = start;
    for pause in [1, 2, 4, 4] {
        queue.refuse("bad", now, longest);
        let until = now + Duration::from_secs(pause);
        assert_eq!(
            queue.take(now).map(|taken| taken.key.uid),
            (now == start).then(|| "good".to_owned())
        );
        queue.done("good");
        assert_eq!(queue.next(), Some(until));
        now = until;
    }
    let tried = queue.take(now).unwrap();
    assert!(queue.take(now).is_none());
    queue.done(&tried.key.uid);
    assert!(queue.accept("bad") && !queue.accept("bad"));
    assert!(queue.take(now).is_some() && queue.take(now).is_some());
    assert_eq!(queue.forget_the_idle(), Vec::<String>::new());
}

/// Adds one Job to each of `count` namespaces, each with its own release.
fn put_all(queue: &mut Queue, name: &str, count: usize, start: Instant) {
    for number in 0..count {
        let namespace = format!("{name}-{number}");
        queue.put(in_namespace(&namespace, &namespace, start));
    }
}

fn is_bad(waiting: &Waiting) -> bool {
    waiting.key.namespace.starts_with("bad")
}

#[test]
fn namespaces_that_refuse_have_half_of_the_writers_and_come_last() {
    let start = Instant::now();
    let later = start + Duration::from_secs(60);
    let mut queue = Queue::default();
    put_all(&mut queue, "bad", 20, start);
    for number in 0..20 {
        queue.refuse(&format!("bad-{number}"), start, Duration::from_secs(1));
    }
    put_all(&mut queue, "good", 2, start);
    for uid in ["good-0", "good-1"] {
        let taken = queue.take(later).unwrap();
        assert!(!is_bad(&taken), "{}", taken.key.uid);
        queue.done(uid);
    }
    for _ in 0..REFUSED_WRITERS {
        assert!(is_bad(&queue.take(later).unwrap()));
    }
    // The others wait for these writers, and no timer is set for them.
    assert!(queue.take(later).is_none());
    assert_eq!(queue.next(), None);
    put_all(&mut queue, "good", 9, start);
    let good = std::iter::from_fn(|| queue.take(later)).take(9);
    assert_eq!(good.filter(|taken| !is_bad(taken)).count(), 9);
}

#[test]
fn who_has_the_fewest_writers_comes_first() {
    let start = Instant::now();
    let mut queue = Queue::default();
    for number in 0..20 {
        queue.put(in_namespace("large", &format!("large-{number}"), start));
    }
    for _ in 0..3 {
        queue.take(start);
    }
    let mut small = in_namespace("small", "small", start);
    small.key.created = Timestamp::from_second(1).unwrap();
    queue.put(small);
    assert_eq!(queue.take(start).unwrap().key.uid, "small");
    assert_eq!(queue.take(start).unwrap().key.namespace, "large");
}

#[test]
fn a_namespace_with_more_than_its_share_goes_first_when_there_is_no_room() {
    let start = Instant::now();
    let gone = |namespace: &str, number: usize| Waiting {
        gone: Some(Timestamp::UNIX_EPOCH),
        ..in_namespace(namespace, &format!("{namespace}-{number}"), start)
    };
    let mut queue = Queue::default();
    for number in 0..MAX_WAITING {
        assert!(queue.put(gone("large", number)).is_none());
    }
    for number in 0..SHARE {
        let dropped = queue.put(gone("small", number)).unwrap();
        assert_eq!(dropped.key.namespace, "large");
    }
    assert_eq!(
        queue.put(gone("small", SHARE)).unwrap().key.namespace,
        "small"
    );
}

#[test]
fn a_namespace_that_refuses_leaves_room_for_the_others() {
    let start = Instant::now();
    let gone = |number: usize| Waiting {
        gone: Some(Timestamp::UNIX_EPOCH),
        ..in_namespace("bad", &format!("bad-{number}"), start)
    };
    let mut queue = Queue::default();
    for number in 0..MAX_WAITING {
        assert!(queue.put(gone(number)).is_none());
    }
    assert!(queue.put(in_namespace("good", "good", start)).is_some());
    queue.refuse("bad", start, Duration::from_secs(60));
    assert!(queue.has_room());
    for number in 0..MAX_WAITING {
        let good = in_namespace("good", &format!("good-{number}"), start);
        assert_eq!(queue.put(good).unwrap().key.namespace, "bad");
    }
    assert!(queue.put(in_namespace("good", "more", start)).is_some());
    assert!(!queue.has_room());
    assert_eq!(queue.forget_the_idle(), ["bad"]);
    assert!(!queue.is_refused("bad"));
}
