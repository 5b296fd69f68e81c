//! Lines on their way to the decision log: which go out next, and what is told of lost ones.
//!
//! No input or output here, and no locks.

use super::Lost;
use std::{
    borrow::Cow,
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Who writes what is queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Attendant {
    /// Nobody yet: whoever has queued a line has to see to it.
    #[default]
    Nobody,
    /// A task, at this moment, without waiting for the reader.
    Task,
    /// The thread, as soon as the reader lets it.
    Thread,
}

/// The lines that wait to be written, and the state of what they are written to.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    last_id: u64,
    pub(super) attendant: Attendant,
    pub(super) closed: bool,
    /// Lines up to this id are relied on to be written by the attendant.
    awaited: u64,
    /// Somebody was told that lines are lost, and not yet that they are written again.
    is_alarmed: bool,
    /// Since when nothing that wants to be written could be.
    blocked_since: Option<Instant>,
    /// Lines lost since the last one that got through.
    lost: u64,
    /// A part of a line is out without its end.
    torn: bool,
}

/// A line, newline included.
#[derive(Debug)]
struct Line {
    id: u64,
    bytes: Vec<u8>,
    /// How many of `bytes` are out already.
    out: usize,
    /// How many lost lines it tells of.
    told: u64,
    done: oneshot::Sender<Result<(), Lost>>,
}

/// What the task has that queued a line.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) id: u64,
    pub(super) done: oneshot::Receiver<Result<(), Lost>>,
}

impl Queue {
    pub(super) fn push(&mut self, bytes: Vec<u8>) -> Ticket {
        self.last_id += 1;
        let id = self.last_id;
        self.bytes += bytes.len();
        let (sender, done) = oneshot::channel();
        self.lines.push_back(Line {
            id,
            bytes,
            out: 0,
            told: 0,
            done: sender,
        });
        if self.attendant == Attendant::Thread {
            self.blocked_since.get_or_insert_with(Instant::now);
        }
        Ticket { id, done }
    }

    /// A task relies on whoever writes to write this line, too.
    pub(super) fn rely_on(&mut self, id: u64) {
        self.awaited = self.awaited.max(id);
    }

    /// Whether a task relies on the next line to be written now. Others have yet to come back, with
    /// more lines beside theirs.
    pub(super) fn is_relied_on(&self) -> bool {
        self.lines
            .front()
            .is_some_and(|line| line.id <= self.awaited)
    }

    /// Removes a line whose writing has not begun; false when it has.
    pub(super) fn take_back(&mut self, id: u64) -> bool {
        let waits = |line: &Line| line.id == id && line.out == 0;
        let index = self.lines.iter().position(waits);
        let line = index.and_then(|index| self.lines.remove(index));
        self.bytes -= line.as_ref().map_or(0, |line| line.bytes.len());
        line.is_some()
    }

    /// Whether more than `limit` bytes would wait with `more` of them. One line always may.
    pub(super) fn is_full(&self, more: usize, limit: usize) -> bool {
        self.bytes > 0 && self.bytes + more > limit
    }

    /// Whether what has to be waited for has not moved for `limit`.
    pub(super) fn is_stuck(&self, limit: Duration) -> bool {
        self.blocked_since
            .is_some_and(|since| since.elapsed() >= limit)
    }

    /// All is written, as far as can be known without asking the output.
    pub(super) fn leave_to_nobody(&mut self) {
        self.attendant = Attendant::Nobody;
        self.blocked_since = None;
    }

    /// The thread has to write the rest, waiting for the reader.
    pub(super) fn leave_to_thread(&mut self) {
        self.attendant = Attendant::Thread;
        self.blocked_since.get_or_insert_with(Instant::now);
    }

    /// What to write next: a line, and as many of those behind it as fit `limit` bytes with it.
    pub(super) fn take(&mut self, limit: usize) -> Option<Batch> {
        let first = self.lines.pop_front()?;
        let mut length = first.bytes.len();
        let mut batch = Batch {
            newline: self.torn && first.out == 0,
            // What is no object has no place for the number.
            told: if first.out == 0 && first.bytes.starts_with(b"{") {
                self.lost
            } else {
                0
            },
            lines: vec![first],
        };
        while let Some(next) = self.lines.front()
            && length + next.bytes.len() <= limit
        {
            length += next.bytes.len();
            batch.lines.extend(self.lines.pop_front());
        }
        self.bytes -= length;
        Some(batch)
    }

