//! A timeout for clients that do not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::TlsStream;

/// Fails if the client reads nothing of what is written for too long.
///
/// A flush writes all that TLS has buffered, which can take longer than that in total, so the bytes that the
/// transport accepts are its progress.
pub(super) struct WriteTimeout<IO, I> {
    stream: TlsStream<IO, I>,
    time: Option<Duration>,
    /// When it fails.
    deadline: Option<Pin<Box<Sleep>>>,
    /// What the transport had accepted when the deadline was set; `None` if nothing waits.
    waiting: Option<u64>,
}

impl<IO, I> WriteTimeout<IO, I> {
    pub(super) const fn new(stream: TlsStream<IO, I>, time: Option<Duration>) -> Self {
        Self {
            stream,
            time,
            deadline: None,
            waiting: None,
        }
    }

    /// The result of a write, or an error after the timeout.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waiting = None;
            return poll;
        }
        let accepted = Some(self.stream.accepted());
        if self.waiting != accepted {
            // A deadline that the clock cannot represent is no limit.
            let deadline = self.time.and_then(|time| Instant::now().checked_add(time));
            let Some(deadline) = deadline else {
                return poll;
            };
            self.waiting = accepted;
            match &mut self.deadline {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.deadline = Some(Box::pin(sleep_until(deadline))),
            }
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, I> AsyncRead for WriteTimeout<IO, I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, I> AsyncWrite for WriteTimeout<IO, I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}
