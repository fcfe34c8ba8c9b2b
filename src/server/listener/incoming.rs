//! Sources of connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

/// A source of connections for a [`Listener`](super::Listener): a TCP listener, a Unix socket, or
/// your own.
///
/// ```
/// use std::io;
/// use std::net::SocketAddr;
///
/// use countersign::Incoming;
/// use tokio::io::DuplexStream;
/// use tokio::sync::mpsc;
///
/// /// Connections in memory, for a test.
/// struct InMemory(mpsc::Receiver<DuplexStream>);
///
/// impl Incoming for InMemory {
///     type Io = DuplexStream;
///
///     async fn accept(&mut self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
///         match self.0.recv().await {
///             Some(stream) => Ok((stream, None)),
///             None => std::future::pending().await,
///         }
///     }
/// }
/// ```
pub trait Incoming: Send + 'static {
    /// The transport of one connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection, with the peer's address where there is one.
    ///
    /// # Errors
    /// A connection could not be accepted. The listener pauses and calls again, without a limit.
    ///
    /// # Cancel safety
    /// Dropping the future must lose no connection.
    fn accept(&mut self)
    -> impl Future<Output = io::Result<(Self::Io, Option<SocketAddr>)>> + Send;
}

/// Sets `TCP_NODELAY`.
impl Incoming for tokio::net::TcpListener {
    type Io = tokio::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Io, Option<SocketAddr>)> {
        let (tcp, remote_addr) = Self::accept(self).await?;
        // TLS records are whole messages: delaying one until another is acknowledged only costs time. An
        // error means that the peer is gone, and its handshake reports that.
        let _ = tcp.set_nodelay(true);
        Ok((tcp, Some(remote_addr)))
    }
}

#[cfg(unix)]
impl Incoming for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<(Self::Io, Option<SocketAddr>)> {
        let (stream, _) = Self::accept(self).await?;
        Ok((stream, None))
    }
}
