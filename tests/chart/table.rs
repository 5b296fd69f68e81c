//! The comments of `values.yaml`, read, and the table of values that is made of them.

use std::fmt::Write;

use serde_json::Value;

/// A default longer than this is looked up in the file.
const LONGEST: usize = 60;

/// A value with a `# --` comment above it.
pub(crate) struct Row {
    pub(crate) path: Vec<String>,
    pub(crate) text: String,
}

/// The commented values, in the order of the file.
pub(crate) fn rows(yaml: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut path, mut comment) = (Vec::new(), String::new());
    for line in yaml.lines() {
        let trimmed = line.trim_start();
        if let Some(text) = trimmed.strip_prefix("# -- ") {
            text.clone_into(&mut comment);
        } else if let Some(more) = trimmed.strip_prefix("# ").filter(|_| !comment.is_empty()) {
            comment = format!("{comment} {more}");
        } else if let Some((key, _)) = trimmed
            .split_once(':')
            .filter(|_| !trimmed.starts_with(['#', '-']))
        {
            path.truncate((line.len() - trimmed.len()) / 2);
            path.push(key.to_owned());
            if !comment.is_empty() {
                let text = std::mem::take(&mut comment);
                rows.push(Row {
                    path: path.clone(),
                    text,
                });
            }
        } else {
            comment.clear();
        }
    }
    rows
}

/// The table of `values.yaml`.
pub(crate) fn markdown(yaml: &str, defaults: &Value) -> String {
    let mut table = String::from("| value | default | what it is |\n|---|---|---|\n");
    for Row { path, text } in rows(yaml) {
        let default = defaults.pointer(&format!("/{}", path.join("/")));
        let default = default.unwrap_or(&Value::Null).to_string();
        let default = if default.len() > LONGEST {
            "in [values.yaml](values.yaml)".to_owned()
        } else {
            format!("`{default}`")
        };
        let text = text.replace('|', "\\|");
        writeln!(table, "| `{}` | {default} | {text} |", path.join(".")).unwrap();
    }
    table
}

/// Values that neither have a comment nor are part of one that has.
pub(crate) fn unexplained(defaults: &Value, rows: &[Row]) -> Vec<String> {
    let mut missing = Vec::new();
    let mut open = vec![(Vec::new(), defaults)];
    while let Some((path, value)) = open.pop() {
        if rows.iter().any(|row| row.path == path) {
            continue;
        }
        match value.as_object().filter(|map| !map.is_empty()) {
            Some(map) => {
                open.extend(map.iter().map(|(key, value)| {
                    (path.iter().cloned().chain([key.clone()]).collect(), value)
                }));
            }
            None => missing.push(path.join(".")),
        }
    }
    missing
}
