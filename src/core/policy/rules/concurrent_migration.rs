//! MW101: another migration of the same key may still run.

mod holder;

pub use holder::{Failures, Holder, State};

use jiff::SignedDuration;

use crate::core::job::running::Progress;
use crate::core::policy::claims::WithoutClaim;
use crate::core::policy::rule::prelude::*;
use crate::core::time;

rule! {
    /// A migration Job that arrives while another one that shares a key with it may still be running.
    ///
    /// The key is the namespace and the Job's name without its timestamp, so different migrations of one release may
    /// run side by side. With `claims: {key: release}` the key is the release. With the annotation
    /// `migration-warden.io/database: NAME` the Job has a second key, the database, which several releases of a
    /// namespace may share. The policy's `claims.databases` lists the databases that several namespaces share. The rule
    /// needs a cluster, so `check` does not apply it.
    ///
    /// ## Why is this bad?
    /// A deploy that is interrupted leaves its Job running. After a rollback and a second attempt, Helm starts another
    /// migration while the first one still changes the schema. Helm's own lock on a release does not help, because the
    /// rollback takes it.
    ///
    /// ## Instead
    /// Wait. With the action `wait`, the default, migration-warden asks the client to retry (429 `TooManyRequests`). The
    /// client waits as long as the other migration has lasted so far, at least 15 seconds and at most 60. Helm and kubectl
    /// retry by themselves ten times, for eight to ten minutes, and show nothing meanwhile. With `deny` clients do not
    /// retry.
    ///
    /// The message names the other migration, its failed attempts, and when it ends by itself if that can be estimated.
    ///
    /// A hook that never started, such as for a missing image, gives way once it is a minute old. migration-warden fails
    /// it when a newer attempt of the same migration arrives. `claims: {supersede: off}` prevents that.
    ///
    /// Once no Helm waits for it, you may delete a Job that has not started, which still holds its key. To delete one that
    /// is running, first annotate it `migration-warden.io/allow-delete: "true"` (MW102).
    ///
    /// After a deletion, migrations wait for the Job's pod. On a lost node the pod never ends. If you know that nothing
    /// runs there any more, delete the pod with `--force`.
    ///
    /// If migration-warden cannot determine whether another migration is running, the Job waits too. `claims:
    /// {onFailure: allow}` admits it.
    ///
    /// Source: `k8s.io/client-go: rest/with_retry.go`, what clients do with `Retry-After`.
    pub(crate) static CONCURRENT_MIGRATION = {
        id: "MW101",
        name: "concurrent-migration",
        reason: "another migration holds the key",
        remediation: "retry when that migration has finished",
        path: "metadata.name",
        guide: Wait,
        strict: Wait,
        scope: Scope::Cluster(Promise::Claims),
        cel: NEEDS_THE_CLUSTER,
        check: Check::None,
    };
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

impl Refusal {
    /// How old the migration is that the Job waits for, if that says how long it may last.
    pub(crate) fn age(&self) -> Option<SignedDuration> {
        match self {
            Self::Held(holder) => match holder.state {
                State::NotYetThere | State::Superseded(_) => None,
                _ => Some(holder.age),
            },
            Self::Crowded(_) | Self::Unknown(_) => None,
        }
    }
}

/// The breach of a migration that does not get its claim.
pub(crate) fn check(refusal: &Refusal, without_claim: WithoutClaim) -> Breach {
    let why = match refusal {
        Refusal::Held(holder) => return held(holder),
        Refusal::Crowded(why) => {
            format!("{why}; a claim whose Job does not arrive expires within a minute")
        }
        Refusal::Unknown(why) => format!(
            "could not determine whether another migration is running: {why} (if this persists, contact the \
             operators of migration-warden; claims.onFailure: allow in its policy admits such Jobs)"
        ),
    };
    let breach = Breach::new("metadata.name", why);
    match (refusal, without_claim) {
        (Refusal::Unknown(_), WithoutClaim::Allow) => breach.at_most(Warn),
        _ => breach,
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
    let failures = holder.failures.map(|failures| format!("; {failures}"));
    let failures = failures.unwrap_or_default();
    let detail = format!("{namespace}/{job} {state}, created {age} ago{by}{failures}");
    let breach = Breach::new("metadata.name", detail);
    let pods = format!("-n {namespace} -l batch.kubernetes.io/job-name={job}");
    let (describe, delete) = (
        format!("kubectl describe job {job} -n {namespace}"),
        format!("kubectl delete job {job} -n {namespace}"),
    );
    match state {
        // These may be deleted as they are.
        State::Active(Progress::NotStarted(_) | Progress::Stopped(_)) | State::Suspended => {
            breach.command(LOOK, describe).command(GIVE_UP, delete)
        }
        State::Active(Progress::Ended) => breach
            .command(LOOK, describe)
            .command("To remove it", delete),
        State::Deleted => breach
            .command(LOOK, format!("kubectl get pods {pods}"))
            .command(
                "If its node is lost and cannot run it any more",
                format!("kubectl delete pods {pods} --force"),
            ),
        State::NotYetThere => breach,
        State::Superseded(_) => breach.command(LOOK, describe),
        // MW102 guards these.
        State::Active(Progress::Running) | State::Unfinished => {
            const STOP: &str = "To stop it halfway";
            let key = Annotation::AllowDelete.key();
            let allow = format!("kubectl annotate job {job} -n {namespace} {key}=true");
            let breach = breach.command(LOOK, describe);
            breach.command(STOP, allow).command(STOP, delete)
        }
    }
}

const LOOK: &str = "To look";
/// Helm 3 takes a hook that is deleted while it waits for one that succeeded.
const GIVE_UP: &str = "To give it up, once no Helm waits for it";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::Kind;
    use crate::core::job::running::Wait;
    use crate::core::policy::Action;
    use crate::core::policy::finding::Finding;

    fn told(refusal: &Refusal, without_claim: WithoutClaim) -> (Action, String) {
        let breach = check(refusal, without_claim);
        let found = Finding::new(&CONCURRENT_MIGRATION, Wait, Kind::Job, breach);
        (found.action, found.message())
    }

    fn holder(state: State) -> Holder {
        Holder {
            namespace: "shop".to_owned(),
            job: "migrate-1".to_owned(),
            age: SignedDuration::from_secs(75),
            user: "ci".to_owned(),
            state,
            failures: None,
        }
    }

    fn held(holder: Holder) -> String {
        told(&Refusal::Held(holder), WithoutClaim::Allow).1
    }

    #[test]
    fn the_holder_is_named_with_what_can_be_done() {
        let wait = |reason: &str, message: &str| Wait {
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        let stopped = |reason| Progress::Stopped(wait(reason, ""));
        let pulling = Progress::NotStarted(wait("ImagePullBackOff", "Back-off pulling image"));
        let pods = "-n shop -l batch.kubernetes.io/job-name=migrate-1";
        let delete = "kubectl delete job migrate-1 -n shop";
        let look = &"To look:\n  kubectl describe job migrate-1 -n shop".to_owned();
        let give_up = &format!("{look}\n{GIVE_UP}:\n  {delete}");
        let stop = &format!(
            "{look}\nTo stop it halfway:\n  kubectl annotate job migrate-1 -n shop \
             migration-warden.io/allow-delete=true\n  {delete}"
        );
        let remove = &format!("{look}\nTo remove it:\n  {delete}");
        let force = &format!(
            "To look:\n  kubectl get pods {pods}\nIf its node is lost and cannot run it any more:\n  \
             kubectl delete pods {pods} --force"
        );
        let stopped_words = "has started, but none of its containers is running";
        for (state, words, commands) in [
            (State::Active(Progress::Running), "is still running", stop),
            (State::Unfinished, "has not ended", stop),
            (
                State::Active(pulling),
                "has not started (ImagePullBackOff: \"Back-off pulling image\")",
                give_up,
            ),
            (
                State::Active(stopped("CrashLoopBackOff")),
                &format!("{stopped_words} (CrashLoopBackOff)"),
                give_up,
            ),
            (State::Active(stopped("")), stopped_words, give_up),
            (State::Suspended, "is suspended", give_up),
            (
                State::Superseded(wait("ErrImagePull", "not found")),
                "never started and is failed now (ErrImagePull: \"not found\")",
                look,
            ),
            (
                State::Active(Progress::Ended),
                "has ended, but a sidecar keeps its pod running",
                remove,
            ),
            (
                State::Deleted,
                "is deleted, but its pod is still running",
                force,
            ),
            (
                State::NotYetThere,
                "is about to be created, or its claim expires within a minute",
                &String::new(),
            ),
        ] {
            let line = format!(
                "MW101 concurrent-migration: metadata.name: shop/migrate-1 {words}, created 75 seconds ago by \"ci\"; \
                 retry when that migration has finished\n{commands}"
            );
            assert_eq!(held(holder(state)), line.trim_end());
        }
        let nobody = held(Holder {
            user: String::new(),
            ..holder(State::Unfinished)
        });
        assert!(nobody.contains("75 seconds ago; retry"), "{nobody}");
    }

    #[test]
    fn failed_attempts_are_counted() {
        let end = "2026-11-29T23:58:59Z".parse().ok();
        for (failed, limit, end, words) in [
            (3, Some(7), None, "3 of 7 attempts failed"),
            (
                1,
                Some(7),
                end,
                "1 of 7 attempts failed, ends by itself at about 2026-11-29 23:58 UTC",
            ),
            (1, None, None, "1 attempt failed"),
            (2, None, None, "2 attempts failed"),
        ] {
            let message = held(Holder {
                failures: Some(Failures { failed, limit, end }),
                ..holder(State::Active(Progress::Running))
            });
            let expected = format!(
                "shop/migrate-1 is still running, created 75 seconds ago by \"ci\"; {words}; retry when that migration has \
                 finished\nTo look:"
            );
            assert!(message.contains(&expected), "{message}");
        }
    }

    #[test]
    fn only_a_migration_that_exists_has_an_age() {
        let seconds = |refusal: Refusal| refusal.age().map(|age| age.as_secs());
        assert_eq!(seconds(Refusal::Held(holder(State::Deleted))), Some(75));
        let blind = [
            Refusal::Held(holder(State::NotYetThere)),
            Refusal::Crowded(String::new()),
            Refusal::Unknown(String::new()),
        ];
        assert_eq!(blind.map(seconds), [None; 3]);
    }

    #[test]
    fn only_what_could_not_be_determined_may_be_allowed() {
        let late = "the API server did not answer in time".to_owned();
        let message = "MW101 concurrent-migration: metadata.name: could not determine whether another migration is running: \
                       the API server did not answer in time (if this persists, contact the operators of migration-warden; \
                       claims.onFailure: allow in its policy admits such Jobs); retry when that migration has finished";
        let unknown = Refusal::Unknown(late);
        for (without_claim, action) in [(WithoutClaim::Deny, Wait), (WithoutClaim::Allow, Warn)] {
            assert_eq!(told(&unknown, without_claim), (action, message.to_owned()));
        }
        let crowded = Refusal::Crowded("the namespace has 1000 claims".to_owned());
        let message = "MW101 concurrent-migration: metadata.name: the namespace has 1000 claims; a claim whose Job does \
                       not arrive expires within a minute; retry when that migration has finished";
        assert_eq!(
            told(&crowded, WithoutClaim::Allow),
            (Wait, message.to_owned())
        );
    }
}
