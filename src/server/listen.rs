//! Accepting connections: what they may cost in time and number, and how they end.
//!
//! The only file that knows the HTTP server crate's settings. Not for what a request means.

use crate::metrics::Metrics;
use axum::Router;
use axum_server::{
    Handle, Server,
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, bind as bind_socket, listen as listen_on,
        socket_with, sockopt,
    },
};
use std::{
    future::{Ready, ready},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// The least time between two warnings about connections, so that a flood does not fill the log.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; more are closed at once.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the handshake to the headers of the first request.
    pub first_request: Duration,
    /// Between two HTTP/1 requests, the second one's headers included.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(10),
            // The API server keeps idle connections for 90 s. Were we first to close one, a review
            // sent at that moment would fail, and with it the deployment.
            idle: Duration::from_secs(120),
        }
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: {source}")]
pub struct BindError {
    pub(super) address: SocketAddr,
    pub(super) source: io::Error,
}

/// Listens on `address`. `[::]` means IPv4 too, and only IPv4 on a host without IPv6.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    bind_with(address, open).map_err(|source| BindError {
        address,
        source: source.into(),
    })
}

fn bind_with<T>(
    address: SocketAddr,
    open: impl Fn(SocketAddr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    match open(address) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if is_any_v6(address) => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::info!(%address, "this host has no IPv6, listening on IPv4 only");
            open(address)
        }
        opened => opened,
    }
}

pub(super) fn is_any_v6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// The standard library leaves it to the host's settings whether `[::]` takes IPv4 too.
fn open(address: SocketAddr) -> Result<TcpListener, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if is_any_v6(address) {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // A restart must not have to wait for the old connections' last packets.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind_socket(&socket, &address)?;
    listen_on(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Serves HTTPS until `handle` says stop.
///
/// Fails when the listener cannot be used.
pub async fn https(
    listener: TcpListener,
    tls: RustlsConfig,
    app: Router,
    limits: Limits,
    handle: Handle<SocketAddr>,
    metrics: Arc<Metrics>,
) -> io::Result<()> {
    let tls = RustlsAcceptor::new(tls)
        .handshake_timeout(limits.handshake)
        .acceptor(Capped::new(limits, metrics));
    configure(axum_server::from_tcp(listener)?, limits)
        .handle(handle)
        .acceptor(tls)
        .serve(app.into_make_service())
        .await
}

/// Serves plain HTTP until `handle` says stop.
///
/// Fails when the listener cannot be used.
pub async fn http(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    handle: Handle<SocketAddr>,
    metrics: Arc<Metrics>,
) -> io::Result<()> {
    configure(axum_server::from_tcp(listener)?, limits)
        .handle(handle)
        .acceptor(Capped::new(limits, metrics))
        .serve(app.into_make_service())
        .await
}

fn configure(server: Server<SocketAddr>, limits: Limits) -> Server<SocketAddr> {
    let last_warning = Mutex::new(None);
    let mut server = server
        .first_request_timeout(limits.first_request)
        .accept_error_handler(move |peer: Option<&SocketAddr>, error: &io::Error| {
            log_failure(&last_warning, peer, error);
        });
    let mut http = server.http_builder().http1();
    http.header_read_timeout(limits.idle);
    let mut http = server.http_builder().http2();
    http.max_concurrent_streams(256)
        // Finds peers that are gone; living ones may stay idle for as long as they like.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    server
}

/// Without a peer the process itself is short of something, with one it is the peer's affair,
/// which anybody who can reach the port can bring about.
fn log_failure(
    last_warning: &Mutex<Option<Instant>>,
    peer: Option<&SocketAddr>,
    error: &io::Error,
) {
    let is_full = error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Full>);
    if let (Some(peer), false) = (peer, is_full) {
        tracing::debug!(%peer, %error, "failed to set up a connection");
        return;
    }
    let mut last = last_warning.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
        *last = Some(Instant::now());
        drop(last);
        tracing::warn!(%error, "failed to accept a connection");
    }
}

#[derive(Debug, thiserror::Error)]
#[error("too many connections are open")]
struct Full;

/// Lets in as many connections as are allowed at once, with small packets sent without delay:
/// else the first answer on a connection waits 40 ms for the peer's acknowledgement.
#[derive(Clone)]
struct Capped {
    permits: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Capped {
    fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.connections)),
            metrics,
        }
    }

    fn admit(&self, stream: TcpStream) -> io::Result<Connection> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.metrics.connection_refused();
            return Err(io::Error::other(Full));
        };
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            _permit: permit,
        })
    }
}

impl<S> Accept<TcpStream, S> for Capped {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.admit(stream).map(|connection| (connection, service)))
    }
}

/// A connection that counts as open until it is dropped.
struct Connection {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_outlive_the_api_servers_pool() {
        assert!(Limits::default().idle > Duration::from_secs(90));
    }

    #[test]
    fn any_v6_takes_v4_too() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    #[test]
    fn a_host_without_v6_falls_back_to_v4() {
        for missing in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let open = |address: SocketAddr| match address {
                SocketAddr::V4(_) => Ok(address),
                SocketAddr::V6(_) => Err(missing),
            };
            let opened = bind_with("[::]:8443".parse().unwrap(), open);
            assert_eq!(opened, Ok("0.0.0.0:8443".parse().unwrap()));
            // Somebody who names an address means that one.
            assert_eq!(bind_with("[::1]:8443".parse().unwrap(), open), Err(missing));
        }
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(
            bind(address).unwrap_err().to_string(),
            format!("failed to listen on {address}: Address already in use (os error 98)")
        );
    }
}
