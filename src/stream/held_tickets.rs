//! Session tickets that leave with the first data.
//!
//! A server of TLS 1.3 sends session tickets as the last messages of the handshake. No client waits for them, so they
//! are held back until there is more to send, and leave with it, as with BoringSSL. A read that has to wait sends
//! them first, so that a client which says nothing gets them too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Records with session tickets that are not sent yet. They precede everything else that is sent.
#[derive(Debug)]
pub(super) struct HeldTickets {
    pub(super) records: Vec<u8>,
    /// A writer waits to send them. The transport wakes one task only, so no reader may wait for it too.
    has_writer: bool,
    /// A reader waits. hyper reads once more before it writes the response, so it sends them when it is polled again.
    is_due: bool,
    /// A reader has sent them, and not flushed the transport yet.
    is_unflushed: bool,
}

impl HeldTickets {
    pub(super) const fn new() -> Self {
        Self {
            records: Vec::new(),
            has_writer: false,
            is_due: false,
            is_unflushed: false,
        }
    }

    pub(super) fn hold(&mut self, slices: &[io::IoSlice<'_>]) -> usize {
        let before = self.records.len();
        slices
            .iter()
            .for_each(|bytes| self.records.extend_from_slice(bytes));
        self.records.len() - before
    }

    /// Sends them, and as much of what follows as the transport accepts at once. The count is that of what follows.
    pub(super) fn poll_send_with<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
        following: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.has_writer = true;
        loop {
            let mut slices = Vec::with_capacity(1 + following.len());
            slices.push(io::IoSlice::new(&self.records));
            slices.extend_from_slice(following);
            let count = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let held = self.records.len();
            if count < held {
                self.records.drain(..count);
                continue;
            }
            *self = Self::new();
            let rest: usize = following.iter().map(|bytes| bytes.len()).sum();
            // Nothing of what follows means that the transport is closed, unless there is nothing.
            if count > held || rest == 0 {
                return Poll::Ready(Ok(count - held));
            }
            return match following {
                [bytes] => Pin::new(io).poll_write(cx, bytes),
                _ => Pin::new(io).poll_write_vectored(cx, following),
            };
        }
    }

    /// Sends them.
    pub(super) fn poll_send<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.records.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.poll_send_with(io, cx, &[]).map_ok(drop)
    }

    /// Sends and flushes them for a reader that has to wait, unless a writer does.
    pub(super) fn poll_send_by_reader<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.records.is_empty() && !self.has_writer {
            if !std::mem::replace(&mut self.is_due, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let sent = self.poll_send(io, cx);
            self.has_writer = false;
            ready!(sent)?;
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
