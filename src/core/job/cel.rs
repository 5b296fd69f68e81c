//! The facts of a Job in CEL, shared by the rules in a `ValidatingAdmissionPolicy`.
//!
//! Each expression does what its Rust counterpart does, for a Job that is being created, with Kubernetes' own defaults
//! applied; an end-to-end test compares the two. No expression can fail: the API server would treat an error as a
//! denial. This module knows neither rules nor policies.

use crate::core::job::annotation::Annotation;
use crate::core::job::deployer::{ARGOCD, KUBECTL, KUSTOMIZE_CONTROLLER, KUSTOMIZE_NAME};

/// Names and expressions of the variables, each after those it uses.
pub(crate) fn variables() -> [(&'static str, String); 8] {
    [
        ("managers", MANAGERS.to_owned()),
        ("runsHooks", runs_hooks()),
        ("hook", elements(Annotation::Hook)),
        ("deletePolicy", elements(Annotation::DeletePolicy)),
        ("logPolicy", elements(Annotation::HookOutputLogPolicy)),
        ("names", NAMES.to_owned()),
        ("stamp", stamp()),
        ("time", TIME.to_owned()),
    ]
}

/// The value of one of the Job's annotations, as an optional.
pub(crate) fn annotation(annotation: Annotation) -> String {
    format!("object.metadata.?annotations[?'{}']", annotation.key())
}

/// The value of one of its pods' annotations, as an optional.
pub(crate) fn pod_annotation(annotation: Annotation) -> String {
    format!(
        "object.spec.template.?metadata.?annotations[?'{}']",
        annotation.key()
    )
}

/// A CEL list of strings, which must not contain quotes or backslashes.
pub(crate) fn list(words: &[&str]) -> String {
    format!("['{}']", words.join("', '"))
}

/// Lower-cases a text as Helm does. Helm lower-cases all of Unicode, CEL only ASCII. These two are the only other
/// characters whose lower case is an ASCII letter, and Helm's own words are ASCII.
pub(crate) const LOWER: &str = r"lowerAscii().replace('\u0130', 'i').replace('\u212a', 'k')";

/// [`crate::core::job::hooks::elements`] of an annotation; empty if it is absent.
fn elements(key: Annotation) -> String {
    format!(
        "{}.optMap(v, v.split(',').map(e, e.trim().{LOWER})).orValue([])",
        annotation(key)
    )
}

/// The field managers that sent the object. While a Job is being created, no other manager has changed it yet.
const MANAGERS: &str = "object.metadata.?managedFields.orValue([]).map(f, f.?manager.orValue(''))";

/// [`crate::core::job::deployer::Deployer::ArgoCd`], for an object that was not sent by a deployer without hooks.
fn is_argocds() -> String {
    let tracked = annotation(Annotation::ArgoCdTrackingId);
    format!("({tracked}.hasValue() || variables.managers.exists(m, m.startsWith('{ARGOCD}')))")
}

/// [`crate::core::job::deployer::Deployer::is_argocd_hook`], if the deployer runs hooks.
pub(crate) fn is_argocd_hook() -> String {
    let (own, helm) = (
        annotation(Annotation::ArgoCdHook),
        annotation(Annotation::Hook),
    );
    format!(
        "({own}.hasValue() || {helm}.hasValue() && {})",
        is_argocds()
    )
}

/// [`crate::core::job::deployer::Deployer::runs_hooks`] of [`crate::core::job::deployer::Deployer::of`].
fn runs_hooks() -> String {
    let has = |key| format!("{}.hasValue()", annotation(key));
    let (hook, argocd_hook) = (has(Annotation::Hook), has(Annotation::ArgoCdHook));
    let (argocds, applied) = (is_argocds(), has(Annotation::LastApplied));
    let by_hand = has(Annotation::StartedByHand);
    format!(
        "!(object.metadata.?labels[?'{KUSTOMIZE_NAME}'].hasValue() || \
         variables.managers.exists(m, m == '{KUSTOMIZE_CONTROLLER}' || m.startsWith('{KUBECTL}')) || \
         !{argocds} && ({by_hand} || {applied} && \
         !({argocd_hook} && !{hook} && variables.managers.exists(m, m != ''))))"
    )
}

/// Texts that may end in the timestamp: the name, and the `generateName` it was made from.
const NAMES: &str = "[object.metadata.name] + \
    object.metadata.?generateName.optMap(g, size(g) > 58 ? g.substring(0, 58) : g).optMap(g, \
    object.metadata.name.startsWith(g) && size(object.metadata.name) == size(g) + 5 ? \
    [g.endsWith('-') ? g.substring(0, size(g) - 1) : g] : []).orValue([])";

/// The text of the timestamp, [`crate::core::job::name::Stamp`]; empty if there is none.
fn stamp() -> String {
    // Strings of digits of the same length compare like the numbers.
    format!(
        "(variables.names.map(n, n.find('.-({}|[0-9]{{13}}|[0-9]{{10}})$')).filter(f, f != '')\
         .map(f, f.substring(2)).filter(s, \
         size(s) == 10 ? s >= '1420070400' && s < '4102444800' : \
         size(s) == 13 ? s >= '1420070400000' && s < '4102444800000' : true) + [''])[0]",
        real_date()
    )
}

/// Lengths of the forms of [`crate::core::job::name::Form::Local`].
pub(crate) const LOCAL: &str = "[14, 15, 19]";

/// The moment of a timestamp that was found.
const TIME: &str = "size(variables.stamp) == 10 ? timestamp(int(variables.stamp)) : \
    size(variables.stamp) == 13 ? timestamp(int(variables.stamp.substring(0, 10))) + \
    duration(variables.stamp.substring(10) + 'ms') : \
    [variables.stamp.replace('-', '').replace('t', '').replace('z', '')].map(d, \
    timestamp(d.substring(0, 4) + '-' + d.substring(4, 6) + '-' + d.substring(6, 8) + 'T' + \
    d.substring(8, 10) + ':' + d.substring(10, 12) + ':' + d.substring(12, 14) + 'Z'))[0]";

/// True for the forms that are dates, if the date exists: otherwise `timestamp` would fail.
fn real_date() -> String {
    let day = |s: &str| {
        format!(
            "((201[5-9]|20[2-9][0-9]){s}(\
             (0[13578]|1[02]){s}(0[1-9]|[12][0-9]|3[01])|\
             (0[469]|11){s}(0[1-9]|[12][0-9]|30)|\
             02{s}(0[1-9]|1[0-9]|2[0-8]))|\
             20(16|[2468][048]|[3579][26]){s}02{s}29)"
        )
    };
    let time = |s: &str| format!("([01][0-9]|2[0-3]){s}[0-5][0-9]{s}[0-5][0-9]");
    let (joined, dashed) = (time(""), time("-"));
    format!("{}-{dashed}|{}(t{joined}z|-?{joined})", day("-"), day(""))
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Date, date};
    use regex::Regex;

    use super::*;
    use crate::core::job::name::Name;

    #[test]
    fn takes_every_real_date_and_no_other() {
        let pattern = Regex::new(&format!("^({})$", real_date())).unwrap();
        for year in 2013..2102_i16 {
            for month in 0..=13_i8 {
                for day in 0..=32_i8 {
                    let real = (2015..2100).contains(&year) && Date::new(year, month, day).is_ok();
                    for text in [
                        format!("{year}{month:02}{day:02}-000000"),
                        format!("{year}{month:02}{day:02}t235959z"),
                        format!("{year}-{month:02}-{day:02}-12-30-00"),
                    ] {
                        assert_eq!(pattern.is_match(&text), real, "{text}");
                    }
                }
            }
        }
        assert_eq!(date(2096, 2, 29).year(), 2096);
    }

    #[test]
    fn takes_the_shapes_that_names_take() {
        let pattern = Regex::new(&format!(".-({}|[0-9]{{13}}|[0-9]{{10}})$", real_date())).unwrap();
        for (stamp, local) in [
            ("1766361600", false),
            ("1766361600123", false),
            ("20251222000000", true),
            ("20251222-000000", true),
            ("2025-12-22-00-00-00", true),
            ("20251222t000000z", false),
        ] {
            assert!(pattern.is_match(&format!("a-{stamp}")), "{stamp}");
            assert_eq!(LOCAL.contains(&stamp.len().to_string()), local, "{stamp}");
        }
        let others = "a1766361600 -1766361600 a-17663616001 a-20251222T000000z a-20251222t000000 \
            a-20251222000000z a-20251222-240000 a-20251222-006000 a-2025-1222-00-00-00";
        for name in others.split(' ') {
            assert!(!pattern.is_match(name), "{name}");
            assert!(Name::new(name, "").stamp().is_none(), "{name}");
        }
    }
}
