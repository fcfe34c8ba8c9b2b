//! Closes a connection so that the peer can still read the final records.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Wire;

/// How long a peer may take to read the final records, including the alert.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The time between the last data and the alert. Some libraries discard data that they read together with
/// an alert (gRPC's C++ core), and would not see it.
const PAUSE: Duration = Duration::from_millis(50);
/// How many bytes of such a peer are read and discarded.
const MAX_DISCARDED: usize = 64 * 1024;

/// The final records of a connection.
#[derive(Default)]
pub(super) struct FinalRecords {
    pub(super) bytes: Vec<u8>,
    /// Where the alert begins, if it follows data by [`PAUSE`].
    pub(super) pause_at: Option<usize>,
}

/// Writes the final records, closes the write side, and reads and discards a bounded amount.
///
/// Closing a socket with unread bytes in it resets the connection, and the reset overtakes the
/// alert. A peer that does not read is waited for at most [`CLOSE_TIMEOUT`], and its errors are ignored.
pub(super) struct Closing<IO> {
    wire: Wire<IO>,
    records: FinalRecords,
    pause: Option<Pin<Box<Sleep>>>,
    sent: usize,
    is_shut: bool,
    discarded: usize,
    /// Runs from the first poll: a stream can be discarded where no runtime is.
    time: Option<Pin<Box<Sleep>>>,
}

impl<IO> Closing<IO> {
    pub(super) const fn new(wire: Wire<IO>, records: FinalRecords) -> Self {
        Self {
            wire,
            records,
            pause: None,
            sent: 0,
            is_shut: false,
            discarded: 0,
            time: None,
        }
    }

    pub(super) const fn get_ref(&self) -> &IO {
        self.wire.get_ref()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Closing<IO> {
    /// As much of it as can be done without waiting.
    pub(super) fn close_now(mut self) {
        self.records.pause_at = None;
        let cx = &mut Context::from_waker(Waker::noop());
        drop(self.poll_closing(cx));
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.records.bytes.len() {
            let mut rest = &self.records.bytes[self.sent..];
            match self.records.pause_at {
                Some(place) if place > self.sent => rest = &self.records.bytes[self.sent..place],
                Some(_) => {
                    let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
                    ready!(pause.as_mut().poll(cx));
                    self.records.pause_at = None;
                }
                None => {}
            }
            match ready!(Pin::new(&mut self.wire).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        if !self.is_shut {
            ready!(Pin::new(&mut self.wire).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut space = [0; 2048];
        while self.discarded < MAX_DISCARDED {
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                count => self.discarded += count,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Closing<IO> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_closing(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => {
                let time = self
                    .time
                    .get_or_insert_with(|| Box::pin(sleep(CLOSE_TIMEOUT)));
                time.as_mut().poll(cx)
            }
        }
    }
}

impl<IO> fmt::Debug for Closing<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closing")
    }
}
