//! What the patch changes, and what is denied because nothing can be patched.

use super::*;

#[test]
fn patches_apply_to_the_object_as_received_and_only_once() {
    let patching = policy(
        "rules: {restarting-pod: patch, wrong-delete-policy: patch, untimestamped-name: patch}\n",
    );
    let bad = changed(|job| {
        let metadata = job["metadata"].as_object_mut().unwrap();
        metadata.remove("name");
        metadata.insert("generateName".into(), json!("shop-migrate-"));
        metadata["annotations"] = json!({"helm.sh/hook": "pre-upgrade,pre-install"});
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    });
    let (answer, response) = ask(Mutate, &bad, &patching);
    assert_eq!(
        (answer.outcome, &response["allowed"]),
        (Outcome::Patched, &json!(true))
    );
    let good = patched(&bad, &response);
    let object = &good["request"]["object"];
    assert_eq!(object["metadata"]["name"], "shop-migrate-1766361605");
    assert_eq!(
        object["metadata"]["annotations"]["helm.sh/hook-delete-policy"],
        "before-hook-creation,hook-succeeded"
    );
    assert_eq!(object["spec"]["template"]["spec"]["restartPolicy"], "Never");
    let warnings = response["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 3);
    assert_eq!(
        warnings[2],
        "MW004 spec.template.spec.restartPolicy: patched; in the chart, write restartPolicy: Never in the pod template"
    );
    // Three corrections, the stamp, the time to live.
    assert_eq!(line(&answer)["patch"].as_array().map(Vec::len), Some(5));
    let stamp = &object["metadata"]["annotations"]["migration-warden.io/patched"];
    assert_eq!(stamp, "MW001,MW003,MW004");
    // Another mutating webhook may have it sent again.
    let (again, response) = ask(Mutate, &good, &patching);
    assert_eq!(again.outcome, Outcome::Allowed);
    assert!(response["patch"].is_null());
    assert_eq!(ask(Validate, &good, &patching).0.outcome, Outcome::Allowed);
}

/// Nothing was wrong with the Job, so nobody is told; but what was changed is written down.
#[test]
fn a_hook_job_gets_a_time_to_live() {
    let patch = |review: &Value, policy: &Policy| {
        let (answer, response) = ask(Mutate, review, policy);
        assert_eq!(answer.outcome, Outcome::Allowed);
        assert!(response["warnings"].is_null(), "{response:#}");
        let patch = answer.line.as_deref().map(|line| {
            let line: Value = serde_json::from_slice(line).unwrap();
            if !line["patch"].is_null() {
                patched(review, &response);
            }
            line["patch"].clone()
        });
        patch.unwrap_or_default()
    };
    let ttl = |seconds: u32| json!([{"op": "add", "path": "/spec/ttlSecondsAfterFinished", "value": seconds}]);
    let good = review(&job());
    assert_eq!(patch(&good, &policy("")), ttl(604_800));
    let day = policy("tidyUp: {ttlSecondsAfterFinished: 86400}\n");
    assert_eq!(patch(&good, &day), ttl(86_400));
    for none in [
        "tidyUp: {ttlSecondsAfterFinished: 0}\n",
        "tidyUp: {mode: dry-run}\n",
        "tidyUp: {mode: false}\n",
        "namespaces: [{names: [shop], mode: warn}]\n",
    ] {
        assert_eq!(patch(&good, &policy(none)), json!(null), "{none}");
    }
    for other in [
        changed(|job| job["spec"]["ttlSecondsAfterFinished"] = json!(7200)),
        changed(|job| job["metadata"]["labels"]["migration-warden.io/migration"] = json!("false")),
    ] {
        assert_eq!(patch(&other, &policy("")), json!(null), "{other}");
    }
    let hooks_off = policy("rules: {missing-hook: off, wrong-delete-policy: off}\n");
    let plain = changed(|job| job["metadata"]["annotations"] = json!({}));
    assert_eq!(patch(&plain, &hooks_off), json!(null));
}

#[test]
fn what_cannot_be_patched_is_denied_without_a_patch() {
    let patching = policy("rules: {restarting-pod: patch, untimestamped-name: patch}\n");
    let restarting =
        changed(|job| job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always"));
    // The validating phase cannot patch, and a finding that is still there was not repaired.
    assert_eq!(
        ask(Validate, &restarting, &patching).0.outcome,
        Outcome::Denied
    );
    // Not a hook: its template is immutable, and the next apply would undo the patch.
    let plain = changed(|job| {
        job["metadata"]["annotations"] = json!({});
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    });
    let hooks_off =
        policy("rules: {restarting-pod: patch, missing-hook: off, wrong-delete-policy: off}\n");
    assert_eq!(ask(Mutate, &plain, &hooks_off).0.outcome, Outcome::Denied);
    // A named Job without the option.
    let named = changed(|job| {
        job["metadata"]["name"] = json!("shop-migrate");
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    });
    let (answer, response) = ask(Mutate, &named, &patching);
    assert_eq!(answer.outcome, Outcome::Denied);
    assert!(response["patch"].is_null());
}

#[test]
fn a_job_is_renamed_only_where_nobody_looks_for_the_old_name() {
    let renaming = policy("rules:\n  untimestamped-name: {action: patch, rename: true}\n");
    let named = |tweak: fn(&mut Value)| {
        changed(|job| {
            job["metadata"]["name"] = json!("shop-migrate");
            tweak(job);
        })
    };
    let plain = named(|_| ());
    let (_, response) = ask(Mutate, &plain, &renaming);
    let renamed = patched(&plain, &response);
    assert_eq!(
        renamed["request"]["object"]["metadata"]["name"],
        "shop-migrate-1766361605"
    );
    let long = changed(|job| job["metadata"]["name"] = json!("a-".repeat(30)));
    let (_, response) = ask(Mutate, &long, &renaming);
    let name = patched(&long, &response)["request"]["object"]["metadata"]["name"].clone();
    assert_eq!(name, format!("{}a-1766361605", "a-".repeat(25)));
    for tweak in [
        |job: &mut Value| job["metadata"]["managedFields"][0]["operation"] = json!("Apply"),
        |job: &mut Value| job["metadata"]["managedFields"] = json!([]),
        |job: &mut Value| {
            job["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
                json!("shop:batch/Job:shop/x");
        },
    ] {
        assert_eq!(
            ask(Mutate, &named(tweak), &renaming).0.outcome,
            Outcome::Denied
        );
    }
    // What kubectl applies is no hook, and is not patched at all.
    let applied = named(|job| {
        job["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
            json!("{}");
    });
    let (answer, response) = ask(Mutate, &applied, &renaming);
    assert_eq!(answer.outcome, Outcome::Warned);
    let left = patched(&applied, &response);
    assert_eq!(
        left["request"]["object"]["metadata"]["name"],
        "shop-migrate"
    );
}

#[test]
fn maps_that_are_absent_or_null_are_no_obstacle() {
    let patching = policy(
        "rules: {restarting-pod: patch, untimestamped-name: patch, wrong-delete-policy: patch}\n\
         match: {selectors: [{matchExpressions: [{key: nope, operator: DoesNotExist}]}]}\n",
    );
    for (annotations, labels) in [(None, None), (Some(Value::Null), Some(Value::Null))] {
        let bare = changed(|job| {
            let metadata = job["metadata"].as_object_mut().unwrap();
            metadata.remove("annotations");
            metadata.remove("labels");
            metadata.remove("managedFields");
            metadata.extend(annotations.map(|value| ("annotations".to_owned(), value)));
            metadata.extend(labels.map(|value| ("labels".to_owned(), value)));
        });
        let (answer, _) = ask(Mutate, &bare, &patching);
        assert_eq!(
            answer.outcome,
            Outcome::Denied,
            "no hook, so nothing is patched"
        );
        assert_eq!(
            answer
                .findings
                .iter()
                .filter(|(id, _)| *id == "MW003")
                .count(),
            1
        );
    }
}

/// A time to live would make it run again each week, and a patch would fight the next apply.
#[test]
fn what_its_deployer_keeps_as_desired_state_is_warned_of_once_and_left_alone() {
    let broken = |tweak: &dyn Fn(&mut Value)| {
        changed(|job| {
            job["metadata"]["name"] = json!("shop-migrate");
            job["metadata"]["annotations"] = json!({"helm.sh/hook": "test,test,x"});
            tweak(job);
        })
    };
    let by_label = broken(&|job| {
        job["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] = json!("shop");
    });
    let by_manager = broken(&|job| {
        job["metadata"]["managedFields"][0]["manager"] = json!("kustomize-controller");
    });
    let applied = broken(&|job| {
        job["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
            json!("{}");
    });
    let mut by_options = broken(&|_| {});
    by_options["request"]["options"]["fieldManager"] = json!("kubectl-create");
    for (deployer, review) in [
        ("kustomize-controller", by_label),
        ("kustomize-controller", by_manager),
        ("kubectl", applied),
        ("kubectl", by_options),
    ] {
        for rules in [
            "",
            "profile: strict\n",
            "rules: {wrong-delete-policy: patch, untimestamped-name: patch}\n",
        ] {
            let (answer, response) = ask(Mutate, &review, &policy(rules));
            assert!(answer.line.is_none(), "{response}");
            assert!(
                !patched(&review, &response)
                    .to_string()
                    .contains("ttlSecondsAfterFinished")
            );
            let (answer, response) = ask(Validate, &review, &policy(rules));
            assert_eq!(response["allowed"], true, "{response}");
            let warnings = response["warnings"].as_array().unwrap();
            let ours = |w: &&Value| {
                w.as_str()
                    .unwrap()
                    .starts_with("MW002 metadata.annotations['helm.sh/hook']: ")
            };
            assert_eq!(warnings.iter().filter(ours).count(), 1, "{response}");
            assert!(warnings[0].as_str().unwrap().chars().count() <= 256);
            let line = line(&answer);
            assert_eq!(line["deployer"], deployer, "{line}");
            let hooks = [
                "MW001", "MW003", "MW014", "MW015", "MW016", "MW017", "MW023",
            ];
            let found = line["findings"].as_array().unwrap().iter();
            assert!(
                found
                    .clone()
                    .all(|f| !hooks.contains(&f["rule"].as_str().unwrap())),
                "{line}"
            );
        }
    }
    let mut own = changed(|job| job["metadata"]["managedFields"][0]["manager"] = json!("werf"));
    own["request"]["options"]["fieldManager"] = json!("werf");
    let (answer, response) = ask(Mutate, &own, &policy(""));
    assert!(
        patched(&own, &response)
            .to_string()
            .contains("ttlSecondsAfterFinished")
    );
    assert_eq!(line(&answer)["deployer"], "helm");
}
