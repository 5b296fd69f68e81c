//! The Jobs that `verify` sends. None is ever stored, and no image is pulled.

use jiff::Timestamp;
use serde_json::{Value, json};

/// The name of the Jobs, and of their release.
const NAME: &str = "migration-warden-verify";

/// A Job that breaks no rule in any profile, and that Pod Security's `restricted` admits.
pub(super) fn good(now: Timestamp) -> Value {
    job(
        &format!("{NAME}-{}", now.as_second()),
        "pre-install,pre-upgrade",
        "before-hook-creation,hook-succeeded",
        "Never",
    )
}

/// The same Job, breaking MW001 to MW004 and nothing else.
pub(super) fn broken() -> Value {
    job(NAME, "pre-install", "before-hook-creation", "OnFailure")
}

/// The good Job as a chart has it that no one has changed: its image and its arguments are those of the guide.
pub(super) fn unlabelled(now: Timestamp) -> Value {
    let mut job = good(now);
    job["metadata"]["name"] = json!(format!("{NAME}-unlabelled-{}", now.as_second()));
    job["metadata"]["labels"] = json!({"app.kubernetes.io/instance": NAME});
    let container = &mut job["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!("arigaio/atlas:0.38.0");
    container["args"] = json!(["migrate", "apply", "--dir", "file:///src/"]);
    if let Some(container) = container.as_object_mut() {
        container.remove("command");
    }
    job
}

fn job(name: &str, hook: &str, delete_policy: &str, restart_policy: &str) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            // Both labels: the selectors of a custom policy probably use one of them.
            "labels": {
                "app.kubernetes.io/component": "migration",
                "app.kubernetes.io/instance": NAME,
                "migration-warden.io/migration": "true",
            },
            "annotations": {
                "helm.sh/hook": hook,
                "helm.sh/hook-delete-policy": delete_policy,
                "helm.sh/hook-output-log-policy": "hook-failed",
            },
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 600,
            "template": {
                "metadata": {
                    "labels": {"sidecar.istio.io/inject": "false"},
                    "annotations": {
                        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                        "karpenter.sh/do-not-disrupt": "true",
                        "linkerd.io/inject": "disabled",
                    },
                },
                "spec": {
                    "restartPolicy": restart_policy,
                    "automountServiceAccountToken": false,
                    "securityContext": {
                        "runAsNonRoot": true,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [{
                        "name": "migrate",
                        "image": "busybox:1.37.0",
                        "command": ["true"],
                        "resources": {
                            "requests": {"cpu": "10m", "memory": "16Mi"},
                            "limits": {"cpu": "10m", "memory": "16Mi"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::check::Check;
    use crate::core::policy_file::validate;
    use crate::core::report::Located;

    fn findings(job: &Value, profile: &str) -> Vec<String> {
        let policy = format!(
            "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nprofile: {profile}\n"
        );
        let policy = validate::read("policy.yaml", &policy).unwrap();
        let (mut check, mut findings) = (Check::new(&policy, "shop", Vec::new()), Vec::new());
        let sink = &mut |located: Located| findings.push(located);
        check.file("job.yaml", &job.to_string(), sink);
        assert_eq!(check.report.problems.len(), 0);
        let found = findings.iter();
        found
            .map(|located| located.finding.rule.id.to_owned())
            .collect()
    }

    #[test]
    fn each_breaks_what_it_should_and_nothing_else() {
        for profile in ["guide", "strict"] {
            let now = "2026-03-01T12:00:00Z".parse().unwrap();
            assert_eq!(findings(&good(now), profile), [""; 0]);
            assert_eq!(findings(&unlabelled(now), profile), ["MW022"]);
            assert_eq!(
                findings(&broken(), profile),
                ["MW001", "MW002", "MW003", "MW004"]
            );
        }
    }
}
