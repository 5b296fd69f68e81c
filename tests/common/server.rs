//! The program, serving: for tests of what it does as a whole.

#![allow(
    dead_code,
    reason = "a module of several test files, each of which uses a part of it"
)]

#[path = "line.rs"]
pub(crate) mod published;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use migration_warden::host::tls::issue;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

/// How long anything may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    out: Receiver<String>,
    log: Receiver<String>,
    pub(crate) https: String,
    pub(crate) admin: String,
    ca: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::writing_to(Stdio::piped(), args)
    }

    /// The same with this for its standard output.
    pub(crate) fn writing_to(stdout: Stdio, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = folder.path().join("tls");
        issue::ensure(&tls, jiff::Timestamp::now()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_migration-warden"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
            ])
            .args(["--log-format", "json", "--tls-dir"])
            .arg(&tls)
            .args(if args.contains(&"--shutdown-delay") {
                &[][..]
            } else {
                &["--shutdown-delay", "0s"]
            })
            .args(args)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = lines(child.stderr.take().unwrap());
        let out = child.stdout.take().map_or_else(|| channel().1, lines);
        let started = wait(&log, |line| line["message"] == "serving");
        let address = |name: &str| started[name].as_str().unwrap().to_owned();
        let (https, admin) = (address("address"), address("admin"));
        Self {
            child,
            out,
            log,
            https,
            admin,
            ca: tls.join("ca.crt"),
            _folder: folder,
        }
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, Value) {
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

    pub(crate) fn get(&self, path: &str) -> String {
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

    /// The next line of the program's own log that is wanted.
    pub(crate) fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        wait(&self.log, wanted)
    }

    pub(crate) fn decision(&self) -> Value {
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

pub(crate) fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
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

pub(crate) fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/review.json");
    std::fs::read_to_string(path).unwrap()
}

/// The same without what is wrong with it.
pub(crate) fn good() -> String {
    let named = example().replace("shop-migrate", "shop-migrate-1766361600");
    named.replace("OnFailure", "Never")
}
