//! MW001: the Job's name would be the same at the next release.

use std::borrow::Cow;

use crate::core::job::credentials;
use crate::core::job::dns::{MAX_LABEL, is_subdomain};
use crate::core::job::name::{Name, appended_by_argocd, cut};
use crate::core::policy::fix::{Fix, Replacement};
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job whose name does not end in a timestamp.
    ///
    /// The timestamp follows a dash and is a real date between 2015 and 2099. It is seconds or milliseconds since 1970
    /// (10 or 13 digits), `YYYYMMDDHHMMSS`, `YYYYMMDD-HHMMSS`, `YYYY-MM-DD-HH-MM-SS` or `YYYYMMDDtHHMMSSz`. With `generateName` the timestamp may stand before the generated characters.
    ///
    /// Argo CD builds the name of a hook from its `generateName`, the commit, the phase and the time. So the rule
    /// admits an Argo CD hook with `generateName`: a Job with `argocd.argoproj.io/hook`, or a Job with `helm.sh/hook`
    /// that Argo CD deploys. Helm does not create a hook without a name ("resource name may not be empty"). In a
    /// manifest, the rule denies any other Helm hook that has only a `generateName`.
    ///
    /// ## Why is this bad?
    /// A Job of the same name may still exist. Helm 3 then fails with "already exists". Helm 4 applies the manifest to
    /// the finished Job and reports "deployed", but no migration runs. With `before-hook-creation` Helm deletes the
    /// earlier Job and its logs, even while that Job is running.
    ///
    /// ## Instead
    /// ```yaml
    /// metadata:
    ///   name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}"
    /// ```
    ///
    /// This name is right for Helm, and for Argo CD if it deploys the chart. In a hook with Argo CD's own annotation,
    /// write:
    /// ```yaml
    /// metadata:
    ///   generateName: shop-migrate-
    ///   annotations:
    ///     argocd.argoproj.io/hook: PreSync
    /// ```
    ///
    /// ## Patching
    /// migration-warden names a Job that has a `generateName` and no name: `generateName` and the seconds since 1970,
    /// if they make a valid name. It shortens the part before the timestamp until the name has 63 characters, and
    /// removes `-` and `.` from the end of that part.
    ///
    /// With the option `rename: true` it also appends the seconds to an existing name, but only on a client-side
    /// create. On a server-side apply the API server stores the object under the name in the URL. Argo CD and `kubectl
    /// apply` look for the name that they wrote. Helm never deletes a renamed Job by itself.
    ///
    /// Source: `deleteHookByPolicy` in `helm/helm: pkg/action/hooks.go`.
    pub(super) static UNTIMESTAMPED_NAME = {
        id: "MW001",
        name: "untimestamped-name",
        reason: "the name has no timestamp",
        remediation: "end the name in a timestamp, as in shop-migrate-1766361600",
        path: "metadata.name",
        guide: Deny,
        strict: Deny,
        scope: Scope::Hook,
        patch: Patch::Possible,
        options: &[AnyOption::Switch(&RENAME)],
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

static RENAME: RuleOption<bool> = RuleOption {
    key: "rename",
    about: "For `untimestamped-name` with `patch`: also rename Jobs that have a fixed name.",
    default: false,
};

/// What the author of a chart writes.
const IN_A_CHART: &str = r#"write name: "{{ .Release.Name }}-migrate-{{ now | unixEpoch }}""#;
/// To the author of a Job that Argo CD applies together with the new version.
const MAKE_A_HOOK: &str = "make the Job an Argo CD hook";
/// A dash and ten digits, which last until 2286.
const STAMP: usize = 11;

fn check(job: &Job<'_>, context: &Context<'_>) -> Option<Breach> {
    let has = |annotation| job.annotations.get(annotation).is_some();
    let is_argocds = job.is_argocd_hook();
    if let (true, Some(prefix)) = (job.name.full().is_empty(), job.name.generate())
        && has(Annotation::Hook)
        && !is_argocds
        && !job.is_sent
    {
        let detail = format!(
            "Helm does not create a hook without a name (\"resource name may not be empty\"), and only generateName {} is set",
            shown(prefix)
        );
        return Some(Breach::new("metadata.generateName", detail).advise(IN_A_CHART));
    }
    if job.name.stamp().is_some() || is_argocds && job.name.generate().is_some() {
        return None;
    }
    let mut detail = match job.name.generate() {
        Some(prefix) => format!(
            "generateName {} has no timestamp before the generated characters",
            shown(prefix)
        ),
        None => format!("{} does not end in a timestamp", shown(job.name.full())),
    };
    let fix = stampable(job, context.options).and_then(|text| {
        let fix = fix(text);
        if fix.is_none() {
            detail.push_str(
                ", and appending one does not make a valid name: write lower-case letters, digits, '-' and '.', \
                 and begin with a letter or digit",
            );
        }
        fix
    });
    let breach = Breach::new("metadata.name", detail).fixed_by(fix);
    Some(match remediation(job) {
        Some(remediation) => breach.advise(remediation),
        None => breach,
    })
}

/// What to write instead, in the words of who deploys it. Never what the Job has already.
fn remediation(job: &Job<'_>) -> Option<Cow<'static, str>> {
    if !job.is_in_argocds_words() {
        return job.deployer.runs_hooks().then_some(IN_A_CHART.into());
    }
    let hook = if job.is_argocd_hook() {
        ""
    } else if job.name.generate().is_some() {
        return Some(
            format!("{MAKE_A_HOOK}: Argo CD builds a name from generateName only for hooks").into(),
        );
    } else {
        MAKE_A_HOOK
    };
    let and = if hook.is_empty() { "" } else { ", and " };
    // Masked as a whole: of what is cut, half a password may be left.
    let base = shown(job.name.base());
    let room = MAX_LABEL - appended_by_argocd("PreSync") - 1;
    let base = cut(base.trim_matches('"'), room).trim_end_matches(['-', '.']);
    let name = if base.is_empty() {
        "write generateName, as in shop-migrate-".to_owned()
    } else {
        format!("write generateName: {base}- instead of the name")
    };
    Some(format!("{hook}{and}{name}: Argo CD appends commit, phase and time").into())
}

/// What a timestamp can be appended to.
fn stampable<'a>(job: &Job<'a>, options: &Options) -> Option<&'a str> {
    match (job.name.full(), job.name.generate()) {
        ("", prefix) => prefix,
        (full, _) => (options.is_on(&RENAME) && job.is_renameable()).then_some(full),
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
    // No name Kubernetes takes holds a credential, but the patch is logged before Kubernetes checks it.
    let is_plain = *credentials::mask(&prefix) == prefix;
    (is_subdomain(&name) && is_stamped && is_plain).then(|| Fix {
        path: FieldPath::of("metadata.name"),
        value: Replacement::Stamped(prefix),
    })
}

fn expression(_: &Options) -> String {
    // Argo CD itself sends a name that ends in a timestamp.
    let argocd = cel::is_argocd_hook();
    format!("variables.stamp != '' || size(variables.names) > 1 && {argocd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::testing::{self, findings, job, told_of};
    use serde_json::json;

    fn argocds(tweak: impl FnOnce(&mut serde_json::Value)) -> serde_json::Value {
        job(|j| {
            j["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "PreSync"});
            tweak(j);
        })
    }

    /// "resource name may not be empty".
    #[test]
    fn helm_creates_no_hook_that_has_only_a_generate_name() {
        let generated = |j: &mut serde_json::Value| {
            j["metadata"]["name"] = json!(null);
            j["metadata"]["generateName"] = json!("shop-migrate-1766361600-");
        };
        assert_eq!(
            told_of("MW001", &job(generated)),
            [
                "MW001 untimestamped-name: metadata.generateName: Helm does not create a hook without a name \
                 (\"resource name may not be empty\"), and only generateName \"shop-migrate-1766361600-\" is set; \
                 write name: \"{{ .Release.Name }}-migrate-{{ now | unixEpoch }}\""
            ]
        );
        assert!(findings("MW001", &argocds(generated)).is_empty());
        let both = job(|j| {
            generated(j);
            j["metadata"]["annotations"]["argocd.argoproj.io/hook"] = json!("PreSync");
        });
        assert!(findings("MW001", &both).is_empty());
        // The client is not Helm, and the timestamp exists.
        let sent = job(|j| {
            generated(j);
            j["metadata"]["managedFields"] = json!([{"manager": "ci", "operation": "Update"}]);
        });
        assert!(findings("MW001", &sent).is_empty());
    }

    /// No name that Kubernetes takes holds one, but the answer is written before it looks.
    #[test]
    fn no_credential_is_left_of_a_name_that_is_cut() {
        let url = "postgres://u:hunter2hunter2@h/d";
        let told = told_of(
            "MW001",
            &argocds(|j| j["metadata"]["name"] = json!(format!("x{url}  a {url}"))),
        );
        assert!(!told.concat().contains("hunter2"), "{told:?}");
    }

    #[test]
    fn argo_cd_names_what_has_a_generate_name() {
        let generated = |name| {
            argocds(|j| {
                j["metadata"]["name"] = name;
                j["metadata"]["generateName"] = json!("db-apply-");
            })
        };
        for name in [
            json!(null),
            json!("db-apply-abcdef0-presync-1766361600"),
            json!("db-apply-x7k2p"),
        ] {
            assert!(findings("MW001", &generated(name)).is_empty());
        }
        assert_eq!(
            told_of(
                "MW001",
                &argocds(|j| j["metadata"]["name"] = json!("db-apply"))
            ),
            [
                "MW001 untimestamped-name: metadata.name: \"db-apply\" does not end in a timestamp; write \
                 generateName: db-apply- instead of the name: Argo CD appends commit, phase and time"
            ]
        );
    }

    fn tracked(
        annotations: serde_json::Value,
        tweak: impl FnOnce(&mut serde_json::Value),
    ) -> serde_json::Value {
        job(|j| {
            j["metadata"]["annotations"] = annotations;
            j["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("shop:x");
            tweak(j);
        })
    }

    /// Argo CD names it too, and a name in Helm's words has a timestamp under both.
    #[test]
    fn a_hook_of_helms_that_argo_cd_deploys_is_told_what_both_take() {
        let helms = |tweak: &dyn Fn(&mut serde_json::Value)| {
            told_of(
                "MW001",
                &tracked(json!({"helm.sh/hook": "pre-install,pre-upgrade"}), tweak),
            )
        };
        for name in [
            json!(null),
            json!("db-apply-abcdef0-presync-1766361600"),
            json!("db-apply-x7k2p"),
        ] {
            let generated = |j: &mut serde_json::Value| {
                j["metadata"]["name"] = name.clone();
                j["metadata"]["generateName"] = json!("db-apply-");
            };
            assert_eq!(helms(&generated), [""; 0]);
        }
        assert_eq!(
            helms(&|j| j["metadata"]["name"] = json!("db-apply")),
            [
                "MW001 untimestamped-name: metadata.name: \"db-apply\" does not end in a timestamp; write name: \
                 \"{{ .Release.Name }}-migrate-{{ now | unixEpoch }}\""
            ]
        );
    }

    /// What is written already is not asked for.
    #[test]
    fn no_advice_of_argo_cds_goes_in_a_circle() {
        let advice = |job: serde_json::Value| {
            let told = told_of("MW001", &job).concat();
            told.split_once("; ").map(|(_, advice)| advice.to_owned())
        };
        let unnamed = |j: &mut serde_json::Value| j["metadata"]["name"] = json!(null);
        let generated = |j: &mut serde_json::Value| {
            unnamed(j);
            j["metadata"]["generateName"] = json!("shop-migrate-");
        };
        let long = |j: &mut serde_json::Value| j["metadata"]["name"] = json!("a".repeat(60));
        let appends = "Argo CD appends commit, phase and time";
        let (example, hook) = (
            format!("write generateName, as in shop-migrate-: {appends}"),
            "make the Job an Argo CD hook",
        );
        for (job, expected) in [
            (argocds(unnamed), example.clone()),
            (
                tracked(json!({}), unnamed),
                format!("{hook}, and {example}"),
            ),
            (
                tracked(json!({}), generated),
                format!("{hook}: Argo CD builds a name from generateName only for hooks"),
            ),
            (
                tracked(json!({}), |j| j["metadata"]["name"] = json!("shop-migrate")),
                format!(
                    "{hook}, and write generateName: shop-migrate- instead of the name: {appends}"
                ),
            ),
            (
                argocds(long),
                format!(
                    "write generateName: {}- instead of the name: {appends}",
                    "a".repeat(36)
                ),
            ),
        ] {
            assert_eq!(advice(job), Some(expected));
        }
    }

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
                    j["metadata"]["managedFields"] = json!([{"manager": "ci"}]);
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

    /// The name that the patch gives, without its timestamp, and the message if it gives none.
    fn stamped(generate_name: &str) -> Result<String, String> {
        let job = job(|j| {
            j["metadata"]["name"] = json!(null);
            j["metadata"]["generateName"] = json!(generate_name);
            j["metadata"]["managedFields"] = json!([{"manager": "ci"}]);
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
                    "generateName {generate_name:?} has no timestamp before the generated characters, and \
                     appending one does not make a valid name: write lower-case letters, digits, '-' and '.', and begin with a letter \
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