    /// The output has taken the first `written` bytes of `batch`: answers those whose lines are
    /// whole, and puts the others back in front.
    pub(super) fn settle(&mut self, batch: Batch, mut written: usize) -> Settled {
        let (news, replaced) = (batch.news(), batch.replaced());
        let mut lines = VecDeque::from(batch.lines);
        if let (Some(first), true) = (lines.front_mut(), written > 0) {
            // The output moves, so whatever waits now waits anew.
            self.blocked_since = None;
            self.torn &= !batch.newline;
            self.lost -= batch.told;
            first.told += batch.told;
            first.bytes.splice(..replaced, news);
        }
        let mut told = 0;
        while let Some(line) = lines.front_mut() {
            let more = written.min(line.bytes.len() - line.out);
            written -= more;
            line.out += more;
            if line.out < line.bytes.len() {
                break;
            }
            told += line.told;
            if let Some(line) = lines.pop_front() {
                // Its waiter may have given up meanwhile.
                let _ = line.done.send(Ok(()));
            }
        }
        // Their waiters have given up while they were being tried.
        let before = lines.len();
        lines.retain(|line| line.out > 0 || !line.done.is_closed());
        let (left, abandoned) = (lines.len(), before - lines.len());
        while let Some(line) = lines.pop_back() {
            self.bytes += line.bytes.len();
            self.lines.push_front(line);
        }
        Settled {
            told,
            left,
            abandoned,
        }
    }

    /// The output refuses the next line.
    pub(super) fn refuse(&mut self) -> Option<oneshot::Sender<Result<(), Lost>>> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.bytes.len();
        self.torn |= line.out > 0;
        self.lost += line.told;
        self.blocked_since = None;
        Some(line.done)
    }

    /// Counts a line as lost; true when that is news.
    pub(super) fn lose(&mut self) -> bool {
        self.lost += 1;
        !mem::replace(&mut self.is_alarmed, true)
    }

    /// True when no line is lost any more that was not told of, and that is news.
    pub(super) fn is_whole_again(&mut self) -> bool {
        self.lost == 0 && mem::take(&mut self.is_alarmed)
    }
}

/// What came of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Lost lines that are now told of.
    pub(super) told: u64,
    /// Lines that are not out yet.
    pub(super) left: usize,
    /// Lines that nobody waits for any more, and that were not begun: they are not written.
    pub(super) abandoned: usize,
}

/// Lines that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Ends a line of which only a part will ever be out.
    newline: bool,
    /// How many lost lines the first one tells of.
    told: u64,
    lines: Vec<Line>,
}

impl Batch {
    /// The bytes to write.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        let news = self.news();
        if let (true, [line]) = (news.is_empty(), &self.lines[..]) {
            return Cow::Borrowed(line.bytes.get(line.out..).unwrap_or_default());
        }
        let length: usize = self.lines.iter().map(|line| line.bytes.len()).sum();
        let mut bytes = Vec::with_capacity(news.len() + length);
        bytes.extend_from_slice(&news);
        let mut replaced = self.replaced();
        for line in &self.lines {
            let from = line.out + mem::take(&mut replaced);
            bytes.extend_from_slice(line.bytes.get(from..).unwrap_or_default());
        }
        Cow::Owned(bytes)
    }

    /// What the first line begins with besides its own.
    fn news(&self) -> Vec<u8> {
        let mut news = Vec::new();
        if self.newline {
            news.push(b'\n');
        }
        if self.told > 0 {
            news.extend_from_slice(format!("{{\"lost\":{},", self.told).as_bytes());
        }
        news
    }

    /// How many of the first line's own bytes the news stand for: its brace.
    fn replaced(&self) -> usize {
        usize::from(self.told > 0)
    }
}

#[cfg(test)]
mod tests;
