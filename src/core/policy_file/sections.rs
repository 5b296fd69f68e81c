//! What the types of the policy file cannot hold: the faults of meaning, section by section.

use super::{Fault, NamespaceEntry};
use crate::core::job::dns;
use crate::core::policy::NamespaceMode;
use crate::core::policy::breach::shown;
use crate::core::policy::claims::{Claims, MAX_NAMESPACES};
use crate::core::policy::label_selector::{self, LabelSelector};
use crate::core::policy::runs::Runs;
use crate::core::text;

/// Longest `help`, in characters: each denial repeats it.
const MAX_HELP: usize = 256;

pub(super) fn namespaces(entries: &[NamespaceEntry]) -> (Vec<NamespaceMode>, Vec<Fault>) {
    let (mut modes, mut faults) = (Vec::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let pointer = format!("/namespaces/{index}/names");
        if entry.names.is_empty() {
            let message = "names is empty: the entry would match no namespace".to_owned();
            faults.push((pointer.clone(), message));
        }
        for (at, name) in entry.names.iter().enumerate() {
            let fault = namespace_pattern(name);
            faults.extend(fault.map(|message| (format!("{pointer}/{at}"), message)));
        }
        modes.push(NamespaceMode {
            names: entry.names.clone(),
            mode: entry.mode,
        });
    }
    (modes, faults)
}

/// Why this pattern matches no namespace, if it does not.
pub(super) fn namespace_pattern(pattern: &str) -> Option<String> {
    let can_be = |filled| dns::is_label(&pattern.replace('*', filled));
    (!can_be("x") && !can_be("")).then(|| {
        format!(
            "{} matches no namespace; write at most 63 lower-case letters, digits and '-', and * for any characters",
            shown(pattern)
        )
    })
}

pub(super) fn runs(runs: Runs) -> Vec<Fault> {
    let (per_release, total) = (u32::from(runs.keep_per_release), runs.keep_total);
    let fields = [
        ("keepPerRelease", per_release, 1..=1000),
        ("keepTotal", total, 100..=100_000),
    ];
    let outside = fields
        .into_iter()
        .filter(|(_, value, range)| !range.contains(value));
    let fault = outside.map(|(key, value, range)| {
        let message = format!(
            "{key}: {value} is not between {} and {}",
            range.start(),
            range.end()
        );
        (format!("/record/runs/{key}"), message)
    });
    fault.collect()
}

/// The text for the end of each denial, in one line and without credentials.
pub(super) fn help(text: &str) -> Result<String, String> {
    let line = text::one_line(text.trim());
    let shown = text::bounded(&line, line.len().max(text::DETAIL));
    match line.trim() {
        "" => Err("help is empty; write a URL or a sentence, or leave the key out".to_owned()),
        text if text.chars().count() > MAX_HELP => Err(format!(
            "help is longer than {MAX_HELP} characters; write a URL with the details"
        )),
        _ if shown != line => Err(
            "help holds a credential, which no denial shows; write a URL or a sentence without it"
                .to_owned(),
        ),
        text => Ok(text.to_owned()),
    }
}

pub(super) fn selectors(selectors: &[LabelSelector]) -> Vec<Fault> {
    if selectors.is_empty() {
        let message = "match.selectors is empty: no Job would be a migration";
        return vec![("/match/selectors".to_owned(), message.to_owned())];
    }
    let mut all = Vec::new();
    for (index, selector) in selectors.iter().enumerate() {
        let pointer = format!("/match/selectors/{index}");
        let faults = label_selector::faults(selector);
        all.extend(
            faults
                .into_iter()
                .map(|(at, why)| (format!("{pointer}{at}"), why)),
        );
        if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
            let message = "an empty selector matches every Job; name a label";
            all.push((pointer, message.to_owned()));
        }
    }
    all
}

pub(super) fn claims(claims: &Claims) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, database) in claims.databases.iter().enumerate() {
        let pointer = format!("/claims/databases/{index}");
        let name = &database.name;
        if name.is_empty() {
            let message = "name is empty: no annotation has that value".to_owned();
            faults.push((format!("{pointer}/name"), message));
        } else if claims.databases[..index]
            .iter()
            .any(|other| other.name == *name)
        {
            let message =
                format!("database {name} is listed twice; write all its namespaces in one entry");
            faults.push((format!("{pointer}/name"), message));
        }
        if database.namespaces.is_empty() {
            let message = "namespaces is empty: no namespace would share the database".to_owned();
            faults.push((format!("{pointer}/namespaces"), message));
        }
        let many = database.namespaces.len();
        if many > MAX_NAMESPACES {
            let message = format!(
                "namespaces has {many} entries, more than {MAX_NAMESPACES}; each claim of the database lists the Jobs \
                 of all of them, so list only those that migrate it"
            );
            faults.push((format!("{pointer}/namespaces"), message));
        }
        for (at, namespace) in database.namespaces.iter().enumerate() {
            if !dns::is_label(namespace) {
                let message = format!(
                    "{} is not the name of a namespace; write each name in full, without *",
                    text::quoted(namespace)
                );
                faults.push((format!("{pointer}/namespaces/{at}"), message));
            }
        }
    }
    faults
}
