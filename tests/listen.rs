//! What a connection may cost, and how connections end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail as a test does"
)]

mod common;

use common::{Server, Setup, ask, post, receive};
use migration_warden::server::listen::Limits;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

async fn limited(limits: Limits) -> Server {
    Server::with(Setup {
        limits,
        ..Setup::default()
    })
    .await
}

/// How long the other side keeps the connection.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut bytes = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes))
        .await
        .expect("the connection is closed");
    start.elapsed()
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let server = limited(Limits {
        handshake: Duration::from_millis(100),
        ..Limits::default()
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let took = closed_after(&mut stream).await;
    assert!(took > Duration::from_millis(80), "{took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_first_request_that_does_not_come_is_given_up() {
    let server = limited(Limits {
        first_request: Duration::from_millis(100),
        ..Limits::default()
    })
    .await;
    for start in ["", "POST /validate HTTP/1.1\r\nHost:"] {
        let mut stream = server.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let closed = timeout(Duration::from_secs(2), receive(&mut stream)).await;
        assert!(closed.expect("the connection is closed").is_none());
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_only_when_its_time_is_over() {
    let server = limited(Limits {
        first_request: Duration::from_millis(300),
        idle: Duration::from_secs(1),
        ..Limits::default()
    })
    .await;
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
    let start = Instant::now();
    assert!(receive(&mut stream).await.is_none());
    assert!(start.elapsed() > Duration::from_millis(800));
}

#[tokio::test]
#[ignore = "takes 95 seconds"]
async fn an_idle_connection_outlives_the_api_servers_pool() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
    sleep(Duration::from_secs(95)).await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let server = limited(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let mut first = server.connect().await;
    let _second = server.connect().await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert!(closed_after(&mut third).await < Duration::from_millis(500));
    assert_eq!(server.metric("connections_refused_total"), Some(1.0));
    // The others do not notice, and one that ends makes room.
    assert_eq!(ask(&mut first, &post("/validate", "{}")).await.status, 200);
    drop(first);
    timeout(Duration::from_secs(2), async {
        loop {
            let stream = TcpStream::connect(server.address).await.unwrap();
            sleep(Duration::from_millis(10)).await;
            if stream.try_write(b"x").is_ok() && stream.try_read(&mut [0; 8]).is_err() {
                break;
            }
        }
    })
    .await
    .expect("there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_answer_does_not_wait_for_an_acknowledgement() {
    let server = Server::start().await;
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let mut stream = server.connect().await;
        let start = Instant::now();
        assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
        fastest = fastest.min(start.elapsed());
    }
    // A delayed acknowledgement takes 40 ms, every time.
    assert!(fastest < Duration::from_millis(30), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn draining_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    assert_eq!(ask(&mut idle, &post("/validate", "{}")).await.status, 200);
    let mut busy = server.connect().await;
    let request = post("/validate", "hang");
    busy.write_all(request.as_bytes()).await.unwrap();
    server.judge.has_begun(2).await;
    server.reviews.close_connections();
    server
        .handle
        .graceful_shutdown(Some(Duration::from_secs(10)));
    assert!(receive(&mut idle).await.is_none());
    timeout(Duration::from_secs(2), async {
        while TcpStream::connect(server.address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("no new connections are taken");
    assert!(!server.task.is_finished());
    server.judge.release();
    let answer = receive(&mut busy).await.unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(receive(&mut busy).await.is_none());
    let ended = timeout(Duration::from_secs(2), server.task).await;
    ended.expect("the server has ended").unwrap().unwrap();
}

#[tokio::test]
async fn before_draining_callers_are_asked_to_turn_elsewhere() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let answer = ask(&mut stream, &post("/validate", "{}")).await;
    assert_eq!(answer.header("connection"), None);
    server.reviews.close_connections();
    let answer = ask(&mut stream, &post("/validate", "{}")).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(receive(&mut stream).await.is_none());
    // New ones are still served.
    let answer = ask(&mut server.connect().await, &post("/validate", "{}")).await;
    assert_eq!(answer.status, 200);
}
