//! The streams of an admitted connection.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::VarInt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Held, Link};

/// The sending half of a stream of a [`Connection`](super::Connection).
///
/// The lease of the connection is checked before every write (one atomic load). Errors are [`io::Error`]s: around a
/// [`CloseReason`](crate::live::CloseReason) after a cut, around
/// [`HandshakeError::Alert`](crate::HandshakeError::Alert) if the peer has rejected us, otherwise around an error
/// of quinn, such as [`quinn::WriteError::Stopped`].
///
/// `shutdown` of tokio's `AsyncWriteExt` is [`finish`](Self::finish). Dropping it finishes the stream too.
///
/// ```
/// use countersign::integration::quinn::SendStream;
/// use tokio::io::AsyncWriteExt;
///
/// async fn answer(mut stream: SendStream) -> std::io::Result<()> {
///     stream.write_all(b"hello").await?;
///     stream.finish()
/// }
/// ```
pub struct SendStream {
    stream: quinn::SendStream,
    held: Arc<dyn Held>,
}

/// The receiving half of a stream of a [`Connection`](super::Connection).
///
/// The lease of the connection is checked before every read (one atomic load), so that no data is read after a cut,
/// not even what has arrived before. Errors are those of [`SendStream`], with [`quinn::ReadError::Reset`] if
/// the peer resets the stream.
///
/// ```
/// use countersign::integration::quinn::RecvStream;
/// use tokio::io::AsyncReadExt;
///
/// async fn question(stream: RecvStream) -> std::io::Result<Vec<u8>> {
///     let mut bytes = Vec::new();
///     stream.take(1024).read_to_end(&mut bytes).await?;
///     Ok(bytes)
/// }
/// ```
pub struct RecvStream {
    stream: quinn::RecvStream,
    held: Arc<dyn Held>,
}

impl SendStream {
    pub(super) fn new(stream: quinn::SendStream, held: Arc<dyn Held>) -> Self {
        Self { stream, held }
    }

    /// The number of the stream in its connection.
    pub fn id(&self) -> u64 {
        VarInt::from(self.stream.id()).into_inner()
    }

    /// Writes all of a buffer, without copying it.
    ///
    /// # Errors
    /// The connection is closed, or the peer has stopped the stream.
    ///
    /// # Cancel safety
    /// Dropping the future may have written a part.
    pub async fn write_chunk(&mut self, data: Bytes) -> io::Result<()> {
        let link = self.held.link();
        link.check()?;
        let length = data.len();
        let written = self.stream.write_chunk(data).await;
        written.map_err(|error| write_error(link, error))?;
        link.check()?;
        link.traffic.sent(length);
        Ok(())
    }

    /// Says that nothing more is written. What was written is delivered while the connection is open.
    ///
    /// # Errors
    /// The connection was cut, or the stream was finished or reset before.
    pub fn finish(&mut self) -> io::Result<()> {
        self.held.link().check()?;
        Ok(self.stream.finish()?)
    }

    /// Abandons the stream, with an error code of the application.
    ///
    /// # Errors
    /// The connection was cut, or the stream was finished or reset before.
    pub fn reset(&mut self, code: VarInt) -> io::Result<()> {
        self.held.link().check()?;
        Ok(self.stream.reset(code)?)
    }

    /// Waits until the peer has all data of a finished stream, which is `None`, or until it stops the stream with
    /// an error code.
    ///
    /// # Errors
    /// The connection is closed.
    ///
    /// # Cancel safety
    /// It can be dropped and called again at any time.
    pub async fn stopped(&self) -> io::Result<Option<VarInt>> {
        let link = self.held.link();
        link.check()?;
        let stopped = self.stream.stopped().await;
        link.check()?;
        stopped.map_err(|error| match error {
            quinn::StoppedError::ConnectionLost(error) => link.explain(error).into(),
            other => io::Error::from(other),
        })
    }

    /// Sets the priority among the streams of the connection; the default is 0, and higher ones are sent first.
    ///
    /// # Errors
    /// The stream was finished or reset before.
    pub fn set_priority(&self, priority: i32) -> io::Result<()> {
        Ok(self.stream.set_priority(priority)?)
    }
}

impl RecvStream {
    pub(super) fn new(stream: quinn::RecvStream, held: Arc<dyn Held>) -> Self {
        Self { stream, held }
    }

    /// The number of the stream in its connection.
    pub fn id(&self) -> u64 {
        VarInt::from(self.stream.id()).into_inner()
    }

    /// The next data of at most this many bytes, without copying it; `None` at the end of the stream.
    ///
    /// # Errors
    /// The connection is closed, or the peer has reset the stream.
    ///
    /// # Cancel safety
    /// Dropping the future loses no data.
    pub async fn read_chunk(&mut self, max: usize) -> io::Result<Option<Bytes>> {
        let link = self.held.link();
        link.check()?;
        let read = self.stream.read_chunk(max, true).await;
        link.check()?;
        let chunk = read.map_err(|error| read_error(link, error))?;
        Ok(chunk.map(|chunk| {
            link.traffic.received(chunk.bytes.len());
            chunk.bytes
        }))
    }

    /// Has the peer stop sending, with an error code of the application. What has arrived is discarded.
    ///
    /// # Errors
    /// The connection was cut, or the stream has ended.
    pub fn stop(&mut self, code: VarInt) -> io::Result<()> {
        self.held.link().check()?;
        Ok(self.stream.stop(code)?)
    }
}

fn write_error(link: &Link, error: quinn::WriteError) -> io::Error {
    match error {
        quinn::WriteError::ConnectionLost(error) => link.explain(error).into(),
        other => other.into(),
    }
}

fn read_error(link: &Link, error: quinn::ReadError) -> io::Error {
    match error {
        quinn::ReadError::ConnectionLost(error) => link.explain(error).into(),
        other => other.into(),
    }
}

impl AsyncRead for RecvStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let link = this.held.link();
        link.check()?;
        let before = buffer.filled().len();
        let poll = this.stream.poll_read_buf(cx, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        if read > 0 {
            link.traffic.received(read);
        }
        poll.map_err(|error| read_error(link, error))
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let link = this.held.link();
        link.check()?;
        let poll = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &poll {
            link.traffic.sent(*written);
        }
        poll.map_err(|error| write_error(link, error))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held.link().check()?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().finish())
    }
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvStream")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
