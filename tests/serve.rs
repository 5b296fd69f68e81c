//! The program as the README starts it: what it serves, prints, reloads, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "common/line.rs"]
mod published;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use serde_json::Value;

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; killed when dropped.
struct Server {
    child: Child,
    out: Receiver<String>,
    https: String,
    admin: String,
    ca: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = folder.path().join("tls");
        let mut child = Command::new(env!("CARGO_BIN_EXE_migration-warden"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
            ])
            .args([
                "--log-format",
                "json",
                "--shutdown-delay",
                "0s",
                "--tls-dir",
            ])
            .arg(&tls)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = lines(child.stderr.take().unwrap());
        let out = lines(child.stdout.take().unwrap());
        let started = wait(&log, |line| line["message"] == "serving");
        let address = |name: &str| started[name].as_str().unwrap().to_owned();
        let (https, admin) = (address("address"), address("admin"));
        Self {
            child,
            out,
            https,
            admin,
            ca: tls.join("ca.crt"),
            _folder: folder,
        }
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(&self.ca).unwrap();
        roots
            .add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        let client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(&self.https).unwrap();
        let mut tls = rustls::StreamOwned::new(client, stream);
        write!(
            tls,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        let _ = tls.read_to_string(&mut text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn decision(&self) -> Value {
        let line = self.out.recv_timeout(PATIENCE).expect("a decision");
        let line = serde_json::from_str(&line).unwrap();
        published::is_as_published(&line);
        line
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                // Go on reading, or the program would block.
            }
        }
    });
    receiver
}

fn wait(log: &Receiver<String>, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = log
            .recv_timeout(left)
            .expect("the log line that is waited for");
        let line: Value = serde_json::from_str(&line).unwrap();
        if wanted(&line) {
            return line;
        }
    }
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/review.json");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_readmes_review_gets_the_readmes_answer() {
    let server = Server::start(&[]);
    let (status, answer) = server.post("/validate", &example());
    assert_eq!(status, 200);
    let decision = server.decision();
    assert_eq!(decision["verdict"], "denied");
    let annotations = &answer["response"]["auditAnnotations"];
    assert_eq!(
        annotations["decision"], decision["id"],
        "the audit log leads to the decision"
    );
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let from = readme.find("<!-- curl:begin -->").unwrap();
    let part = &readme[from..readme.find("<!-- curl:end -->").unwrap()];
    let shown = part
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let mut shown: Value = serde_json::from_str(shown).unwrap();
    // The one thing that is new each time.
    shown["response"]["auditAnnotations"]["decision"] = decision["id"].clone();
    assert_eq!(shown, answer);
}

#[test]
fn malformed_bodies_get_a_status_and_the_server_goes_on() {
    let server = Server::start(&[]);
    for body in [
        "",
        "{",
        "[]",
        "{\"apiVersion\":\"v1\"}",
        &"[".repeat(100_000),
    ] {
        let (status, answer) = server.post("/validate", body);
        assert_eq!(
            (status, &answer["kind"], &answer["reason"]),
            (400, &"Status".into(), &"BadRequest".into())
        );
    }
    assert_eq!(server.post("/mutate", &example()).0, 200);
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("migration_warden_requests_rejected_total{reason=\"malformed\"} 5\n"),
        "{metrics}"
    );
    assert!(metrics.contains("migration_warden_reviews_total{phase=\"mutate\",operation=\"CREATE\",verdict=\"denied\"} 1\n"));
    assert!(
        !metrics.contains("shop"),
        "no name of a Job or namespace is a label"
    );
}

#[test]
fn a_new_policy_is_taken_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    std::fs::write(&path, head).unwrap();
    let server = Server::start(&["--config", path.to_str().unwrap()]);
    let verdict = || {
        let (_, answer) = server.post("/validate", &example());
        let decision = server.decision();
        assert_eq!(
            answer["response"]["auditAnnotations"]["policy"],
            decision["policy"]
        );
        (decision["verdict"].clone(), decision["policy"].clone())
    };
    let (first, before) = verdict();
    assert_eq!(first, "denied");
    std::fs::write(&path, format!("{head}profile: audit\n")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let after = loop {
        let (verdict, policy) = verdict();
        if policy != before {
            assert_eq!(verdict, "allowed");
            break policy;
        }
        assert!(Instant::now() < deadline, "the new policy is not in use");
        std::thread::sleep(Duration::from_millis(50));
    };
    std::fs::write(&path, format!("{head}profile: none\n")).unwrap();
    while !server
        .get("/metrics")
        .contains("policy_reloads_total{result=\"failure\"} 1\n")
    {
        assert!(Instant::now() < deadline, "{}", server.get("/metrics"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(verdict(), ("allowed".into(), after));
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
}

#[test]
fn sigterm_ends_it_with_success() {
    let mut server = Server::start(&[]);
    let pid = server.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(server.child.wait().unwrap().success());
}
