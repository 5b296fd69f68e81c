//! The decision log's end, against real files and pipes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail as a test does"
)]

use futures_util::FutureExt;
use migration_warden::host::decision_log::{LIMIT, Lost, Sink};
use migration_warden::server::metrics::Metrics;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, Read},
    sync::Arc,
    thread,
    time::Duration,
};

fn line(number: usize, len: usize) -> Vec<u8> {
    let head = format!("{{\"n\":{number},\"fill\":\"");
    let fill = "x".repeat(len.saturating_sub(head.len() + 2));
    format!("{head}{fill}\"}}").into_bytes()
}

/// Never, as far as these tests go: the sink's own limit comes first.
fn later() -> tokio::time::Instant {
    tokio::time::Instant::now() + LIMIT * 100
}

fn piped() -> (PipeReader, Sink, Arc<Metrics>) {
    let (reader, writer) = io::pipe().unwrap();
    let metrics = Arc::new(Metrics::new());
    let sink = Sink::new(writer.into(), metrics.lost_lines.clone()).unwrap();
    (reader, sink, metrics)
}

fn lost(metrics: &Metrics, reason: &str) -> u64 {
    let series = format!("migration_warden_decision_records_lost_total{{reason=\"{reason}\"}} ");
    let text = metrics.encode();
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap().parse().unwrap()
}

fn parse(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Writes lines until one is lost; returns how many got through.
async fn fill(sink: &Sink, len: usize) -> usize {
    let mut written = 0;
    while sink.write(line(written, len), later()).await.is_ok() {
        written += 1;
    }
    written
}

/// Whether this line counts as lost without any wait.
fn is_lost_at_once(sink: &Sink, line: Vec<u8>) -> bool {
    let mut write = Box::pin(sink.write(line, later()));
    let now = write.as_mut().now_or_never();
    now == Some(Err(Lost::Blocked))
}

#[tokio::test]
async fn a_line_is_there_before_the_write_returns() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let sink = Sink::new(file.reopen().unwrap().into(), Metrics::new().lost_lines).unwrap();
    sink.write(b"{\"a\":1}".to_vec(), later()).await.unwrap();
    sink.write(b"{\"a\":2}".to_vec(), later()).await.unwrap();
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text, "{\"a\":1}\n{\"a\":2}\n");

    let (mut reader, sink, _) = piped();
    sink.write(b"{\"a\":3}".to_vec(), later()).await.unwrap();
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"{\"a\":3}\n");
}

#[tokio::test]
async fn lines_that_are_ready_together_are_written_together() {
    // A pipe from which each read gets what one write has put in.
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::DIRECT).unwrap();
    let sink = Sink::new(writer, Metrics::new().lost_lines).unwrap();
    let write = |line: &[u8]| sink.write(line.to_vec(), later());
    let (first, second) = tokio::join!(write(b"{\"a\":1}"), write(b"{\"a\":2}"));
    assert_eq!((first, second), (Ok(()), Ok(())));
    let mut bytes = [0; 100];
    let length = rustix::io::read(&reader, &mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"{\"a\":1}\n{\"a\":2}\n");
}

