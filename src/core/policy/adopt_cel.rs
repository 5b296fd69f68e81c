//! The policy's section `adopt` in CEL: the API server evaluates it for each new Job that has no label.
//!
//! Only for entries without `tools`, which need the engine. The chart's template renders exactly the same text. No
//! expression can fail, whatever the Job is: the API server would then refuse the Job. Nor may an expression exceed its
//! budget, so what is compared is bounded. A Job beyond the bounds matches no entry here, and the engine finds its entry.

use super::adopt::{Entry, Match};
use super::cel::{self, string};
use crate::core::job::annotation::Annotation;
use crate::core::job::cel::{LOWER, annotation};

/// Most characters of a name that is compared: those that Kubernetes allows.
const MAX_NAME: usize = 253;
/// Most containers of a Job whose images are compared.
const MAX_CONTAINERS: usize = 16;
/// Most characters of an image that is compared.
const MAX_IMAGE: usize = 255;
/// Most characters of an annotation whose hooks are compared.
const MAX_HOOK: usize = 256;
/// Most elements of such an annotation.
const MAX_HOOKS: usize = 16;

/// Whether an entry adopts the Job, unless a label does; `None` if CEL can express no entry.
#[must_use]
pub(crate) fn adopted(entries: &[Entry]) -> Option<String> {
    let each: Vec<String> = expressible(entries)
        .map(|entry| format!("({})", matches(&entry.matching, "")))
        .collect();
    let any = (!each.is_empty()).then(|| each.join(" || "))?;
    let [(_, names), (_, images), (_, hooks)] = variables();
    Some(format!(
        "[{names}].exists(names, [{images}].exists(images, [{hooks}].exists(hooks, {any})))"
    ))
}

/// Whether no entry adopts the Job: the exact opposite of [`adopted`], except that what has opted out is not adopted.
#[must_use]
pub(crate) fn not_adopted(entries: &[Entry]) -> Option<String> {
    let adopted = adopted(entries)?;
    Some(format!("{} || !({adopted})", cel::opted_out("object")))
}

/// The name of the first entry that adopts the Job, or an empty text. It uses [`variables`].
pub(crate) fn first(entries: &[Entry]) -> String {
    let none = string("");
    expressible(entries).rev().fold(none, |otherwise, entry| {
        let matches = matches(&entry.matching, "variables.");
        format!("{matches} ? {} : {otherwise}", string(&entry.name))
    })
}

/// The entries that CEL can express.
pub(crate) fn expressible(entries: &[Entry]) -> impl DoubleEndedIterator<Item = &Entry> {
    entries
        .iter()
        .filter(|entry| entry.matching.tools.is_empty())
}

