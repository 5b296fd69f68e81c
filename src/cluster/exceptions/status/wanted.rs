//! What the status of an exception should say, and the patch that says it.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Entry, Guarded, Pending};
use crate::core::exception::Standing;
use crate::core::exception::resource::Condition;

const HONOURED: &str = "Honoured";

impl Entry {
    pub(super) fn wanted(&self, now: Timestamp, max: SignedDuration) -> WantedStatus {
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

pub(super) struct WantedStatus {
    honoured: bool,
    reason: &'static str,
    pub(super) message: String,
}

impl WantedStatus {
    fn status(&self) -> &'static str {
        if self.honoured { "True" } else { "False" }
    }

    /// The patch of the status: added uses, and our condition among others.
    pub(super) fn patch(&self, found: &Guarded, uses: Option<&Pending>, now: Timestamp) -> Value {
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

pub(in crate::cluster::exceptions) fn condition_of(object: &Guarded) -> Option<&Condition> {
    let status = object.0.as_ref().ok()?.status.as_ref()?;
    status.conditions.iter().find(|c| c.r#type == HONOURED)
}

pub(super) fn says(condition: Option<&Condition>, wanted: &WantedStatus) -> bool {
    condition.is_some_and(|condition| {
        condition.status == wanted.status()
            && condition.reason == wanted.reason
            && condition.message == wanted.message
    })
}
