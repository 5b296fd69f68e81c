//! Other people's charts, unchanged: deployed, interrupted, and deployed by two at once.
//!
//! The policy names their Jobs; the charts carry no label for it. After the installations, which bring the CRDs
//! themselves.

mod deployed;
mod public;

use std::{collections::BTreeSet, sync::Mutex, thread};

use self::deployed::{Deployed, base};
use self::public::Public;
use super::migration::{Watch, images};
use crate::exceptions::crd;
use crate::harness::{Guarded, Helm, NodeKind, Space, Warden, Webhooks, eventually, none_differ};

/// What an owner writes who knows the names. A migration whose name changes with each attempt has a database, and so
/// have migrations of several Jobs that must not run beside each other.
const POLICY: &str = "
adopt:
- {name: airflow, match: {names: ['*-run-airflow-migrations']}}
- {name: superset, match: {names: [superset-init-db]}}
- {name: harbor, match: {names: [migration-job]}}
- {name: zitadel, match: {names: [zitadel-*]}, database: zitadel}
- {name: ory, match: {names: ['*-automigrate']}}
- {name: openfga, match: {names: [openfga-migrate]}}
- {name: sentry, match: {names: [sentry-*]}}
- {name: temporal, match: {names: [temporal-schema]}}
- {name: kong, match: {names: ['kong-*-migrations']}, database: kong}
- {name: chatwoot, match: {names: [chatwoot-migrate]}}
- {name: lago, match: {names: [lago-migrate*]}}
- {name: posthog, match: {names: [posthog-migrate-*]}}
- {name: plane, match: {names: [plane-api-migrate-*]}, database: plane}
- {name: openproject, match: {names: [openproject-seeder-*]}, database: openproject}
- {name: mastodon, match: {names: [mastodon-db-*]}, database: mastodon}
- {name: hatchet, match: {names: [hatchet-*]}, database: hatchet}
- {name: lightdash, match: {names: [lightdash-migrate]}}
- {name: litellm, match: {names: [litellm-migrations]}}
- {name: dagster, match: {names: [dagster-instance-migrate]}}
- {name: gitlab, match: {names: [gitlab-migrations-*]}, database: gitlab}
";

/// How many charts are deployed at once: more of them than a small machine can serve in time are refused for that.
const AT_ONCE: usize = 12;

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn public_charts_are_safe_unchanged() {
    images();
    let _crd = crd::installed();
    let warden = Warden::with(POLICY).cluster().serve();
    let (watch, wrong) = (Watch::begin(), Mutex::default());
    let charts = Public::all();
    let all = charts
        .iter()
        .flat_map(|chart| Helm::BOTH.map(|helm| (chart, helm)));
    let next = Mutex::new(all);
    let work = || {
        loop {
            let Some((chart, helm)) = next.lock().unwrap().next() else {
                break;
            };
            let (watch, wrong) = (&watch, &wrong);
            let space = Space::on(NodeKind::Real);
            Deployed {
                chart,
                helm,
                space,
                watch,
                wrong,
            }
            .live_through(&warden);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    none_differ(&wrong.into_inner().unwrap());
}

/// Helm 4 would say that it is deployed, and nothing would have run.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_chart_that_keeps_its_job_is_not_skipped_in_silence() {
    images();
    let space = Space::on(NodeKind::Real);
    let space = Guarded::by(
        Warden::with(POLICY).cluster().serve(),
        space,
        Webhooks::guarding,
    );
    let policy = "hook-delete-policy: ";
    let (from, to) = (
        format!("{policy}before-hook-creation"),
        format!("{policy}hook-failed"),
    );
    let chart = Public::with("lightdash", &from, &to);
    chart.provide(&space);
    for helm in Helm::BOTH {
        let deploy = |verb| space.helm(helm, &[&[verb, "first"], &*chart.arguments(helm)].concat());
        deploy("install").succeeds();
        let refused = deploy("upgrade").fails();
        match helm {
            Helm::V3 => refused.says("already exists"),
            Helm::V4 => refused.says("denied the request: MW103 reapplied-job: "),
        };
        let delete = ["delete", "job", "lightdash-migrate"];
        space.kubectl(&delete).succeeds();
        deploy("upgrade").succeeds();
        space.helm(helm, &["uninstall", "first"]).succeeds();
        space.kubectl(&delete).succeeds();
    }
}

/// Helm deletes what belongs to a release, whether it runs or not.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_release_is_uninstalled_once_its_migration_has_ended() {
    images();
    let charts = Public::all();
    let chart = charts.iter().find(|chart| chart.name == "dagster").unwrap();
    let (watch, wrong) = (Watch::begin(), Mutex::default());
    let warden = Warden::with(POLICY).cluster().serve();
    for helm in Helm::BOTH {
        let space = Space::on(NodeKind::Real);
        watch.one_at_a_time(&space, base);
        chart.provide(&space);
        let _registered = Webhooks::of(&warden).guarding().register(&space);
        let (watch, wrong) = (&watch, &wrong);
        let deployed = Deployed {
            chart,
            helm,
            space,
            watch,
            wrong,
        };
        deployed.deploy(&["install", "first"]).succeeds();
        watch.runs(&deployed.space, &BTreeSet::new());
        // That is all that Helm says of it.
        let uninstall = || deployed.helm(&["uninstall", "first"]);
        uninstall().fails().says("failed to delete release: first");
        deployed.rests();
        assert_eq!(deployed.space.jobs().len(), 1);
        uninstall().succeeds();
        eventually("the Job to be gone", || {
            deployed.space.jobs().is_empty().then_some(())
        });
    }
}
