//! Tests of how the events of a watch change the cache.

use super::*;
use crate::core::job::running::Said;
use serde_json::json;
use tokio::sync::broadcast::error::TryRecvError;
use watcher::Event;

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
