//! The parts of a pod that are read, in few bytes: a Job may have a thousand pods, and tenants write most of a pod.
//!
//! Texts are cut, and the entries of lists count ([`crate::core::json::document`]).

use std::ops::Deref;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use crate::core::job::name::cut;
use crate::core::json::{Text, few, fold, nullable};

/// The first bytes of a text; empty if it is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut<const MOST: usize>(String);

/// Names of containers have at most 63 bytes, reasons are single words.
type Word = Cut<256>;
type Image = Cut<512>;
/// The kubelet cuts a termination message at this length, too.
type Message = Cut<4096>;

impl<const MOST: usize> Deref for Cut<MOST> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Cut<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Ok(Self(cut(&text, MOST).to_owned()))
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Pod {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) spec: Spec,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) deletion_timestamp: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) restart_policy: Word,
    #[serde(deserialize_with = "few")]
    pub(super) init_containers: Vec<Container>,
    #[serde(deserialize_with = "few")]
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: Word,
    pub(super) image: Image,
    pub(super) restart_policy: Word,
    #[serde(rename = "restartPolicyRules", deserialize_with = "is_filled")]
    pub(super) has_restart_rules: bool,
}

fn is_filled<'de, D: Deserializer<'de>>(list: D) -> Result<bool, D::Error> {
    fold(list, |is_filled: &mut bool, _: IgnoredAny| {
        *is_filled = true;
        false
    })
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodStatus {
    pub(crate) phase: Word,
    pub(crate) reason: Word,
    pub(crate) message: Message,
    #[serde(deserialize_with = "conditions")]
    pub(crate) conditions: Conditions,
    #[serde(deserialize_with = "few")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "few")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    /// For debugging.
    #[serde(deserialize_with = "few")]
    pub(crate) ephemeral_container_statuses: Vec<ContainerStatus>,
}

/// Why the conditions say that something is wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    /// It has no node.
    pub(crate) unscheduled: Option<Why>,
    /// Since when it has no volumes or no network.
    pub(crate) unready: Option<Time>,
    /// Something else ends it, such as a drain.
    pub(crate) disrupted: Option<Why>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Why {
    pub(crate) reason: Word,
    pub(crate) message: Message,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    r#type: Word,
    status: Word,
    reason: Word,
    message: Message,
    last_transition_time: Option<Time>,
}

fn conditions<'de, D: Deserializer<'de>>(list: D) -> Result<Conditions, D::Error> {
    fold(list, |kept: &mut Conditions, next: Condition| {
        let why = match (&*next.r#type, &*next.status) {
            ("PodScheduled", "False") => &mut kept.unscheduled,
            ("DisruptionTarget", "True") => &mut kept.disrupted,
            ("PodReadyToStartContainers", "False") => {
                kept.unready = next.last_transition_time;
                return false;
            }
            _ => return false,
        };
        let (reason, message) = (next.reason, next.message);
        why.get_or_insert(Why { reason, message });
        false
    })
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerStatus {
    pub(super) name: Word,
    pub(super) image: Image,
    #[serde(rename = "imageID")]
    pub(crate) image_id: Image,
    pub(super) restart_count: i32,
    #[serde(deserialize_with = "nullable")]
    pub(crate) state: ContainerState,
    #[serde(deserialize_with = "nullable")]
    pub(crate) last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerState {
    pub(crate) running: Option<Running>,
    pub(crate) terminated: Option<Terminated>,
    pub(crate) waiting: Option<Why>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Running {
    pub(crate) started_at: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Terminated {
    pub(crate) exit_code: i32,
    pub(crate) started_at: Option<Time>,
    pub(crate) finished_at: Option<Time>,
    pub(crate) reason: Word,
    pub(crate) message: Message,
}

impl Pod {
    /// The bytes that it takes in memory.
    pub(crate) fn size(&self) -> usize {
        let PodStatus {
            reason,
            message,
            conditions,
            ..
        } = &self.status;
        let conditions = [&conditions.unscheduled, &conditions.disrupted];
        let whys = conditions.into_iter().flatten().map(Why::size);
        let written = self
            .spec
            .init_containers
            .iter()
            .chain(&self.spec.containers);
        let written = written.map(|c| size_of_val(c) + c.name.len() + c.image.len());
        let debug = self.status.ephemeral_container_statuses.iter();
        let statuses = self.all().map(|(_, status)| status).chain(debug).map(|c| {
            let texts = c.name.len() + c.image.len() + c.image_id.len();
            size_of_val(c) + texts + c.state.size() + c.last_state.size()
        });
        let parts: usize = whys.chain(written).chain(statuses).sum();
        size_of_val(self) + reason.len() + message.len() + parts
    }
}

impl ContainerState {
    pub(super) fn has_run(&self) -> bool {
        self.running.is_some() || self.terminated.is_some()
    }

    fn size(&self) -> usize {
        let ended = self.terminated.as_ref();
        let ended = ended.map(|end| end.reason.len() + end.message.len());
        ended.unwrap_or_default() + self.waiting.as_ref().map_or(0, Why::size)
    }
}

impl Why {
    fn size(&self) -> usize {
        self.reason.len() + self.message.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_takes_few_bytes_whatever_a_tenant_writes() {
        let long = "é".repeat(100_000);
        let state = json!({"terminated": {"exitCode": 1, "reason": long, "message": long}});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"annotations": {"a": long}},
            "spec": {"restartPolicy": long, "containers": [{"name": long, "image": long, "args": [long]}]},
            "status": {
                "phase": long, "reason": long, "message": long,
                "conditions": vec![json!({"type": "PodScheduled", "status": "False", "message": long}); 100],
                "containerStatuses": [
                    {"name": long, "image": long, "imageID": long, "state": state, "lastState": state},
                ],
            },
        }))
        .unwrap();
        let size = pod.size();
        assert!((15_000..25_000).contains(&size), "{size}");
    }
}
