//! Reports if the cluster is too old. Nothing is refused because of it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;

use super::api::{ask, every};
use crate::host::health::Status;

/// The oldest Kubernetes version with the guarantee that claims and tidy-up need: a Job has finished only when its pods
/// have. `kubeVersion` of the chart is the same.
const OLDEST: (u32, u32) = (1, 31);
/// How often the version is read: a control plane is upgraded while replicas are running.
const PERIOD: Duration = Duration::from_secs(3600);

/// The cluster's version, as far as it is known. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct KubernetesVersion(Arc<Mutex<Status>>);

impl KubernetesVersion {
    /// The shared state, and a future that updates it for as long as it is awaited.
    pub(crate) fn watch(client: Client) -> (Self, impl Future<Output = ()>) {
        let version = Self(Arc::new(Mutex::new(Status::Ok(String::new()))));
        let known = version.clone();
        let watching = async move {
            let mut ticks = every(PERIOD);
            loop {
                ticks.tick().await;
                match ask("get the version", client.apiserver_version()).await {
                    Ok(found) => known.set(status(&found.major, &found.minor)),
                    Err(error) => tracing::debug!("{error}"),
                }
            }
        };
        (version, watching)
    }

    #[must_use]
    pub(crate) fn status(&self) -> Status {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, status: Status) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Status::Warning(why), true) = (&status, *known != status) {
            tracing::warn!("{why}");
        }
        *known = status;
    }
}

/// The status for this version. Vendors append text to the number.
fn status(major: &str, minor: &str) -> Status {
    let number = |text: &str| {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        text.get(..end)?.parse::<u32>().ok()
    };
    match (number(major), number(minor)) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => Status::Warning(format!(
            "the API server is Kubernetes {major}.{minor}, and migration-warden needs 1.31 or later; before, a Job \
             could count as finished while its pod was still running"
        )),
        (Some(major), Some(minor)) => Status::Ok(format!("{major}.{minor}")),
        _ => Status::Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_cluster_is_told() {
        let old = |version| {
            Status::Warning(format!(
                "the API server is Kubernetes {version}, and migration-warden needs 1.31 or later; before, a Job \
                 could count as finished while its pod was still running"
            ))
        };
        let ok = |version: &str| Status::Ok(version.to_owned());
        for (major, minor, expected) in [
            ("1", "30", old("1.30")),
            ("1", "30+", old("1.30")),
            ("1", "9", old("1.9")),
            ("1", "31", ok("1.31")),
            ("1", "31+", ok("1.31")),
            ("1", "37", ok("1.37")),
            ("2", "0", ok("2.0")),
            ("", "", ok("")),
            ("1", "99999999999", ok("")),
        ] {
            assert_eq!(status(major, minor), expected, "{major} {minor}");
        }
    }
}
