//! Names, images and annotations at the edges of what the engine takes.

use jiff::Timestamp;
use serde_json::json;

use super::{EVERYTHING, Told, job, net_and_engine_agree};
use crate::agree::Case;
use crate::harness::{Net, Space};

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

/// A name that the API server made of `generateName` is fine for hooks of Argo CD, by either kind of annotation.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_knows_the_hooks_of_argo_cd() {
    let case = |annotations: &[(&str, &str)], generate: &str| {
        job(format!("{annotations:?} and {generate}"), |j| {
            let metadata = &mut j["metadata"];
            metadata.as_object_mut().unwrap().remove("name");
            metadata["generateName"] = json!(generate);
            let hooks = metadata["annotations"].as_object_mut().unwrap();
            hooks.remove("helm.sh/hook");
            hooks.extend(
                annotations
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), json!(value))),
            );
        })
    };
    let own = ("argocd.argoproj.io/hook", "PreSync");
    let helms = ("helm.sh/hook", "pre-install,pre-upgrade");
    let tracked = ("argocd.argoproj.io/tracking-id", "shop:batch/Job:shop/x");
    let mut cases = Vec::new();
    for generate in ["shop-migrate-", "shop-migrate-1766361600-"] {
        for annotations in [
            &[own][..],
            &[helms],
            &[tracked],
            &[own, tracked],
            &[helms, tracked],
            &[own, helms],
            &[own, helms, tracked],
        ] {
            cases.push(case(annotations, generate));
        }
    }
    net_and_engine_agree(EVERYTHING, &cases, 14);
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
            let tried = space.try_to_create(&case.manifest);
            let told = Told::by_apiserver(&tried, space.name()).denied;
            let expected = (!fresh).then(|| "MW005".to_owned());
            assert_eq!(told, expected, "{offset} s, {form}: {tried:?}");
        }
    }
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_reads_restarts_and_retries_as_the_engine_does() {
    let codes = |action: &str, operator: &str, values: &[u8], only: Option<&str>| {
        let mut codes = json!({"operator": operator, "values": values});
        if let Some(name) = only {
            codes["containerName"] = json!(name);
        }
        json!({"action": action, "onExitCodes": codes})
    };
    let evicted = |action: &str| json!({"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
    let every = codes("FailJob", "NotIn", &[0], None);
    let policies = [
        json!([]),
        json!([every]),
        json!([evicted("Ignore"), every]),
        json!([every, evicted("Ignore")]),
        json!([evicted("FailJob"), every]),
        json!([evicted("Ignore")]),
        json!([evicted("Count")]),
        json!([codes("FailJob", "NotIn", &[0, 7], None)]),
        json!([codes("FailJob", "In", &[1, 2], None), evicted("Ignore")]),
        json!([evicted("FailJob"), evicted("Ignore")]),
        json!([
            codes("FailJob", "In", &[1, 2], None),
            codes("Ignore", "In", &[2], None)
        ]),
        json!([
            codes("FailJob", "In", &[1, 2], None),
            codes("Ignore", "In", &[2, 3], None)
        ]),
        json!([
            codes("FailJob", "In", &[1], None),
            codes("FailJob", "NotIn", &[0, 1], None)
        ]),
        json!([
            codes("FailJob", "NotIn", &[0, 9], None),
            codes("Count", "NotIn", &[0, 9, 7], None)
        ]),
        json!([codes("Count", "In", &[42], None), every]),
        json!([codes("Ignore", "In", &[42], Some("init")), every]),
        json!([codes("FailJob", "NotIn", &[0], Some("migrate"))]),
        json!([codes("FailJob", "NotIn", &[0], Some("init"))]),
        json!([
            codes("FailJob", "NotIn", &[0], Some("init")),
            codes("FailJob", "NotIn", &[0], Some("migrate"))
        ]),
    ];
    let mut cases = Vec::new();
    for rules in policies {
        for limit in [0, 3] {
            for policy in [
                json!(null),
                json!("Always"),
                json!("Never"),
                json!("OnFailure"),
            ] {
                let init =
                    json!([{"name": "init", "image": "busybox@sha256:0", "restartPolicy": policy}]);
                cases.push(job(format!("{rules} {limit} {policy}"), |j| {
                    j["spec"]["backoffLimit"] = json!(limit);
                    j["spec"]["podFailurePolicy"] = json!({"rules": rules});
                    j["spec"]["template"]["spec"]["initContainers"] = init;
                }));
            }
        }
    }
    let restart = |action: &str, operator: &str, values: &[u8]| json!([{"action": action, "exitCodes": {"operator": operator, "values": values}}]);
    for rules in [
        json!(null),
        restart("Restart", "In", &[42]),
        restart("Restart", "In", &[]),
        restart("Restart", "NotIn", &[]),
        restart("RestartAllContainers", "In", &[1]),
    ] {
        for (list, policy) in ["containers", "initContainers"]
            .iter()
            .flat_map(|list| ["Always", "Never", "OnFailure"].map(|policy| (list, policy)))
        {
            cases.push(job(format!("{list} {policy} {rules}"), |j| {
                let pod = &mut j["spec"]["template"]["spec"];
                pod["initContainers"] = json!([{"name": "init", "image": "busybox@sha256:0"}]);
                pod[*list][0]["restartPolicy"] = json!(policy);
                pod[*list][0]["restartPolicyRules"] = rules.clone();
            }));
        }
    }
    for (completions, parallelism) in [(0, 0), (0, 1), (1, 0), (2, 1)] {
        cases.push(job(format!("{completions} {parallelism}"), |j| {
            j["spec"]["completions"] = json!(completions);
            j["spec"]["parallelism"] = json!(parallelism);
        }));
    }
    net_and_engine_agree(EVERYTHING, &cases, 100);
}
