//! The reviews that are measured: a Helm migration Job as an apiserver sends it to `/validate`.
//!
//! Larger ones have more of what makes real ones large: environment, annotations, and
//! `managedFields` that name each of them once more.

use std::fmt::Write;

/// Compact, in the order in which Go writes the fields. Each `more` is where entries go.
const TEMPLATE: &str = include_str!("review.json");

/// What is measured, with a name for it.
pub(crate) const SIZES: [(&str, usize); 3] =
    [("3.5 KB", 3_500), ("65 KB", 65_000), ("1 MB", 1_000_000)];

/// A review of about `bytes`, at least 3.5 KB, that the built-in policy allows.
pub(crate) fn allowed(bytes: usize) -> Vec<u8> {
    let empty = with_entries(0).len();
    // The pattern repeats after four.
    let four = with_entries(4).len() - empty;
    with_entries(bytes.saturating_sub(empty) * 4 / four).into_bytes()
}

/// A review of 3.5 KB of a Job that is no migration, neither by its labels nor by what it runs.
pub(crate) fn ordinary() -> Vec<u8> {
    let text = with_entries(0)
        .replace(r#"component":"migration"#, r#"component":"report"#)
        .replace(r#""migrate","apply""#, r#""report","send""#);
    let text = text.replace("migrations", "reports");
    text.replace("atlas-migrate", "report")
        .replace("migrate", "report")
        .into_bytes()
}

fn with_entries(count: usize) -> String {
    let (mut annotations, mut fields, mut env) = (String::new(), String::new(), String::new());
    for index in 0..count {
        let name = format!("SHOP_SETTING_{index:05}");
        // Every fourth one is JSON in a string, so that escapes have to be resolved.
        let value = if index % 4 == 0 {
            format!(r#"{{\"shard\":\"{index:05}\",\"replicas\":3}}"#)
        } else {
            format!("shop-{index:05}.database.svc.cluster:5432")
        };
        let ok = write!(
            annotations,
            r#","example.com/checksum-{index:05}":"{value}""#
        )
        .and(write!(
            fields,
            r#","k:{{\"name\":\"{name}\"}}":{{".":{{}},"f:name":{{}},"f:value":{{}}}}"#
        ))
        .and(write!(env, r#",{{"name":"{name}","value":"{value}"}}"#));
        ok.expect("a String takes everything");
    }
    let compact: String = TEMPLATE.lines().map(str::trim).collect();
    compact
        .replace(r#","more":"""#, &annotations)
        .replace(r#","more":{}"#, &fields)
        .replace(r#","more""#, &env)
}
