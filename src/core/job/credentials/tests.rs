//! What is masked: `tests/fixtures/job/masked.yaml` has the cases.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::strategy::Strategy;
use serde::Deserialize;

use super::mask::ranges;
use super::*;
use crate::testing::table;

#[derive(Deserialize)]
struct Texts {
    masked: Vec<(String, String)>,
    harmless: Vec<String>,
    resolved_by_a_shell: Vec<String>,
    planted: Vec<String>,
    keys: Vec<String>,
    other_names: Vec<String>,
    code: Vec<String>,
    not_code: Vec<String>,
}

static TEXTS: LazyLock<Texts> = LazyLock::new(|| table("job/masked"));

#[test]
fn masks_every_way_a_password_is_written() {
    for (text, masked) in &TEXTS.masked {
        assert_eq!(mask(text), *masked);
    }
}

#[test]
fn tells_names_of_passwords_and_expressions() {
    type Is = fn(&str) -> bool;
    for (texts, is, expected) in [
        (&TEXTS.keys, is_key as Is, true),
        (&TEXTS.other_names, is_key, false),
        (&TEXTS.code, place::is_code, true),
        (&TEXTS.not_code, place::is_code, false),
    ] {
        for text in texts {
            assert_eq!(is(text), expected, "{text}");
        }
    }
}

#[test]
fn leaves_references_and_harmless_text_alone() {
    for text in &TEXTS.harmless {
        assert_eq!(mask(text), *text);
    }
}

#[test]
fn what_a_shell_resolves_is_no_finding() {
    for text in &TEXTS.resolved_by_a_shell {
        let found = scan::secrets(text, Reader::Shell, &mut Context::default());
        assert_eq!(found, [], "{text}");
    }
}

/// The parts of generated texts: keys, separators, references, values, quotes.
const PARTS: &str = "(password|DB_PW|--password|-p|mysql |curl -u |https://|svc:|@db|@tcp\\(|\\$\\(X\\)|\\$\\{Y:-z\\}|\
    \\$A|hunter22|[ =:;,'\"`\\\\(){}<>|#*/\\n-]|identified by |authorization: bearer |echo |:5432:)";

/// The parts of forms that need more than one.
const MORE_PARTS: &str = "(curl -sSu |mysqlsh |redis-cli |auth |sqlplus |<<E\\n|connect |E\\n|db2 |using |beeline |\
    login |password |\\\\n|printf '|%s|' |name: |value: |password:|pw=|pwd>|</|\\|\\n  |\\n  - |\\n|svc:|svc/|hunter22|\
    @db|\\$A|#\\{X\\}|\\[\\[|\\]\\]|config\\.|get\\(|[ =:;,'\"\\\\<>$\\[-])";

fn texts() -> impl Strategy<Value = String> {
    let (few, more) = (vec(PARTS, 0..12), vec(MORE_PARTS, 0..14));
    proptest::prop_oneof![few, more].prop_map(|parts| parts.concat())
}

proptest::proptest! {
    #[test]
    fn masking_never_panics_and_is_idempotent(text in "\\PC*") {
        let once = mask(&text).into_owned();
        proptest::prop_assert_eq!(mask(&once).into_owned(), once.clone());
    }

    #[test]
    fn masking_what_looks_like_passwords_is_idempotent(text in texts()) {
        let once = mask(&text).into_owned();
        proptest::prop_assert_eq!(mask(&once).into_owned(), once.clone());
        proptest::prop_assert_eq!(blot(&text).len(), text.len());
    }

    #[test]
    fn what_the_rule_finds_is_masked(text in texts()) {
        let masked = ranges(&text);
        for (range, _) in scan::secrets(&text, Reader::Shell, &mut Context::default()) {
            let is_masked = |at| masked.iter().any(|other| other.contains(&at));
            let is_hidden = range.clone().all(is_masked) && may_hold_any(&text);
            proptest::prop_assert!(is_hidden, "{:?} of {:?}", &text[range], text);
        }
    }

    #[test]
    fn a_planted_password_never_survives(
        before in "[a-z ]{0,8}", user in "[a-z]{0,6}", password in "[A-Za-z0-9!%^*+/_.-]{6,20}",
    ) {
        // The marker keeps it from being a port or a switch.
        let secret = format!("s3cr3t{password}");
        for way in &TEXTS.planted {
            let text = way.replace("{before}", &before).replace("{user}", &user).replace("{secret}", &secret);
            proptest::prop_assert!(!mask(&text).contains(&secret), "{}", mask(&text));
        }
    }
}
