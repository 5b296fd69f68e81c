//! The listening socket outlives the process that serves: both programs as the chart starts them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail as a test does"
)]

mod common;

use common::{ask, connect, issued, post, receive, secure, until};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

const HELD: &str = "the listening socket stays open if this process ends";
const NOBODY: &str = "no other process holds the listening socket yet";
const TAKEN: &str = "reusing the listening socket of the previous process";

/// A process with its log; killed when dropped.
struct Process {
    child: Child,
    log: Receiver<String>,
}

impl Process {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_migration-warden"))
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        std::thread::spawn(move || {
            // To the end, or the program would block.
            for line in pipe.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, log }
    }

    fn holder(folder: &Path) -> Self {
        let socket = format!("--socket={}", path(folder));
        Self::start(&["hold-listener", &socket])
    }

    fn serve(folder: &Path, listen: &str) -> Self {
        let listen = format!("--listen={listen}");
        let holder = format!("--listener-holder={}", path(folder));
        let [cert, key] = [&issued().cert, &issued().key].map(|path| path.display().to_string());
        Self::start(&[
            "serve",
            &listen,
            &holder,
            "--admin-listen=127.0.0.1:0",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--shutdown-delay=0s",
            "--log-format=json",
        ])
    }

    fn says(&self, message: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect(message);
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == message {
                return line;
            }
        }
    }

    fn address(&self) -> SocketAddr {
        self.addresses().0
    }

    /// Where it answers to the API server, and to its operators.
    fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let line = self.says("serving");
        let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
        (address("address"), address("admin"))
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Ends it as a crash would.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(folder: &Path) -> String {
    folder.join("listener.sock").display().to_string()
}

/// Of a review on a new connection.
async fn status(address: SocketAddr) -> u16 {
    status_over(TcpStream::connect(address).await.unwrap()).await
}

async fn status_over(stream: TcpStream) -> u16 {
    let review = include_str!("../docs/examples/review.json");
    let answer = ask(&mut secure(stream).await, &post("/validate", review)).await;
    answer.status
}

/// The replica is killed, somebody connects, and the next one answers.
async fn survives_a_crash(folder: &Path, replica: Process, address: SocketAddr) -> Process {
    assert_eq!(status(address).await, 200);
    replica.kill();
    let waiting = TcpStream::connect(address).await.expect("not refused");
    // Port 0 is any port, and this one is known already.
    let next = Process::serve(folder, "127.0.0.1:0");
    next.says(TAKEN);
    assert_eq!(next.address(), address);
    assert_eq!(status_over(waiting).await, 200);
    next.says(HELD);
    next
}

#[tokio::test]
async fn connections_wait_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The first one comes before its holder.
    let replica = Process::serve(folder, "127.0.0.1:0");
    let address = replica.address();
    replica.says(NOBODY);
    let _holder = Process::holder(folder);
    replica.says(HELD);
    let replica = survives_a_crash(folder, replica, address).await;
    survives_a_crash(folder, replica, address).await;
}

#[tokio::test]
async fn a_holder_that_crashed_is_given_the_socket_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let holder = Process::holder(folder);
    let replica = Process::serve(folder, "127.0.0.1:0");
    let address = replica.address();
    replica.says(HELD);
    holder.kill();
    replica.says(NOBODY);
    assert_eq!(status(address).await, 200);
    let _holder = Process::holder(folder);
    replica.says(HELD);
    survives_a_crash(folder, replica, address).await;
}

#[tokio::test]
async fn another_address_is_listened_on_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _holder = Process::holder(folder);
    let replica = Process::serve(folder, "127.0.0.1:0");
    let address = replica.address();
    replica.says(HELD);
    replica.kill();
    let replica = Process::serve(folder, "127.0.0.2:0");
    let other = replica.address();
    assert_eq!(other.ip().to_string(), "127.0.0.2");
    assert_eq!(status(other).await, 200);
    replica.says(HELD);
    assert!(TcpStream::connect(address).await.is_err(), "still held");
}

/// As when a pod ends: both are told at once, and nobody is to wait for a replica that will not come.
#[tokio::test]
async fn nobody_waits_for_a_replica_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut holder = Process::holder(folder);
    let mut replica = Process::serve(folder, "127.0.0.1:0");
    let (address, admin) = replica.addresses();
    replica.says(HELD);
    let mut busy = connect(address).await;
    let request = post("/validate", "{}");
    let (begun, rest) = request.split_at(request.len() - 1);
    busy.write_all(begun.as_bytes()).await.unwrap();
    until("the request to be in flight", async || {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let metrics = ask(&mut stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        metrics
            .body
            .contains("\nmigration_warden_requests_in_flight 1\n")
    })
    .await;

    holder.signal("-TERM");
    assert!(holder.child.wait().unwrap().success());
    assert_eq!(status(address).await, 200);
    replica.signal("-TERM");
    replica.says("stopping: finishing the requests in flight");
    until("no new connections to be taken", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    busy.write_all(rest.as_bytes()).await.unwrap();
    assert_eq!(receive(&mut busy).await.unwrap().status, 400);
    assert!(replica.child.wait().unwrap().success());
}
