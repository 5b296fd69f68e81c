//! Scans many runs: finds Jobs without a complete run, runs whose Job is gone, and surplus runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::core::{Object, PartialObjectMeta};
use serde::Deserialize;
use tokio::time;

use super::Runs;
use super::error::{Unwritten, classified, failed};
use super::store::Store;
use super::waiting::JobKey;
use crate::cluster::api::list::List;
use crate::cluster::api::{ask, in_time};
use crate::core::job::running::Said;
use crate::core::job::stored::StoredJob;
use crate::core::policy::adopt::Promise;
use crate::core::runs::resource::{JobReference, MigrationRun, Outcome};
use crate::core::runs::retention::{Brief, Oldest};
use crate::core::runs::{Known, RELEASE_LABEL};

/// Runs per page of a list: 2 KB each on the wire.
const PAGE: u32 = 250;
/// Most runs removed in one pass. They are all in memory, with some hundred bytes each.
const SWEEP: usize = 5000;
/// Pause between two deletions.
const PAUSE: Duration = Duration::from_millis(5);

/// The parts of a run that are read here.
type Scanned = Object<ScannedSpec, ScannedStatus>;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ScannedSpec {
    job: JobReference,
    release: Release,
    migration: String,
    #[serde(default)]
    attempt: i32,
}

#[derive(Clone, Debug, Deserialize)]
struct Release {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScannedStatus {
    #[serde(default)]
    outcome: Outcome,
    admitted_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

/// A Job that has to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) key: JobKey,
    /// Whether it seems to be gone; news of its end may still arrive.
    pub(super) suspect: bool,
}

#[derive(Debug, Default)]
pub(super) struct Incomplete {
    pub(super) looks: Vec<Look>,
    /// When recording began, by its oldest trace. `None` without a trace, or if only unfinished runs were read.
    pub(super) since: Option<Timestamp>,
}

impl Store {
    /// The Jobs whose runs are incomplete or missing. Without `full`, only unfinished runs are read. If `keep` runs
    /// exist, a Job that ended before all of them gets none, because its run would be the first to be removed.
    pub(super) async fn scan(
        &self,
        runs: &Runs,
        full: bool,
        keep: usize,
    ) -> Result<Incomplete, Unwritten> {
        let jobs = &runs.jobs;
        let mut since = match &runs.installation {
            Some(lease) if full => self.created(lease).await?,
            _ => None,
        };
        let params = ListParams {
            field_selector: (!full).then(|| "status.outcome=Running".to_owned()),
            ..ListParams::default()
        };
        let (mut known, mut running) = (HashMap::new(), Vec::new());
        let (mut total, mut oldest) = (0, None);
        self.page(None, params, |page| {
            for run in page {
                total += 1;
                since = since.into_iter().chain(run.recorded_at).min();
                oldest = oldest.into_iter().chain(run.finished_at).min();
                if run.outcome == Outcome::Running {
                    running.push(JobKey::of_run(&run));
                }
                // Only runs of existing Jobs: of a hundred thousand runs, most belong to Jobs that are long gone.
                if jobs.get(&run.job_uid).is_some() {
                    known.insert(run.job_uid, (run.outcome, run.has_started));
                }
            }
        })
        .await?;
        // Jobs are read after the runs, or the Job of a new run would seem to be gone.
        let Some(jobs) = jobs.all() else {
            return Ok(Incomplete::default());
        };
        let would_go = |job: &StoredJob| {
            let older = job.end.zip(oldest).is_some_and(|(end, at)| end.at < at);
            total >= keep && older
        };
        let policy = runs.policy.current();
        let is_recorded = |job: &StoredJob| {
            !job.is_opted_out && policy.keeps(Promise::Record, job.adopted.as_deref())
        };
        let lacks_run = |job: &StoredJob| full && is_recorded(job) && !would_go(job);
        let looks = looks(&jobs, &known, running, lacks_run);
        let since = since.filter(|_| full);
        Ok(Incomplete { looks, since })
    }

    /// When the Lease of this name was created, by the first replica of the installation.
    async fn created(&self, lease: &str) -> Result<Option<Timestamp>, Unwritten> {
        let api: Api<Lease> = Api::default_namespaced(self.client.clone());
        let found = ask("get leases", api.get_metadata_opt(lease)).await?;
        let created = found.and_then(|lease| lease.metadata.creation_timestamp);
        Ok(created.map(|Time(at)| at))
    }

