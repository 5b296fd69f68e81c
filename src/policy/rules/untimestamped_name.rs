//! MW001: the Job's name would be the same at the next release.

use crate::job::credentials;
use crate::job::dns::{MAX_LABEL, is_subdomain};
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
    /// A Job with `generateName` and no name is named `generateName` plus the seconds since 1970, where that makes
    /// a valid name of at most 63 characters: a longer beginning is cut, and `-` and `.` at its end go. With the
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

fn check(job: &Job<'_>, _: Selection, options: &Options, report: &mut Report) {
    if job.name.stamp().is_some() {
        return;
    }
    let mut detail = match job.name.generate() {
        Some(prefix) => format!(
            "generateName {} has no timestamp before the generated characters",
            shown(prefix)
        ),
        None => format!("{} does not end in a timestamp", shown(job.name.full())),
    };
    let fix = stampable(job, options).and_then(|text| {
        let fix = fix(text);
        if fix.is_none() {
            detail.push_str(
                ", and no valid name can be made of it: write lower-case letters, digits, '-' and '.', and begin \
                 with a letter or digit",
            );
        }
        fix
    });
    report.add_fixable(FieldPath::of("metadata.name"), detail, fix);
}

/// What a timestamp can be appended to.
fn stampable<'a>(job: &Job<'a>, options: &Options) -> Option<&'a str> {
    match (job.name.full(), job.name.generate()) {
        ("", prefix) => prefix,
        (full, _) => (options.rename && job.is_renameable()).then_some(full),
    }
}

fn fix(stampable: &str) -> Option<Fix> {
    // The `job-name` label of the pods has to hold it.
    let base = cut(stampable, MAX_LABEL - STAMP).trim_end_matches(['-', '.']);
    // A base that ends in digits would be read together with the seconds as another form.
    let prefix = format!("{base}-");
    let name = format!("{prefix}1766361600");
    let is_stamped = Name::new(&name, "")
        .stamp()
        .is_some_and(|stamp| stamp.base == base);
    // No name Kubernetes takes holds a credential, but the patch is written down before it looks.
    let is_plain = *credentials::mask(&prefix) == prefix;
    (is_subdomain(&name) && is_stamped && is_plain).then(|| Fix {
        path: FieldPath::of("metadata.name"),
        value: Replacement::Stamped(prefix),
    })
}

fn expression(_: &Options) -> String {
    "variables.stamp != ''".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{self, findings, job};
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

    /// The name that the patch gives, but for its timestamp; and what is said where it gives none.
    fn stamped(generate_name: &str) -> Result<String, String> {
        let job = job(|j| {
            j["metadata"]["name"] = json!(null);
            j["metadata"]["generateName"] = json!(generate_name);
        });
        let found = testing::report("MW001", &job).pop().unwrap();
        match found.fix.map(|fix| fix.value) {
            Some(Replacement::Stamped(prefix)) => Ok(prefix),
            _ => Err(found.detail),
        }
    }

    #[test]
    fn what_becomes_a_valid_name_is_patched() {
        let (long, dotted) = ("x".repeat(60), "a".repeat(51));
        for (generate_name, prefix) in [
            ("shop-", "shop-".to_owned()),
            ("shop.", "shop-".to_owned()),
            ("shop-.-", "shop-".to_owned()),
            ("shop.migrate.", "shop.migrate-".to_owned()),
            ("a-2026-", "a-2026-".to_owned()),
            (&format!("{long}-"), format!("{}-", &long[..52])),
            (&format!("{dotted}.b-"), format!("{dotted}-")),
            (&format!("{dotted}.bbbbbbbb"), format!("{dotted}-")),
        ] {
            assert_eq!(stamped(generate_name), Ok(prefix), "{generate_name}");
        }
    }

    #[test]
    fn what_does_not_is_told_why() {
        for generate_name in [
            "Shop-", "-", "--", ".", "-shop-", "a..b-", "a b-", "a.-b-", "é-",
        ] {
            assert_eq!(
                stamped(generate_name),
                Err(format!(
                    "generateName {generate_name:?} has no timestamp before the generated characters, and no valid \
                     name can be made of it: write lower-case letters, digits, '-' and '.', and begin with a letter \
                     or digit"
                ))
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_patch_makes_an_invalid_name(generate_name in "[-.a-z0-9A-Zé]{1,80}") {
            if let Ok(prefix) = stamped(&generate_name) {
                let name = format!("{prefix}1766361600");
                proptest::prop_assert!(is_subdomain(&name) && name.len() <= MAX_LABEL, "{}", name);
            }
        }
    }
}
