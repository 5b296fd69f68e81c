//! Where the elected replica records that all active Jobs which the policy adopts have their label: on the Lease of the
//! election. Until then a claim of an adopted Job lists Jobs without a label, too.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::cluster::api::{ApiError, ask, failed};
use crate::core::policy::Policy;

/// The annotation that names the version and the policy for which it is done.
const ADOPTED_FOR: &str = "migration-warden.io/adopted-for";

/// Clones share what they remember. Without a Lease it is never done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    lease: Option<(Api<Lease>, String)>,
    /// The policy for which it is known to be done. Not its hash: after a change and back it has to be done again.
    done: Arc<Mutex<Weak<Policy>>>,
}

impl Record {
    /// On the Lease of this name, in the client's own namespace.
    pub(crate) fn on(client: Client, lease: String) -> Self {
        Self {
            lease: Some((Api::default_namespaced(client), lease)),
            done: Arc::default(),
        }
    }

    /// Whether it is done for this policy. Once it is, the API server is not asked again. The caller limits the time.
    pub(crate) async fn is_done(&self, policy: &Arc<Policy>) -> Result<bool, ApiError> {
        let known = || self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((api, name)) = &self.lease else {
            return Ok(false);
        };
        if known().as_ptr() == Arc::as_ptr(policy) {
            return Ok(true);
        }
        let lease = api.get_metadata_opt(name).await;
        let lease = lease.map_err(failed("get leases"))?;
        let is_done = lease.is_some_and(|lease| {
            let found = lease.annotations().get(ADOPTED_FOR);
            found.is_some_and(|found| *found == value(policy))
        });
        if is_done {
            *known() = Arc::downgrade(policy);
        }
        Ok(is_done)
    }

    /// Records for which policy it is done.
    pub(super) async fn set(&self, policy: Option<&Policy>) -> Result<(), ApiError> {
        let Some((api, name)) = &self.lease else {
            return Ok(());
        };
        let done = policy.map(value);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {ADOPTED_FOR: done}}}));
        let params = PatchParams::default();
        let patched = ask("patch leases", api.patch_metadata(name, &params, &patch));
        patched.await.map(drop)
    }
}

/// Another version may detect other Jobs under the same policy.
fn value(policy: &Policy) -> String {
    format!("{} {}", env!("CARGO_PKG_VERSION"), policy.hash)
}
