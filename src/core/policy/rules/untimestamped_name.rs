//! MW001: the Job's name would be the same at the next release.

use std::borrow::Cow;

use crate::core::job::credentials;
use crate::core::job::dns::{MAX_LABEL, is_subdomain};
use crate::core::job::name::{Name, appended_by_argocd, cut};
use crate::core::policy::Action;
use crate::core::policy::fix::{Fix, Replacement};
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration Job whose name does not end in a timestamp.
    ///
    /// The timestamp follows a dash and is a real date between 2015 and 2099. It is seconds or milliseconds since 1970
    /// (10 or 13 digits), `YYYYMMDDHHMMSS`, `YYYYMMDD-HHMMSS`, `YYYY-MM-DD-HH-MM-SS` or `YYYYMMDDtHHMMSSz`. With
    /// `generateName` the timestamp may stand before the generated characters.
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
    needs: Some(Action::Patch),
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

    /// The name that a patch makes of this text, without its timestamp.
    fn stamped(text: &str) -> Option<String> {
        match fix(text)?.value {
            Replacement::Stamped(prefix) => Some(prefix),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_becomes_a_valid_name_is_patched() {
        let (long, dotted) = ("x".repeat(60), "a".repeat(51));
        for (text, prefix) in [
            ("shop-", "shop-".to_owned()),
            ("shop.", "shop-".to_owned()),
            ("shop-.-", "shop-".to_owned()),
            ("shop.migrate.", "shop.migrate-".to_owned()),
            ("a-2026-", "a-2026-".to_owned()),
            (&format!("{long}-"), format!("{}-", &long[..52])),
            (&format!("{dotted}.b-"), format!("{dotted}-")),
            (&format!("{dotted}.bbbbbbbb"), format!("{dotted}-")),
        ] {
            assert_eq!(stamped(text), Some(prefix), "{text}");
        }
        for text in [
            "Shop-", "-", "--", ".", "-shop-", "a..b-", "a b-", "a.-b-", "é-",
        ] {
            assert_eq!(stamped(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_patch_makes_an_invalid_name(text in "[-.a-z0-9A-Zé]{1,80}") {
            if let Some(prefix) = stamped(&text) {
                let name = format!("{prefix}1766361600");
                proptest::prop_assert!(is_subdomain(&name) && name.len() <= MAX_LABEL, "{}", name);
            }
        }
    }
}
