//! MW101: another migration of the same key may still run.

use std::fmt;

use jiff::SignedDuration;

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job that comes while another one with the same key may still run.
    ///
    /// The key is the namespace and the Job's name without its timestamp, so that different migrations of
    /// one release may run side by side. With `claims: {key: release}` it is the release. The annotation
    /// `migration-warden.io/database: NAME` on the Job makes it a database that several releases of a
    /// namespace share; the policy's `claims.databases` lists those that several namespaces share. Needs
    /// a cluster: `check` and files know nothing of it.
    ///
    /// ## Why is this bad?
    /// A deploy that is interrupted leaves its Job running. Rolled back and tried again, Helm starts a
    /// second migration while the first one still changes the schema. Helm's own lock on a release does
    /// not help: the rollback takes it.
    ///
    /// ## Instead
    /// Wait. With the action `wait`, the default, the client is told to try again in 15 seconds
    /// (429 `TooManyRequests`); Helm and kubectl do so by themselves ten times, some 150 seconds. A Job
    /// that never started still holds its key and may be deleted; one that runs may be when it is
    /// annotated `migration-warden.io/allow-delete: "true"` (MW102). Of a deleted Job the pod is waited
    /// for: on a node that is lost it never ends, and whoever knows that nothing runs there any more
    /// deletes it with `--force`. With `deny` nobody is asked to try again. Where the API server does
    /// not say who else migrates, the Job is put off as well, or let in with `claims: {onFailure: allow}`.
    ///
    /// Source: `k8s.io/client-go: rest/with_retry.go`, what clients do with `Retry-After`.
    pub static CONCURRENT_MIGRATION = {
        id: "MW101",
        name: "concurrent-migration",
        reason: "another migration holds the key",
        remediation: "try again when the way is free",
        path: "metadata.name",
        guide: Wait,
        strict: Wait,
        scope: Scope::Cluster,
        cel: NEEDS_THE_CLUSTER,
        check: Check::None,
    };
}

/// The Job that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub job: String,
    /// How long ago it was created.
    pub age: SignedDuration,
    /// Who created it; empty where that is not known.
    pub user: String,
    /// How far it is.
    pub state: State,
}

/// How far a Job is that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// No container of it has started.
    NotStarted {
        /// In Kubernetes' word, such as `ImagePullBackOff`.
        reason: String,
        /// What Kubernetes says of it; may be empty.
        message: String,
    },
    /// It has run, and no container of it runs now: another try may come.
    Stopped {
        /// In Kubernetes' word, such as `CrashLoopBackOff`; empty between two pods.
        reason: String,
        /// What Kubernetes says of it; may be empty.
        message: String,
    },
    /// Its containers have ended, except sidecars, which keep its pod running.
    Ended,
    /// It was let in a moment ago, and is not there yet.
    NotYetThere,
    /// It was deleted, and its pod still runs.
    Deleted,
    /// It is suspended.
    Suspended,
    /// It has not ended; more is not known.
    Unfinished,
}

/// The breach that `holder` is in the way.
pub fn held(holder: &Holder) -> Breach {
    let Holder { namespace, job, .. } = holder;
    let by = match &*holder.user {
        "" => String::new(),
        user => format!(", created by {}", shown(user)),
    };
    let look = format!("look: kubectl describe job {job} -n {namespace}");
    let pods = format!("-n {namespace} -l batch.kubernetes.io/job-name={job}");
    let give_up = format!("kubectl delete job {job} -n {namespace}");
    let hint = match holder.state {
        // What does not run may be deleted as it is.
        State::NotStarted { .. } | State::Stopped { .. } | State::Suspended => {
            format!("{look}; give it up: {give_up}")
        }
        State::Ended => format!("{look}; remove it: {give_up}"),
        State::Deleted => format!(
            "look: kubectl get pods {pods}; if its node is lost and cannot run it any more: \
             kubectl delete pods {pods} --force"
        ),
        State::NotYetThere => "its claim expires within a minute if it does not come".to_owned(),
        // What runs is guarded by MW102.
        State::Running | State::Unfinished => {
            let key = Annotation::AllowDelete.key();
            format!(
                "{look}; stop it halfway: kubectl annotate job {job} -n {namespace} {key}=true, \
                 and {give_up}"
            )
        }
    };
    let detail = format!(
        "{namespace}/{job} {}, {} old{by} ({hint})",
        holder.state,
        age(holder.age)
    );
    Breach::new("metadata.name", detail)
}

/// The breach that nobody could tell whether another one runs.
pub fn unknown(why: &str) -> Breach {
    let detail = format!(
        "whether another migration runs could not be found out: {why} (if that lasts, tell whoever \
         runs migration-warden; claims.onFailure: allow in its policy lets such Jobs in)"
    );
    Breach::new("metadata.name", detail)
}

