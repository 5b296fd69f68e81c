//! Traces and logs as a real OpenTelemetry collector gets them.
//!
//! Ignored by a plain `cargo test`: `tests/otlp/build` builds the collector and prints where it is, which
//! `MW_COLLECTOR` has to say. `tests/run` does both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "common/collector.rs"]
mod collector;
#[path = "common/testing.rs"]
mod testing;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use collector::{Collector, Running, blocks, eventually, free_port};

use serde_json::Value;
use tempfile::TempDir;

/// `serve` with a collector at this port.
struct Server {
    process: Running,
    https: u16,
    log: PathBuf,
    decisions: PathBuf,
    ca: PathBuf,
}

impl Server {
    fn start(folder: &TempDir, collector: u16) -> Self {
        let at = |name: &str| folder.path().join(name);
        let (https, admin) = (free_port(), free_port());
        let (log, decisions, tls) = (at("log"), at("decisions"), at("tls"));
        migration_warden::host::tls::issue::ensure(&tls, jiff::Timestamp::now()).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_migration-warden"))
            .args(["serve", "--shutdown-delay", "0s"])
            .args(["--listen", &format!("127.0.0.1:{https}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
            .args(["--otlp-endpoint", &format!("http://127.0.0.1:{collector}")])
            .arg("--tls-dir")
            .arg(&tls)
            .env("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=test")
            .env("OTEL_SERVICE_NAME", "migration-warden")
            .stdout(File::create(&decisions).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let server = Self {
            process: Running(process),
            https,
            log,
            decisions,
            ca: tls.join("ca.crt"),
        };
        eventually("serve", || {
            let log = fs::read_to_string(&server.log).unwrap();
            log.contains("serving version").then_some(())
        });
        server
    }

    /// Sends a review as the apiserver would within this trace.
    fn review(&self, trace: &str) -> Output {
        let body = testing::review(&testing::job(|_| {}));
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--retry", "20"])
            .args(["--retry-connrefused", "--retry-delay", "1"])
            .args(["--header", "Content-Type: application/json"])
            .args([
                "--header",
                &format!("traceparent: 00-{trace}-00f067aa0ba902b7-01"),
            ])
            .args(["--data-binary", &body.to_string()])
            .arg("--cacert")
            .arg(&self.ca)
            .arg(format!("https://localhost:{}/validate", self.https));
        let output = curl.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    }

    fn decision(&self) -> Value {
        let lines = fs::read_to_string(&self.decisions).unwrap();
        serde_json::from_str(lines.lines().last().unwrap()).unwrap()
    }

    fn terminate(mut self) {
        let id = i32::try_from(self.process.0.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.process.0.wait().unwrap().success());
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
#[ignore = "needs a collector: run tests/long"]
fn a_review_joins_the_trace_of_who_asked() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(&folder, free_port());
    let server = Server::start(&folder, collector.port);
    server.review(TRACE);
    let decision = server.decision();
    // What waits in the queues is sent at the end.
    server.terminate();
    let said = collector.said();

    let span = blocks(&said, "Span #0")[0];
    for expected in [
        format!("Trace ID       : {TRACE}"),
        "Parent ID      : 00f067aa0ba902b7".to_owned(),
        "Name           : POST /validate".to_owned(),
        "Kind           : Server".to_owned(),
        "-> http.response.status_code: Int(200)".to_owned(),
        "-> migration_warden.verdict: Str(allowed)".to_owned(),
    ] {
        assert!(span.contains(&expected), "no {expected}\n{said}");
    }
    for expected in [
        "-> service.name: Str(migration-warden)",
        "-> k8s.cluster.name: Str(test)",
        concat!("-> service.version: Str(", env!("CARGO_PKG_VERSION"), ")"),
    ] {
        assert!(said.contains(expected), "no {expected}\n{said}");
    }

    let record = blocks(&said, "LogRecord #")
        .into_iter()
        .find(|record| record.contains("migration_warden.decision"))
        .unwrap_or_else(|| panic!("no decision\n{said}"));
    assert!(record.contains(&format!("Trace ID: {TRACE}")), "{record}");
    assert!(
        record.contains(decision["id"].as_str().unwrap()),
        "{record}"
    );
    // The process's own log.
    assert!(said.contains("Body: Str(serving)"), "{said}");
}

/// The answers do not wait for it, and nothing is written about it but in the log.
#[test]
#[ignore = "needs a collector: run tests/long"]
fn a_collector_that_is_gone_costs_nothing_but_the_copies() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder, free_port());
    for _ in 0..3 {
        server.review(TRACE);
    }
    let lines = fs::read_to_string(&server.decisions).unwrap();
    assert_eq!(lines.lines().count(), 3);
    server.terminate();
}

#[test]
fn an_endpoint_that_cannot_be_used_is_refused() {
    for endpoint in [
        "otel-collector:4318",
        "https://otel-collector:4318",
        "http://",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_migration-warden"))
            .args(["serve", "--otlp-endpoint", endpoint])
            .current_dir(Path::new("/"))
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "error: failed to use {endpoint} as an OTLP endpoint: write a collector's base URL such as \
                 http://otel-collector:4318; https is not supported, so use a collector in the cluster\n"
            )
        );
    }
}
