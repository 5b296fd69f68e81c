//! Names of Jobs, the advice about them, and the names that a patch makes of them.

use super::*;
use crate::core::policy::testing::{self, findings, job, told_of};
use serde_json::json;

fn argocds(tweak: impl FnOnce(&mut serde_json::Value)) -> serde_json::Value {
    job(|j| {
        j["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": "PreSync"});
        tweak(j);
    })
}

/// "resource name may not be empty".
#[test]
fn helm_creates_no_hook_that_has_only_a_generate_name() {
    let generated = |j: &mut serde_json::Value| {
        j["metadata"]["name"] = json!(null);
        j["metadata"]["generateName"] = json!("shop-migrate-1766361600-");
    };
    assert_eq!(
        told_of("MW001", &job(generated)),
        [
            "MW001 untimestamped-name: metadata.generateName: Helm does not create a hook without a name \
             (\"resource name may not be empty\"), and only generateName \"shop-migrate-1766361600-\" is set; \
             write name: \"{{ .Release.Name }}-migrate-{{ now | unixEpoch }}\""
        ]
    );
    assert!(findings("MW001", &argocds(generated)).is_empty());
    let both = job(|j| {
        generated(j);
        j["metadata"]["annotations"]["argocd.argoproj.io/hook"] = json!("PreSync");
    });
    assert!(findings("MW001", &both).is_empty());
    // The client is not Helm, and the timestamp exists.
    let sent = job(|j| {
        generated(j);
        j["metadata"]["managedFields"] = json!([{"manager": "ci", "operation": "Update"}]);
    });
    assert!(findings("MW001", &sent).is_empty());
}

/// No name that Kubernetes takes holds one, but the answer is written before it looks.
#[test]
fn no_credential_is_left_of_a_name_that_is_cut() {
    let url = "postgres://u:hunter2hunter2@h/d";
    let told = told_of(
        "MW001",
        &argocds(|j| j["metadata"]["name"] = json!(format!("x{url}  a {url}"))),
    );
    assert!(!told.concat().contains("hunter2"), "{told:?}");
}

#[test]
fn argo_cd_names_what_has_a_generate_name() {
    let generated = |name| {
        argocds(|j| {
            j["metadata"]["name"] = name;
            j["metadata"]["generateName"] = json!("db-apply-");
        })
    };
    for name in [
        json!(null),
        json!("db-apply-abcdef0-presync-1766361600"),
        json!("db-apply-x7k2p"),
    ] {
        assert!(findings("MW001", &generated(name)).is_empty());
    }
    assert_eq!(
        told_of(
            "MW001",
            &argocds(|j| j["metadata"]["name"] = json!("db-apply"))
        ),
        [
            "MW001 untimestamped-name: metadata.name: \"db-apply\" does not end in a timestamp; write \
             generateName: db-apply- instead of the name: Argo CD appends commit, phase and time"
        ]
    );
}

