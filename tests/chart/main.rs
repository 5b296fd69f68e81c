//! The chart's values, their schema and their table agree. `UPDATE_DOCS=1` writes instead of comparing.
//!
//! Nothing is rendered here: that takes Helm, and `tests/e2e/chart.rs` does it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod table;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use migration_warden::core::exception;
use migration_warden::core::generate;
use migration_warden::core::generate::vap::{self, Settings, ValidationAction};
use migration_warden::core::policy::Policy;
use migration_warden::core::policy_file;
use migration_warden::core::runs;
use serde_json::{Value, json};
use table::Row;
use values::Values;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/migration-warden")
}

fn read(file: &str) -> String {
    fs::read_to_string(chart().join(file)).unwrap_or_default()
}

fn defaults() -> Value {
    serde_saphyr::from_str(&read("values.yaml")).unwrap()
}

/// The policy of the chart's values.
fn policy() -> Policy {
    policy_file::validate::read("values.yaml", &defaults()["policy"].to_string()).unwrap()
}

/// Compares a file of the chart, or writes it when asked to.
fn agrees(file: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(chart().join(file), expected).unwrap();
    }
    assert!(
        read(file) == expected,
        "{file} is out of date; UPDATE_DOCS=1 cargo test --test chart writes it"
    );
}

/// The schema of the values: the types', with what `values.yaml` says of each value.
fn schema() -> Value {
    let mut schema = schemars::schema_for!(Values).to_value();
    // A policy file may leave it out, but the webhook configurations are made from it.
    let policy = &mut schema["$defs"]["MigrationPolicy"]["required"];
    policy.as_array_mut().unwrap().push(json!("match"));
    for Row { path, text } in table::rows(&read("values.yaml")) {
        let mut place = String::new();
        for key in &path {
            let parent = schema.pointer(&place).unwrap();
            // Several values have the same type, and each its own description.
            if let Some(reference) = parent.get("$ref") {
                let shared = reference.as_str().unwrap().replace('#', "");
                let own = schema.pointer(&shared).unwrap().clone();
                *schema.pointer_mut(&place).unwrap() = own;
            }
            place = format!("{place}/properties/{key}");
        }
        let property = schema.pointer_mut(&place);
        let property = property.unwrap_or_else(|| panic!("{path:?} is in values.yaml alone"));
        property["description"] = text.into();
    }
    // Nothing refers to the types that were copied any more.
    loop {
        let text = schema.to_string();
        let types = schema["$defs"].as_object_mut().unwrap();
        let before = types.len();
        types.retain(|name, _| text.contains(&format!("#/$defs/{name}\"")));
        if types.len() == before {
            return schema;
        }
    }
}

#[test]
fn the_schema_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    agrees("values.schema.json", &text);
}

#[test]
fn the_readme_lists_every_value() {
    let readme = read("README.md");
    let (begin, end) = ("<!-- values:begin -->\n", "<!-- values:end -->");
    let from = readme.find(begin).expect("a mark for the table") + begin.len();
    let to = readme.find(end).expect("a mark after the table");
    let table = table::markdown(&read("values.yaml"), &defaults());
    let expected = format!("{}\n{table}\n{}", &readme[..from], &readme[to..]);
    agrees("README.md", &expected);
}

#[test]
fn every_value_is_explained() {
    let rows = table::rows(&read("values.yaml"));
    let missing = table::unexplained(&defaults(), &rows);
    assert!(missing.is_empty(), "no `# --` comment: {missing:?}");
}

#[test]
fn the_defaults_are_valid() {
    let _: Values = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    assert_eq!(faults(&defaults()), "");
}

#[test]
fn the_value_sets_of_the_tests_are_valid() {
    let mut sets = 0;
    for entry in fs::read_dir(chart().join("ci")).unwrap() {
        let path = entry.unwrap().path();
        let set: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut values = defaults();
        json_patch::merge(&mut values, &set);
        assert_eq!(faults(&values), "", "{}", path.display());
        sets += 1;
    }
    assert!(sets > 5, "only {sets} sets");
}

/// Without a policy file, and with the chart's values, the same Jobs are judged in the same way.
#[test]
fn the_default_policy_is_the_built_in_one() {
    let installed = policy();
    let builtin = policy_file::validate::builtin();
    let mut same = installed;
    same.hash.clone_from(&builtin.hash);
    assert_eq!(format!("{same:?}"), format!("{builtin:?}"));
}

/// What the template makes the `ValidatingAdmissionPolicy` of.
#[test]
fn the_net_is_that_of_the_default_policy() {
    let settings = Settings {
        // Each binding then has the strongest action that its rules allow.
        actions: vec![ValidationAction::Deny],
        ..Settings::default()
    };
    let manifests = generate::yaml(&vap::manifests(&policy(), &settings)).unwrap();
    let file = format!(
        "# `generate vap --action Deny` of the default policy. Made by UPDATE_DOCS=1 cargo test --test chart;\n\
         # the template fills in what the values say.\n{manifests}"
    );
    agrees("files/vap.yaml", &file);
}

