//! docs/metrics.md knows every family, and how many series there can be.
//! `UPDATE_DOCS=1` writes instead of comparing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use super::{encoded, families, named, path, read};

const PAGE: &str = "docs/metrics.md";
/// Longer lists of values are counted instead.
const SHOWN: usize = 10;

/// What is known of a family from its text alone.
#[derive(Default)]
struct Family {
    kind: String,
    labels: BTreeMap<String, Vec<String>>,
    series: usize,
}

fn tables() -> BTreeMap<String, Family> {
    let mut tables: BTreeMap<String, Family> = BTreeMap::new();
    let text = encoded();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            current = format!("{name}{suffix}");
            kind.clone_into(&mut tables.entry(current.clone()).or_default().kind);
        } else if !line.starts_with('#') {
            let family = tables.get_mut(&current).unwrap();
            family.series += 1;
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').unwrap();
                let values = family.labels.entry(label.to_owned()).or_default();
                let value = value.trim_matches('"').to_owned();
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
    }
    tables
}

impl Family {
    fn labels(&self) -> String {
        let labels = self.labels.iter().map(|(label, values)| {
            let mut sorted = values.clone();
            sorted.sort();
            match &**label {
                "le" => format!("`le`: {} bounds from {} s", values.len(), values[0]),
                "hash" | "version" => format!("`{label}`"),
                _ if values.len() > SHOWN => {
                    let (first, last) = (&sorted[0], sorted.last().unwrap());
                    format!("`{label}`: `{first}` to `{last}`, {} of them", values.len())
                }
                _ => format!("`{label}`: `{}`", sorted.join("`, `")),
            }
        });
        labels.collect::<Vec<_>>().join("; ")
    }
}

/// The page's last table, made of what the program says.
fn table() -> String {
    let mut table =
        String::from("| family | type | labels and their values | series |\n|---|---|---|---|\n");
    let mut total = 0;
    for (name, family) in tables() {
        let (kind, labels, series) = (&family.kind, family.labels(), family.series);
        writeln!(table, "| `{name}` | {kind} | {labels} | {series} |").unwrap();
        total += series;
    }
    writeln!(table, "| | | of one replica, at most | {total} |").unwrap();
    table
}

#[test]
fn it_says_how_many_series_there_can_be() {
    let page = read(PAGE);
    let (begin, end) = ("<!-- series:begin -->\n", "<!-- series:end -->");
    let from = page.find(begin).expect("a mark for the table") + begin.len();
    let to = page.find(end).expect("a mark after the table");
    let expected = format!("{}\n{}\n{}", &page[..from], table(), &page[to..]);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path(PAGE), &expected).unwrap();
    }
    assert!(
        read(PAGE) == expected,
        "{PAGE} is out of date; UPDATE_DOCS=1 cargo test --test monitoring writes it"
    );
}

#[test]
fn it_explains_every_family() {
    let page = read(PAGE);
    let (text, _) = page.split_once("<!-- series:begin -->").unwrap();
    let explained = named(text);
    let missing: Vec<_> = families()
        .into_iter()
        .filter(|name| !explained.contains(name))
        .collect();
    assert!(missing.is_empty(), "{PAGE} does not explain {missing:?}");
}

/// What callers choose is in no label, so these are all series that there can ever be.
#[test]
fn there_are_as_many_series_at_the_start_as_later() {
    let metrics = migration_warden::server::metrics::Metrics::new();
    let count = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    // The policy's hash, and two configurations in two families.
    assert_eq!(count(&metrics.encode()) + 5, count(&encoded()));
}
