//! A timeout for the beginning of HTTP/2.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The length of the HTTP/2 connection preface of a client (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// Fails if the client's preface is late. hyper limits the time of HTTP/1 heads, but pings HTTP/2 clients
/// only after the preface.
pub(super) struct Preface<IO> {
    io: IO,
    missing: usize,
    time: Option<Pin<Box<Sleep>>>,
}

impl<IO> Preface<IO> {
    pub(super) fn expected_within(io: IO, time: Duration) -> Self {
        Self {
            io,
            missing: PREFACE,
            time: Some(Box::pin(sleep(time))),
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Preface<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(time) = &mut this.time
            && time.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.io).poll_read(cx, buffer);
        let received = buffer.filled().len().saturating_sub(before);
        this.missing = this.missing.saturating_sub(received);
        if this.missing == 0 {
            this.time = None;
        }
        poll
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Preface<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
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
