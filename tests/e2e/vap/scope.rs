//! Which Jobs are judged, and how strictly.

use serde_json::{Value, json};

use super::{EVERYTHING, job};
use crate::harness::{Net, Space, eventually};

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
            let tried = space.try_to_create(&broken.manifest);
            let warnings = tried.warnings.join("\n");
            assert!(
                !tried.refusal.contains("MW006") && !warnings.contains("MW006"),
                "{tried:?}"
            );
            let is_denied = tried.refusal.contains("denied request: MW004");
            (is_denied == denied && warnings.contains("-warn': MW008") == warned).then_some(())
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
        assert_eq!(space.try_to_create(&manifest.manifest).refusal, "");
    }
    // Where the Job has no labels, Kubernetes gives it those of its pods.
    let inherited = job("", |j| {
        j["metadata"]["name"] = json!("shop");
        j["metadata"].as_object_mut().unwrap().remove("labels");
        j["spec"]["template"]["metadata"]["labels"] =
            json!({"app.kubernetes.io/component": "migration"});
    });
    let tried = space.try_to_create(&inherited.manifest);
    assert!(tried.refusal.contains("denied request: MW001"), "{tried:?}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_namespaces_mesh_is_known() {
    let space = Space::new();
    let _net = Net::below(&space, EVERYTHING, "Deny");
    let tells = |what: &str, annotations: Value, blocked: bool| {
        // The valid Job declines both meshes.
        let job = job("", |j| {
            let metadata = &mut j["spec"]["template"]["metadata"];
            *metadata = json!({"annotations": annotations});
            metadata["annotations"]["karpenter.sh/do-not-disrupt"] = json!("true");
        });
        eventually(&format!("{what} to be seen"), || {
            let tried = space.try_to_create(&job.manifest);
            (tried.refusal.contains("denied request: MW019") == blocked).then_some(())
        });
    };
    let set = |verb: &str, change: &str| {
        let args = [verb, "--overwrite", "namespace", space.name(), change];
        space.kubectl(&args).succeeds();
    };
    set("annotate", "linkerd.io/inject=enabled");
    tells("linkerd", json!({}), true);
    tells("declined", json!({"linkerd.io/inject": "disabled"}), false);
    let native = json!({"config.beta.linkerd.io/proxy-enable-native-sidecar": "true"});
    tells("native", native.clone(), false);
    let key = "config.alpha.linkerd.io/proxy-enable-native-sidecar";
    set("annotate", &format!("{key}=true"));
    tells("native by the namespace", json!({}), false);
    set("annotate", &format!("{key}=false"));
    tells("no longer", json!({}), true);
    set("label", "istio.io/rev=stable");
    tells("istio, which wins over linkerd", native, true);
    tells(
        "declined",
        json!({"sidecar.istio.io/inject": "false"}),
        false,
    );
    set("label", "istio-injection=disabled");
    set("annotate", "linkerd.io/inject=disabled");
    tells("none", json!({}), false);
    set("label", "istio-injection=enabled");
    tells("istio", json!({}), true);
}
