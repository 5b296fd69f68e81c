//! Where decision lines go: each is handed to the kernel whole, before its answer leaves.
//!
//! A reader that is slow or gone costs a review at most [`LIMIT`]; then the answer leaves without
//! its line, which is counted, alarmed, and told in the next line that gets through. Not for
//! making lines, and not for deciding what a lost one means for the answer.
//!
//! A task with a line first lets those run that are ready to, and may have lines, too; who comes
//! back first writes all of them at once. A system call that wakes the reader costs as much as
//! judging a review. Only where a write could wait (a full pipe, a terminal) the one writer thread
//! does it, and lines stay in the queue until they can be written, so that a caller who gives up
//! can still take its own back.

mod queue;

use self::queue::{Attendant, Queue, Settled, Ticket};
use crate::host::metrics::Metrics;
use crate::host::line_writer::{Attempt, LineWriter};
use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, Thread},
    time::Duration,
};
use tokio::{
    sync::oneshot::error::TryRecvError,
    task::yield_now,
    time::{Instant, timeout_at},
};

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
    #[error("failed to write the decision line: the reader of stdout is too slow")]
    Blocked,
    /// The kernel refused it: a full disk, a closed pipe.
    #[error("failed to write the decision line: stdout is closed or its disk is full")]
    Failed,
}

impl Lost {
    /// The reason as metrics spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }
}

/// How many times a task writes before it leaves the rest to the thread: its own answer waits.
const MAX_WRITES: usize = 16;

/// The decision log's end. One per process.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    output: LineWriter,
    metrics: Arc<Metrics>,
    queue: Mutex<Queue>,
}

impl Sink {
    /// A sink that writes to `fd`.
    ///
    /// Fails when the descriptor cannot be examined or the writer thread cannot be started.
    pub fn new(fd: OwnedFd, metrics: Arc<Metrics>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            output: LineWriter::new(fd)?,
            metrics,
            queue: Mutex::default(),
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
    /// Returns when the kernel has the whole line, or at `deadline` without it, or after [`LIMIT`]
    /// if that is sooner. A line whose writing has begun when the time is over is finished all the
    /// same, late, and is then not told as lost in the log.
    pub async fn write(&self, line: Vec<u8>, deadline: Instant) -> Result<(), Lost> {
        let deadline = deadline.min(Instant::now() + LIMIT);
        let mut waiting = Waiting {
            sink: self,
            ticket: self.shared.submit(line)?,
            is_due: true,
            is_settled: false,
        };
        yield_now().await;
        waiting.begin();
        let result = match waiting.ticket.done.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Closed) => Some(Err(Lost::Failed)),
            Err(TryRecvError::Empty) => timeout_at(deadline, &mut waiting.ticket.done)
                .await
                .ok()
                .map(|result| result.unwrap_or(Err(Lost::Failed))),
        };
        if let Some(result) = result {
            waiting.is_settled = true;
            return result;
        }
        waiting.give_up();
        // It may have been written just now.
        waiting.ticket.done.try_recv().unwrap_or(Err(Lost::Blocked))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.writer.unpark();
    }
}

/// The wish for a line to be written.
///
/// Whoever drops it before it was begun has the line written all the same, if that needs no
/// waiting: the decision was made. Later it is taken back.
struct Waiting<'a> {
    sink: &'a Sink,
    ticket: Ticket,
    is_due: bool,
    is_settled: bool,
}

impl Waiting<'_> {
    /// Writes what is queued, unless somebody else has.
    fn begin(&mut self) {
        self.is_due = false;
        if self.sink.shared.attend(self.ticket.id) == Attendant::Thread {
            self.sink.writer.unpark();
        }
    }

    fn give_up(&mut self) {
        self.is_settled = true;
        let shared = &self.sink.shared;
        let mut queue = shared.lock();
        if queue.take_back(self.ticket.id) {
            shared.lose(&mut queue, Lost::Blocked);
        }
        // Whoever is trying to write it at this moment sees that nobody waits.
        self.ticket.done.close();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_due {
            self.begin();
        }
        if !self.is_settled {
            self.give_up();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, mut line: Vec<u8>) -> Result<Ticket, Lost> {
        line.push(b'\n');
        let mut queue = self.lock();
        let is_stuck = queue.is_stuck(LIMIT) && !self.output.writable(Duration::ZERO);
        if is_stuck || queue.is_full(line.len(), QUEUE_BYTES) {
            self.lose(&mut queue, Lost::Blocked);
            return Err(Lost::Blocked);
        }
        Ok(queue.push(line))
    }

    /// Writes what is queued without waiting, unless somebody is at it. Tells who has to write
    /// what is left.
    fn attend(&self, id: u64) -> Attendant {
        let mut queue = self.lock();
        queue.rely_on(id);
        if queue.attendant == Attendant::Nobody {
            queue.attendant = Attendant::Task;
            queue = self.drain(queue, false);
        }
        queue.attendant
    }

    /// Writes what is queued. Who is not `patient` leaves to the thread what would have to wait.
    fn drain<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        patient: bool,
    ) -> MutexGuard<'a, Queue> {
        for _ in 0..MAX_WRITES {
            let Some(batch) = queue.take(self.output.at_once()) else {
                queue.leave_to_nobody();
                return queue;
            };
            // Without the lock, so that others can queue their lines, or see how long it takes
            // and give up.
            drop(queue);
            let bytes = batch.bytes();
            let mut attempt = self.output.attempt(&bytes);
            if patient && matches!(attempt, Attempt::MayWait) {
                attempt = self.output.write_all(&bytes);
            }
            let (written, failed) = match attempt {
                Attempt::Written(written) => (written, false),
                Attempt::Failed { written } => (written, true),
                Attempt::WouldWait | Attempt::MayWait => (0, false),
            };
            drop(bytes);
            queue = self.lock();
            let Settled {
                told,
                left,
                abandoned,
            } = queue.settle(batch, written);
            if told > 0 && queue.is_whole_again() {
                tracing::info!(lost = told, "writing decision lines succeeds again");
            }
            for _ in 0..abandoned {
                self.lose(&mut queue, Lost::Blocked);
            }
            if failed {
                self.refuse(&mut queue, left);
            } else if left > 0 {
                break;
            }
            if !patient && !queue.is_relied_on() {
                queue.leave_to_nobody();
                return queue;
            }
        }
        queue.leave_to_thread();
        queue
    }

    fn refuse(&self, queue: &mut Queue, lines: usize) {
        for _ in 0..lines {
            if let Some(done) = queue.refuse() {
                self.lose(queue, Lost::Failed);
                // Its waiter may have given up meanwhile.
                let _ = done.send(Err(Lost::Failed));
            }
        }
    }

    fn lose(&self, queue: &mut Queue, why: Lost) {
        self.metrics.record_lost(why.as_str());
        if queue.lose() {
            tracing::error!(
                reason = why.as_str(),
                "{why}; reviews are answered without their lines until writing succeeds again"
            );
        }
    }

    /// The writer thread: what could not be written in the calling task.
    fn run(&self) {
        let mut queue = self.lock();
        while !queue.closed {
            let has_to_write = queue.attendant == Attendant::Thread;
            drop(queue);
            if !has_to_write {
                thread::park();
                queue = self.lock();
                continue;
            }
            // The lines stay in the queue meanwhile.
            let writable = self.output.writable(LOOK_UP);
            queue = self.lock();
            if writable {
                queue = self.drain(queue, true);
            }
        }
    }
}
