//! An admitted connection.

pub(crate) mod handshake;
mod wire;

pub(crate) use wire::Wire;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Peer;
use crate::gate::Admission;
use crate::tls::HandshakeError;

/// A TLS connection to a peer that was verified, identified and allowed.
///
/// Only an [`Acceptor`](crate::Acceptor) and a [`Connector`](crate::Connector) make one.
///
/// Dropping it closes the transport; `shutdown` (of tokio's `AsyncWriteExt`) says goodbye first,
/// so that the peer can tell the end from a cut.
pub struct TlsStream<IO, I> {
    tls: tokio_rustls::TlsStream<Wire<IO>>,
    admission: Admission<I>,
}

impl<IO, I> TlsStream<IO, I> {
    fn new(tls: tokio_rustls::TlsStream<Wire<IO>>, admission: Admission<I>) -> Self {
        Self { tls, admission }
    }

    /// The peer.
    pub const fn peer(&self) -> &Peer<I> {
        self.admission.peer()
    }

    /// The name of the policy's rule that allowed the peer.
    pub fn rule(&self) -> &str {
        self.admission.rule()
    }

    /// The transport below TLS.
    pub fn get_ref(&self) -> &IO {
        self.tls.get_ref().0.get_ref()
    }

    fn tls(self: Pin<&mut Self>) -> Pin<&mut tokio_rustls::TlsStream<Wire<IO>>>
    where
        IO: Unpin,
    {
        Pin::new(&mut self.get_mut().tls)
    }
}

// `I` is behind an `Arc`.
impl<IO: Unpin, I> Unpin for TlsStream<IO, I> {}

impl<IO, I> AsyncRead for TlsStream<IO, I>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.tls().poll_read(cx, buffer).map_err(name_alert)
    }
}

impl<IO, I> AsyncWrite for TlsStream<IO, I>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.tls().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tls().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls().poll_shutdown(cx)
    }
}

/// A TLS 1.3 server refuses a client after the client's side of the handshake is over, so that the
/// alert arrives at the first read: there it must say what it means.
fn name_alert(error: io::Error) -> io::Error {
    let kind = error.kind();
    match error.downcast::<rustls::Error>() {
        Ok(rustls::Error::AlertReceived(alert)) => {
            io::Error::new(kind, HandshakeError::Alert { alert })
        }
        Ok(other) => io::Error::new(kind, other),
        Err(error) => error,
    }
}

impl<IO, I: fmt::Debug> fmt::Debug for TlsStream<IO, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
