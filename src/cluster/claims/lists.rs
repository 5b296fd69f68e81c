//! The LISTs that claims need: the active Jobs of a namespace, and its claims whose Jobs have not been seen.
//!
//! They are consistent reads, because they ask for no resourceVersion. A LIST depends on no single caller, so that all
//! who asked before it was sent share it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};

use super::active_jobs::{self, Active};
use super::crowd::Unseen;
use super::key::Key;
use super::lease::{CLAIM, HOLDER_UID, NAMESPACE, UNSEEN};
use super::looks::Looks;
use super::protocol::Listed;
use super::store::Wanted;
use crate::cluster::api::ApiError;
use crate::cluster::api::list::List;
use crate::cluster::api::seats::Seats;
use crate::cluster::api::shared::Questions;
use crate::core::json;
use crate::core::policy::Policy;

/// Jobs or claims per page of a LIST, if they are not too large.
const PAGE: u32 = 100;
/// Concurrent LISTs of Jobs. Most of their time they wait for the API server, and hold nothing in memory. One namespace
/// has at most half of them.
const JOBS: usize = 64;
/// Those of the namespaces that share a database. One database has at most half of them, which lists fifty namespaces
/// with three selectors in less than a second.
const DATABASES: usize = 64;
/// Concurrent LISTs of claims.
const CLAIMS: usize = 4;
/// Most active Jobs of a namespace that are kept in memory, some hundred bytes each.
const MOST: usize = 500;

/// Clones share the LISTs and the limits on them.
#[derive(Clone)]
pub(super) struct Lists {
    client: Client,
    jobs: Questions<Scope, Arc<Vec<Active>>>,
    databases: Questions<Scope, Arc<Vec<Active>>>,
    /// By namespace.
    unseen: Questions<String, Arc<Vec<Unseen>>>,
}

/// What one LIST of Jobs returns.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Scope {
    /// Whose seats it takes: those of the namespace, or of a database, because the LISTs of a large database must not
    /// delay a small one with the same namespace.
    place: String,
    namespace: String,
    /// The place of the selector in the policy; `None` for all Jobs.
    selector: Option<usize>,
    /// The hash of the policy, which determines the keys.
    policy: String,
}

impl Lists {
    pub(super) fn new(client: Client) -> Self {
        let half = |all: usize| Seats::new(all, all / 2);
        Self {
            client,
            jobs: Questions::new(half(JOBS)),
            databases: Questions::new(half(DATABASES)),
            unseen: Questions::new(half(CLAIMS)),
        }
    }

    /// The active Jobs of the namespaces of these keys under this policy, as they are after the call. More than one LIST
    /// may have the same Job. With `all`, also those that it adopts and that have no label yet. The caller limits the
    /// time.
    pub(super) async fn active(
        &self,
        keys: &[Key],
        policy: &Arc<Policy>,
        all: bool,
    ) -> Result<Vec<Arc<Vec<Active>>>, ApiError> {
        let labelled = (0..policy.selectors.of_stored().len()).map(Some);
        let selectors = if all { vec![None] } else { labelled.collect() };
        let (mut asked, mut scopes) = (Vec::new(), Vec::new());
        for key in keys {
            for namespace in key.namespaces() {
                let (lists, place) = match key.namespaces() {
                    [_] => (&self.jobs, &**namespace),
                    _ => (&self.databases, key.lease_name()),
                };
                for &selector in &selectors {
                    let scope = Scope {
                        place: place.to_owned(),
                        namespace: namespace.clone(),
                        selector,
                        policy: policy.hash.clone(),
                    };
                    // Two keys may need the same LIST.
                    if !scopes.contains(&scope) {
                        let request = jobs(self.client.clone(), scope.clone(), Arc::clone(policy));
                        asked.push(lists.ask(place, scope.clone(), request));
                        scopes.push(scope);
                    }
                }
            }
        }
        try_join_all(asked).await
    }

    /// The namespace's claims that are not marked as seen.
    pub(super) async fn unseen(&self, namespace: &str) -> Result<Arc<Vec<Unseen>>, ApiError> {
        let request = unseen(self.client.clone(), namespace.to_owned());
        self.unseen
            .ask(namespace, namespace.to_owned(), request)
            .await
    }
}

/// `status.successful=0` would make the LIST shorter and miss a Job with several completions.
async fn jobs(
    client: Client,
    scope: Scope,
    policy: Arc<Policy>,
) -> Result<Arc<Vec<Active>>, ApiError> {
    let namespace = &*scope.namespace;
    let mut params = ListParams::default().limit(PAGE);
    if let Some(place) = scope.selector {
        params = params.labels_from(&policy.selectors.of_stored()[place]);
    }
    let mut list = List::of::<Job>(&client, Some(namespace), params);
    let mut active = Vec::new();
    while let Some(page) = list.next().await? {
        let jobs = json::sample(|| list.read(&page))?;
        let lease = (scope.place != scope.namespace).then_some(&*scope.place);
        active_jobs::add(jobs, &policy, lease, &mut active);
        if active.len() > MOST {
            let doing = format!("list jobs.batch in namespace {namespace}");
            let why = format!("more than {MOST} of its migration Jobs are active");
            return Err(ApiError::Unreadable { doing, why });
        }
    }
    Ok(Arc::new(active))
}

/// The first of these Jobs that shares one of the keys, is not the one that asks, and can still run. One that is being
/// deleted counts by its pods, and comes last.
pub(super) async fn first(
    lists: &[Arc<Vec<Active>>],
    wanted: &Wanted<'_>,
    looks: &Looks,
) -> Result<Option<Listed>, ApiError> {
    let mut deleted: BTreeMap<&str, BTreeMap<&str, &Active>> = BTreeMap::new();
    let all = lists.iter().flat_map(|list| list.iter());
    for job in all.filter(|job| !wanted.is_for(&job.claim) && job.shares(wanted.keys)) {
        if !job.job.is_terminating {
            return Ok(job.shared(wanted.keys));
        }
        let of_namespace = deleted.entry(&job.claim.namespace).or_default();
        of_namespace.insert(&job.claim.uid, job);
    }
    for (namespace, jobs) in deleted {
        let uids: Vec<&str> = jobs.keys().copied().collect();
        if let Some(place) = looks.one_live(namespace, &uids).await? {
            return Ok(jobs
                .into_values()
                .nth(place)
                .and_then(|job| job.shared(wanted.keys)));
        }
    }
    Ok(None)
}

async fn unseen(client: Client, namespace: String) -> Result<Arc<Vec<Unseen>>, ApiError> {
    let selector = format!("{CLAIM}=true,{UNSEEN}=true,{NAMESPACE}={namespace}");
    let params = ListParams::default().labels(&selector).limit(PAGE);
    let mut list = List::of::<Lease>(&client, Some(client.default_namespace()), params);
    let mut unseen = Vec::new();
    while let Some(page) = list.next().await? {
        let leases = list.read::<PartialObjectMeta<Lease>>(&page)?;
        unseen.extend(leases.into_iter().map(|lease| Unseen {
            uid: lease.labels().get(HOLDER_UID).cloned().unwrap_or_default(),
            lease: lease.name_any(),
        }));
    }
    Ok(Arc::new(unseen))
}

#[cfg(test)]
mod tests;
