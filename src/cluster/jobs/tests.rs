//! Tests of how the events of a watch change the cache.

use serde_json::json;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::mpsc;
use watcher::Event;

use super::*;
use crate::cluster::api::testing;
use crate::cluster::events::Events;
use crate::cluster::leader::Leads;
use crate::cluster::pods::Pods;
use crate::cluster::runs::{Pace, RunMetrics, Runs, Trouble};
use crate::cluster::starts::{self, Starts};
use crate::core::job::running::Said;
use crate::core::policy::testing::policy;
use crate::host::metrics::Registry;
use crate::host::policy_watch::PolicyMetrics;

fn job(uid: &str, finished: bool) -> WatchedJob<Seen> {
    let conditions = json!([
        {"type": "Failed", "status": "True", "lastTransitionTime": "2025-12-22T00:02:00Z"}
    ]);
    let conditions = if finished { conditions } else { json!([]) };
    serde_json::from_value(json!({
        "metadata": {"name": "migrate", "namespace": "team", "uid": uid},
        "status": {"conditions": conditions},
    }))
    .unwrap()
}

/// Two selectors, nothing listed yet.
fn jobs() -> (Jobs, broadcast::Receiver<News>) {
    let jobs = Jobs::default();
    assert!(jobs.all().is_none());
    jobs.known().selectors = vec![Default::default(), Default::default()];
    let news = jobs.subscribe();
    (jobs, news)
}

fn list(jobs: &Jobs, index: usize, listed: Vec<WatchedJob<Seen>>) {
    jobs.take(index, Event::Init);
    for job in listed {
        jobs.take(index, Event::InitApply(job));
    }
    jobs.take(index, Event::InitDone);
}

fn uids(jobs: &Jobs) -> Option<Vec<String>> {
    let mut uids: Vec<_> = jobs.all()?.iter().map(|job| job.uid.clone()).collect();
    uids.sort();
    Some(uids)
}

/// The news as `kind uid`.
fn told(news: &mut broadcast::Receiver<News>) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        told.push(match news.try_recv() {
            Ok(News::Listed) => "listed".to_owned(),
            Ok(News::Changed(seen)) => format!("changed {}", seen.job.uid),
            Ok(News::Finished(seen)) => format!("finished {}", seen.job.uid),
            Ok(News::Deleted(seen)) => format!("deleted {}", seen.job.uid),
            Err(TryRecvError::Empty) => return told,
            Err(error) => panic!("{error}"),
        });
    }
}

#[test]
fn nothing_is_known_before_every_selector_was_listed() {
    let (jobs, mut news) = jobs();
    list(&jobs, 0, vec![job("a", true), job("b", false)]);
    assert_eq!(uids(&jobs), None);
    assert!(told(&mut news).is_empty());
    list(&jobs, 1, vec![job("b", false)]);
    assert_eq!(uids(&jobs).unwrap(), ["a", "b"]);
    assert_eq!(told(&mut news), ["listed"]);
}

#[test]
fn a_job_finishes_once() {
    let (jobs, mut news) = jobs();
    list(&jobs, 0, vec![job("a", false)]);
    list(&jobs, 1, vec![]);
    told(&mut news);
    jobs.take(0, Event::Apply(job("a", false)));
    assert!(told(&mut news).is_empty());
    jobs.take(0, Event::Apply(job("a", true)));
    jobs.take(0, Event::Apply(job("a", true)));
    assert_eq!(told(&mut news), ["finished a"]);
    jobs.take(0, Event::Delete(job("a", true)));
    assert_eq!(told(&mut news), ["deleted a"]);
    assert!(uids(&jobs).unwrap().is_empty());
}

#[test]
fn a_new_list_replaces_what_was_known_when_it_is_complete() {
    let (jobs, mut news) = jobs();
    list(&jobs, 0, vec![job("a", false)]);
    list(&jobs, 1, vec![]);
    jobs.take(0, Event::Init);
    jobs.take(0, Event::InitApply(job("b", false)));
    assert_eq!(uids(&jobs).unwrap(), ["a"]);
    jobs.take(0, Event::InitDone);
    assert_eq!(uids(&jobs).unwrap(), ["b"]);
    assert_eq!(told(&mut news), ["listed", "changed b", "listed"]);
}

