//! Tests of the laws that make it irrelevant which replica writes a run, and when.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use strum::VariantArray;

use super::observe::observe;
use super::pods::PodFacts;
use super::resource::{Deployer, JobReference};
use super::testing::Seen;
use super::*;

prop_compose! {
    fn texts()(texts in vec("[ab]", 0..3)) -> Vec<String> {
        united(&texts, &[])
    }
}

fn moment() -> impl Strategy<Value = Option<Timestamp>> {
    option::of((0_i64..4).prop_map(|second| Timestamp::from_second(second).unwrap()))
}

prop_compose! {
    fn status()(
        outcome in select(Outcome::VARIANTS),
        [admitted_at, started_at, finished_at] in [moment(), moment(), moment()],
        reason in option::of(select(&["BackoffLimitExceeded", "OOMKilled", "Evicted"][..])),
        message in option::of("[ab]"),
        exit_code in option::of(0_i32..3),
        image_ids in texts(),
    ) -> MigrationRunStatus {
        let reason = reason.map(str::to_owned);
        let status = MigrationRunStatus {
            outcome, admitted_at, started_at, finished_at, duration: None, reason, message, exit_code, image_ids,
        };
        status.join(&status)
    }
}

prop_compose! {
    fn known()(
        [uid, release, migration] in ["[ab]", "[ab]", "[ab]"],
        [chart, tool, requested_by, decision, adopted] in [0; 5].map(|_| option::of("[ab]")),
        [images, exceptions] in [texts(), texts()],
        deployer in select(&[Deployer::Helm, Deployer::Kubectl][..]),
        reviewed in any::<bool>(),
        attempt in 0_i32..3,
        status in status(),
    ) -> Known {
        let job = JobReference { name: "x".to_owned(), uid };
        let release = ReleaseReference { name: release, source: "flux".to_owned() };
        let spec = MigrationRunSpec {
            job, release, migration, chart, tool, images, deployer, requested_by, decision, exceptions, adopted, reviewed,
            attempt,
        };
        Known { spec, status }
    }
}

proptest! {
    #[test]
    fn to_say_it_again_changes_nothing(a in known(), b in known()) {
        prop_assert_eq!(a.join(&a), a.clone());
        let both = a.join(&b);
        prop_assert_eq!(both.join(&b), both.clone());
        prop_assert_eq!(both.join(&a), both);
    }

    #[test]
    fn the_order_does_not_matter(a in known(), b in known()) {
        prop_assert_eq!(a.join(&b), b.join(&a));
    }

    #[test]
    fn who_has_heard_of_whom_does_not_matter(a in known(), b in known(), c in known()) {
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
    }

    #[test]
    fn an_end_never_changes_back(a in known(), b in known()) {
        let both = a.join(&b);
        prop_assert!(both.status.outcome >= a.status.outcome);
        if a.status.outcome > b.status.outcome {
            prop_assert_eq!(both.status.finished_at, a.status.finished_at);
            prop_assert_eq!(both.status.reason, a.status.reason);
            prop_assert_eq!(both.status.exit_code, a.status.exit_code);
        }
        if let (Some(first), Some(second)) = (a.status.started_at, b.status.started_at) {
            prop_assert_eq!(both.status.started_at, Some(first.min(second)));
        }
    }

    #[test]
    fn any_release_makes_a_label(release in "\\PC{0,80}") {
        let label = release_label(&release);
        prop_assert!(label.len() <= 63 && !label.is_empty());
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        prop_assert!(label.chars().all(allowed), "{}", label);
        prop_assert!(label.starts_with(|c: char| c.is_ascii_alphanumeric()));
        prop_assert!(label.ends_with(|c: char| c.is_ascii_alphanumeric()));
    }

    #[test]
    fn what_is_kept_is_short_and_has_no_control_characters(text in "\\PC*[\\x00-\\x1f]*\\PC*", length in 0_usize..40) {
        let kept = clean(&text, length);
        prop_assert!(kept.len() <= length);
        prop_assert!(!kept.chars().any(char::is_control));
    }
}

