//! Handles the results of the work: reports written runs, and retries the others later.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Done, Worker};
use crate::cluster::api::{ApiError, TIMEOUT};
use crate::cluster::runs::error::Unwritten;
use crate::cluster::runs::metrics::Wrote;
use crate::cluster::runs::scan::Incomplete;
use crate::cluster::runs::store::Ensured;
use crate::cluster::runs::waiting::{JobKey, Waiting};

/// Pause of all writes if the API server refuses runs altogether.
const REFUSED: Duration = Duration::from_secs(10);
/// Pause after a failed scan.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest pause before a retry of a run.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause if only this replica knows the ending, or if nothing was refused.
const SHORT_PAUSE: Duration = Duration::from_secs(8);

impl Worker<'_> {
    pub(in crate::cluster::runs) fn settle(&mut self, done: Done) {
        match done {
            Done::Ensured(waiting, result) => {
                self.queue.done(&waiting.key.uid);
                if matches!(result, Ok(_) | Err(Unwritten::Denied(_))) {
                    self.answered = Some(Instant::now());
                }
                match result {
                    Ok(ensured) => self.ensured(&waiting, ensured),
                    Err(error) => self.unwritten(*waiting, &error),
                }
            }
            Done::Scanned(full, found) => {
                self.busy.scanning = false;
                match found {
                    Ok(found) => self.found(found),
                    Err(error) => {
                        self.rescan |= full;
                        self.failed("look for incomplete runs", &error);
                    }
                }
            }
            Done::Trimmed(trimmed) => {
                self.busy.trimming = false;
                if let Err(error) = trimmed {
                    self.failed("remove the oldest runs", &error);
                }
            }
        }
    }

    fn found(&mut self, found: Incomplete) {
        self.runs.trouble.over();
        self.since = self.since.min(found.since.unwrap_or(Timestamp::MAX));
        for look in found.looks {
            let wait = if look.suspect {
                self.runs.pace.lost
            } else {
                Duration::ZERO
            };
            let waiting = Waiting::of(look.key, Instant::now() + wait);
            // A later scan finds the others again.
            if let Some(more) = self.queue.put(waiting) {
                self.rescan |= !self.queue.is_refused(&more.key.namespace);
            }
        }
    }

    fn ensured(&mut self, waiting: &Waiting, ensured: Ensured) {
        self.runs.trouble.over();
        let namespace = &waiting.key.namespace;
        match ensured {
            Ensured::Written(change) => {
                self.accepted(namespace);
                self.runs.tell(&change, self.since);
            }
            // Another replica has written the run that could not be written here.
            Ensured::Stored if waiting.tries > 0 => self.accepted(namespace),
            Ensured::Stored | Ensured::Unneeded => {}
        }
    }

    fn accepted(&mut self, namespace: &str) {
        if self.queue.accept(namespace) {
            self.runs.trouble.is_over_in(namespace);
            // Some entries of this namespace may have been dropped for lack of room.
            self.rescan = true;
        }
    }

    fn unwritten(&mut self, mut waiting: Waiting, error: &Unwritten) {
        match error {
            Unwritten::Pointless => return,
            Unwritten::Hopeless(_) => {
                self.runs.metrics.wrote(Wrote::Dropped);
                let JobKey { namespace, job, .. } = &waiting.key;
                tracing::error!(%error, %namespace, %job, "failed to write the run of a migration, giving up");
                return;
            }
            _ => self.pause(&waiting.key, error),
        }
        // Only this replica knows an end from a review; the others would finally record the run as lost.
        let is_alone = waiting.words.is_some() && !matches!(error, Unwritten::Denied(_));
        let longest = if is_alone { SHORT_PAUSE } else { LONGEST_PAUSE };
        self.runs.metrics.wrote(Wrote::Failed);
        let pause = Duration::from_secs(1 << waiting.tries.min(6)).min(longest);
        // Another replica may know how it ended, and may also be unable to write.
        let pause = if waiting.is_suspect() {
            pause.max(self.runs.pace.lost)
        } else {
            pause
        };
        waiting.tries += 1;
        waiting.due = Instant::now() + pause;
        let dropped = self.queue.restore(waiting);
        self.dropped(dropped);
    }

    /// Pauses what the error is about: this namespace, or all writes.
    fn pause(&mut self, key: &JobKey, error: &Unwritten) {
        let JobKey { namespace, job, .. } = key;
        let now = Instant::now();
        match error {
            Unwritten::Refused(_) => self.refused(error),
            Unwritten::Denied(why) => {
                self.runs.trouble.is_in(namespace, why);
                self.queue.refuse(namespace, now, LONGEST_PAUSE);
            }
            // A slow webhook there may have the same time limit as this request.
            Unwritten::Later(ApiError::Timeout) if self.queue.is_refused(namespace) => {
                self.runs.trouble.is_in(namespace, &error.to_string());
                let is_elsewhere = self.answered.is_some_and(|at| at.elapsed() < TIMEOUT);
                let longest = if is_elsewhere {
                    LONGEST_PAUSE
                } else {
                    SHORT_PAUSE
                };
                self.queue.refuse(namespace, now, longest);
            }
            _ => {
                // Writes may be slow only in this namespace.
                self.queue.refuse(namespace, now, SHORT_PAUSE);
                tracing::warn!(%error, %namespace, %job, "failed to write the run of a migration, retrying");
            }
        }
    }

    fn failed(&mut self, what: &str, error: &Unwritten) {
        if let Unwritten::Refused(_) = error {
            self.refused(error);
        } else {
            self.paused = Some(Instant::now() + AGAIN);
            tracing::warn!(%error, "failed to {what}, retrying");
        }
    }

    fn refused(&mut self, error: &Unwritten) {
        self.runs.trouble.is(&error.to_string());
        self.paused = Some(Instant::now() + REFUSED);
    }
}
