//! The process that keeps a duplicate of the listening socket, and does nothing else: it accepts no
//! connection and knows neither keys nor reviews.

use std::{
    convert::Infallible,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use tokio::net::{UnixListener, UnixStream};

use super::message;

/// Makes the Unix socket `path`, in the place of one that a process before has left.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

/// Gives whoever connects what is kept, and keeps what he hands over.
///
/// Fails when nobody can connect any more.
pub async fn hold(clients: UnixListener) -> io::Result<Infallible> {
    let mut kept = None;
    loop {
        let (client, _) = clients.accept().await?;
        // One after the other: whoever comes next comes because this one has gone.
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
