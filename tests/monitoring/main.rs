//! What is said about metrics agrees with the metrics: alert rules, dashboard and pages.
//!
//! Nothing is asked of a Prometheus here; `tests/e2e/monitoring.rs` does that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod alerts;
mod dashboard;
mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use migration_warden::server::metrics::Metrics;
use serde_json::Value;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap()
}

/// The metrics after all has happened that makes a series.
fn encoded() -> String {
    let metrics = Metrics::new();
    metrics.policy.in_use("0123456789abcdef".to_owned());
    for kind in [
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ] {
        metrics.registration.published(kind, true);
        metrics.registration.agrees(kind, true);
    }
    metrics.encode()
}

/// The names by which Prometheus knows the families, those of histograms without their suffixes.
fn families() -> BTreeSet<String> {
    let text = encoded();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                "gauge" | "histogram" => name.to_owned(),
                other => panic!("{name} is a {other}"),
            }
        })
        .collect()
}

/// Every metric that a text names, those of histograms without their suffixes.
fn named(text: &str) -> BTreeSet<String> {
    let part_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.match_indices("migration_warden_")
        .map(|(at, _)| {
            let rest = &text[at..];
            let name = &rest[..rest.find(|c| !part_of_name(c)).unwrap_or(rest.len())];
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name)
                .to_owned()
        })
        .collect()
}

/// Fails with the metrics of `text` that do not exist.
#[track_caller]
fn only_what_there_is(file: &str, text: &str) {
    let known = families();
    let unknown: Vec<_> = named(text)
        .into_iter()
        .filter(|name| !known.contains(name))
        .collect();
    assert!(unknown.is_empty(), "{file} names {unknown:?}");
}

#[test]
fn the_other_pages_name_only_what_there_is() {
    let mut pages = vec![path("README.md"), path("charts/migration-warden/README.md")];
    let docs = fs::read_dir(path("docs")).unwrap();
    pages.extend(docs.map(|entry| entry.unwrap().path()));
    pages.retain(|page| page.extension().is_some_and(|kind| kind == "md"));
    assert!(pages.len() > 15, "only {} pages", pages.len());
    for page in pages {
        only_what_there_is(
            &page.display().to_string(),
            &fs::read_to_string(&page).unwrap(),
        );
    }
}
