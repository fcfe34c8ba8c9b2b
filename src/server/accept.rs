//! Accepting a connection on tokio.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::Connection as TlsConnection;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{AcceptError, Acceptor};
use crate::gate::Handshaken;
use crate::stream::handshake::{Cancel, Driver, reject, stream_of};
use crate::stream::info_of;
use crate::stream::signing::Start;
use crate::tls::probe::HandshakeProbe;
use crate::tls::{Attempt, Failure as _};
use crate::{ConnectionInfo, TlsStream};

impl<I: Send + Sync + 'static> Acceptor<I> {
    /// Accepts one connection: handshake, identity, policy.
    ///
    /// The peer's address is taken from a [`tokio::net::TcpStream`]; for another transport see
    /// [`accept_from`](Self::accept_from). The whole attempt is bounded by the handshake timeout. A
    /// rejected peer gets its alert, and one second to read it.
    ///
    /// Run it on a task of its own: inside the accept loop, one slow client delays all others. The
    /// [`Listener`](crate::Listener) does that.
    ///
    /// # Errors
    /// [`AcceptError`]: why there is no connection.
    ///
    /// # Cancel safety
    /// Dropping the future closes the transport and records the attempt as abandoned.
    pub async fn accept<IO>(&self, io: IO) -> Result<TlsStream<IO, I>, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let attempt = Box::new(self.attempt(info_of(&io)));
        self.drive(io, self.driver(attempt, None)).await
    }

    /// As [`accept`](Self::accept), with the address of the peer, for example from a
    /// [PROXY header](crate::proxy_protocol::Header::parse).
    ///
    /// # Errors
    /// [`AcceptError`]: why there is no connection.
    ///
    /// # Cancel safety
    /// As for [`accept`](Self::accept).
    pub async fn accept_from<IO>(
        &self,
        io: IO,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<TlsStream<IO, I>, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let info = ConnectionInfo::default().with_remote_addr(remote_addr);
        let attempt = Box::new(self.attempt(info));
        self.drive(io, self.driver(attempt, None)).await
    }

    /// The time of the attempt starts now.
    pub(crate) fn driver(
        &self,
        attempt: Box<Attempt<I>>,
        cancel: Option<Cancel<AcceptError>>,
    ) -> Driver<I, AcceptError> {
        Driver::start(attempt, &self.endpoint.bounds, cancel)
    }

    pub(super) async fn drive<IO>(
        &self,
        io: IO,
        mut driver: Driver<I, AcceptError>,
    ) -> Result<TlsStream<IO, I>, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let endpoint = &self.endpoint;
        let snapshot = endpoint.snapshot();
        driver.attempt.probe = HandshakeProbe::beginning_under(snapshot.trust_id());
        let configs = Arc::clone(&snapshot.tls);
        drop(snapshot);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&configs.private));
        let (driver, handshake) = if configs.may_be_slow() {
            let start = Start::Server(configs);
            // Boxed, so that futures of other handshakes are not as large.
            let driven = Box::pin(driver.drive_slowly(io, start)).await;
            let (driver, connection, wire) = driven?;
            let adopt = |fresh: &mut _| {
                if let TlsConnection::Server(done) = connection {
                    *fresh = done;
                }
            };
            (driver, acceptor.accept_with(wire, adopt).into_fallible())
        } else {
            let wire = driver.watch(io);
            (driver, acceptor.accept(wire).into_fallible())
        };
        let (driver, tls) = driver.drive(Box::new(handshake)).await?;
        let connection = Handshaken::Server(tls.get_ref().1);
        match driver.admit(&endpoint.live, connection).await {
            Ok(admitted) => Ok(stream_of(tls.into(), admitted)),
            Err(error) => {
                Box::pin(reject(tls.into(), error.late_alert())).await;
                Err(error)
            }
        }
    }
}