/// What entries compare, each a list of texts.
pub(crate) fn variables() -> [(&'static str, String); 3] {
    let containers = |key: &str| {
        // The Job is not validated yet, so it may have no containers.
        format!(
            "object.?spec.?template.?spec.?{key}.optFlatMap(l, optional.ofNonZeroValue(l)).orValue([])"
        )
    };
    let (init, main) = (containers("initContainers"), containers("containers"));
    let images = format!(
        "[{init} + {main}].map(l, size(l) <= {MAX_CONTAINERS} ? \
         l.map(c, c.?image.orValue('')).filter(i, size(i) <= {MAX_IMAGE}) : [])[0]"
    );
    let names = format!(
        "[optional.ofNonZeroValue(object.metadata.?name.orValue(''))\
         .orValue(object.metadata.?generateName.orValue(''))].filter(n, size(n) <= {MAX_NAME})"
    );
    let hooks = |key, lower: &str| {
        let (hook, split) = (annotation(key), MAX_HOOKS + 1);
        format!(
            "[{hook}.orValue('')].map(v, size(v) <= {MAX_HOOK} ? \
             v.split(',', {split}).map(e, e.trim(){lower}) : [])[0]"
        )
    };
    let helm = hooks(Annotation::Hook, &format!(".{LOWER}"));
    let argocd = hooks(Annotation::ArgoCdHook, "");
    [
        ("names", names),
        ("images", images),
        ("hooks", format!("{helm} + {argocd}")),
    ]
}

/// Whether an entry matches the Job, what costs least first. `from` is where the lists are: a prefix of their names.
fn matches(matching: &Match, from: &str) -> String {
    let labels = matching.labels.iter();
    let mut all: Vec<String> = labels
        .map(|(key, value)| cel::requirement("object", key, "In", std::slice::from_ref(value)))
        .collect();
    if !matching.hooks.is_empty() {
        let events = cel::list(&matching.hooks);
        all.push(format!("{from}hooks.exists(h, h in {events})"));
    }
    if !matching.namespaces.is_empty() {
        let pattern = string(&pattern(&matching.namespaces));
        all.push(format!("request.namespace.matches({pattern})"));
    }
    for (list, globs) in [("names", &matching.names), ("images", &matching.images)] {
        if !globs.is_empty() {
            let pattern = string(&pattern(globs));
            all.push(format!("{from}{list}.exists(t, t.matches({pattern}))"));
        }
    }
    all.join(" && ")
}

/// The regular expression of an entry's patterns. The policy file refuses patterns with other special characters.
pub(crate) fn pattern(globs: &[String]) -> String {
    let each = globs
        .iter()
        .map(|glob| glob.replace('.', r"\.").replace('*', ".*"));
    format!("^(?:{})$", each.collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::name_patterns;

    fn entries(written: &str) -> Vec<Entry> {
        serde_saphyr::from_str(written).unwrap()
    }

    #[test]
    fn an_entry_is_compared_from_its_cheapest_field_on() {
        let entries = entries(
            "[{name: a, match: {images: ['x/y:1.*', z], names: [n-*], namespaces: [s], hooks: [PreSync], labels: {k: v}}}]",
        );
        let expression = adopted(&entries).unwrap();
        let (_, of_entry) = expression.split_once("exists(hooks, ").unwrap();
        assert_eq!(
            of_entry,
            r"(object.metadata.?labels[?'k'].optMap(v, v in ['v']).orValue(false) && hooks.exists(h, h in ['PreSync']) && request.namespace.matches('^(?:s)$') && names.exists(t, t.matches('^(?:n-.*)$')) && images.exists(t, t.matches('^(?:x/y:1\\..*|z)$'))))))"
        );
        assert_eq!(
            not_adopted(&entries).unwrap(),
            format!("{} || !({expression})", cel::opted_out("object"))
        );
    }

    #[test]
    fn entries_with_tools_are_the_engines() {
        let entries = entries(
            "[{name: a, match: {tools: [rails], names: [a]}}, {name: b, match: {names: [b]}}, {name: c, match: {names: [c]}}]",
        );
        let expression = adopted(&entries).unwrap();
        let (_, any) = expression.split_once("exists(hooks, ").unwrap();
        assert_eq!(
            any,
            "(names.exists(t, t.matches('^(?:b)$'))) || (names.exists(t, t.matches('^(?:c)$'))))))"
        );
        assert_eq!(
            first(&entries),
            "variables.names.exists(t, t.matches('^(?:b)$')) ? 'b' : variables.names.exists(t, t.matches('^(?:c)$')) ? 'c' : ''"
        );
        assert_eq!((adopted(&entries[..1]), not_adopted(&[])), (None, None));
    }

    /// The pattern is the one that the engine has, and the policy file refuses all characters that would need more.
    #[test]
    fn a_pattern_is_that_of_the_engine() {
        for glob in ["*", "**", "a.b*", "r.example:5000/a_b-c@sha256:*", "-x-"] {
            let globs = [glob.to_owned()];
            let ours = regex::Regex::new(&pattern(&globs)).unwrap();
            for text in [
                "",
                "a.b",
                "axb",
                "a.bc",
                "r.example:5000/a_b-c@sha256:1",
                "-x-",
                "a\nb",
            ] {
                let engines = name_patterns::any(&globs, text);
                assert_eq!(ours.is_match(text), engines, "{glob} {text}");
            }
        }
    }
}
