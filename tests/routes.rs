//! What requests for reviews get, over real TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail as a test does"
)]

mod common;

use common::{PATIENCE, Server, Setup, ask, post, receive, until};
use std::{
    io::{self, Read},
    sync::atomic::Ordering,
};
use tokio::{io::AsyncWriteExt, time::timeout};

#[tokio::test]
async fn reviews_are_judged_in_the_phase_of_their_path() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    for (path, phase) in [("/validate?timeout=5s", "validate"), ("/mutate", "mutate")] {
        let answer = ask(&mut stream, &post(path, "{}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(
            answer.body,
            format!("{{\"phase\":\"{phase}\",\"bytes\":2}}")
        );
        let took = format!("review_duration_seconds_count{{phase=\"{phase}\"}}");
        assert_eq!(server.metric(&took), Some(1.0));
    }
    assert_eq!(server.metric("requests_in_flight"), Some(0.0));
}

#[tokio::test]
async fn requests_that_are_no_reviews_are_refused() {
    let server = Server::start().await;
    let request = |head: &str| format!("{head}\r\nHost: localhost\r\n\r\n");
    let json = "Content-Type: application/json";
    for (request, code, reason, message) in [
        (
            request("POST / HTTP/1.1\r\nContent-Length: 0"),
            404,
            "NotFound",
            "no such path: reviews go to /validate and /mutate",
        ),
        (
            request("GET /validate HTTP/1.1"),
            405,
            "MethodNotAllowed",
            "reviews are sent with POST",
        ),
        (
            request("POST /validate HTTP/1.1\r\nContent-Length: 0"),
            415,
            "UnsupportedMediaType",
            "a review's content type is application/json",
        ),
        (
            request(
                "POST /mutate HTTP/1.1\r\nContent-Type: application/jsonl\r\nContent-Length: 0",
            ),
            415,
            "UnsupportedMediaType",
            "a review's content type is application/json",
        ),
        // Refused before any of it is sent.
        (
            request(&format!(
                "POST /validate HTTP/1.1\r\n{json}\r\nContent-Length: 8388609"
            )),
            413,
            "RequestEntityTooLarge",
            "the review is over the limit of 8 MiB",
        ),
    ] {
        let mut stream = server.connect().await;
        let answer = ask(&mut stream, &request).await;
        assert_eq!(answer.status, code, "{request}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let allow = (code == 405).then_some("POST");
        assert_eq!(answer.header("allow"), allow);
        let expected = (message.to_owned(), reason.to_owned(), u64::from(code));
        assert_eq!(answer.status_object(), expected);
    }
    for (reason, count) in [("method", 1.0), ("content_type", 2.0), ("too_large", 1.0)] {
        assert_eq!(server.rejected(reason), Some(count), "{reason}");
    }
    assert_eq!(server.reviewer.reviewed.load(Ordering::SeqCst), 0);
}

/// Otherwise a client that still sends would see a reset connection, and no answer.
#[tokio::test]
async fn the_body_of_a_refused_request_is_read_before_the_answer() {
    let server = Server::start().await;
    let longest = post("/validate", &"x".repeat(8 << 20));
    let mut stream = server.connect().await;
    for (from, to, status) in [
        ("/validate", "/other", 404),
        ("POST", "PUT", 405),
        ("application/json", "text/plain", 415),
    ] {
        let answer = ask(&mut stream, &longest.replacen(from, to, 1)).await;
        assert_eq!((answer.status, answer.header("connection")), (status, None));
        let announced = post("/validate", "").replacen(from, to, 1);
        let announced = announced.replace("Length: 0", "Length: 8388609");
        let answer = ask(&mut server.connect().await, &announced).await;
        let expected = (status, Some("close"));
        assert_eq!((answer.status, answer.header("connection")), expected);
    }
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
}

/// The rest of its body would be waited for until the review's own time limit, which is longer than the patience here.
#[tokio::test]
async fn a_refused_request_whose_body_does_not_come_is_soon_answered() {
    let server = Server::start().await;
    let request = post("/other?timeout=30s", "").replace("Length: 0", "Length: 5");
    let mut stream = server.connect().await;
    let answer = timeout(PATIENCE, ask(&mut stream, &request)).await.unwrap();
    let expected = (404, Some("close"));
    assert_eq!((answer.status, answer.header("connection")), expected);
}

#[tokio::test]
async fn the_content_type_may_have_parameters() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let request = post("/validate", "{}").replace("on/json", "on/JSON; charset=utf-8");
    assert_eq!(ask(&mut stream, &request).await.status, 200);
}

