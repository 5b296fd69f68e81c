//! What is recognised: `tests/fixtures/job/tools.yaml` has the cases.

use serde::Deserialize;

use super::*;
use crate::core::policy::testing::stored;
use crate::testing::table;

#[derive(Deserialize)]
struct Tools {
    detected: Vec<(String, String, Vec<String>, Option<String>)>,
    migrate: Vec<String>,
    others: Vec<String>,
    scripts: Vec<String>,
    other_scripts: Vec<String>,
}

fn detected<W: AsRef<str>>(name: &str, image: &str, words: &[W]) -> Option<Detection> {
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    let json = serde_json::json!({
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [{"image": image, "args": words}]}}},
    });
    stored(&json, detect)
}

#[test]
fn knows_migrations_by_command_image_and_name() {
    for (name, image, words, expected) in table::<Tools>("job/tools").detected {
        let found = detected(&name, &image, &words).map(|found| format!("{found:?}"));
        assert_eq!(found, expected, "{name}: {image} {words:?}");
    }
}

#[test]
fn knows_what_migrates_and_leaves_alone_what_waits_looks_and_copies() {
    let tools: Tools = table("job/tools");
    for (lines, migrates) in [(tools.migrate, true), (tools.others, false)] {
        let is_wrong = |line: &String| {
            let (image, words) = line.split_once(" |").unwrap();
            let words: Vec<_> = words.split_whitespace().collect();
            detected("x", image, &words).is_some() != migrates
        };
        let wrong: Vec<_> = lines.into_iter().filter(is_wrong).collect();
        assert_eq!(wrong, [""; 0]);
    }
}

#[test]
fn reads_scripts_command_by_command() {
    let tools: Tools = table("job/tools");
    let is_detected =
        |text: &str| detected("x", "app:1", &["bash", "-euo", "pipefail", "-c", text]).is_some();
    for text in tools.scripts {
        assert!(is_detected(&text), "{text}");
    }
    for text in tools.other_scripts {
        assert!(!is_detected(&text), "{text}");
    }
}

#[test]
fn a_long_command_line_is_read_in_part() {
    let long = "x ".repeat(100_000);
    assert_eq!(
        detected("x", "app:1", &[&*long, "npm", "run", "migrate"]),
        None
    );
    assert!(detected("x", "app:1", &["npm", "run", "migrate", &long]).is_some());
    let waits = "wait -- ".repeat(10_000);
    assert_eq!(detected("x", "app:1", &["sh", "-c", &waits]), None);
}
