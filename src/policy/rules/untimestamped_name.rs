//! MW001: the Job's name would be the same at the next release.

use crate::job::credentials;
use crate::job::name::{Name, cut};
use crate::policy::fix::{Fix, Replacement};
use crate::policy::rule::prelude::*;

rule! {
    /// A migration Job whose name does not end in a timestamp.
    ///
    /// Taken are, after a dash: seconds or milliseconds since 1970 (10 or 13 digits), `YYYYMMDDHHMMSS`,
    /// `YYYYMMDD-HHMMSS`, `YYYY-MM-DD-HH-MM-SS` and `YYYYMMDDtHHMMSSz`; a real date between 2015 and 2099.
    /// With `generateName` the timestamp may stand before the generated characters.
    ///
    /// ## Why is this bad?
    /// A Job of the same name may still be there. Helm 3 then fails with "already exists"; Helm 4 applies
    /// over the finished Job, reports "deployed", and the migration never ran. With `before-hook-creation`
    /// Helm deletes the earlier Job instead, running or not, and its logs with it.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}"
    /// ```
    ///
    /// ## Patching
    /// A Job with `generateName` and no name is named `generateName` plus the seconds since 1970. With the
    /// option `rename: true` a named Job gets them appended, too, but only on a client-side create: on a
    /// server-side apply the apiserver stores the object under the name in the URL, and Argo CD and
    /// `kubectl apply` look for the name they wrote. Helm never deletes a renamed Job by itself.
    ///
    /// Source: `deleteHookByPolicy` in `helm/helm: pkg/action/hooks.go`.
    pub(super) static UNTIMESTAMPED_NAME = {
        id: "MW001",
        name: "untimestamped-name",
        reason: "the name has no timestamp",
        remediation: r#"write name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}""#,
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Job,
        patch: Patch::Possible,
        options: &["rename"],
        cel: Cel::Expression(expression),
        check: check,
    };
}

/// A dash and ten digits, which last until 2286.
const STAMP: usize = 11;
/// Longest Job name that the `job-name` label of its pods can hold.
const MAX_NAME: usize = 63;

fn check(job: &Job<'_>, _: Selection, options: &Options, report: &mut Report) {
    if job.name.stamp().is_some() {
        return;
    }
    let detail = match job.name.generate() {
        Some(prefix) => format!(
            "generateName {} has no timestamp before the generated characters",
            shown(prefix)
        ),
        None => format!("{} does not end in a timestamp", shown(job.name.full())),
    };
    report.add_fixable(FieldPath::of("metadata.name"), detail, fix(job, options));
}

fn fix(job: &Job<'_>, options: &Options) -> Option<Fix> {
    let stampable = match (job.name.full(), job.name.generate()) {
        ("", Some(prefix)) => prefix,
        ("", None) => return None,
        (full, _) if options.rename && job.is_renameable() => full,
        _ => return None,
    };
    let base = cut(stampable, MAX_NAME - STAMP).trim_end_matches('-');
    // A base that ends in digits would be read together with the seconds as another form.
    let prefix = format!("{base}-");
    let name = format!("{prefix}1766361600");
    let is_stamped = Name::new(&name, "")
        .stamp()
        .is_some_and(|stamp| stamp.base == base);
    // No name Kubernetes takes holds a credential, but the patch is written down before it looks.
    let is_plain = *credentials::mask(&prefix) == prefix;
    (!base.is_empty() && is_stamped && is_plain).then(|| Fix {
        path: FieldPath::of("metadata.name"),
        value: Replacement::Stamped(prefix),
    })
}

fn expression(_: &Options) -> String {
    "variables.stamp != ''".to_owned()
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::{findings, job};
    use serde_json::json;

    #[test]
    fn tells_the_name() {
        let found = findings(
            "MW001",
            &job(|j| j["metadata"]["name"] = json!("shop-migrate-12")),
        );
        assert_eq!(
            found,
            [r#"metadata.name: "shop-migrate-12" does not end in a timestamp"#]
        );
    }

    #[test]
    fn tells_the_prefix_before_and_after_generation() {
        for name in [json!(null), json!("shop-migrate-x7k2p")] {
            let found = findings(
                "MW001",
                &job(|j| {
                    j["metadata"]["name"] = name;
                    j["metadata"]["generateName"] = json!("shop-migrate-");
                }),
            );
            assert_eq!(
                found,
                [
                    r#"metadata.name: generateName "shop-migrate-" has no timestamp before the generated characters"#
                ]
            );
        }
    }
}
