//! The decision log of the program where nobody can write to it: what the policy says is done.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "common/server.rs"]
mod server;

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::process::Stdio;

use serde_json::Value;
use server::published::is_as_published;
use server::{PATIENCE, Server, example, good, lines};

/// What is the matter with the output, and how the loss is counted.
const FAULTS: [(&str, &str); 3] = [
    ("full disk", "failed"),
    ("reader gone", "failed"),
    ("reader asleep", "blocked"),
];

/// A pipe that a few lines fill.
fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    (reader, writer)
}

/// A standard output with this fault. It lasts as long as the reader, where there is one.
fn unwritable(fault: &str) -> (Stdio, Option<PipeReader>) {
    if fault == "full disk" {
        let full = File::options().write(true).open("/dev/full").unwrap();
        return (full.into(), None);
    }
    let (reader, writer) = small_pipe();
    let reader = (fault == "reader asleep").then_some(reader);
    (writer.into(), reader)
}

/// How many lines are counted as lost.
fn lost(server: &Server, reason: &str) -> u64 {
    let series = format!("migration_warden_decision_records_lost_total{{reason=\"{reason}\"}} ");
    let metrics = server.get("/metrics");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&series));
    count.unwrap().parse().unwrap()
}

/// Reviews are answered as decided or denied, and nothing else changes: the next one, `/readyz`, the count.
#[test]
fn a_log_that_cannot_be_written_does_what_the_policy_says() {
    let good = good();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    for (on_failure, allowed) in [("allow", true), ("deny", false)] {
        let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
        let text = format!("{head}record: {{onFailure: {on_failure}}}\n");
        std::fs::write(&path, text).unwrap();
        for (what, reason) in FAULTS {
            let (stdout, _reader) = unwritable(what);
            let server = Server::writing_to(stdout, &["--config", path.to_str().unwrap()]);
            let lost = || lost(&server, reason);
            // Until the pipe is full.
            let first = (0..500).find_map(|_| {
                let (_, answer) = server.post("/validate", &good);
                (lost() > 0).then_some(answer)
            });
            let first = first.unwrap_or_else(|| panic!("nothing was lost: {what}"));
            let (status, second) = server.post("/validate", &good);
            assert_eq!((status, lost()), (200, 2), "{what}");
            for answer in [first, second] {
                let response = &answer["response"];
                assert_eq!(response["allowed"], allowed, "{what}: {answer:#}");
                if !allowed {
                    assert_eq!(response["status"]["code"], 403, "{what}");
                    let said = response["status"]["message"].as_str().unwrap();
                    assert!(said.starts_with("failed to log the decision, "), "{said}");
                }
            }
            // What is denied anyway says why, as ever.
            let (_, denied) = server.post("/validate", &example());
            let said = denied["response"]["status"]["message"].as_str().unwrap();
            assert!(said.starts_with("MW001 "), "{what}: {said}");
            assert!(server.get("/readyz").starts_with("HTTP/1.1 200"), "{what}");
        }
    }
}

/// The reader comes back: what is written then tells how much was lost.
#[test]
fn a_log_that_can_be_written_again_tells_what_was_lost() {
    let (reader, writer) = small_pipe();
    let server = Server::writing_to(writer.into(), &[]);
    let good = good();
    let lost = || lost(&server, "blocked");
    let mut sent = 0;
    while lost() < 3 {
        server.post("/validate", &good);
        sent += 1;
        assert!(sent < 500, "nothing was lost");
    }
    let out = lines(reader);
    let next = || -> Value {
        let line = out.recv_timeout(PATIENCE).unwrap();
        let line = serde_json::from_str(&line).unwrap();
        is_as_published(&line);
        line
    };
    for _ in 0..sent - 3 {
        let line = next();
        assert!(line["lost"].is_null(), "{line:#}");
    }
    server.post("/validate", &good);
    let line = next();
    assert_eq!(line["lost"], 3, "{line:#}");
}
