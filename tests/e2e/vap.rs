//! The generated `ValidatingAdmissionPolicy` alone, on a real apiserver, says what the engine says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use migration_warden::policy::rule::{Cel, Rule};
use serde_json::{Value, json};

use crate::agree::{Case, cases};
use crate::harness::{Net, Outcome, Space, check, eventually};

/// Every rule denies but the one whose findings change with the clock.
const EVERYTHING: &str = "profile: strict
rules:
  stale-timestamp: off
  blocking-sidecar: deny
  evictable-migration: deny
  opaque-release: deny
";

/// What the apiserver makes of a Job, without judging unknown fields: neither does the engine.
const CREATE: [&str; 5] = ["create", "--dry-run=server", "--validate=ignore", "-f", "-"];

/// The rules that the apiserver tells of: in its denial the first, in its warnings all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    denied: Option<String>,
    warned: BTreeSet<String>,
}

impl Told {
    /// Of what the policy of this name says; others may stand in the cluster.
    fn by_apiserver(created: &Outcome, name: &str) -> Self {
        let id = |text: &str| text.chars().take(5).collect();
        let mut told = Self::default();
        let ours = format!("ValidatingAdmissionPolicy '{name}' with");
        for line in created.stderr.lines().filter(|line| line.contains(&ours)) {
            if let Some((_, message)) = line.split_once(" denied request: ") {
                told.denied = Some(id(message));
            } else if line.starts_with("Warning: Validation failed for ") {
                told.warned.insert(id(line.split_once("': ").unwrap().1));
            }
        }
        told
    }

    /// What the engine denies of the rules that the net has.
    fn by_engine(policy: &str, manifest: &str) -> Self {
        let report = check(policy, manifest);
        assert!(matches!(report.code, Some(0 | 1)), "{report}");
        let report = report.json();
        let findings = report["findings"].as_array().unwrap().iter();
        let ids = findings
            .filter(|finding| finding["action"] == "deny")
            .filter_map(|finding| finding["rule"].as_str())
            .filter(|id| matches!(Rule::find(id).unwrap().cel, Cel::Expression(_)));
        Self {
            denied: ids.clone().next().map(str::to_owned),
            warned: ids.map(str::to_owned).collect(),
        }
    }
}

