//! The only message between the two sides: a socket, or that there is none.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixStream};

/// A descriptor can only be sent with at least one byte, which has no meaning.
const BYTE: [u8; 1] = *b"s";
const ONE_SOCKET: usize = rustix::cmsg_space!(ScmRights(1));

/// Sends a duplicate of the socket.
pub(super) async fn send(peer: &UnixStream, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    peer.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); ONE_SOCKET];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        let sockets = socket.as_slice();
        if !sockets.is_empty() {
            attached.push(SendAncillaryMessage::ScmRights(sockets));
        }
        sendmsg(
            peer,
            &[IoSlice::new(&BYTE)],
            &mut attached,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    })
    .await
}

/// Waits for a message. Fails if the other side is gone.
pub(super) async fn receive(peer: &UnixStream) -> io::Result<Option<OwnedFd>> {
    peer.async_io(Interest::READABLE, || {
        let mut space = [MaybeUninit::uninit(); ONE_SOCKET];
        let mut attached = RecvAncillaryBuffer::new(&mut space);
        let mut byte = BYTE;
        let mut bytes = [IoSliceMut::new(&mut byte)];
        let got = recvmsg(peer, &mut bytes, &mut attached, RecvFlags::CMSG_CLOEXEC)?;
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let socket = attached.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        Ok(socket)
    })
    .await
}
