//! Writes about an exception: whether it is honoured, how often it was used, and an Event.
//!
//! Every replica writes, by compare-and-swap. Uses are merged for a second. A use that is not recorded before a replica
//! stops is still in the decision log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{self, Instant};

use super::super::api::{ApiError, CompareAndSwap, ask, every, unless_changed};
use super::super::events::Events;
use super::{Entry, Key, Shared};
use crate::core::exception::resource::{Condition, MigrationException};
use crate::core::exception::{Standing, Use};
use crate::core::notice::{self, Happening};
use crate::host::policy_watch::LivePolicy;

/// An exception that may be of a newer version.
type Guarded = DeserializeGuard<MigrationException>;

const HONOURED: &str = "Honoured";
/// How long uses are merged into one write, as in a deployment of many releases.
const MERGED: Duration = Duration::from_secs(1);
/// How often statuses are compared: an exception expires, or the policy changes, without an event.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a replica accepts another one's condition after it has written its own. With different policies or clocks,
/// as during a rollout, replicas would otherwise overwrite each other all the time.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct Writer {
    client: Client,
    shared: Arc<Shared>,
    policy: LivePolicy,
    events: Events,
}

/// The last message written, and when.
type Told = BTreeMap<Key, (String, Instant)>;

/// Uses of one exception that wait to be recorded.
#[derive(Debug)]
struct Pending {
    uid: String,
    uses: i64,
    last: Use,
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
        let (mut pending, mut told) = (BTreeMap::new(), Told::new());
        let mut ticks = every(PERIOD);
        loop {
            tokio::select! {
                Some(used) = queue.recv() => merge(&mut pending, used),
                () = self.shared.changed.notified() => {}
                _ = ticks.tick() => {}
            }
            time::sleep(MERGED).await;
            while let Ok(used) = queue.try_recv() {
                merge(&mut pending, used);
            }
            self.write(&mut pending, &mut told).await;
        }
    }

    /// Writes all changes, and keeps in `pending` those that could not be written.
    ///
    /// If an exception cannot be parsed, neither can its status, and other replicas may write a different one. So
    /// `told` remembers what was written there.
    async fn write(&self, pending: &mut BTreeMap<Key, Pending>, told: &mut Told) {
        let max = self.policy.current().max_exception;
        let entries = self.shared.entries();
        // A deleted exception has no status.
        pending.retain(|key, _| entries.iter().any(|(known, _)| known == key));
        told.retain(|key, (_, at)| {
            let entry = entries.iter().find(|(known, _)| known == key);
            entry.is_some_and(|(_, entry)| entry.read.is_err() || at.elapsed() < PATIENCE)
        });
        for (key, entry) in entries {
            let wanted = entry.wanted(Timestamp::now(), max);
            let uses = pending.remove(&key);
            // A readable exception without a condition is new.
            let shows = entry.read.is_err() || entry.condition.is_some();
            let before = told.get(&key).filter(|_| shows);
            let is_told = says(entry.condition.as_ref(), &wanted)
                || before.is_some_and(|(message, _)| *message == wanted.message);
            if uses.is_none() && is_told {
                continue;
            }
            if let Err(error) = self.update(&key, &wanted, uses.as_ref()).await {
                let (namespace, name) = &key;
                tracing::warn!(%namespace, %name, %error, "failed to write the status of an exception, retrying");
                if let Some(uses) = uses {
                    pending.insert(key, uses);
                }
            } else {
                told.insert(key, (wanted.message, Instant::now()));
            }
        }
    }

    async fn update(
        &self,
        (namespace, name): &Key,
        wanted: &WantedStatus,
        uses: Option<&Pending>,
    ) -> Result<(), ApiError> {
        let api: Api<Guarded> = Api::namespaced(self.client.clone(), namespace);
        let mut swap = CompareAndSwap::default();
        loop {
            swap.begin("patch migrationexceptions/status")?;
            let found = ask("get migrationexceptions", api.get_opt(name)).await?;
            let Some(found) = found else {
                return Ok(());
            };
            // An exception of the same name that was created since has its own uses.
            let uses = uses.filter(|pending| found.uid().as_deref() == Some(&pending.uid));
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

impl Entry {
    fn wanted(&self, now: Timestamp, max: SignedDuration) -> WantedStatus {
        match &self.read {
            Ok(exception) => {
                let standing = exception.standing(now, max);
                WantedStatus {
                    honoured: standing == Standing::Honoured,
                    reason: standing.reason(),
                    message: standing.message(),
                }
            }
            Err(message) => WantedStatus {
                honoured: false,
                reason: "Unreadable",
                message: message.clone(),
            },
        }
    }
}

struct WantedStatus {
    honoured: bool,
    reason: &'static str,
    message: String,
}

impl WantedStatus {
    fn status(&self) -> &'static str {
        if self.honoured { "True" } else { "False" }
    }

    /// The patch of the status: added uses, and our condition among others.
    fn patch(&self, found: &Guarded, uses: Option<&Pending>, now: Timestamp) -> Value {
        let old = found.0.as_ref().ok().and_then(|o| o.status.clone());
        let old = old.unwrap_or_default();
        let ours = old.conditions.iter().find(|c| c.r#type == HONOURED);
        let since = ours.filter(|c| c.status == self.status());
        let mut conditions = old.conditions.clone();
        conditions.retain(|condition| condition.r#type != HONOURED);
        conditions.push(Condition {
            r#type: HONOURED.to_owned(),
            status: self.status().to_owned(),
            reason: self.reason.to_owned(),
            message: self.message.clone(),
            last_transition_time: since.map_or(now, |condition| condition.last_transition_time),
        });
        let mut status = json!({"conditions": conditions});
        if let Some(pending) = uses {
            status["uses"] = json!(old.uses.saturating_add(pending.uses));
            status["lastUsedAt"] = json!(pending.last.at);
            status["lastUsedBy"] = json!(pending.last.job);
        }
        json!({
            "metadata": {"resourceVersion": found.resource_version()},
            "status": status,
        })
    }
}

pub(super) fn condition_of(object: &Guarded) -> Option<&Condition> {
    let status = object.0.as_ref().ok()?.status.as_ref()?;
    status.conditions.iter().find(|c| c.r#type == HONOURED)
}

fn says(condition: Option<&Condition>, wanted: &WantedStatus) -> bool {
    condition.is_some_and(|condition| {
        condition.status == wanted.status()
            && condition.reason == wanted.reason
            && condition.message == wanted.message
    })
}

fn merge(pending: &mut BTreeMap<Key, Pending>, one: Use) {
    let exception = &one.exception;
    let key = (exception.namespace.clone(), exception.name.clone());
    let uid = exception.uid.clone();
    match pending.get_mut(&key) {
        Some(waiting) if waiting.uid == uid => {
            waiting.uses += 1;
            waiting.last = one;
        }
        _ => {
            let uses = 1;
            let last = one;
            pending.insert(key, Pending { uid, uses, last });
        }
    }
}
