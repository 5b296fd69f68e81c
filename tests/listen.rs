//! What a connection may cost, and how connections end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail as a test does"
)]

mod common;

use axum::{Router, routing::get};
use axum_server::Handle;
use common::{PATIENCE, Server, Setup, ask, post, receive, until};
use migration_warden::server::listen::{self, Limits};
use migration_warden::server::metrics::Metrics;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::rustls::DEFAULT_VERSIONS;

async fn limited(limits: Limits) -> Server {
    Server::with(Setup {
        limits,
        ..Setup::default()
    })
    .await
}

/// Waits until the other side closes the connection.
async fn is_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the connection is closed");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let server = limited(Limits {
        handshake: Duration::from_millis(100),
        ..Limits::default()
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    is_closed(&mut stream).await;
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
        is_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_only_when_its_time_is_over() {
    let short = Duration::from_millis(100);
    let server = limited(Limits {
        first_request: short,
        ..Limits::default()
    })
    .await;
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
    // The end of another one shows that the time for a first request has passed.
    is_closed(&mut server.connect().await).await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);

    let server = limited(Limits {
        idle: short,
        ..Limits::default()
    })
    .await;
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
    is_closed(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_connection_too_many_is_closed_at_once_when_all_others_are_served() {
    let server = limited(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let mut busy = [server.connect().await, server.connect().await];
    for stream in &mut busy {
        let hang = post("/validate", "hang");
        stream.write_all(hang.as_bytes()).await.unwrap();
    }
    server.reviewer.has_begun(2).await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    is_closed(&mut third).await;
    assert_eq!(server.metric("connections_refused_total"), Some(1.0));
    // The others do not notice.
    server.reviewer.release();
    for stream in &mut busy {
        assert_eq!(receive(stream).await.unwrap().status, 200);
    }
    assert_eq!(server.metric("connections_evicted_total"), Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_connection_closes_the_one_that_has_waited_longest_for_its_client() {
    let server = limited(Limits {
        connections: 3,
        ..Limits::default()
    })
    .await;
    let mut busy = server.connect().await;
    let hang = post("/validate", "hang");
    busy.write_all(hang.as_bytes()).await.unwrap();
    server.reviewer.has_begun(1).await;
    let mut silent = server.connect().await;
    let mut used = server.connect().await;
    assert_eq!(ask(&mut used, &post("/validate", "{}")).await.status, 200);
    // One that has made a request waits from its answer on, one in the handshake from its beginning.
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    assert!(receive(&mut silent).await.is_none());
    let mut fourth = server.connect().await;
    assert!(receive(&mut used).await.is_none());
    let mut fifth = server.connect().await;
    is_closed(&mut stuck).await;
    for stream in [&mut fourth, &mut fifth] {
        assert_eq!(ask(stream, &post("/validate", "{}")).await.status, 200);
    }
    assert_eq!(server.metric("connections_evicted_total"), Some(3.0));
    assert_eq!(server.metric("connections_refused_total"), Some(0.0));
    server.reviewer.release();
    assert_eq!(receive(&mut busy).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_holds_no_connection_against_others() {
    let server = limited(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let mut slow = server.connect().await;
    let head = post("/validate?timeout=30s", "").replace("Length: 0", "Length: 10");
    slow.write_all(head.as_bytes()).await.unwrap();
    until("the request to be seen", async || {
        server.metric("requests_in_flight") == Some(1.0)
    })
    .await;
    let mut next = server.connect().await;
    assert_eq!(ask(&mut next, &post("/validate", "{}")).await.status, 200);
    assert!(receive(&mut slow).await.is_none());
}

#[tokio::test]
async fn connections_that_end_make_room() {
    let server = limited(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    for _ in 0..3 {
        let mut stream = server.connect().await;
        let last = post("/validate", "{}").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(&mut stream, &last).await.status, 200);
        assert!(receive(&mut stream).await.is_none());
    }
    assert_eq!(server.metric("connections_evicted_total"), Some(0.0));
}

/// A plain HTTP server with an answer of this length.
fn plain(limits: Limits, length: usize) -> SocketAddr {
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/", get(async move || vec![0_u8; length]));
    let metrics = Arc::new(Metrics::new());
    tokio::spawn(listen::http(listener, app, limits, Handle::new(), metrics));
    address
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_given_up() {
    // More than the kernel takes for a client that does not read.
    let address = plain(
        Limits {
            unread: Duration::from_millis(100),
            first_request: Duration::from_millis(400),
            ..Limits::default()
        },
        16 << 20,
    );
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.readable().await.unwrap();
    // The end of another one shows that the time has passed.
    is_closed(&mut TcpStream::connect(address).await.unwrap()).await;
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the connection is closed");
    assert!(bytes.len() < 16 << 20, "{}", bytes.len());
    // One that reads in time gets all of it.
    let address = plain(Limits::default(), 16 << 20);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let answer = timeout(PATIENCE, receive_bytes(&mut stream)).await;
    assert_eq!(answer.expect("an answer"), 16 << 20);
}

/// The length of the body of an answer that is no text.
async fn receive_bytes(stream: &mut TcpStream) -> usize {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let mut body = vec![0; 16 << 20];
    stream.read_exact(&mut body).await.unwrap()
}

#[tokio::test]
async fn a_head_is_bounded_in_length_and_number() {
    let address = plain(Limits::default(), 2);
    let headers = |count: usize, length: usize| {
        let value = "a".repeat(length);
        let lines = (0..count).map(|index| format!("X-{index}: {value}\r\n"));
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
            lines.collect::<String>()
        )
    };
    for (request, status) in [
        (headers(1, 30_000), 200),
        (headers(99, 1), 200),
        (headers(100, 1), 431),
        (headers(1, 70_000), 431),
        (headers(50, 2_000), 431),
        (
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000)),
            431,
        ),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be closed before all of it is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = receive(&mut stream).await;
        let found = answer.map(|answer| answer.status);
        // A client that goes on sending may lose the answer to the reset that follows.
        assert!(
            found == Some(status) || status == 431 && found.is_none(),
            "{found:?}, {} bytes",
            request.len()
        );
    }
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let server = Server::start().await;
    let ca = std::fs::read(common::issued().ca.as_ref().unwrap()).unwrap();
    let offering = |protocols: &[&[u8]]| {
        let mut config = common::client_config(&ca, DEFAULT_VERSIONS, "");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        common::connect_with(server.address, config)
    };
    // As the API server does for a URL.
    let mut stream = offering(&[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
    assert!(offering(&[b"h2"]).await.is_err());
    let mut stream = offering(&[]).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    let answer = timeout(PATIENCE, stream.read_u8()).await;
    assert_ne!(
        answer.expect("an end or an answer").ok(),
        Some(0),
        "a frame"
    );
    let address = plain(Limits::default(), 2);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    is_closed(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn draining_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    assert_eq!(ask(&mut idle, &post("/validate", "{}")).await.status, 200);
    let mut busy = server.connect().await;
    let request = post("/validate", "hang");
    busy.write_all(request.as_bytes()).await.unwrap();
    server.reviewer.has_begun(2).await;
    server.reviews.close_connections();
    server
        .handle
        .graceful_shutdown(Some(Duration::from_secs(10)));
    assert!(receive(&mut idle).await.is_none());
    until("no new connections to be taken", async || {
        TcpStream::connect(server.address).await.is_err()
    })
    .await;
    assert!(!server.task.is_finished());
    server.reviewer.release();
    let answer = receive(&mut busy).await.unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(receive(&mut busy).await.is_none());
    let ended = timeout(PATIENCE, server.task).await;
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
