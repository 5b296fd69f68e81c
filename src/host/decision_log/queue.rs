//! The queue of the decision log: which lines are written next, and how lost lines are reported.
//!
//! It does no input or output and takes no locks.

use super::Lost;
use std::{
    borrow::Cow,
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Who writes the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Attendant {
    /// None yet: the next task that queues a line has to write it.
    #[default]
    Nobody,
    /// A task is writing at this moment, without waiting for the reader.
    Task,
    /// The thread, as soon as the output is writable.
    Thread,
}

/// The lines that wait to be written, and the state of the output.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    last_id: u64,
    pub(super) attendant: Attendant,
    pub(super) closed: bool,
    /// Tasks wait for the attendant to write all lines up to this id.
    awaited: u64,
    /// The log says that lines are lost, and does not yet say that writing succeeds again.
    is_alarmed: bool,
    /// Since when waiting lines could not be written.
    blocked_since: Option<Instant>,
    /// Number of lost lines that no written line has reported yet.
    lost: u64,
    /// A part of a line was written without its end.
    torn: bool,
}

/// A line with its newline.
#[derive(Debug)]
struct Line {
    id: u64,
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    out: usize,
    /// How many lost lines this line reports.
    told: u64,
    done: oneshot::Sender<Result<(), Lost>>,
}

/// What a task gets for a line that it has queued.
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

    /// Notes that a task waits for the attendant to write this line.
    pub(super) fn rely_on(&mut self, id: u64) {
        self.awaited = self.awaited.max(id);
    }

    /// Whether a task already waits for the next line. If not, its task has not resumed yet, and writes the line
    /// together with later ones when it does.
    pub(super) fn is_relied_on(&self) -> bool {
        self.lines
            .front()
            .is_some_and(|line| line.id <= self.awaited)
    }

    /// Removes a line, unless a part of it is already written. Returns whether it was removed.
    pub(super) fn take_back(&mut self, id: u64) -> bool {
        let waits = |line: &Line| line.id == id && line.out == 0;
        let index = self.lines.iter().position(waits);
        let line = index.and_then(|index| self.lines.remove(index));
        self.bytes -= line.as_ref().map_or(0, |line| line.bytes.len());
        line.is_some()
    }

    /// Whether `more` bytes would exceed the `limit` of the queue. An empty queue accepts a line of any length.
    pub(super) fn is_full(&self, more: usize, limit: usize) -> bool {
        self.bytes > 0 && self.bytes + more > limit
    }

    /// Whether nothing could be written for at least `limit`.
    pub(super) fn is_stuck(&self, limit: Duration) -> bool {
        self.blocked_since
            .is_some_and(|since| since.elapsed() >= limit)
    }

    /// Notes that no task has to write: the queue is empty, or its tasks will write it.
    pub(super) fn leave_to_nobody(&mut self) {
        self.attendant = Attendant::Nobody;
        self.blocked_since = None;
    }

    /// Notes that the thread has to write the rest, because that has to wait for the reader.
    pub(super) fn leave_to_thread(&mut self) {
        self.attendant = Attendant::Thread;
        self.blocked_since.get_or_insert_with(Instant::now);
    }

    /// Removes the lines to write next: the first one, and as many others as fit into `limit` bytes together with it.
    pub(super) fn take(&mut self, limit: usize) -> Option<Batch> {
        let first = self.lines.pop_front()?;
        let mut length = first.bytes.len();
        let mut batch = Batch {
            newline: self.torn && first.out == 0,
            // Only a JSON object has a place for the number.
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

    /// Notes that the first `written` bytes of `batch` are written. Notifies the callers of complete lines, and puts
    /// the other lines back at the front of the queue.
    pub(super) fn settle(&mut self, batch: Batch, mut written: usize) -> Settled {
        let (news, replaced) = (batch.news(), batch.replaced());
        let mut lines = VecDeque::from(batch.lines);
        if let (Some(first), true) = (lines.front_mut(), written > 0) {
            // Something was written, so the waiting time starts from zero.
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
                // The caller may have given up meanwhile.
                let _ = line.done.send(Ok(()));
            }
        }
        // Drops unwritten lines whose callers gave up during the write.
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

    /// Removes the next line after its write failed. Returns the channel to its caller.
    pub(super) fn refuse(&mut self) -> Option<oneshot::Sender<Result<(), Lost>>> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.bytes.len();
        self.torn |= line.out > 0;
        self.lost += line.told;
        self.blocked_since = None;
        Some(line.done)
    }

    /// Counts a line as lost. Returns true if the log does not say yet that lines are lost.
    pub(super) fn lose(&mut self) -> bool {
        self.lost += 1;
        !mem::replace(&mut self.is_alarmed, true)
    }

    /// Returns true once, as soon as all lost lines are reported.
    pub(super) fn is_whole_again(&mut self) -> bool {
        self.lost == 0 && mem::take(&mut self.is_alarmed)
    }
}

/// Result of writing a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Number of lost lines that are now reported.
    pub(super) told: u64,
    /// Number of lines that are not completely written.
    pub(super) left: usize,
    /// Number of lines that were dropped, because their callers gave up before any part was written.
    pub(super) abandoned: usize,
}

/// Lines that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Starts with a newline, to end a line of which only a part was written.
    newline: bool,
    /// How many lost lines the first line reports.
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

    /// What is written before the first line: a newline, the number of lost lines, or nothing.
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

    /// How many bytes at the start of the first line are replaced: its opening brace, if lost lines are reported.
    fn replaced(&self) -> usize {
        usize::from(self.told > 0)
    }
}

#[cfg(test)]
mod tests;
