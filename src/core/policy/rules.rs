//! The list of all rules, in the order in which they are evaluated and reported.
//!
//! A new rule is a file here, its line in `RULES`, and a pass and a fail fixture.

use crate::core::policy::rule::Rule;
use crate::core::text;

mod bad_hook_weight;
mod blocking_sidecar;
pub mod concurrent_migration;
pub(crate) mod deleted_while_running;
mod duplicate_hook_event;
mod empty_migration;
mod evictable_migration;
mod extra_hook_event;
mod floating_image;
pub(crate) mod forged_stamp;
mod inline_credentials;
mod missing_hook;
mod name_too_long;
mod no_deadline;
mod opaque_release;
mod parallel_migration;
pub(crate) mod reapplied_job;
mod repeated_migration;
mod restarting_pod;
mod retried_migration;
mod short_ttl;
mod silent_hook;
mod stale_timestamp;
mod suspended_migration;
mod unknown_hook_event;
pub(crate) mod unlabelled_migration;
mod untimestamped_name;
mod wrong_delete_policy;

/// Every rule, ordered by id. An id never changes its meaning and is never reused.
pub const RULES: [&Rule; 28] = [
    &untimestamped_name::UNTIMESTAMPED_NAME,
    &missing_hook::MISSING_HOOK,
    &wrong_delete_policy::WRONG_DELETE_POLICY,
    &restarting_pod::RESTARTING_POD,
    &stale_timestamp::STALE_TIMESTAMP,
    &retried_migration::RETRIED_MIGRATION,
    &no_deadline::NO_DEADLINE,
    &parallel_migration::PARALLEL_MIGRATION,
    &repeated_migration::REPEATED_MIGRATION,
    &inline_credentials::INLINE_CREDENTIALS,
    &floating_image::FLOATING_IMAGE,
    &short_ttl::SHORT_TTL,
    &name_too_long::NAME_TOO_LONG,
    &duplicate_hook_event::DUPLICATE_HOOK_EVENT,
    &unknown_hook_event::UNKNOWN_HOOK_EVENT,
    &bad_hook_weight::BAD_HOOK_WEIGHT,
    &extra_hook_event::EXTRA_HOOK_EVENT,
    &suspended_migration::SUSPENDED_MIGRATION,
    &blocking_sidecar::BLOCKING_SIDECAR,
    &evictable_migration::EVICTABLE_MIGRATION,
    &opaque_release::OPAQUE_RELEASE,
    &unlabelled_migration::UNLABELLED_MIGRATION,
    &silent_hook::SILENT_HOOK,
    &empty_migration::EMPTY_MIGRATION,
    &concurrent_migration::CONCURRENT_MIGRATION,
    &deleted_while_running::DELETED_WHILE_RUNNING,
    &reapplied_job::REAPPLIED_JOB,
    &forged_stamp::FORGED_STAMP,
];

/// The rule with this id or name.
#[must_use]
pub fn find(id_or_name: &str) -> Option<&'static Rule> {
    let is = |rule: &&Rule| rule.id.eq_ignore_ascii_case(id_or_name) || rule.name == id_or_name;
    RULES.iter().copied().find(is)
}

/// The message for a name that is not a rule, with the nearest id or name.
pub(crate) fn unknown(key: &str) -> String {
    let names = RULES.iter().map(|rule| rule.name);
    match id_of(key).or_else(|| text::nearest(key, names)) {
        Some(meant) => format!("there is no rule {key}; did you mean {meant}?"),
        None => format!("there is no rule {key}; `migration-warden explain` lists them all"),
    }
}

/// The id with the same number, such as `MW001` for `mw1` or `MW-01`.
fn id_of(key: &str) -> Option<&'static str> {
    let (letters, digits) = key.split_at_checked(2)?;
    let digits = digits.trim_start_matches(['-', '_', ' ']);
    let number: Option<u16> = digits.parse().ok();
    let mut ids = RULES.iter().map(|rule| rule.id);
    let id = ids.find(|id| number.is_some() && id[2..].parse().ok() == number);
    id.filter(|_| letters.eq_ignore_ascii_case("MW"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{RULES, find, unknown};

    #[test]
    fn ids_and_names_are_unique_and_in_order() {
        let ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), RULES.len());
        let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn every_rule_is_documented_alike() {
        for rule in RULES {
            let docs = rule.markdown();
            for part in ["\n## Why is this bad?\n", "\n## Instead\n", "\nSource: "] {
                assert!(docs.contains(part), "{}: no {part:?}", rule.id);
            }
            assert!(
                rule.summary().ends_with('.'),
                "{}: {:?}",
                rule.id,
                rule.summary()
            );
            assert!(
                rule.remediation.chars().count() <= 85,
                "{}: too long to warn with",
                rule.id
            );
        }
    }

    #[test]
    fn rules_are_found_by_id_and_by_name() {
        assert_eq!(find("mw004").map(|rule| rule.name), Some("restarting-pod"));
        assert_eq!(find("restarting-pod").map(|rule| rule.id), Some("MW004"));
        assert!(find("MW999").is_none());
    }

    #[test]
    fn a_typo_in_an_id_gets_the_id_that_was_meant() {
        for (typo, meant) in [
            ("MW1", "MW001"),
            ("mw10", "MW010"),
            ("MW-01", "MW001"),
            ("MW0101", "MW101"),
            ("mw004", "MW004"),
            ("Missing-Hook", "missing-hook"),
        ] {
            let message = format!("there is no rule {typo}; did you mean {meant}?");
            assert_eq!(unknown(typo), message);
        }
        for typo in ["MW999", "MW", "M", "\u{e9}W001"] {
            let message =
                format!("there is no rule {typo}; `migration-warden explain` lists them all");
            assert_eq!(unknown(typo), message);
        }
    }
}
