//! MW101: another migration of the same key may still run.

use std::fmt;

use jiff::SignedDuration;

use crate::core::policy::claims::OnFailure;
use crate::core::policy::rule::prelude::*;
use crate::core::time;

rule! {
    /// A migration Job that arrives while another one with the same key may still be running.
    ///
    /// The key is the namespace and the Job's name without its timestamp, so different migrations of one release may
    /// run side by side. With `claims: {key: release}` the key is the release. The annotation
    /// `migration-warden.io/database: NAME` on the Job makes the key a database that several releases of a namespace
    /// share. The policy's `claims.databases` lists the databases that several namespaces share. The rule needs a
    /// cluster, so `check` does not apply it.
    ///
    /// ## Why is this bad?
    /// A deploy that is interrupted leaves its Job running. After a rollback and a second attempt, Helm starts another
    /// migration while the first one still changes the schema. Helm's own lock on a release does not help, because the
    /// rollback takes it.
    ///
    /// ## Instead
    /// Wait. With the action `wait`, the default, migration-warden asks the client to retry in 15 seconds (429
    /// `TooManyRequests`). Helm and kubectl retry by themselves ten times, for some 150 seconds. With `deny` clients do
    /// not retry.
    ///
    /// You may delete a Job that has not started, which still holds its key. To delete one that is running, first
    /// annotate it `migration-warden.io/allow-delete: "true"` (MW102).
    ///
    /// After a deletion, migrations wait for the Job's pod. On a lost node the pod never ends. If you know that nothing
    /// runs there any more, delete the pod with `--force`.
    ///
    /// If migration-warden cannot determine whether another migration is running, the Job waits too. `claims:
    /// {onFailure: allow}` admits it.
    ///
    /// Source: `k8s.io/client-go: rest/with_retry.go`, what clients do with `Retry-After`.
    pub static CONCURRENT_MIGRATION = {
        id: "MW101",
        name: "concurrent-migration",
        reason: "another migration holds the key",
        remediation: "retry when that migration has finished",
        path: "metadata.name",
        guide: Wait,
        strict: Wait,
        scope: Scope::Cluster,
        cel: NEEDS_THE_CLUSTER,
        check: Check::None,
    };
}

/// The Job that has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub job: String,
    /// How long ago it was created.
    pub age: SignedDuration,
    /// Who created it; empty if that is not known.
    pub user: String,
    /// How far it is.
    pub state: State,
}

/// How far a Job is that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is running.
    Running,
    /// No container of it has started.
    NotStarted {
        /// Kubernetes' reason, such as `ImagePullBackOff`.
        reason: String,
        /// Kubernetes' message; may be empty.
        message: String,
    },
    /// It has run, and none of its containers is running: another attempt may follow.
    Stopped {
        /// Kubernetes' reason, such as `CrashLoopBackOff`; empty between two pods.
        reason: String,
        /// Kubernetes' message; may be empty.
        message: String,
    },
    /// Its containers have ended, except sidecars, which keep its pod running.
    Ended,
    /// It was admitted a moment ago, and does not exist yet.
    NotYetThere,
    /// It was deleted, and its pod is still running.
    Deleted,
    /// It is suspended.
    Suspended,
    /// It has not ended; more is not known.
    Unfinished,
}

/// Why a migration does not get its claim.
#[derive(Debug)]
pub enum Refusal {
    /// This Job has the key.
    Held(Holder),
    /// Its namespace has no room for another claim. It waits even if the policy allows unknown claims: otherwise a flood
    /// of Jobs would switch claims off.
    Crowded(String),
    /// Another migration may be running.
    Unknown(String),
}

/// The breach of a migration that does not get its claim.
pub fn check(refusal: &Refusal, on_failure: OnFailure) -> Breach {
    match (refusal, on_failure) {
        (Refusal::Held(holder), _) => held(holder),
        (Refusal::Crowded(why), _) => crowded(why),
        (Refusal::Unknown(why), OnFailure::Deny) => unknown(why),
        (Refusal::Unknown(why), OnFailure::Allow) => unknown(why).at_most(Warn),
    }
}

/// The breach of a Job that arrives while `holder` has the key.
fn held(holder: &Holder) -> Breach {
    let Holder { namespace, job, .. } = holder;
    let by = match &*holder.user {
        "" => String::new(),
        user => format!(" by {}", shown(user)),
    };
    let (state, age) = (&holder.state, time::in_words(holder.age));
    let detail = format!("{namespace}/{job} {state}, created {age} ago{by}");
    let breach = Breach::new("metadata.name", detail);
    let pods = format!("-n {namespace} -l batch.kubernetes.io/job-name={job}");
    let (describe, delete) = (
        format!("kubectl describe job {job} -n {namespace}"),
        format!("kubectl delete job {job} -n {namespace}"),
    );
    match state {
        // These may be deleted as they are.
        State::NotStarted { .. } | State::Stopped { .. } | State::Suspended => breach
            .command(LOOK, describe)
            .command("To give it up", delete),
        State::Ended => breach
            .command(LOOK, describe)
            .command("To remove it", delete),
        State::Deleted => breach
            .command(LOOK, format!("kubectl get pods {pods}"))
            .command(
                "If its node is lost and cannot run it any more",
                format!("kubectl delete pods {pods} --force"),
            ),
        State::NotYetThere => breach,
        // MW102 guards these.
        State::Running | State::Unfinished => {
            const STOP: &str = "To stop it halfway";
            let key = Annotation::AllowDelete.key();
            let allow = format!("kubectl annotate job {job} -n {namespace} {key}=true");
            let breach = breach.command(LOOK, describe);
            breach.command(STOP, allow).command(STOP, delete)
        }
    }
}

