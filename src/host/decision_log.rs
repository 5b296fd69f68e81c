//! Writes decision lines: the kernel has a whole line before the response to its review is sent.
//!
//! A slow or missing reader delays a review by at most [`LIMIT`]. After that the response is sent without its line. The
//! loss is counted and logged, and the next line that is written contains the number of lost lines. [`crate::core`]
//! composes the lines, and the caller decides what a lost line means for the response.
//!
//! A task that has queued a line first yields to other tasks that are ready, because they may queue lines too. The
//! first task that resumes writes all lines in one system call: a call that wakes the reader costs as much as
//! evaluating a review. If a write might have to wait (a full pipe, a terminal), the writer thread does it. Lines
//! stay in the queue until they can be written, so that a caller that gives up can still remove its own line.
//!
//! One thread that writes all lines would need 250 lines of code less. A logged review of 3.5 KB then costs 51 µs of CPU
//! instead of 34, in the same run of `cargo bench`.

mod queue;

use self::queue::{Attendant, Queue, Ticket};
use crate::host::line_writer::{Attempt, LineWriter};
use crate::host::metrics::{Counters, Registry};
use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, Thread},
    time::Duration,
};
use strum::{IntoStaticStr, VariantNames};
use tokio::{
    sync::oneshot::error::TryRecvError,
    task::yield_now,
    time::{Instant, timeout_at},
};

/// The longest time that a line delays the response to its review.
pub const LIMIT: Duration = Duration::from_millis(500);

/// Maximum size of the queue. Callers give up after [`LIMIT`], so the queue only holds the lines of that time.
const QUEUE_BYTES: usize = 8 << 20;

/// How often the writer thread, while it waits for a full pipe, checks whether the sink was dropped.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Why a line was not written before the response was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Lost {
    /// The reader was too slow.
    #[error("failed to write the decision line: the reader of stdout is too slow")]
    Blocked,
    /// The write failed, for example because the disk is full or the pipe is closed.
    #[error("failed to write the decision line: stdout is closed or the disk is full")]
    Failed,
}

/// Counts the lines that were not written before the response was sent. Clones share the values.
#[derive(Clone, Debug)]
pub struct LostLines(Counters);

impl LostLines {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        Self(registry.counters(
            "decision_records_lost",
            "Decision lines that were not written before the response was sent, by reason",
            "reason",
            Lost::VARIANTS,
        ))
    }
}

/// How many times a task writes before it leaves the rest to the thread, because its own response waits meanwhile.
const MAX_WRITES: usize = 16;

/// The output of the decision log. There is one per process.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    output: LineWriter,
    lost: LostLines,
    queue: Mutex<Queue>,
}

impl Sink {
    /// Creates a sink that writes to `fd`.
    ///
    /// Fails if the type of `fd` cannot be determined or the writer thread cannot be started.
    pub fn new(fd: OwnedFd, lost: LostLines) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            output: LineWriter::new(fd)?,
            lost,
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
    /// Returns when the kernel has the whole line. Fails at `deadline`, or after [`LIMIT`] if that is sooner. If a part
    /// of the line was already written by then, the rest follows later, and the line does not count as lost.
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
        // The line may have been written a moment ago.
        waiting.ticket.done.try_recv().unwrap_or(Err(Lost::Blocked))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.writer.unpark();
    }
}

/// A queued line whose caller waits for it to be written.
///
/// If it is dropped before the first attempt to write, the attempt is made then, without waiting: the decision was
/// made, so its line should be written. If that fails, the line is removed from the queue.
struct Waiting<'a> {
    sink: &'a Sink,
    ticket: Ticket,
    is_due: bool,
    is_settled: bool,
}

impl Waiting<'_> {
    /// Writes the queue, unless another task or the thread is already writing it.
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
        // A writer that is trying to write the line at this moment can see that its caller has given up.
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

    /// Writes the queue without waiting, unless another task or the thread is already writing it. Returns who has to
    /// write the rest.
    fn attend(&self, id: u64) -> Attendant {
        let mut queue = self.lock();
        queue.rely_on(id);
        if queue.attendant == Attendant::Nobody {
            queue.attendant = Attendant::Task;
            queue = self.drain(queue, false);
        }
        queue.attendant
    }

    /// Writes the queue. Unless `patient`, lines that would have to wait are left to the thread.
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
            // The lock is released, so that other tasks can queue lines, or notice that writing takes too long and
            // give up.
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
            let settled = queue.settle(batch, written);
            if settled.told > 0 && queue.is_whole_again() {
                tracing::info!(lost = settled.told, "writing decision lines succeeds again");
            }
            for _ in 0..settled.abandoned {
                self.lose(&mut queue, Lost::Blocked);
            }
            if failed {
                self.refuse(&mut queue, settled.left);
            } else if settled.left > 0 {
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
                // The caller may have given up meanwhile.
                let _ = done.send(Err(Lost::Failed));
            }
        }
    }

    fn lose(&self, queue: &mut Queue, why: Lost) {
        self.lost.0.inc(why);
        if queue.lose() {
            tracing::error!(
                reason = <&str>::from(why),
                "{why}; reviews are answered without their lines until writing succeeds again"
            );
        }
    }

    /// The writer thread. It writes what the tasks could not write without waiting.
    fn run(&self) {
        let mut queue = self.lock();
        while !queue.closed {
            let has_to_write = queue.attendant == Attendant::Thread;
            drop(queue);
            if !has_to_write {
                thread::park();
            }
            // Lines stay in the queue meanwhile, so that callers can still remove them.
            let writable = has_to_write && self.output.writable(LOOK_UP);
            queue = self.lock();
            if writable {
                queue = self.drain(queue, true);
            }
        }
    }
}
