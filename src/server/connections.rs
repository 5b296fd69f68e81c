//! The open connections of one port: how many there are, which one is closed when there are too many,
//! and how long an answer may stay unread.
//!
//! Not for the requests on a connection, nor for the time that a request may take to arrive.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use futures_util::task::AtomicWaker;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tower::Layer;

use super::listen::Limits;
use crate::host::metrics::Registry;

/// Counts connections that were closed because of a limit. Clones share the values.
#[derive(Clone, Debug)]
pub(super) struct ConnectionMetrics {
    refused: Counter,
    pub(super) evicted: Counter,
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            refused: registry.add(
                "connections_refused",
                "New connections that were closed at once, because too many were open and none of those could be closed",
            ),
            evicted: registry.add(
                "connections_evicted",
                "Connections that waited for their client and were closed, because \
                 too many were open or request bodies took too much memory",
            ),
        }
    }
}

/// The server is working on every connection of the port, so none can be closed for another one.
#[derive(Debug, thiserror::Error)]
#[error("too many connections are open")]
pub(super) struct Full;

/// The open connections of a port. Clones share them.
///
/// If too many are open, the one that has kept the server waiting longest is closed. So idle clients cannot keep new
/// ones out. An API server loses at most a connection that it has not used for long, because it prefers the one it used
/// last.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    limits: Limits,
    open: Mutex<Vec<Arc<Place>>>,
    metrics: ConnectionMetrics,
}

impl Connections {
    pub(super) fn new(limits: Limits, metrics: ConnectionMetrics) -> Self {
        Self(Arc::new(Shared {
            limits,
            open: Mutex::default(),
            metrics,
        }))
    }

    fn admit(&self, stream: TcpStream) -> io::Result<Connection> {
        // Otherwise the first answer on a connection waits up to 40 ms for the peer's acknowledgement.
        stream.set_nodelay(true)?;
        let mut open = self.0.open();
        if open.len() >= self.0.limits.connections {
            let Some(longest) = longest_waiting(&open) else {
                self.0.metrics.refused.inc();
                return Err(io::Error::other(Full));
            };
            open.swap_remove(longest).close();
            self.0.metrics.evicted.inc();
        }
        let place = Arc::new(Place::new());
        open.push(Arc::clone(&place));
        drop(open);
        Ok(Connection {
            stream,
            place,
            unread: None,
            shared: Arc::clone(&self.0),
        })
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Index of the connection that has kept the server waiting longest. `None` if the server is working on all of them.
fn longest_waiting(open: &[Arc<Place>]) -> Option<usize> {
    let waiting = open.iter().enumerate();
    let waiting = waiting.filter(|(_, place)| place.waits() != WORKING);
    let longest = waiting.min_by_key(|(_, place)| place.waits());
    longest.map(|(index, _)| index)
}

impl<S> Accept<TcpStream, S> for Connections {
    type Stream = Connection;
    type Service = AddExtension<S, Arc<Place>>;
    type Future = Ready<io::Result<(Connection, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.admit(stream).map(|connection| {
            let place = Arc::clone(&connection.place);
            (connection, Extension(place).layer(service))
        }))
    }
}

/// The value of [`Place::waits`] while the server is working on a request.
const WORKING: u64 = u64::MAX;

/// The state of one open connection. Each request has that of its connection as an extension.
pub(super) struct Place {
    /// Since when the server has been waiting for the client, as a sequence number.
    waits: AtomicU64,
    closed: AtomicBool,
    task: AtomicWaker,
}

impl Place {
    fn new() -> Self {
        Self {
            waits: AtomicU64::new(moment()),
            closed: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// Records that a request has begun, and that the server waits for the rest of it.
    pub(super) fn hears(&self) {
        self.waits.store(moment(), Ordering::Relaxed);
    }

    /// Records that the server is working on a request, until the guard is dropped. Meanwhile this connection is not
    /// closed for another one.
    #[must_use = "the server works for the client for as long as the guard lives"]
    pub(super) fn works(&self) -> Works<'_> {
        self.waits.store(WORKING, Ordering::Relaxed);
        Works(self)
    }

    /// The sequence number of the moment since when the server has been waiting for the client.
    pub(super) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Fails once the connection is to be closed, and wakes the task when that happens.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.task.register(cx.waker());
        if self.closed.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// The guard of [`Place::works`].
pub(super) struct Works<'a>(&'a Place);

impl Drop for Works<'_> {
    fn drop(&mut self) {
        self.0.hears();
    }
}

fn moment() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// A connection that counts as open until it is dropped.
pub(super) struct Connection {
    stream: TcpStream,
    place: Arc<Place>,
    /// Deadline for the client to read the answer.
    unread: Option<Pin<Box<Sleep>>>,
    shared: Arc<Shared>,
}

impl Connection {
    /// The result of a write, or an error if the client has left the answer unread for too long.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            return written;
        }
        let limit = self.shared.limits.unread;
        let unread = self.unread.get_or_insert_with(|| Box::pin(sleep(limit)));
        unread
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        let place = open
            .iter()
            .position(|place| Arc::ptr_eq(place, &self.place));
        if let Some(place) = place {
            open.swap_remove(place);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.place.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.place.check(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush comes only after the kernel has accepted everything.
        self.unread = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.place.check(cx)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_does_not_wait_for_an_acknowledgement() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let metrics = ConnectionMetrics::new(&mut Registry::new());
        let connections = Connections::new(Limits::default(), metrics);
        assert!(connections.admit(stream).unwrap().stream.nodelay().unwrap());
    }
}
