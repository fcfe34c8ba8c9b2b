//! The transport, watched during the handshake, and its progress after it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::{TooMuchReceived, probe};

/// Passes all bytes through. During the handshake it records them in the probe, and limits how many the
/// peer may send.
#[derive(Debug)]
pub(crate) struct Wire<IO> {
    io: IO,
    /// How many bytes the peer may still send before it is admitted; `None` once it is.
    left: Option<usize>,
    /// How many bytes the transport has accepted.
    accepted: u64,
}

impl<IO> Wire<IO> {
    /// Admits at most this many bytes of the peer until [`stop_watching`](Self::stop_watching).
    pub(crate) const fn watching(io: IO, bytes: usize) -> Self {
        Self {
            io,
            left: Some(bytes),
            accepted: 0,
        }
    }

    pub(crate) const fn stop_watching(&mut self) {
        self.left = None;
    }

    pub(crate) const fn get_ref(&self) -> &IO {
        &self.io
    }

    /// How many bytes the transport has accepted. A flush that waits makes progress when it grows.
    #[cfg(feature = "hyper")]
    pub(super) const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Counts the bytes that the transport has accepted, and records them during the handshake.
    fn sent(&mut self, poll: &Poll<io::Result<usize>>, slices: &[io::IoSlice<'_>]) {
        let &Poll::Ready(Ok(mut count)) = poll else {
            return;
        };
        self.accepted += count as u64;
        if self.left.is_none() {
            return;
        }
        for bytes in slices {
            let taken = bytes.get(..count).unwrap_or(bytes);
            probe::record_sent(taken);
            count -= taken.len();
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.io).poll_read(cx, buffer);
        if let Some(left) = &mut self.left {
            let received = buffer.filled().get(before..).unwrap_or_default();
            probe::record_received(received);
            match left.checked_sub(received.len()) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Err(io::Error::other(TooMuchReceived))),
            }
        }
        poll
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.sent(&poll, &[io::IoSlice::new(bytes)]);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.sent(&poll, slices);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