const LOOK: &str = "To look";

/// The breach of a Job beside which another migration may be running.
fn unknown(why: &str) -> Breach {
    let detail = format!(
        "could not determine whether another migration is running: {why} (if this persists, contact the operators of \
         migration-warden; claims.onFailure: allow in its policy admits such Jobs)"
    );
    Breach::new("metadata.name", detail)
}

/// The breach of a Job in a namespace that has no room for another claim.
fn crowded(why: &str) -> Breach {
    let detail = format!("{why}; a claim whose Job does not arrive expires within a minute");
    Breach::new("metadata.name", detail)
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("is still running"),
            Self::NotStarted { reason, message } => {
                f.write_str("has not started")?;
                wait(f, reason, message)
            }
            Self::Stopped { reason, message } => {
                f.write_str("has started, but none of its containers is running")?;
                wait(f, reason, message)
            }
            Self::Ended => f.write_str("has ended, but a sidecar keeps its pod running"),
            Self::NotYetThere => {
                f.write_str("is about to be created, or its claim expires within a minute")
            }
            Self::Deleted => f.write_str("is deleted, but its pod is still running"),
            Self::Suspended => f.write_str("is suspended"),
            Self::Unfinished => f.write_str("has not ended"),
        }
    }
}

fn wait(f: &mut fmt::Formatter<'_>, reason: &str, message: &str) -> fmt::Result {
    match (reason, message) {
        ("", _) => Ok(()),
        (_, "") => write!(f, " ({reason})"),
        _ => write!(f, " ({reason}: {})", shown(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing;

    fn holder(state: State, user: &str) -> Holder {
        Holder {
            namespace: "shop".to_owned(),
            job: "migrate-1".to_owned(),
            age: SignedDuration::from_secs(75),
            user: user.to_owned(),
            state,
        }
    }

    fn told(breach: Breach) -> String {
        testing::told(&CONCURRENT_MIGRATION, breach)
    }

    #[test]
    fn the_holder_is_named_with_what_can_be_done() {
        let pulling = State::NotStarted {
            reason: "ImagePullBackOff".to_owned(),
            message: "Back-off pulling image".to_owned(),
        };
        let stopped = |reason: &str| State::Stopped {
            reason: reason.to_owned(),
            message: String::new(),
        };
        let look = "To look:\n  kubectl describe job migrate-1 -n shop";
        let give_up = format!("{look}\nTo give it up:\n  kubectl delete job migrate-1 -n shop");
        let stop = format!(
            "{look}\nTo stop it halfway:\n  \
             kubectl annotate job migrate-1 -n shop migration-warden.io/allow-delete=true\n  \
             kubectl delete job migrate-1 -n shop"
        );
        let remove = format!("{look}\nTo remove it:\n  kubectl delete job migrate-1 -n shop");
        let force = "To look:\n  kubectl get pods -n shop -l batch.kubernetes.io/job-name=migrate-1\n\
                     If its node is lost and cannot run it any more:\n  \
                     kubectl delete pods -n shop -l batch.kubernetes.io/job-name=migrate-1 --force";
        for (state, words, commands) in [
            (State::Running, "is still running", stop.as_str()),
            (State::Unfinished, "has not ended", stop.as_str()),
            (
                pulling,
                "has not started (ImagePullBackOff: \"Back-off pulling image\")",
                give_up.as_str(),
            ),
            (
                stopped("CrashLoopBackOff"),
                "has started, but none of its containers is running (CrashLoopBackOff)",
                give_up.as_str(),
            ),
            (
                stopped(""),
                "has started, but none of its containers is running",
                give_up.as_str(),
            ),
            (State::Suspended, "is suspended", give_up.as_str()),
            (
                State::Ended,
                "has ended, but a sidecar keeps its pod running",
                remove.as_str(),
            ),
            (
                State::Deleted,
                "is deleted, but its pod is still running",
                force,
            ),
            (
                State::NotYetThere,
                "is about to be created, or its claim expires within a minute",
                "",
            ),
        ] {
            let line = format!(
                "MW101 concurrent-migration: metadata.name: shop/migrate-1 {words}, created 75 seconds ago by \"ci\"; \
                 retry when that migration has finished\n{commands}"
            );
            assert_eq!(told(held(&holder(state, "ci"))), line.trim_end());
        }
        let nobody = told(held(&holder(State::Running, "")));
        assert!(nobody.contains("75 seconds ago; retry"), "{nobody}");
    }

    #[test]
    fn what_could_not_be_determined_is_said() {
        assert_eq!(
            told(unknown("the API server did not answer in time")),
            "MW101 concurrent-migration: metadata.name: could not determine whether another migration is running: \
             the API server did not answer in time (if this persists, contact the operators of migration-warden; \
             claims.onFailure: allow in its policy admits such Jobs); retry when that migration has finished"
        );
    }
}
