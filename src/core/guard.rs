//! Which users the guards of existing migration Jobs never block, and which requests the API server sends to them.
//!
//! What the guards flag is in the rules MW102, MW103 and MW104. They never block the control plane: a guard that stops a
//! cluster from working is worse than none.

pub mod webhook_config;

/// The control plane's own users. Not all of `kube-system`: k3s runs its helm-controller there.
const CONTROL_PLANE: [&str; 9] = [
    "system:apiserver",
    // The user of all controllers without `--use-service-account-credentials`.
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:cronjob-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:job-controller",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:node-controller",
    "system:serviceaccount:kube-system:pod-garbage-collector",
    "system:serviceaccount:kube-system:ttl-after-finished-controller",
];

/// Prefix of the name of a node's user.
const NODE: &str = "system:node:";

/// Whether this is one of the control plane's own users, which are never blocked.
#[must_use]
pub(crate) fn is_control_plane(user: &str) -> bool {
    CONTROL_PLANE.contains(&user) || user.starts_with(NODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_is_known_by_name() {
        for user in [
            "system:kube-controller-manager",
            "system:serviceaccount:kube-system:generic-garbage-collector",
            "system:node:worker-1",
        ] {
            assert!(is_control_plane(user), "{user}");
        }
        for user in [
            "",
            "ci",
            "system:admin",
            "system:serviceaccount:kube-system:helm-controller",
            "system:serviceaccount:shop:generic-garbage-collector",
        ] {
            assert!(!is_control_plane(user), "{user}");
        }
    }
}
