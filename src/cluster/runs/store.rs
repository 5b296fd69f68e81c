//! Writes one run: joins the facts from its Job with the stored run, and writes the result if it has more.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

use super::error::{Unwritten, classified, failed};
use super::now;
use super::waiting::{Before, JobKey, Waiting};
use crate::cluster::api::{self, CompareAndSwap};
use crate::cluster::jobs::{self, Seen};
use crate::cluster::pods::Pods;
use crate::core::job::running::Said;
use crate::core::runs::naming::former;
use crate::core::runs::observe::observe;
use crate::core::runs::pods::PodFacts;
use crate::core::runs::resource::{MigrationRun, Outcome};
use crate::core::runs::retention::{Brief, attempt, surplus};
use crate::core::runs::{self, Ending, Known, MANAGED_BY, MANAGED_BY_LABEL, RELEASE_LABEL};

/// Jobs of one namespace whose pods are listed at once.
const PODS_SHARE: usize = 2;
/// Most old runs that are removed for a new one; the next one removes the rest.
const SURPLUS: usize = 100;

pub(super) struct Store {
    pub(super) client: Client,
    pods: Pods,
}

#[derive(Debug)]
pub(super) struct Change {
    /// Its outcome before; `None` for a new one.
    pub(super) before: Option<Outcome>,
    pub(super) run: MigrationRun,
    /// The name that its migration had before, if each version of the release has another one.
    pub(super) former: Option<String>,
}

/// A run to create.
struct New {
    run: MigrationRun,
    /// The surplus runs of its release.
    old: Vec<Brief>,
    former: Option<String>,
}

#[derive(Debug)]
pub(super) enum Ensured {
    Written(Box<Change>),
    /// The stored run already has all known facts.
    Stored,
    /// There is no run, and none is needed.
    Unneeded,
}

impl Ensured {
    fn written(Before(before): Before, run: MigrationRun, former: Option<String>) -> Self {
        Self::Written(Box::new(Change {
            before,
            run,
            former,
        }))
    }
}

impl Store {
    pub(super) fn new(client: Client) -> Self {
        let pods = Pods::new(client.clone(), PODS_SHARE);
        Self { client, pods }
    }

    /// Makes sure that the run of a Job has all known facts, and that at most `keep` runs of its release stay. With
    /// `prompt` its pods are listed at once, because they may soon be gone.
    pub(super) async fn ensure(
        &self,
        waiting: &mut Waiting,
        prompt: bool,
        keep: usize,
    ) -> Result<Ensured, Unwritten> {
        let key = waiting.key.clone();
        let ended = waiting.seen.clone().filter(|seen| seen.job.end.is_some());
        let pods = async {
            match &ended {
                Some(seen) if prompt && waiting.gone.is_none() => self.pods(seen).await,
                _ => None,
            }
        };
        let (stored, pods) = tokio::join!(self.find(&key), pods);
        let stored = stored?;
        let known = stored.as_ref().map(Known::of);
        let outcome = known.as_ref().map(|known| known.status.outcome);
        if ended.is_none() && outcome >= Some(Outcome::Deleted) && waiting.unsure.is_none() {
            return Ok(Ensured::Stored);
        }
        let Some((observed, started)) = self.observe(waiting, known.as_ref(), pods).await? else {
            return Ok(Ensured::Unneeded);
        };
        self.write(waiting, stored, &observed, started, keep).await
    }

    /// The facts for the run, and when the Job's controller started the Job.
    async fn observe(
        &self,
        waiting: &Waiting,
        known: Option<&Known>,
        pods: Option<PodFacts>,
    ) -> Result<Option<(Known, Option<Timestamp>)>, Unwritten> {
        let current = match &waiting.seen {
            Some(seen) if !waiting.is_in_doubt() => Some(Arc::clone(seen)),
            _ => self.job(&waiting.key).await?.map(Arc::new),
        };
        let opted_out = |seen: &Arc<Seen>| seen.job.is_opted_out && known.is_none();
        if waiting.seen.iter().chain(&current).any(opted_out) {
            return Ok(None);
        }
        if let Some(seen) = current {
            let pods = match pods {
                None if wants_pods(&seen, known) => self.pods(&seen).await,
                pods => pods,
            };
            let observed = observe(&seen.job, &seen.facts, pods.as_ref());
            return Ok(Some((observed, seen.job.started)));
        }
        let seen = waiting.seen.as_ref();
        let last = seen.map(|seen| observe(&seen.job, &seen.facts, None));
        let Some(last) = last.or_else(|| known.cloned()) else {
            return Ok(None);
        };
        let gone = |outcome, at| Ending {
            outcome,
            at,
            reason: None,
            message: None,
        };
        let ending = match (waiting.gone, &waiting.words) {
            // The watch has returned the last state, which is not an end.
            (Some(at), _) => gone(Outcome::Deleted, at),
            (None, Some(words)) => words.clone(),
            (None, None) => gone(Outcome::Lost, now()),
        };
        let started = seen.and_then(|seen| seen.job.started);
        Ok(Some((last.ended(ending), started)))
    }

