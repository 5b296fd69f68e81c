//! What Flux's kustomize-controller applies runs no hook, and is not run a second time.

use super::guarded;
use crate::deployers::assert_left_alone;
use crate::harness::Chart;

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn its_job_runs_to_its_end_and_stays() {
    let space = guarded("");
    let manifest = Chart::good()
        .with("-migrate-{{ now | unixEpoch }}", "-migrate")
        .with(
            "  labels:\n",
            "  labels:\n    kustomize.toolkit.fluxcd.io/name: shop\n",
        )
        .without("helm.sh/hook")
        .with("  annotations:\n", "")
        .render("app");
    let apply = || {
        let args = [
            "apply",
            "--server-side",
            "--field-manager=kustomize-controller",
            "-f",
            "-",
        ];
        space.kubectl_with(&args, &manifest).succeeds()
    };
    apply()
        .warns("MW002 metadata.annotations['helm.sh/hook']: ")
        .warns("Flux's kustomize-controller deploys this Job");
    let wait = [
        "wait",
        "--for=condition=Complete",
        "--timeout=60s",
        "job/app-migrate",
    ];
    space.kubectl(&wait).succeeds();
    let log = space.kubectl(&["logs", "job/app-migrate"]).succeeds();
    assert_eq!(log.stdout, "migrated\n");
    // Its next reconciliation finds the Job as it made it.
    let uid = space.get("job", "app-migrate")["metadata"]["uid"].clone();
    apply();
    let job = space.get("job", "app-migrate");
    assert_eq!(job["metadata"]["uid"], uid);
    let decision = space.decision("app-migrate");
    assert_left_alone(&job, &decision, "kustomize-controller");
}