#[test]
fn a_release_that_can_stand_in_a_label_stands_there() {
    for release in ["shop", "shop-v2.1_x", "A", &"a".repeat(63)] {
        assert_eq!(release_label(release), *release);
    }
    for release in ["", "-shop", "shop.", "a b", "é", &"a".repeat(64)] {
        let label = release_label(release);
        assert!(label.starts_with("sha256-") && label.len() == 23, "{label}");
    }
}

#[test]
fn names_and_durations() {
    let uid = "6f1f2a3b-0000-4000-8000-000000000001";
    assert_eq!(
        name("shop-migrate-1766361600", uid),
        "shop-migrate-1766361600-6f1f2a3b"
    );
    assert_eq!(name(&"x".repeat(253), uid).len(), 253);
    for (seconds, text) in [
        (-1, "0s"),
        (0, "0s"),
        (59, "59s"),
        (72, "1m12s"),
        (3600, "1h0m0s"),
        (90_061, "25h1m1s"),
    ] {
        assert_eq!(duration_text(SignedDuration::from_secs(seconds)), text);
    }
}

/// The Job with this condition, or one that has not ended.
fn seen(condition: &str) -> Seen {
    let conditions = match condition {
        "" => String::new(),
        kind => format!(
            "{{type: {kind}, status: 'True', lastTransitionTime: 2026-01-01T00:01:30Z, reason: BackoffLimitExceeded, \
             message: Job has reached the specified backoff limit}}"
        ),
    };
    let status = format!("{{startTime: 2026-01-01T00:00:02Z, conditions: [{conditions}]}}");
    testing::seen(&format!("status: {status}"))
}

/// This many seconds after the Job was created.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

#[test]
fn a_job_that_runs() {
    let seen = seen("");
    let pods = PodFacts {
        started_at: Some(at(5)),
        ..PodFacts::default()
    };
    let known = observe(&seen.job, &seen.facts, Some(&pods));
    let (spec, status) = (&known.spec, &known.status);
    assert_eq!(
        (&*spec.release.name, &*spec.release.source),
        ("shop", "instance-label")
    );
    assert_eq!((&*spec.migration, spec.attempt), ("shop-migrate", 0));
    assert!(!spec.reviewed);
    assert_eq!(status.outcome, Outcome::Running);
    assert_eq!(
        (status.admitted_at, status.started_at),
        (Some(at(0)), Some(at(5)))
    );
    assert_eq!((status.finished_at, &status.duration), (None, &None));
    // Its pod will show a better time.
    assert_eq!(known.clone().started(Some(at(2))), known);
}

#[test]
fn a_job_that_failed_says_why_and_its_pod_says_it_better() {
    let seen = seen("Failed");
    let known = observe(&seen.job, &seen.facts, None);
    let status = &known.status;
    assert_eq!(status.outcome, Outcome::Failed);
    assert_eq!(status.finished_at, Some(at(90)));
    assert_eq!(status.duration.as_deref(), Some("1m30s"));
    assert_eq!(status.reason.as_deref(), Some("BackoffLimitExceeded"));
    assert_eq!(
        status.message.as_deref(),
        Some("Job has reached the specified backoff limit")
    );
    let alone = known.clone().started(Some(at(2)));
    assert_eq!(alone.status.duration.as_deref(), Some("1m28s"));

    let pods = PodFacts {
        started_at: Some(at(10)),
        exit_code: Some(137),
        reason: Some("OOMKilled".to_owned()),
        ..PodFacts::default()
    };
    let better = observe(&seen.job, &seen.facts, Some(&pods)).join(&known);
    let status = &better.status;
    assert_eq!(
        (status.exit_code, status.reason.as_deref()),
        (Some(137), Some("OOMKilled"))
    );
    assert_eq!(status.duration.as_deref(), Some("1m20s"));
}

