//! The Kubernetes Events about runs. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};

use super::Known;
use super::resource::{MigrationRun, Outcome};
use crate::core::notice::{Happening, job};

/// What is new in a run that has just been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// Whether this is the first record of a migration without a decision.
    pub unreviewed: bool,
    /// How it ended, if that is new.
    pub ended: Option<Outcome>,
}

impl News {
    /// Compares a run with its outcome before, which a new run does not have. Anything before `since`, when recording
    /// began, is history: the first installation finds years of it.
    #[must_use]
    pub(crate) fn of(run: &Known, before: Option<Outcome>, since: Timestamp) -> Self {
        let Known { spec, status } = run;
        let is_history =
            |at: Option<Timestamp>| before.is_none() && at.is_some_and(|at| at < since);
        let outcome = status.outcome;
        let has_ended = outcome != before.unwrap_or_default() && outcome != Outcome::Running;
        Self {
            unreviewed: before.is_none() && !spec.reviewed && !is_history(status.admitted_at),
            ended: (has_ended && !is_history(status.finished_at)).then_some(outcome),
        }
    }
}

/// The Events for a run that has been written; each is sent only once.
#[must_use]
pub(crate) fn happenings(run: &MigrationRun, news: News) -> Vec<Happening> {
    let (spec, status) = (&run.spec, run.status.clone().unwrap_or_default());
    let namespace = run.namespace().unwrap_or_default();
    let warning = |reason, action, note: String| {
        let happening = Happening {
            regarding: reference(run),
            related: Some(job(&namespace, &spec.job.name, &spec.job.uid)),
            is_warning: true,
            reason,
            action,
            note: String::new(),
        };
        happening.noted(&note)
    };
    let mut happenings = Vec::new();
    let (job, release) = (&spec.job.name, &spec.release.name);
    if news.unreviewed {
        let note = format!(
            "{job} of {release} exists without a decision: the API server did not call the webhook, or the manifest has stamps"
        );
        happenings.push(warning("MigrationUnreviewed", "Record", note));
    }
    if news.ended == Some(Outcome::Failed) {
        let mut note = format!("{job} of {release} failed, attempt {}", spec.attempt);
        if let Some(reason) = &status.reason {
            note = format!("{note}: {reason}");
        }
        if let Some(code) = status.exit_code {
            note = format!("{note} (exit code {code})");
        }
        if let Some(message) = &status.message {
            note = format!("{note}: {message}");
        }
        happenings.push(warning("MigrationFailed", "Record", note));
    }
    if news.ended == Some(Outcome::Lost) {
        let note = format!(
            "{job} of {release} was deleted before its outcome was recorded: check with the migration tool what the database has"
        );
        happenings.push(warning("MigrationLost", "Record", note));
    }
    happenings
}

fn reference(run: &MigrationRun) -> ObjectReference {
    ObjectReference {
        api_version: Some(MigrationRun::api_version(&()).into_owned()),
        kind: Some(MigrationRun::kind(&()).into_owned()),
        namespace: run.namespace(),
        name: run.metadata.name.clone(),
        uid: run.uid(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(outcome: &str, reviewed: bool) -> MigrationRun {
        serde_json::from_value(json!({
            "apiVersion": "migration-warden.io/v1alpha1", "kind": "MigrationRun",
            "metadata": {"namespace": "team", "name": "shop-migrate-1766361600-6f1f2a3b", "uid": "r1"},
            "spec": {
                "job": {"name": "shop-migrate-1766361600", "uid": "u1"},
                "release": {"name": "shop", "source": "flux"},
                "migration": "shop-migrate", "deployer": "Flux", "reviewed": reviewed, "attempt": 2,
            },
            "status": {
                "outcome": outcome, "reason": "OOMKilled", "exitCode": 137, "message": "loading",
            },
        }))
        .unwrap()
    }

    fn told(run: &MigrationRun, before: Option<Outcome>) -> Vec<(&'static str, String)> {
        let news = News::of(&Known::of(run), before, Timestamp::UNIX_EPOCH);
        let happenings = happenings(run, news).into_iter();
        happenings.map(|h| (h.reason, h.note)).collect()
    }

    #[test]
    fn a_failure_is_told_once_with_its_reason() {
        let failed = run("Failed", true);
        let note =
            "shop-migrate-1766361600 of shop failed, attempt 2: OOMKilled (exit code 137): loading";
        let expected = [("MigrationFailed", note.to_owned())];
        for before in [None, Some(Outcome::Running), Some(Outcome::Lost)] {
            assert_eq!(told(&failed, before), expected);
        }
        assert!(told(&failed, Some(Outcome::Failed)).is_empty());
        let news = News::of(&Known::of(&failed), None, Timestamp::UNIX_EPOCH);
        let about = happenings(&failed, news)[0].regarding.clone();
        assert_eq!(about.kind.as_deref(), Some("MigrationRun"));
        assert_eq!(
            about.api_version.as_deref(),
            Some("migration-warden.io/v1alpha1")
        );
        assert_eq!(about.uid.as_deref(), Some("r1"));
    }

    #[test]
    fn what_nobody_can_know_is_told() {
        let lost = run("Lost", true);
        let note = "shop-migrate-1766361600 of shop was deleted before its outcome was recorded: check with the \
                    migration tool what the database has";
        let told_of = |before| told(&lost, before);
        assert_eq!(
            told_of(Some(Outcome::Running)),
            [("MigrationLost", note.to_owned())]
        );
        assert!(told_of(Some(Outcome::Lost)).is_empty());
    }

    #[test]
    fn a_bypass_is_told_when_the_run_is_made() {
        let bypass = run("Running", false);
        let note = "shop-migrate-1766361600 of shop exists without a decision: the API server did not call the webhook, \
                    or the manifest has stamps";
        assert_eq!(
            told(&bypass, None),
            [("MigrationUnreviewed", note.to_owned())]
        );
        assert!(told(&bypass, Some(Outcome::Running)).is_empty());
        assert!(told(&run("Running", true), None).is_empty());
        assert!(told(&run("Succeeded", true), Some(Outcome::Running)).is_empty());
    }

    #[test]
    fn what_was_there_before_anything_was_recorded_is_no_news() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut known = Known::of(&run("Failed", false));
        (known.status.admitted_at, known.status.finished_at) = (Some(at(100)), Some(at(200)));
        let news = |before, since| {
            let News { unreviewed, ended } = News::of(&known, before, at(since));
            (unreviewed, ended.is_some())
        };
        assert_eq!(news(None, 201), (false, false));
        // It was created before, and has failed since.
        assert_eq!(news(None, 200), (false, true));
        assert_eq!(news(None, 100), (true, true));
        // It was recorded while it was running.
        assert_eq!(news(Some(Outcome::Running), 201), (false, true));
        assert_eq!(news(Some(Outcome::Failed), 0), (false, false));
    }
}
