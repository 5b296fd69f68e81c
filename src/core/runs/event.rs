//! The Kubernetes Events about runs. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};

use super::Known;
use super::resource::{MigrationRun, MigrationRunSpec, Outcome};
use crate::core::notice::{Happening, job, note};

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
pub(crate) fn happenings(run: &MigrationRun, news: News) -> Vec<Happening> {
    let (spec, status) = (&run.spec, run.status.clone().unwrap_or_default());
    let warning = |reason, text: &str| warning(run, reason, text);
    let mut happenings = Vec::new();
    let (job, release) = (&spec.job.name, &spec.release.name);
    if news.unreviewed {
        let note = format!(
            "{job} of {release} exists without a decision: the API server did not call the webhook, or the manifest has stamps"
        );
        happenings.push(warning("MigrationUnreviewed", &note));
    }
    if news.ended == Some(Outcome::Failed) && status.is_superseded() {
        let why = status.message.as_deref().unwrap_or_default();
        let note = format!(
            "{job} of {release} never started, and was failed so that the next attempt can run: {why}"
        );
        happenings.push(warning("MigrationSuperseded", &note));
    } else if news.ended == Some(Outcome::Failed) {
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
        happenings.push(warning("MigrationFailed", &note));
    }
    if news.ended == Some(Outcome::Lost) {
        let note = format!(
            "{job} of {release} was deleted before its outcome was recorded: check with the migration tool what the database has"
        );
        happenings.push(warning("MigrationLost", &note));
    }
    happenings
}

/// The Event for a run whose migration was called `former` before, and something else with each version.
pub(crate) fn renamed_from(former: &str, run: &MigrationRun) -> Happening {
    let MigrationRunSpec {
        job,
        release,
        migration,
        ..
    } = &run.spec;
    let text = format!(
        "{} of {}: the migration {migration} was called {former} before. Migrations with different names do not wait for \
         each other. Leave the version and the revision out of metadata.name",
        job.name, release.name
    );
    warning(run, "MigrationRenamed", &text)
}

fn warning(run: &MigrationRun, reason: &'static str, text: &str) -> Happening {
    let at = &run.spec.job;
    Happening {
        regarding: reference(run),
        related: Some(job(&run.namespace().unwrap_or_default(), &at.name, &at.uid)),
        is_warning: true,
        reason,
        action: "Record",
        note: note(text),
    }
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
    use crate::core::runs::testing::yaml;

    fn run(outcome: &str, reviewed: bool) -> MigrationRun {
        yaml(&format!(
            "
apiVersion: migration-warden.io/v1alpha1
kind: MigrationRun
metadata: {{namespace: team, name: shop-migrate-1766361600-6f1f2a3b, uid: r1}}
spec:
  job: {{name: shop-migrate-1766361600, uid: u1}}
  release: {{name: shop, source: flux}}
  migration: shop-migrate
  deployer: Flux
  reviewed: {reviewed}
  attempt: 2
status: {{outcome: {outcome}, reason: OOMKilled, exitCode: 137, message: loading}}
"
        ))
    }

    #[test]
    fn each_event_is_sent_once() {
        use Outcome::{Failed, Lost, Running};
        let failed = "MigrationFailed: shop-migrate-1766361600 of shop failed, attempt 2: OOMKilled (exit code 137): loading";
        let lost = "MigrationLost: shop-migrate-1766361600 of shop was deleted before its outcome was recorded: check \
                    with the migration tool what the database has";
        let bypass = "MigrationUnreviewed: shop-migrate-1766361600 of shop exists without a decision: the API server \
                      did not call the webhook, or the manifest has stamps";
        for (run, before, expected) in [
            (run("Failed", true), None, failed),
            (run("Failed", true), Some(Running), failed),
            (run("Failed", true), Some(Lost), failed),
            (run("Failed", true), Some(Failed), ""),
            (run("Lost", true), Some(Running), lost),
            (run("Lost", true), Some(Lost), ""),
            (run("Running", false), None, bypass),
            (run("Running", false), Some(Running), ""),
            (run("Running", true), None, ""),
            (run("Succeeded", true), Some(Running), ""),
        ] {
            let news = News::of(&Known::of(&run), before, Timestamp::UNIX_EPOCH);
            let sent = happenings(&run, news);
            let told = sent.iter().map(|h| format!("{}: {}", h.reason, h.note));
            assert_eq!(told.collect::<String>(), expected);
            for Happening { regarding, .. } in sent {
                let expected = json!({
                    "apiVersion": "migration-warden.io/v1alpha1", "kind": "MigrationRun",
                    "namespace": "team", "name": "shop-migrate-1766361600-6f1f2a3b", "uid": "r1",
                });
                assert_eq!(serde_json::to_value(regarding).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_migration_with_another_name_each_time_is_told() {
        let Happening { reason, note, .. } =
            renamed_from("shop-migrate-1-2-0", &run("Running", true));
        assert_eq!(
            format!("{reason}: {note}"),
            "MigrationRenamed: shop-migrate-1766361600 of shop: the migration shop-migrate was called shop-migrate-1-2-0 \
             before. Migrations with different names do not wait for each other. Leave the version and the revision out of \
             metadata.name"
        );
    }

    #[test]
    fn a_superseded_job_has_an_event_of_its_own() {
        let mut run = run("Failed", true);
        let status = run.status.as_mut().unwrap();
        (status.reason, status.exit_code) = (Some("Superseded".to_owned()), None);
        let news = News::of(
            &Known::of(&run),
            Some(Outcome::Running),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(news.ended, Some(Outcome::Failed));
        let [Happening { reason, note, .. }] = &happenings(&run, news)[..] else {
            panic!("one Event")
        };
        assert_eq!(
            format!("{reason}: {note}"),
            "MigrationSuperseded: shop-migrate-1766361600 of shop never started, and was failed so that the next attempt can \
             run: loading"
        );
    }

    #[test]
    fn what_was_there_before_anything_was_recorded_is_no_news() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut known = Known::of(&run("Failed", false));
        (known.status.admitted_at, known.status.finished_at) = (Some(at(100)), Some(at(200)));
        for (before, since, unreviewed, has_ended) in [
            (None, 201, false, false),
            // It was created before, and has failed since.
            (None, 200, false, true),
            (None, 100, true, true),
            // It was recorded while it was running.
            (Some(Outcome::Running), 201, false, true),
            (Some(Outcome::Failed), 0, false, false),
        ] {
            let news = News::of(&known, before, at(since));
            assert_eq!(
                (news.unreviewed, news.ended.is_some()),
                (unreviewed, has_ended)
            );
        }
    }
}
