//! Reads the bodies of reviews, within the memory that all of them share.
//!
//! If no memory is left for a body, the bodies that have been arriving longest make room, so that slow clients cannot
//! hold it.

use super::connections::{ConnectionMetrics, Place};
use super::refusal::Refusal;
use axum::body::{BodyDataStream, Bytes, HttpBody};
use futures_util::StreamExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest body. The API server accepts objects of 3 MiB, and an update has two of them.
const MAX_BODY: usize = 8 << 20;

/// The longest body that does not count against the shared memory; nearly all reviews are shorter. A connection has one
/// body at a time, so the number of connections bounds these.
const FREE: usize = 16 << 10;

/// Longer bodies take shared memory in pieces of this size.
const PIECE: usize = 64 << 10;

/// The shared memory for all longer bodies in flight: three of the longest, or 384 of up to one piece, which leaves
/// connections for other reviews.
pub const MAX_IN_FLIGHT: usize = 24 << 20;

/// The bodies of one port.
pub(super) struct Bodies {
    pieces: Arc<Semaphore>,
    arriving: Mutex<Vec<Arriving>>,
    metrics: ConnectionMetrics,
}

/// A body that takes shared memory and has not arrived completely.
struct Arriving {
    place: Arc<Place>,
    pieces: usize,
}

impl Bodies {
    /// Bodies above [`FREE`] take at most `in_flight` bytes at once.
    pub(super) fn new(in_flight: usize, metrics: ConnectionMetrics) -> Self {
        Self {
            pieces: Arc::new(Semaphore::new(in_flight.div_ceil(PIECE))),
            arriving: Mutex::default(),
            metrics,
        }
    }

    /// Reads a whole body. One above [`FREE`] takes shared memory.
    pub(super) async fn read(
        &self,
        chunks: &mut BodyDataStream,
        place: &Arc<Place>,
    ) -> Result<(Buffer, Option<OwnedSemaphorePermit>), Refusal> {
        let declared = HttpBody::size_hint(chunks).lower();
        if declared > MAX_BODY as u64 {
            return Err(Refusal::too_large());
        }
        let mut share = Share {
            bodies: self,
            place,
            paid: None,
        };
        let mut next = async || {
            let chunk = chunks.next().await.transpose();
            chunk.map_err(|_| Refusal::truncated())
        };
        // A small body arrives in one piece, which need not be copied.
        let first = next().await?.unwrap_or_default();
        let Some(mut chunk) = next().await? else {
            share.grow(first.len()).await?;
            return Ok((Buffer::Whole(first), share.paid.take()));
        };
        let declared = usize::try_from(declared).unwrap_or(MAX_BODY);
        let mut bytes = Vec::with_capacity(declared.max(first.len() + chunk.len()));
        bytes.extend_from_slice(&first);
        loop {
            if bytes.len() + chunk.len() > MAX_BODY {
                return Err(Refusal::too_large());
            }
            bytes.extend_from_slice(&chunk);
            share.grow(bytes.len()).await?;
            match next().await? {
                Some(more) => chunk = more,
                None => return Ok((Buffer::Joined(bytes), share.paid.take())),
            }
        }
    }

    /// Closes the connections whose bodies have been arriving longest, until this many pieces are free. Closes none if
    /// that would not be enough. Connections younger than `place` are never closed.
    fn make_room(&self, pieces: usize, place: &Place) -> bool {
        let mut arriving = self.arriving();
        arriving.sort_by_key(|other| other.place.waits());
        let mut freed = 0;
        let older = arriving
            .iter()
            .take_while(|other| other.place.waits() < place.waits())
            .take_while(|other| {
                let is_needed = freed < pieces;
                freed += if is_needed { other.pieces } else { 0 };
                is_needed
            })
            .count();
        if freed < pieces {
            return false;
        }
        for longest in arriving.drain(..older) {
            longest.place.close();
            self.metrics.evicted.inc();
        }
        true
    }

    fn arriving(&self) -> MutexGuard<'_, Vec<Arriving>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads and drops a body, and returns whether it has ended within the longest length.
pub(super) async fn drained(mut chunks: BodyDataStream) -> bool {
    let declared = HttpBody::size_hint(&chunks).lower();
    let mut left = MAX_BODY;
    if declared > left as u64 {
        return false;
    }
    while let Some(chunk) = chunks.next().await {
        let Some(fewer) = chunk.ok().and_then(|chunk| left.checked_sub(chunk.len())) else {
            return false;
        };
        left = fewer;
    }
    true
}

/// The shared memory that one body takes.
struct Share<'b> {
    bodies: &'b Bodies,
    place: &'b Arc<Place>,
    paid: Option<OwnedSemaphorePermit>,
}

impl Share<'_> {
    /// Takes memory for the bytes that have arrived. An announced length takes none: announcing costs a client nothing,
    /// and would shut out all others.
    async fn grow(&mut self, arrived: usize) -> Result<(), Refusal> {
        let have = self
            .paid
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let due = arrived.div_ceil(PIECE) - have;
        if arrived <= FREE || due == 0 {
            return Ok(());
        }
        // While it waits for memory it is not arriving, so its connection is not closed.
        self.leave();
        let mut more = self.take(due).await?;
        if let Some(paid) = self.paid.take() {
            more.merge(paid);
        }
        self.bodies.arriving().push(Arriving {
            place: Arc::clone(self.place),
            pieces: have + due,
        });
        self.paid = Some(more);
        Ok(())
    }

    async fn take(&self, due: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let pieces = &self.bodies.pieces;
        let many = u32::try_from(due).unwrap_or(u32::MAX);
        if let Ok(taken) = Arc::clone(pieces).try_acquire_many_owned(many) {
            return Ok(taken);
        }
        let missing = due.saturating_sub(pieces.available_permits());
        if !self.bodies.make_room(missing, self.place) {
            return Err(Refusal::overloaded());
        }
        let taken = Arc::clone(pieces).acquire_many_owned(many).await;
        // The semaphore is never closed.
        taken.map_err(|_| Refusal::overloaded())
    }

    fn leave(&self) {
        let mut arriving = self.bodies.arriving();
        let own = arriving
            .iter()
            .position(|other| Arc::ptr_eq(&other.place, self.place));
        if let Some(own) = own {
            arriving.swap_remove(own);
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

pub(super) enum Buffer {
    Whole(Bytes),
    Joined(Vec<u8>),
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }
}