/// The breach that its namespace has no room for one more claim.
pub fn crowded(why: &str) -> Breach {
    let detail = format!("{why}; a claim whose Job does not come expires within a minute");
    Breach::new("metadata.name", detail)
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("still runs"),
            Self::NotStarted { reason, message } => {
                f.write_str("has not started")?;
                wait(f, reason, message)
            }
            Self::Stopped { reason, message } => {
                f.write_str("has started, and none of its containers runs now")?;
                wait(f, reason, message)
            }
            Self::Ended => f.write_str("has ended, and a sidecar keeps its pod running"),
            Self::NotYetThere => f.write_str("is about to be created"),
            Self::Deleted => f.write_str("is deleted, and its pod still runs"),
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

/// In the largest unit that says something, as `kubectl get` shows it.
fn age(age: SignedDuration) -> String {
    let seconds = age.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing;

    fn holder(state: State) -> Holder {
        Holder {
            namespace: "shop".to_owned(),
            job: "web-migrate-1766361600".to_owned(),
            age: SignedDuration::from_secs(75),
            user: "ci".to_owned(),
            state,
        }
    }

    fn told(breach: Breach) -> String {
        testing::told(&CONCURRENT_MIGRATION, breach)
    }

    fn says(state: State) -> String {
        told(held(&holder(state)))
    }

    #[test]
    fn the_holder_is_named_with_what_can_be_done() {
        assert_eq!(
            says(State::Running),
            "MW101 concurrent-migration: metadata.name: shop/web-migrate-1766361600 still runs, 75s old, \
             created by \"ci\" (look: kubectl describe job web-migrate-1766361600 -n shop; stop it halfway: \
             kubectl annotate job web-migrate-1766361600 -n shop migration-warden.io/allow-delete=true, \
             and kubectl delete job web-migrate-1766361600 -n shop); try again when the way is free"
        );
        let pulling = State::NotStarted {
            reason: "ImagePullBackOff".to_owned(),
            message: "Back-off pulling image".to_owned(),
        };
        assert_eq!(
            says(pulling),
            "MW101 concurrent-migration: metadata.name: shop/web-migrate-1766361600 has not started \
             (ImagePullBackOff: \"Back-off pulling image\"), 75s old, created by \"ci\" \
             (look: kubectl describe job web-migrate-1766361600 -n shop; \
             give it up: kubectl delete job web-migrate-1766361600 -n shop); \
             try again when the way is free"
        );
        assert_eq!(
            says(State::Deleted),
            "MW101 concurrent-migration: metadata.name: shop/web-migrate-1766361600 is deleted, and its pod \
             still runs, 75s old, created by \"ci\" (look: kubectl get pods -n shop \
             -l batch.kubernetes.io/job-name=web-migrate-1766361600; if its node is lost and cannot run it \
             any more: kubectl delete pods -n shop -l batch.kubernetes.io/job-name=web-migrate-1766361600 \
             --force); try again when the way is free"
        );
    }

    #[test]
    fn each_state_has_its_words() {
        for (state, words) in [
            (
                State::Stopped {
                    reason: "CrashLoopBackOff".to_owned(),
                    message: String::new(),
                },
                "has started, and none of its containers runs now (CrashLoopBackOff), 75s old",
            ),
            (
                State::Stopped {
                    reason: String::new(),
                    message: String::new(),
                },
                "has started, and none of its containers runs now, 75s old",
            ),
            (
                State::Ended,
                "has ended, and a sidecar keeps its pod running, 75s old",
            ),
            (State::Ended, "remove it: kubectl delete job"),
            (State::NotYetThere, "is about to be created"),
            (State::Deleted, "is deleted, and its pod still runs"),
            (State::Suspended, "is suspended"),
            (State::Unfinished, "has not ended"),
        ] {
            let told = says(state);
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn an_owner_that_is_not_known_is_left_out() {
        let nobody = Holder {
            user: String::new(),
            ..holder(State::Running)
        };
        let told = told(held(&nobody));
        assert!(told.contains("75s old (look"), "{told}");
    }

    #[test]
    fn what_could_not_be_found_out_is_said() {
        assert_eq!(
            told(unknown("the API server did not answer in time")),
            "MW101 concurrent-migration: metadata.name: whether another migration runs could not be found \
             out: the API server did not answer in time (if that lasts, tell whoever runs migration-warden; \
             claims.onFailure: allow in its policy lets such Jobs in); try again when the way is free"
        );
    }

    #[test]
    fn ages_are_short() {
        for (seconds, text) in [
            (-3, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_200, "2h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(SignedDuration::from_secs(seconds)), text);
        }
    }
}
