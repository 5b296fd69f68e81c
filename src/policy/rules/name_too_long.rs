//! MW013: the Job's pods cannot be created.

use crate::policy::rule::prelude::*;

rule! {
    /// A migration Job whose name is longer than 63 characters.
    ///
    /// ## Why is this bad?
    /// The name becomes the value of a label on the Job's pods, which may have 63 characters. The apiserver
    /// refuses the Job with a message about that label. Release names may have 53, and `-migrate-` with ten
    /// digits takes 19, so a release name of 45 characters is too long already.
    ///
    /// ## Instead
    /// Cut the release's name, never the timestamp:
    /// ```yaml
    /// metadata:
    ///   name: "{{ .Release.Name | trunc 44 | trimSuffix "-" }}-migrate-{{ now | unixEpoch }}"
    /// ```
    ///
    /// Source: the Kubernetes documentation, "Jobs: Job name"; `maxReleaseNameLen` in Helm's
    /// `pkg/chart/v2/util/validate_name.go`.
    pub(super) static NAME_TOO_LONG = {
        id: "MW013",
        name: "name-too-long",
        reason: "the name is longer than 63 characters",
        remediation: "write {{ .Release.Name | trunc 44 }} in the name",
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Job,
        patch: Patch::Refused("a name that was cut may be another Job's"),
        options: &[],
        cel: Cel::Expression(expression),
        check: check,
    };
}

/// Longest value of a label.
const MAX: usize = 63;

fn check(job: &Job<'_>, _: Selection, _: &Options, report: &mut Report) {
    let length = job.name.full().chars().count();
    if length > MAX {
        report.add(
            FieldPath::of("metadata.name"),
            format!("{} has {length} characters", shown(job.name.full())),
        );
    }
}

fn expression(_: &Options) -> String {
    format!("size(object.metadata.name) <= {MAX}")
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn sixty_three_fit() {
        let with = |length: usize| {
            let name = format!("{}-1766361600", "a".repeat(length - 11));
            (
                findings("MW013", &job(|j| j["metadata"]["name"] = json!(name))),
                name,
            )
        };
        let (found, name) = with(64);
        assert_eq!(
            found,
            [format!("metadata.name: {name:?} has 64 characters")]
        );
        assert!(with(63).0.is_empty());
    }
}
