//! Where decision lines go: each is handed to the kernel whole, before its answer leaves.
//!
//! A reader that is slow or gone costs a review at most [`LIMIT`]; then the answer leaves without
//! its line, which is counted, alarmed, and told in the next line that gets through. Not for
//! making lines, and not for deciding what a lost one means for the answer.
//!
//! Most lines are written in the calling task. Only where that could wait (a full pipe, a long
//! line, a terminal) does a line go to the one writer thread, and stays in its queue until it can
//! be written, so that a caller who gives up can still take it back.

use crate::{
    metrics::Metrics,
    output::{Attempt, Output},
};
use std::{
    borrow::Cow,
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout};

/// The longest a line keeps its answer waiting.
pub const LIMIT: Duration = Duration::from_millis(500);

/// The most that may wait in the queue. Waiters give up after [`LIMIT`], so this only has to hold
/// what comes in within that time.
const QUEUE_BYTES: usize = 8 << 20;

/// How often the writer thread looks up from a full pipe to see whether the sink is gone.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Why a line was not written before its answer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Lost {
    /// The reader did not take it in time.
    #[error("failed to write the decision line: the reader is too slow")]
    Blocked,
    /// The kernel refused it: a full disk, a closed pipe.
    #[error("failed to write the decision line: the output is closed or full")]
    Failed,
}

impl Lost {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Blocked, Self::Failed];

    /// The reason as metrics spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }
}

/// The decision log's end. One per process.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    output: Output,
    metrics: Arc<Metrics>,
    /// Shared by those who write a line that the kernel takes whole, so that they need not wait
    /// for each other; whoever changes it, or could leave a part of a line, has it alone.
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    queued_bytes: usize,
    next_id: u64,
    /// The thread is in the middle of a line, without the lock.
    writing: bool,
    /// Since when nothing that wants to be written could be.
    blocked_since: Option<Instant>,
    /// Lines lost since the last one that got through.
    lost: u64,
    /// A part of a line is out without its end.
    torn: bool,
    closed: bool,
}

/// A line, newline included, that waits for the thread.
#[derive(Debug)]
struct Job {
    id: u64,
    line: Vec<u8>,
    done: oneshot::Sender<Result<(), Lost>>,
}

enum Submitted<'a> {
    Settled(Result<(), Lost>),
    Queued(Waiting<'a>),
}

/// The wish for a queued line to be written. Dropping it takes the line back.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
    done: oneshot::Receiver<Result<(), Lost>>,
}

impl Sink {
    /// A sink that writes to `fd`.
    ///
    /// Fails when the descriptor cannot be examined or the writer thread cannot be started.
    pub fn new(fd: OwnedFd, metrics: Arc<Metrics>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            output: Output::new(fd)?,
            metrics,
            state: RwLock::default(),
        });
        let work = Arc::clone(&shared);
        let writer = thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || work.run())?
            .thread()
            .clone();
        Ok(Self { shared, writer })
    }

    /// Writes one line: a JSON object with at least one field, without a newline.
    ///
    /// Returns when the kernel has the whole line, or after at most [`LIMIT`] without it. A line
    /// whose writing has begun when the time is over is finished all the same, late, and is then
    /// not told as lost in the log.
    pub async fn write(&self, line: Vec<u8>) -> Result<(), Lost> {
        let mut waiting = match self.shared.submit(line) {
            Submitted::Settled(result) => return result,
            Submitted::Queued(waiting) => waiting,
        };
        self.writer.unpark();
        match timeout(LIMIT, &mut waiting.done).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Lost::Failed),
            Err(_) => {
                waiting.shared.take_back(waiting.id);
                waiting.done.try_recv().unwrap_or(Err(Lost::Blocked))
            }
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.writer.unpark();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.take_back(self.id);
    }
}