#[test]
fn a_job_that_was_superseded_says_so_unless_it_had_started() {
    let seen = testing::seen(
        "
metadata: {annotations: {migration-warden.io/superseded: 'ErrImagePull: x; shop-migrate-2 waited for it'}}
spec: {activeDeadlineSeconds: 1}
status: {startTime: 2026-01-01T00:00:02Z, conditions: [{type: Failed, status: 'True', reason: DeadlineExceeded,
  message: Job was active longer than specified deadline, lastTransitionTime: 2026-01-01T00:01:30Z}]}
",
    );
    let stopped = PodFacts {
        reason: Some("Evicted".to_owned()),
        message: Some("y".to_owned()),
        ..PodFacts::default()
    };
    for pods in [None, Some(&stopped)] {
        let known = observe(&seen.job, &seen.facts, pods).started(Some(at(2)));
        let status = &known.status;
        assert!(status.is_superseded(), "{status:?}");
        assert_eq!(status.reason.as_deref(), Some("Superseded"));
        let message = "ErrImagePull: x; shop-migrate-2 waited for it";
        assert_eq!(status.message.as_deref(), Some(message));
        assert_eq!(status.started_at, None);
    }
    let ran = PodFacts {
        started_at: Some(at(5)),
        ..PodFacts::default()
    };
    let ended = PodFacts {
        exit_code: Some(137),
        reason: Some("OOMKilled".to_owned()),
        ..PodFacts::default()
    };
    let known = observe(&seen.job, &seen.facts, None);
    for pods in [ran, ended] {
        let seen_to_run = observe(&seen.job, &seen.facts, Some(&pods));
        assert!(!seen_to_run.status.is_superseded());
        // Another replica may find its pods gone.
        assert!(!known.join(&seen_to_run).status.is_superseded());
    }
}

#[test]
fn a_job_that_succeeded_gives_no_reason() {
    let seen = seen("Complete");
    let status = observe(&seen.job, &seen.facts, None).status;
    assert_eq!(status.outcome, Outcome::Succeeded);
    assert_eq!((status.reason, status.message), (None, None));
}

#[test]
fn what_is_gone_has_an_end_and_what_is_lost_no_duration() {
    let seen = seen("");
    let known = observe(&seen.job, &seen.facts, None);
    let gone = |outcome| {
        known.clone().ended(Ending {
            outcome,
            at: at(30),
            reason: None,
            message: None,
        })
    };
    let (deleted, lost) = (gone(Outcome::Deleted), gone(Outcome::Lost));
    assert_eq!(deleted.status.duration.as_deref(), Some("30s"));
    assert_eq!(
        (lost.status.finished_at, &lost.status.duration),
        (Some(at(30)), &None)
    );
    assert_eq!(lost.join(&deleted), deleted);
    let succeeded = observe(&self::seen("Complete").job, &seen.facts, None);
    assert_eq!(deleted.join(&succeeded).status, succeeded.status);
}

/// A database's error may contain a password that is only recognisable by the Job's environment.
#[test]
fn a_jobs_own_password_is_in_no_run() {
    let secret = "hunter2zq";
    let seen = testing::seen(&format!(
        "
metadata: {{labels: {{helm.sh/chart: {secret}}}}}
spec: {{template: {{spec: {{containers: [
  {{image: registry.example.com/{secret}:1, env: [{{name: DB_PASSWORD, value: {secret}}}, {{name: X, valueFrom: {{}}}}, {{value: null}}]}}]}}}}}}
status: {{conditions: [{{type: Failed, status: 'True', lastTransitionTime: 2026-01-01T00:01:30Z,
  reason: {secret}, message: 'FATAL: {secret} rejected'}}]}}
"
    ));
    let pods = PodFacts {
        message: Some(format!("FATAL: {secret} rejected for app")),
        image_ids: vec![format!("registry.example.com/{secret}@sha256:0")],
        ..PodFacts::default()
    };
    for pods in [None, Some(&pods)] {
        let known = observe(&seen.job, &seen.facts, pods);
        let said = format!("{known:?}");
        assert!(
            !said.contains(secret) && said.contains("FATAL: *** rejected"),
            "{said}"
        );
    }
}