#[tokio::test]
async fn a_body_of_8_mib_is_judged_and_a_longer_one_of_unknown_length_is_not() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let body = "x".repeat(8 << 20);
    let answer = ask(&mut stream, &post("/validate", &body)).await;
    assert_eq!(answer.body, "{\"phase\":\"validate\",\"bytes\":8388608}");

    let head = "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let short = format!("{head}2\r\n{{}}\r\n0\r\n\r\n");
    assert_eq!(ask(&mut stream, &short).await.status, 200);
    let long = format!("{head}800000\r\n{body}\r\n1\r\nx\r\n");
    assert_eq!(ask(&mut stream, &long).await.status, 413);
}

#[tokio::test]
async fn what_the_judge_calls_malformed_is_counted() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    assert_eq!(
        ask(&mut stream, &post("/validate", "malformed"))
            .await
            .status,
        400
    );
    assert_eq!(server.rejected("malformed"), Some(1.0));
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let answer = ask(&mut stream, &post("/validate", "panic")).await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.status_object().0,
        "this review failed because of a bug in migration-warden; its log says where"
    );
    // On the same connection, even.
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
    assert_eq!(server.rejected("panic"), Some(1.0));
    assert_eq!(server.metric("requests_in_flight"), Some(0.0));
}

/// A review that is evaluated on a thread of its own.
fn large(what: &str) -> String {
    post("/validate", &(what.to_owned() + &" ".repeat(64 << 10)))
}