#[tokio::test]
async fn a_line_is_written_even_if_its_task_is_given_up() {
    let (mut reader, sink, metrics) = piped();
    let mut write = Box::pin(sink.write(b"{\"a\":1}".to_vec(), later()));
    assert!(futures_util::poll!(&mut write).is_pending());
    drop(write);
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"{\"a\":1}\n");
    assert_eq!(lost(&metrics, "blocked"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lines_stay_whole_with_many_writers_and_a_pipe_that_is_often_full() {
    const WRITERS: usize = 16;
    const LINES: usize = 250;
    let (reader, sink, metrics) = piped();
    rustix::pipe::fcntl_setpipe_size(&reader, 16 << 10).unwrap();
    let reading = thread::spawn(move || {
        let (mut seen, mut told) = (vec![0_usize; WRITERS * LINES], 0);
        for line in BufReader::with_capacity(8192, reader).lines() {
            let value = parse(&line.unwrap());
            seen[usize::try_from(value["n"].as_u64().unwrap()).unwrap()] += 1;
            told += value["lost"].as_u64().unwrap_or(0);
        }
        (seen, told)
    });
    let sink = Arc::new(sink);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move {
                for number in 0..LINES {
                    // Some short, some of a few pages, some longer than the whole pipe.
                    let len = match number % 50 {
                        0 => 100_000,
                        1..10 => 9_000,
                        _ => 300,
                    };
                    let number = writer * LINES + number;
                    sink.write(line(number, len), later()).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    drop(sink);
    let (seen, told) = reading.join().unwrap();
    assert!(seen.iter().all(|times| *times == 1));
    assert_eq!(
        (told, lost(&metrics, "blocked"), lost(&metrics, "failed")),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_reader_costs_one_wait_and_the_loss_is_told_exactly() {
    let (reader, sink, metrics) = piped();
    let written = fill(&sink, 1000).await;
    assert!(written > 0);
    // The one that found the pipe full has waited; nobody else does.
    for number in 0..20 {
        for len in [1000, 9000] {
            assert!(is_lost_at_once(&sink, line(number, len)));
        }
    }
    assert_eq!(lost(&metrics, "blocked"), 41);

    let mut lines = BufReader::new(reader).lines();
    for _ in 0..written {
        assert!(parse(&lines.next().unwrap().unwrap()).get("lost").is_none());
    }
    sink.write(b"{\"a\":1}".to_vec(), later()).await.unwrap();
    sink.write(b"{\"a\":2}".to_vec(), later()).await.unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "{\"lost\":41,\"a\":1}");
    assert_eq!(lines.next().unwrap().unwrap(), "{\"a\":2}");
    assert_eq!(lost(&metrics, "blocked"), 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_in_time_and_leaves_nothing_behind() {
    let (reader, sink, metrics) = piped();
    let sink = Arc::new(sink);
    // Nobody reads: all of these wait at the same time, none longer than the limit.
    let mut written = 0;
    while tokio::time::timeout(
        Duration::from_millis(50),
        sink.write(line(written, 1000), later()),
    )
    .await
    .is_ok()
    {
        written += 1;
    }
    assert_eq!(lost(&metrics, "blocked"), 1, "the one that was given up");
    let waits: Vec<_> = (0..10)
        .map(|number| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move { sink.write(line(1000 + number, 1000), later()).await })
        })
        .collect();
    for wait in waits {
        assert_eq!(wait.await.unwrap(), Err(Lost::Blocked));
    }
    assert_eq!(lost(&metrics, "blocked"), 11);

    let mut lines = BufReader::new(reader).lines();
    for number in 0..written {
        assert_eq!(parse(&lines.next().unwrap().unwrap())["n"], number);
    }
    sink.write(b"{\"a\":1}".to_vec(), later()).await.unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "{\"lost\":11,\"a\":1}");
    drop(sink);
    assert!(lines.next().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_wakes_up_in_time_loses_nothing() {
    let (reader, sink, metrics) = piped();
    let (wake, woken) = std::sync::mpsc::channel();
    let reading = thread::spawn(move || {
        woken.recv().unwrap();
        BufReader::new(reader).lines().map(Result::unwrap).count()
    });
    for number in 0..200 {
        let mut write = Box::pin(sink.write(line(number, 1000), later()));
        if let Ok(written) = tokio::time::timeout(LIMIT / 10, &mut write).await {
            written.unwrap();
        } else {
            wake.send(()).unwrap();
            write.await.unwrap();
        }
    }
    drop(sink);
    assert_eq!(reading.join().unwrap(), 200);
    assert_eq!(lost(&metrics, "blocked"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_line_that_was_begun_is_finished_and_not_told_as_lost() {
    let (reader, sink, metrics) = piped();
    assert_eq!(
        sink.write(line(0, 100_000), later()).await,
        Err(Lost::Blocked)
    );
    assert!(is_lost_at_once(&sink, line(1, 100)));
    assert_eq!(lost(&metrics, "blocked"), 1);

    let mut lines = BufReader::new(reader).lines();
    assert_eq!(parse(&lines.next().unwrap().unwrap())["n"], 0);
    sink.write(line(2, 100), later()).await.unwrap();
    let next = parse(&lines.next().unwrap().unwrap());
    assert_eq!((&next["n"], &next["lost"]), (&2.into(), &1.into()));
}

#[tokio::test]
async fn a_full_disk_is_told_at_once() {
    let metrics = Arc::new(Metrics::new());
    let full = File::options().write(true).open("/dev/full").unwrap();
    let sink = Sink::new(full.into(), metrics.lost_lines.clone()).unwrap();
    for number in 0..10 {
        // There is no time to wait.
        let result = sink.write(line(number, 100), tokio::time::Instant::now());
        assert_eq!(result.await, Err(Lost::Failed));
    }
    assert_eq!(lost(&metrics, "failed"), 10);
}

#[tokio::test]
async fn a_reader_that_is_gone_is_told_at_once() {
    let (reader, sink, metrics) = piped();
    sink.write(line(0, 100), later()).await.unwrap();
    drop(reader);
    for (number, len) in [(1, 100), (2, 9000), (3, 100_000)] {
        assert_eq!(
            sink.write(line(number, len), later()).await,
            Err(Lost::Failed)
        );
    }
    assert_eq!(lost(&metrics, "failed"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_and_its_slow_reader_are_served_too() {
    let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let metrics = Arc::new(Metrics::new());
    let sink = Sink::new(writer.into(), metrics.lost_lines.clone()).unwrap();
    for number in 0..3 {
        sink.write(line(number, 100), later()).await.unwrap();
    }
    let reading = thread::spawn(move || {
        let lines = BufReader::new(reader).lines();
        lines
            .map(|line| parse(&line.unwrap())["n"].as_u64().unwrap())
            .collect::<Vec<_>>()
    });
    sink.write(line(3, 1_000_000), later()).await.unwrap();
    drop(sink);
    assert_eq!(reading.join().unwrap(), [0, 1, 2, 3]);
}
