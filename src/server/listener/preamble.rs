//! What happens on a connection before TLS.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::ConnectionInfo;
use crate::proxy_protocol::{Header, HeaderError, Parsed};
use crate::server::PreambleError;

/// What happens on each connection before its TLS handshake, such as STARTTLS.
///
/// It runs on the connection's own task, in its place among the handshakes, and within the handshake
/// timeout. It may replace the transport and the client's address. When it fails, the connection is
/// closed, and the attempt has one event with the reason of the [`PreambleError`].
///
/// ```
/// use countersign::{Preamble, PreambleError, RawConnection};
/// use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
///
/// /// TLS begins when the client asks for it, as with SMTP.
/// struct StartTls;
///
/// impl<IO: AsyncRead + AsyncWrite + Send + Unpin + 'static> Preamble<IO> for StartTls {
///     type Io = IO;
///
///     async fn run(&self, mut raw: RawConnection<IO>) -> Result<RawConnection<IO>, PreambleError> {
///         raw.io_mut().write_all(b"220 ready\r\n").await?;
///         let mut command = [0; 10];
///         raw.io_mut().read_exact(&mut command).await?;
///         if command != *b"STARTTLS\r\n" {
///             return Err(PreambleError::new("no_starttls", "the client does not ask for TLS"));
///         }
///         raw.io_mut().write_all(b"220 go ahead\r\n").await?;
///         Ok(raw)
///     }
/// }
/// # fn f(acceptor: countersign::Acceptor<()>) {
/// let builder = countersign::Listener::builder(acceptor).preamble(StartTls);
/// # }
/// ```
///
/// # Security
/// Read no byte beyond the preamble, or return a transport that yields what was read: it is part of the
/// client's TLS. Bytes that a client sends between its request for TLS and our answer must not be
/// treated as if TLS had protected them (CVE-2011-0411). Limit what you read: a preamble is bounded by
/// time, and not by bytes.
pub trait Preamble<IO>: Send + Sync + 'static {
    /// The transport that TLS runs on.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Runs on one connection.
    ///
    /// # Errors
    /// [`PreambleError`]: the connection is closed, without an alert.
    ///
    /// # Cancel safety
    /// The future is dropped, with the connection, when the handshake timeout expires, the handshake is
    /// displaced, or the listener stops.
    fn run(
        &self,
        raw: RawConnection<IO>,
    ) -> impl Future<Output = Result<RawConnection<Self::Io>, PreambleError>> + Send;
}

/// A connection before TLS.
///
/// ```
/// use countersign::RawConnection;
///
/// fn log<IO>(raw: &RawConnection<IO>) {
///     println!("{:?} by way of {:?}", raw.remote_addr(), raw.proxy_addr());
/// }
/// ```
pub struct RawConnection<IO> {
    io: IO,
    pub(super) info: ConnectionInfo,
}

impl<IO> RawConnection<IO> {
    pub(super) const fn new(io: IO, info: ConnectionInfo) -> Self {
        Self { io, info }
    }

    /// The address of the client, if it is known.
    pub const fn remote_addr(&self) -> Option<SocketAddr> {
        self.info.remote_addr()
    }

    /// The address of the proxy that forwards the client, if one does.
    pub fn proxy_addr(&self) -> Option<SocketAddr> {
        self.info.proxy_addr()
    }

    /// Sets the address of a client that a proxy forwards, or `None` if it is unknown. The address so far
    /// becomes that of the proxy.
    ///
    /// The listener's limits by address count the client from then on.
    ///
    /// # Security
    /// Set only what a trusted proxy states.
    #[must_use]
    pub fn forwarded_for(mut self, client: Option<SocketAddr>) -> Self {
        let proxy = self.remote_addr();
        self.info = self.info.with_remote_addr(client).with_proxy_addr(proxy);
        self
    }

    /// The transport.
    pub const fn io_mut(&mut self) -> &mut IO {
        &mut self.io
    }

    /// Replaces the transport.
    pub fn map<T>(self, replace: impl FnOnce(IO) -> T) -> RawConnection<T> {
        RawConnection::new(replace(self.io), self.info)
    }

    pub(super) fn into_parts(self) -> (IO, ConnectionInfo) {
        (self.io, self.info)
    }
}

impl<IO> fmt::Debug for RawConnection<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawConnection")
            .field("remote_addr", &self.remote_addr())
            .field("proxy_addr", &self.proxy_addr())
            .finish_non_exhaustive()
    }
}

/// TLS begins at once: the preamble of a listener without one.
///
/// ```
/// use countersign::{Acceptor, DirectTls, Listener, ListenerBuilder};
///
/// fn usual(acceptor: Acceptor<()>) -> ListenerBuilder<(), DirectTls> {
///     Listener::builder(acceptor)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectTls;

impl<IO: AsyncRead + AsyncWrite + Send + Unpin + 'static> Preamble<IO> for DirectTls {
    type Io = IO;

    async fn run(&self, raw: RawConnection<IO>) -> Result<RawConnection<IO>, PreambleError> {
        Ok(raw)
    }
}

/// Reads a PROXY header and no byte after it.
pub(super) async fn read_header<IO: AsyncRead + Unpin>(io: &mut IO) -> Result<Header, HeaderError> {
    let mut received = Vec::with_capacity(64);
    loop {
        match Header::parse(&received)? {
            Parsed::Complete { header, .. } => return Ok(header),
            Parsed::Incomplete { missing } => {
                let mut rest = (&mut *io).take(missing as u64); // at most the header's length
                match rest.read_buf(&mut received).await {
                    Ok(0) => return Err(HeaderError::Closed),
                    Ok(_) => {}
                    Err(_) => return Err(HeaderError::Io),
                }
            }
        }
    }
}
