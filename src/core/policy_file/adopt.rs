//! The faults of the policy's section `adopt` that its types cannot hold.
//!
//! The limits keep the expression that the API server evaluates for each new Job within its budget.

use json_patch::jsonptr::PointerBuf;

use super::{Fault, sections};
use crate::core::job::hooks::{ARGOCD_TYPES, EVENTS};
use crate::core::job::{dns, tool};
use crate::core::policy::adopt::{DETECTED, Entry, Match};
use crate::core::policy::breach::shown;
use crate::core::policy::label_selector;
use crate::core::text;

/// Most entries: the API server evaluates all of them for a Job that none of them matches.
const MAX_ENTRIES: usize = 100;
/// Most bytes of all patterns for one field. [`crate::core::policy::adopt_cel`] limits what they are compared with.
const MAX_PATTERNS: usize = 8 * 1024;

pub(crate) fn faults(entries: &[Entry]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let many = entries.len();
    if many > MAX_ENTRIES {
        let message = format!(
            "adopt has {many} entries, more than {MAX_ENTRIES}; write several patterns in one entry"
        );
        faults.push(("/adopt".to_owned(), message));
    }
    for (index, entry) in entries.iter().enumerate() {
        let of_name = name(entry, &entries[..index]).map(|why| ("/name".to_owned(), why));
        let of_database = entry.database.as_deref().and_then(database);
        let all = of_name.into_iter().chain(matching(&entry.matching));
        let all = all.chain(of_database.map(|why| ("/database".to_owned(), why)));
        faults.extend(all.map(|(at, why)| (format!("/adopt/{index}{at}"), why)));
    }
    faults.extend(sizes(entries));
    faults
}

fn name(entry: &Entry, before: &[Entry]) -> Option<String> {
    let name = &entry.name;
    if name == DETECTED {
        let why =
            format!("{DETECTED} is the name for Jobs that detection adopts; write another name");
        return Some(why);
    }
    if before.iter().any(|other| other.name == *name) {
        return Some(format!(
            "an earlier entry has the name {}, too; write another name",
            shown(name)
        ));
    }
    (!dns::is_label(name)).then(|| {
        format!(
            "{} is not the name of an entry; write at most 63 lower-case letters, digits and '-', with a letter or digit \
             at both ends",
            shown(name)
        )
    })
}

fn database(name: &str) -> Option<String> {
    let why = "database is empty; write the name of the database, or leave the key out";
    name.is_empty().then(|| why.to_owned())
}

fn matching(written: &Match) -> Vec<Fault> {
    if written.labels.is_empty() && written.lists().next().is_none() {
        let message = "match is empty: the entry would adopt every Job; name at least one of namespaces, names, \
                       images, tools, hooks and labels";
        return vec![("/match".to_owned(), message.to_owned())];
    }
    let each = |key: &'static str, values: &[String], fault: fn(&str) -> Option<String>| {
        let at = move |(index, value): (usize, &String)| {
            Some((format!("/match/{key}/{index}"), fault(value)?))
        };
        let faults: Vec<Fault> = values.iter().enumerate().filter_map(at).collect();
        faults
    };
    let mut faults = each(
        "namespaces",
        &written.namespaces,
        sections::namespace_pattern,
    );
    faults.extend(each("names", &written.names, job_pattern));
    faults.extend(each("images", &written.images, image_pattern));
    faults.extend(each("tools", &written.tools, unknown_tool));
    faults.extend(each("hooks", &written.hooks, unknown_hook));
    faults.extend(written.labels.iter().filter_map(|(key, value)| {
        let at = PointerBuf::from_tokens(["match", "labels", key]);
        Some((at.to_string(), label_selector::label_fault(key, value)?))
    }));
    faults
}

fn job_pattern(pattern: &str) -> Option<String> {
    let can_be = |filled| dns::is_subdomain(&pattern.replace('*', filled));
    let is_possible = can_be("x") || can_be("") || can_be("x-x");
    // A `generateName` may end in what no name ends in.
    let is_prefix = || dns::is_subdomain(&format!("{}x", pattern.replace('*', "x")));
    (!is_possible && !is_prefix()).then(|| {
        format!(
            "{} matches no Job; write lower-case letters, digits, '-' and '.', and * for any characters",
            shown(pattern)
        )
    })
}

fn image_pattern(pattern: &str) -> Option<String> {
    let is_one_of = |c: char| c.is_ascii_alphanumeric() || "._-/:@*".contains(c);
    (pattern.is_empty() || !pattern.chars().all(is_one_of)).then(|| {
        format!(
            "{} matches no image; write its name as the Job has it, and * for any characters",
            shown(pattern)
        )
    })
}

fn unknown_tool(written: &str) -> Option<String> {
    let known = tool::names();
    let list = || "`migration-warden explain MW022` lists them".to_owned();
    (!known.iter().any(|name| name.eq_ignore_ascii_case(written))).then(|| {
        unknown(
            "a migration tool that detection recognises",
            written,
            &known,
            list,
        )
    })
}

fn unknown_hook(written: &str) -> Option<String> {
    let known: Vec<&str> = EVENTS.into_iter().chain(ARGOCD_TYPES).collect();
    let list = || format!("write one of {}", known.join(", "));
    (!known.contains(&written)).then(|| unknown("a hook of Helm or Argo CD", written, &known, list))
}

fn unknown(what: &str, written: &str, known: &[&str], list: impl Fn() -> String) -> String {
    let nearest = text::nearest(written, known.iter().copied());
    let advice = nearest.map_or_else(list, |name| format!("did you mean {name}?"));
    format!("{} is not {what}; {advice}", shown(written))
}

/// A list of patterns in an entry.
type Field = fn(&Match) -> &Vec<String>;

fn sizes(entries: &[Entry]) -> Vec<Fault> {
    let fields: [(&str, Field); 3] = [
        ("namespaces", |of| &of.namespaces),
        ("names", |of| &of.names),
        ("images", |of| &of.images),
    ];
    let too_long = fields.into_iter().filter_map(|(key, field)| {
        let patterns = entries.iter().flat_map(|entry| field(&entry.matching));
        let size: usize = patterns.map(String::len).sum();
        (size > MAX_PATTERNS).then(|| {
            let message = format!(
                "the patterns in {key} of all entries have {size} characters, more than {MAX_PATTERNS}; write fewer or \
                 shorter ones"
            );
            ("/adopt".to_owned(), message)
        })
    });
    too_long.collect()
}
