//! Connecting on tokio.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConnection, Connection as TlsConnection};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{ConnectError, Connector, has_asked};
use crate::gate::Handshaken;
use crate::live::CloseReason;
use crate::stream::handshake::{Driver, reject, stream_of};
use crate::stream::info_of;
use crate::stream::signing::Start;
use crate::tls::{Failure as _, HandshakeError};
use crate::{ConnectionInfo, TlsStream};

impl<I: Send + Sync + 'static> Connector<I> {
    /// Connects over `io` to the server with this name: a DNS name or an IP address.
    ///
    /// With TLS 1.3 the server authorizes us after our side of the handshake is complete. If it rejects
    /// us, the first read fails with an [`std::io::Error`] around
    /// [`HandshakeError::Alert`](crate::HandshakeError::Alert), and the stream's
    /// [`alert_watch`](TlsStream::alert_watch) has the alert.
    ///
    /// # Errors
    /// [`ConnectError`]: why there is no connection.
    ///
    /// # Cancel safety
    /// Dropping the future closes the transport and records the attempt as abandoned.
    pub async fn connect<IO>(
        &self,
        server_name: &str,
        io: IO,
    ) -> Result<TlsStream<IO, I>, ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let info = info_of(&io);
        self.drive(server_name, io, info).await
    }

    /// As [`connect`](Self::connect), with the address of the peer.
    ///
    /// # Errors
    /// [`ConnectError`]: why there is no connection.
    ///
    /// # Cancel safety
    /// As for [`connect`](Self::connect).
    pub async fn connect_to<IO>(
        &self,
        server_name: &str,
        io: IO,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<TlsStream<IO, I>, ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let info = ConnectionInfo::default().with_remote_addr(remote_addr);
        self.drive(server_name, io, info).await
    }

    async fn drive<IO>(
        &self,
        server_name: &str,
        io: IO,
        info: ConnectionInfo,
    ) -> Result<TlsStream<IO, I>, ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let endpoint = &self.endpoint;
        let (attempt, server_name) = self.attempt(server_name, info)?;
        // Our certificate may be withdrawn, so no server gets it.
        if let Err(error) = attempt.gate().check_suspended() {
            let error = ConnectError::from(error);
            // A failure is recorded in any case.
            let _ = attempt.finish(Err(&error), &[]);
            return Err(error);
        }
        let mut driver =
            Driver::<I, ConnectError>::start(Box::new(attempt), &endpoint.bounds, None);
        let tls = Arc::clone(&endpoint.snapshot().tls);
        // Both kinds of handshake look up a session to resume, and the probe records it.
        let (driver, handshake) = if let Some(slow) = &tls.slow {
            let probe = &mut driver.attempt.probe;
            let config = Arc::clone(&tls.private);
            let new = probe.with_probe(|| ClientConnection::new(config, server_name.clone()));
            let connection = match new {
                Ok(connection) => connection,
                Err(error) => {
                    let error = HandshakeError::from_rustls(error, &driver.attempt.probe);
                    return Err(driver.fail(error.into()));
                }
            };
            let start = Start::Client(Box::new(connection.into()), slow.lane.clone());
            // Boxed, so that futures of other handshakes are not as large.
            let driven = Box::pin(driver.drive_slowly(io, start)).await;
            let (driver, connection, wire) = driven?;
            let adopt = |fresh: &mut _| {
                if let TlsConnection::Client(done) = connection {
                    *fresh = done;
                }
            };
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&slow.placeholder));
            let adopted = connector.connect_with(server_name.clone(), wire, adopt);
            (driver, adopted.into_fallible())
        } else {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls.private));
            let wire = driver.watch(io);
            let connect = || connector.connect(server_name.clone(), wire).into_fallible();
            let handshake = driver.attempt.probe.with_probe(connect);
            (driver, handshake)
        };
        let (driver, stream) = driver.drive(Box::new(handshake)).await?;

        let connection = stream.get_ref().1;
        let admitted = if has_asked(connection, &driver.attempt.probe) {
            let connection = Handshaken::Client(connection, &server_name);
            driver.admit(&endpoint.live, connection).await
        } else {
            // A failure is recorded in any case.
            let _ = driver.attempt.finish(Err(&ConnectError::NotAsked), &[]);
            Err(ConnectError::NotAsked)
        };
        match admitted {
            Ok(admitted) => {
                // The credentials may have been replaced before the connection was listed.
                if endpoint.snapshot().tls.credentials != tls.credentials {
                    let connection = admitted.registration.connection();
                    let why = CloseReason::CredentialsReplaced;
                    endpoint.live.drain(connection, why);
                }
                Ok(stream_of(stream.into(), admitted))
            }
            Err(error) => {
                Box::pin(reject(stream.into(), error.late_alert())).await;
                Err(error)
            }
        }
    }
}
