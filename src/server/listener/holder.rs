//! The process that keeps a duplicate of the listening socket, and does nothing else: it does not accept connections,
//! and has neither keys nor reviews.

use std::{
    convert::Infallible,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use tokio::net::{UnixListener, UnixStream};

use super::message;

/// Creates the Unix socket `path`, and replaces one that an earlier process has left.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

/// Sends each client the kept socket, and keeps the socket that the client sends.
///
/// Fails if clients cannot connect any more.
pub(crate) async fn hold(clients: UnixListener) -> io::Result<Infallible> {
    let mut kept = None;
    loop {
        let (client, _) = clients.accept().await?;
        // One client after the other: a new process only connects after the previous one has ended.
        let _gone = serve(&client, &mut kept).await;
    }
}

async fn serve(client: &UnixStream, kept: &mut Option<OwnedFd>) -> io::Result<Infallible> {
    message::send(client, kept.as_ref().map(AsFd::as_fd)).await?;
    loop {
        if let Some(socket) = message::receive(client).await? {
            *kept = Some(socket);
        }
    }
}
