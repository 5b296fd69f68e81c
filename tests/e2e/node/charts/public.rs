//! A public chart, made of its fixture: its Jobs as templates, unchanged but for their images and their namespace.

use std::{cmp::Reverse, collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Helm, Space};
use crate::node::migration::SLOW;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/charts");

/// What the charts write where a fixture has what Helm made of it.
const RENDERED: [(&str, &str); 6] = [
    (
        "2021-11-09-10-22-31",
        "{{ now | date \"2006-01-02-15-04-05\" }}",
    ),
    ("20251203-091500", "{{ now | date \"20060102-150405\" }}"),
    ("api-migrate-3\n", "api-migrate-{{ .Release.Revision }}\n"),
    ("seeder-4\n", "seeder-{{ .Release.Revision }}\n"),
    ("7k2m9x4qzp", "{{ randAlphaNum 10 | lower }}"),
    (
        "a41f9c2\n",
        "{{ .Values | toJson | sha256sum | trunc 7 }}\n",
    ),
];

pub(super) struct Public {
    /// Such as `airflow`.
    pub(super) name: String,
    pub(super) jobs: Vec<Value>,
    files: TempDir,
}

impl Public {
    pub(super) fn all() -> Vec<Self> {
        let files = fs::read_dir(FOLDER).unwrap();
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.retain(|path| !path.ends_with("expected.yaml"));
        paths.sort();
        let mut all: Vec<_> = paths.iter().map(|path| Self::of(path)).collect();
        // What takes longest begins first.
        all.sort_by_key(|chart| Reverse(chart.jobs.len()));
        all
    }

    /// The chart with this name, and another text in its templates.
    pub(super) fn with(name: &str, from: &str, to: &str) -> Self {
        let mut charts = Self::all().into_iter();
        let chart = charts.find(|chart| chart.name == name).unwrap();
        let path = chart.files.path().join("templates/jobs.yaml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
        chart
    }

    fn of(fixture: &Path) -> Self {
        let (_, name) = fixture
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .split_once('-')
            .unwrap();
        let text = fs::read_to_string(fixture).unwrap();
        assert!(!text.contains("{{"), "{name}: Helm would read it");
        let jobs = serde_saphyr::from_multiple(&text).unwrap();
        let mut template: String = text.lines().filter_map(unplaced).collect();
        for (rendered, written) in RENDERED {
            template = template.replace(rendered, written);
        }
        let files = TempDir::new().unwrap();
        let path = files.path();
        fs::create_dir(path.join("templates")).unwrap();
        let chart = format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n");
        fs::write(path.join("Chart.yaml"), chart).unwrap();
        fs::write(path.join("templates/jobs.yaml"), template).unwrap();
        Self {
            name: name.to_owned(),
            jobs,
            files,
        }
    }

    /// What Helm is told of the chart, with as much patience as a pipeline has. A field that Kubernetes does not know
    /// keeps Helm 4 from applying a Job.
    pub(super) fn arguments(&self, helm: Helm) -> Vec<&str> {
        let mut arguments = vec![self.files.path().to_str().unwrap(), "--timeout", "120s"];
        if (&*self.name, helm) == ("litellm", Helm::V4) {
            arguments.push("--server-side=false");
        }
        arguments
    }

    /// The names of the Jobs, without what changes.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.jobs.iter().map(|job| &job["metadata"]["name"]);
        names.map(|name| {
            let name = name.as_str().unwrap();
            let starts = RENDERED
                .iter()
                .filter_map(|(text, _)| name.find(text.trim()));
            &name[..starts.min().unwrap_or(name.len())]
        })
    }

    /// Makes the Secrets and `ConfigMap`s that the Jobs take their environment from.
    pub(super) fn provide(&self, space: &Space) {
        let mut found: BTreeMap<(&str, &str), BTreeMap<&str, &str>> = BTreeMap::new();
        for job in &self.jobs {
            references(job, &mut found);
        }
        let of = |((kind, name), data): (&(&str, &str), _)| {
            let field = if *kind == "Secret" {
                "stringData"
            } else {
                "data"
            };
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: data})
        };
        let items: Vec<_> = found.iter().map(of).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        if !items.is_empty() {
            space.kubectl_with(&["create", "-f", "-"], &list).succeeds();
        }
    }

    /// The Jobs that Helm leaves behind when the release is gone, by the beginning of their names.
    pub(super) fn left_by_helm(&self) -> Vec<&str> {
        let annotation = |job: &Value, name: &str| {
            let text = job["metadata"]["annotations"][name].as_str();
            text.unwrap_or_default().to_owned()
        };
        let is_left = |job: &&Value| {
            !annotation(job, "helm.sh/hook").is_empty()
                && !annotation(job, "helm.sh/hook-delete-policy").contains("hook-succeeded")
        };
        let left = self.jobs.iter().filter(is_left);
        left.map(|job| job["metadata"]["name"].as_str().unwrap())
            .collect()
    }
}

/// The line as the template has it, if it has it.
fn unplaced(line: &str) -> Option<String> {
    let (indent, text) = line.split_at(line.len() - line.trim_start().len());
    match text.split_once(": ") {
        Some(("namespace", _)) => None,
        Some(("image", _)) => Some(format!("{indent}image: {SLOW}\n")),
        _ => Some(format!("{line}\n")),
    }
}

/// All references to Secrets and `ConfigMap`s below this value, and their keys.
fn references<'v>(
    value: &'v Value,
    found: &mut BTreeMap<(&'v str, &'v str), BTreeMap<&'v str, &'v str>>,
) {
    for (field, kind) in [
        ("secretKeyRef", "Secret"),
        ("secretRef", "Secret"),
        ("configMapRef", "ConfigMap"),
    ] {
        if let Some(name) = value[field]["name"].as_str() {
            let keys = found.entry((kind, name)).or_default();
            keys.extend(value[field]["key"].as_str().map(|key| (key, "1")));
        }
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| references(field, found)),
        _ => {}
    }
}
