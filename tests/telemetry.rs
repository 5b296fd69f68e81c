//! The process's own log, as it comes out of a process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail as a test does"
)]

use migration_warden::host::decision_log::{LIMIT, Sink};
use migration_warden::host::telemetry::{self, LogFormat};
use migration_warden::server::metrics::Metrics;
use std::{
    env,
    io::{self, Read},
    process::{Command, Output, Stdio},
    time::Duration,
};

const CHILD: &str = "TELEMETRY_TEST_CHILD";

/// Runs the test of that name again in a process of its own, where it does its part as a child.
fn child(test: &str, format: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, format)
        .env_remove("RUST_BACKTRACE");
    command
}

/// As a child: starts the log and returns true.
fn is_child() -> bool {
    let format = match env::var(CHILD).as_deref() {
        Ok("json") => LogFormat::Json,
        Ok(_) => LogFormat::Text,
        Err(_) => return false,
    };
    telemetry::init(format, "info,noisy=warn", None).unwrap();
    true
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn events_are_lines_on_stderr() {
    if is_child() {
        tracing::info!(port = 8443, "listening");
        tracing::debug!("left out");
        tracing::info!(target: "noisy", "left out");
        return;
    }
    let name = "events_are_lines_on_stderr";
    let json = lines(&child(name, "json").output().unwrap());
    assert_eq!(json.len(), 1, "{json:?}");
    let event: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!(
        (&event["level"], &event["message"], &event["port"]),
        (&"INFO".into(), &"listening".into(), &8443.into())
    );
    let text = lines(&child(name, "text").output().unwrap());
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(
        text[0].ends_with(" INFO telemetry: listening port=8443"),
        "{text:?}"
    );
}

#[test]
fn a_panic_is_located_without_what_it_quotes() {
    if is_child() {
        let body = String::from("s3cret");
        let _ = std::panic::catch_unwind(|| panic!("a literal"));
        let _ = std::panic::catch_unwind(|| panic!("cannot read {body}"));
        return;
    }
    let name = "a_panic_is_located_without_what_it_quotes";
    let lines = lines(&child(name, "json").output().unwrap());
    assert_eq!(lines.len(), 2, "{lines:?}");
    let events = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let messages = [
        "a literal",
        "(omitted, because it may contain sensitive data)",
    ];
    for (event, message) in events.zip(messages) {
        assert_eq!(
            (&event["level"], &event["panic"]),
            (&"ERROR".into(), &message.into())
        );
        assert!(
            event["place"]
                .as_str()
                .unwrap()
                .starts_with("tests/telemetry.rs:")
        );
    }
    assert!(!lines.concat().contains("s3cret"));
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    if is_child() {
        for number in 0..10_000 {
            tracing::info!(number, "a line nobody reads");
        }
        return;
    }
    let mut child = child("a_log_that_nobody_reads_stops_nothing", "text")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads it, and it stays open until the process has ended.
    let _log = child.stderr.take();
    let pid = child.id().to_string();
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait()));
    let Ok(status) = ended.recv_timeout(Duration::from_secs(10)) else {
        Command::new("kill").arg(&pid).status().unwrap();
        panic!("the process waits for its log");
    };
    assert!(status.unwrap().success());
}

#[test]
fn a_filter_that_is_none_is_refused() {
    let error = telemetry::init(LogFormat::Text, "warden=loud", None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the log level is neither a level such as info nor a filter such as info,migration_warden=debug: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5"
    );
}

#[tokio::test]
async fn a_decision_log_that_hangs_is_alarmed_once() {
    if is_child() {
        let (mut reader, writer) = io::pipe().unwrap();
        let sink = Sink::new(writer.into(), Metrics::new().lost_lines).unwrap();
        let later = || tokio::time::Instant::now() + LIMIT * 2;
        let line = || format!("{{\"fill\":\"{}\"}}", "x".repeat(1000)).into_bytes();
        while sink.write(line(), later()).await.is_ok() {}
        for _ in 0..5 {
            sink.write(line(), later()).await.unwrap_err();
        }
        reader.read_exact(&mut [0; 10_000]).unwrap();
        for _ in 0..5 {
            sink.write(line(), later()).await.unwrap();
        }
        return;
    }
    let output = child("a_decision_log_that_hangs_is_alarmed_once", "text").output();
    let lines = lines(&output.unwrap());
    let ends = [
        "ERROR migration_warden::host::decision_log: failed to write the decision line: the reader of stdout is too slow; reviews are answered without their lines until writing succeeds again reason=\"blocked\"",
        " INFO migration_warden::host::decision_log: writing decision lines succeeds again lost=6",
    ];
    assert_eq!(lines.len(), ends.len(), "{lines:?}");
    for (line, end) in lines.iter().zip(ends) {
        assert!(line.ends_with(end), "{line}");
    }
}