/// Helm deletes a hook that has succeeded, so a later read finds nothing.
#[test]
fn what_has_ended_while_the_watch_was_away_is_told_by_the_next_list() {
    let (jobs, mut news) = jobs();
    list(&jobs, 0, vec![job("a", false), job("b", true)]);
    list(&jobs, 1, vec![]);
    assert_eq!(
        told(&mut news),
        ["listed"],
        "the first list tells nothing of each"
    );
    let all = || vec![job("a", true), job("b", true), job("c", true)];
    list(&jobs, 0, all());
    assert_eq!(told(&mut news), ["finished a", "finished c", "listed"]);
    list(&jobs, 0, all());
    assert_eq!(told(&mut news), ["listed"]);
}

#[test]
fn a_job_that_goes_on_is_news_and_one_that_is_only_written_to_is_not() {
    let (jobs, mut news) = jobs();
    list(&jobs, 0, vec![]);
    list(&jobs, 1, vec![]);
    told(&mut news);
    let job = |status: serde_json::Value| -> WatchedJob<Seen> {
        serde_json::from_value(json!({
            "metadata": {"name": "migrate", "namespace": "team", "uid": "a"},
            "status": status,
        }))
        .unwrap()
    };
    let started = json!({"startTime": "2025-12-22T00:00:00Z", "active": 1});
    let ready = json!({"startTime": "2025-12-22T00:00:00Z", "active": 1, "ready": 1});
    let mut after = |status: &serde_json::Value| {
        jobs.take(0, Event::Apply(job(status.clone())));
        told(&mut news)
    };
    assert_eq!(after(&json!({})), ["changed a"]);
    assert_eq!(after(&started), ["changed a"]);
    assert_eq!(after(&started), Vec::<String>::new());
    assert_eq!(after(&ready), ["changed a"]);
    assert_eq!(jobs.get("a").unwrap().said, Said::Running);
    assert!(jobs.get("b").is_none());
}

/// A client can write the label of adopted Jobs, too.
#[test]
fn a_labelled_job_is_not_adopted() {
    let adopted = |uid: &str| -> WatchedJob<Seen> {
        serde_json::from_value(json!({"metadata": {
            "name": "migrate", "namespace": "team", "uid": uid, "labels": {"migration-warden.io/adopted": "shop"},
        }}))
        .unwrap()
    };
    let (jobs, mut news) = jobs();
    list(&jobs, 0, vec![adopted("both")]);
    list(&jobs, 1, vec![adopted("both"), adopted("own")]);
    told(&mut news);
    jobs.take(0, Event::Apply(adopted("new")));
    jobs.take(1, Event::Apply(adopted("new")));
    jobs.take(1, Event::Delete(adopted("both")));
    jobs.take(1, Event::Delete(adopted("own")));
    jobs.take(1, Event::Apply(adopted("own")));
    let mut told = Vec::new();
    while let Ok(News::Changed(seen) | News::Deleted(seen)) = news.try_recv() {
        told.push((seen.job.uid.clone(), seen.job.adopted.clone()));
    }
    let shop = Some("shop".to_owned());
    let expected = [
        ("new", None),
        ("new", None),
        ("both", None),
        ("own", shop.clone()),
        ("own", shop.clone()),
    ];
    assert_eq!(told, expected.map(|(uid, name)| (uid.to_owned(), name)));
    for (uid, name) in [("both", None), ("new", None), ("own", shop)] {
        assert_eq!(jobs.get(uid).unwrap().adopted, name, "{uid}");
        let all = jobs.all().unwrap();
        let found = all.iter().find(|job| job.uid == uid).unwrap();
        assert_eq!(found.adopted, name, "{uid}");
    }
}