    /// Removes the runs that ended first, until `keep` are left.
    pub(super) async fn trim(&self, keep: usize) -> Result<(), Unwritten> {
        let all: Api<PartialObjectMeta<MigrationRun>> = Api::all(self.client.clone());
        let one = ListParams::default().limit(1);
        let first = in_time(all.list(&one).map_err(|error| failed("list", error))).await?;
        let more = first.metadata.remaining_item_count.unwrap_or_default();
        let total = first.items.len() + usize::try_from(more).unwrap_or_default();
        let excess = total.saturating_sub(keep).min(SWEEP);
        if excess == 0 {
            return Ok(());
        }
        let mut oldest = Oldest::new(excess);
        self.page(None, ListParams::default(), |page| oldest.add(page))
            .await?;
        let runs = oldest.runs();
        tracing::info!(count = runs.len(), "removing the oldest runs");
        for run in runs {
            self.delete(&run).await;
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The runs of the same release.
    pub(super) async fn of_release(
        &self,
        namespace: &str,
        run: &Known,
    ) -> Result<Vec<Brief>, Unwritten> {
        let selector = format!("{RELEASE_LABEL}={}", run.spec.release.label());
        let params = ListParams::default().labels(&selector);
        let mut runs = Vec::new();
        self.page(Some(namespace), params, |page| runs.extend(page))
            .await?;
        Ok(runs)
    }

    /// Removes a run; if that fails, a later round retries.
    pub(super) async fn delete(&self, run: &Brief) {
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(run.uid.clone()),
            resource_version: None,
        });
        let api: Api<PartialObjectMeta<MigrationRun>> =
            Api::namespaced(self.client.clone(), &run.namespace);
        if let Err(error) = ask("delete migrationruns", api.delete(&run.name, &params)).await
            && ![404, 409].contains(&error.code())
        {
            let (namespace, name) = (&run.namespace, &run.name);
            tracing::warn!(%error, %namespace, run = %name, "failed to remove an old run");
        }
    }

    /// Reads all runs, in one namespace or in all.
    async fn page(
        &self,
        namespace: Option<&str>,
        params: ListParams,
        mut look: impl FnMut(Vec<Brief>),
    ) -> Result<(), Unwritten> {
        let failed = |error| classified("list", error);
        let mut list = List::of::<MigrationRun>(&self.client, namespace, params.limit(PAGE));
        // The client limits each try, and goes on from a page that failed.
        while let Some(page) = list.next().map_err(failed).await? {
            let runs = list.read::<Scanned>(&page).map_err(failed)?;
            look(runs.into_iter().map(brief).collect());
        }
        Ok(())
    }
}

/// These Jobs as far as their run `known`, with its outcome and whether it has started, is incomplete or missing, and
/// those of `running` that seem to be gone.
fn looks(
    jobs: &[Arc<StoredJob>],
    known: &HashMap<String, (Outcome, bool)>,
    mut running: Vec<JobKey>,
    lacks_run: impl Fn(&StoredJob) -> bool,
) -> Vec<Look> {
    let silent = jobs.iter().filter(|job| match known.get(&job.uid) {
        Some((outcome, _)) if job.end.is_some() => *outcome <= Outcome::Deleted,
        // Its pods may show by now that it has started. Its own status may never do so.
        Some((_, has_started)) => !has_started && job.said == Said::Unclear,
        None => lacks_run(job),
    });
    let existing: HashSet<&str> = jobs.iter().map(|job| &*job.uid).collect();
    running.retain(|key| !existing.contains(&*key.uid));
    let silent = silent.map(|job| (JobKey::of(job), false));
    let looks = silent.chain(running.into_iter().map(|key| (key, true)));
    looks.map(|(key, suspect)| Look { key, suspect }).collect()
}

fn brief(run: Scanned) -> Brief {
    let (meta, spec) = (run.metadata, run.spec);
    let status = run.status.unwrap_or_default();
    Brief {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        job: spec.job.name,
        job_uid: spec.job.uid,
        release: spec.release.name,
        migration: spec.migration,
        attempt: spec.attempt,
        outcome: status.outcome,
        recorded_at: meta.creation_timestamp.map(|Time(at)| at),
        admitted_at: status.admitted_at.unwrap_or_default(),
        has_started: status.started_at.is_some(),
        finished_at: status.finished_at,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::cluster::api::patient::patient;
    use crate::cluster::api::testing;

    /// The pauses of the client take longer than the time limit of one request.
    #[tokio::test(start_paused = true)]
    async fn a_page_that_fails_is_read_again_and_no_other() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let client = testing::client(move |request| {
            let page = match request.uri().query().unwrap_or_default() {
                query if query.contains("continue=") => 2,
                _ => 1,
            };
            let mut seen = seen.lock().unwrap();
            seen.push(page);
            let run = json!({
                "metadata": {"name": format!("run-{page}")},
                "spec": {"job": {"name": "x", "uid": "u"}, "release": {"name": "shop"}, "migration": "x"},
            });
            let next = if page == 1 { "more" } else { "" };
            let answer = json!({"metadata": {"continue": next}, "items": [run]});
            let is_refused = page == 2 && seen.len() < 7;
            std::future::ready(if is_refused {
                (503, json!({}))
            } else {
                (200, answer)
            })
        });
        let store = Store::new(patient(&client));
        let mut names = Vec::new();
        let look = |page: Vec<Brief>| names.extend(page.into_iter().map(|run| run.name));
        store.page(None, ListParams::default(), look).await.unwrap();
        assert_eq!(names, ["run-1", "run-2"]);
        assert_eq!(*asked.lock().unwrap(), [1, 2, 2, 2, 2, 2, 2]);
    }
}
