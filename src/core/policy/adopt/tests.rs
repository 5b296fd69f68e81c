//! One pass over each text finds the entry that reading the entries one by one finds.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::policy::testing::stored;

/// Whether a pattern matches a text, by its definition.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && is_like(rest, &text[at..]))
        }),
    }
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| is_like(pattern, text))
}

prop_compose! {
    fn entry()(
        [namespaces, names, images] in [0; 3].map(|_| vec("[ab.*]{1,3}", 0..3)),
        label in option::of("[ab]"),
    ) -> Entry {
        let labels = label.map(|value| ("app".to_owned(), value)).into_iter().collect();
        let matching = Match { namespaces, names, images, labels, ..Match::default() };
        Entry { name: "e".to_owned(), matching, rules: Mode::Audit, promises: Promises::default(), database: None }
    }
}

proptest! {
    #[test]
    fn the_first_entry_whose_every_field_matches(
        entries in vec(entry(), 0..6),
        [namespace, name, label] in [0; 3].map(|_| "[ab.]{1,3}"),
        images in vec("[ab.]{1,3}", 1..3),
    ) {
        let containers: Vec<_> = images.iter().map(|image| json!({"image": image})).collect();
        let job = json!({
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": label}},
            "spec": {"template": {"spec": {"containers": containers}}},
        });
        let expected = entries.iter().position(|Entry { matching, .. }| {
            any(&matching.namespaces, &namespace)
                && any(&matching.names, &name)
                && (matching.images.is_empty() || images.iter().any(|image| any(&matching.images, image)))
                && matching.labels.values().all(|value| *value == label)
        });
        let adoption = Adoption(entries);
        prop_assert_eq!(stored(&job, |job| adoption.matching(job, || None).next()), expected);
    }
}
