//! Listening sockets and the settings of the HTTP server: the limits on connections in time, number and memory.
//!
//! The only file that knows the HTTP server crate's settings. [`super::connections`] decides which connection is closed
//! when there are too many.

use super::connections::{Connections, Full};
use super::metrics::Metrics;
use axum::Router;
use axum_server::{
    Handle, Server,
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
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// The least time between two warnings about connections, so that a flood does not fill the log.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Bytes that a connection reads ahead. A request whose head is longer, or has more headers than the parser's 100, gets
/// a 431; the API server's head has a few hundred bytes. Buffers grow by doubling, so a head that arrives in large
/// pieces may have up to twice this, 64 KiB.
const READ_AHEAD: usize = 32 << 10;

/// Open files besides counted connections: other files, and connections that are accepted but not yet counted.
const OTHER_FILES: usize = 192;

/// The limits on the connections of one port.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections open at once. Each further one closes the one that has kept the server waiting longest.
    pub connections: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time from the handshake to the headers of the first request.
    pub first_request: Duration,
    /// Time between two requests, including the headers of the second.
    pub idle: Duration,
    /// Time from when a client stops reading an answer until it has read all of it.
    pub unread: Duration,
}

impl Default for Limits {
    /// The limits of the port for reviews.
    fn default() -> Self {
        Self {
            // With a head or a small body of 64 KiB each, they take a quarter of a replica's memory.
            connections: 512,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(10),
            // The API server keeps idle connections for 90 s. If the replica closed one first, a review sent at that
            // moment would fail, and with it the deployment.
            idle: Duration::from_secs(120),
            unread: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The limits of the port for reviews and of the admin port, for a process that may have this many `files` open.
    /// Without a free file no connection can be accepted, so none would be closed for it.
    pub(super) fn both(files: Option<u64>) -> (Self, Self) {
        let files = files.and_then(|files| usize::try_from(files).ok());
        let room = files.unwrap_or(usize::MAX).saturating_sub(OTHER_FILES);
        let of = |limits: Self, fifths: usize| Self {
            connections: limits.connections.min(room / 5 * fifths).max(1),
            ..limits
        };
        // Only a kubelet and a few scrapers use the admin port, and it answers each request at once.
        let admin = Self {
            connections: 128,
            ..Self::default()
        };
        (of(Self::default(), 4), of(admin, 1))
    }
}

/// Why the server cannot listen on an address.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: {source}")]
pub struct BindError {
    pub(super) address: SocketAddr,
    pub(super) source: io::Error,
}

/// Listens on `address`. `[::]` includes IPv4, and means only IPv4 on a host without IPv6.
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

/// Not with the standard library, with which the host's settings decide whether `[::]` includes IPv4.
fn open(address: SocketAddr) -> Result<TcpListener, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if is_any_v6(address) {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // A restart must not wait for the last packets of old connections.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind_socket(&socket, &address)?;
    listen_on(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Serves HTTPS until `handle` requests a shutdown.
///
/// Fails if the listener cannot be used.
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
        .acceptor(Connections::new(limits, metrics.connections.clone()));
    configure(axum_server::from_tcp(listener)?, limits)
        .handle(handle)
        .acceptor(tls)
        .serve(app.into_make_service())
        .await
}

/// Serves plain HTTP until `handle` requests a shutdown.
///
/// Fails if the listener cannot be used.
pub async fn http(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    handle: Handle<SocketAddr>,
    metrics: Arc<Metrics>,
) -> io::Result<()> {
    configure(axum_server::from_tcp(listener)?, limits)
        .handle(handle)
        .acceptor(Connections::new(limits, metrics.connections.clone()))
        .serve(app.into_make_service())
        .await
}

fn configure(server: Server<SocketAddr>, limits: Limits) -> Server<SocketAddr> {
    let last_warning = Mutex::new(None);
    // With HTTP/2 a client can send many requests at once and leave the answers unread, which takes memory outside the
    // limits. The API server uses HTTP/1.1 for Services anyway, and for URLs if the server has nothing else.
    let mut server = server
        .http1_only()
        .first_request_timeout(limits.first_request)
        .accept_error_handler(move |peer: Option<&SocketAddr>, error: &io::Error| {
            log_failure(&last_warning, peer, error);
        });
    let mut http = server.http_builder().http1();
    http.header_read_timeout(limits.idle)
        .max_buf_size(READ_AHEAD);
    server
}

/// Logs a failed connection. Without a peer the process itself lacks a resource, which is a warning. With a peer the
/// cause is usually that client, so it is logged at debug level: any client could fill the log.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_outlive_the_api_servers_pool() {
        assert!(Limits::default().idle > Duration::from_secs(90));
    }

    #[test]
    fn both_ports_fit_into_the_files_that_may_be_open() {
        let both = |files| {
            let (reviews, admin) = Limits::both(files);
            (reviews.connections, admin.connections)
        };
        assert_eq!(both(None), (512, 128));
        assert_eq!(both(Some(u64::MAX)), (512, 128));
        // The default soft limit of most systems.
        assert_eq!(both(Some(1024)), (512, 128));
        assert_eq!(both(Some(512)), (256, 64));
        assert_eq!(both(Some(0)), (1, 1));
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
            // An explicit address is never replaced.
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
