//! How a connection is closed so that the peer can still read what was said last.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Wire;

/// How long a peer may take to read what is left to send, its alert last.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
/// How much of what such a peer still sends is read and dropped.
const FAREWELL_BYTES: usize = 64 * 1024;

/// Says the last words, closes the write side, and reads and drops a bounded amount.
///
/// Closing a socket with unread bytes in it resets the connection, and the reset overtakes the
/// alert. A peer that does not listen is not waited for, and its errors are no news.
pub(super) struct Parting<IO> {
    wire: Wire<IO>,
    last_words: Vec<u8>,
    said: usize,
    is_shut: bool,
    dropped: usize,
    /// Runs from the first poll: a stream can be dropped where no runtime is.
    time: Option<Pin<Box<Sleep>>>,
}

impl<IO> Parting<IO> {
    pub(super) const fn new(wire: Wire<IO>, last_words: Vec<u8>) -> Self {
        Self {
            wire,
            last_words,
            said: 0,
            is_shut: false,
            dropped: 0,
            time: None,
        }
    }

    pub(super) const fn get_ref(&self) -> &IO {
        self.wire.get_ref()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Parting<IO> {
    /// As much of it as can be done without waiting.
    pub(super) fn part_at_once(mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        drop(self.poll_farewell(cx));
    }

    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.said < self.last_words.len() {
            let rest = &self.last_words[self.said..];
            match ready!(Pin::new(&mut self.wire).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.said += count,
            }
        }
        if !self.is_shut {
            ready!(Pin::new(&mut self.wire).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut space = [0; 2048];
        while self.dropped < FAREWELL_BYTES {
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                count => self.dropped += count,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Parting<IO> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_farewell(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => {
                let time = self
                    .time
                    .get_or_insert_with(|| Box::pin(sleep(FAREWELL_TIME)));
                time.as_mut().poll(cx)
            }
        }
    }
}

impl<IO> fmt::Debug for Parting<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parting")
    }
}
