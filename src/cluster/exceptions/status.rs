//! What is written about an exception: whether it is honoured, how often it was used, and an Event.
//!
//! Every replica writes, by compare-and-swap. Uses are merged for a second; one that is not written
//! down when a replica goes is in the decision log all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::super::TIMEOUT;
use super::super::events::Events;
use super::{Entry, Key, Shared, Used};
use crate::core::exception::Standing;
use crate::core::exception::resource::{Condition, MigrationException};
use crate::core::notice::Happening;
use crate::host::policy_watch::LivePolicy;

/// One that may be of a newer version.
type Guarded = DeserializeGuard<MigrationException>;

/// The type of our condition.
const HONOURED: &str = "Honoured";
/// Uses of this long are written down together: a deployment of many releases is one write.
const MERGED: Duration = Duration::from_secs(1);
/// An exception expires, or the policy changes, without any event.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a replica leaves a condition alone that says something else than it would, after it has written
/// its own: with another policy or clock, as during a rollout, they would write it in turns.
const PATIENCE: Duration = Duration::from_secs(300);
/// Every replica may be writing the same status, and one of them always wins.
const TRIES: usize = 8;
/// Somebody else wrote in between.
const CONFLICT: u16 = 409;

pub(super) struct Writer {
    client: Client,
    shared: Arc<Shared>,
    policy: LivePolicy,
    events: Events,
}

/// The message written last, and when.
type Told = BTreeMap<Key, (String, Instant)>;

/// Uses of one exception that wait to be written down.
#[derive(Debug)]
struct Pending {
    uid: String,
    uses: i64,
    last: Used,
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error(transparent)]
    Refused(#[from] kube::Error),
    #[error("the API server did not answer in time")]
    TimedOut(#[from] time::error::Elapsed),
    #[error("others wrote it {TRIES} times in between")]
    Contended,
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
    pub(super) async fn keep(self, mut queue: Receiver<Used>) {
        let (mut pending, mut told) = (BTreeMap::new(), Told::new());
        let mut ticks = time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
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

    /// Writes what has changed, and keeps what could not be written.
    ///
    /// The status of one that cannot be read cannot be read either, and others may write something else: so `told`
    /// remembers what was written there.
    async fn write(&self, pending: &mut BTreeMap<Key, Pending>, told: &mut Told) {
        let max = self.policy.current().max_exception;
        let entries = self.shared.entries();
        // Nobody can look at one that is gone.
        pending.retain(|key, _| entries.iter().any(|(known, _)| known == key));
        told.retain(|key, (_, at)| {
            let entry = entries.iter().find(|(known, _)| known == key);
            entry.is_some_and(|(_, entry)| entry.read.is_err() || at.elapsed() < PATIENCE)
        });
        for (key, entry) in entries {
            let wanted = entry.wanted(Timestamp::now(), max);
            let uses = pending.remove(&key);
            // One without a condition is a new one, if it can be read.
            let shows = entry.read.is_err() || entry.condition.is_some();
            let before = told.get(&key).filter(|_| shows);
            let is_told = says(entry.condition.as_ref(), &wanted)
                || before.is_some_and(|(message, _)| *message == wanted.message);
            if uses.is_none() && is_told {
                continue;
            }
            if let Err(error) = self.update(&key, &wanted, uses.as_ref()).await {
                let (namespace, name) = &key;
                tracing::warn!(%namespace, %name, %error, "failed to write the status of an exception, trying again");
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
        wanted: &Wanted,
        uses: Option<&Pending>,
    ) -> Result<(), Unwritten> {
        let api: Api<Guarded> = Api::namespaced(self.client.clone(), namespace);
        for _ in 0..TRIES {
            let Some(found) = time::timeout(TIMEOUT, api.get_opt(name)).await?? else {
                return Ok(());
            };
            // One of the same name that was made since has uses of its own.
            let uses = uses.filter(|pending| found.uid().as_deref() == Some(&pending.uid));
            if uses.is_none() && says(condition_of(&found), wanted) {
                return Ok(());
            }
            let patch = Patch::Merge(wanted.patch(&found, uses, Timestamp::now()));
            let params = PatchParams::default();
            match time::timeout(TIMEOUT, api.patch_status(name, &params, &patch)).await? {
                Ok(_) => {
                    if let Some(uses) = uses {
                        self.tell(&found, uses);
                    }
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.code == CONFLICT => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Unwritten::Contended)
    }

    fn tell(&self, object: &Guarded, uses: &Pending) {
        let (job, rules) = (&uses.last.what.job, uses.last.what.rules.join(", "));
        let more = match uses.uses {
            1 => String::new(),
            uses => format!(" ({} more within a moment)", uses - 1),
        };
        self.events.tell(
            Happening {
                regarding: object.object_ref(&()),
                related: None,
                is_warning: false,
                reason: "ExceptionUsed",
                action: "Admit",
                note: String::new(),
            }
            .noted(&format!("let {job} through, which breaks {rules}{more}")),
        );
    }
}

impl Entry {
    fn wanted(&self, now: Timestamp, max: SignedDuration) -> Wanted {
        match &self.read {
            Ok(exception) => {
                let standing = exception.standing(now, max);
                Wanted {
                    honoured: standing == Standing::Honoured,
                    reason: standing.reason(),
                    message: standing.message(),
                }
            }
            Err(message) => Wanted {
                honoured: false,
                reason: "Unreadable",
                message: message.clone(),
            },
        }
    }
}

/// What our condition should say.
struct Wanted {
    honoured: bool,
    reason: &'static str,
    message: String,
}

impl Wanted {
    fn status(&self) -> &'static str {
        if self.honoured { "True" } else { "False" }
    }

    /// The change of the status: a use more, and our condition among those of others.
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
            status["lastUsedBy"] = json!(pending.last.what.job);
        }
        json!({
            "metadata": {"resourceVersion": found.resource_version()},
            "status": status,
        })
    }
}

/// Our condition on an exception.
pub(super) fn condition_of(object: &Guarded) -> Option<&Condition> {
    let status = object.0.as_ref().ok()?.status.as_ref()?;
    status.conditions.iter().find(|c| c.r#type == HONOURED)
}

fn says(condition: Option<&Condition>, wanted: &Wanted) -> bool {
    condition.is_some_and(|condition| {
        condition.status == wanted.status()
            && condition.reason == wanted.reason
            && condition.message == wanted.message
    })
}

fn merge(pending: &mut BTreeMap<Key, Pending>, one: Used) {
    let exception = &one.what.exception;
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
