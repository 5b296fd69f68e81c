//! Writes about an exception: whether it is honoured, how often it was used, and an Event.
//!
//! Every replica writes, by compare-and-swap. Uses are merged for a second. A use that is not recorded before a replica
//! stops is still in the decision log.

mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::mpsc::Receiver;
use tokio::time::{self, Instant};

use super::super::api::{ApiError, CompareAndSwap, TIMEOUT, ask, every, in_time, unless_changed};
use super::super::events::Events;
use super::{Entry, Key, Shared};
use crate::core::exception::Use;
use crate::core::exception::resource::MigrationException;
use crate::core::notice::{self, Happening};
use crate::host::policy_watch::LivePolicy;
pub(super) use wanted::condition_of;
use wanted::{WantedStatus, says};

/// An exception that may be of a newer version.
type Guarded = DeserializeGuard<MigrationException>;

/// How long uses are merged into one write, as in a deployment of many releases.
const MERGED: Duration = Duration::from_secs(1);
/// How often statuses are compared: an exception expires, or the policy changes, without an event.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a replica accepts another one's condition after it has written its own. With different policies or clocks,
/// as during a rollout, replicas would otherwise overwrite each other all the time.
const PATIENCE: Duration = Duration::from_secs(300);
/// Concurrent writes: after a change of the policy, every exception may need one.
const WRITERS: usize = 8;

pub(super) struct Writer {
    client: Client,
    shared: Arc<Shared>,
    policy: LivePolicy,
    events: Events,
}

/// Uses of one exception that wait to be recorded.
#[derive(Debug)]
struct Pending {
    uid: String,
    uses: i64,
    last: Use,
}

/// What is left to write, and what was written.
#[derive(Default)]
struct Progress {
    pending: BTreeMap<Key, Pending>,
    /// The last message written, and when.
    told: BTreeMap<Key, (String, Instant)>,
    /// The exceptions whose last write failed: each costs one try per round, after all others.
    failed: BTreeSet<Key>,
}

/// A status to write.
struct Change {
    key: Key,
    wanted: WantedStatus,
    uses: Option<Pending>,
}

impl Writer {
    pub(super) fn new(
        client: Client,
        shared: Arc<Shared>,
        policy: LivePolicy,
        events: Events,
    ) -> Self {
        Self {
            client,
            shared,
            policy,
            events,
        }
    }

    /// Writes for as long as it is awaited.
    pub(super) async fn keep(self, mut queue: Receiver<Use>) {
        let mut progress = Progress::default();
        let mut ticks = every(PERIOD);
        loop {
            tokio::select! {
                Some(used) = queue.recv() => progress.merge(used),
                () = self.shared.changed.notified() => {}
                _ = ticks.tick() => {}
            }
            time::sleep(MERGED).await;
            while let Ok(used) = queue.try_recv() {
                progress.merge(used);
            }
            self.write(&mut progress).await;
        }
    }

    /// Writes all changes. Those that fail, or that have not begun in time, are left for the next round.
    async fn write(&self, progress: &mut Progress) {
        let over = Instant::now() + TIMEOUT;
        let write = |change: Change| async move {
            let has_time = Instant::now() < over;
            let written = has_time.then(|| in_time(self.update(&change)));
            let written = OptionFuture::from(written).await;
            (change, written)
        };
        let changes = stream::iter(self.changes(progress)).map(write);
        let mut changes = changes.buffer_unordered(WRITERS);
        let (mut count, mut first) = (0, None);
        while let Some((change, written)) = changes.next().await {
            let Change { key, wanted, uses } = change;
            if let Some(Ok(())) = written {
                progress.failed.remove(&key);
                progress.told.insert(key, (wanted.message, Instant::now()));
                continue;
            }
            progress
                .pending
                .extend(uses.map(|uses| (key.clone(), uses)));
            if let Some(Err(error)) = written {
                count += 1;
                first.get_or_insert_with(|| (key.clone(), error));
                progress.failed.insert(key);
            }
        }
        if let Some(((namespace, name), error)) = first {
            tracing::warn!(count, %namespace, %name, %error, "failed to write the status of exceptions, retrying");
        }
    }

