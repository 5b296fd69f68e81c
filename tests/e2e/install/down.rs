//! Nobody there to answer: what still works at once, and in which words the rest is refused.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use super::{Install, NAME, crash::replicas, load};
use crate::harness::{Chart, Helm, NodeKind, Outcome, Space, eventually};

const ORDINARY: &str = "apiVersion: batch/v1
kind: Job
metadata: {generateName: ordinary-}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: work, image: \"rig.local/busybox:1\", imagePullPolicy: Never}]
";

/// How long kubectl took to create an ordinary Job.
fn ordinary(space: &Space) -> Duration {
    let asked = Instant::now();
    space
        .kubectl_with(&["create", "-f", "-"], ORDINARY)
        .succeeds();
    asked.elapsed()
}

fn slowest(space: &Space) -> Duration {
    (0..10).map(|_| ordinary(space)).max().unwrap()
}

/// What the page on this says a user sees, without the line breaks; `…` stands for what differs.
fn documented() -> Vec<String> {
    let page = include_str!("../../../docs/when-it-is-down.md");
    let text = page.split("```text\n").nth(1).unwrap();
    let text = text.split("\n```").next().unwrap().replace('\n', " ");
    text.split('…').map(|part| part.trim().to_owned()).collect()
}

#[test]
#[ignore = "needs a cluster: run tests/long"]
fn without_replicas_only_migrations_are_refused() {
    let install = Install::new(Helm::V4, &[]);
    let space = Space::on(NodeKind::Real);
    let answered = slowest(&space);
    let scale = ["scale", "deployment", NAME, "--replicas=0"];
    install.kubectl(&scale).succeeds();
    eventually("the replicas to be gone", || {
        replicas().is_empty().then_some(())
    });
    let unanswered = slowest(&space);
    eprintln!("the slowest ordinary Job took {answered:?}, and {unanswered:?} without replicas");
    assert!(unanswered < Duration::from_secs(1), "{unanswered:?}");

    for helm in Helm::BOTH {
        let asked = Instant::now();
        let refused = space.install(helm, &helm.release("app"), &Chart::good());
        let refused = refused.fails();
        assert!(asked.elapsed() < Duration::from_secs(5), "{refused}");
        for part in documented() {
            refused.says(&part);
        }
    }
    // What is documented to let migrations in.
    let configurations = "validatingwebhookconfiguration,mutatingwebhookconfiguration";
    install
        .kubectl(&["delete", configurations, NAME])
        .succeeds();
    eventually("the apiserver to have heard", || {
        let refused = space.kubectl_with(&["create", "-f", "-"], &Chart::good().render("app"));
        (refused.code == Some(0)).then_some(())
    });
}

/// A crash of all replicas at once: the kubelet has not told anybody yet.
#[test]
#[ignore = "needs a cluster: run tests/long"]
fn a_crash_of_all_replicas_holds_up_other_jobs_for_a_second_at_most() {
    let install = Install::new(Helm::V4, &[]);
    let space = Space::on(NodeKind::Real);
    let crashed = replicas();
    let mut kill = Command::new("kill");
    kill.arg("-9").args(crashed.iter().map(u32::to_string));
    Outcome::of(&mut kill, "").succeeds();
    let slowest = slowest(&space);
    eprintln!("the slowest ordinary Job took {slowest:?}");
    // The entries for them have 1 s each.
    assert!(slowest < Duration::from_millis(2500), "{slowest:?}");
    install.is_rolled_out();
    eprintln!("{} failed open", load::failed_open(&install));
}
