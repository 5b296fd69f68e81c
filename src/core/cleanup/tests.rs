//! Tests by example, and of properties that hold for all Jobs.

use super::*;
use crate::core::job::release::Source;
use crate::core::job::running::Said;
use crate::core::job::stored::End;
use crate::core::policy::testing::policy as policy_of;
use crate::core::policy_file::validate::builtin;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The time this many minutes after a fixed start.
fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_766_361_600 + minute * 60).unwrap()
}

/// An attempt created at `minute` that failed a minute later, with one thing changed.
fn failed(minute: i64, change: impl FnOnce(&mut StoredJob)) -> Arc<StoredJob> {
    let name = format!("shop-migrate-{}", at(minute).as_second());
    let mut job = StoredJob {
        namespace: "team".to_owned(),
        uid: format!("uid-{name}"),
        name,
        resource_version: "1".to_owned(),
        base: "shop-migrate".to_owned(),
        release: "shop".to_owned(),
        release_source: Source::InstanceLabel,
        created: at(minute),
        started: None,
        deadline: None,
        said: Said::Idle,
        has_tried: true,
        end: Some(End {
            at: at(minute + 1),
            succeeded: false,
        }),
        is_deleting: false,
        is_held: false,
        is_opted_out: false,
        adopted: None,
        is_timestamped: true,
        deletes_before_creation: true,
        deletes_succeeded: false,
    };
    change(&mut job);
    Arc::new(job)
}

fn succeed(job: &mut StoredJob) {
    job.end.as_mut().unwrap().succeeded = true;
}

/// The policy that keeps this many failed Jobs.
fn keeping(keep_failed: usize) -> Policy {
    let mut policy = builtin();
    policy.tidy_up.keep_failed = keep_failed;
    policy
}

/// Minute of creation and reason of the removed Jobs.
fn gone(jobs: &[Arc<StoredJob>], keep: usize, minute: i64) -> Vec<(i64, &'static str)> {
    let minutes = |job: &StoredJob| (job.created.as_second() - at(0).as_second()) / 60;
    let removals = plan(jobs, &keeping(keep), GRACE, at(minute)).into_iter();
    removals
        .map(|r| (minutes(&r.job), r.reason.into()))
        .collect()
}

type Change = fn(&mut StoredJob);

fn same(_: &mut StoredJob) {}

#[test]
fn the_newest_failed_and_the_last_attempt_stay() {
    let failures = [failed(20, same), failed(0, same), failed(40, same)];
    let success = [failed(0, same), failed(20, same), failed(40, succeed)];
    for (jobs, keep, expected) in [
        (&failures[..], 1, &[0, 20][..]),
        (&failures, 2, &[0]),
        (&failures, 3, &[]),
        (&success[..2], 0, &[0]),
        (&success, 0, &[0, 20]),
        (&success, 1, &[0]),
    ] {
        let expected: Vec<_> = expected.iter().map(|at| (*at, "earlier-attempt")).collect();
        assert_eq!(gone(jobs, keep, 60), expected);
    }
}

#[test]
fn what_is_another_migration_or_may_still_be_looked_at_stays() {
    let with = |first: Change, second: Change| gone(&[failed(0, first), failed(40, second)], 1, 60);
    let earlier = [(0, "earlier-attempt")];
    assert_eq!(with(same, same), earlier);
    assert_eq!(
        with(|job| job.end.as_mut().unwrap().at = at(50), same),
        earlier
    );
    let stays: [Change; 7] = [
        |job| job.end = None,
        |job| job.end.as_mut().unwrap().at = at(51),
        |job| job.is_held = true,
        |job| job.is_deleting = true,
        |job| job.is_opted_out = true,
        |job| job.deletes_before_creation = false,
        succeed,
    ];
    for change in stays {
        assert_eq!(with(change, same), []);
    }
    let others: [Change; 4] = [
        |job| job.base = "shop-seed".to_owned(),
        |job| job.namespace = "other".to_owned(),
        |job| job.release = "billing".to_owned(),
        // It does not stand for one that stays.
        |job| job.is_deleting = true,
    ];
    for change in others {
        assert_eq!(with(same, change), []);
    }
}

#[test]
fn a_succeeded_one_goes_where_helm_does_not_know_that_it_should() {
    let job = failed(0, |job| {
        succeed(job);
        job.deletes_succeeded = true;
    });
    assert_eq!(gone(&[Arc::clone(&job)], 1, 10), []);
    assert_eq!(gone(&[job], 1, 11), [(0, "hook-succeeded")]);
    let failed = failed(0, |job| job.deletes_succeeded = true);
    assert_eq!(gone(&[failed], 1, 60), []);
}