impl Shared {
    fn lock(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, mut line: Vec<u8>) -> Submitted<'_> {
        line.push(b'\n');
        if self.attempt_shared(&line) {
            return Submitted::Settled(Ok(()));
        }
        let mut state = self.lock();
        if !state.writing && state.queue.is_empty() {
            match self.attempt(&mut state, &line) {
                Attempt::Written => return Submitted::Settled(Ok(())),
                Attempt::Failed { .. } => return Submitted::Settled(Err(Lost::Failed)),
                Attempt::WouldWait | Attempt::MayWait => {}
            }
        }
        let stuck = state
            .blocked_since
            .is_some_and(|since| since.elapsed() >= LIMIT)
            && !self.output.writable(Duration::ZERO);
        let full = state.queued_bytes > 0 && state.queued_bytes + line.len() > QUEUE_BYTES;
        if stuck || full {
            self.lose(&mut state, Lost::Blocked);
            return Submitted::Settled(Err(Lost::Blocked));
        }
        state.blocked_since.get_or_insert_with(Instant::now);
        let id = state.next_id;
        state.next_id += 1;
        state.queued_bytes += line.len();
        let (sender, done) = oneshot::channel();
        state.queue.push_back(Job {
            id,
            line,
            done: sender,
        });
        Submitted::Queued(Waiting {
            shared: self,
            id,
            done,
        })
    }

    /// Removes a line that the thread has not begun and counts it as lost.
    fn take_back(&self, id: u64) {
        let mut state = self.lock();
        let Some(index) = state.queue.iter().position(|job| job.id == id) else {
            return;
        };
        if let Some(job) = state.queue.remove(index) {
            state.queued_bytes -= job.line.len();
            self.lose(&mut state, Lost::Blocked);
        }
    }

    /// Writes a line beside others, if there is nothing to tell, nothing to wait for, and no way
    /// to leave a part of it.
    fn attempt_shared(&self, line: &[u8]) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.is_clear()
            && self.output.takes_whole(line)
            && matches!(self.output.attempt(line), Attempt::Written)
    }

    /// Writes a line if that needs no waiting.
    fn attempt(&self, state: &mut State, line: &[u8]) -> Attempt {
        let (line, told) = state.compose(line);
        let attempt = self.output.attempt(&line);
        match attempt {
            Attempt::Written => state.settle(told),
            Attempt::Failed { torn } => self.fail(state, torn),
            Attempt::WouldWait | Attempt::MayWait => {}
        }
        attempt
    }

    fn fail(&self, state: &mut State, torn: bool) {
        state.torn |= torn;
        state.moved();
        self.lose(state, Lost::Failed);
    }

    fn lose(&self, state: &mut State, why: Lost) {
        state.lost += 1;
        self.metrics.record_lost(why);
        if state.lost == 1 {
            tracing::error!(
                reason = why.as_str(),
                "{why}; answers go out without their lines until it can be written again"
            );
        }
    }

    /// The writer thread: what could not be written in the calling task.
    fn run(&self) {
        let mut state = self.lock();
        loop {
            while state.queue.is_empty() && !state.closed {
                drop(state);
                thread::park();
                state = self.lock();
            }
            if state.closed {
                return;
            }
            // Without the lock, and with the line still in the queue.
            drop(state);
            let writable = self.output.writable(LOOK_UP);
            state = self.lock();
            if !writable {
                continue;
            }
            let Some(job) = state.queue.pop_front() else {
                continue;
            };
            state.queued_bytes -= job.line.len();
            let result = match self.attempt(&mut state, &job.line) {
                Attempt::Written => Ok(()),
                Attempt::Failed { .. } => Err(Lost::Failed),
                Attempt::WouldWait => {
                    state.queued_bytes += job.line.len();
                    state.queue.push_front(job);
                    continue;
                }
                Attempt::MayWait => {
                    let result;
                    (state, result) = self.write_patiently(state, &job.line);
                    result
                }
            };
            // Its waiter may have given up meanwhile.
            let _ = job.done.send(result);
        }
    }

    /// Writes a line without the lock, so that others can see how long it takes and give up.
    fn write_patiently<'a>(
        &'a self,
        mut state: RwLockWriteGuard<'a, State>,
        line: &[u8],
    ) -> (RwLockWriteGuard<'a, State>, Result<(), Lost>) {
        let (line, told) = state.compose(line);
        state.writing = true;
        drop(state);
        let written = self.output.write_all(&line);
        let mut state = self.lock();
        state.writing = false;
        match written {
            Ok(()) => {
                state.settle(told);
                (state, Ok(()))
            }
            Err(torn) => {
                self.fail(&mut state, torn);
                (state, Err(Lost::Failed))
            }
        }
    }
}

impl State {
    /// No line waits or is half out, and none was lost: a line can go out as it is.
    fn is_clear(&self) -> bool {
        self.queue.is_empty() && !self.writing && self.lost == 0 && !self.torn
    }

    /// A line is out, and with it the news of those lost before it.
    fn settle(&mut self, told: u64) {
        self.lost -= told;
        self.torn = false;
        self.moved();
        if told > 0 && self.lost == 0 {
            tracing::info!(lost = told, "the decision log is written again");
        }
    }

    /// The output answered, so whatever waits now waits anew.
    fn moved(&mut self) {
        self.blocked_since = (!self.queue.is_empty()).then(Instant::now);
    }

    /// The line as it goes out, on a fresh line and with the number of those lost before it, and
    /// that number.
    fn compose<'a>(&self, line: &'a [u8]) -> (Cow<'a, [u8]>, u64) {
        let fields = line.strip_prefix(b"{").filter(|_| self.lost > 0);
        if fields.is_none() && !self.torn {
            return (Cow::Borrowed(line), 0);
        }
        let mut bytes = Vec::with_capacity(line.len() + 40);
        if self.torn {
            bytes.push(b'\n');
        }
        let Some(fields) = fields else {
            bytes.extend_from_slice(line);
            return (Cow::Owned(bytes), 0);
        };
        bytes.extend_from_slice(format!("{{\"lost\":{},", self.lost).as_bytes());
        bytes.extend_from_slice(fields);
        (Cow::Owned(bytes), self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_ended_and_the_lost_ones_are_told() {
        let mut state = State::default();
        assert_eq!(state.compose(b"{\"a\":1}\n").0.as_ref(), b"{\"a\":1}\n");
        state.lost = 3;
        state.torn = true;
        let (line, told) = state.compose(b"{\"a\":1}\n");
        assert_eq!((line.as_ref(), told), (&b"\n{\"lost\":3,\"a\":1}\n"[..], 3));
        drop(line);
        state.settle(told);
        assert_eq!(state.compose(b"{\"a\":1}\n").0.as_ref(), b"{\"a\":1}\n");
    }
}
