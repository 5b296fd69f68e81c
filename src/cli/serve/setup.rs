//! What every part of the service adds to while it is set up: the metrics, the conditions of `/readyz`, and the tasks
//! that run next to the reviews.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use futures_util::future::{BoxFuture, select_all};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::host::file_watch;
use crate::host::health::Readiness;
use crate::host::policy_watch::{LivePolicy, LoadError};
use crate::server::metrics::Metrics;

#[derive(Default)]
pub(super) struct Setup {
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Readiness,
    tasks: Vec<BoxFuture<'static, &'static str>>,
}

impl Setup {
    /// Adds a task, which must never end.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.tasks.push(Box::pin(async move {
            task.await;
            name
        }));
    }

    /// Adds a task that may compute for tens of milliseconds. It gets a thread of its own: reviews share one.
    pub(super) fn add_thread(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let (alive, over) = oneshot::channel::<()>();
        let runtime = Handle::current();
        self.add(name, async move {
            let run = async {
                tokio::select! {
                    biased;
                    // The task ends with this future.
                    _ = over => {}
                    () = task => {}
                }
            };
            // A panic ends the task, too.
            let _ = spawn_blocking(move || runtime.block_on(run)).await;
            drop(alive);
        });
    }

    /// Runs all tasks. Returns the name of the first one that ends.
    pub(super) async fn run(self) -> &'static str {
        if self.tasks.is_empty() {
            return pending().await;
        }
        select_all(self.tasks).await.0
    }

    /// Loads the policy, and reloads it when its file changes.
    pub(super) fn policy(&mut self, file: Option<&Path>) -> anyhow::Result<LivePolicy> {
        let loaded = (self.readiness).register("policy", "no policy is loaded yet", false);
        let metrics = self.metrics.policy.clone();
        let policy = match file {
            None => LivePolicy::builtin(&metrics),
            Some(path) => {
                let loaded = LivePolicy::load(path.to_owned(), &metrics);
                let (policy, file) = loaded.map_err(|error| match error {
                    LoadError::Invalid(faults) => faults.into(),
                    unread => anyhow!("--config: {unread}"),
                })?;
                let fresh = policy.clone().keep_fresh(file, file_watch::PERIOD, metrics);
                self.add("watching the policy file", fresh);
                policy
            }
        };
        loaded.set(true);
        Ok(policy)
    }
}