#[test]
fn an_adopted_one_goes_only_where_its_chart_made_it_pile_up() {
    let adopted = |job: &mut StoredJob| job.adopted = Some("detected".to_owned());
    let removed = |policy: &str, change: Change| {
        let change = |job: &mut StoredJob| {
            adopted(job);
            change(job);
        };
        let jobs = [failed(0, change), failed(40, change)];
        plan(&jobs, &policy_of(policy), GRACE, at(60)).len()
    };
    assert_eq!(removed("", same), 1);
    assert_eq!(removed("detection: {promises: [tidyUp]}\n", same), 1);
    assert_eq!(removed("", |job| job.is_timestamped = false), 0);
    assert_eq!(removed("", |job| job.deletes_before_creation = false), 0);
    assert_eq!(
        removed("detection: {promises: [claims, guards, record]}\n", same),
        0
    );
    // An entry of an earlier policy adopted it.
    assert_eq!(removed("", |job| job.adopted = Some("lago".to_owned())), 0);
    let lago = "adopt: [{name: lago, match: {names: [x]}, promises: [claims]}]\n";
    assert_eq!(
        removed(lago, |job| job.adopted = Some("lago".to_owned())),
        0
    );
}

prop_compose! {
    fn any_job()(
        created in 0..60_i64,
        base in 0..2_u8,
        release in 0..2_u8,
        namespace in 0..2_u8,
        end in proptest::option::of((0..30_i64, any::<bool>())),
        flags in any::<[bool; 5]>(),
        // Most Jobs are plain ones.
        plain in 0..3_u8,
    ) -> StoredJob {
        let job = failed(created, |job| {
            job.base = format!("migrate{base}");
            job.release = format!("release{release}");
            job.namespace = format!("team{namespace}");
            job.end = end.map(|(after, succeeded)| End { at: at(created + after), succeeded });
            if plain == 0 {
                [job.is_deleting, job.is_held, job.is_opted_out, job.deletes_before_creation,
                    job.deletes_succeeded] = flags;
            }
        });
        StoredJob::clone(&job)
    }
}

fn any_jobs() -> impl Strategy<Value = Vec<Arc<StoredJob>>> {
    vec(any_job(), 0..12).prop_map(|jobs| {
        let unique = |(i, mut job): (usize, StoredJob)| {
            job.uid = format!("uid-{i}");
            job.name = format!("{}-{i}", job.base);
            Arc::new(job)
        };
        jobs.into_iter().enumerate().map(unique).collect()
    })
}

fn uids(removals: &[Removal]) -> BTreeSet<String> {
    removals.iter().map(|r| r.job.uid.clone()).collect()
}

/// The newest `keep` failed Jobs of each migration that are not being deleted.
fn newest_failed(jobs: &[Arc<StoredJob>], keep: usize) -> BTreeSet<String> {
    let mut migrations: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let failed = |job: &&Arc<StoredJob>| job.end.is_some_and(|end| !end.succeeded);
    for job in jobs.iter().filter(failed).filter(|job| !job.is_deleting) {
        let key = (job.namespace.clone(), job.release.clone(), job.base.clone());
        migrations.entry(key).or_default().push(job);
    }
    let newest = migrations.into_values().flat_map(|mut failed| {
        failed.sort_by_key(|job| (job.created, job.name.clone()));
        failed.into_iter().rev().take(keep)
    });
    newest.map(|job| job.uid.clone()).collect()
}

proptest! {
    #[test]
    fn nothing_goes_that_must_stay(jobs in any_jobs(), keep in 0..3_usize, now in 0..120_i64) {
        let now = at(now);
        let removals = plan(&jobs, &keeping(keep), GRACE, now);
        let stay = newest_failed(&jobs, keep);
        prop_assert!(uids(&removals).is_disjoint(&stay), "{removals:?} and {stay:?}");
        for Removal { job, reason } in &removals {
            let end = job.end.expect("it has finished");
            prop_assert!(now.duration_since(end.at) >= GRACE, "{job:?}");
            prop_assert!(now.duration_since(job.created) >= GRACE, "{job:?}");
            prop_assert!(!job.is_held && !job.is_deleting && !job.is_opted_out, "{job:?}");
            prop_assert_eq!(end.succeeded, *reason == Reason::HookSucceeded);
            let wanted = if end.succeeded { job.deletes_succeeded } else { job.deletes_before_creation };
            prop_assert!(wanted, "{job:?}");
        }
    }

    #[test]
    fn all_of_it_goes_at_once(jobs in any_jobs(), keep in 0..3_usize, now in 0..120_i64) {
        let gone = uids(&plan(&jobs, &keeping(keep), GRACE, at(now)));
        let left: Vec<_> = jobs.into_iter().filter(|job| !gone.contains(&job.uid)).collect();
        prop_assert_eq!(plan(&left, &keeping(keep), GRACE, at(now)), []);
    }

    #[test]
    fn the_order_does_not_matter(
        (jobs, shuffled) in any_jobs().prop_flat_map(|jobs| (Just(jobs.clone()), Just(jobs).prop_shuffle())),
        keep in 0..3_usize,
    ) {
        prop_assert_eq!(plan(&jobs, &keeping(keep), GRACE, at(120)), plan(&shuffled, &keeping(keep), GRACE, at(120)));
    }
}