/// Sends every case and compares.
fn net_and_engine_agree(policy: &str, cases: &[Case], at_least: usize) {
    let space = Space::new();
    let _net = Net::below(&space, policy, "Deny").and_warns(&space);

    let mut judged: BTreeMap<String, usize> = BTreeMap::new();
    let (mut refused, mut wrong) = (Vec::new(), Vec::new());
    for Case { origin, manifest } in cases {
        let created = space.kubectl_with(&CREATE, manifest);
        let told = Told::by_apiserver(&created, space.name());
        if created.code != Some(0) && told.denied.is_none() {
            let reason = created.stderr.trim().replace('\n', " ");
            // Only what the apiserver itself takes for invalid never comes to the policy.
            assert!(reason.contains(" is invalid: "), "{origin}: {reason}");
            refused.push(format!("{origin}: {reason}"));
            continue;
        }
        let engine = Told::by_engine(policy, manifest);
        if told != engine {
            let said = created.stderr.trim();
            wrong.push(format!(
                "{origin}\n  engine: {engine:?}\n  net: {told:?}\n{said}"
            ));
        }
        for id in told.warned {
            *judged.entry(id).or_default() += 1;
        }
    }
    eprintln!(
        "{judged:?} of {}; the apiserver itself refused:\n{}",
        cases.len(),
        refused.join("\n")
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let sent = cases.len() - refused.len();
    assert!(sent >= at_least, "only {sent} judged");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_agrees_with_the_engine_on_what_passes() {
    net_and_engine_agree(EVERYTHING, &cases("pass"), 50);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_agrees_with_the_engine_on_what_fails() {
    net_and_engine_agree(EVERYTHING, &cases("fail"), 50);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_agrees_with_the_engine_on_real_charts() {
    net_and_engine_agree(EVERYTHING, &cases("charts"), 30);
    net_and_engine_agree("", &cases("charts"), 30);
}

/// The valid Job with one thing changed.
fn job(origin: impl Into<String>, tweak: impl FnOnce(&mut Value)) -> Case {
    let mut job: Value =
        serde_saphyr::from_str(include_str!("../fixtures/valid_job.yaml")).unwrap();
    job["metadata"].as_object_mut().unwrap().remove("namespace");
    tweak(&mut job);
    Case {
        origin: origin.into(),
        manifest: job.to_string(),
    }
}

fn annotated(key: &str, values: &[&str]) -> Vec<Case> {
    let case = |value: &&str| {
        job(format!("{key}: {value:?}"), |j| {
            j["metadata"]["annotations"][key] = json!(value);
        })
    };
    values.iter().map(case).collect()
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_reads_annotations_as_helm_does() {
    let mut cases = annotated(
        "helm.sh/hook",
        &[
            " Pre-Install ,\u{a0}PRE-UPGRADE\t",
            "PRE-\u{130}NSTALL,pre-upgrade",
            "pre-\u{ef}nstall,pre-upgrade",
            "pre-install,pre-upgrade,",
            "pre-install,pre-upgrade,test,Test-Success",
            "pre-install,pre-upgrade,PRE-install",
            "pre-install,pre-upgrade,crd-install,crd-install",
            "pre-install,\u{200b}pre-upgrade",
            "pre-install pre-upgrade",
            "",
        ],
    );
    cases.extend(annotated(
        "helm.sh/hook-delete-policy",
        &[
            "hoo\u{212a}-Succeeded,before-hook-creation,hook-succeeded",
            "before-hook-creation,hook-succeeded,",
            "before-hook-creation",
            "hook-succeeded,before-hook-creation,hook-failed",
        ],
    ));
    cases.extend(annotated(
        "helm.sh/hook-weight",
        &[
            "0",
            "-5",
            "+5",
            "-0",
            "0005",
            "",
            "+",
            " 5",
            "0x5",
            "1_0",
            "\u{663}",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "-9223372036854775809",
            "+00000000009223372036854775807",
            "10000000000000000000",
            "5\n",
        ],
    ));
    net_and_engine_agree(EVERYTHING, &cases, 30);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_reads_argo_cds_annotations_where_the_policy_says_so() {
    let policy = format!(
        "{EVERYTHING}  missing-hook: {{argocd: true}}\n  wrong-delete-policy: {{argocd: true}}\n"
    );
    let case = |hook: &str, delete: &str| {
        job(format!("{hook:?} and {delete:?}"), |j| {
            j["metadata"]["annotations"] = json!({
                "argocd.argoproj.io/hook": hook,
                "argocd.argoproj.io/hook-delete-policy": delete,
            });
        })
    };
    let both = "HookSucceeded, BeforeHookCreation";
    let cases = [
        case("PreSync", both),
        case("Sync, PreSync ", both),
        case("presync", both),
        case("", both),
        case("PreSync", "HookSucceeded"),
        case("PreSync", "HookSucceeded,BeforeHookCreation,HookFailed"),
        case("PreSync", "hooksucceeded,beforehookcreation"),
    ];
    net_and_engine_agree(&policy, &cases, 7);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_reads_names_and_images_as_the_engine_does() {
    let mut cases: Vec<_> = [
        "m-1766361600",
        "m-1420070399",
        "m-1420070400",
        "m-4102444799",
        "m-4102444800",
        "m-1420070399999",
        "m-1420070400000",
        "m-4102444799999",
        "m-4102444800000",
        "m-20251222000000",
        "m-20251222-235959",
        "m-20251222t000000z",
        "m-2025-12-22-00-00-00",
        "m-20251222t000000",
        "m-20251222000000z",
        "m-20141231235959",
        "m-21000101000000",
        "m-20240229000000",
        "m-20250229000000",
        "m-20250431000000",
        "m-20251301000000",
        "m-20251222240000",
        "m-20251222006000",
        "m-2025-12-22-00-00",
        "m-12-1766361600",
        "m1766361600",
        "1766361600",
        "m-17663616001",
        "m-1766361600-x",
        "m.1766361600",
        "m-1766361600123456",
    ]
    .iter()
    .map(|name| job(*name, |j| j["metadata"]["name"] = json!(name)))
    .collect();
    let long = |stem: usize| format!("{}-1766361600-", "a".repeat(stem));
    for (name, generate) in [
        (json!(null), "m-1766361600-".to_owned()),
        (json!(null), "m-1766361600".to_owned()),
        (json!(null), "m-20251222-000000-".to_owned()),
        (json!(null), "m-".to_owned()),
        (json!(null), "m-1766361600--".to_owned()),
        (json!(null), long(46)),
        (json!(null), long(47)),
        (json!("m-1766361600-x7k2p"), "m-1766361600-".to_owned()),
        (json!("m-x7k2p"), "m-".to_owned()),
        (json!("m-1766361600"), "m-17663".to_owned()),
        (json!("other-1766361600-x7k2p"), "m-1766361600-".to_owned()),
    ] {
        cases.push(job(format!("{name} from {generate:?}"), |j| {
            j["metadata"]["name"] = name;
            j["metadata"]["generateName"] = json!(generate);
        }));
    }
    for image in [
        "a",
        "a:",
        "a:1",
        "a:latest",
        "a:latest1",
        "r:5000/a",
        "r:5000/a:1",
        "r:5000/a:latest",
        "r/a:latest@sha256:1",
        "a@sha256:1",
        "r:1/b/a:x",
        "a:b:c",
        "a:latest:c",
    ] {
        cases.push(job(format!("image {image:?}"), |j| {
            j["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        }));
        cases.push(job(format!("init image {image:?}"), |j| {
            j["spec"]["template"]["spec"]["initContainers"] =
                json!([{"name": "init", "image": image}]);
        }));
    }
    net_and_engine_agree(EVERYTHING, &cases, 60);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_time_is_compared_with_the_apiservers() {
    let policy = "rules: {stale-timestamp: deny}\n";
    let space = Space::new();
    let _net = Net::below(&space, policy, "Deny");
    let (hour, minute) = (3600, 60);
    let now = Timestamp::now().as_second();
    for (offset, exact, local) in [
        (0, true, true),
        (-23 * hour, true, true),
        (-25 * hour, false, true),
        (-37 * hour, false, true),
        (-39 * hour, false, false),
        (14 * minute, true, true),
        (17 * minute, false, true),
        (14 * hour, false, true),
        (15 * hour, false, false),
    ] {
        let time = Timestamp::from_second(now + offset).unwrap();
        for (form, fresh) in [
            ("%s", exact),
            ("%s123", exact),
            ("%Y%m%dt%H%M%Sz", exact),
            ("%Y%m%d-%H%M%S", local),
            ("%Y%m%d%H%M%S", local),
            ("%Y-%m-%d-%H-%M-%S", local),
        ] {
            let name = format!("m-{}", time.strftime(form));
            let case = job(&name, |j| j["metadata"]["name"] = json!(name));
            let created = space.kubectl_with(&CREATE, &case.manifest);
            let told = Told::by_apiserver(&created, space.name()).denied;
            let expected = (!fresh).then(|| "MW005".to_owned());
            assert_eq!(told, expected, "{offset} s, {form}: {created}");
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_is_never_stricter_than_the_namespace_or_the_action() {
    let space = Space::new();
    let policy = format!(
        "rules: {{retried-migration: audit}}\nnamespaces:\n  - {{names: [\"{}*\"], mode: audit}}\n",
        &space.name()[..space.name().len() - 1]
    );
    let label = |mode: &str| {
        let label = format!("migration-warden.io/mode{mode}");
        let args = ["label", "--overwrite", "namespace", space.name(), &label];
        space.kubectl(&args).succeeds();
    };
    // Breaks a rule of each action: MW004 is denied, MW008 warned of, MW006 audited.
    let broken = job("", |j| {
        j["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
        j["spec"]["parallelism"] = json!(2);
        j["spec"]["backoffLimit"] = json!(1);
    });
    label("=enforce");
    let _net = Net::below(&space, &policy, "Deny");
    let told = |mode: &str, denied: bool, warned: bool| {
        label(mode);
        eventually(&format!("mode{mode} to be seen"), || {
            let created = space.kubectl_with(&CREATE, &broken.manifest);
            assert!(!created.stderr.contains("MW006"), "{created}");
            let says = |text: &str| created.stderr.contains(text);
            (says("denied request: MW004") == denied && says("-warn': MW008") == warned)
                .then_some(())
        });
    };
    told("=enforce", true, true);
    told("=warn", false, true);
    told("=off", false, false);
    told("=of", true, true);
    told("=audit", false, false);
    told("=enforce", true, true);
    // Without a label the policy's own entry counts.
    told("-", false, false);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_job_that_is_no_migration_is_let_through() {
    let space = Space::new();
    let _net = Net::below(&space, EVERYTHING, "Deny");
    for labels in [
        json!({"app.kubernetes.io/component": "migration", "migration-warden.io/migration": "false"}),
        json!({"app.kubernetes.io/component": "web"}),
        json!({"app": "shop"}),
    ] {
        let manifest = job("", |j| {
            j["metadata"]["name"] = json!("shop");
            j["metadata"]["labels"] = labels;
        });
        space.kubectl_with(&CREATE, &manifest.manifest).succeeds();
    }
    // Where the Job has no labels, Kubernetes gives it those of its pods.
    let inherited = job("", |j| {
        j["metadata"]["name"] = json!("shop");
        j["metadata"].as_object_mut().unwrap().remove("labels");
        j["spec"]["template"]["metadata"]["labels"] =
            json!({"app.kubernetes.io/component": "migration"});
    });
    let refused = space.kubectl_with(&CREATE, &inherited.manifest).fails();
    refused.says("denied request: MW001");
}

/// The apiserver compares every expression with the types of a Job, and tells what does not fit.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn every_expression_passes_the_apiservers_type_check() {
    let selectors = r#"match:
  selectors:
    - matchLabels: {app: migration, tier: "it's"}
      matchExpressions:
        - {key: a.example/in, operator: In, values: [b, 'c\d']}
        - {key: a.example/not-in, operator: NotIn, values: [b, c]}
        - {key: a.example/exists, operator: Exists}
        - {key: a.example/absent, operator: DoesNotExist}
    - matchLabels: {migration: "yes"}
"#;
    let options = "rules:
  missing-hook: {argocd: true}
  wrong-delete-policy: {argocd: true}
  stale-timestamp: {action: deny, maxAge: 10000000h, maxSkew: 500ms}
namespaces:
  - {names: [sandbox-*, 'a.b'], mode: audit}
  - {names: ['*'], mode: warn}
";
    for policy in [
        "",
        "profile: strict\n",
        EVERYTHING,
        "profile: audit\n",
        selectors,
        options,
    ] {
        let space = Space::new();
        let net = Net::apply(&space, policy, "Warn,Audit");
        for policy in net.policies() {
            let name = policy["metadata"]["name"].as_str().unwrap();
            let (stored, warnings) = type_check(&space, name);
            assert_eq!(warnings, Value::Null, "{policy:#}");
            for part in ["validations", "variables", "matchConditions"] {
                assert_eq!(stored["spec"][part], policy["spec"][part], "{name} {part}");
            }
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_apiservers_type_check_finds_what_does_not_fit() {
    let space = Space::new();
    let net = Net::apply(&space, "", "Warn,Audit");
    let patch = json!([{
        "op": "replace",
        "path": "/spec/validations/0/expression",
        "value": "object.spec.suspended == true",
    }])
    .to_string();
    let kind = "validatingadmissionpolicy";
    let args = [
        "patch",
        kind,
        space.name(),
        "--type=json",
        "--patch",
        &patch,
    ];
    space.kubectl(&args).succeeds();
    let (_, warnings) = type_check(&space, space.name());
    assert!(
        warnings.to_string().contains("undefined field 'suspended'"),
        "{warnings}"
    );
    drop(net);
}

/// The policy as it is stored, and what the apiserver's type check says of it.
fn type_check(space: &Space, name: &str) -> (Value, Value) {
    let stored = eventually("the type check", || {
        let policy = space.get("validatingadmissionpolicy", name);
        let checked = &policy["status"]["observedGeneration"];
        (checked == &policy["metadata"]["generation"]).then_some(policy)
    });
    let warnings = stored["status"]["typeChecking"]["expressionWarnings"].clone();
    (stored, warnings)
}