    /// The statuses that have to be written.
    ///
    /// If an exception cannot be parsed, neither can its status, and other replicas may write a different one. So
    /// `told` remembers what was written there.
    fn changes(&self, progress: &mut Progress) -> Vec<Change> {
        let Progress {
            pending,
            told,
            failed,
        } = progress;
        let (now, max) = (Timestamp::now(), self.policy.current().max_exception);
        let known = self.shared.known();
        // A deleted exception has no status.
        pending.retain(|key, _| known.contains_key(key));
        failed.retain(|key| known.contains_key(key));
        told.retain(|key, (_, at)| {
            let entry = known.get(key);
            entry.is_some_and(|entry| entry.read.is_err() || at.elapsed() < PATIENCE)
        });
        let changes = known.iter().filter_map(|(key, entry)| {
            let wanted = entry.wanted(now, max);
            let uses = pending.remove(key);
            // A readable exception without a condition is new.
            let shows = entry.read.is_err() || entry.condition.is_some();
            let before = told.get(key).filter(|_| shows);
            let is_told = says(entry.condition.as_ref(), &wanted)
                || before.is_some_and(|(message, _)| *message == wanted.message);
            let key = key.clone();
            (uses.is_some() || !is_told).then_some(Change { key, wanted, uses })
        });
        let mut changes: Vec<_> = changes.collect();
        changes.sort_by_key(|change| failed.contains(&change.key));
        changes
    }

    async fn update(&self, change: &Change) -> Result<(), ApiError> {
        let Change { key, wanted, uses } = change;
        let (namespace, name) = key;
        let api: Api<Guarded> = Api::namespaced(self.client.clone(), namespace);
        let mut swap = CompareAndSwap::default();
        loop {
            swap.begin("patch migrationexceptions/status")?;
            let found = ask("get migrationexceptions", api.get_opt(name)).await?;
            let Some(found) = found else {
                return Ok(());
            };
            // An exception of the same name that was created since has its own uses.
            let uses = uses
                .as_ref()
                .filter(|pending| found.uid().as_deref() == Some(&pending.uid));
            if uses.is_none() && says(condition_of(&found), wanted) {
                return Ok(());
            }
            let patch = Patch::Merge(wanted.patch(&found, uses, Timestamp::now()));
            let params = PatchParams::default();
            let written = api.patch_status(name, &params, &patch);
            let written = ask("patch migrationexceptions/status", written).await;
            let written = unless_changed(written)?;
            if written.is_some() {
                uses.inspect(|uses| self.tell(&found, uses));
                return Ok(());
            }
        }
    }

    fn tell(&self, object: &Guarded, uses: &Pending) {
        let (job, rules) = (&uses.last.job, uses.last.rules.join(", "));
        let more = match uses.uses {
            1 => String::new(),
            uses => format!(" ({} more within a moment)", uses - 1),
        };
        self.events.tell(Happening {
            regarding: object.object_ref(&()),
            related: None,
            is_warning: false,
            reason: "ExceptionUsed",
            action: "Admit",
            note: notice::note(&format!("admitted {job}, which breaks {rules}{more}")),
        });
    }
}

impl Progress {
    fn merge(&mut self, one: Use) {
        let exception = &one.exception;
        let key = (exception.namespace.clone(), exception.name.clone());
        let uid = exception.uid.clone();
        match self.pending.get_mut(&key) {
            Some(waiting) if waiting.uid == uid => {
                waiting.uses += 1;
                waiting.last = one;
            }
            _ => {
                let uses = 1;
                let last = one;
                self.pending.insert(key, Pending { uid, uses, last });
            }
        }
    }
}

#[cfg(test)]
mod tests;
