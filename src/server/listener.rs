//! Keeps the listening socket open across a restart of this process. Another process, the [`holder`], keeps a duplicate
//! of it for the next process. Connections that clients open in between wait in the kernel instead of being refused.
//!
//! This file is the side of the serving process. Connections that it has accepted end with it.

pub(crate) mod holder;
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

/// Time limit for an answer of the holder, a local process that does nothing else.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between tries to reach a holder that is gone.
const RETRY: Duration = Duration::from_millis(200);

/// Makes sure that the holder has the listening socket.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    socket: TcpListener,
    holder: Option<UnixStream>,
}

/// Listens on `address`: with the socket that the holder at `path` keeps, or with a new one.
pub(crate) async fn listen(
    address: SocketAddr,
    path: PathBuf,
) -> Result<(TcpListener, Keeper), BindError> {
    let (holder, kept) = ask(&path).await.ok().unzip();
    let kept = kept.flatten().map(TcpListener::from);
    let listener = match kept.filter(|kept| is_for(address, kept)) {
        Some(kept) => {
            tracing::info!("reusing the listening socket of the previous process");
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

/// The holder, and the socket that it keeps, if any.
async fn ask(path: &Path) -> io::Result<(UnixStream, Option<OwnedFd>)> {
    time::timeout(TIMEOUT, async {
        let holder = UnixStream::connect(path).await?;
        let kept = message::receive(&holder).await?;
        Ok((holder, kept))
    })
    .await?
}

/// Whether a kept socket has the wanted address. [`listen::bind`] may have used IPv4 for both.
fn is_for(asked: SocketAddr, kept: &TcpListener) -> bool {
    kept.local_addr().is_ok_and(|kept| {
        let same = kept.ip() == asked.ip();
        let fallback = is_any_v6(asked) && kept.ip() == Ipv4Addr::UNSPECIFIED;
        (same || fallback) && [0, kept.port()].contains(&asked.port())
    })
}

impl Keeper {
    /// Gives the socket to the holder, and to each later holder. Until this is dropped, connections are not refused,
    /// even if no process accepts them.
    pub(crate) async fn keep(mut self) -> Infallible {
        let mut is_told = false;
        loop {
            match self.hand_over().await {
                Ok(holder) => {
                    tracing::info!("the listening socket stays open if this process ends");
                    is_told = false;
                    while message::receive(&holder).await.is_ok() {}
                }
                Err(error) if !is_told => {
                    tracing::info!(path = %self.path.display(), %error, "no other process holds the listening socket yet");
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
