//! Keeping the listening socket open while this process is gone: another one, the [`holder`], has a
//! duplicate of it, and gives it back to the process that comes next. Connections that are made in
//! between wait in the kernel, where they would be refused otherwise.
//!
//! This file is the side of the process that serves. Connections that were accepted end with it.

pub mod holder;
mod message;

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{net::UnixStream, time};

use super::listen::{self, BindError, is_any_v6};

/// The holder is a neighbour that does nothing else.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often a holder that is gone is looked for.
const RETRY: Duration = Duration::from_millis(200);

/// Sees to it that the holder has the listening socket.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    socket: TcpListener,
    holder: Option<UnixStream>,
}

/// Listens on `address`: with the socket that the holder behind `path` has, or with a new one.
pub async fn listen(
    address: SocketAddr,
    path: PathBuf,
) -> Result<(TcpListener, Keeper), BindError> {
    let (holder, kept) = ask(&path).await.ok().unzip();
    let kept = kept.flatten().map(TcpListener::from);
    let listener = match kept.filter(|kept| is_for(address, kept)) {
        Some(kept) => {
            tracing::info!("going on with the listening socket of the process before");
            kept
        }
        None => listen::bind(address)?,
    };
    let socket = listener
        .try_clone()
        .map_err(|source| BindError { address, source })?;
    let keeper = Keeper {
        path,
        socket,
        holder,
    };
    Ok((listener, keeper))
}

/// The holder, and what it has been given so far.
async fn ask(path: &Path) -> io::Result<(UnixStream, Option<OwnedFd>)> {
    time::timeout(TIMEOUT, async {
        let holder = UnixStream::connect(path).await?;
        let kept = message::receive(&holder).await?;
        Ok((holder, kept))
    })
    .await?
}

/// Whether what is listened on is what was asked for. [`listen::bind`] may have taken IPv4 for both.
fn is_for(asked: SocketAddr, kept: &TcpListener) -> bool {
    kept.local_addr().is_ok_and(|kept| {
        let same = kept.ip() == asked.ip();
        let fallback = is_any_v6(asked) && kept.ip() == Ipv4Addr::UNSPECIFIED;
        (same || fallback) && [0, kept.port()].contains(&asked.port())
    })
}

impl Keeper {
    /// Hands the socket to the holder, and again to each one that comes after. Until it is dropped,
    /// connections are not refused, whether somebody accepts them or not.
    pub async fn keep(mut self) -> Infallible {
        let mut is_told = false;
        loop {
            match self.hand_over().await {
                Ok(holder) => {
                    tracing::info!("the listening socket is held while this process is gone");
                    is_told = false;
                    while message::receive(&holder).await.is_ok() {}
                }
                Err(error) if !is_told => {
                    tracing::info!(path = %self.path.display(), %error, "nobody holds the listening socket yet");
                    is_told = true;
                }
                Err(_) => {}
            }
            time::sleep(RETRY).await;
        }
    }

    async fn hand_over(&mut self) -> io::Result<UnixStream> {
        let holder = match self.holder.take() {
            Some(holder) => holder,
            None => ask(&self.path).await?.0,
        };
        let sent = message::send(&holder, Some(self.socket.as_fd()));
        time::timeout(TIMEOUT, sent).await??;
        Ok(holder)
    }
}