#[tokio::test]
async fn small_reviews_do_not_wait_for_large_ones() {
    let server = Server::start().await;
    let mut hanging = server.connect().await;
    hanging.write_all(large("hang").as_bytes()).await.unwrap();
    server.reviewer.has_begun(1).await;
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
    assert_eq!(ask(&mut stream, &large("panic")).await.status, 500);
    server.reviewer.release();
    assert_eq!(receive(&mut hanging).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_large_review_is_written_down_though_its_caller_has_left() {
    let (mut reader, writer) = io::pipe().unwrap();
    let server = Server::with(Setup {
        in_flight: 128 << 10,
        output: writer.into(),
        ..Setup::default()
    })
    .await;
    let mut leaving = server.connect().await;
    leaving.write_all(large("hang").as_bytes()).await.unwrap();
    server.reviewer.has_begun(1).await;
    drop(leaving);
    until("its request to be gone", async || {
        server.metric("requests_in_flight") == Some(0.0)
    })
    .await;
    // Its body is in memory, and paid for.
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &large("{}")).await.status, 503);
    server.reviewer.release();
    let mut line = [0; 8];
    tokio::task::spawn_blocking(move || reader.read_exact(&mut line).unwrap())
        .await
        .unwrap();
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &large("{}")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn what_cannot_be_taken_on_is_refused_at_once() {
    // Each takes two pieces of 64 KiB.
    const TWO_BODIES: usize = 4 * (64 << 10);
    let server = Server::with(Setup {
        in_flight: TWO_BODIES,
        ..Setup::default()
    })
    .await;
    let mut hanging = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(large("hang").as_bytes()).await.unwrap();
        hanging.push(stream);
    }
    server.reviewer.has_begun(2).await;
    for path in ["/validate", "/mutate"] {
        // Without waiting for its turn.
        let large = large("{}").replace("/validate", &format!("{path}?timeout=30s"));
        let mut stream = server.connect().await;
        let answer = timeout(PATIENCE, ask(&mut stream, &large)).await.unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("1"));
        let (message, reason, _) = answer.status_object();
        assert_eq!(message, "too many reviews at once; retry");
        assert_eq!(reason, "ServiceUnavailable");
        // Small ones are no burden.
        let answer = ask(&mut server.connect().await, &post(path, "{}")).await;
        assert_eq!(answer.status, 200);
    }
    for (length, status) in [(16 << 10, 200), ((16 << 10) + 1, 503)] {
        let request = post("/validate", &"x".repeat(length));
        let answer = ask(&mut server.connect().await, &request).await;
        assert_eq!(answer.status, status, "{length} bytes");
    }
    assert_eq!(server.rejected("overloaded"), Some(3.0));
    server.reviewer.release();
    for mut stream in hanging {
        assert_eq!(receive(&mut stream).await.unwrap().status, 200);
    }
    let answer = ask(&mut server.connect().await, &large("{}")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn two_large_reviews_are_judged_at_once_and_others_wait_for_their_turn() {
    let server = Server::start().await;
    let mut hanging = Vec::new();
    for _ in 0..3 {
        let mut stream = server.connect().await;
        stream.write_all(large("hang").as_bytes()).await.unwrap();
        hanging.push(stream);
    }
    server.reviewer.has_begun(2).await;
    let huge = post("/validate?timeout=200ms", &"x".repeat(1 << 20));
    assert_eq!(ask(&mut server.connect().await, &huge).await.status, 503);
    let late = large("hang").replace("/validate", "/validate?timeout=200ms");
    let answer = ask(&mut server.connect().await, &late).await;
    assert_eq!(answer.status, 503);
    assert_eq!(server.reviewer.reviewed.load(Ordering::SeqCst), 2);
    server.reviewer.release();
    for mut stream in hanging {
        assert_eq!(receive(&mut stream).await.unwrap().status, 200);
    }
    let huge = post("/validate", &"x".repeat(1 << 20));
    assert_eq!(ask(&mut server.connect().await, &huge).await.status, 200);
}

#[tokio::test]
async fn a_large_review_that_waits_for_others_gives_its_turn_back() {
    let server = Server::start().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut stream = server.connect().await;
        stream.write_all(large("wait").as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    // There are two turns.
    server.reviewer.has_begun(3).await;
    server.reviewer.release();
    for mut stream in waiting {
        assert_eq!(receive(&mut stream).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn requests_whose_body_has_not_begun_take_nothing_from_others() {
    let server = Server::with(Setup {
        in_flight: 1,
        ..Setup::default()
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut stream = server.connect().await;
        let head = post("/validate", "").replace("Length: 0", "Length: 10");
        stream.write_all(head.as_bytes()).await.unwrap();
        idle.push(stream);
    }
    until("the requests to be in flight", async || {
        server.metric("requests_in_flight") == Some(3.0)
    })
    .await;
    let answer = ask(&mut server.connect().await, &post("/validate", "{}")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn long_bodies_share_what_may_be_in_flight() {
    let server = Server::with(Setup {
        in_flight: 1 << 20,
        ..Setup::default()
    })
    .await;
    let mut stream = server.connect().await;
    let answer = ask(&mut stream, &post("/validate", &"x".repeat(1 << 20))).await;
    assert_eq!(answer.status, 200);
    let answer = ask(&mut stream, &post("/validate", &"x".repeat((1 << 20) + 1))).await;
    assert_eq!(answer.status, 503);
    // What was only announced takes nothing from others.
    let mut idle = server.connect().await;
    let head = post("/validate", "").replace("Length: 0", "Length: 8000000");
    idle.write_all(head.as_bytes()).await.unwrap();
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &post("/validate", "{}")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_gives_way_to_others() {
    let server = Server::with(Setup {
        in_flight: 128 << 10,
        ..Setup::default()
    })
    .await;
    let mut stalled = server.connect().await;
    let head = post("/validate", "").replace("Length: 0", "Length: 200000");
    let part = head + &" ".repeat(66_000);
    stalled.write_all(part.as_bytes()).await.unwrap();
    // Until then its beginning is still on the way.
    until("it to be evicted", async || {
        let answer = ask(&mut server.connect().await, &large("{}")).await;
        assert_eq!(answer.status, 200);
        server.metric("connections_evicted_total") == Some(1.0)
    })
    .await;
    assert!(receive(&mut stalled).await.is_none());
    let answer = ask(&mut server.connect().await, &large("{}")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let request = post("/validate?timeout=200ms", "").replace("Length: 0", "Length: 100");
    let answer = ask(&mut stream, &(request + "{")).await;
    assert_eq!(answer.status, 408);
    let expected = "the review did not arrive in time".to_owned();
    assert_eq!(
        answer.status_object(),
        (expected, "Timeout".to_owned(), 408)
    );
    assert_eq!(server.rejected("timeout"), Some(1.0));
}

#[tokio::test]
async fn decisions_are_written_before_the_answer_leaves() {
    let (mut reader, writer) = io::pipe().unwrap();
    let server = Server::with(Setup {
        output: writer.into(),
        ..Setup::default()
    })
    .await;
    let mut stream = server.connect().await;
    assert_eq!(
        ask(&mut stream, &post("/validate", "record")).await.status,
        200
    );
    let mut line = [0; 8];
    reader.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"{\"a\":1}\n");
}

#[tokio::test]
async fn a_lost_decision_denies_only_where_that_was_asked_for() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let server = Server::with(Setup {
        output: writer.into(),
        ..Setup::default()
    })
    .await;
    let mut stream = server.connect().await;
    let answer = ask(&mut stream, &post("/validate", "record")).await;
    assert_eq!(answer.body, "{\"phase\":\"validate\",\"bytes\":6}");
    let answer = ask(&mut stream, &post("/validate", "deny")).await;
    assert_eq!((answer.status, &*answer.body), (200, "{\"denied\":true}"));
    assert_eq!(
        server.metric("decision_records_lost_total{reason=\"failed\"}"),
        Some(2.0)
    );
    // What was refused after all is not told as what it was before.
    assert_eq!(*server.reviewer.told.lock().unwrap(), [false, true]);
}