    async fn write(
        &self,
        waiting: &mut Waiting,
        mut stored: Option<MigrationRun>,
        observed: &Known,
        started: Option<Timestamp>,
        keep: usize,
    ) -> Result<Ensured, Unwritten> {
        let mut swap = CompareAndSwap::default();
        loop {
            swap.begin("write migrationruns")?;
            let before = stored.as_ref().map(Known::of);
            let wanted = match &before {
                Some(before) => before.join(&observed.clone().let_in_as(before)),
                None => observed.clone(),
            };
            let wanted = wanted.started(started);
            if before.as_ref() == Some(&wanted) {
                // Reported twice rather than never.
                let done = waiting.unsure.take().zip(stored);
                return Ok(done.map_or(Ensured::Stored, |(before, run)| {
                    Ensured::written(before, run, None)
                }));
            }
            let outcome = Before(before.as_ref().map(|before| before.status.outcome));
            let earlier = waiting.unsure;
            let verb = if before.is_some() { "update" } else { "create" };
            let Some(sent) = self.send(waiting, stored, wanted, outcome, keep).await? else {
                return Ok(Ensured::Unneeded);
            };
            let error = match sent.map_err(api::failed(format_args!("{verb} migrationruns"))) {
                Ok((run, former)) => {
                    let before = waiting.unsure.take().unwrap_or(outcome);
                    return Ok(Ensured::written(before, run, former));
                }
                Err(error) => error,
            };
            let code = error.code();
            // Then the write did not take effect, at least not in this try.
            if (400..500).contains(&code) {
                waiting.unsure = earlier;
            }
            // Another replica has written it, or it was removed.
            let has_changed = code == 409 || code == 404 && before.is_some();
            if !has_changed {
                return Err(classified(verb, error));
            }
            stored = self.find(&waiting.key).await?;
        }
    }

    /// Updates or creates the run, which had this outcome; `None` if it is not needed. Returns it with the name that its
    /// migration had before.
    async fn send(
        &self,
        waiting: &mut Waiting,
        stored: Option<MigrationRun>,
        wanted: Known,
        outcome: Before,
        keep: usize,
    ) -> Result<Option<kube::Result<(MigrationRun, Option<String>)>>, Unwritten> {
        let api = self.of(&waiting.key.namespace);
        let params = PostParams::default();
        if let Some(run) = stored {
            let run = fill(run, &wanted);
            let name = run.metadata.name.as_deref().unwrap_or_default();
            waiting.unsure.get_or_insert(outcome);
            let replaced = api.replace(name, &params, &run).await;
            return Ok(Some(replaced.map(|run| (run, None))));
        }
        let Some(New { run, old, former }) = self.new_run(&waiting.key, wanted, keep).await? else {
            return Ok(None);
        };
        waiting.unsure.get_or_insert(outcome);
        let created = api.create(&params, &run).await;
        if created.is_ok() {
            for run in old.iter().take(SURPLUS) {
                self.delete(run).await;
            }
        }
        Ok(Some(created.map(|run| (run, former))))
    }

    /// `None` if the new run would itself be surplus.
    async fn new_run(
        &self,
        key: &JobKey,
        mut wanted: Known,
        keep: usize,
    ) -> Result<Option<New>, Unwritten> {
        let others = self.of_release(&key.namespace, &wanted).await?;
        let new = key.brief(&wanted);
        let old = surplus(&others, &new, keep);
        if old.contains(&&new) {
            return Ok(None);
        }
        wanted.spec.attempt = attempt(&others, &new);
        let run = fill(MigrationRun::new(&new.name, wanted.spec.clone()), &wanted);
        Ok(Some(New {
            run,
            old: old.into_iter().cloned().collect(),
            former: former(&others, &new).map(str::to_owned),
        }))
    }

    async fn find(&self, key: &JobKey) -> Result<Option<MigrationRun>, Unwritten> {
        let name = runs::name(&key.job, &key.uid);
        let found = self.of(&key.namespace).get_opt(&name).await;
        let found = found.map_err(|error| failed("get", error))?;
        let mut job = found.iter().map(|run| &run.spec.job);
        if job.any(|job| job.uid != key.uid) {
            let message = format!("the run {name} belongs to another Job");
            return Err(Unwritten::Hopeless(message));
        }
        Ok(found)
    }

    async fn job(&self, key: &JobKey) -> Result<Option<Seen>, Unwritten> {
        Ok(jobs::find(&self.client, &key.namespace, &key.job, &key.uid).await?)
    }

    /// The facts from its pods; `None` if they cannot be listed.
    async fn pods(&self, seen: &Seen) -> Option<PodFacts> {
        let job = &seen.job;
        match self.pods.of(&job.namespace, &job.uid).await {
            Ok(pods) => {
                let succeeded = job.end.is_some_and(|end| end.succeeded);
                Some(PodFacts::of(&pods, succeeded))
            }
            Err(error) => {
                let (namespace, job) = (&job.namespace, &job.name);
                tracing::debug!(%error, %namespace, %job, "failed to list the pods of a migration");
                None
            }
        }
    }

    fn of(&self, namespace: &str) -> Api<MigrationRun> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// Whether the pods may have facts that the run lacks. They are listed once the migration may have started, until it
/// has, and once after it has ended.
fn wants_pods(seen: &Seen, known: Option<&Known>) -> bool {
    let status = known.map(|known| &known.status);
    if let Some(ending) = Ending::of(&seen.job, &seen.facts) {
        status.is_none_or(|status| status.outcome != ending.outcome)
    } else {
        let may_run = seen.job.said != Said::Idle;
        may_run && status.is_none_or(|status| status.started_at.is_none())
    }
}

/// The run, filled with these facts.
fn fill(mut run: MigrationRun, wanted: &Known) -> MigrationRun {
    let labels = run.metadata.labels.get_or_insert_default();
    labels.insert(RELEASE_LABEL.to_owned(), wanted.spec.release.label());
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    run.spec = wanted.spec.clone();
    run.status = Some(wanted.status.clone());
    run
}