/// What the template makes the CRDs of.
#[test]
fn the_crds_are_those_of_the_types() {
    for (source, crd) in [
        ("exception", exception::resource::crd()),
        ("runs", runs::resource::crd()),
    ] {
        let name = format!("files/{}.yaml", crd.spec.names.singular.clone().unwrap());
        let crd = serde_json::to_value(crd).unwrap();
        let file = format!(
            "# The CRD of src/core/{source}/resource.rs. Made by UPDATE_DOCS=1 cargo test --test chart; the template\n\
             # adds the labels.\n{}",
            generate::yaml(&[crd]).unwrap()
        );
        agrees(&name, &file);
    }
}

/// Everything that a bad value may be is refused before anything is installed.
#[test]
fn bad_values_are_refused() {
    for (good, change) in [
        (true, json!({"policy": {"profile": "strict"}})),
        (false, json!({"policy": {"profile": "mild"}})),
        (false, json!({"policy": {"match": null}})),
        (false, json!({"policy": {"match": {"selectors": []}}})),
        (false, json!({"policy": {"rules": {"MW999": "deny"}}})),
        // A bare `off`, once Helm has read it.
        (true, json!({"policy": {"rules": {"MW011": false}}})),
        (true, json!({"policy": {"detection": {"maxAction": false}}})),
        (true, json!({"policy": {"claims": {"supersede": false}}})),
        (false, json!({"policy": {"claims": {"supersede": "never"}}})),
        (
            true,
            json!({"policy": {"adopt": [{"name": "a", "match": {"images": ["a/b:*"]}}]}}),
        ),
        // The template makes a regular expression of it.
        (
            false,
            json!({"policy": {"adopt": [{"name": "a", "match": {"images": ["a(b"]}}]}}),
        ),
        (false, json!({"policy": {"adopt": [{"name": "a"}]}})),
        (false, json!({"policy": {"apiVersion": "v1"}})),
        (false, json!({"webhooks": {"failurePolicy": "fail"}})),
        (false, json!({"webhooks": {"timeoutSeconds": 10}})),
        (false, json!({"webhooks": {"excludedNamespaces": "dev"}})),
        (false, json!({"webhooks": null})),
        (
            true,
            json!({"validatingAdmissionPolicy": {"actions": ["Deny"]}}),
        ),
        (
            false,
            json!({"validatingAdmissionPolicy": {"actions": ["deny"]}}),
        ),
        (false, json!({"validatingAdmissionPolicy": {"actions": []}})),
        (false, json!({"certificates": {"mode": "selfManaged"}})),
        (
            false,
            json!({"certificates": {"certManager": {"duration": "90d"}}}),
        ),
        (false, json!({"replicas": 3})),
        (false, json!({"replicaCount": 0})),
        (false, json!({"replicaCount": "2"})),
        (
            true,
            json!({"podDisruptionBudget": {"maxUnavailable": "50%"}}),
        ),
        (
            false,
            json!({"podDisruptionBudget": {"maxUnavailable": "half"}}),
        ),
        (false, json!({"port": 70000})),
        (false, json!({"fullnameOverride": "Warden"})),
        (
            true,
            json!({"policy": {"exceptions": {"maxDuration": "0s"}}}),
        ),
        (false, json!({"policy": {"exceptions": {"maximum": "1h"}}})),
        (false, json!({"crds": {"enabled": "yes"}})),
        // As part of another chart.
        (true, json!({"global": {"region": "eu"}})),
    ] {
        let mut values = defaults();
        json_patch::merge(&mut values, &change);
        let faults = faults(&values);
        assert_eq!(faults.is_empty(), good, "{change}: {faults}");
    }
}

/// What the schema says of these values.
fn faults(values: &Value) -> String {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let faults = validator.iter_errors(values).map(|fault| fault.to_string());
    faults.collect::<Vec<_>>().join("\n")
}

/// `GitOps` tools render a chart again and again, and without a cluster.
#[test]
fn templates_neither_ask_nor_invent() {
    let mut files = vec![chart().join("templates")];
    let mut seen = 0;
    while let Some(file) = files.pop() {
        if file.is_dir() {
            files.extend(
                fs::read_dir(file)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for function in [
            "lookup ",
            "genCA",
            "genSelf",
            "genSigned",
            "genPriv",
            "rand",
            "uuidv4",
            "now",
            ".Capabilities",
        ] {
            let used = text.split("{{").skip(1).any(|action| {
                let action = action.split("}}").next().unwrap_or_default();
                !action.contains("/*") && action.contains(function)
            });
            assert!(!used, "{} uses {function}", file.display());
        }
        seen += 1;
    }
    assert!(seen > 15, "only {seen} templates");
}

#[test]
fn the_chart_has_the_programs_version() {
    let chart: Value = serde_saphyr::from_str(&read("Chart.yaml")).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}

/// Claims rest on it. The suffix admits versions such as `1.31.0-gke.1`.
#[test]
fn the_chart_and_the_pages_name_the_same_oldest_kubernetes() {
    let chart: Value = serde_saphyr::from_str(&read("Chart.yaml")).unwrap();
    assert_eq!(chart["kubeVersion"], ">=1.31.0-0");
    for page in ["README.md", "../../docs/install.md", "../../docs/vap.md"] {
        assert!(read(page).contains("Kubernetes 1.31 or later"), "{page}");
    }
}
