//! The pods of a Job, for all who ask whether it runs: the guards, the claims, the runs and the alerts.
//!
//! What they say is [`crate::job::running`]'s.

use std::sync::Arc;

use k8s_openapi::api::core::v1;
use kube::api::ListParams;
use kube::{Client, Error, Resource};
use tokio::sync::Semaphore;

use super::list;
use crate::job::running::Pod;
use crate::wire::Page;

/// Pods on a page, if they are not too large.
const PAGE: u32 = 100;
/// LISTs at once: each holds a page in memory.
const LISTS: usize = 4;
/// Pods of one Job. A migration has few, and more of them would fill the memory of a replica.
const MOST: usize = 1000;

/// The pods of the cluster. Clones share how many are asked for at once.
#[derive(Clone)]
pub struct Pods {
    client: Client,
    lists: Arc<Semaphore>,
}

impl Pods {
    /// Asked for with this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            lists: Arc::new(Semaphore::new(LISTS)),
        }
    }

    /// The pods of the Job with this uid. Nothing limits how long that takes: the caller does.
    pub async fn of(&self, namespace: &str, uid: &str) -> Result<Vec<Pod>, Error> {
        let path = v1::Pod::url_path(&(), Some(namespace));
        let selector = format!("batch.kubernetes.io/controller-uid={uid}");
        let mut params = ListParams::default().labels(&selector).limit(PAGE);
        let mut pods = Vec::new();
        // Nobody closes it.
        let _turn = self.lists.acquire().await;
        loop {
            let text = list::page(&self.client, &path, &mut params).await?;
            let page: Page<'_, Pod> = serde_json::from_str(&text).map_err(Error::SerdeError)?;
            let next = page.next();
            pods.extend(page.items);
            if pods.len() > MOST {
                let much = format!("the Job has more than {MOST} pods");
                return Err(Error::Service(much.into()));
            }
            match next {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(pods),
            }
        }
    }
}
