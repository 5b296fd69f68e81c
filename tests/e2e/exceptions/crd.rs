//! The CRDs of the whole cluster: who has them, and what becomes of them with the chart.

use std::{
    fs,
    process::Command,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BROKEN, condition, create, event, exception, guarded};
use crate::harness::{CHART, Chart, Cluster, Guarded, Helm, Outcome, Space, Warden, eventually};
use crate::runs;

const CRD: &str = "migrationexceptions.migration-warden.io";
const RUNS: &str = "migrationruns.migration-warden.io";

/// Held for writing while the CRDs come and go.
static PRESENT: RwLock<()> = RwLock::new(());

/// The CRDs are there for as long as this lives.
pub(crate) fn installed() -> RwLockReadGuard<'static, ()> {
    let present = PRESENT.read().unwrap_or_else(PoisonError::into_inner);
    install(&Space::on(Cluster::get().kind()));
    present
}

/// The CRDs are not there until they are installed, and nobody else cares for as long as this lives.
pub(crate) fn absent() -> RwLockWriteGuard<'static, ()> {
    let alone = PRESENT.write().unwrap_or_else(PoisonError::into_inner);
    remove(&Space::new());
    alone
}

pub(crate) fn install(space: &Space) {
    for kind in ["exception", "run"] {
        let file = format!("{CHART}/files/migration{kind}.yaml");
        let args = ["apply", "--server-side", "-f", &file];
        space.kubectl(&args).succeeds();
    }
    established(space);
}

fn established(space: &Space) {
    for (crd, short) in [(CRD, "mex"), (RUNS, "mrun")] {
        let crd = format!("crd/{crd}");
        space
            .kubectl(&["wait", "--for=condition=Established", &crd, "--timeout=30s"])
            .succeeds();
        // Discovery is brought up to date a moment later.
        eventually("the kind to be served", || {
            (space.kubectl(&["get", short]).code == Some(0)).then_some(())
        });
    }
}

fn remove(space: &Space) {
    space
        .kubectl(&["delete", "crd", CRD, RUNS, "--ignore-not-found"])
        .succeeds();
}

/// The chart of a version whose CRD has one column less.
fn older() -> TempDir {
    let dir = TempDir::new().unwrap();
    let copied = Command::new("cp")
        .args(["-r", CHART])
        .arg(dir.path())
        .status();
    assert!(copied.unwrap().success());
    let file = dir
        .path()
        .join("migration-warden/files/migrationexception.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let column = "    - jsonPath: .spec.reason\n      name: Reason\n      type: string\n";
    assert!(text.contains(column));
    fs::write(file, text.replace(column, "")).unwrap();
    dir
}

fn run(space: &Space, helm: Helm, verb: &str, chart: &str, values: &TempDir) -> Outcome {
    let path = values.path().join("values.yaml");
    let values = json!({
        "fullnameOverride": space.name(),
        "policy": {"match": {"selectors": [{"matchLabels": {"release-test": space.name()}}]}},
        "webhooks": {"detection": {"enabled": false}},
        "nodeSelector": {"none": "such"},
    });
    fs::write(&path, values.to_string()).unwrap();
    space.helm(
        helm,
        &[
            verb,
            space.name(),
            chart,
            "--values",
            path.to_str().unwrap(),
        ],
    )
}

fn columns(space: &Space) -> Vec<String> {
    let crd = space.get("crd", CRD);
    let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array();
    let name = |column: &Value| column["name"].as_str().unwrap().to_owned();
    columns.unwrap().iter().map(name).collect()
}

/// It is installed after the webhook, upgraded by the chart, and stays when that goes.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn it_comes_with_the_chart_and_stays() {
    let _alone = absent();
    for helm in Helm::BOTH {
        let release = Space::new();
        remove(&release);
        // Without it, everything else works.
        let space = guarded("");
        space.rejects(&Chart::broken().render("ok-before"), &BROKEN);
        space.accepts(&Chart::good().render("good"));

        let (values, older) = (TempDir::new().unwrap(), older());
        let older = older.path().join("migration-warden");
        run(&release, helm, "install", older.to_str().unwrap(), &values).succeeds();
        established(&space);
        let before = ["Rules", "Expires", "Honoured", "Uses", "Last use"];
        assert_eq!(columns(&release), before, "{helm:?}");
        create(&space, &exception("kept", SignedDuration::from_hours(1))).succeeds();
        condition(&space, "kept", "True");
        space.accepts(&Chart::broken().render("ok-with"));

        run(&release, helm, "upgrade", CHART, &values).succeeds();
        let after = ["Rules", "Expires", "Honoured", "Uses", "Last use", "Reason"];
        assert_eq!(columns(&release), after, "{helm:?}");

        the_charts_rights_are_enough(&release);

        let gone = release
            .helm(helm, &["uninstall", release.name()])
            .succeeds();
        for crd in [CRD, RUNS] {
            let kept = gone.stdout.contains(crd);
            assert!(kept, "{helm:?} says what it keeps: {gone}");
        }
        assert_eq!(space.get("mex", "kept")["spec"]["rules"][0], "MW001");
        space.accepts(&Chart::broken().render("ok-after"));
        // The same release takes it up again.
        run(&release, helm, "install", CHART, &values).succeeds();
        assert_eq!(space.get("mex", "kept")["spec"]["rules"][0], "MW001");
        release
            .helm(helm, &["uninstall", release.name()])
            .succeeds();
    }
}

/// What the chart grants a replica is all that it takes.
fn the_charts_rights_are_enough(release: &Space) {
    let user = format!("system:serviceaccount:{0}:{0}", release.name());
    let warden = Warden::with("")
        .user(&user)
        .claims_in(release.name())
        .serve();
    let space = Guarded::by(warden, Space::new(), |w| w);
    create(&space, &exception("granted", SignedDuration::from_hours(1))).succeeds();
    condition(&space, "granted", "True");
    // The second use is a patch of the first one's Event.
    for job in ["ok-first", "ok-second"] {
        space.accepts(&Chart::broken().render(job));
        thread::sleep(Duration::from_millis(2500));
    }
    eventually("both uses in the Event", || {
        let event = event(&space)?;
        (event["series"]["count"] == 2).then_some(())
    });
    assert_eq!(space.get("mex", "granted")["status"]["uses"], 2);
    runs::the_charts_rights_are_enough(&user);
}