fn tracked(
    annotations: serde_json::Value,
    tweak: impl FnOnce(&mut serde_json::Value),
) -> serde_json::Value {
    job(|j| {
        j["metadata"]["annotations"] = annotations;
        j["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("shop:x");
        tweak(j);
    })
}

/// Argo CD names it too, and a name in Helm's words has a timestamp under both.
#[test]
fn a_hook_of_helms_that_argo_cd_deploys_is_told_what_both_take() {
    let helms = |tweak: &dyn Fn(&mut serde_json::Value)| {
        told_of(
            "MW001",
            &tracked(json!({"helm.sh/hook": "pre-install,pre-upgrade"}), tweak),
        )
    };
    for name in [
        json!(null),
        json!("db-apply-abcdef0-presync-1766361600"),
        json!("db-apply-x7k2p"),
    ] {
        let generated = |j: &mut serde_json::Value| {
            j["metadata"]["name"] = name.clone();
            j["metadata"]["generateName"] = json!("db-apply-");
        };
        assert_eq!(helms(&generated), [""; 0]);
    }
    assert_eq!(
        helms(&|j| j["metadata"]["name"] = json!("db-apply")),
        [
            "MW001 untimestamped-name: metadata.name: \"db-apply\" does not end in a timestamp; write name: \
             \"{{ .Release.Name }}-migrate-{{ now | unixEpoch }}\""
        ]
    );
}

/// What is written already is not asked for.
#[test]
fn no_advice_of_argo_cds_goes_in_a_circle() {
    let advice = |job: serde_json::Value| {
        let told = told_of("MW001", &job).concat();
        told.split_once("; ").map(|(_, advice)| advice.to_owned())
    };
    let unnamed = |j: &mut serde_json::Value| j["metadata"]["name"] = json!(null);
    let generated = |j: &mut serde_json::Value| {
        unnamed(j);
        j["metadata"]["generateName"] = json!("shop-migrate-");
    };
    let long = |j: &mut serde_json::Value| j["metadata"]["name"] = json!("a".repeat(60));
    let appends = "Argo CD appends commit, phase and time";
    let (example, hook) = (
        format!("write generateName, as in shop-migrate-: {appends}"),
        "make the Job an Argo CD hook",
    );
    for (job, expected) in [
        (argocds(unnamed), example.clone()),
        (
            tracked(json!({}), unnamed),
            format!("{hook}, and {example}"),
        ),
        (
            tracked(json!({}), generated),
            format!("{hook}: Argo CD builds a name from generateName only for hooks"),
        ),
        (
            tracked(json!({}), |j| j["metadata"]["name"] = json!("shop-migrate")),
            format!("{hook}, and write generateName: shop-migrate- instead of the name: {appends}"),
        ),
        (
            argocds(long),
            format!(
                "write generateName: {}- instead of the name: {appends}",
                "a".repeat(36)
            ),
        ),
    ] {
        assert_eq!(advice(job), Some(expected));
    }
}

#[test]
fn tells_the_name() {
    let found = findings(
        "MW001",
        &job(|j| j["metadata"]["name"] = json!("shop-migrate-12")),
    );
    assert_eq!(
        found,
        [r#"metadata.name: "shop-migrate-12" does not end in a timestamp"#]
    );
}

#[test]
fn tells_the_prefix_before_and_after_generation() {
    for name in [json!(null), json!("shop-migrate-x7k2p")] {
        let found = findings(
            "MW001",
            &job(|j| {
                j["metadata"]["name"] = name;
                j["metadata"]["generateName"] = json!("shop-migrate-");
                j["metadata"]["managedFields"] = json!([{"manager": "ci"}]);
            }),
        );
        assert_eq!(
            found,
            [
                r#"metadata.name: generateName "shop-migrate-" has no timestamp before the generated characters"#
            ]
        );
    }
}

/// The name that the patch gives, without its timestamp, and the message if it gives none.
fn stamped(generate_name: &str) -> Result<String, String> {
    let job = job(|j| {
        j["metadata"]["name"] = json!(null);
        j["metadata"]["generateName"] = json!(generate_name);
        j["metadata"]["managedFields"] = json!([{"manager": "ci"}]);
    });
    let found = testing::report("MW001", &job).pop().unwrap();
    match found.fix.map(|fix| fix.value) {
        Some(Replacement::Stamped(prefix)) => Ok(prefix),
        _ => Err(found.detail),
    }
}

#[test]
fn what_becomes_a_valid_name_is_patched() {
    let (long, dotted) = ("x".repeat(60), "a".repeat(51));
    for (generate_name, prefix) in [
        ("shop-", "shop-".to_owned()),
        ("shop.", "shop-".to_owned()),
        ("shop-.-", "shop-".to_owned()),
        ("shop.migrate.", "shop.migrate-".to_owned()),
        ("a-2026-", "a-2026-".to_owned()),
        (&format!("{long}-"), format!("{}-", &long[..52])),
        (&format!("{dotted}.b-"), format!("{dotted}-")),
        (&format!("{dotted}.bbbbbbbb"), format!("{dotted}-")),
    ] {
        assert_eq!(stamped(generate_name), Ok(prefix), "{generate_name}");
    }
}

#[test]
fn what_does_not_is_told_why() {
    for generate_name in [
        "Shop-", "-", "--", ".", "-shop-", "a..b-", "a b-", "a.-b-", "é-",
    ] {
        assert_eq!(
            stamped(generate_name),
            Err(format!(
                "generateName {generate_name:?} has no timestamp before the generated characters, and \
                 appending one does not make a valid name: write lower-case letters, digits, '-' and '.', and begin with a letter \
                 or digit"
            ))
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_patch_makes_an_invalid_name(generate_name in "[-.a-z0-9A-Zé]{1,80}") {
        if let Ok(prefix) = stamped(&generate_name) {
            let name = format!("{prefix}1766361600");
            proptest::prop_assert!(is_subdomain(&name) && name.len() <= MAX_LABEL, "{}", name);
        }
    }
}
