//! The whole service: both listeners, readiness, and its end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail as a test does"
)]

mod common;

use common::{PATIENCE, Response, TestReviewer, ask, connect, issued, post, receive, until};
use migration_warden::host::decision_log::Sink;
use migration_warden::host::health::{Check, Readiness};
use migration_warden::host::tls::live::LiveTls;
use migration_warden::server::metrics::Metrics;
use migration_warden::server::{self, Service, Stop, listen};
use std::{fs, fs::File, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::oneshot, task::JoinHandle, time::timeout};

struct Running {
    reviews: SocketAddr,
    admin: SocketAddr,
    reviewer: Arc<TestReviewer>,
    readiness: Readiness,
    namespaces: Check,
    stop: Option<oneshot::Sender<Stop>>,
    task: JoinHandle<io::Result<()>>,
}

fn start(shutdown_delay: Duration) -> Running {
    start_with(shutdown_delay, true)
}

fn start_with(shutdown_delay: Duration, ready: bool) -> Running {
    let any = || listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (listener, admin) = (any(), any());
    let metrics = Arc::new(Metrics::new());
    let reviewer = Arc::new(TestReviewer::default());
    let readiness = Readiness::default();
    let namespaces = readiness.register("namespaces", "not known", ready);
    let null = File::options().write(true).open("/dev/null").unwrap();
    let read = |path| fs::read(path).unwrap();
    let live = LiveTls::new(metrics.certificates.clone()).unwrap();
    live.show(&read(&issued().cert), &read(&issued().key))
        .unwrap();
    let (stop, stopped) = oneshot::channel();
    let (reviews_at, admin_at) = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
    let service = Service {
        listener,
        keeper: None,
        admin,
        tls: live.config(),
        reviewer: Arc::clone(&reviewer) as Arc<dyn server::Reviewer>,
        sink: Arc::new(Sink::new(null.into(), metrics.lost_lines.clone()).unwrap()),
        otlp: None,
        metrics,
        readiness: readiness.clone(),
        shutdown_delay,
    };
    let task = tokio::spawn(server::run(service, async { stopped.await.unwrap() }));
    Running {
        reviews: reviews_at,
        admin: admin_at,
        reviewer,
        readiness,
        namespaces,
        stop: Some(stop),
        task,
    }
}

impl Running {
    async fn get(&self, path: &str) -> Response {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        ask(
            &mut stream,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
        )
        .await
    }

    fn stop(&mut self, stop: Stop) {
        self.stop.take().unwrap().send(stop).unwrap();
    }

    async fn ended(self) {
        let ended = timeout(PATIENCE, self.task).await;
        ended.expect("the service has ended").unwrap().unwrap();
    }
}

#[tokio::test]
async fn readiness_needs_every_check() {
    let running = start(Duration::ZERO);
    let policy = running.readiness.register("policy", "not loaded", false);
    let report = running.get("/readyz").await;
    assert_eq!(report.status, 503);
    assert_eq!(
        report.body,
        "[+]namespaces ok\n[-]policy failed: not loaded\n[+]shutdown ok\nreadyz check failed\n"
    );
    policy.set(true);
    let report = running.get("/readyz").await;
    assert_eq!(report.status, 200);
    assert_eq!(
        report.body,
        "[+]namespaces ok\n[+]policy ok\n[+]shutdown ok\nreadyz check passed\n"
    );
}

#[tokio::test]
async fn connections_wait_until_it_is_ready_for_the_first_time() {
    let running = start_with(Duration::ZERO, false);
    let waiting = tokio::spawn(async move {
        let mut stream = connect(running.reviews).await;
        ask(&mut stream, &post("/validate", "{}")).await.status
    });
    for _ in 0..50 {
        assert_eq!(running.get("/readyz").await.status, 503);
        assert!(!waiting.is_finished());
    }
    running.namespaces.set(true);
    assert_eq!(waiting.await.unwrap(), 200);
    // Whoever comes later is answered, whatever has become of it.
    running.namespaces.set(false);
    let mut stream = connect(running.reviews).await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
}

#[tokio::test]
async fn a_replica_that_never_was_ready_can_be_stopped() {
    let mut running = start_with(Duration::ZERO, false);
    assert_eq!(running.get("/readyz").await.status, 503);
    running.stop(Stop::Gently);
    running.ended().await;
}

#[tokio::test]
async fn operators_get_what_they_ask_for() {
    let running = start(Duration::ZERO);
    let live = running.get("/livez").await;
    assert_eq!((live.status, &*live.body), (200, "ok"));

    let version = running.get("/version").await;
    assert_eq!(version.header("content-type"), Some("application/json"));
    let version: serde_json::Value = serde_json::from_str(&version.body).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["platform"].as_str().unwrap().starts_with("linux/"));

    let metrics = running.get("/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(metrics.body.contains("\nmigration_warden_ready 1\n"));
    assert!(metrics.body.ends_with("# EOF\n"));

    assert_eq!(running.get("/validate").await.status, 404);
}

#[tokio::test]
async fn a_gentle_stop_fails_readiness_first_and_goes_on_serving() {
    let mut running = start(Duration::from_secs(60));
    assert_eq!(running.get("/readyz").await.status, 200);
    let mut pooled = connect(running.reviews).await;
    assert_eq!(ask(&mut pooled, &post("/validate", "{}")).await.status, 200);
    running.stop(Stop::Gently);
    until("it not to be ready", async || {
        running.get("/readyz").await.status == 503
    })
    .await;

    let report = running.get("/readyz").await;
    assert_eq!(report.status, 503);
    assert!(report.body.contains("[-]shutdown failed: shutting down\n"));
    assert_eq!(running.get("/livez").await.status, 200);
    assert!(
        running
            .get("/metrics")
            .await
            .body
            .contains("\nmigration_warden_ready 0\n")
    );
    let answer = ask(&mut pooled, &post("/validate", "{}")).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    let mut fresh = connect(running.reviews).await;
    assert_eq!(ask(&mut fresh, &post("/mutate", "{}")).await.status, 200);
}

#[tokio::test]
async fn a_gentle_stop_ends_it_after_the_delay() {
    let mut running = start(Duration::from_millis(50));
    running.stop(Stop::Gently);
    running.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_without_delay_finishes_what_is_in_flight() {
    let mut running = start(Duration::from_secs(60));
    let mut stream = connect(running.reviews).await;
    stream
        .write_all(post("/validate", "hang").as_bytes())
        .await
        .unwrap();
    running.reviewer.has_begun(1).await;
    running.stop(Stop::Now);
    // Until the end the admin port tells what is going on.
    until("it not to be ready", async || {
        running.get("/readyz").await.status == 503
    })
    .await;
    running.reviewer.release();
    assert_eq!(receive(&mut stream).await.unwrap().status, 200);
    running.ended().await;
}

#[tokio::test]
async fn a_review_that_takes_long_to_evaluate_leaves_small_ones_and_livez_quick() {
    let running = start(Duration::ZERO);
    let mut large = connect(running.reviews).await;
    let body = "hang".to_owned() + &" ".repeat(64 << 10);
    let request = post("/validate", &body);
    large.write_all(request.as_bytes()).await.unwrap();
    running.reviewer.has_begun(1).await;
    // This test has one thread: were the review evaluated on it, nothing else would be done.
    assert_eq!(running.get("/livez").await.status, 200);
    let mut small = connect(running.reviews).await;
    assert_eq!(ask(&mut small, &post("/validate", "{}")).await.status, 200);
    running.reviewer.release();
    assert_eq!(receive(&mut large).await.unwrap().status, 200);
}