/// Whether its run is wanted, by news of the Job or by a scan.
#[tokio::test(start_paused = true)]
async fn an_adopted_job_gets_a_run_only_if_that_is_promised() {
    let adopted = || -> WatchedJob<Seen> {
        serde_json::from_value(json!({"metadata": {
            "name": "migrate", "namespace": "team", "uid": "a", "labels": {"migration-warden.io/adopted": "detected"},
        }}))
        .unwrap()
    };
    for (promise, is_scanned, is_recorded) in [
        ("record", false, true),
        ("record", true, true),
        ("claims", false, false),
        ("claims", true, false),
    ] {
        let (jobs, _) = jobs();
        let known = if is_scanned { vec![adopted()] } else { vec![] };
        list(&jobs, 0, vec![]);
        list(&jobs, 1, known);
        let (asked, mut wanted) = mpsc::unbounded_channel();
        let client = testing::client(move |request| {
            // Runs are listed in all namespaces, and a single one is read in its own.
            let is_list = !request.uri().path().contains("/namespaces/team/");
            if !is_list {
                let _ = asked.send(());
            }
            let list = json!({"metadata": {}, "items": []});
            std::future::ready(if is_list {
                (200, list)
            } else {
                (500, json!({}))
            })
        });
        let mut registry = Registry::new();
        let policy = policy(&format!("detection: {{promises: [{promise}]}}\n"));
        let runs = Runs {
            client,
            jobs: jobs.clone(),
            policy: LivePolicy::new(policy, &PolicyMetrics::new(&mut registry)),
            metrics: RunMetrics::new(&mut registry),
            events: Events::default(),
            trouble: Trouble::default(),
            installation: None,
            pace: Pace::default(),
        };
        let (_words, shown) = mpsc::channel(1);
        tokio::spawn(runs.run(shown, Leads::always()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        if !is_scanned {
            jobs.take(1, Event::Apply(adopted()));
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(
            wanted.try_recv().is_ok(),
            is_recorded,
            "{promise} {is_scanned}"
        );
    }
}

/// The event of a deletion has the last state, which the watch may not have sent before.
#[test]
fn the_last_that_was_seen_of_a_job_is_told() {
    let (jobs, mut news) = jobs();
    list(&jobs, 0, vec![job("a", false)]);
    list(&jobs, 1, vec![]);
    told(&mut news);
    jobs.take(0, Event::Delete(job("a", true)));
    let Ok(News::Deleted(seen)) = news.try_recv() else {
        panic!("no news");
    };
    assert!(seen.job.end.is_some());
}

/// After a change of the policy's selectors the Jobs are listed again, and until then nothing is known of them.
#[tokio::test(start_paused = true)]
async fn gauges_keep_their_values_while_the_jobs_are_listed() {
    let (jobs, _) = jobs();
    let warning = "not all migration Jobs are known yet, so runs and tidy-up wait";
    assert_eq!(jobs.status(), Status::Warning(warning.to_owned()));
    let old = json!({"metadata": {
        "name": "migrate", "namespace": "team", "uid": "a", "creationTimestamp": "2025-12-22T00:00:00Z",
    }});
    list(&jobs, 0, vec![serde_json::from_value(old).unwrap()]);
    assert_ne!(jobs.status(), Status::Ok(String::new()));
    list(&jobs, 1, vec![]);
    assert_eq!(jobs.status(), Status::Ok(String::new()));

    let mut registry = Registry::new();
    let client = testing::client(|_| std::future::ready((500, json!({}))));
    let starts = Starts {
        jobs: jobs.clone(),
        pods: Pods::new(client.clone(), 1),
        late: starts::metric(&mut registry),
    };
    let runs = Runs {
        client,
        jobs: jobs.clone(),
        policy: LivePolicy::builtin(&PolicyMetrics::new(&mut registry)),
        metrics: RunMetrics::new(&mut registry),
        events: Events::default(),
        trouble: Trouble::default(),
        installation: None,
        pace: Pace::default(),
    };
    let (_words, shown) = mpsc::channel(1);
    tokio::spawn(starts.run());
    tokio::spawn(runs.run(shown, Leads::always()));
    let minute = Duration::from_secs(60);
    let lines = ["runs_active 1", "runs_overdue 1", "runs_not_started 1"];
    tokio::time::sleep(minute).await;
    registry.assert_has(&lines);
    jobs.known().selectors = vec![Default::default()];
    tokio::time::sleep(minute).await;
    registry.assert_has(&lines);
}
