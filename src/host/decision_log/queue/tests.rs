//! The queue without an output: what is written next, and what is reported.

use super::*;
use tokio::sync::oneshot::error::TryRecvError;

fn queue(lines: &[&str]) -> (Queue, Vec<Ticket>) {
    let mut queue = Queue::default();
    let tickets = lines
        .iter()
        .map(|line| queue.push(line.as_bytes().to_vec()))
        .collect();
    (queue, tickets)
}

fn settled(told: u64, left: usize) -> Settled {
    Settled {
        told,
        left,
        abandoned: 0,
    }
}

fn text(batch: &Batch) -> String {
    String::from_utf8(batch.bytes().into_owned()).unwrap()
}

#[test]
fn a_batch_is_as_long_as_fits_and_one_line_at_least() {
    let (mut queue, _tickets) = queue(&["{1}\n", "{2}\n", "{333333333}\n", "{4}\n"]);
    assert_eq!(text(&queue.take(8).unwrap()), "{1}\n{2}\n");
    assert_eq!(text(&queue.take(8).unwrap()), "{333333333}\n");
    assert_eq!(text(&queue.take(8).unwrap()), "{4}\n");
    assert!(queue.take(8).is_none());
    assert_eq!(queue.bytes, 0);
}

#[test]
fn what_is_not_written_comes_again_and_what_is_not_begun_can_be_taken_back() {
    let lines = ["{1}\n", "{2}\n", "{3}\n"];
    for (written, whole, rest) in [
        (0, 0, "{1}\n{2}\n{3}\n"),
        (2, 0, "}\n{2}\n{3}\n"),
        (4, 1, "{2}\n{3}\n"),
        (5, 1, "2}\n{3}\n"),
        (11, 2, "\n"),
        (12, 3, ""),
    ] {
        let (mut queue, mut tickets) = queue(&lines);
        let batch = queue.take(100).unwrap();
        let left = lines.len() - whole;
        assert_eq!(queue.settle(batch, written), settled(0, left));
        for (index, ticket) in tickets.iter_mut().enumerate() {
            let result = ticket.done.try_recv();
            let expected = if index < whole {
                Ok(Ok(()))
            } else {
                Err(TryRecvError::Empty)
            };
            assert_eq!(result, expected, "{written}");
        }
        let again = queue.take(100);
        assert_eq!(again.as_ref().map_or_else(String::new, text), rest);
        if let Some(batch) = again {
            queue.settle(batch, 0);
        }
        let is_begun = written % 4 > 0;
        for (index, ticket) in tickets.iter().enumerate() {
            let waits = index >= whole + usize::from(is_begun);
            assert_eq!(queue.take_back(ticket.id), waits, "{written}");
        }
    }
}

#[test]
fn a_line_that_is_given_up_while_it_is_tried_is_not_put_back_unless_begun() {
    for (written, left, abandoned) in [(0, 0, 2), (2, 1, 1), (4, 0, 1)] {
        let (mut queue, tickets) = queue(&["{1}\n", "{2}\n"]);
        let batch = queue.take(100).unwrap();
        for mut ticket in tickets {
            assert!(!queue.take_back(ticket.id));
            ticket.done.close();
        }
        let settled = queue.settle(batch, written);
        assert_eq!((settled.left, settled.abandoned), (left, abandoned));
        assert_eq!(queue.lines.len(), left);
    }
}

#[test]
fn lines_are_relied_on_up_to_the_last_one_asked_for() {
    let (mut queue, tickets) = queue(&["{1}\n", "{2}\n", "{3}\n"]);
    queue.rely_on(tickets[1].id);
    queue.rely_on(tickets[0].id);
    for relied_on in [true, true, false] {
        assert_eq!(queue.is_relied_on(), relied_on);
        drop(queue.take(0));
    }
    assert!(!queue.is_relied_on());
}

#[test]
fn the_lost_ones_are_told_once() {
    let (mut queue, _tickets) = queue(&["{\"a\":1}\n", "{\"a\":2}\n"]);
    queue.lost = 3;
    let batch = queue.take(8).unwrap();
    // Another line is lost while this one is written, and is reported later.
    queue.lose();
    assert_eq!(text(&batch), "{\"lost\":3,\"a\":1}\n");
    assert_eq!(queue.settle(batch, 5), settled(0, 1));
    let batch = queue.take(8).unwrap();
    assert_eq!(text(&batch), "t\":3,\"a\":1}\n");
    assert_eq!(queue.settle(batch, 12), settled(3, 0));
    assert_eq!(text(&queue.take(8).unwrap()), "{\"lost\":1,\"a\":2}\n");
}

#[test]
fn a_line_that_is_refused_half_way_is_ended_by_the_next_one() {
    let (mut queue, _tickets) = queue(&["{\"a\":1}\n", "{\"a\":2}\n", "{\"a\":3}\n"]);
    queue.lost = 2;
    let batch = queue.take(8).unwrap();
    queue.settle(batch, 4);
    assert!(queue.refuse().is_some());
    queue.lose();
    let batch = queue.take(8).unwrap();
    assert_eq!(text(&batch), "\n{\"lost\":3,\"a\":2}\n");
    // Nothing of the batch was written, so the next attempt reports the same.
    queue.settle(batch, 0);
    let batch = queue.take(8).unwrap();
    assert_eq!(text(&batch), "\n{\"lost\":3,\"a\":2}\n");
    queue.settle(batch, 19);
    assert_eq!(text(&queue.take(8).unwrap()), "{\"a\":3}\n");
}
